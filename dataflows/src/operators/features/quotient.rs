//! Floats of whole numbers: the nearest, ties to even.

use ethnum::{I256, U256};

/// The float next to a quotient; `None` where the divisor is zero. It is rounded once, so that a quotient
/// that is a float is that float: where all trade at one price, the mean price is that price. Only where a
/// divisor has more than 200 bits, to which no window comes near, both are rounded first: it would take
/// 2^52 of the largest sizes.
pub(super) fn quotient(number: I256, divisor: I256) -> Option<f64> {
    if divisor == I256::ZERO {
        return None;
    }
    if let (Some(number), Some(divisor)) = (exact(number), exact(divisor)) {
        return Some(number / divisor);
    }
    let Some(size) = divided(number.unsigned_abs(), divisor.unsigned_abs()) else {
        return Some(float(number) / float(divisor));
    };
    Some(if number.is_negative() == divisor.is_negative() { size } else { -size })
}

/// A whole number that is a float.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "of at most 53 bits")]
fn exact(number: I256) -> Option<f64> {
    const EXACT: u64 = 1 << 53;
    let number = i64::try_from(number).ok()?;
    (number.unsigned_abs() <= EXACT).then_some(number as f64)
}

/// The quotient in 55 or 56 bits, of which the lowest is set where anything is left, so that it lies beyond
/// what rounding looks at; then rounded. `None` for a divisor of more than 200 bits.
fn divided(number: U256, divisor: U256) -> Option<f64> {
    const BITS: u32 = 55;
    // Without its twos, which only move the point, a divisor seldom needs more than 128 bits.
    let n_twos = divisor.trailing_zeros();
    let divisor = divisor >> n_twos;
    let n_bits = |number: U256| U256::BITS - number.leading_zeros();
    if n_bits(divisor) >= U256::BITS - BITS {
        return None;
    }
    let (wanted, found) = (n_bits(divisor) + BITS, n_bits(number));
    let (up, down) = (wanted.saturating_sub(found), found.saturating_sub(wanted));
    let (number, divisor) = (number << up, divisor << down);
    let short = u128::try_from(number).ok().zip(u128::try_from(divisor).ok());
    let (whole, has_rest) = if let Some((number, divisor)) = short {
        (number / divisor, !number.is_multiple_of(divisor))
    } else {
        let whole = number / divisor;
        (whole.as_u128(), whole * divisor != number)
    };
    let power = i64::from(down) - i64::from(up) - i64::from(n_twos);
    Some(rounded(whole | u128::from(has_rest)) * power_of_two(power))
}

/// The float next to a whole number.
pub(super) fn float(number: I256) -> f64 {
    // The highest 128 bits, and whether any below is set: their rounding is that of the whole.
    let magnitude = number.unsigned_abs();
    let shift = 128_u32.saturating_sub(magnitude.leading_zeros());
    let highest = (magnitude >> shift).as_u128();
    let has_rest = magnitude.trailing_zeros() < shift;
    let size = rounded(highest | u128::from(has_rest)) * power_of_two(shift.into());
    if number.is_negative() { -size } else { size }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "rounds as documented")]
fn rounded(number: u128) -> f64 {
    number as f64
}

/// 2 to a power of at most three digits.
pub(super) fn power_of_two(power: i64) -> f64 {
    f64::from_bits(u64::try_from((1023 + power) << 52).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use num_rational::BigRational;
    use num_traits::Signed;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_are_the_nearest() {
        let mut numbers = vec![I256::ZERO, I256::ONE, I256::MAX, I256::MIN, I256::from(i128::MIN)];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for power in 0..254_u32 {
            seed = crate::route::mix(seed);
            let random = I256::from(seed) * I256::from(crate::route::mix(seed)) + I256::from(seed);
            let power = I256::ONE << power;
            // Ties, and their neighbours.
            for add in [-3, -1, 0, 1, 2] {
                let sticky = power + (power >> 53) + I256::from(add);
                numbers.extend([power + I256::from(add), sticky, -sticky, random % power]);
            }
        }
        for number in numbers {
            let expected: f64 = number.to_string().parse().unwrap();
            assert_eq!(float(number).to_bits(), expected.to_bits(), "{number}");
        }
        let power = 1.0_f64 / 72_057_594_037_927_936.0;
        assert_eq!(power_of_two(-56).to_bits(), power.to_bits());
    }

    fn big(number: I256) -> BigInt {
        number.to_string().parse().unwrap()
    }

    /// No float lies nearer; of two that lie as near it is the even one.
    fn check(number: I256, divisor: I256) {
        let found = quotient(number, divisor).unwrap();
        let exact = BigRational::new(big(number), big(divisor));
        let distance = |float: f64| (BigRational::from_float(float).unwrap() - &exact).abs();
        let own = distance(found);
        for other in [found.next_up(), found.next_down()] {
            let other = distance(other);
            let is_even = found.to_bits() & 1 == 0;
            assert!(own < other || (own == other && is_even), "{number} / {divisor}: {found:e}");
        }
    }

    /// Numbers of all lengths up to some bits.
    fn number(n_bits: u32) -> impl Strategy<Value = I256> {
        (any::<i128>(), any::<i128>(), 256 - n_bits..256)
            .prop_map(|(high, low, shift)| I256::from_words(high, low) >> shift)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

        #[test]
        fn quotients_are_the_nearest(n in number(256), d in number(201)) {
            prop_assume!(d != I256::ZERO);
            check(n, d);
        }

        #[test]
        fn quotients_near_ties_are_the_nearest(
            (bits, n_bits) in (any::<u64>(), 0u32..60),
            d in number(120),
            by in -1i8..2,
        ) {
            prop_assume!(d != I256::ZERO);
            // Half-way between two floats, and next to it.
            let half = I256::from((bits >> 10) | (1 << 53) | 1);
            check(((half * d) << n_bits) + I256::from(by), d << 1);
        }

        #[test]
        fn factors_cancel(value in any::<i64>(), d in number(190)) {
            prop_assume!(d != I256::ZERO);
            let expected = float(I256::from(value));
            let found = quotient(I256::from(value) * d, d).unwrap();
            prop_assert_eq!(found.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(quotient(I256::ONE, I256::ZERO), None);
        assert_eq!(quotient(I256::ZERO, I256::from(-7)).map(f64::abs), Some(0.0));
    }
}
