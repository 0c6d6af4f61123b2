//! Exact numbers for the twins: fractions, rounded only where the rules round.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

pub(crate) type Exact = BigRational;

/// A number given in units of 1e-9.
pub(crate) fn nano(units: i128) -> Exact {
    Exact::new(units.into(), 1_000_000_000.into())
}

/// Reads a decimal text; it may have an exponent.
pub(crate) fn parse(text: &str) -> Exact {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
    let places = i32::try_from(fraction.len()).unwrap();
    Exact::from(digits)
        * Exact::from(BigInt::from(10)).pow(exponent.parse::<i32>().unwrap() - places)
}

/// A number rounded half-even to some decimals.
pub(crate) fn rounded(number: &Exact, places: u32) -> Exact {
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
pub(crate) fn text(number: &Exact) -> String {
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
    let ratio = |n: i64, d: i64| Exact::new(n.into(), d.into());
    for (number, written) in [
        (ratio(0, 1), "0"),
        (ratio(-5, 2), "-2.5"),
        (ratio(1, 3), "0.333333333"),
        (ratio(100, 1), "100"),
        (ratio(5, 10_000_000_000), "0"),
        (ratio(15, 10_000_000_000), "0.000000002"),
        (ratio(-25, 10_000_000_000), "-0.000000002"),
        (ratio(-26, 10_000_000_000), "-0.000000003"),
    ] {
        assert_eq!(text(&number), written);
        assert_eq!(parse(written), rounded(&number, 9));
    }
    assert_eq!((parse("-1.5E-05"), parse("2e3")), (ratio(-15, 1_000_000), ratio(2000, 1)));
}
