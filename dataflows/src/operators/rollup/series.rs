//! The buckets of one asset and level, by their start.

use std::collections::BTreeMap;

use types::VenueTime;

use super::log::TickRef;

/// A bar's place among those in memory.
pub(super) type Slot = u32;

/// No bar is in memory.
pub(super) const NO_SLOT: Slot = Slot::MAX;

/// One bucket that holds ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: VenueTime,
    /// Its bar; [`NO_SLOT`] for a cell whose bar was put away, to be rebuilt from its ticks.
    pub(super) slot: Slot,
    /// The newest tick of a cell whose bar was put away.
    pub(super) newest: TickRef,
}

/// Buckets by their start. Nearly all are added behind the last, and those stand in a plain list.
#[derive(Default)]
pub(super) struct Series {
    ascending: Vec<Entry>,
    others: BTreeMap<VenueTime, Entry>,
}

impl Series {
    /// Adds a bucket that isn't there; gives a hint where it stands.
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        if self.ascending.last().is_none_or(|last| last.start < entry.start) {
            if self.ascending.capacity() == 0 {
                self.ascending.reserve_exact(1);
            }
            self.ascending.push(entry);
        } else {
            self.others.insert(entry.start, entry);
        }
        u32::try_from(self.ascending.len() - 1).unwrap_or(u32::MAX)
    }

    /// A bucket, given a hint where it stood.
    pub(super) fn hinted(&mut self, hint: u32, start: VenueTime) -> Option<&mut Entry> {
        let hint = usize::try_from(hint).unwrap_or(usize::MAX);
        match self.ascending.get(hint) {
            Some(entry) if entry.start == start => self.ascending.get_mut(hint),
            _ => self.get_mut(start),
        }
    }

    pub(super) fn get_mut(&mut self, start: VenueTime) -> Option<&mut Entry> {
        match self.ascending.binary_search_by_key(&start, |entry| entry.start) {
            Ok(index) => self.ascending.get_mut(index),
            Err(_) => self.others.get_mut(&start),
        }
    }

    /// Takes a bucket out.
    pub(super) fn remove(&mut self, start: VenueTime) {
        match self.ascending.binary_search_by_key(&start, |entry| entry.start) {
            Ok(index) => drop(self.ascending.remove(index)),
            Err(_) => drop(self.others.remove(&start)),
        }
    }

    /// The buckets that start in `[from, to)`, in no order.
    pub(super) fn range(
        &self,
        from: VenueTime,
        to: VenueTime,
    ) -> impl Iterator<Item = Entry> + use<'_> {
        let first = self.ascending.partition_point(|entry| entry.start < from);
        let ascending = self.ascending[first..].iter().take_while(move |entry| entry.start < to);
        let others = self.others.range(from..to);
        ascending.chain(others.map(|(_, entry)| entry)).copied()
    }
}
