//! The pinned digests: values that hold on every machine and in every release of Tapeline. XXH3,
//! which its specification fixes, and [`Fold`], which the tests here fix.

use twox_hash::{XxHash3_64, XxHash3_128};

/// Returns 128 bits of the bytes' digest (XXH3-128, seed 0).
pub fn digest128(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// [`digest128`] of bytes that come in pieces.
#[derive(Default)]
pub struct Digest128(XxHash3_128);

impl Digest128 {
    /// Starts before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes behind those before.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The digest of all bytes.
    pub fn finish(&self) -> u128 {
        self.0.finish_128()
    }
}

/// Returns 64 bits of the bytes' digest (XXH3-64, seed 0).
pub fn digest64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// 64 bits of a few words, at one multiplication a word: for what is hashed once a row. The upper
/// and lower halves of (state ^ word) x a constant are folded into the next state, as wyhash does.
#[derive(Clone, Copy, Debug)]
pub struct Fold(u64);

impl Fold {
    /// Starts with a seed.
    #[inline]
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x2d35_8dcc_aa6c_78a5)
    }

    /// Adds a word.
    #[inline]
    pub fn add(&mut self, word: u64) {
        let (low, high) = (self.0 ^ word).carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
        self.0 = low ^ high;
    }

    /// Adds a number of 128 bits.
    #[inline]
    pub fn add_wide(&mut self, number: i128) {
        if let Ok(narrow) = i64::try_from(number) {
            self.add(narrow.cast_unsigned());
            return;
        }
        let [low, high] = halves(number.cast_unsigned());
        self.add(low);
        self.add(high);
        // A wide number never stands for two narrow ones.
        self.add(u64::MAX);
    }

    /// Adds a text and its length.
    #[inline]
    pub fn add_text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.add(tail(bytes, rest));
        }
        self.add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// The 64 bits.
    #[inline]
    pub const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}

/// The last bytes of a text as a word: with those before them where there are some, so that they
/// are read at once.
#[inline]
fn tail(bytes: &[u8], rest: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The lower and the upper 64 bits.
#[inline]
pub fn halves(number: u128) -> [u64; 2] {
    let low = number & u128::from(u64::MAX);
    [low, number >> 64].map(|half| u64::try_from(half).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn digests_are_pinned() {
        // Test vectors of the XXH3 specification for empty input.
        assert_eq!(digest64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(digest128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }

    fn folded(text: &str) -> u64 {
        let mut fold = Fold::new(0);
        fold.add_text(text);
        fold.finish()
    }

    #[test]
    fn folds_are_pinned_and_differ() {
        assert_eq!([folded(""), folded("w36310"), folded("0x00000000000000000000")], PINNED);
        let text = "0123456789abcdef0123456789abcdef";
        let parts =
            (0..=text.len()).flat_map(|end| (0..end).filter_map(move |start| text.get(start..end)));
        let parts: BTreeSet<&str> = parts.collect();
        let folds: BTreeSet<u64> = parts.iter().map(|part| folded(part)).collect();
        assert_eq!(folds.len(), parts.len());
        let wide = |number: i128| {
            let mut fold = Fold::new(0);
            fold.add_wide(number);
            fold.finish()
        };
        let numbers = (-1000..1000).flat_map(|n: i128| [n, n << 64, (n << 64) + 1, n << 100]);
        let numbers: BTreeSet<i128> = numbers.collect();
        let folds: BTreeSet<u64> = numbers.iter().map(|n| wide(*n)).collect();
        assert_eq!(folds.len(), numbers.len());
    }

    const PINNED: [u64; 3] = [0xee98_cc7b_b874_81eb, 0xfe83_aa17_1fd4_99d6, 0x4f44_3b6f_83c5_b379];
}
