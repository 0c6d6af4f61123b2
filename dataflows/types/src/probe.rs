//! What a dictionary's table holds of a text, so that one look tells whether it is known.

use hashbrown::HashTable;

use crate::digest::Fold;

/// Longest text that stands in the table as a whole.
const SHORT_BYTES: usize = 16;

/// A text in 20 bytes: a short one as it is, a longer one as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    first: u64,
    last: u64,
    /// Its length in the lowest byte, and in the others what else it must belong to (an asset's venue);
    /// the greatest of either stands for all that are greater.
    tag: u32,
}

/// The greatest length and the greatest owner of a tag.
const TAG_MAX: (u32, u32) = (0xff, 0x00ff_ffff);

impl Probe {
    #[inline]
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
        let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(TAG_MAX.0);
        Self { first, last, tag: n_bytes | of.min(TAG_MAX.1) << 8 }
    }

    /// Whether an equal probe is the same text of the same owner without a look at them.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        let is_short = usize::try_from(self.tag & TAG_MAX.0).is_ok_and(|n| n <= SHORT_BYTES);
        is_short && self.tag >> 8 != TAG_MAX.1
    }

    #[inline]
    fn hash(&self) -> u64 {
        let mut fold = Fold::new(self.tag.into());
        fold.add(self.first);
        fold.add(self.last);
        fold.finish()
    }
}

/// Texts and what they are called.
#[derive(Debug)]
pub(crate) struct Probes<T> {
    table: HashTable<Slot<T>>,
}

/// A probe and what its text is called: 24 bytes.
#[derive(Debug)]
struct Slot<T> {
    first: u64,
    last: u64,
    tag: u32,
    named: T,
}

impl<T> Slot<T> {
    #[inline]
    fn probe(&self) -> Probe {
        Probe { first: self.first, last: self.last, tag: self.tag }
    }
}

impl<T> Default for Probes<T> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

impl<T: Copy> Probes<T> {
    /// What a text is called, else calls it so. `is_it` says whether a long text is the one that is
    /// called so, and of the same owner.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        probe: Probe,
        is_it: impl Fn(T) -> bool,
        name: impl FnOnce() -> T,
    ) -> T {
        let hash = probe.hash();
        if let Some(named) = self.find(probe, hash, &is_it) {
            return named;
        }
        let (named, Probe { first, last, tag }) = (name(), probe);
        let slot = Slot { first, last, tag, named };
        self.table.insert_unique(hash, slot, |slot| slot.probe().hash());
        named
    }

    /// What each of some texts is called, `None` where it isn't known. All are hashed, then all
    /// looked for, so that waiting for memory overlaps.
    pub(crate) fn find_all<const N: usize>(
        &self,
        probes: &[Option<Probe>; N],
        is_it: impl Fn(usize, T) -> bool,
    ) -> [Option<T>; N] {
        let hashes = probes.map(|probe| probe.map_or(0, |probe| probe.hash()));
        let mut found = [None; N];
        for (index, ((probe, hash), found)) in
            probes.iter().zip(hashes).zip(&mut found).enumerate()
        {
            *found = probe.and_then(|probe| self.find(probe, hash, |named| is_it(index, named)));
        }
        found
    }

    #[inline]
    fn find(&self, probe: Probe, hash: u64, is_it: impl Fn(T) -> bool) -> Option<T> {
        let is_it =
            |slot: &Slot<T>| slot.probe() == probe && (probe.is_whole() || is_it(slot.named));
        self.table.find(hash, is_it).map(|slot| slot.named)
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
