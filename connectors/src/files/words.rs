//! The words that a column takes.

use types::event::Reason;

/// The words that a column takes.
pub(super) struct Words {
    pub(super) texts: &'static [&'static str],
    /// Why another is refused.
    pub(super) reason: Reason,
    /// Those of at most 8 bytes as numbers; 0 for longer ones.
    short: Vec<u64>,
}

impl Words {
    pub(super) fn new(texts: &'static [&'static str], reason: Reason) -> Self {
        let short = |text: &&str| {
            let bytes = text.as_bytes();
            let number = bytes.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
            if bytes.len() > 8 { 0 } else { number }
        };
        Self { texts, reason, short: texts.iter().map(short).collect() }
    }

    /// The place of a word.
    pub(super) fn place(&self, text: &[u8]) -> Option<usize> {
        self.texts.iter().position(|word| word.as_bytes() == text)
    }

    /// The place of a word of at most 8 bytes, if there are 8 from its start. Which one it is is
    /// chance, so that it isn't asked by branches.
    #[inline]
    pub(super) fn short_place(&self, raw: &[u8], (start, end): (usize, usize)) -> Option<u8> {
        let n_bytes =
            u32::try_from(end.checked_sub(start)?).ok().filter(|n| (1..=8).contains(n))?;
        let word = u64::from_le_bytes(*raw.get(start..)?.first_chunk()?);
        let word = word & (u64::MAX >> (64 - n_bytes * 8));
        // A zero at the end would read as a shorter word.
        if word >> (n_bytes * 8 - 8) == 0 {
            return None;
        }
        let (mut place, mut n_found) = (0, 0);
        for (index, short) in (0u8..).zip(&self.short) {
            let is_it = u8::from(*short == word);
            place |= index * is_it;
            n_found += is_it;
        }
        (n_found == 1).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXTS: &[&str] = &["buy", "sell", "b", "12345678", "123456789", "liquidation", "x\0y"];

    proptest! {
        #[test]
        fn short_words_are_found_where_they_stand(
            before in "[,a]{0,9}",
            word in prop_oneof![
                3 => prop::sample::select(TEXTS).prop_map(str::to_owned),
                1 => "(buy|sell|b|12345678)?\\x00{0,2}",
                1 => "[bsuyel1-9]{0,9}",
            ],
            behind in "[,\\x00a]{0,9}",
        ) {
            let words = Words::new(TEXTS, Reason::UnknownSide);
            let raw = [before.as_str(), &word, &behind].concat();
            let place = (before.len(), before.len() + word.len());
            let found = words.short_place(raw.as_bytes(), place).map(usize::from);
            let plain = words.place(word.as_bytes());
            prop_assert!(found.is_none() || found == plain, "{found:?}, {plain:?}");
            if word.len() + behind.len() >= 8 && (1..=8).contains(&word.len()) {
                prop_assert_eq!(found, plain);
            }
        }
    }
}
