//! Revisions: events of one identity, in whatever order they come, become at most one row.
//!
//! Of inserts and corrections the greatest (revision, operation) stands; a bust removes its revision and
//! all earlier ones, and one that comes first waits (SEMANTICS section 2). What reads a relation sees
//! (held row, -1), (new row, +1).
//!
//! The row that stands is kept once. The first event of an identity, which most are, isn't looked up.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Exchange;
use types::relations::{Identity, Input};
use types::sabotage::{Safeguard, is_out};
use types::{Event, Op, Schema};

use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::operators::index::Index;
use crate::operators::slab::{Slab, index};
use crate::revisions::{Resolving, Revision, Revisions};
use crate::route::{mix, route, route_asset};

/// Where an event's identity is kept.
pub(crate) fn route_event<R: Input>(row: &R, schema: &Schema) -> u64 {
    match row.identity(schema) {
        Some(Identity { wallet: Some(wallet), asset: Some(asset), .. }) => route(wallet, asset),
        Some(Identity { wallet: None, asset: Some(asset), .. }) => route_asset(asset),
        Some(Identity { id, .. }) => mix(folded(id)),
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
    let routed = events.exchange(move |event: &Event<R>| route_event(&event.row, &by_route));
    let mut standing = Standing::new(Arc::clone(schema));
    let name = format!("relation {name}: resolve");
    let rows = per_epoch(routed, &name, move |epoch, events, out| {
        standing.take(events, |row, diff| out.push((row, epoch, diff)));
    });
    rows.as_collection()
}

/// The rows of a relation that stand on a worker.
struct Standing<R> {
    schema: Arc<Schema>,
    shards: Vec<Shard<R>>,
    revisions: Revisions<Identity>,
    /// Identities whose events of an epoch count against others.
    contested: HashSet<Identity, FxBuildHasher>,
}

/// The rows of a range of hashes; growth pauses one of many.
struct Shard<R> {
    index: Index,
    /// A row that stands no more leaves its place to the next of its identity.
    rows: Slab<Place<R>, 6>,
}

/// The place of an identity.
struct Place<R> {
    identity: Identity,
    row: Option<R>,
}

/// Shards: as many as the highest byte of a hash tells apart.
const SHARDS: u64 = 256;

impl<R: Input> Standing<R> {
    fn new(schema: Arc<Schema>) -> Self {
        let shard = |_| Shard { index: Index::new(), rows: Slab::new() };
        Self {
            schema,
            shards: (0..SHARDS).map(shard).collect(),
            revisions: Revisions::new(),
            contested: HashSet::with_hasher(FxBuildHasher),
        }
    }

    /// Takes an epoch's events and tells what changes.
    fn take(&mut self, events: &mut Vec<Event<R>>, mut tell: impl FnMut(R, isize)) {
        self.contested.clear();
        let against_others = |event: &&Event<R>| !event.is_first && !is_out(Safeguard::Contested);
        for event in events.iter().filter(against_others) {
            self.contested.extend(event.row.identity(&self.schema));
        }
        let mut contested: Vec<(Identity, Event<R>)> = Vec::new();
        for event in events.drain(..) {
            let Some(identity) = event.row.identity(&self.schema) else { continue };
            if !self.contested.is_empty() && self.contested.contains(&identity) {
                contested.push((identity, event));
                continue;
            }
            let revision = Revision::of(&event);
            if !revision.is_plain() {
                self.revisions.set_first(identity, revision);
            }
            if event.op != Op::Bust {
                self.shard(identity).put(identity, event.row.clone());
                tell(event.row, 1);
            }
        }
        // Stable: events of one identity stay as they came.
        contested.sort_by_key(|(identity, _)| *identity);
        let mut contested = contested.into_iter().peekable();
        while let Some((identity, event)) = contested.next() {
            let held = self.shard(identity).held(identity).and_then(|row| row.clone());
            let mut resolving = Resolving::new(self.revisions.get(identity), held);
            resolving.take(Revision::of(&event), event.row);
            while let Some((_, event)) = contested.next_if(|(next, _)| *next == identity) {
                resolving.take(Revision::of(&event), event.row);
            }
            let (known, leaves, enters) = resolving.finish();
            self.revisions.set(identity, known);
            if leaves.is_some() || enters.is_some() {
                let shard = self.shard(identity);
                if let Some(place) = shard.held(identity) {
                    place.clone_from(&enters);
                } else if let Some(row) = &enters {
                    shard.put(identity, row.clone());
                }
            }
            if let Some(row) = leaves {
                tell(row, -1);
            }
            if let Some(row) = enters {
                tell(row, 1);
            }
        }
    }

    fn shard(&mut self, identity: Identity) -> &mut Shard<R> {
        &mut self.shards[index(shard_and_fragment(identity).0)]
    }
}

impl<R> Shard<R> {
    /// Adds a row of an identity that has no place.
    fn put(&mut self, identity: Identity, row: R) {
        let Self { index, rows } = self;
        let fragment_of = |identity| shard_and_fragment(identity).1;
        index.insert(fragment_of(identity), |number| fragment_of(rows.get(number).identity));
        rows.push(Place { identity, row: Some(row) });
    }

    /// What stands in the place of an identity.
    fn held(&mut self, identity: Identity) -> Option<&mut Option<R>> {
        let fragment = shard_and_fragment(identity).1;
        let is_it = |number| self.rows.get(number).identity == identity;
        let number = self.index.find(fragment, self.index.home(fragment), is_it)?;
        Some(&mut self.rows.get_mut(number).row)
    }
}

/// Both halves of an id in one.
#[expect(clippy::as_conversions, reason = "takes both halves")]
#[expect(clippy::cast_possible_truncation, reason = "takes both halves")]
const fn folded(id: u128) -> u64 {
    (id as u64) ^ ((id >> 64) as u64)
}

/// The shard of an identity, and its place there.
#[expect(clippy::as_conversions, reason = "takes some of the bits")]
#[expect(clippy::cast_possible_truncation, reason = "takes some of the bits")]
fn shard_and_fragment(identity: Identity) -> (u32, u32) {
    let Identity { wallet, asset, id } = identity;
    let wallet = wallet.map_or(0, |wallet| u64::from(wallet.index()) + 1);
    let asset = asset.map_or(0, |asset| u64::from(asset.0) + 1);
    let hash = mix(mix(folded(id)) ^ (wallet << 32) ^ asset);
    ((hash >> 56) as u32, (hash >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use types::event::FOR_GOOD;
    use types::relations::Settlement;
    use types::{AssetId, Price, VenueTime};

    use super::*;

    /// The slow twin: what wins among all that came, and what was busted.
    #[derive(Default)]
    struct Slot {
        best: Option<(u64, Op, Settlement)>,
        busted: Option<u64>,
    }

    impl Slot {
        fn take(&mut self, event: &Event<Settlement>) {
            let wins = self.best.as_ref().is_none_or(|b| (event.revision, event.op) > (b.0, b.1));
            if event.op == Op::Bust {
                self.busted = self.busted.max(Some(event.revision));
            } else if wins {
                self.best = Some((event.revision, event.op, event.row.clone()));
            }
        }

        fn held(&self) -> Option<&Settlement> {
            let (revision, _, row) = self.best.as_ref()?;
            self.busted.is_none_or(|busted| *revision > busted).then_some(row)
        }
    }

    fn event() -> impl Strategy<Value = (Event<Settlement>, bool)> {
        let op = prop::sample::select(vec![Op::Insert, Op::Insert, Op::Correct, Op::Bust]);
        let revision = prop_oneof![3 => Just(0), 2 => 0..4u64, 1 => Just(FOR_GOOD)];
        (op, revision, 0..40u32, 0..3i128, prop::bool::weighted(0.2)).prop_map(
            |(op, revision, asset, payout, ends)| {
                let payout = Price::from_nano(payout).unwrap();
                let event_time = VenueTime::from_nanos(0);
                let row = Settlement { asset: AssetId(asset), payout, event_time, revision: 0 };
                (Event { op, revision, is_first: false, row }, ends)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn what_stands_equals_the_twin(
            events in prop::collection::vec(event(), 1..120), knows_first: bool,
        ) {
            let mut standing = Standing::new(Settlement::schema().shared());
            let mut twins: BTreeMap<AssetId, Slot> = BTreeMap::new();
            let mut rows: BTreeMap<AssetId, Settlement> = BTreeMap::new();
            let mut epoch = Vec::new();
            let n = events.len();
            for (i, (mut event, ends)) in events.into_iter().enumerate() {
                event.is_first = knows_first && !twins.contains_key(&event.row.asset);
                twins.entry(event.row.asset).or_default().take(&event);
                epoch.push(event);
                if !ends && i + 1 < n {
                    continue;
                }
                let mut changes = Vec::new();
                standing.take(&mut epoch, |row, diff| changes.push((row, diff)));
                for same in changes.chunk_by(|a, b| a.0.asset == b.0.asset) {
                    let asset = same[0].0.asset;
                    let (old, new) = match same {
                        [(old, -1), (new, 1)] => (Some(old), Some(new)),
                        [(old, -1)] => (Some(old), None),
                        [(new, 1)] => (None, Some(new)),
                        other => panic!("one old and one new row stand together: {other:?}"),
                    };
                    prop_assert_ne!(old, new);
                    prop_assert_eq!(rows.remove(&asset), old.cloned());
                    rows.extend(new.map(|new| (asset, new.clone())));
                }
                let held = twins.iter().filter_map(|(a, slot)| Some((*a, slot.held()?.clone())));
                prop_assert_eq!(&rows, &held.collect());
            }
        }
    }
}
