//! Exact decimals: from text, to text, and the arithmetic that expressions use.
//!
//! A number is `mantissa x 10^-scale`. Nothing here goes through a float; one leaves
//! by [`Decimal::nearest_float`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use ethnum::I256;
use serde::{Deserialize, Serialize};

use crate::spell::with_scaled;
pub use divide::{div_half_even, div_rem_nano, mul_div_half_even};
use parse::{digits, rescale};
pub use parse::{equal_bytes, parse_scaled, parse_small};

mod divide;
mod float;
mod parse;

/// The largest scale that a [`Decimal`] may have.
pub const SCALE_MAX: u8 = 36;

/// Says why a text isn't a number that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text isn't a decimal number.
    #[error("not a number")]
    NotANumber,
    /// More decimals than the target holds, and no rounding was asked for.
    #[error("more than {0} decimals")]
    TooManyDecimals(u8),
    /// Too large for the target.
    #[error("out of range")]
    OutOfRange,
}

/// What to do with decimals that don't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Refuses them.
    Exact,
    /// Rounds to the nearest, ties to the even neighbour.
    HalfEven,
}

/// Returns 10^n, or `None` where it doesn't fit (n above 38).
pub fn pow10(n: u32) -> Option<i128> {
    10i128.checked_pow(n)
}

/// Writes `raw x 10^-scale` as the shortest decimal: `6`, `0.5`, `-0.000000001`.
///
/// # Errors
/// If the target refuses, or `scale` is above 38.
pub fn write_scaled(f: &mut impl fmt::Write, raw: i128, scale: u8) -> fmt::Result {
    if scale > 38 {
        return Err(fmt::Error);
    }
    with_scaled(raw, scale, |text| f.write_str(text))
}

/// An exact decimal of up to 38 digits. Always in its shortest form, so that equal numbers are
/// equal bit by bit; ordered by value.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
pub struct Decimal {
    /// Little-endian. As an `i128` it would be aligned to 16 bytes, and a [`crate::Value`] take 48
    /// instead of 24.
    mantissa: [u8; 16],
    scale: u8,
}

/// How a decimal is serialised.
#[derive(Serialize, Deserialize)]
struct Parts {
    mantissa: i128,
    scale: u8,
}

impl From<Parts> for Decimal {
    fn from(Parts { mantissa, scale }: Parts) -> Self {
        Self::of(mantissa, scale)
    }
}

impl From<Decimal> for Parts {
    fn from(decimal: Decimal) -> Self {
        Self { mantissa: decimal.mantissa(), scale: decimal.scale }
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.mantissa(), self.scale).hash(state);
    }
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self::of(0, 0);

    /// A number in its shortest form.
    const fn of(mantissa: i128, scale: u8) -> Self {
        Self { mantissa: mantissa.to_le_bytes(), scale }
    }

    /// Makes `mantissa x 10^-scale`.
    ///
    /// # Panics
    /// If `scale` is above [`SCALE_MAX`].
    pub fn new(mut mantissa: i128, mut scale: u8) -> Self {
        assert!(scale <= SCALE_MAX, "scale {scale} is above {SCALE_MAX}");
        // Divisions of 128 bits cost ten times as much, and few numbers need them.
        if let Ok(mut narrow) = i64::try_from(mantissa) {
            while scale > 0 && narrow % 10 == 0 {
                narrow /= 10;
                scale -= 1;
            }
            return Self::of(narrow.into(), scale);
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self::of(mantissa, scale)
    }

    /// Reads a decimal of any scale up to [`SCALE_MAX`].
    ///
    /// # Errors
    /// Not a number, too many decimals, or more than 38 digits.
    pub fn parse(text: &[u8]) -> Result<Self, NumberError> {
        let (mantissa, exponent, lost) = digits(text)?;
        let scale = u8::try_from((-exponent).clamp(0, i64::from(SCALE_MAX))).unwrap_or(0);
        Ok(Self::new(rescale(mantissa, exponent, scale, Rounding::Exact, lost)?, scale))
    }

    /// The number x 10^`scale`, rounded half-even; `None` where it doesn't fit.
    pub fn at_scale(self, scale: u8) -> Option<i128> {
        if self.scale <= scale {
            return self.mantissa().checked_mul(pow10(u32::from(scale - self.scale))?);
        }
        Some(div_half_even(self.mantissa(), pow10(u32::from(self.scale - scale))?))
    }

    /// The mantissa of the shortest form.
    pub const fn mantissa(self) -> i128 {
        i128::from_le_bytes(self.mantissa)
    }

    /// The scale of the shortest form.
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// Whether the number is below zero.
    pub fn is_negative(self) -> bool {
        self.mantissa() < 0
    }

    /// The number without its sign; `None` where it doesn't fit.
    pub fn checked_abs(self) -> Option<Self> {
        Some(Self::of(self.mantissa().checked_abs()?, self.scale))
    }

    /// The number with the other sign; `None` where it doesn't fit.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self::of(self.mantissa().checked_neg()?, self.scale))
    }

    /// The exact sum; `None` where it doesn't fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let (a, b) = (self.widened(scale)?, other.widened(scale)?);
        Some(Self::new(a.checked_add(b)?, scale))
    }

    /// The exact difference; `None` where it doesn't fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    /// The exact product; `None` where it doesn't fit.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let scale = self.scale.checked_add(other.scale).filter(|s| *s <= SCALE_MAX)?;
        Some(Self::new(self.mantissa().checked_mul(other.mantissa())?, scale))
    }

    /// The quotient, rounded half-even at 1e-9; `None` for a zero divisor or where it doesn't fit.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        if other.mantissa() == 0 {
            return None;
        }
        // a/10^s / (b/10^t) x 10^9 = a x 10^(t+9-s) / b: only one side grows, so that what fits is
        // seldom refused on the way.
        let (up, down) = (u32::from(other.scale) + 9, u32::from(self.scale));
        if up >= down {
            let factor = pow10(up - down)?;
            return Some(Self::new(
                mul_div_half_even(self.mantissa(), factor, other.mantissa())?,
                9,
            ));
        }
        if let Some(divisor) = other.mantissa().checked_mul(pow10(down - up)?) {
            return Some(Self::new(div_half_even(self.mantissa(), divisor), 9));
        }
        // A divisor beyond 128 bits: the quotient is below one unit, and a tie goes to zero.
        let divisor = I256::from(other.mantissa()) * I256::from(10).pow(down - up);
        let is_unit = (I256::from(self.mantissa()) * I256::from(2)).abs() > divisor.abs();
        let same_sign = (self.mantissa() < 0) == (other.mantissa() < 0);
        Some(Self::new(i128::from(is_unit) * if same_sign { 1 } else { -1 }, 9))
    }

    fn widened(self, scale: u8) -> Option<i128> {
        self.mantissa().checked_mul(pow10(u32::from(scale - self.scale))?)
    }
}

impl From<i64> for Decimal {
    fn from(n: i64) -> Self {
        Self::new(n.into(), 0)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        if let (Some(a), Some(b)) = (self.widened(scale), other.widened(scale)) {
            return a.cmp(&b);
        }
        let wide =
            |d: &Self| I256::from(d.mantissa()) * I256::from(10).pow(u32::from(scale - d.scale));
        wide(self).cmp(&wide(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.mantissa(), self.scale)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
