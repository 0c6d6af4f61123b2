//! Exact numbers for the twins: fractions, rounded only where the rules round.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

pub(super) type Exact = BigRational;

/// A number given in units of 1e-9.
pub(super) fn nano(units: i128) -> Exact {
    Exact::new(units.into(), 1_000_000_000.into())
}

/// A number rounded half-even to some decimals.
pub(super) fn rounded(number: &Exact, places: u32) -> Exact {
    let scale = Exact::from(BigInt::from(10).pow(places));
    let scaled = number * &scale;
    let floor = scaled.floor();
    let twice_rest = (&scaled - &floor) * Exact::from(BigInt::from(2));
    let one = Exact::from(BigInt::from(1));
    let is_odd = !(floor.to_integer() % BigInt::from(2)).is_zero();
    let up = twice_rest > one || (twice_rest == one && is_odd);
    (if up { floor + one } else { floor }) / scale
}

/// The shortest decimal text of a number as it leaves: half-even at 1e-9.
pub(super) fn text(number: &Exact) -> String {
    let units = (rounded(number, 9) * Exact::from(BigInt::from(1_000_000_000))).to_integer();
    let digits = format!("{:0>10}", units.abs().to_string());
    let (whole, fraction) = digits.split_at(digits.len() - 9);
    let fraction = fraction.trim_end_matches('0');
    let sign = if units.is_negative() { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[test]
fn numbers_are_rounded_half_even_and_written_short() {
    let parse = |n: i64, d: i64| Exact::new(n.into(), d.into());
    for (number, written) in [
        (parse(0, 1), "0"),
        (parse(-5, 2), "-2.5"),
        (parse(1, 3), "0.333333333"),
        (parse(100, 1), "100"),
        (parse(5, 10_000_000_000), "0"),
        (parse(15, 10_000_000_000), "0.000000002"),
        (parse(-25, 10_000_000_000), "-0.000000002"),
        (parse(-26, 10_000_000_000), "-0.000000003"),
    ] {
        assert_eq!(text(&number), written);
    }
}
