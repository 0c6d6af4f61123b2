//! Revisions: events of one identity, in whatever order they come, become at most one row.
//!
//! Of inserts and corrects the greatest (revision, operation) stands; a bust removes its revision and
//! all earlier ones, and one that comes first waits (SEMANTICS section 2). What reads a relation sees
//! (held row, -1), (new row, +1).

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Exchange;
use types::relations::{Identity, Input};
use types::{Event, Op, Schema};

use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::route::{mix, route, route_asset};

/// What is known of one identity.
struct Slot<R> {
    /// The insert or correct that wins among those that came.
    best: Option<(u64, Op, R)>,
    /// The greatest revision that was busted.
    busted: Option<u64>,
}

impl<R> Slot<R> {
    /// The row that stands.
    fn held(&self) -> Option<&R> {
        let (revision, _, row) = self.best.as_ref()?;
        self.busted.is_none_or(|busted| *revision > busted).then_some(row)
    }

    fn take(&mut self, event: Event<R>) {
        match event.op {
            Op::Bust => self.busted = self.busted.max(Some(event.revision)),
            op => {
                let wins = self.best.as_ref().is_none_or(|b| (event.revision, op) > (b.0, b.1));
                if wins {
                    self.best = Some((event.revision, op, event.row));
                }
            }
        }
    }
}

/// Where an event's identity is kept.
pub(crate) fn route_event<R: Input>(row: &R, schema: &Schema) -> u64 {
    match row.identity(schema) {
        Some(Identity { wallet: Some(wallet), asset: Some(asset), .. }) => route(wallet, asset),
        Some(Identity { wallet: None, asset: Some(asset), .. }) => route_asset(asset),
        Some(Identity { id, .. }) => {
            let [low, high] = [id & u128::from(u64::MAX), id >> 64];
            mix(u64::try_from(low ^ high).unwrap_or_default())
        }
        None => 0,
    }
}

/// Turns events into rows that can be replaced and removed.
pub(crate) fn resolve<'s, R: Input>(
    events: StreamVec<'s, u64, Event<R>>,
    name: &str,
    schema: &Arc<Schema>,
) -> Coll<'s, R> {
    let by_route = Arc::clone(schema);
    let schema = Arc::clone(schema);
    let mut slots: FxHashMap<Identity, Slot<R>> = FxHashMap::default();
    let routed = events.exchange(move |event: &Event<R>| route_event(&event.row, &by_route));
    let rows =
        per_epoch(routed, &format!("relation {name}: resolve"), move |epoch, events, out| {
            let mut before: BTreeMap<Identity, Option<R>> = BTreeMap::new();
            for event in events.drain(..) {
                let Some(identity) = event.row.identity(&schema) else { continue };
                let slot = slots.entry(identity).or_insert(Slot { best: None, busted: None });
                before.entry(identity).or_insert_with(|| slot.held().cloned());
                slot.take(event);
            }
            for (identity, old) in before {
                let new = slots.get(&identity).and_then(Slot::held);
                if old.as_ref() != new {
                    out.extend(new.map(|row| (row.clone(), epoch, 1)));
                    out.extend(old.map(|row| (row, epoch, -1)));
                }
            }
        });
    rows.as_collection()
}
