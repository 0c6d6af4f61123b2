//! An index: what of a key's hash places it, to the key's number.
//!
//! One word an entry and linear probing, so that a look takes one line of memory most of the time,
//! and the lines of many looks can be asked for before the first of them is needed.

use super::slab::index;

/// See the module.
pub(crate) struct Index {
    /// Fragment over number and one; zero where nothing is. As many as a power of two.
    slots: Vec<u64>,
    n_held: usize,
}

/// Slots of the first table.
const FIRST: usize = 16;

impl Index {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), n_held: 0 }
    }

    /// The slot where a search starts; for [`Index::find`].
    #[inline]
    pub(crate) fn home(&self, fragment: u32) -> u64 {
        self.slots.get(self.place(fragment)).copied().unwrap_or_default()
    }

    /// The number of the entry with this fragment that `is_it` says yes to. `home` is what
    /// [`Index::home`] gave.
    #[inline]
    pub(crate) fn find(
        &self,
        fragment: u32,
        home: u64,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let (mut slot, mut place) = (home, self.place(fragment));
        loop {
            if slot == 0 {
                return None;
            }
            let (high, number) = split(slot);
            if high == fragment && is_it(number - 1) {
                return Some(number - 1);
            }
            place = (place + 1) & self.mask();
            slot = self.slots[place];
        }
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, fragment: u32, number: u32) {
        // At most five slots in eight are used, so that searches stay short.
        if (self.n_held + 1) * 8 > self.slots.len() * 5 {
            let room = (self.slots.len() * 2).max(FIRST);
            let slots = std::mem::replace(&mut self.slots, vec![0; room]);
            for slot in slots.into_iter().filter(|slot| *slot != 0) {
                self.put(slot);
            }
        }
        self.put((u64::from(fragment) << 32) | (u64::from(number) + 1));
        self.n_held += 1;
    }

    fn put(&mut self, slot: u64) {
        let mut place = self.place(split(slot).0);
        while self.slots[place] != 0 {
            place = (place + 1) & self.mask();
        }
        self.slots[place] = slot;
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    fn place(&self, fragment: u32) -> usize {
        index(fragment) & self.mask()
    }
}

#[expect(clippy::as_conversions, reason = "takes both halves")]
#[expect(clippy::cast_possible_truncation, reason = "takes both halves")]
const fn split(slot: u64) -> (u32, u32) {
    ((slot >> 32) as u32, slot as u32)
}
