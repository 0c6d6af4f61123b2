//! Rows as of steps, held back until their step is published: when the watermark reaches it
//! (SEMANTICS section 3). A step that is published is revised at once.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;
use types::relations::PositionStep;
use types::{Span, VenueTime};

use crate::clock::Clock;
use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::plan::Context;

/// What the operator takes.
#[derive(Clone)]
enum Input {
    Step(PositionStep, isize),
    Clock(Clock),
}

/// Lets steps of a grid through as they are published.
pub(super) fn published<'s>(
    steps: Coll<'s, PositionStep>,
    grid: Span,
    context: &Context<'s, '_>,
) -> Coll<'s, PositionStep> {
    let reads = context.reads.clone();
    let rows = steps.inner.map(|(row, _, diff)| Input::Step(row, diff));
    let clock = context.clock.clone().map(Input::Clock);
    let name = format!("{}: published steps", context.view);
    let mut held: BTreeMap<VenueTime, BTreeMap<PositionStep, isize>> = BTreeMap::new();
    let mut last: Option<VenueTime> = None;
    let published = per_epoch(rows.concat(clock), &name, move |epoch, inputs, out| {
        for input in inputs.drain(..) {
            match input {
                Input::Step(row, diff) => {
                    *held.entry(row.step).or_default().entry(row).or_default() += diff;
                }
                Input::Clock(clock) => last = last.max(clock.last_step(grid, &reads)),
            }
        }
        while let Some(entry) = held.first_entry().filter(|entry| Some(*entry.key()) <= last) {
            let changed = entry.remove().into_iter().filter(|(_, diff)| *diff != 0);
            out.extend(changed.map(|(row, diff)| (row, epoch, diff)));
        }
    });
    published.as_collection()
}
