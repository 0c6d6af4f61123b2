//! Sorting more than memory holds.

mod runs;

use std::io;

pub(crate) use runs::{Equal, Merged, Runs, n_shared, read_length, write_length};

/// Bytes that one record takes beside its key and value.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Sorts pairs of bytes by key; equal keys keep the order in which they came.
pub(crate) struct Sorter {
    max_bytes: usize,
    /// Keys and values, one behind the other.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    runs: Runs,
}

/// Where a pair stands in the arena; a greater start came later.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    n_key: u32,
    n_value: u32,
}

impl Sorter {
    /// Makes a sorter that keeps about `max_bytes` in memory; what is more goes to disk.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, arena: Vec::new(), entries: Vec::new(), runs: Runs::default() }
    }

    /// Takes a pair.
    ///
    /// # Errors
    /// Where the temporary file can't be written, or a pair is larger than 4 GiB.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let size = key.len() + value.len() + ENTRY_BYTES;
        let held = self.arena.len() + self.entries.len() * ENTRY_BYTES;
        if held > 0 && held + size > self.max_bytes {
            self.write_run()?;
        }
        let n_key = u32::try_from(key.len()).map_err(io::Error::other)?;
        let n_value = u32::try_from(value.len()).map_err(io::Error::other)?;
        self.entries.push(Entry { start: self.arena.len(), n_key, n_value });
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        Ok(())
    }

    /// Gives the pairs in order.
    ///
    /// # Errors
    /// Where the temporary file can't be written or read.
    pub(crate) fn finish(mut self) -> io::Result<Sorted> {
        if self.runs.is_empty() {
            self.sort();
            let entries = self.entries.into_iter();
            return Ok(Sorted(State::Memory { arena: self.arena, entries }));
        }
        if !self.entries.is_empty() {
            self.write_run()?;
        }
        Ok(Sorted(State::Merge(self.runs.merge(self.max_bytes, Equal::All)?)))
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        // Of pairs with one start all but the last are empty.
        let place = |entry: &Entry| (entry.start, entry.n_value);
        self.entries.sort_unstable_by(|a, b| {
            key(arena, *a).cmp(key(arena, *b)).then_with(|| place(a).cmp(&place(b)))
        });
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.sort();
        self.runs.start()?;
        for entry in &self.entries {
            self.runs.push(key(&self.arena, *entry), value(&self.arena, *entry))?;
        }
        self.entries.clear();
        self.arena.clear();
        Ok(())
    }
}

fn key(arena: &[u8], entry: Entry) -> &[u8] {
    arena.get(entry.start..entry.start + length(entry.n_key)).unwrap_or_default()
}

fn value(arena: &[u8], entry: Entry) -> &[u8] {
    let start = entry.start + length(entry.n_key);
    arena.get(start..start + length(entry.n_value)).unwrap_or_default()
}

fn length(n: u32) -> usize {
    usize::try_from(n).expect("a usize has at least 32 bits")
}

/// The pairs in order.
pub(crate) struct Sorted(State);

enum State {
    /// They fitted.
    Memory { arena: Vec<u8>, entries: std::vec::IntoIter<Entry> },
    /// They are merged from runs.
    Merge(Merged),
}

impl Sorted {
    /// Reads the next pair into recycled vectors; false at the end.
    ///
    /// # Errors
    /// Where the temporary file can't be read.
    pub(crate) fn next_into(
        &mut self,
        into_key: &mut Vec<u8>,
        into_value: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let pair = match &mut self.0 {
            State::Memory { arena, entries } => {
                entries.next().map(|entry| (key(arena, entry), value(arena, entry)))
            }
            State::Merge(merged) => merged.next()?,
        };
        let Some((key, value)) = pair else { return Ok(false) };
        for (into, bytes) in [(into_key, key), (into_value, value)] {
            into.clear();
            into.extend_from_slice(bytes);
        }
        Ok(true)
    }
}

impl Iterator for Sorted {
    type Item = io::Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        match self.next_into(&mut key, &mut value) {
            Ok(true) => Some(Ok((key, value))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(max_bytes: usize, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut sorter = Sorter::new(max_bytes);
        for (key, value) in pairs {
            sorter.push(key, value).unwrap();
        }
        sorter.finish().unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sorts_as_memory_does_whatever_the_bound(
            pairs in prop::collection::vec(
                (prop::collection::vec(0u8..3, 0..4), prop::collection::vec(any::<u8>(), 0..40)),
                0..80,
            ),
            max_bytes in 0usize..2000,
        ) {
            let mut twin = pairs.clone();
            twin.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(sorted(max_bytes, &pairs), twin);
        }
    }

    #[test]
    fn empty_pairs_keep_their_place() {
        let mut pairs = vec![(vec![], vec![]); 40];
        for (place, pair) in pairs.iter_mut().enumerate() {
            pair.1.extend((place % 7 == 3).then_some(7));
        }
        for max_bytes in [0, 1_000, 100_000] {
            assert_eq!(sorted(max_bytes, &pairs), pairs);
        }
    }

    #[test]
    fn values_larger_than_bound_and_buffer_survive() {
        let large = |n: u8| (vec![n], vec![n; (600 << 10) + 1]);
        let pairs = [large(3), large(1), large(2)];
        assert_eq!(sorted(100, &pairs), [large(1), large(2), large(3)]);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(sorted(0, &[]), []);
    }
}
