//! `cusum`: when a number has moved away from where it was.

use types::Value;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::schema::Kind;

use super::ewma::{ALPHA, BY, HALF_LIFE, INPUT, VALUE};
use super::fixed::{ONE, shown};
use super::moments::{Moments, Rate};
use super::zscore::{WARMUP, rate};
use super::{Step, value};
use crate::operators::Operator;
use crate::plan::{Output, PlanBuilder, Prepared};

/// Two cumulative sums of the score z of each row (Page 1954, Continuous Inspection Schemes): `up` is
/// max(0, up + z - drift), `down` is max(0, down - z - drift), and there is an `alarm` where one of them is
/// above `threshold`. Behind an alarm both start at zero again. z is that of `zscore`; a row without it
/// has nulls, and leaves the sums as they are.
pub(crate) struct Cusum;

const ADDED: &[(&str, Kind)] =
    &[("up", Kind::Number), ("down", Kind::Number), ("alarm", Kind::Bool)];

/// A million: sums of scores beyond it say nothing.
const MOST: i128 = 1_000_000 * ONE;

impl Operator for Cusum {
    fn name(&self) -> &'static str {
        "cusum"
    }

    fn help(&self) -> &'static str {
        "cumulative sums of how far a number is from its moving mean, and an alarm where they grow"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            INPUT,
            VALUE,
            BY,
            HALF_LIFE,
            ALPHA,
            WARMUP,
            option(
                "drift",
                OptionKind::Text,
                Need::Default("0.5"),
                "deviations that count as none: what each row takes off the sums",
            ),
            option(
                "threshold",
                OptionKind::Text,
                Need::Default("5"),
                "the sum above which there is an alarm, in deviations",
            ),
        ];
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
        let rate = rate(settings, &mut problems);
        let mut number = |option: &'static str, default: i128, least: i128| {
            let Some(text) = settings.text(option) else { return Some(default) };
            let is_in_range = move |number: &i128| (least..=MOST).contains(number);
            let range = if least > 0 { "above 0, 1000000 at most" } else { "from 0 to 1000000" };
            value::decimal(text, &settings.place(option), (is_in_range, range), &mut problems)
        };
        let drift = number("drift", ONE / 2, 0);
        let threshold = number("threshold", 5 * ONE, 1);
        let step = match (rate, drift, threshold) {
            (Some(rate), Some(drift), Some(threshold)) => Some(Summed { rate, drift, threshold }),
            _ => None,
        };
        value::prepare(settings, plan, ADDED, (step, problems))
    }
}

/// The step.
#[derive(Clone)]
pub(super) struct Summed {
    pub(super) rate: Rate,
    pub(super) drift: i128,
    pub(super) threshold: i128,
}

/// The sums, with what scores are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    moments: Moments,
    up: i128,
    down: i128,
}

/// The sums at a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    up: i128,
    down: i128,
    is_alarm: bool,
}

impl Step for Summed {
    type Input = i128;
    type State = Sums;
    type Output = Option<Seen>;

    fn start(&self) -> Sums {
        Sums { moments: Moments::START, up: 0, down: 0 }
    }

    fn step(&self, state: &mut Sums, input: &i128) -> Option<Self::Output> {
        let Sums { moments, .. } = state;
        let z = if moments.is_warm(self.rate) { moments.score(*input)?.z } else { None };
        moments.take(*input, self.rate)?;
        let Some(z) = z else { return Some(None) };
        let up = state.up.checked_add(z)?.checked_sub(self.drift)?.max(0);
        let down = state.down.checked_sub(z)?.checked_sub(self.drift)?.max(0);
        let is_alarm = up > self.threshold || down > self.threshold;
        (state.up, state.down) = if is_alarm { (0, 0) } else { (up, down) };
        Some(Some(Seen { up, down, is_alarm }))
    }

    fn show(&self, input: Option<&i128>, output: &Self::Output, values: &mut Vec<Value>) {
        values.extend([
            shown(input.copied()),
            shown(output.map(|seen| seen.up)),
            shown(output.map(|seen| seen.down)),
            output.map(|seen| seen.is_alarm).into(),
        ]);
    }
}
