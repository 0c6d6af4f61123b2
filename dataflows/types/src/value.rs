//! `Value`: what a column holds when it leaves its struct. Totally ordered, one spelling a value.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fixed::{Money, Price, Size};
use crate::number::{Decimal, div_half_even};
use crate::short::ShortText;
use crate::time::VenueTime;

/// A text that is cheap to clone: a word of the program, shared, or short.
#[derive(Clone)]
pub enum Text {
    /// A word of the program.
    Word(&'static str),
    /// A text that came from outside.
    Shared(Arc<str>),
    /// A short text, copied.
    Short(ShortText),
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Shared(text) => text,
            Self::Short(text) => text.as_str(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Shared(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A float that is never NaN nor infinite and has one zero: features and scores, never money.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Float(f64);

impl Float {
    /// Takes a finite number; `None` for NaN and the infinities.
    pub fn new(number: f64) -> Option<Self> {
        // -0.0 and 0.0 are one value, spelt one way.
        number.is_finite().then_some(Self(if number == 0.0 { 0.0 } else { number }))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The decimal next to it with 15 decimals at most, ties to even; `None` where it doesn't fit 38
    /// digits: from 1e38 on. Made of the float's bits (IEEE 754) by whole numbers alone, so it is the same
    /// everywhere.
    pub fn decimal(self) -> Option<Decimal> {
        const FRACTION: u32 = 52;
        const DECIMALS: u8 = 15;
        const BEYOND: i128 = 10i128.pow(38);
        let bits = self.0.to_bits();
        let fraction = bits & ((1 << FRACTION) - 1);
        let exponent = u32::try_from((bits >> FRACTION) & 0x7ff).unwrap_or_default();
        // Subnormals have the exponent of the least normal numbers, and no leading one.
        let leading = if exponent == 0 { 0 } else { 1 << FRACTION };
        let shift = exponent.max(1).cast_signed() - 1_075;
        let whole = i128::from(fraction | leading);
        let (magnitude, decimals) = match shift.unsigned_abs() {
            // From 2^53 on floats are whole: decimals would only take room.
            left if shift >= 0 && left < whole.leading_zeros() => (whole << left, 0),
            _ if shift >= 0 => return None,
            // 53 and 50 bits.
            right if right < 127 => {
                (div_half_even(whole * 10i128.pow(DECIMALS.into()), 1 << right), DECIMALS)
            }
            _ => (0, 0),
        };
        let number = if self.0.is_sign_negative() { -magnitude } else { magnitude };
        (magnitude < BEYOND).then(|| Decimal::new(number, decimals))
    }
}

impl Eq for Float {}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Float {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// Any number that isn't a float, counts included.
    Number(Decimal),
    /// A feature or score.
    Float(Float),
    /// An event time.
    Time(VenueTime),
    /// A text.
    Text(Text),
}

// Rows are made of them: what they take is what most of a row costs.
const _: () = assert!(size_of::<Value>() == 24, "a value is as large as its text");

impl Value {
    /// A word of the program as a value.
    pub const fn word(word: &'static str) -> Self {
        Self::Text(Text::Word(word))
    }

    /// Whether this is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Says how a plain type becomes a value.
macro_rules! into_value {
    ($($type:ty => |$v:ident| $make:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from($v: $type) -> Self {
                $make
            }
        })*
    };
}

into_value! {
    bool => |v| Self::Bool(v),
    Decimal => |v| Self::Number(v),
    Price => |v| Self::Number(v.into()),
    Size => |v| Self::Number(v.into()),
    Money => |v| Self::Number(v.rounded().into()),
    u64 => |v| Self::Number(Decimal::new(v.into(), 0)),
    i64 => |v| Self::Number(Decimal::new(v.into(), 0)),
    Float => |v| Self::Float(v),
    VenueTime => |v| Self::Time(v),
    Text => |v| Self::Text(v),
    &Text => |v| Self::Text(v.clone()),
    &ShortText => |v| Self::Text(Text::Short(*v)),
    &'static str => |v| Self::word(v),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_the_decimals_next_to_them() {
        for (float, decimal) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e22, "10000000000000000000000"),
            // 2^53 and 2^100, and what lies before and behind 1e38.
            (9_007_199_254_740_992.0, "9007199254740992"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (-1_267_650_600_228_229_401_496_703_205_376.0, "-1267650600228229401496703205376"),
            (2e23, "199999999999999983222784"),
            (1e38, "99999999999999997748809823456034029568"),
            (123_456.789, "123456.789000000004307"),
            // Halves of the last digit go to the even neighbour: 2^-16 x 5 is exact in 16 decimals.
            (0.000_015_258_789_062_5, "0.000015258789062"),
            (0.000_045_776_367_187_5, "0.000045776367188"),
            (4e-16, "0"),
            (f64::MIN_POSITIVE, "0"),
            (5e-324, "0"),
        ] {
            let found = Float::new(float).unwrap().decimal();
            assert_eq!(found, Some(Decimal::parse(decimal.as_bytes()).unwrap()), "{float}");
        }
        for large in [1.000_000_000_000_000_1e38, 1.7e38, -2e38, f64::MAX] {
            assert_eq!(Float::new(large).unwrap().decimal(), None, "{large}");
        }
    }
}
