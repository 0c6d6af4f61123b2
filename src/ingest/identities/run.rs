//! Sorted runs of identities: in memory, or as blocks outside it.

use dataflows::Spilling;
use dataflows::cold::{ColdStore, Failure, Piece};

use super::Print;
use super::filter::share;

/// An identity of which one insert came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) high: u64,
    pub(super) low: u32,
    pub(super) content: u32,
}

/// Entries of a block outside memory: a look reads one block, which is 4 KiB.
const BLOCK: usize = 256;
/// Bytes of an entry outside memory.
const BYTES: usize = 16;

impl Entry {
    fn is_of(&self, print: Print) -> bool {
        self.high == print.high && self.low == print.low
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.high.to_le_bytes());
        bytes.extend_from_slice(&self.low.to_le_bytes());
        bytes.extend_from_slice(&self.content.to_le_bytes());
    }

    fn read(bytes: &[u8; BYTES]) -> Self {
        let word = u128::from_le_bytes(*bytes);
        let [high, rest] = types::digest::halves(word);
        let part = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or_default();
        Self { high, low: part(rest), content: part(rest >> 32) }
    }
}

/// What may leave memory, and where it goes.
pub(super) struct Cold {
    /// `None` where nothing ever leaves memory.
    store: Option<Box<dyn ColdStore>>,
    memory: usize,
    /// Entries of runs in memory.
    pub(super) n_held: usize,
    bytes: Vec<u8>,
}

impl Cold {
    pub(super) fn new(spilling: Option<Spilling>) -> Self {
        let memory = spilling.as_ref().map_or(usize::MAX, |spilling| spilling.memory);
        Self {
            store: spilling.map(|spilling| spilling.store),
            memory,
            n_held: 0,
            bytes: Vec::new(),
        }
    }

    /// Whether runs take more memory than they may.
    pub(super) fn is_full(&self) -> bool {
        self.n_held.saturating_mul(BYTES) > self.memory
    }

    /// Whether nothing may stay.
    pub(super) fn is_bare(&self) -> bool {
        self.memory == 0
    }

    /// Writes a block; `None` where nothing leaves memory.
    pub(super) fn put(&mut self, entries: &[Entry]) -> Result<Option<Piece>, Box<Failure>> {
        self.bytes.clear();
        for entry in entries {
            entry.write(&mut self.bytes);
        }
        self.store.as_mut().map(|store| store.put(&self.bytes)).transpose()
    }

    /// Reads a block.
    pub(super) fn get(
        &mut self,
        piece: Piece,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Box<Failure>> {
        let Some(store) = &mut self.store else { unreachable!("what left memory went somewhere") };
        store.get(piece, &mut self.bytes)?;
        entries.clear();
        entries.extend(self.bytes.as_chunks().0.iter().map(Entry::read));
        Ok(())
    }

    fn free(&mut self, piece: Piece) {
        if let Some(store) = &mut self.store {
            store.free(piece);
        }
    }
}

/// Entries sorted by `high`. A run never changes.
pub(super) enum Run {
    /// In memory.
    Here(Box<[Entry]>),
    /// Outside, in blocks.
    Away(Vec<Block>),
}

/// A block of a run outside memory.
pub(super) struct Block {
    /// `high` of its first entry.
    first: u64,
    n: usize,
    piece: Piece,
}

impl Run {
    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Here(entries) => entries.len(),
            Self::Away(blocks) => blocks.iter().map(|block| block.n).sum(),
        }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Bytes in memory.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Here(entries) => size_of_val::<[Entry]>(entries),
            Self::Away(blocks) => blocks.capacity() * size_of::<Block>(),
        }
    }

    /// The content of an identity.
    pub(super) fn find(&self, print: Print, cold: &mut Cold) -> Result<Option<u32>, Box<Failure>> {
        let blocks = match self {
            Self::Here(entries) => return Ok(find_in(run_from(entries, print.high), print)),
            Self::Away(blocks) => blocks,
        };
        let behind = blocks.partition_point(|block| block.first < print.high);
        let mut room = Vec::new();
        for block in blocks.get(behind.saturating_sub(1)..).unwrap_or_default() {
            if block.first > print.high {
                break;
            }
            cold.get(block.piece, &mut room)?;
            let start = room.partition_point(|entry| entry.high < print.high);
            let found = find_in(room.get(start..).unwrap_or_default(), print);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Shows each entry.
    pub(super) fn each(
        &self,
        cold: &mut Cold,
        mut see: impl FnMut(&Entry),
    ) -> Result<(), Box<Failure>> {
        match self {
            Self::Here(entries) => entries.iter().for_each(see),
            Self::Away(blocks) => {
                let mut room = Vec::new();
                for block in blocks {
                    cold.get(block.piece, &mut room)?;
                    room.iter().for_each(&mut see);
                }
            }
        }
        Ok(())
    }

    /// The run outside memory.
    pub(super) fn sent_away(self, cold: &mut Cold) -> Result<Self, Box<Failure>> {
        let Self::Here(entries) = &self else { return Ok(self) };
        let mut writer = Writer::default();
        for entry in entries {
            writer.push(*entry, cold)?;
        }
        cold.n_held -= entries.len();
        writer.finish(cold)
    }

    /// Makes one run of two; outside memory, where one of them is.
    pub(super) fn merged(self, other: Self, cold: &mut Cold) -> Result<Self, Box<Failure>> {
        if let (Self::Here(a), Self::Here(b)) = (&self, &other) {
            return Ok(Self::Here(merge(a, b)));
        }
        let here = [&self, &other].into_iter().filter(|run| run.is_here());
        cold.n_held -= here.map(Self::len).sum::<usize>();
        let (mut a, mut b) = (Reader::new(self), Reader::new(other));
        let mut writer = Writer::default();
        loop {
            let (x, y) = (a.peek(cold)?, b.peek(cold)?);
            let takes_x = match (x, y) {
                (None, None) => return writer.finish(cold),
                (Some(x), Some(y)) => x.high <= y.high,
                (x, None) => x.is_some(),
                (None, Some(_)) => false,
            };
            let (entry, from) = if takes_x { (x, &mut a) } else { (y, &mut b) };
            from.next += 1;
            if let Some(entry) = entry {
                writer.push(entry, cold)?;
            }
        }
    }
}

/// Reads a run from its front, and frees what is read.
struct Reader {
    entries: Vec<Entry>,
    next: usize,
    blocks: std::vec::IntoIter<Block>,
}

impl Reader {
    fn new(run: Run) -> Self {
        match run {
            Run::Here(entries) => {
                Self { entries: entries.into_vec(), next: 0, blocks: Vec::new().into_iter() }
            }
            Run::Away(blocks) => Self { entries: Vec::new(), next: 0, blocks: blocks.into_iter() },
        }
    }

    fn peek(&mut self, cold: &mut Cold) -> Result<Option<Entry>, Box<Failure>> {
        if self.next >= self.entries.len() {
            let Some(block) = self.blocks.next() else { return Ok(None) };
            cold.get(block.piece, &mut self.entries)?;
            cold.free(block.piece);
            self.next = 0;
        }
        Ok(self.entries.get(self.next).copied())
    }
}

/// Writes a run block by block.
#[derive(Default)]
struct Writer {
    entries: Vec<Entry>,
    blocks: Vec<Block>,
}

impl Writer {
    fn push(&mut self, entry: Entry, cold: &mut Cold) -> Result<(), Box<Failure>> {
        self.entries.push(entry);
        if self.entries.len() == BLOCK { self.write(cold) } else { Ok(()) }
    }

    fn write(&mut self, cold: &mut Cold) -> Result<(), Box<Failure>> {
        let Some(first) = self.entries.first().map(|entry| entry.high) else { return Ok(()) };
        if let Some(piece) = cold.put(&self.entries)? {
            self.blocks.push(Block { first, n: self.entries.len(), piece });
        }
        self.entries.clear();
        Ok(())
    }

    fn finish(mut self, cold: &mut Cold) -> Result<Run, Box<Failure>> {
        self.write(cold)?;
        self.blocks.shrink_to_fit();
        Ok(Run::Away(self.blocks))
    }
}

/// The content of an identity among entries from its `high` on.
fn find_in(entries: &[Entry], print: Print) -> Option<u32> {
    let mut equal = entries.iter().take_while(|entry| entry.high == print.high);
    equal.find(|entry| entry.is_of(print)).map(|entry| entry.content)
}

/// Makes one run of two.
fn merge(a: &[Entry], b: &[Entry]) -> Box<[Entry]> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        // Which comes first is chance, so that a branch would be guessed wrongly half the time.
        let takes_x = x.high <= y.high;
        merged.push(if takes_x { *x } else { *y });
        i += usize::from(takes_x);
        j += usize::from(!takes_x);
    }
    merged.extend_from_slice(a.get(i..).unwrap_or_default());
    merged.extend_from_slice(b.get(j..).unwrap_or_default());
    merged.into_boxed_slice()
}

/// The part of a run from the first entry that isn't below `high`. Digests are spread evenly, so
/// that it stands near its share of the run.
fn run_from(run: &[Entry], high: u64) -> &[Entry] {
    let guess = share(high, run.len());
    let spread = 2 * run.len().isqrt() + 2;
    let (low, end) = (guess.saturating_sub(spread), run.len().min(guess + spread));
    let is_below = |entry: &Entry| entry.high < high;
    let starts_before = low == 0 || run.get(low - 1).is_some_and(is_below);
    let ends_behind = end == run.len() || run.get(end).is_some_and(|entry| !is_below(entry));
    let (low, end) = if starts_before && ends_behind { (low, end) } else { (0, run.len()) };
    let window = run.get(low..end).unwrap_or_default();
    run.get(low + window.partition_point(is_below)..).unwrap_or_default()
}
