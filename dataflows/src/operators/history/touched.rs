//! What an epoch touches, until its end: states before it, changes that don't come in order, and what
//! is told at the end.

use std::hash::Hash;

use types::sabotage::{Safeguard, is_out};
use types::{Span, VenueTime};

use super::late::Change;
use super::shard::Walks;
use super::store::{BLOCK, Place, Store};
use super::walk::Walk;
use super::{Fold, Sink, Step};
use crate::operators::slab::index;

/// A key that an epoch touched.
pub(super) struct Touched<F: Fold> {
    pub(super) place: Place,
    /// Its number among the extras, from 1 on; 0 where it has none.
    pub(super) extra: u32,
    /// Events that were appended in the epoch, where steps are asked for; until it has an extra.
    pub(super) n_appended: u32,
    /// The time of its newest event before the epoch.
    pub(super) newest: VenueTime,
    /// The state before the epoch.
    pub(super) old: F::State,
}

/// What an epoch knows of a key whose events aren't just appended, or are walked.
pub(super) struct Extra<F: Fold> {
    pub(super) changes: Vec<Change<F::Event>>,
    /// Whether what stood before the epoch had something to say beside its state.
    observes: bool,
    /// If so, how many events were appended in the epoch; else, how many from the first on of which
    /// there was something to say.
    n_appended: usize,
    /// The time of the newest event before the epoch.
    newest: Option<VenueTime>,
    walk: Walk<F>,
}

impl<F: Fold> Store<F>
where
    F::Key: Hash,
{
    /// The fold has something to say of an event that was appended.
    #[cold]
    pub(super) fn note(&mut self, place: Place, note: F::Note) {
        let extra = self.extra(place);
        let extra = &mut self.extras[extra];
        extra.walk.notes.push(note);
        // From here on all that is appended is counted; this event may not have been.
        extra.n_appended = extra.n_appended.max(1);
        self.shards[index(place.shard)].held.get_mut(place.number).has_notes = true;
    }

    /// An event comes in order to a key that is walked.
    #[inline(never)]
    pub(super) fn walk(&mut self, place: Place, time: VenueTime) {
        let touched = self.touch(place);
        let held = self.shards[index(place.shard)].held.get(place.number);
        let Touched { extra, n_appended, .. } = &mut self.touched[touched];
        let is_of_last = |grid: &Span| held.newest.next_step(*grid) == time.next_step(*grid);
        // While all that comes in an epoch is of one step, the states before and behind it say all.
        if *extra == 0
            && !held.has_notes
            && (*n_appended == 0
                || self.grids.iter().all(is_of_last)
                || is_out(Safeguard::StepsClosed))
        {
            *n_appended += 1;
            return;
        }
        self.pass(place, time);
    }

    fn pass(&mut self, place: Place, time: VenueTime) {
        let extra = self.extra(place);
        let state = &self.shards[index(place.shard)].held.get(place.number).state;
        self.extras[extra].walk.pass(time, state);
        self.extras[extra].n_appended += 1;
    }

    /// Puts a key on the epoch's list; gives its index there.
    pub(super) fn touch(&mut self, place: Place) -> usize {
        let shard = &mut self.shards[index(place.shard)];
        let held = shard.held.get_mut(place.number);
        if held.touched == 0 {
            let (newest, old) = (held.newest, held.state.clone());
            self.touched.push(Touched { place, extra: 0, n_appended: 0, newest, old });
            held.touched = number(self.touched.len());
        }
        index(held.touched - 1)
    }

    /// The index of a key's extra.
    pub(super) fn extra(&mut self, place: Place) -> usize {
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
        extra.newest = (touched.newest > VenueTime::MIN).then_some(touched.newest);
        let has_notes = held.has_notes && !is_out(Safeguard::NotesRetold);
        extra.observes = has_notes || !self.grids.is_empty();
        extra.n_appended = index(touched.n_appended);
        extra.walk.restart(extra.newest);
        if touched.n_appended > 0 {
            // All of them are of one step.
            extra.walk.pass(held.newest, &touched.old);
        }
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

    fn finish_key(&mut self, touched: &Touched<F>, sink: &mut impl Sink<F>) {
        let Touched { place, extra, n_appended, newest, ref old } = *touched;
        if extra > 0 {
            self.finish_extra(place, index(extra - 1), old);
        }
        let held = self.shards[index(place.shard)].held.get_mut(place.number);
        held.touched = 0;
        held.is_late = false;
        sink.state(held.key, old, &held.state);
        if extra > 0 {
            self.extras[index(extra - 1)].walk.tell(&mut self.old, held.key, sink);
        } else if n_appended > 0 {
            for (grid, span) in self.grids.iter().enumerate() {
                let at = held.newest.next_step(*span);
                let stood = newest > VenueTime::MIN && newest.next_step(*span) == at;
                let (old, new) = (Some(old).filter(|_| stood), Some(&held.state));
                if old != new {
                    sink.step(held.key, grid, Step { at, old, new });
                }
            }
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
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a worker holds fewer than 2^32 events of a key, and keys")
}
