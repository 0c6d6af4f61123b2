//! Sorted runs in an unnamed temporary file, merged on the way out. A key is written as what differs
//! from the key before it, since neighbours in a run share most of their bytes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use crate::spool::{RUN_BUFFER_BYTES, Run};
use types::sabotage::{Safeguard, is_out};

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
                file: BufWriter::with_capacity(RUN_BUFFER_BYTES.1, tempfile::tempfile()?),
                end: 0,
                starts: Vec::new(),
            }),
        };
        spill.starts.push(spill.end);
        self.last.clear();
        Ok(())
    }

    /// Adds a pair to the run at hand; its key is greater than those before.
    ///
    /// # Errors
    /// Where the temporary file can't be written.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let Some(spill) = &mut self.spill else { return Err(io::ErrorKind::NotFound.into()) };
        let n_shared = key.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
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

    /// Gives the pairs of all runs in the order of their keys; of equal keys the one of the last run.
    /// Reads with about `max_bytes` of buffers.
    ///
    /// # Errors
    /// Where the temporary file can't be written or read.
    pub(crate) fn merge(self, max_bytes: usize) -> io::Result<Merged> {
        let Some(Spill { file, end, starts }) = self.spill else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let n_buffer = max_bytes / starts.len().max(1);
        let n_buffer = n_buffer.clamp(RUN_BUFFER_BYTES.0, RUN_BUFFER_BYTES.1);
        let ends = starts.iter().skip(1).chain([&end]);
        let mut heads = Vec::with_capacity(starts.len());
        for (index, (start, end)) in starts.iter().zip(ends).enumerate() {
            let run = Run::new((*start, *end), n_buffer);
            let mut head = Head { key: Vec::new(), value: Vec::new(), index, run };
            if head.advance(&file)? {
                heads.push(head);
            }
        }
        let heads = BinaryHeap::from(heads);
        Ok(Merged { file, heads, key: Vec::new(), value: Vec::new(), is_first: true })
    }
}

/// The pairs in order.
pub(crate) struct Merged {
    file: File,
    /// Each run that isn't at its end.
    heads: BinaryHeap<Head>,
    key: Vec<u8>,
    value: Vec<u8>,
    is_first: bool,
}

impl Merged {
    /// The next pair.
    ///
    /// # Errors
    /// Where the temporary file can't be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        loop {
            let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
            // Of equal keys the last run's came first.
            let is_new = self.is_first || head.key != self.key || is_out(Safeguard::LastRunWins);
            if is_new {
                self.key.clone_from(&head.key);
                std::mem::swap(&mut self.value, &mut head.value);
                self.is_first = false;
            }
            if !head.advance(&self.file)? {
                PeekMut::pop(head);
            }
            if is_new {
                return Ok(Some((&self.key, &self.value)));
            }
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
        let n_shared = self.read_length(file)?;
        let n_rest = self.read_length(file)?;
        let n_value = self.read_length(file)?;
        if n_shared > self.key.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.key.truncate(n_shared);
        self.run.read_onto(file, n_rest, &mut self.key)?;
        self.value.clear();
        self.run.read_onto(file, n_value, &mut self.value)?;
        Ok(true)
    }

    fn read_length(&mut self, file: &File) -> io::Result<usize> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.run.read_byte(file)?;
            length |= group(byte, shift)?;
            if byte < GOES_ON {
                return Ok(length);
            }
            shift += 7;
        }
    }
}

/// The heap gives its greatest, so that the least key, then the latest run, is the greatest.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then(self.index.cmp(&other.index))
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

/// Set where another group of seven bits follows.
const GOES_ON: u8 = 0x80;

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

    type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

    fn merged(runs: &[Pairs], max_bytes: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut written = Runs::default();
        for run in runs {
            written.start().unwrap();
            for (key, value) in run {
                written.push(key, value).unwrap();
            }
        }
        let (mut merged, mut all) = (written.merge(max_bytes).unwrap(), Vec::new());
        while let Some((key, value)) = merged.next().unwrap() {
            all.push((key.to_vec(), value.to_vec()));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_last_run_wins_and_keys_ascend(
            runs in prop::collection::vec(
                prop::collection::btree_map(
                    prop::collection::vec(0u8..3, 0..6),
                    prop::collection::vec(any::<u8>(), 0..300),
                    0..40,
                ),
                1..8,
            ),
            max_bytes in 0usize..20_000,
        ) {
            let twin: Pairs = runs.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(merged(&runs, max_bytes), twin.into_iter().collect::<Vec<_>>());
        }
    }

    #[cfg(feature = "sabotage")]
    #[test]
    fn keys_of_several_runs_come_once() {
        use types::sabotage::{Safeguard, assert_noticed};
        assert_noticed(Safeguard::LastRunWins, 1, |_| {
            let runs = [1u8, 2].map(|n| Pairs::from([(vec![7], vec![n])]));
            assert_eq!(merged(&runs, 1 << 16), [(vec![7], vec![2])]);
        });
    }

    #[test]
    fn values_larger_than_the_buffers_survive() {
        let large = |n: u8| (vec![n], vec![n; (600 << 10) + 1]);
        let runs = [Pairs::from([large(3), large(1)]), Pairs::from([large(2)])];
        assert_eq!(merged(&runs, 100), [large(1), large(2), large(3)]);
    }
}
