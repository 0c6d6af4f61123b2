//! The timely operator: rows in, the rows of the fold out, an epoch at a time.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::{FxHashMap, FxHasher};
use timely::dataflow::operators::Exchange;
use types::changes::consolidate;
use types::{Row, Value};

use super::Step;
use super::series::{Position, Seen, Series};
use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::operators::ordered::{HasId, Order, is_of_row};
use crate::route::mix;

/// Where the rows of a view stand: in which series, and where in it.
#[derive(Clone)]
pub(crate) struct Standing {
    order: Order,
    by: Arc<[usize]>,
    head: Arc<[usize]>,
    /// Whether rows of one series may have the same place, so that their texts decide.
    has_ties: bool,
}

impl Standing {
    /// `by` are the columns that tell series apart, all of the key; `head` those that rows start with.
    pub(crate) fn new(order: Order, by: &[usize], head: &[usize]) -> Self {
        let schema = &*order.schema;
        let has_ties =
            (0..schema.n_key).any(|index| !by.contains(&index) && !is_of_row(schema, index));
        Self { order, by: by.into(), head: head.into(), has_ties }
    }

    /// A row with its value; `None` where its time is null, so that it stands nowhere.
    pub(crate) fn see<R: HasId, I>(&self, row: &R, input: Option<I>) -> Option<Seen<I>> {
        let time = self.order.time(row)?;
        let values = |columns: &[usize]| -> Box<[Value]> {
            columns.iter().map(|index| row.column(*index, &self.order.names)).collect()
        };
        let place = self.order.place(row, time);
        let text = if self.has_ties { self.order.text(row).into() } else { Box::default() };
        let position = Position { place, text };
        Some(Seen { series: values(&self.by), position, head: values(&self.head), input })
    }
}

/// Folds each series of rows; the rows' key is the first `n_key` columns. A series stands on one worker.
pub(crate) fn folded<'s, S: Step>(
    rows: Coll<'s, Seen<S::Input>>,
    name: &str,
    step: S,
    n_key: usize,
) -> Coll<'s, Row> {
    let routed = rows.inner.exchange(|(seen, _, _): &(Seen<S::Input>, u64, isize)| {
        let mut hasher = FxHasher::default();
        seen.series.hash(&mut hasher);
        mix(hasher.finish())
    });
    let mut held: FxHashMap<Box<[Value]>, Series<S>> = FxHashMap::default();
    let changes = per_epoch(routed, name, move |epoch, inputs, out| {
        let mut rows: Vec<_> = inputs.drain(..).map(|(seen, _, diff)| (seen, diff)).collect();
        // By series, whose values stand first.
        consolidate(&mut rows);
        for changes in rows.chunk_by(|a, b| a.0.series == b.0.series) {
            let Some((seen, _)) = changes.first() else { continue };
            let series = held.entry(seen.series.clone()).or_insert_with(|| Series::new(&step));
            let told = series.change(&step, changes, n_key);
            out.extend(told.map(|(row, diff)| (row, epoch, diff)));
            if series.is_empty() {
                held.remove(&seen.series);
            }
        }
    });
    changes.as_collection()
}
