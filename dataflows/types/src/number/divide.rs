//! Division that rounds half-even. Magnitudes of 64 bits take one or two divisions of the processor;
//! only beyond them is there arithmetic of 256 bits.

use std::cmp::Ordering;

use ethnum::I256;

/// Divides, rounding to the nearest, ties to the even neighbour.
///
/// # Panics
/// If `d` is zero.
pub fn div_half_even(n: i128, d: i128) -> i128 {
    assert!(d != 0, "division by zero");
    let (whole, divisor) = (n.unsigned_abs(), d.unsigned_abs());
    let quotient = whole / divisor;
    // Not `%`, which would divide again.
    let rest = whole - quotient * divisor;
    let rounded = quotient + u128::from(rounds_up(rest, divisor, quotient));
    // Only -2^127 / -1 doesn't fit.
    signed(rounded, (n < 0) != (d < 0)).expect("the quotient fits 128 bits")
}

/// Computes `a x b / d` exactly, rounded half-even once; `None` where the result doesn't fit.
///
/// # Panics
/// If `d` is zero.
#[inline]
pub fn mul_div_half_even(a: i128, b: i128, d: i128) -> Option<i128> {
    assert!(d != 0, "division by zero");
    if b == d {
        return Some(a);
    }
    let narrow = (u64::try_from(b.unsigned_abs()), u64::try_from(d.unsigned_abs()));
    let (Ok(factor), Ok(divisor)) = narrow else { return wide(a, b, d) };
    let magnitude = narrow_mul_div(a.unsigned_abs(), factor, divisor)?;
    signed(magnitude, ((a < 0) != (b < 0)) != (d < 0))
}

/// `a x b / d` by 192 bits over 64, in two steps.
fn narrow_mul_div(a: u128, b: u64, d: u64) -> Option<u128> {
    let (factor, divisor) = (u128::from(b), u128::from(d));
    // Neither can overflow: 64 x 64 bits, and what is carried fits beside such a product.
    let lower = u128::from(low(a)).wrapping_mul(factor);
    let upper = (a >> 64).wrapping_mul(factor).wrapping_add(lower >> 64);
    let (first, rest) = if let Ok(upper) = u64::try_from(upper) {
        (upper / d, upper % d)
    } else {
        let first = upper / divisor;
        (u64::try_from(first).ok()?, low(upper.wrapping_sub(first.wrapping_mul(divisor))))
    };
    let rest = (u128::from(rest) << 64) | u128::from(low(lower));
    let second = rest / divisor;
    let rest = rest.wrapping_sub(second.wrapping_mul(divisor));
    let quotient = (u128::from(first) << 64) | second;
    quotient.checked_add(u128::from(rounds_up(rest, divisor, quotient)))
}

/// `a x b / d` for all that 128 bits hold.
#[cold]
fn wide(a: i128, b: i128, d: i128) -> Option<i128> {
    let product = I256::from(a) * I256::from(b);
    let divisor = I256::from(d);
    let (quotient, rest) = (product / divisor, product % divisor);
    let twice = rest.abs() * I256::from(2);
    let up = match twice.cmp(&divisor.abs()) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient % I256::from(2) != I256::ZERO,
    };
    let same_sign = product.is_negative() == divisor.is_negative();
    let away = if same_sign { I256::ONE } else { -I256::ONE };
    i128::try_from(if up { quotient + away } else { quotient }).ok()
}

/// Quotient and rest by `5^9 x 2^TWOS`: by 1e9 (9), by 2e9 (10). Without a division of 128 bits below
/// `2^(107 + TWOS)`: the twos are shifted out, and what is left divides in two steps of 64 bits.
#[inline]
pub fn div_rem_nano<const TWOS: u32>(amount: u128) -> (u128, u64) {
    const ODD: u64 = 5u64.pow(9);
    // The rest is below 2^21, so that it fits 64 bits beside as many lower ones.
    const LIMB: u32 = 43;
    let unit = ODD << TWOS;
    if let Ok(amount) = u64::try_from(amount) {
        return ((amount / unit).into(), amount % unit);
    }
    let lowest = |bits: u128, n: u32| low(bits) & ((1 << n) - 1);
    let shifted = amount >> TWOS;
    if let Ok(high) = u64::try_from(shifted >> LIMB) {
        let lower = ((high % ODD) << LIMB) | lowest(shifted, LIMB);
        let quotient = (u128::from(high / ODD) << LIMB) | u128::from(lower / ODD);
        return (quotient, ((lower % ODD) << TWOS) | lowest(amount, TWOS));
    }
    let quotient = amount / u128::from(unit);
    (quotient, low(amount - quotient * u128::from(unit)))
}

/// Whether a quotient with this rest rounds up, ties to even.
const fn rounds_up(rest: u128, divisor: u128, quotient: u128) -> bool {
    // The rest is below the divisor, so doubling it might not fit.
    let missing = divisor - rest;
    rest > missing || (rest == missing && quotient % 2 == 1)
}

/// A magnitude with its sign; `None` where it doesn't fit.
fn signed(magnitude: u128, is_negative: bool) -> Option<i128> {
    if is_negative {
        return 0i128.checked_sub_unsigned(magnitude);
    }
    i128::try_from(magnitude).ok()
}

/// The lower half.
#[expect(clippy::as_conversions, reason = "takes 64 of the bits")]
#[expect(clippy::cast_possible_truncation, reason = "takes 64 of the bits")]
const fn low(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of all lengths, and those at the edges of 32, 64 and 128 bits.
    fn number() -> impl Strategy<Value = i128> {
        let edges = [0, 1, 2, 3, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 1 << 65, i128::MAX, i128::MIN];
        let edge = (prop::sample::select(edges.to_vec()), -2i128..3)
            .prop_map(|(edge, by)| edge.wrapping_add(by));
        let any = (any::<i128>(), 0u32..127).prop_map(|(number, shift)| number >> shift);
        prop_oneof![edge, any]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn products_are_divided_as_with_256_bits(a in number(), b in number(), d in number()) {
            prop_assume!(d != 0);
            prop_assert_eq!(mul_div_half_even(a, b, d), wide(a, b, d));
        }

        #[test]
        fn numbers_are_divided_as_with_256_bits(n in number(), d in number()) {
            prop_assume!(d != 0 && (n, d) != (i128::MIN, -1));
            prop_assert_eq!(Some(div_half_even(n, d)), wide(n, 1, d));
        }

        #[test]
        fn units_of_nine_decimals_divide_as_others(n in number()) {
            let (n, nano) = (n.unsigned_abs(), 1_000_000_000);
            prop_assert_eq!(div_rem_nano::<9>(n), (n / nano, low(n % nano)));
            prop_assert_eq!(div_rem_nano::<10>(n), (n / (2 * nano), low(n % (2 * nano))));
        }

        #[test]
        fn ties_go_to_the_even_neighbour(q in -1_000_000i128..1_000_000, half in 1i128..1_000_000_000) {
            let d = 2 * half;
            prop_assert_eq!(mul_div_half_even(q * d + half, 3, 3 * d), Some(q + (q & 1)));
            prop_assert_eq!(div_half_even(q * d + half, d), q + (q & 1));
        }
    }
}
