//! `Price`, `Size`, `Money`: integers with a fixed scale. Overflow is an answer, never a wrap.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::number::{
    Decimal, NumberError, Rounding, div_half_even, mul_div_half_even, parse_scaled, write_scaled,
};
use crate::spell::nano_of_atto;

/// Decimals of prices and sizes, and of money on its way out.
pub const SCALE: u8 = 9;
/// Decimals of money inside.
pub const MONEY_SCALE: u8 = 18;
/// One whole at scale 9.
pub const ONE: i64 = 1_000_000_000;

/// Declares what the three share: raw value, text both ways, `Decimal`.
macro_rules! fixed {
    ($(#[$doc:meta])* $name:ident($raw:ty), scale $scale:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name($raw);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// The integer inside, in units of this type's scale.
            pub const fn raw(self) -> $raw {
                self.0
            }

            /// Reads a decimal text; `rounding` says what becomes of too many decimals.
            ///
            /// # Errors
            /// [`NumberError`]: no number, more than 9 decimals, out of range.
            pub fn parse(text: &[u8], rounding: Rounding) -> Result<Self, NumberError> {
                let raw = parse_scaled(text, SCALE, rounding)?;
                Self::from_nano(raw).ok_or(NumberError::OutOfRange)
            }

            /// Whether the value is zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl From<$name> for Decimal {
            fn from(value: $name) -> Self {
                Self::new(value.0.into(), $scale)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_scaled(f, self.0.into(), $scale)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

fixed! {
    /// What one unit costs, in units of 1e-9. Below 1e9 in size, so that it fits ClickHouse's
    /// `Decimal(18, 9)`.
    Price(i64), scale SCALE
}

fixed! {
    /// A quantity in units of 1e-9, with a sign where it is a position. At most 38 digits.
    Size(i128), scale SCALE
}

fixed! {
    /// An amount in units of 1e-18, so that price x size is exact.
    Money(i128), scale MONEY_SCALE
}

impl Price {
    /// The largest raw value.
    pub const MAX_RAW: i64 = 999_999_999_999_999_999;

    /// Makes a price from units of 1e-9; `None` from 1e9 on.
    #[inline]
    pub fn from_nano(raw: i128) -> Option<Self> {
        let raw = i64::try_from(raw).ok()?;
        (-Self::MAX_RAW..=Self::MAX_RAW).contains(&raw).then_some(Self(raw))
    }
}

impl Size {
    /// The largest raw value: 38 digits, what `Decimal(38, 9)` holds.
    pub const MAX_RAW: i128 = 10i128.pow(38) - 1;

    /// Makes a size from units of 1e-9; `None` above 38 digits.
    #[inline]
    pub fn from_nano(raw: i128) -> Option<Self> {
        (-Self::MAX_RAW..=Self::MAX_RAW).contains(&raw).then_some(Self(raw))
    }

    /// Makes a size from units of 1e-9.
    pub fn of_nanos(raw: i64) -> Self {
        Self(raw.into())
    }

    /// The sum; `None` where it doesn't fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::from_nano(self.0.checked_add(other.0)?)
    }

    /// The difference; `None` where it doesn't fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::from_nano(self.0.checked_sub(other.0)?)
    }

    /// The size without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// The size with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }

    /// -1, 0 or 1.
    pub const fn signum(self) -> i128 {
        self.0.signum()
    }

    /// What this size costs at a price, exactly; `None` where it doesn't fit.
    pub fn checked_mul_price(self, price: Price) -> Option<Money> {
        // 64 x 64 bits can't overflow.
        if let Ok(size) = i64::try_from(self.0) {
            return Some(Money(i128::from(size).wrapping_mul(price.0.into())));
        }
        Some(Money(self.0.checked_mul(price.0.into())?))
    }
}

impl Money {
    /// Units of 1e-18 in one of 1e-9.
    const NANO: i128 = 1_000_000_000;
    /// Below this a number of 1e-9 surely fits as one of 1e-18.
    const NANO_SURE: u128 = 1 << 96;

    /// Makes money from units of 1e-18.
    pub const fn from_raw(raw: i128) -> Self {
        Self(raw)
    }

    /// Makes money from units of 1e-9; `None` where it doesn't fit.
    pub fn from_nano(raw: i128) -> Option<Self> {
        Some(Self(raw.checked_mul(Self::NANO)?))
    }

    /// Makes money from units of 1e-9.
    pub fn of_nanos(raw: i64) -> Self {
        // 64 x 30 bits can't overflow.
        Self(i128::from(raw).wrapping_mul(Self::NANO))
    }

    /// Units of 1e-9, rounded half-even: how money leaves.
    pub fn to_nano_half_even(self) -> i128 {
        nano_of_atto(self.0)
    }

    /// Units of 1e-9, rounded half-even; `None` where the amount leaves unrounded, because it is one
    /// of the few at the ends of 128 bits whose rounded value doesn't fit them.
    pub(crate) fn rounded_nano(self) -> Option<i128> {
        let nano = self.to_nano_half_even();
        let fits = nano.unsigned_abs() < Self::NANO_SURE || nano.checked_mul(Self::NANO).is_some();
        fits.then_some(nano)
    }

    /// The amount rounded half-even to 1e-9, as it leaves.
    #[must_use]
    pub fn rounded(self) -> Self {
        // Rounding moves by less than a nano, and i128's bounds aren't multiples of one.
        Self(self.to_nano_half_even().checked_mul(Self::NANO).unwrap_or(self.0))
    }

    /// The sum; `None` where it doesn't fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self(self.0.checked_add(other.0)?))
    }

    /// The difference; `None` where it doesn't fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self(self.0.checked_sub(other.0)?))
    }

    /// The amount with the other sign; `None` where it doesn't fit.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self(self.0.checked_neg()?))
    }

    /// The share `self x part / whole`, rounded half-even at 1e-18; `None` where it doesn't fit.
    ///
    /// # Panics
    /// If `whole` is zero.
    pub fn share_half_even(self, part: Size, whole: Size) -> Option<Self> {
        Some(Self(mul_div_half_even(self.0, part.0, whole.0)?))
    }

    /// The price at which `size` costs this amount, half-even at 1e-9; `None` for no size, or where
    /// it reaches 1e9.
    pub fn price_half_even(self, size: Size) -> Option<Price> {
        if size.is_zero() {
            return None;
        }
        Price::from_nano(div_half_even(self.0, size.0))
    }
}

#[cfg(test)]
mod tests;
