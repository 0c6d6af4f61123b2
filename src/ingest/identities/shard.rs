//! A part of the identities of a relation: new ones as they come, older ones in sorted runs.
//!
//! A run never changes; two of like length become one. So each identity is moved a few times in all,
//! always front to back, and a run may as well lie outside memory: it is asked only for what the filter
//! thinks was there. The oldest runs leave first; in front of those in memory. Shards keep each merge short, and fill up at different times.

use dataflows::cold::Failure;

use super::Print;
use super::filter::Filter;
use super::run::{Cold, Entry, Run};

/// How many shards there are: a power of two.
pub(super) const N_SHARDS: usize = 64;

/// Identities that come before they are sorted into a run.
const RECENT_MAX: usize = 512;

/// See the module.
pub(super) struct Shard {
    filter: Filter,
    recent: Vec<Entry>,
    /// How many recent ones make the next run, and those after it.
    recent_max: (usize, usize),
    /// The oldest and longest first.
    runs: Vec<Run>,
    len: usize,
}

impl Shard {
    /// An empty shard.
    pub(super) fn new(index: usize, cold: &Cold) -> Self {
        // The first runs differ in length, so that shards don't merge all at once.
        let first = RECENT_MAX / 2 + RECENT_MAX / 2 * index / N_SHARDS;
        let recent_max = if cold.is_bare() { (1, 1) } else { (first, RECENT_MAX) };
        let filter = Filter::for_identities(RECENT_MAX / 2);
        Self { filter, recent: Vec::new(), recent_max, runs: Vec::new(), len: 0 }
    }

    /// Whether an identity may have come before.
    pub(super) fn may_hold(&self, print: Print) -> bool {
        self.filter.may_hold(print)
    }

    /// Adds an identity that didn't come before.
    pub(super) fn push(
        &mut self,
        print: Print,
        content: u32,
        cold: &mut Cold,
    ) -> Result<(), Box<Failure>> {
        self.filter.mark(print);
        self.recent.push(Entry { high: print.high, low: print.low, content });
        self.len += 1;
        if self.recent.len() >= self.recent_max.0 {
            self.freeze(cold)?;
        }
        if self.len > self.filter.room() { self.widen(cold) } else { Ok(()) }
    }

    /// The content of an identity.
    pub(super) fn find(&self, print: Print, cold: &mut Cold) -> Result<Option<u32>, Box<Failure>> {
        let is_it = |entry: &&Entry| entry.high == print.high && entry.low == print.low;
        if let Some(entry) = self.recent.iter().rev().find(is_it) {
            return Ok(Some(entry.content));
        }
        for run in self.runs.iter().rev() {
            if let Some(content) = run.find(print, cold)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Bytes that it holds.
    pub(super) fn n_bytes(&self) -> usize {
        let runs = self.runs.iter().map(Run::n_bytes).sum::<usize>();
        self.recent.capacity() * size_of::<Entry>() + runs + self.filter.n_bytes()
    }

    /// Makes a run of what is recent.
    fn freeze(&mut self, cold: &mut Cold) -> Result<(), Box<Failure>> {
        self.recent.sort_unstable_by_key(|entry| entry.high);
        let last: Box<[Entry]> = self.recent.as_slice().into();
        cold.n_held += last.len();
        self.recent.clear();
        self.recent_max.0 = self.recent_max.1;
        self.add(Run::Here(last), cold)
    }

    /// Adds the newest run; those of like length become one.
    fn add(&mut self, mut last: Run, cold: &mut Cold) -> Result<(), Box<Failure>> {
        while let Some(before) = self.runs.pop_if(|before| before.len() < 2 * last.len()) {
            last = before.merged(last, cold)?;
        }
        self.runs.push(last);
        Ok(())
    }

    /// Sends its runs out of memory, as one.
    pub(super) fn spill(&mut self, cold: &mut Cold) -> Result<(), Box<Failure>> {
        let Some(mut all) = self.runs.pop_if(|run| run.is_here()) else { return Ok(()) };
        while let Some(before) = self.runs.pop_if(|run| run.is_here()) {
            all = before.merged(all, cold)?;
        }
        let away = all.sent_away(cold)?;
        self.add(away, cold)
    }

    /// Makes a wider filter.
    fn widen(&mut self, cold: &mut Cold) -> Result<(), Box<Failure>> {
        let mut filter = Filter::for_identities(self.len + self.len / 2);
        let mut mark = |entry: &Entry| {
            filter.mark(Print { high: entry.high, low: entry.low });
        };
        self.recent.iter().for_each(&mut mark);
        for run in &self.runs {
            run.each(cold, &mut mark)?;
        }
        self.filter = filter;
        Ok(())
    }
}
