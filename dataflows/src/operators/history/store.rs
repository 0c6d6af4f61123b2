//! All keys of a worker, and what an epoch does to them.

use std::hash::Hash;

use types::{Op, Span, VenueTime};

use super::late::{Change, is_plain};
use super::revisions::only_waits;
use super::shard::{Shard, Walks};
use super::slab::index;
use super::walk::Walk;
use super::{Fold, Revision, Sink};

/// Shards of a worker: as many as the highest byte of a route tells apart.
const SHARDS: u64 = 256;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    shard: u32,
    number: u32,
}

/// See the module.
pub(crate) struct Store<F: Fold> {
    fold: F,
    grids: Vec<Span>,
    shards: Vec<Shard<F>>,
    touched: Vec<Touched<F>>,
    /// What needs more than a place on the list; those behind `n_extras` wait for their next use.
    extras: Vec<Extra<F>>,
    n_extras: usize,
    /// For walks along what stood before an epoch.
    old: Walk<F>,
}

/// A key that an epoch touched.
struct Touched<F: Fold> {
    place: Place,
    n_appended: u32,
    /// Its number among the extras, from 1 on; 0 where it has none.
    extra: u32,
    /// The state before the epoch.
    old: F::State,
}

/// What an epoch knows of a key whose events aren't just appended, or are walked.
struct Extra<F: Fold> {
    changes: Vec<Change<F::Event>>,
    /// The time of the newest event before the epoch.
    newest: Option<VenueTime>,
    walk: Walk<F>,
}

impl<F: Fold> Store<F>
where
    F::Key: Hash,
{
    /// Starts without keys; states as of these grids' steps are told too.
    pub(crate) fn new(fold: F, grids: &[Span]) -> Self {
        Self {
            fold,
            grids: grids.to_vec(),
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            touched: Vec::new(),
            extras: Vec::new(),
            n_extras: 0,
            old: Walk::new(grids),
        }
    }

    /// Where a key is, if it was ever seen.
    pub(crate) fn find(&self, key: F::Key) -> Option<Place> {
        let route = F::route(key);
        let shard = shard_of(route);
        let number = self.shards[index(shard)].find(key, route)?;
        Some(Place { shard, number })
    }

    /// Adds a key that isn't there.
    pub(crate) fn add(&mut self, key: F::Key) -> Place {
        let route = F::route(key);
        let shard = shard_of(route);
        Place { shard, number: self.shards[index(shard)].add(&self.fold, key, route) }
    }

    /// Takes a bust of a key that isn't there: it waits.
    pub(crate) fn wait(&mut self, key: F::Key, revision: &Revision<F::Event>) {
        if let Some(identity) = F::identity(&revision.event) {
            let shard = shard_of(F::route(key));
            self.shards[index(shard)].revisions.wait(key, identity, revision.revision);
        }
    }

    /// Takes an event that counts against others of its identity.
    pub(crate) fn revise(&mut self, place: Place, revision: Revision<F::Event>) {
        let Revision { op, revision: number, is_first, .. } = revision;
        if only_waits::<F>(&revision) {
            let key = self.shards[index(place.shard)].held.get(place.number).key;
            return self.wait(key, &revision);
        }
        if is_first && op != Op::Bust && self.append(place, &revision.event) {
            if !is_plain(op, number)
                && let Some(identity) = F::identity(&revision.event)
            {
                let shard = &mut self.shards[index(place.shard)];
                let key = shard.held.get(place.number).key;
                shard.revisions.set_first(key, identity, op, number);
            }
            return;
        }
        let extra = self.extra(place);
        self.extras[extra].changes.push(Change::Revise(revision));
    }

    /// Adds an event, or takes it out, as often as `diff` says.
    pub(crate) fn change(&mut self, place: Place, event: F::Event, diff: isize) {
        if diff == 1 && self.append(place, &event) {
            return;
        }
        let extra = self.extra(place);
        self.extras[extra].changes.push(Change::Edit(event, diff));
    }

    /// Folds an event that comes in order; false where it doesn't.
    fn append(&mut self, place: Place, event: &F::Event) -> bool {
        let order = F::order(event);
        if !self.shards[index(place.shard)].is_in_order(place.number, &order) {
            return false;
        }
        let touched = self.touch(place);
        let extra = match self.touched[touched].extra {
            0 if self.grids.is_empty() => None,
            0 => Some(self.extra(place)),
            extra => Some(index(extra - 1)),
        };
        let shard = &mut self.shards[index(place.shard)];
        if let Some(extra) = extra {
            let Extra { changes, walk, .. } = &mut self.extras[extra];
            if !changes.is_empty() {
                return false;
            }
            walk.pass(F::time(&order), &shard.held.get(place.number).state);
        }
        let note = shard.append(&self.fold, place.number, event);
        self.touched[touched].n_appended += 1;
        if let Some(note) = note {
            let extra = self.extra(place);
            self.extras[extra].walk.notes.push(note);
        }
        true
    }

    /// Puts a key on the epoch's list; gives its index there.
    fn touch(&mut self, place: Place) -> usize {
        let held = self.shards[index(place.shard)].held.get_mut(place.number);
        if held.touched == 0 {
            let old = held.state.clone();
            self.touched.push(Touched { place, n_appended: 0, extra: 0, old });
            held.touched =
                u32::try_from(self.touched.len()).expect("an epoch touches fewer than 2^32 keys");
        }
        index(held.touched - 1)
    }

    /// The index of a key's extra.
    fn extra(&mut self, place: Place) -> usize {
        let touched = self.touch(place);
        let touched = &mut self.touched[touched];
        if touched.extra > 0 {
            return index(touched.extra - 1);
        }
        if self.n_extras == self.extras.len() {
            let walk = Walk::new(&self.grids);
            self.extras.push(Extra { changes: Vec::new(), newest: None, walk });
        }
        let held = self.shards[index(place.shard)].held.get(place.number);
        let extra = &mut self.extras[self.n_extras];
        extra.newest = held.last();
        extra.walk.restart(extra.newest);
        self.n_extras += 1;
        touched.extra =
            u32::try_from(self.n_extras).expect("an epoch touches fewer than 2^32 keys");
        self.n_extras - 1
    }

    /// Ends the epoch: what isn't folded yet is, and what changed is told.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink<F>) {
        let mut list = std::mem::take(&mut self.touched);
        for touched in list.drain(..) {
            let Touched { place, n_appended, extra, old } = touched;
            if extra > 0 {
                self.finish_extra(place, index(n_appended), index(extra - 1), &old);
            }
            let held = self.shards[index(place.shard)].held.get_mut(place.number);
            held.touched = 0;
            sink.state(held.key, &old, &held.state);
            if extra > 0 {
                self.extras[index(extra - 1)].walk.tell(&mut self.old, held.key, sink);
            }
        }
        self.touched = list;
        self.n_extras = 0;
    }

    /// Leaves an extra's walk with what a key has to say, and the old one with what it had.
    fn finish_extra(&mut self, place: Place, n_appended: usize, extra: usize, old: &F::State) {
        let Extra { changes, newest, walk } = &mut self.extras[extra];
        let shard = &mut self.shards[index(place.shard)];
        if !changes.is_empty() {
            let mut walks = Walks {
                old: &mut self.old,
                new: walk,
                observes: !self.grids.is_empty(),
                n_appended,
                is_unchanged: false,
            };
            walks.old.restart(None);
            shard.change(&self.fold, place.number, changes, &mut walks);
            if !walks.is_unchanged {
                return;
            }
        }
        // All that happened is that events were appended.
        self.old.restart(*newest);
        self.old.end(old);
        walk.end(&shard.held.get(place.number).state);
    }
}

/// The shard of a route.
#[expect(clippy::as_conversions, reason = "eight bits fit")]
const fn shard_of(route: u64) -> u32 {
    (route >> 56) as u32
}
