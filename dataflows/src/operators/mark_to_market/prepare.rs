//! Options to dataflow.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use timely::dataflow::operators::vec::Broadcast;
use types::Span;
use types::options::{Problem, Settings};
use types::relations::RelationKind;

use super::marks::{self, Sources};
use super::operator;
use super::series::Snapshots;
use super::sweep::Sweep;
use crate::edge::Edge;
use crate::operators::steps::grid;
use crate::plan::{Build, Context, Output, PlanBuilder, Port, Prepared};

/// What a position is valued at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkKind {
    Mid,
    Last,
    BidAsk,
    Settlement,
}

/// Settles the options.
pub(super) fn prepare(
    settings: &Settings,
    plan: &mut PlanBuilder,
    outputs: Vec<Output>,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let positions = plan.input_of(settings, "positions", &[RelationKind::Positions], &mut problems);
    let quotes = plan.input_of(settings, "quotes", &[RelationKind::Quotes], &mut problems);
    let kinds = &[RelationKind::Trades, RelationKind::Fills];
    let trades = plan.input_of(settings, "trades", kinds, &mut problems);
    let kinds = &[RelationKind::Settlements];
    let settlements = plan.input_of(settings, "settlements", kinds, &mut problems);
    if let Some(quotes) = quotes.as_ref().filter(|view| view.is_keyed) {
        let message = format!("`{}` holds only the newest quote of each key", quotes.name);
        let problem = Problem::new(settings.place("quotes"), "wrong_input", message);
        problems.push(problem.hint("name the quotes that it reads: marks need all of them"));
    }
    let kind = mark_kind(settings, &mut problems);
    let snapshot = grid(settings, "snapshot", &mut problems);
    let (Some(positions), Some(snapshot)) = (positions, snapshot) else {
        return Err(problems);
    };
    let Some(steps) = plan.steps_of(&positions, snapshot) else {
        let message = format!("`{}` isn't a view of op `avg_cost`", positions.name);
        problems.push(Problem::new(settings.place("positions"), "wrong_input", message));
        return Err(problems);
    };
    let source = match kind {
        MarkKind::Mid | MarkKind::BidAsk => quotes,
        MarkKind::Last => trades,
        MarkKind::Settlement => None,
    };
    // An input that is named but has problems of its own is told where it stands.
    let is_missing = (kind != MarkKind::Settlement && source.is_none())
        || (settings.has("settlements") && settlements.is_none());
    if is_missing || !problems.is_empty() {
        return Err(problems);
    }
    let prices = source.map(|view| match kind {
        MarkKind::Last => PlanBuilder::events_of(&view),
        _ => view.port,
    });
    let ports: [Option<Port>; 2] = [prices, settlements.map(|v| v.port)];
    let build = Marked {
        kind,
        has_corrections: prices.is_some_and(|port| plan.has_corrections(port)),
        snapshot,
        by_position: settings.text("by") == Some("position"),
        emits_all: settings.text("emit") == Some("all"),
    };
    let inputs = std::iter::once(steps).chain(ports.into_iter().flatten()).collect();
    Ok(Prepared { inputs, outputs, build: Box::new(build) })
}

/// The mark as written, or by what is there; tells a problem where its input isn't named.
fn mark_kind(settings: &Settings, problems: &mut Vec<Problem>) -> MarkKind {
    let (kind, option) = match settings.text("mark") {
        Some("mid") => (MarkKind::Mid, "quotes"),
        Some("bid_ask") => (MarkKind::BidAsk, "quotes"),
        Some("last") => (MarkKind::Last, "trades"),
        Some("settlement") => (MarkKind::Settlement, "settlements"),
        _ if settings.has("quotes") => (MarkKind::Mid, "quotes"),
        _ => (MarkKind::Last, "trades"),
    };
    if !settings.has(option) {
        let message = match settings.text("mark") {
            Some(mark) => format!("`mark = \"{mark}\"` needs `{option}`"),
            None => "marks need `quotes` or `trades`".to_owned(),
        };
        let problem = Problem::new(settings.place("mark"), "missing_option", message);
        problems.push(problem.hint(format!("add `{option} = \"...\"`")));
    }
    kind
}

/// The operator with its options settled.
struct Marked {
    kind: MarkKind,
    /// Whether events, where it reads them, can replace and remove one another.
    has_corrections: bool,
    snapshot: Span,
    by_position: bool,
    emits_all: bool,
}

impl Build for Marked {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let (steps, sources) = inputs.split_first().expect("marks are planned with positions");
        let mut sources = sources.iter();
        let prices = if self.kind == MarkKind::Settlement { None } else { sources.next() };
        let settlements = sources.next();
        let sources = Sources { prices, has_corrections: self.has_corrections, settlements };
        let is_read = |output: usize| context.is_read.get(output).copied().unwrap_or(true);
        let told = (self.snapshot, is_read(MARKS));
        let (marks, newest) = marks::build(self.kind, told, context, &sources);
        let snapshots = Snapshots {
            grid: self.snapshot,
            emits_all: self.emits_all,
            names: Arc::clone(&context.names),
        };
        let sweep = Sweep::new(snapshots, self.by_position, is_read(NOW));
        let [rows, now, errors] =
            operator::build(sweep, self.snapshot, context, steps, marks.broadcast());
        vec![rows, now, Edge::Marks(newest.as_collection()), errors]
    }
}

/// The output of the newest rows.
const NOW: usize = 1;
/// The output of the newest marks.
pub(super) const MARKS: usize = 2;
