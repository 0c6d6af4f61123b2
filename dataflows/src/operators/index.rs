//! An index: what of a key's hash places it, to the key's number.
//!
//! Half a word an entry and linear probing, so that a look takes one line of memory most of the
//! time, the index of millions of keys stays near the processor, and the lines of many looks can be
//! asked for before the first of them is needed.

use super::slab::index;

/// See the module.
pub(crate) struct Index {
    /// The highest bits of a fragment over number and one; zero where nothing is. As many as a power
    /// of two.
    slots: Vec<u32>,
    n_held: u32,
}

/// Slots of the first table.
const FIRST: usize = 16;

/// Bits of a number.
const NUMBER: u32 = 24;
const NUMBERS: u32 = (1 << NUMBER) - 1;

impl Index {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), n_held: 0 }
    }

    /// The slot where a search starts; for [`Index::find`].
    #[inline]
    pub(crate) fn home(&self, fragment: u32) -> u32 {
        self.slots.get(self.place(fragment)).copied().unwrap_or_default()
    }

    /// The number of the entry with this fragment that `is_it` says yes to. `home` is what
    /// [`Index::home`] gave.
    #[inline]
    pub(crate) fn find(
        &self,
        fragment: u32,
        home: u32,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let (mut slot, mut place) = (home, self.place(fragment));
        loop {
            if slot == 0 {
                return None;
            }
            let number = (slot & NUMBERS) - 1;
            if (slot ^ fragment) >> NUMBER == 0 && is_it(number) {
                return Some(number);
            }
            place = (place + 1) & self.mask();
            slot = self.slots[place];
        }
    }

    /// Adds an entry; gives its number, which is that of entries before it. `fragment_of` says the
    /// fragments of those.
    ///
    /// # Panics
    /// From 2^24 - 1 entries on.
    pub(crate) fn insert(&mut self, fragment: u32, fragment_of: impl Fn(u32) -> u32) -> u32 {
        let number = self.n_held;
        assert!(number < NUMBERS, "a shard holds fewer than 2^24 - 1 things");
        // At most five slots in eight are used, so that searches stay short.
        if (index(number) + 1) * 8 > self.slots.len() * 5 {
            self.slots = vec![0; (self.slots.len() * 2).max(FIRST)];
            for number in 0..number {
                self.put(fragment_of(number), number);
            }
        }
        self.put(fragment, number);
        self.n_held += 1;
        number
    }

    fn put(&mut self, fragment: u32, number: u32) {
        let mut place = self.place(fragment);
        while self.slots[place] != 0 {
            place = (place + 1) & self.mask();
        }
        self.slots[place] = (fragment & !NUMBERS) | (number + 1);
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    fn place(&self, fragment: u32) -> usize {
        index(fragment) & self.mask()
    }
}
