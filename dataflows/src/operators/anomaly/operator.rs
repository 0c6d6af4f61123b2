//! The timely operator: rows and clocks in, scores out, an epoch at a time.

use std::hash::{Hash, Hasher};

use detectors::Model;
use differential_dataflow::AsCollection;
use rustc_hash::FxHasher;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Map;
use types::Row;

use super::scores::{Scores, Settled};
use crate::edge::Coll;
use crate::operators::epochs::per_epoch_with_clock;
use crate::operators::ordered::Order;
use crate::plan::Context;
use crate::route::mix;

/// The place of the changes that came too late among the outputs.
const STALE: usize = 1;

/// Adds the operator to a dataflow; gives the scores, and the changes that came too late, where anybody
/// reads them. A model's rows stand on one worker: that of its key, or that of the view.
pub(super) fn build<'s>(
    rows: Coll<'s, Row>,
    context: &Context<'s, '_>,
    (settled, empty_model): (Settled, Model),
) -> [Coll<'s, Row>; 2] {
    let name = format!("view {}: anomaly", context.view);
    let (is_by_key, by) = (settled.is_by_key, settled.judge.layout.by.clone());
    let of_view = hashed(context.view);
    let routed = rows.inner.exchange(move |(row, _, _): &(Row, u64, isize)| {
        if !is_by_key {
            return of_view;
        }
        let mut hasher = FxHasher::default();
        for index in &by {
            row.0.get(*index).hash(&mut hasher);
        }
        mix(hasher.finish())
    });
    let order = Order::new(&settled.judge.layout.input, &context.names);
    let reads_stale = context.is_read.get(STALE).copied().unwrap_or(true);
    let mut scores = Scores::new(settled, order, (empty_model, reads_stale));
    let clock = context.clock.stream();
    let told = per_epoch_with_clock(routed, clock, &name, move |epoch, (rows, clock), out| {
        let watermark = clock.map(|clock| clock.watermark);
        scores.take(std::mem::take(rows), watermark, &mut |told| {
            out.push((told.is_stale, told.row, epoch, told.diff));
        });
    });
    if !reads_stale {
        let scores = told.map(|(_, row, epoch, diff)| (row, epoch, diff));
        return [scores.as_collection(), empty(context.scope).as_collection()];
    }
    let of = |told: StreamVec<'s, u64, (bool, Row, u64, isize)>, wanted: bool| {
        let of = told.flat_map(move |(is_stale, row, epoch, diff)| {
            (is_stale == wanted).then_some((row, epoch, diff))
        });
        of.as_collection()
    };
    let stale = of(told.clone(), true);
    [of(told, false), stale]
}

/// The route of a text: views whose models stand alone stand on different workers.
fn hashed(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    text.hash(&mut hasher);
    mix(hasher.finish())
}
