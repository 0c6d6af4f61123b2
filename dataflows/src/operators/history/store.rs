//! All keys of a worker, and what an epoch does to them.

use std::hash::Hash;
use std::rc::Rc;

use types::sabotage::{Safeguard, is_out};
use types::{Op, Span, VenueTime};

use super::late::Change;
use super::shard::{Shard, fragment};
use super::touched::{Extra, Touched, number};
use super::walk::Walk;
use super::{Fold, Packable};
use crate::cold::Cold;
use crate::operators::slab::{NONE, index};
use crate::revisions::Revision;

/// Shards of a worker: as many as the highest byte of a route tells apart.
const SHARDS: u64 = 256;

/// Keys whose memory is asked for together.
pub(crate) const BLOCK: usize = 32;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) shard: u32,
    pub(super) number: u32,
}

/// See the module.
pub(crate) struct Store<F: Fold> {
    pub(super) fold: F,
    pub(super) grids: Vec<Span>,
    pub(super) shards: Vec<Shard<F>>,
    pub(super) touched: Vec<Touched<F>>,
    /// What needs more than a place on the list; those behind `n_extras` wait for their next use.
    pub(super) extras: Vec<Extra<F>>,
    pub(super) n_extras: usize,
    /// For walks along what stood before an epoch.
    pub(super) old: Walk<F>,
    pub(super) cold: Rc<Cold>,
    /// The shard that sends out next what rests.
    next_spilled: usize,
    /// Bytes in memory from which it is worth to ask shards again: all of them were asked in vain.
    in_vain: usize,
}

/// A search that has asked for its first line of memory.
struct Look<F: Fold> {
    key: F::Key,
    shard: u32,
    fragment: u32,
    home: u32,
}

impl<F: Fold> Look<F>
where
    F::Key: Hash,
{
    #[inline]
    fn find(&self, store: &Store<F>) -> Option<Place> {
        let shard = &store.shards[index(self.shard)];
        let number = shard.find(self.key, self.fragment, self.home)?;
        Some(Place { shard: self.shard, number })
    }
}

impl<F: Fold> Store<F>
where
    F::Key: Hash,
{
    /// Starts without keys; states as of these grids' steps are told too.
    pub(crate) fn new(fold: F, grids: &[Span], cold: &Rc<Cold>) -> Self {
        Self {
            fold,
            grids: grids.to_vec(),
            shards: Shard::several(SHARDS, cold),
            touched: Vec::new(),
            extras: Vec::new(),
            n_extras: 0,
            old: Walk::new(grids),
            cold: Rc::clone(cold),
            next_spilled: 0,
            in_vain: 0,
        }
    }

    /// Where a key is, if it was ever seen.
    pub(crate) fn find(&self, key: F::Key) -> Option<Place> {
        self.look(key).find(self)
    }

    /// Where keys are. Their memory is asked for all at once: waiting for one after the other is most
    /// of what a store of millions of keys does.
    pub(crate) fn find_all(
        &self,
        keys: impl Iterator<Item = F::Key>,
        places: &mut Vec<Option<Place>>,
    ) {
        places.clear();
        let mut looks = [const { None }; BLOCK];
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let mut n = 0;
            for (look, key) in looks.iter_mut().zip(&mut keys) {
                *look = Some(self.look(key));
                n += 1;
            }
            let start = places.len();
            places.extend(looks[..n].iter().map(|look| look.as_ref()?.find(self)));
            self.warm(&places[start..]);
        }
    }

    /// Asks for the memory that appending to a block of keys needs. One stage after the other: what
    /// a stage reads says where the next one looks, and a processor that guessed wrong between two
    /// of them forgets what it had asked for.
    fn warm(&self, places: &[Option<Place>]) {
        let mut histories = [NONE; BLOCK];
        for (history, place) in histories.iter_mut().zip(places) {
            let Some(place) = place else { continue };
            *history = self.shards[index(place.shard)].deep_of(place.number);
        }
        let deep = || {
            let all = places.iter().zip(histories).filter(|(_, number)| *number != NONE);
            all.filter_map(|(place, number)| Some(((*place)?, number)))
        };
        let mut read = 0;
        for (place, number) in deep() {
            read ^= self.shards[index(place.shard)].deep_len(number);
        }
        for (place, number) in deep() {
            read ^= self.shards[index(place.shard)].deep_end(number);
        }
        std::hint::black_box(read);
    }

    #[inline]
    fn look(&self, key: F::Key) -> Look<F> {
        let route = F::route(key);
        let (shard, fragment) = (shard_of(route), fragment(route));
        Look { key, shard, fragment, home: self.shards[index(shard)].home(fragment) }
    }

    /// Adds a key that isn't there.
    pub(crate) fn add(&mut self, key: F::Key) -> Place {
        let shard = shard_of(F::route(key));
        Place { shard, number: self.shards[index(shard)].add(&self.fold, key) }
    }

    /// Adds a key that isn't there with its first event, which is no bust.
    #[inline]
    pub(crate) fn begin(&mut self, key: F::Key, revision: Revision, event: &impl Packable<F>) {
        if !revision.is_first {
            let place = self.add(key);
            return self.revise(place, revision, event);
        }
        self.touched.push(Touched {
            place: Place { shard: shard_of(F::route(key)), number: NONE },
            extra: 0,
            n_appended: 1,
            newest: VenueTime::MIN,
            old: self.fold.start(),
        });
        let n_touched = self.touched.len();
        let Touched { place, .. } = &mut self.touched[n_touched - 1];
        let shard = &mut self.shards[index(place.shard)];
        let (added, note) = shard.begin(&self.fold, key, event, number(n_touched));
        place.number = added;
        let place = *place;
        if let Some(note) = note {
            self.note(place, note);
        }
        if !revision.is_plain() {
            self.remember(place, revision, &event.event());
        }
    }

    /// Takes a bust of a key that isn't there: it waits.
    pub(crate) fn wait(&mut self, key: F::Key, revision: Revision, event: &F::Event) {
        if let Some(identity) = F::identity(event) {
            let shard = shard_of(F::route(key));
            self.shards[index(shard)].revisions.wait((key, identity), revision.number);
        }
    }

    /// Takes an event that counts against others of its identity.
    #[inline]
    pub(crate) fn revise(&mut self, place: Place, revision: Revision, event: &impl Packable<F>) {
        let is_row = revision.op != Op::Bust || is_out(Safeguard::FirstIsNoBust);
        let is_new = revision.is_first && is_row;
        if !is_new || !self.append(place, event) {
            return self.revise_late(place, revision, event.event());
        }
        if !revision.is_plain() {
            self.remember(place, revision, &event.event());
        }
    }

    /// Remembers more of the first event of an identity than that it stands.
    #[cold]
    fn remember(&mut self, place: Place, revision: Revision, event: &F::Event) {
        let shard = &mut self.shards[index(place.shard)];
        let key = shard.held.get(place.number).key;
        if let Some(identity) = F::identity(event) {
            shard.revisions.set_first((key, identity), revision);
        }
    }

    #[cold]
    fn revise_late(&mut self, place: Place, revision: Revision, event: F::Event) {
        if revision.is_first && revision.op == Op::Bust {
            let key = self.shards[index(place.shard)].held.get(place.number).key;
            return self.wait(key, revision, &event);
        }
        self.change_late(place, Change::Revise(revision, event));
    }

    /// Adds an event, or takes it out, as often as `diff` says.
    pub(crate) fn change(&mut self, place: Place, event: &impl Packable<F>, diff: isize) {
        if diff != 1 || !self.append(place, event) {
            self.change_late(place, Change::Edit(event.event(), diff));
        }
    }

    fn change_late(&mut self, place: Place, change: Change<F::Event>) {
        let extra = self.extra(place);
        self.extras[extra].changes.push(change);
        self.shards[index(place.shard)].held.get_mut(place.number).is_late = true;
    }

    /// Folds an event that comes in order; false where it doesn't, or the key is folded anew at the
    /// epoch's end.
    #[inline]
    fn append(&mut self, place: Place, event: &impl Packable<F>) -> bool {
        let time = event.time();
        let held = self.shards[index(place.shard)].held.get(place.number);
        let (has_notes, is_touched) = (held.has_notes, held.touched != 0);
        if held.is_late || (time <= held.newest && !self.is_in_order(place, event)) {
            return false;
        }
        if !is_touched {
            self.touch(place);
        }
        if has_notes || !self.grids.is_empty() {
            self.walk(place, time);
        }
        let shard = &mut self.shards[index(place.shard)];
        if let Some(note) = shard.append(&self.fold, place.number, event) {
            self.note(place, note);
        }
        true
    }

    /// Whether an event comes behind a key's newest, which isn't older than it.
    #[cold]
    fn is_in_order(&self, place: Place, event: &impl Packable<F>) -> bool {
        let shard = &self.shards[index(place.shard)];
        if event.time() < shard.held.get(place.number).newest {
            return is_out(Safeguard::AppendsInOrder);
        }
        is_out(Safeguard::TiesInOrder) || shard.wins_tie(place.number, &F::order(&event.event()))
    }

    /// Sends out of memory what rests, until no more is held than may be, or all shards had two turns:
    /// the first may only find what came since the one before.
    #[cold]
    pub(super) fn spill(&mut self) {
        if self.cold.held() <= self.in_vain {
            return;
        }
        self.in_vain = 0;
        for _ in 0..2 * self.shards.len() {
            self.shards[self.next_spilled].spill();
            self.next_spilled = (self.next_spilled + 1) % self.shards.len();
            if !self.cold.is_full() {
                return;
            }
        }
        if !self.cold.is_bare() {
            self.in_vain = self.cold.held().saturating_add(self.cold.held() / 8);
        }
    }

    /// Bytes of events in memory, counted one by one.
    #[cfg(test)]
    pub(super) fn n_bytes(&self) -> usize {
        self.shards.iter().map(Shard::n_bytes).sum()
    }

    /// How many pieces it has.
    #[cfg(test)]
    pub(super) fn n_pieces(&self) -> usize {
        self.shards.iter().map(Shard::n_pieces).sum()
    }
}

/// The shard of a route.
#[expect(clippy::as_conversions, reason = "eight bits fit")]
const fn shard_of(route: u64) -> u32 {
    (route >> 56) as u32
}
