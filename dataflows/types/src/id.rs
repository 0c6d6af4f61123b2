//! Ids: a newtype for each kind.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::digest::digest128;

/// An interned text: a wallet, a venue, a market, an order id. Given in the order of the log, so
/// it never decides an order that can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sym(NonZeroU32);

impl Sym {
    /// Makes the name with this index.
    ///
    /// # Panics
    /// If the index is `u32::MAX`.
    #[inline]
    pub fn from_index(index: u32) -> Self {
        Self(NonZeroU32::MIN.checked_add(index).expect("fewer than 2^32 names"))
    }

    /// Counted from zero in the order of the log.
    pub const fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// An interned (venue, asset): two venues' "BTC" never meet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct AssetId(pub u32);

/// The set of events that were admitted together: the only time inside a dataflow.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of an event at its venue: a canonical number below 2^127 as itself, any other text as
/// 127 bits of its pinned digest behind a set top bit. So numbers order by value, before texts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct EventId(u128);

const TEXT: u128 = 1 << 127;

impl EventId {
    /// The id of what has none, such as a settlement among a ledger's errors; no number has it, and
    /// a text only by a collision of its digest.
    pub const NONE: Self = Self(u128::MAX);

    /// Makes the id of a text.
    #[inline]
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        if let Some(number) = short_number(bytes) {
            return Self(u128::from(number));
        }
        let canonical = matches!(bytes, [b'0'] | [b'1'..=b'9', ..]) && bytes.len() <= 39;
        if canonical
            && bytes.iter().all(u8::is_ascii_digit)
            && let Ok(number) = text.parse::<u128>()
            && number < TEXT
        {
            return Self(number);
        }
        Self(digest128(bytes) | TEXT)
    }

    /// The id with these 128 bits, as [`EventId::raw`] gave them.
    #[inline]
    pub const fn from_raw(raw: u128) -> Self {
        Self(raw)
    }

    /// The id of a number's canonical text.
    pub fn of_number(number: u64) -> Self {
        Self(number.into())
    }

    /// Whether the text itself can't be told from the id alone.
    #[inline]
    pub const fn is_digest(self) -> bool {
        self.0 & TEXT != 0
    }

    /// The 128 bits.
    #[inline]
    pub const fn raw(self) -> u128 {
        self.0
    }
}

/// A canonical number of at most 19 digits, as nearly all counted ids are.
#[inline]
fn short_number(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [b'0'] => return Some(0),
        [b'1'..=b'9', ..] if bytes.len() <= 19 => {}
        _ => return None,
    }
    let mut number = 0u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits fit 64 bits.
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(number)
}

/// Decimal digits of a number, 32 hex digits of a digest.
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_digest() { write!(f, "{:032x}", self.0) } else { write!(f, "{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_themselves_and_other_texts_are_digests() {
        for text in [
            "0",
            "7",
            "735683259",
            "9999999999999999999",
            "10000000000000000000",
            "170141183460469231731687303715884105727",
        ] {
            assert_eq!(EventId::new(text).to_string(), text);
        }
        for text in ["007", "-1", "", "12a", "170141183460469231731687303715884105728", "t/buy"] {
            let id = EventId::new(text);
            assert!(id.is_digest(), "{text}");
            assert_eq!(id.to_string().len(), 32);
        }
        assert!(EventId::new("9") < EventId::new("10"));
        assert!(EventId::new("99999999999999999999999") < EventId::new("a"));
    }
}
