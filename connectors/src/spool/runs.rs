//! Sorted runs of pairs in an unnamed temporary file, merged on the way out. A key is written as what
//! differs from the key before it, since neighbours in a run share most of their bytes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use types::sabotage::{Safeguard, is_out};

/// Least and greatest buffer of one run while runs are merged.
const BUFFER_BYTES: (usize, usize) = (4 << 10, 256 << 10);

/// Runs of pairs of key and value, each in the order of the keys.
#[derive(Default)]
pub(crate) struct Runs {
    spill: Option<Spill>,
    /// The last key of the run at hand.
    last: Vec<u8>,
    head: Vec<u8>,
}

/// All runs, one behind the other in one file, so that many runs don't take many descriptors.
struct Spill {
    file: BufWriter<File>,
    /// Where the next pair goes.
    end: u64,
    /// Where each run starts.
    starts: Vec<u64>,
}

/// What of equal keys of several runs is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equal {
    /// All, in the order of their runs.
    All,
    /// Only that of the last run.
    Last,
}

impl Runs {
    /// Whether there is none yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.spill.is_none()
    }

    /// Starts a run.
    ///
    /// # Errors
    /// Where there is no room for a temporary file.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill {
                file: BufWriter::with_capacity(BUFFER_BYTES.1, tempfile::tempfile()?),
                end: 0,
                starts: Vec::new(),
            }),
        };
        spill.starts.push(spill.end);
        self.last.clear();
        Ok(())
    }

    /// Adds a pair to the run at hand; no key before it is greater.
    ///
    /// # Errors
    /// Where the temporary file can't be written.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let Some(spill) = &mut self.spill else { return Err(io::ErrorKind::NotFound.into()) };
        let n_shared = n_shared(key, &self.last);
        let rest = key.get(n_shared..).unwrap_or_default();
        self.head.clear();
        for length in [n_shared, rest.len(), value.len()] {
            write_length(&mut self.head, length);
        }
        self.head.extend_from_slice(rest);
        spill.file.write_all(&self.head)?;
        spill.file.write_all(value)?;
        let length = self.head.len() + value.len();
        spill.end += u64::try_from(length).map_err(io::Error::other)?;
        self.last.truncate(n_shared);
        self.last.extend_from_slice(rest);
        Ok(())
    }

    /// Merges all runs. Reads with about `max_bytes` of buffers.
    ///
    /// # Errors
    /// Where the temporary file can't be written or read.
    pub(crate) fn merge(self, max_bytes: usize, equal: Equal) -> io::Result<Merged> {
        let Some(Spill { file, end, starts }) = self.spill else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let n_buffer = max_bytes / starts.len().max(1);
        let n_buffer = n_buffer.clamp(BUFFER_BYTES.0, BUFFER_BYTES.1);
        let ends = starts.iter().skip(1).chain([&end]);
        let mut heads = Vec::with_capacity(starts.len());
        for (index, (start, end)) in starts.iter().zip(ends).enumerate() {
            // Of equal keys the one that is wanted comes first.
            let rank = if equal == Equal::All { index } else { starts.len() - index };
            let mut head = Box::new(Head::new(rank, Run::new((*start, *end), n_buffer)));
            if head.advance(&file)? {
                heads.push(head);
            }
        }
        let heads = BinaryHeap::from(heads);
        Ok(Merged { file, heads, equal, is_taken: false, last: None })
    }
}

/// The pairs of all runs in the order of their keys.
pub(crate) struct Merged {
    file: File,
    /// Each run that isn't at its end.
    heads: BinaryHeap<Box<Head>>,
    equal: Equal,
    /// Whether the first head's pair was given.
    is_taken: bool,
    /// The last key that was given, where it is looked at.
    last: Option<Vec<u8>>,
}

impl Merged {
    /// The next pair of key and value.
    ///
    /// # Errors
    /// Where the temporary file can't be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        loop {
            if self.is_taken
                && let Some(mut head) = self.heads.peek_mut()
                && !head.advance(&self.file)?
            {
                PeekMut::pop(head);
            }
            self.is_taken = true;
            let Some(head) = self.heads.peek() else { return Ok(None) };
            if self.equal == Equal::All {
                break;
            }
            if self.last.as_ref() != Some(&head.key) || is_out(Safeguard::LastRunWins) {
                self.last.get_or_insert_default().clone_from(&head.key);
                break;
            }
        }
        Ok(self.heads.peek().map(|head| (head.key.as_slice(), head.value())))
    }
}

/// The next pair of a run.
struct Head {
    key: Vec<u8>,
    n_value: usize,
    /// Which of equal keys comes first.
    rank: usize,
    /// Stands behind the value.
    run: Run,
}

impl Head {
    const fn new(rank: usize, run: Run) -> Self {
        Self { key: Vec::new(), n_value: 0, rank, run }
    }

    fn value(&self) -> &[u8] {
        self.run.before(self.n_value)
    }

    /// Reads the run's next pair; false at its end.
    fn advance(&mut self, file: &File) -> io::Result<bool> {
        let head = self.run.filled(file, LENGTHS_BYTES)?;
        if head.is_empty() {
            return Ok(false);
        }
        let mut rest = head;
        let n_shared = read_length(&mut rest)?;
        let n_rest = read_length(&mut rest)?;
        self.n_value = read_length(&mut rest)?;
        let n_head = head.len() - rest.len();
        if n_shared > self.key.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let n_bytes = [n_rest, self.n_value].into_iter().try_fold(n_head, usize::checked_add);
        let n_bytes = n_bytes.ok_or(io::ErrorKind::InvalidData)?;
        let pair = self.run.filled(file, n_bytes)?.get(n_head..n_bytes);
        let pair = pair.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.key.truncate(n_shared);
        self.key.extend_from_slice(pair.get(..n_rest).unwrap_or_default());
        self.run.take(n_bytes);
        Ok(true)
    }
}

/// The heap gives its greatest, so that the least key, then the least rank, is the greatest.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then(other.rank.cmp(&self.rank))
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
struct Run {
    /// What of the file isn't in the buffer yet.
    at: u64,
    end: u64,
    n_buffer: usize,
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    taken: usize,
}

impl Run {
    /// Starts at the first of the bytes from `start` to `end`.
    const fn new((start, end): (u64, u64), n_buffer: usize) -> Self {
        Self { at: start, end, n_buffer, buffer: Vec::new(), taken: 0 }
    }

    /// What follows, at least `n` bytes of it where there are so many.
    fn filled(&mut self, file: &File, n: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.taken < n && self.at < self.end {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let start = self.buffer.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let n_read = left.min(self.n_buffer.max(n) - start);
            self.buffer.resize(start + n_read, 0);
            file.read_exact_at(self.buffer.get_mut(start..).unwrap_or_default(), self.at)?;
            self.at += u64::try_from(n_read).map_err(io::Error::other)?;
        }
        Ok(self.buffer.get(self.taken..).unwrap_or_default())
    }

    /// Goes on behind `n` bytes of what was filled.
    const fn take(&mut self, n: usize) {
        self.taken += n;
    }

    /// The last `n` bytes taken.
    fn before(&self, n: usize) -> &[u8] {
        self.buffer.get(self.taken - n..self.taken).unwrap_or_default()
    }
}

/// How many bytes two texts share at their start.
pub(crate) fn n_shared(a: &[u8], b: &[u8]) -> usize {
    let mut n_shared = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let [a, b] = [a, b].map(|word| word.first_chunk().map_or(0, |w| u64::from_le_bytes(*w)));
        if a != b {
            return n_shared + usize::try_from((a ^ b).trailing_zeros() / 8).unwrap_or(0);
        }
        n_shared += 8;
    }
    let rest = a.iter().zip(b).skip(n_shared);
    n_shared + rest.take_while(|(a, b)| a == b).count()
}

/// Set where another group of seven bits follows.
const GOES_ON: u8 = 0x80;
/// The most bytes that the lengths in front of a pair take.
const LENGTHS_BYTES: usize = 3 * 10;

/// Writes a length in groups of seven bits, least first.
pub(crate) fn write_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let group = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            out.push(group);
            return;
        }
        out.push(group | GOES_ON);
    }
}

/// Reads what [`write_length`] wrote.
///
/// # Errors
/// Where it ends too early or is too long.
pub(crate) fn read_length(bytes: &mut &[u8]) -> io::Result<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        *bytes = rest;
        length |= group(*byte, shift)?;
        if *byte < GOES_ON {
            return Ok(length);
        }
        shift += 7;
    }
}

/// The bits of a group at their place.
fn group(byte: u8, shift: u32) -> io::Result<usize> {
    let bits = usize::from(byte & 0x7f);
    let placed = bits.checked_shl(shift).filter(|placed| placed >> shift == bits);
    placed.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Pair = (Vec<u8>, Vec<u8>);

    fn merged(runs: &[Vec<Pair>], max_bytes: usize, equal: Equal) -> Vec<Pair> {
        let mut written = Runs::default();
        for run in runs {
            written.start().unwrap();
            for (key, value) in run {
                written.push(key, value).unwrap();
            }
        }
        let (mut merged, mut all) = (written.merge(max_bytes, equal).unwrap(), Vec::new());
        while let Some((key, value)) = merged.next().unwrap() {
            all.push((key.to_vec(), value.to_vec()));
        }
        assert!(merged.next().unwrap().is_none());
        all
    }

    /// Keys that share much and little.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        (0usize..20, prop::collection::vec(0u8..3, 0..6))
            .prop_map(|(n, end)| [vec![b'a'; n], end].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn keys_ascend_and_of_equal_ones_all_or_the_last_is_given(
            runs in prop::collection::vec(
                prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..300), 0..40),
                1..8,
            ),
            max_bytes in 0usize..20_000,
        ) {
            let runs: Vec<Vec<Pair>> = runs.into_iter().map(|run| run.into_iter().collect()).collect();
            let mut all = runs.concat();
            let last: BTreeMap<_, _> = all.iter().cloned().collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(merged(&runs, max_bytes, Equal::All), all);
            let last: Vec<Pair> = last.into_iter().collect();
            prop_assert_eq!(merged(&runs, max_bytes, Equal::Last), last);
        }

        #[test]
        fn what_is_shared_is_what_a_look_at_each_byte_says(a in key(), b in key()) {
            let n_same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(n_shared(&a, &b), n_same);
            prop_assert_eq!(n_shared(&a, &a), a.len());
        }
    }

    #[cfg(feature = "sabotage")]
    #[test]
    fn keys_of_several_runs_come_once() {
        use types::sabotage::{Safeguard, assert_noticed};
        assert_noticed(Safeguard::LastRunWins, 1, |_| {
            let runs = [1u8, 2].map(|n| vec![(vec![7], vec![n])]);
            assert_eq!(merged(&runs, 1 << 16, Equal::Last), [(vec![7], vec![2])]);
        });
    }

    #[test]
    fn values_larger_than_the_buffers_survive() {
        let large = |n: u8| (vec![n], vec![n; (600 << 10) + 1]);
        let runs = [vec![large(1), large(3)], vec![large(2)]];
        assert_eq!(merged(&runs, 100, Equal::Last), [large(1), large(2), large(3)]);
    }

    #[test]
    fn a_file_that_was_cut_is_told() {
        let mut runs = Runs::default();
        runs.start().unwrap();
        runs.push(b"key", &vec![7; 100_000]).unwrap();
        let spill = runs.spill.as_mut().unwrap();
        spill.file.flush().unwrap();
        spill.file.get_ref().set_len(50_000).unwrap();
        assert!(runs.merge(1 << 20, Equal::All).is_err());
    }
}
