//! The timely operator: rows and clocks in, features out, an epoch at a time.

use differential_dataflow::AsCollection;
use timely::dataflow::operators::Exchange;
use types::Row;

use super::fold::Features;
use super::layout::{By, Emit, Key};
use super::tick::Ticked;
use crate::edge::Coll;
use crate::operators::epochs::{per_epoch, per_epoch_with_clock};
use crate::plan::Context;

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
    let clock = context.clock.stream();
    let changes = per_epoch_with_clock(routed, clock, &name, move |epoch, (rows, newest), out| {
        for (row, diff) in rows.drain(..) {
            take(&mut features, &row, diff);
        }
        let last_step = newest.and_then(|clock| clock.last_step(grid, &reads));
        features.finish(last_step, |row, diff| out.push((row, epoch, diff)));
    });
    changes.as_collection()
}
