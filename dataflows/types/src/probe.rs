//! What a dictionary's table holds of a text, so that one look tells whether it is known.

use crate::digest::Fold;

/// Longest text that stands in the table as a whole.
const SHORT_BYTES: usize = 16;

/// A text in 20 bytes: a short one as it is, a longer one as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    first: u64,
    last: u64,
    /// One more than its length in the lowest byte, and in the others what else it must belong to (an
    /// asset's venue); the greatest of either stands for all that are greater.
    tag: u32,
}

/// The greatest of a tag: in its lowest byte, and in the others.
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
        let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(TAG_MAX.0 - 1);
        Self { first, last, tag: (n_bytes + 1) | of.min(TAG_MAX.1) << 8 }
    }

    /// Whether an equal probe is the same text of the same owner without a look at them.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        let is_short = usize::try_from(self.tag & TAG_MAX.0).is_ok_and(|n| n <= SHORT_BYTES + 1);
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

/// Texts and the numbers that they are called by: a table whose places are tried one after the other,
/// so that many texts can be looked for at once.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// None or a power of two, at most seven in eight taken.
    slots: Vec<Slot>,
    n_taken: usize,
}

/// A place of the table: 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u64,
    last: u64,
    /// Zero where the place is free.
    tag: u32,
    named: u32,
}

/// A place that is free.
const FREE: Slot = Slot { first: 0, last: 0, tag: 0, named: 0 };

/// Places of the first table.
const SLOTS_MIN: usize = 16;

impl Slot {
    #[inline]
    fn probe(&self) -> Probe {
        Probe { first: self.first, last: self.last, tag: self.tag }
    }
}

impl Probes {
    /// What a text is called, else calls it so. `is_it` says whether a text that its probe doesn't tell
    /// whole is the one that is called so.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        probe: Probe,
        is_it: impl Fn(u32) -> bool,
        name: impl FnOnce() -> u32,
    ) -> u32 {
        let hash = probe.hash();
        if let Some(named) = self.find(self.place(hash), probe, is_it) {
            return named;
        }
        let named = name();
        self.insert(hash, probe, named);
        named
    }

    /// What each of some texts is called, `None` where it isn't known. The table is looked into for
    /// all before any is compared, so that waiting for memory overlaps.
    pub(crate) fn find_all<const N: usize>(
        &self,
        probes: &[Option<Probe>; N],
        is_it: impl Fn(usize, u32) -> bool,
    ) -> [Option<u32>; N] {
        let mut places = [0; N];
        for (place, probe) in places.iter_mut().zip(probes) {
            *place = probe.map_or(0, |probe| self.place(probe.hash()));
        }
        let slots = places.map(|place| self.slots.get(place).copied().unwrap_or(FREE));
        let mut found = [None; N];
        for (index, found) in found.iter_mut().enumerate() {
            let (Some(Some(probe)), Some(slot)) = (probes.get(index), slots.get(index)) else {
                continue;
            };
            *found = if slot.probe() == *probe && probe.is_whole() {
                Some(slot.named)
            } else {
                let place = places.get(index).copied().unwrap_or_default();
                self.find(place, *probe, |named| is_it(index, named))
            };
        }
        found
    }

    /// The place at which a probe of this hash is looked for first.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        usize::try_from(hash).unwrap_or_default() & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn find(&self, mut place: usize, probe: Probe, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        loop {
            let slot = self.slots.get(place).filter(|slot| slot.tag != 0)?;
            if slot.probe() == probe && (probe.is_whole() || is_it(slot.named)) {
                return Some(slot.named);
            }
            place = place.wrapping_add(1) & self.slots.len().wrapping_sub(1);
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, probe: Probe, named: u32) {
        if self.n_taken >= self.slots.len() / 8 * 7 {
            let wider = vec![FREE; (self.slots.len() * 2).max(SLOTS_MIN)];
            let slots = std::mem::replace(&mut self.slots, wider);
            for slot in slots.into_iter().filter(|slot| slot.tag != 0) {
                self.set(slot.probe().hash(), slot);
            }
        }
        let Probe { first, last, tag } = probe;
        self.set(hash, Slot { first, last, tag, named });
        self.n_taken += 1;
    }

    /// Takes the first free place. There is one.
    fn set(&mut self, hash: u64, slot: Slot) {
        let mut place = self.place(hash);
        while let Some(taken) = self.slots.get_mut(place) {
            if taken.tag == 0 {
                *taken = slot;
                return;
            }
            place = place.wrapping_add(1) & self.slots.len().wrapping_sub(1);
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
