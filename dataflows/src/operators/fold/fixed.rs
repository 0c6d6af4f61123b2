//! Fixed point: whole numbers of 1e-18, rounded half-even once at each step.
//!
//! `None` stands for what doesn't fit 128 bits: beyond about 1.7e20.

use std::cmp::Ordering;

use ethnum::{I256, U256};
use types::number::{div_half_even, mul_div_half_even};
use types::{Decimal, Value};

/// One.
pub(crate) const ONE: i128 = 1_000_000_000_000_000_000;

/// The decimals.
const SCALE: u8 = 18;

/// A decimal; what lies below 1e-18 is rounded half-even.
pub(crate) fn fixed(number: Decimal) -> Option<i128> {
    number.at_scale(SCALE)
}

/// What numbers leave at: 1e-9.
const UNIT: i128 = 1_000_000_000;

/// Whether a number leaves as zero.
pub(crate) fn shows_as_zero(number: i128) -> bool {
    div_half_even(number, UNIT) == 0
}

/// A value as it leaves: at 1e-9, half-even.
pub(crate) fn shown(number: Option<i128>) -> Value {
    number.map(|number| Decimal::new(div_half_even(number, UNIT), 9)).into()
}

/// The product of two, rounded once.
pub(crate) fn product(a: i128, b: i128) -> Option<i128> {
    mul_div_half_even(a, b, ONE)
}

/// The quotient of whole numbers of 256 bits, half-even; `None` for a divisor of zero.
pub(crate) fn quotient(n: I256, d: I256) -> Option<I256> {
    if d == I256::ZERO {
        return None;
    }
    let (whole, rest) = (n / d, n % d);
    let left = d.abs() - rest.abs();
    let up = match rest.abs().cmp(&left) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => whole % I256::new(2) != I256::ZERO,
    };
    let away = if n.is_negative() == d.is_negative() { I256::ONE } else { -I256::ONE };
    Some(if up { whole + away } else { whole })
}

/// The whole number next to a root; there are no ties.
pub(crate) fn root(n: U256) -> U256 {
    let below = floor_root(n);
    if n - below * below > below { below + U256::ONE } else { below }
}

/// The greatest whole number not above a root: Newton's iteration from above (Crandall and Pomerance,
/// Prime Numbers, algorithm 9.2.11).
fn floor_root(n: U256) -> U256 {
    if let Ok(narrow) = u128::try_from(n) {
        return U256::from(narrow.isqrt());
    }
    let n_bits = U256::BITS - n.leading_zeros();
    let mut root = U256::ONE << n_bits.div_ceil(2);
    loop {
        let next = (root + n / root) >> 1;
        if next >= root {
            return root;
        }
        root = next;
    }
}

/// The weight of the newest row where h rows behind a row halve its weight: 1 - 2^(-1/h), in whole
/// 1e-18.
///
/// 2^(-1/h) is the product of 2^(-2^-k) over the bits k of 1/h, and each of these is the root of the one
/// before. All of it in whole 2^-120, cut off, over 96 bits: the error is below 2^-90, far below 1e-18.
///
/// # Panics
/// If `half_life` is zero.
pub(crate) fn weight_of(half_life: u64) -> i128 {
    const FRACTION: u32 = 120;
    const N_BITS: usize = 96;
    assert!(half_life > 0, "a half-life of no rows");
    let one = U256::ONE << FRACTION;
    let (mut power, mut factor) = (one, one >> 1);
    // The long division of 1 by h gives its bits, that of 2^0 first.
    let (mut rest, divisor) = (1, u128::from(half_life));
    for _ in 0..N_BITS {
        if rest >= divisor {
            rest -= divisor;
            power = (power * factor) >> FRACTION;
        }
        rest *= 2;
        factor = floor_root(factor << FRACTION);
    }
    let scaled = (power * U256::new(ONE.unsigned_abs()) + (one >> 1)) >> FRACTION;
    i128::try_from(scaled).map_or(0, |rest| ONE - rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_lives_have_their_weights() {
        // 1/2, 1 - 2^-0.5, 1 - 2^-0.05: from the decimal expansions of the roots of 2.
        assert_eq!(weight_of(1), 500_000_000_000_000_000);
        assert_eq!(weight_of(2), 292_893_218_813_452_476);
        assert_eq!(weight_of(20), 34_063_671_075_154_449);
        for half_life in [3, 7, 100, 12_345, 1_000_000] {
            let found = 1.0 - float(weight_of(half_life)) / 1e18;
            let expected = (-1.0 / float(i128::from(half_life))).exp2();
            assert!((found - expected).abs() < 1e-15, "{half_life}: {found} {expected}");
        }
    }

    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "to compare nearly")]
    fn float(number: i128) -> f64 {
        number as f64
    }

    fn wide() -> impl Strategy<Value = I256> {
        (any::<i128>(), any::<i128>(), 0u32..256)
            .prop_map(|(high, low, shift)| I256::from_words(high, low) >> shift)
    }

    proptest! {
        #[test]
        fn roots_are_the_nearest(n in wide(), square in any::<u64>(), by in -2i8..3) {
            let near = U256::from(square) * U256::from(square);
            let near = if by < 0 { near.saturating_sub(U256::from(by.unsigned_abs())) } else { near + U256::from(by.unsigned_abs()) };
            for n in [n.unsigned_abs() >> 1, near] {
                let root = root(n);
                // (root - 1/2)^2 <= n <= (root + 1/2)^2, where no square is half-way.
                prop_assert!(root == U256::ZERO || root * root - root < n);
                prop_assert!(n <= root * root + root);
            }
        }

        #[test]
        fn quotients_are_half_even(n in -1000i64..1000, d in -30i64..30) {
            let found = quotient(I256::from(n), I256::from(d));
            let expected = (d != 0).then(|| div_half_even(n.into(), d.into()));
            prop_assert_eq!(found, expected.map(I256::from));
        }
    }
}
