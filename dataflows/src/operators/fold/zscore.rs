//! `zscore`: a number against the mean and deviation of the rows before it.

use types::Value;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::schema::Kind;

use super::ewma::{ALPHA, BY, HALF_LIFE, INPUT, VALUE};
use super::fixed::shown;
use super::moments::{Moments, Rate, Score};
use super::{Step, value};
use crate::operators::Operator;
use crate::plan::{Output, PlanBuilder, Prepared};

/// Of each row the exponentially weighted mean and deviation of the rows before it, and by how many of
/// these deviations its value is above that mean. See [`Moments`].
pub(crate) struct Zscore;

const ADDED: &[(&str, Kind)] =
    &[("mean", Kind::Number), ("deviation", Kind::Number), ("zscore", Kind::Number)];

/// How many rows come before the first score.
pub(super) const WARMUP: OptionSpec = option(
    "warmup",
    OptionKind::Count(1, value::HALF_LIFE_MAX),
    Need::Default("20"),
    "rows of a series with a value before the first that is scored",
);

impl Operator for Zscore {
    fn name(&self) -> &'static str {
        "zscore"
    }

    fn help(&self) -> &'static str {
        "how far a number is from the moving mean of the rows before, in their deviations"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[INPUT, VALUE, BY, HALF_LIFE, ALPHA, WARMUP];
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
        let step = rate(settings, &mut problems).map(Scored);
        value::prepare(settings, plan, ADDED, (step, problems))
    }
}

/// How fast rows lose weight, and how many must stand first.
pub(super) fn rate(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Rate> {
    let alpha = value::weight(settings, problems)?;
    Some(Rate { alpha, warmup: settings.count("warmup").unwrap_or(20) })
}

/// The step.
#[derive(Clone)]
pub(super) struct Scored(pub(super) Rate);

impl Step for Scored {
    type Input = i128;
    type State = Moments;
    type Output = Option<Score>;

    fn start(&self) -> Moments {
        Moments::START
    }

    fn step(&self, state: &mut Moments, input: &i128) -> Option<Self::Output> {
        let score = if state.is_warm(self.0) { Some(state.score(*input)?) } else { None };
        state.take(*input, self.0)?;
        Some(score)
    }

    fn show(&self, input: Option<&i128>, output: &Self::Output, values: &mut Vec<Value>) {
        let column = |pick: fn(&Score) -> Option<i128>| shown(output.as_ref().and_then(pick));
        values.push(shown(input.copied()));
        values.extend([
            column(|score| Some(score.mean)),
            column(|score| Some(score.deviation)),
            column(|score| score.z),
        ]);
    }
}
