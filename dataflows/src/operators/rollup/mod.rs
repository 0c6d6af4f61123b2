//! `rollup`: bars of trades or fills.
//!
//! A row is the bar of one (venue, asset) over one bucket [b, b + size) of event time: published when
//! it holds something, `final` once the watermark has reached its end; a still later event revises it
//! and leaves it final. A bucket that is emptied has no row. Every trade at a price counts; fills of
//! kind `transfer` and `funding` are no trades. All ticks are kept for ever, because a late or
//! removed one must change exactly what it changes.
//!
//! A bar whose volume or notional doesn't fit its column is left out and stands in `errors` for as
//! long as that is so.

mod bar;
mod bars;
mod level;
mod log;
mod operator;
mod remove;
mod revise;
mod series;
mod show;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::BTreeSet;
use std::sync::Arc;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::RelationKind;
use types::{Column, Kind, Schema, ShortText, Span};

use self::bars::Bars;
use crate::edge::Edge;
use crate::operators::Operator;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared};

/// The operator.
pub(super) struct Rollup;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "trades or fills, or a filter over them"),
    option(
        "sizes",
        OptionKind::Durations,
        Need::Default(r#"["1m", "1h", "1d"]"#),
        "the lengths of the bars; weeks run from Monday, the grid is UTC",
    ),
];

impl Operator for Rollup {
    fn name(&self) -> &'static str {
        "rollup"
    }

    fn help(&self) -> &'static str {
        "bars: open, high, low, close, volume and vwap of each asset and bucket of event time"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, _settings: &Settings, _plan: &PlanBuilder) -> Option<Vec<Output>> {
        let schema = errors_schema().shared();
        let errors = Output { suffix: "errors", kind: RelationKind::Rows, schema, is_keyed: true };
        Some(vec![Output::built_in("", RelationKind::Bars), errors])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let kinds = &[RelationKind::Trades, RelationKind::Fills];
        let input = plan.input_of(settings, "input", kinds, &mut problems);
        let sizes = sizes(settings, &mut problems);
        let Some(input) = input.filter(|_| problems.is_empty()) else { return Err(problems) };
        let outputs = self.outputs(settings, plan).unwrap_or_default();
        let port = PlanBuilder::events_of(&input);
        let build = Box::new(Rolled { sizes, has_corrections: plan.has_corrections(port) });
        Ok(Prepared { inputs: vec![port], outputs, build })
    }
}

/// Bars that overflow.
fn errors_schema() -> Schema {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    Schema {
        columns: vec![
            column("venue", Kind::Name),
            column("asset", Kind::Text),
            column("size", Kind::Name),
            column("bucket", Kind::Time),
            column("reason", Kind::Name),
        ],
        n_key: 4,
        time: Some(3),
    }
}

/// The lengths of the bars and how the config writes them, the smallest first.
fn sizes(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(Span, ShortText)> {
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    for (text, place) in settings.list("sizes") {
        match Span::parse(text) {
            None => {
                let message = format!("`{text}` is no length of time");
                let problem = Problem::new(place.clone(), "not_a_duration", message);
                problems.push(problem.hint("write it like \"5m\""));
            }
            Some(span) if !seen.insert(span) => {
                let message = format!("bars of `{text}` are listed twice");
                problems.push(Problem::new(place.clone(), "repeated_size", message));
            }
            Some(span) => {
                let Some(text) = ShortText::new(text) else {
                    let message = format!("`{text}` is longer than 11 characters");
                    let problem = Problem::new(place.clone(), "long_size", message);
                    problems.push(problem.hint("write it in one unit, like \"90s\""));
                    continue;
                };
                sizes.push((span, text));
            }
        }
    }
    if sizes.is_empty() && problems.is_empty() {
        let message = "`sizes` is empty: there would be no bars";
        problems.push(Problem::new(settings.place("sizes"), "missing_value", message));
    }
    sizes.sort();
    sizes
}

/// The operator with its options settled.
struct Rolled {
    sizes: Vec<(Span, ShortText)>,
    /// Whether events, where it reads them, can replace and remove one another.
    has_corrections: bool,
}

impl Build for Rolled {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a rollup reads one view") };
        let name = format!("view {}: rollup", context.view);
        let bars = Bars::new(&self.sizes, Arc::clone(&context.names), self.has_corrections);
        let clock = context.clock.stream();
        let reads_errors = context.is_read.get(1).copied().unwrap_or(true);
        match input {
            Edge::FillEvents(events) => {
                operator::build(events.clone(), clock, name, bars, reads_errors)
            }
            Edge::TradeEvents(events) => {
                operator::build(events.clone(), clock, name, bars, reads_errors)
            }
            Edge::Fills(rows) => {
                operator::build(rows.inner.clone(), clock, name, bars, reads_errors)
            }
            trades => operator::build(trades.trades().inner, clock, name, bars, reads_errors),
        }
    }
}
