//! Things by number, in blocks: growth never moves what is there, so it never pauses for long.

/// Stands for no number.
pub(crate) const NONE: u32 = u32::MAX;

/// A number as an index.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Things by number. Blocks hold `1 << SHIFT` of them; the first grows, so that small stores stay
/// small.
#[derive(Debug)]
pub(crate) struct Slab<T, const SHIFT: u32> {
    blocks: Vec<Vec<T>>,
    len: u32,
}

impl<T, const SHIFT: u32> Slab<T, SHIFT> {
    const MASK: u32 = (1 << SHIFT) - 1;

    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }

    /// Adds a thing; gives its number.
    ///
    /// # Panics
    /// From 2^32 - 1 things on.
    pub(crate) fn push(&mut self, thing: T) -> u32 {
        let number = self.len;
        assert!(number < NONE, "a shard holds fewer than 2^32 - 1 things");
        if number & Self::MASK == 0 {
            let room = if number == 0 { 0 } else { 1 << SHIFT };
            self.blocks.push(Vec::with_capacity(room));
        }
        self.blocks[index(number >> SHIFT)].push(thing);
        self.len += 1;
        number
    }

    /// How many things there are; their numbers are those below.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// The thing with a number.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn get(&self, number: u32) -> &T {
        &self.blocks[index(number >> SHIFT)][index(number & Self::MASK)]
    }

    /// As [`Slab::get`], to change it.
    pub(crate) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.blocks[index(number >> SHIFT)][index(number & Self::MASK)]
    }
}
