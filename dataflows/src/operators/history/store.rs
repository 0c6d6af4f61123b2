//! All keys of a worker, and what an epoch does to them.

use std::hash::Hash;
use std::rc::Rc;

use types::sabotage::{Safeguard, is_out};
use types::{Op, Span, VenueTime};

use super::late::Change;
use super::shard::{Shard, Walks, fragment};
use super::walk::Walk;
use super::{Fold, Incoming, Sink};
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
    cold: Rc<Cold>,
    /// The shard that sends out next what rests.
    next_spilled: usize,
    /// Bytes in memory from which it is worth to ask shards again: all of them were asked in vain.
    in_vain: usize,
}

/// A key that an epoch touched.
struct Touched<F: Fold> {
    place: Place,
    /// Its number among the extras, from 1 on; 0 where it has none.
    extra: u32,
    /// The state before the epoch.
    old: F::State,
}

/// What an epoch knows of a key whose events aren't just appended, or are walked.
struct Extra<F: Fold> {
    changes: Vec<Change<F::Event>>,
    /// Whether what stood before the epoch had something to say beside its state.
    observes: bool,
    /// If so, how many events were appended in the epoch; else, how many from the first on of which
    /// there was something to say.
    n_appended: usize,
    /// The time of the newest event before the epoch.
    newest: Option<VenueTime>,
    walk: Walk<F>,
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
    pub(crate) fn begin(&mut self, key: F::Key, revision: Revision, event: &impl Incoming<F>) {
        if !revision.is_first || !self.grids.is_empty() {
            let place = self.add(key);
            return self.revise(place, revision, event);
        }
        self.touched.push(Touched {
            place: Place { shard: shard_of(F::route(key)), number: NONE },
            extra: 0,
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
    pub(crate) fn revise(&mut self, place: Place, revision: Revision, event: &impl Incoming<F>) {
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
    pub(crate) fn change(&mut self, place: Place, event: &impl Incoming<F>, diff: isize) {
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
    fn append(&mut self, place: Place, event: &impl Incoming<F>) -> bool {
        let time = event.time();
        let held = self.shards[index(place.shard)].held.get(place.number);
        let (is_walked, is_touched) = (held.has_notes, held.touched != 0);
        if held.is_late || (time <= held.newest && !self.is_in_order(place, event)) {
            return false;
        }
        if !is_touched {
            self.touch(place);
        }
        if is_walked || !self.grids.is_empty() {
            self.pass(place, time);
        }
        let shard = &mut self.shards[index(place.shard)];
        if let Some(note) = shard.append(&self.fold, place.number, event) {
            self.note(place, note);
        }
        true
    }

    /// The fold has something to say of an event that was appended.
    #[cold]
    fn note(&mut self, place: Place, note: F::Note) {
        let extra = self.extra(place);
        let extra = &mut self.extras[extra];
        extra.walk.notes.push(note);
        // From here on all that is appended is counted; this event may not have been.
        extra.n_appended = extra.n_appended.max(1);
        self.shards[index(place.shard)].held.get_mut(place.number).has_notes = true;
    }

    /// Whether an event comes behind a key's newest, which isn't older than it.
    #[cold]
    fn is_in_order(&self, place: Place, event: &impl Incoming<F>) -> bool {
        let shard = &self.shards[index(place.shard)];
        if event.time() < shard.held.get(place.number).newest {
            return is_out(Safeguard::AppendsInOrder);
        }
        is_out(Safeguard::TiesInOrder) || shard.wins_tie(place.number, &F::order(&event.event()))
    }

    /// An event comes in order to a key that is walked.
    #[inline(never)]
    fn pass(&mut self, place: Place, time: VenueTime) {
        let extra = self.extra(place);
        let state = &self.shards[index(place.shard)].held.get(place.number).state;
        self.extras[extra].walk.pass(time, state);
        self.extras[extra].n_appended += 1;
    }

    /// Puts a key on the epoch's list; gives its index there.
    fn touch(&mut self, place: Place) -> usize {
        let shard = &mut self.shards[index(place.shard)];
        let held = shard.held.get_mut(place.number);
        if held.touched == 0 {
            let old = held.state.clone();
            self.touched.push(Touched { place, extra: 0, old });
            held.touched = number(self.touched.len());
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
            let (changes, newest) = (Vec::new(), None);
            self.extras.push(Extra { changes, observes: false, n_appended: 0, newest, walk });
        }
        let held = self.shards[index(place.shard)].held.get(place.number);
        let extra = &mut self.extras[self.n_extras];
        extra.newest = held.last();
        let has_notes = held.has_notes && !is_out(Safeguard::NotesRetold);
        extra.observes = has_notes || !self.grids.is_empty();
        extra.n_appended = 0;
        extra.walk.restart(extra.newest);
        self.n_extras += 1;
        touched.extra = number(self.n_extras);
        self.n_extras - 1
    }

    /// Ends the epoch: what isn't folded yet is, and what changed is told.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink<F>) {
        let mut list = std::mem::take(&mut self.touched);
        sink.expect(list.len());
        let mut start = 0;
        while start < list.len() {
            let block = start..list.len().min(start + BLOCK);
            start = block.end;
            let mut warm = 0;
            for Touched { place, .. } in &list[block.clone()] {
                let held = self.shards[index(place.shard)].held.get(place.number);
                warm ^= i64::from(held.touched) ^ held.newest.nanos();
            }
            std::hint::black_box(warm);
            for touched in &list[block] {
                self.finish_key(touched, sink);
            }
        }
        list.clear();
        self.touched = list;
        self.n_extras = 0;
        if self.cold.is_full() {
            self.spill();
        }
    }

    /// Sends out of memory what rests, until no more is held than may be, or all shards had two turns:
    /// the first may only find what came since the one before.
    #[cold]
    fn spill(&mut self) {
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

    fn finish_key(&mut self, touched: &Touched<F>, sink: &mut impl Sink<F>) {
        let Touched { place, extra, ref old } = *touched;
        if extra > 0 {
            self.finish_extra(place, index(extra - 1), old);
        }
        let held = self.shards[index(place.shard)].held.get_mut(place.number);
        held.touched = 0;
        held.is_late = false;
        sink.state(held.key, old, &held.state);
        if extra > 0 {
            self.extras[index(extra - 1)].walk.tell(&mut self.old, held.key, sink);
        }
    }

    /// Leaves an extra's walk with what a key has to say, and the old one with what it had.
    fn finish_extra(&mut self, place: Place, extra: usize, old: &F::State) {
        let Extra { changes, observes, n_appended, newest, walk } = &mut self.extras[extra];
        let shard = &mut self.shards[index(place.shard)];
        if !changes.is_empty() {
            let mut walks = Walks {
                old: &mut self.old,
                new: walk,
                observes: *observes,
                n_appended: *n_appended,
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

/// A count as a number.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a worker holds fewer than 2^32 events of a key, and keys")
}

/// The shard of a route.
#[expect(clippy::as_conversions, reason = "eight bits fit")]
const fn shard_of(route: u64) -> u32 {
    (route >> 56) as u32
}
