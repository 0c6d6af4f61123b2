//! The timely operator: rows and clocks in, scores out, an epoch at a time.

use std::hash::{Hash, Hasher};

use detectors::Model;
use differential_dataflow::AsCollection;
use rustc_hash::FxHasher;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Exchange};
use types::Row;

use super::scores::{Scores, Settled};
use crate::clock::Clock;
use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::operators::ordered::Order;
use crate::plan::Context;
use crate::route::mix;

/// What the operator takes.
#[derive(Clone)]
enum Input {
    Row(Row, isize),
    Clock(Clock),
}

/// Adds the operator to a dataflow; gives the scores, and the changes that came too late. A model's
/// rows stand on one worker.
pub(super) fn build<'s>(
    rows: Coll<'s, Row>,
    context: &Context<'s, '_>,
    (settled, empty): (Settled, Model),
) -> [Coll<'s, Row>; 2] {
    let name = format!("view {}: anomaly", context.view);
    let (is_by_key, by) = (settled.is_by_key, settled.judge.layout.by.clone());
    let routed = rows.inner.exchange(move |(row, _, _): &(Row, u64, isize)| {
        if !is_by_key {
            return 0;
        }
        let mut hasher = FxHasher::default();
        for index in &by {
            row.0.get(*index).hash(&mut hasher);
        }
        mix(hasher.finish())
    });
    let clock = context.clock.stream().map(Input::Clock);
    let inputs = routed.map(|(row, _, diff)| Input::Row(row, diff)).concat(clock);
    let order = Order::new(&settled.judge.layout.input, &context.names);
    let mut scores = Scores::new(settled, order, empty);
    let told = per_epoch(inputs, &name, move |epoch, inputs, out| {
        let (mut rows, mut newest): (Vec<(Row, isize)>, Option<Clock>) = (Vec::new(), None);
        for input in inputs.drain(..) {
            match input {
                Input::Row(row, diff) => rows.push((row, diff)),
                Input::Clock(clock) => newest = newest.max(Some(clock)),
            }
        }
        let watermark = newest.map(|clock| clock.watermark);
        scores.take(rows, watermark, &mut |told| {
            out.push((told.is_stale, told.row, epoch, told.diff));
        });
    });
    let of = |told: StreamVec<'s, u64, (bool, Row, u64, isize)>, wanted: bool| {
        let of = told.flat_map(move |(is_stale, row, epoch, diff)| {
            (is_stale == wanted).then_some((row, epoch, diff))
        });
        of.as_collection()
    };
    let stale = of(told.clone(), true);
    [of(told, false), stale]
}
