//! A part of the identities of a relation: new ones as they come, older ones in sorted runs.
//!
//! A run never changes; two of like length become one. So each identity is moved a few times in all,
//! always front to back, and a run could as well lie on disk: it is asked only for what the filter
//! thinks was there. Shards keep each merge short, and fill up at different times.

use super::Print;
use super::filter::{Filter, share};

/// How many shards there are: a power of two.
pub(super) const N_SHARDS: usize = 64;

/// Identities that come before they are sorted into a run.
const RECENT_MAX: usize = 512;

/// An identity of which one insert came.
#[derive(Clone, Copy, Debug)]
struct Entry {
    high: u64,
    low: u32,
    content: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shard {
    filter: Filter,
    recent: Vec<Entry>,
    /// How many recent ones make the next run.
    recent_max: usize,
    /// Runs sorted by `high`, the oldest and longest first.
    runs: Vec<Box<[Entry]>>,
    len: usize,
}

impl Shard {
    /// An empty shard.
    pub(super) fn new(index: usize) -> Self {
        // The first runs differ in length, so that shards don't merge all at once.
        let recent_max = RECENT_MAX / 2 + RECENT_MAX / 2 * index / N_SHARDS;
        let filter = Filter::for_identities(RECENT_MAX / 2);
        Self { filter, recent: Vec::new(), recent_max, runs: Vec::new(), len: 0 }
    }

    /// Marks an identity as one that came; whether it may have come before.
    pub(super) fn mark(&mut self, print: Print) -> bool {
        self.filter.mark(print)
    }

    /// Adds a marked identity that didn't come before.
    pub(super) fn push(&mut self, print: Print, content: u32) {
        self.recent.push(Entry { high: print.high, low: print.low, content });
        self.len += 1;
        if self.recent.len() >= self.recent_max {
            self.freeze();
        }
        if self.len > self.filter.room() {
            self.widen();
        }
    }

    /// The content of an identity.
    pub(super) fn find(&self, print: Print) -> Option<u32> {
        let is_it = |entry: &&Entry| entry.high == print.high && entry.low == print.low;
        let recent = self.recent.iter().rev().find(is_it);
        let found = recent.or_else(|| {
            let equal = |run| run_from(run, print.high).iter().take_while(|e| e.high == print.high);
            self.runs.iter().rev().find_map(|run| equal(run).find(is_it))
        });
        found.map(|entry| entry.content)
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub(super) fn n_bytes(&self) -> usize {
        let entries = self.recent.capacity() + self.runs.iter().map(|run| run.len()).sum::<usize>();
        entries * size_of::<Entry>() + self.filter.n_bytes()
    }

    /// Makes a run of what is recent.
    fn freeze(&mut self) {
        self.recent.sort_unstable_by_key(|entry| entry.high);
        let mut last: Box<[Entry]> = self.recent.as_slice().into();
        self.recent.clear();
        self.recent_max = RECENT_MAX;
        while let Some(before) = self.runs.pop_if(|before| before.len() < 2 * last.len()) {
            last = merge(&before, &last);
        }
        self.runs.push(last);
    }

    /// Makes a wider filter.
    fn widen(&mut self) {
        self.filter = Filter::for_identities(self.len + self.len / 2);
        let runs = self.runs.iter().flat_map(|run| run.iter());
        for entry in runs.chain(&self.recent) {
            self.filter.mark(Print { high: entry.high, low: entry.low });
        }
    }
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
