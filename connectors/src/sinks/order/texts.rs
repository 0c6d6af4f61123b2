//! Distinct texts, one behind the other, and their order.

use super::index;
use crate::spool::n_shared;

/// Distinct texts, numbered as they come. None is the start of another.
#[derive(Default)]
pub(in crate::sinks) struct Texts {
    arena: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// How many bytes all start with.
    n_common: usize,
}

impl Texts {
    /// How many there are.
    pub(in crate::sinks) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that they take in memory, about.
    pub(in crate::sinks) const fn n_bytes(&self) -> usize {
        self.arena.len() + self.ends.len() * size_of::<usize>()
    }

    /// Takes a text that is new.
    pub(in crate::sinks) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.arena.len();
        write(&mut self.arena);
        self.ends.push(self.arena.len());
        let new = self.arena.get(start..).unwrap_or_default();
        self.n_common = match self.len() {
            1 => new.len(),
            _ => n_shared(self.at(0), new).min(self.n_common),
        };
    }

    /// The text of a number.
    pub(in crate::sinks) fn at(&self, number: u32) -> &[u8] {
        let number = index(number);
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before));
        let (start, end) = (start.copied(), self.ends.get(number).copied());
        self.arena.get(start.unwrap_or(0)..end.unwrap_or(0)).unwrap_or_default()
    }

    /// The eight bytes behind what all have in common, as numbers that mostly order the texts.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        (0..).take(self.len()).map(|number| {
            let text = self.at(number).get(self.n_common..).unwrap_or_default();
            if let Some(word) = text.first_chunk() {
                return u64::from_be_bytes(*word);
            }
            // No text is the start of another, so that what is put behind the last byte never counts.
            let word = text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            u32::try_from(64 - 8 * text.len()).ok().and_then(|n| word.checked_shl(n)).unwrap_or(0)
        })
    }

    /// What follows those bytes.
    pub(super) fn rest(&self, number: u32) -> &[u8] {
        self.at(number).get(self.n_common + 8..).unwrap_or_default()
    }

    /// The numbers in the order of their texts.
    pub(in crate::sinks) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<(u64, u32)> = self.words().zip(0..).collect();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.rest(a.1).cmp(self.rest(b.1)))
        });
        order.into_iter().map(|(_, number)| number).collect()
    }
}
