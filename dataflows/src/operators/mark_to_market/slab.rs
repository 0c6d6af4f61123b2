//! Things that are added one by one and stay where they are: no copy, and so no pause, as they grow.

/// Entries of a chunk, as a power of two.
const BITS: u32 = 10;
const CHUNK: usize = 1 << BITS;

/// Numbered from zero.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(super) fn len(&self) -> u32 {
        let Some(last) = self.chunks.last() else { return 0 };
        let len = (self.chunks.len() - 1) * CHUNK + last.len();
        u32::try_from(len).expect("fewer than 2^32 entries")
    }

    /// Adds an entry; gives its number.
    pub(super) fn push(&mut self, entry: T) -> u32 {
        let number = self.len();
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(entry),
            // Small slabs stay small; from the second chunk on, each is made whole.
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
            None => self.chunks.push(vec![entry]),
        }
        number
    }

    pub(super) fn get(&self, number: u32) -> &T {
        let number = usize_of(number);
        &self.chunks[number >> BITS][number % CHUNK]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        let number = usize_of(number);
        &mut self.chunks[number >> BITS][number % CHUNK]
    }
}

/// A number as an index.
pub(super) fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit an index")
}
