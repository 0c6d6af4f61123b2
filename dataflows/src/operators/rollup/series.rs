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
    others: Option<Box<BTreeMap<VenueTime, Entry>>>,
}

impl Series {
    /// Adds a bucket that isn't there.
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.ascending.last().is_none_or(|last| last.start < entry.start) {
            if self.ascending.capacity() == 0 {
                self.ascending.reserve_exact(1);
            }
            self.ascending.push(entry);
        } else {
            self.others.get_or_insert_default().insert(entry.start, entry);
        }
    }

    pub(super) fn get_mut(&mut self, start: VenueTime) -> Option<&mut Entry> {
        // What is sought is nearly always among the last.
        let n = self.ascending.len();
        let near = n.saturating_sub(4);
        let index = match self.ascending.get(near) {
            Some(entry) if entry.start <= start => {
                near + self.ascending[near..].partition_point(|entry| entry.start < start)
            }
            _ => self.ascending[..near].partition_point(|entry| entry.start < start),
        };
        match self.ascending.get(index) {
            Some(entry) if entry.start == start => self.ascending.get_mut(index),
            _ => self.others.as_mut()?.get_mut(&start),
        }
    }

    /// Takes a bucket out.
    pub(super) fn remove(&mut self, start: VenueTime) {
        match self.ascending.binary_search_by_key(&start, |entry| entry.start) {
            Ok(index) => drop(self.ascending.remove(index)),
            Err(_) => {
                if let Some(others) = &mut self.others {
                    others.remove(&start);
                }
            }
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
        let others = self.others.iter().flat_map(move |others| others.range(from..to));
        ascending.chain(others.map(|(_, entry)| entry)).copied()
    }
}
