//! Options to dataflow.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::{Broadcast, Map, Partition};
use timely::dataflow::operators::{Concat, Exchange};
use types::Span;
use types::options::{Problem, Settings};
use types::relations::{Mark, PositionStep, RelationKind};

use super::marks::{self, Sources};
use super::snapshots::{Row, Snapshots};
use super::sweep::Sweep;
use crate::clock::Clock;
use crate::edge::Edge;
use crate::operators::epochs::per_epoch;
use crate::plan::{Build, Context, Output, PlanBuilder, Port, Prepared};
use crate::route::route_wallet;

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
    let (Some(positions), Some(snapshot)) = (positions, settings.duration("snapshot")) else {
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
    let ports: [Option<Port>; 2] = [source.map(|v| v.port), settlements.map(|v| v.port)];
    let build = Marked {
        kind,
        has_settlements: ports[1].is_some(),
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
    has_settlements: bool,
    snapshot: Span,
    by_position: bool,
    emits_all: bool,
}

/// What the sweep is fed with.
#[derive(Clone)]
enum Input {
    Step(PositionStep, isize),
    Mark(Mark, isize),
    Clock(Clock),
}

/// Rows of all outputs.
type Rows<'s> = StreamVec<'s, u64, (Row, u64, isize)>;

impl Build for Marked {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let sources = Sources {
            prices: (self.kind != MarkKind::Settlement).then(|| &inputs[1]),
            settlements: self.has_settlements.then(|| &inputs[inputs.len() - 1]),
        };
        let marks = marks::build(self.kind, self.snapshot, context, &sources).broadcast();
        let steps = inputs[0].steps().inner;
        let steps = steps
            .exchange(|(row, _, _): &(PositionStep, u64, isize)| route_wallet(row.position.wallet));
        let changes = self.sweep(
            context,
            steps
                .map(|(row, _, diff)| Input::Step(row, diff))
                .concat(marks.map(|(row, _, diff)| Input::Mark(row, diff)))
                .concat(context.clock.clone().map(Input::Clock)),
        );
        // Each row goes to its output alone; what the arms below leave out isn't there.
        let parts = changes.partition(3, |change| match change.0 {
            Row::Wallet(_) | Row::Position(_) => (0, change),
            Row::Now(_) => (1, change),
            Row::Error(_) => (2, change),
        });
        let [rows, now, errors] = parts.try_into().unwrap_or_else(|_| unreachable!("three parts"));
        let now = now.flat_map(|(row, epoch, diff)| match row {
            Row::Now(row) => Some((row, epoch, diff)),
            Row::Wallet(_) | Row::Position(_) | Row::Error(_) => None,
        });
        let errors = errors.flat_map(|(row, epoch, diff)| match row {
            Row::Error(row) => Some((row, epoch, diff)),
            Row::Wallet(_) | Row::Position(_) | Row::Now(_) => None,
        });
        let rows = if self.by_position {
            let rows = rows.flat_map(|(row, epoch, diff)| match row {
                Row::Position(row) => Some((row, epoch, diff)),
                Row::Wallet(_) | Row::Now(_) | Row::Error(_) => None,
            });
            Edge::PositionPnl(rows.as_collection())
        } else {
            let rows = rows.flat_map(|(row, epoch, diff)| match row {
                Row::Wallet(row) => Some((row, epoch, diff)),
                Row::Position(_) | Row::Now(_) | Row::Error(_) => None,
            });
            Edge::Pnl(rows.as_collection())
        };
        vec![rows, Edge::PnlNow(now.as_collection()), Edge::Rows(errors.as_collection())]
    }
}

impl Marked {
    fn sweep<'s>(&self, context: &Context<'s, '_>, inputs: StreamVec<'s, u64, Input>) -> Rows<'s> {
        let snapshots = Snapshots {
            grid: self.snapshot,
            by_position: self.by_position,
            emits_all: self.emits_all,
            names: Arc::clone(&context.names),
        };
        let mut sweep = Sweep::new(snapshots);
        let (grid, reads) = (self.snapshot, context.reads.clone());
        let name = format!("view {}: mark_to_market", context.view);
        per_epoch(inputs, &name, move |epoch, inputs, out| {
            let (mut steps, mut marks, mut until) = (Vec::new(), Vec::new(), None);
            for input in inputs.drain(..) {
                match input {
                    Input::Step(row, diff) => steps.push((row, diff)),
                    Input::Mark(row, diff) => marks.push((row, diff)),
                    Input::Clock(clock) => until = clock.last_step(grid, &reads),
                }
            }
            sweep.take(steps, marks);
            sweep.advance(until);
            sweep.tell(|row, diff| out.push((row, epoch, diff)));
        })
    }
}
