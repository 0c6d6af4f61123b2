//! `ewma`: the exponentially weighted moving average of a number.

use types::Value;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::schema::Kind;

use super::fixed::{product, shown};
use super::{Step, value};
use crate::operators::Operator;
use crate::plan::{Output, PlanBuilder, Prepared};

/// Of each row with a value x the average m + alpha x (x - m), where m is that of the row before; of the
/// first it is x (Roberts 1959, Control Chart Tests Based on Geometric Moving Averages).
pub(crate) struct Ewma;

const ADDED: &[(&str, Kind)] = &[("ewma", Kind::Number)];

/// The options that all folds over a number have.
pub(super) const INPUT: OptionSpec =
    option("input", OptionKind::Input, Need::Required, "what is read: rows with a key and a time");
pub(super) const VALUE: OptionSpec =
    option("value", OptionKind::Expression, Need::Required, "the number that is followed");
pub(super) const BY: OptionSpec = option(
    "by",
    OptionKind::Columns,
    Need::Optional,
    "what tells series apart; the key without time and id where not given",
);
pub(super) const HALF_LIFE: OptionSpec = option(
    "half_life",
    OptionKind::Count(1, value::HALF_LIFE_MAX),
    Need::Optional,
    "rows after which a row has half its weight; 20 where `alpha` isn't given either",
);
pub(super) const ALPHA: OptionSpec = option(
    "alpha",
    OptionKind::Text,
    Need::Optional,
    "the weight of the newest row, above 0 and below 1, in place of `half_life`",
);

impl Operator for Ewma {
    fn name(&self) -> &'static str {
        "ewma"
    }

    fn help(&self) -> &'static str {
        "the exponentially weighted moving average of a number, row by row"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[INPUT, VALUE, BY, HALF_LIFE, ALPHA];
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        value::outputs(settings, plan, ADDED)
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let step = value::weight(settings, &mut problems).map(|alpha| Average { alpha });
        value::prepare(settings, plan, ADDED, (step, problems))
    }
}

/// The step.
#[derive(Clone)]
pub(super) struct Average {
    pub(super) alpha: i128,
}

impl Step for Average {
    type Input = i128;
    type State = Option<i128>;
    type Output = Option<i128>;

    fn start(&self) -> Self::State {
        None
    }

    fn step(&self, state: &mut Self::State, input: &i128) -> Option<Self::Output> {
        let average = match *state {
            None => *input,
            Some(average) => {
                average.checked_add(product(input.checked_sub(average)?, self.alpha)?)?
            }
        };
        *state = Some(average);
        Some(*state)
    }

    fn show(&self, input: Option<&i128>, output: &Self::Output, values: &mut Vec<Value>) {
        values.extend([shown(input.copied()), shown(*output)]);
    }
}
