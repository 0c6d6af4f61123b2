//! The timely operator: rows and clocks in, features out, an epoch at a time.

use differential_dataflow::AsCollection;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Exchange};
use types::Row;

use super::fold::Features;
use super::layout::{By, Emit, Key};
use super::tick::Ticked;
use crate::clock::Clock;
use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::plan::Context;

/// What the operator takes where rows stand at steps.
#[derive(Clone)]
enum Input<R> {
    Row(R, isize),
    Clock(Clock),
}

/// Adds the operator to a dataflow: each key's windows stand on one worker. Rows at events don't depend
/// on the clock.
pub(super) fn build<'s, R: Ticked>(
    rows: Coll<'s, R>,
    context: &Context<'s, '_>,
    (by, emit): (By, Emit),
    mut features: Features,
) -> Coll<'s, Row> {
    let name = format!("view {}: features", context.view);
    let route = move |(row, _, _): &(R, u64, isize)| by.key(row).map_or(0, Key::route);
    let routed = rows.inner.exchange(route);
    let take = move |features: &mut Features, row: &R, diff: isize| {
        if let Some(tick) = row.tick()
            && let Some(key) = by.key(row)
        {
            features.take(key, tick, diff);
        }
    };
    let Emit::Step(grid) = emit else {
        let changes = per_epoch(routed, &name, move |epoch, inputs, out| {
            for (row, _, diff) in inputs.drain(..) {
                take(&mut features, &row, diff);
            }
            features.finish(None, |row, diff| out.push((row, epoch, diff)));
        });
        return changes.as_collection();
    };
    let reads = context.reads.clone();
    let clock = context.clock.stream().map(Input::Clock);
    let inputs = routed.map(|(row, _, diff)| Input::Row(row, diff)).concat(clock);
    let changes = per_epoch(inputs, &name, move |epoch, inputs, out| {
        let mut newest: Option<Clock> = None;
        for input in inputs.drain(..) {
            match input {
                Input::Row(row, diff) => take(&mut features, &row, diff),
                Input::Clock(clock) => newest = newest.max(Some(clock)),
            }
        }
        let last_step = newest.and_then(|clock| clock.last_step(grid, &reads));
        features.finish(last_step, |row, diff| out.push((row, epoch, diff)));
    });
    changes.as_collection()
}
