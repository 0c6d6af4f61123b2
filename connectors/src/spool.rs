//! Sorting more than memory holds: runs in an unnamed temporary file, merged on the way out.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

/// Bytes that one record takes beside its key and value.
const ENTRY_BYTES: usize = size_of::<Entry>();
/// Bytes in front of each record on disk: the lengths of key and value.
const HEADER_BYTES: usize = 8;
/// Least and greatest buffer of one run while runs are merged.
pub(crate) const RUN_BUFFER_BYTES: (usize, usize) = (4 << 10, 256 << 10);

/// Sorts pairs of bytes by key; equal keys keep the order in which they came.
pub(crate) struct Sorter {
    max_bytes: usize,
    /// Keys and values, one behind the other.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    spill: Option<Spill>,
}

/// Where a pair stands in the arena; a greater start came later.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    n_key: u32,
    n_value: u32,
}

/// All runs, one behind the other in one file, so that many runs don't take many descriptors.
struct Spill {
    file: BufWriter<File>,
    /// Where the next run starts.
    end: u64,
    runs: Vec<(u64, u64)>,
}

impl Sorter {
    /// Makes a sorter that keeps about `max_bytes` in memory; what is more goes to disk.
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, arena: Vec::new(), entries: Vec::new(), spill: None }
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
        if self.spill.is_some() && !self.entries.is_empty() {
            self.write_run()?;
        }
        let Some(Spill { file, runs, .. }) = self.spill.take() else {
            self.sort();
            let entries = self.entries.into_iter();
            return Ok(Sorted(State::Memory { arena: self.arena, entries }));
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let n_buffer =
            (self.max_bytes / runs.len().max(1)).clamp(RUN_BUFFER_BYTES.0, RUN_BUFFER_BYTES.1);
        let mut heads = Vec::with_capacity(runs.len());
        for (index, (start, end)) in runs.into_iter().enumerate() {
            let run = Run::new((start, end), n_buffer);
            let mut head = Head { key: Vec::new(), value: Vec::new(), index, run };
            if head.advance(&file)? {
                heads.push(head);
            }
        }
        Ok(Sorted(State::Merge { file, heads: BinaryHeap::from(heads) }))
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
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill {
                file: BufWriter::with_capacity(RUN_BUFFER_BYTES.1, tempfile::tempfile()?),
                end: 0,
                runs: Vec::new(),
            }),
        };
        let start = spill.end;
        for entry in &self.entries {
            let (key, value) = (key(&self.arena, *entry), value(&self.arena, *entry));
            spill.file.write_all(&entry.n_key.to_le_bytes())?;
            spill.file.write_all(&entry.n_value.to_le_bytes())?;
            spill.file.write_all(key)?;
            spill.file.write_all(value)?;
            let length = HEADER_BYTES + key.len() + value.len();
            spill.end += u64::try_from(length).map_err(io::Error::other)?;
        }
        spill.runs.push((start, spill.end));
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
    /// They are merged from runs; each that isn't at its end has a head.
    Merge { file: File, heads: BinaryHeap<Head> },
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
        match &mut self.0 {
            State::Memory { arena, entries } => {
                let Some(entry) = entries.next() else { return Ok(false) };
                into_key.clear();
                into_key.extend_from_slice(key(arena, entry));
                into_value.clear();
                into_value.extend_from_slice(value(arena, entry));
            }
            State::Merge { file, heads } => {
                let Some(mut head) = heads.peek_mut() else { return Ok(false) };
                std::mem::swap(into_key, &mut head.key);
                std::mem::swap(into_value, &mut head.value);
                if !head.advance(file)? {
                    PeekMut::pop(head);
                }
            }
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

/// The next pair of a run.
struct Head {
    key: Vec<u8>,
    value: Vec<u8>,
    /// Earlier runs hold what came earlier.
    index: usize,
    run: Run,
}

impl Head {
    /// Reads the run's next pair; false at its end.
    fn advance(&mut self, file: &File) -> io::Result<bool> {
        if self.run.is_at_end() {
            return Ok(false);
        }
        let n_key = self.run.read_length(file)?;
        let n_value = self.run.read_length(file)?;
        self.key.clear();
        self.run.read_onto(file, n_key, &mut self.key)?;
        self.value.clear();
        self.run.read_onto(file, n_value, &mut self.value)?;
        Ok(true)
    }
}

/// The heap gives its greatest, so that the least key, then the earliest run, is the greatest.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// A run that is read in pieces.
pub(crate) struct Run {
    /// What of the file isn't in the buffer yet.
    at: u64,
    end: u64,
    n_buffer: usize,
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    read: usize,
}

impl Run {
    /// Starts at the first of the bytes from `start` to `end`.
    pub(crate) const fn new((start, end): (u64, u64), n_buffer: usize) -> Self {
        Self { at: start, end, n_buffer, buffer: Vec::new(), read: 0 }
    }

    /// Whether all was read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.at == self.end && self.read == self.buffer.len()
    }

    fn read_length(&mut self, file: &File) -> io::Result<usize> {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.read_byte(file)?;
        }
        Ok(length(u32::from_le_bytes(bytes)))
    }

    /// Reads one byte.
    pub(crate) fn read_byte(&mut self, file: &File) -> io::Result<u8> {
        let byte = *self.filled(file)?.first().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.read += 1;
        Ok(byte)
    }

    /// Reads `n` bytes onto the end of a vector.
    pub(crate) fn read_onto(
        &mut self,
        file: &File,
        mut n: usize,
        onto: &mut Vec<u8>,
    ) -> io::Result<()> {
        while n > 0 {
            let filled = self.filled(file)?;
            let part = filled.get(..filled.len().min(n)).unwrap_or_default();
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            onto.extend_from_slice(part);
            n -= part.len();
            self.read += part.len();
        }
        Ok(())
    }

    /// What of the buffer wasn't taken, after refilling it where nothing is left.
    fn filled(&mut self, file: &File) -> io::Result<&[u8]> {
        if self.read == self.buffer.len() {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            self.buffer.resize(left.min(self.n_buffer), 0);
            file.read_exact_at(&mut self.buffer, self.at)?;
            self.at += u64::try_from(self.buffer.len()).map_err(io::Error::other)?;
            self.read = 0;
        }
        Ok(self.buffer.get(self.read..).unwrap_or_default())
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
