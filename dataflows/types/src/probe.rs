//! What a dictionary's table holds of a text, so that one look tells whether it is known.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::digest::Fold;

/// Longest text that stands in the table as a whole.
const SHORT_BYTES: usize = 16;

/// A text in 24 bytes: a short one as it is, a longer one as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    words: [u32; 4],
    /// Its length, up to 4 GiB.
    n_bytes: u32,
    /// What else it must belong to: an asset's venue.
    of: u32,
}

impl Probe {
    pub(crate) fn new(text: &str, of: u32) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = if bytes.len() > SHORT_BYTES {
            let [first, last] = [1, 2].map(|seed| {
                let mut fold = Fold::new(seed);
                fold.add_text(text);
                fold.finish()
            });
            (first, last)
        } else if let (Some(first), Some(last)) =
            (bytes.first_chunk::<8>(), bytes.last_chunk::<8>())
        {
            // The two meet or overlap: with the length they are the text.
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) =
            (bytes.first_chunk::<4>(), bytes.last_chunk::<4>())
        {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
        };
        let [[a, b], [c, d]] = [first, last].map(|word| {
            let [low, high] = [word, word >> 32].map(|w| u32::try_from(w & 0xffff_ffff));
            [low.unwrap_or_default(), high.unwrap_or_default()]
        });
        let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { words: [a, b, c, d], n_bytes, of }
    }

    /// Whether an equal probe is the same text without a look at it.
    fn is_whole(&self) -> bool {
        usize::try_from(self.n_bytes).is_ok_and(|n| n <= SHORT_BYTES)
    }

    fn hash(&self) -> u64 {
        let Self { words: [a, b, c, d], n_bytes, of } = *self;
        let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut fold = Fold::new(word(n_bytes, of));
        fold.add(word(a, b));
        fold.add(word(c, d));
        fold.finish()
    }
}

/// Texts and what they are called.
#[derive(Debug)]
pub(crate) struct Probes<T> {
    table: HashTable<(Probe, T)>,
}

impl<T> Default for Probes<T> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

impl<T: Copy> Probes<T> {
    /// What a text is called, else calls it so. `is_it` says whether a long text is the one that is
    /// called so.
    pub(crate) fn find_or_insert(
        &mut self,
        probe: Probe,
        is_it: impl Fn(T) -> bool,
        name: impl FnOnce() -> T,
    ) -> T {
        let is_it =
            |(other, named): &(Probe, T)| *other == probe && (probe.is_whole() || is_it(*named));
        match self.table.entry(probe.hash(), is_it, |(probe, _)| probe.hash()) {
            Entry::Occupied(slot) => slot.get().1,
            Entry::Vacant(slot) => {
                let named = name();
                slot.insert((probe, named));
                named
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn equal_probes_of_short_texts_are_equal_texts() {
        // Texts of two letters of all lengths up to beyond a short one's, and of odd bytes.
        let mut texts: Vec<String> = vec!["\0".to_owned(), "\0\0".to_owned(), "é".to_owned()];
        for n in 0..=18 {
            for i in 0..=n {
                texts.push("a".repeat(i) + &"b".repeat(n - i));
                texts.push("a".repeat(i) + "\0" + &"a".repeat(n - i));
            }
        }
        texts.sort();
        texts.dedup();
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for text in texts {
            let probe = format!("{:?}", Probe::new(&text, 0));
            assert_eq!(seen.insert(probe, text.clone()), None, "{text}");
            assert_ne!(Probe::new(&text, 0), Probe::new(&text, 1));
        }
    }

    /// Long texts are looked at even where their digests agree.
    #[test]
    fn long_texts_are_compared() {
        let mut probes = Probes::default();
        let probe = Probe::new("a text that is longer than a short one", 0);
        assert_eq!(probes.find_or_insert(probe, |_| true, || 1), 1);
        assert_eq!(probes.find_or_insert(probe, |named| named == 1, || 2), 1);
        assert_eq!(probes.find_or_insert(probe, |_| false, || 3), 3);
    }
}
