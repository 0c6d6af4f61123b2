//! One range of hashes: its keys, their states and their histories.

use std::hash::Hash;
use std::rc::Rc;

use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::deep::Deep;
use super::late::{Change, Kept, Lookup, Search, edits, merge};
use super::log::Log;
use super::walk::Walk;
use super::{Fold, Packable};
use crate::cold::Cold;
use crate::operators::index::Index;
use crate::operators::slab::{NONE, Slab};
use crate::revisions::Revisions;

/// Events that a history may hold in the log.
const SHALLOW: usize = 16;

/// One key. With the ledger's state it is two lines of memory: a search reads the one, what comes
/// behind it asks for the other.
#[repr(C, align(64))]
pub(super) struct Held<F: Fold> {
    pub(super) key: F::Key,
    /// When its newest event happened.
    pub(super) newest: VenueTime,
    /// The state after all events; while changes wait for the epoch's end, after those before.
    pub(super) state: F::State,
    /// Its newest event in the log, or its number among the deep histories.
    events: u32,
    /// Its number on the epoch's list of touched keys, from 1 on; 0 while it isn't there.
    pub(super) touched: u32,
    common: F::Common,
    n_shallow: u8,
    is_deep: bool,
    /// Whether the epoch changes more of it than the end.
    pub(super) is_late: bool,
    /// Whether the fold ever said something of its events.
    pub(super) has_notes: bool,
}

impl<F: Fold> Held<F> {
    fn is_empty(&self) -> bool {
        !self.is_deep && self.n_shallow == 0
    }
}

/// See the module.
pub(super) struct Shard<F: Fold> {
    index: Index,
    pub(super) held: Slab<Held<F>, 10>,
    log: Log<F>,
    deep: Slab<Deep<F>, 6>,
    aside: F::Aside,
    cold: Rc<Cold>,
    pub(super) revisions: Revisions<(F::Key, u128)>,
}

/// What of a route places a key within its shard. Neither the lowest bits, which say the worker,
/// nor the highest, which say the shard.
#[expect(clippy::as_conversions, reason = "takes 32 of the bits")]
#[expect(clippy::cast_possible_truncation, reason = "takes 32 of the bits")]
pub(super) const fn fragment(route: u64) -> u32 {
    (route >> 16) as u32
}

impl<F: Fold> Shard<F>
where
    F::Key: Hash,
{
    /// Some empty shards of one store.
    pub(super) fn several(n: u64, cold: &Rc<Cold>) -> Vec<Self> {
        let log = Log::new(cold);
        (0..n).map(|_| Self::new(log.beside(), cold)).collect()
    }

    fn new(log: Log<F>, cold: &Rc<Cold>) -> Self {
        Self {
            index: Index::new(),
            held: Slab::new(),
            log,
            cold: Rc::clone(cold),
            deep: Slab::new(),
            aside: F::Aside::default(),
            revisions: Revisions::new(),
        }
    }

    /// The index's first word of a search.
    #[inline]
    pub(super) fn home(&self, fragment: u32) -> u32 {
        self.index.home(fragment)
    }

    /// The number of a key; `home` is what [`Shard::home`] gave.
    #[inline]
    pub(super) fn find(&self, key: F::Key, fragment: u32, home: u32) -> Option<u32> {
        self.index.find(fragment, home, |number| {
            self.held.get(number).key == key || is_out(Safeguard::KeysCompared)
        })
    }

    /// The number of a key's deep history; none where it has none.
    #[inline]
    pub(super) fn deep_of(&self, number: u32) -> u32 {
        let held = self.held.get(number);
        if held.is_deep { held.events } else { NONE }
    }

    /// How many events stand open in a deep history.
    #[inline]
    pub(super) fn deep_len(&self, number: u32) -> usize {
        self.deep.get(number).n_open()
    }

    /// Something of where a deep history ends.
    #[inline]
    pub(super) fn deep_end(&self, number: u32) -> usize {
        let newest = self.deep.get(number).newest();
        newest.map_or(0, |event| usize::from(F::packed_time(event) > VenueTime::MIN))
    }

    /// Adds a key; gives its number.
    pub(super) fn add(&mut self, fold: &F, key: F::Key) -> u32 {
        self.put(Held {
            state: fold.start(),
            key,
            newest: VenueTime::MIN,
            events: NONE,
            touched: 0,
            is_late: false,
            common: F::Common::default(),
            n_shallow: 0,
            is_deep: false,
            has_notes: false,
        })
    }

    /// Adds a key with its first event; gives its number and what the fold has to say. `touched` is
    /// its number on the epoch's list.
    #[inline]
    pub(super) fn begin(
        &mut self,
        fold: &F,
        key: F::Key,
        event: &impl Packable<F>,
        touched: u32,
    ) -> (u32, Option<F::Note>) {
        let (mut state, mut common) = (fold.start(), F::Common::default());
        let packed = event.pack(&mut common, &mut self.aside);
        let note = fold.step(&mut state, &packed, common, &self.aside);
        let events = self.log.push(packed, NONE);
        let number = self.put(Held {
            key,
            newest: F::packed_time(&packed),
            state,
            events,
            touched,
            is_late: false,
            common,
            n_shallow: 1,
            is_deep: false,
            has_notes: false,
        });
        (number, note)
    }

    fn put(&mut self, held: Held<F>) -> u32 {
        let Self { index, held: all, .. } = self;
        let fragment_of = |key| fragment(F::route(key));
        index.insert(fragment_of(held.key), |number| fragment_of(all.get(number).key));
        all.push(held)
    }

    /// Whether an event comes behind all events of a key, of which the newest is of the same time.
    #[cold]
    pub(super) fn wins_tie(&self, number: u32, order: &F::Order) -> bool {
        let held = self.held.get(number);
        let newest = if held.is_deep {
            self.deep.get(held.events).newest().copied()
        } else {
            (!held.is_empty()).then(|| self.log.get(held.events))
        };
        newest.is_none_or(|newest| F::packed_order(&newest, &self.aside) <= *order)
    }

    /// Keeps an event that comes in order and folds it in.
    #[inline]
    pub(super) fn append(
        &mut self,
        fold: &F,
        number: u32,
        event: &impl Packable<F>,
    ) -> Option<F::Note> {
        let Self { held, log, deep, aside, cold, .. } = self;
        let held = held.get_mut(number);
        let packed = event.pack(&mut held.common, aside);
        if held.is_deep {
            let history = deep.get_mut(held.events);
            let before = history.n_bytes;
            history.push(packed, &held.state, aside);
            if history.n_bytes != before {
                cold.resize(before, history.n_bytes);
            }
        } else if usize::from(held.n_shallow) < SHALLOW {
            held.events = log.push(packed, held.events);
            held.n_shallow += 1;
        } else {
            let mut history = Deep::behind(held.events, held.state.clone(), number);
            history.push(packed, &held.state, aside);
            cold.resize(0, history.n_bytes);
            held.events = deep.push(history);
            held.is_deep = true;
        }
        held.newest = F::packed_time(&packed);
        fold.step(&mut held.state, &packed, held.common, aside)
    }

    /// Applies what an epoch changed of a key out of order, and folds it anew. The walks are left
    /// with what the history had to say before the epoch and has now.
    pub(super) fn change(
        &mut self,
        fold: &F,
        number: u32,
        changes: &mut Vec<Change<F::Event>>,
        walks: &mut Walks<'_, F>,
    ) {
        let Self { held, log, deep, aside, cold, revisions, .. } = self;
        let held = held.get_mut(number);
        let mut kept = Kept { rules: fold, common: &mut held.common, aside, cold };
        if held.is_deep {
            let deep = deep.get_mut(held.events);
            let before = deep.n_bytes;
            deep.settle(fold, log, kept.aside);
            cold.resize(before, deep.n_bytes);
            let find = |lookups: &mut [Lookup<F>]| deep.find(lookups, &kept);
            let edits = edits(changes, held.key, revisions, find);
            let refolds_last = is_out(Safeguard::RefoldsFromFirst);
            let first = if refolds_last { edits.last() } else { edits.first() };
            let Some(first) = first else { return walks.unchanged() };
            let mut start = deep.start_before(first.order, kept.aside);
            // What the epoch appended may have had something to say, which is told anew.
            if (walks.observes || held.has_notes) && !is_out(Safeguard::WalksAppended) {
                start = start.min(deep.start_of_newest(walks.n_appended));
            }
            if walks.observes {
                walks.old.restart(deep.time_before(start));
                deep.walk(start, walks.n_appended, &kept, walks.old);
            }
            walks.new.restart(deep.time_before(start));
            let before = deep.n_bytes;
            deep.change(&edits, &mut kept);
            held.state = deep.fold(start, &kept, walks.new);
            cold.resize(before, deep.n_bytes);
            held.newest = deep.newest().map_or(VenueTime::MIN, F::packed_time);
        } else {
            let (places, mut events): (Vec<u32>, Vec<F::Packed>) =
                log.newest_first(held.events).unzip();
            events.reverse();
            let find = |lookups: &mut [Lookup<F>]| {
                Search::new(lookups).look(events.iter().rev(), &kept);
            };
            let edits = edits(changes, held.key, revisions, find);
            if edits.is_empty() {
                return walks.unchanged();
            }
            if walks.observes {
                walks.old.restart(None);
                let mut state = fold.start();
                let n_old = events.len().saturating_sub(walks.n_appended);
                kept.fold(&events[..n_old], &mut state, walks.old);
                walks.old.end(&state);
            }
            log.free(places);
            let events = merge(&events, &edits, &mut kept);
            walks.new.restart(None);
            held.newest = events.last().map_or(VenueTime::MIN, F::packed_time);
            if events.len() > SHALLOW {
                let mut history = Deep::new(fold, events, number);
                let start = history.start_of_newest(usize::MAX);
                held.state = history.fold(start, &kept, walks.new);
                cold.resize(0, history.n_bytes);
                held.events = deep.push(history);
                held.is_deep = true;
            } else {
                held.state = fold.start();
                kept.fold(&events, &mut held.state, walks.new);
                walks.new.end(&held.state);
                held.n_shallow = 0;
                held.events = NONE;
                for event in events {
                    held.events = log.push(event, held.events);
                    held.n_shallow += 1;
                }
            }
        }
        held.has_notes |= !walks.new.notes.is_empty();
    }

    /// Sends out of memory what rests. Only between epochs: a key's state must be that behind all
    /// its events.
    pub(super) fn spill(&mut self) {
        let Self { held, log, deep, aside, cold, .. } = self;
        log.spill();
        for number in 0..deep.len() {
            let history = deep.get_mut(number);
            let before = history.n_bytes;
            history.spill(&held.get(history.owner).state, aside, cold);
            cold.resize(before, history.n_bytes);
        }
    }

    /// Bytes of events in memory.
    ///
    /// # Panics
    /// If the log holds other events than keys do.
    #[cfg(test)]
    pub(super) fn n_bytes(&self) -> usize {
        let held = (0..self.held.len()).map(|number| self.held.get(number));
        let is_logged = |held: &&Held<F>| !held.is_deep || self.deep.get(held.events).is_logged();
        let shallow = held.filter(is_logged).map(|held| usize::from(held.n_shallow));
        assert_eq!(self.log.n_events(), shallow.sum::<usize>(), "events of the log");
        let deep = (0..self.deep.len()).map(|number| self.deep.get(number).counted());
        self.log.counted() + deep.sum::<usize>()
    }

    /// How many pieces it has.
    #[cfg(test)]
    pub(super) fn n_pieces(&self) -> usize {
        let deep = (0..self.deep.len()).map(|number| self.deep.get(number).n_pieces());
        self.log.n_pieces() + deep.sum::<usize>()
    }
}

/// How a key's changes are walked.
pub(super) struct Walks<'a, F: Fold> {
    /// The history before the epoch, where that may have had something to say.
    pub(super) old: &'a mut Walk<F>,
    /// The history as it is now.
    pub(super) new: &'a mut Walk<F>,
    /// Whether the history has notes, or steps are asked for.
    pub(super) observes: bool,
    /// How many events were appended in this epoch.
    pub(super) n_appended: usize,
    /// Whether nothing changed but for what was appended.
    pub(super) is_unchanged: bool,
}

impl<F: Fold> Walks<'_, F> {
    fn unchanged(&mut self) {
        self.is_unchanged = true;
    }
}
