//! Exact sums that never overflow while they are kept.

use ethnum::I256;
use types::number::pow10;
use types::{Decimal, number};

/// 10^36: the finest unit that a number has.
fn units() -> i128 {
    pow10(u32::from(number::SCALE_MAX)).unwrap_or(i128::MAX)
}

/// 10^27: units of 1e-36 in one of 1e-9.
const UNITS_IN_NANO: i128 = 1_000_000_000_000_000_000_000_000_000;
const NANO: i128 = 1_000_000_000;

/// The sum of decimals: whole numbers, and units of 1e-36 of what is behind the point. Each number
/// brings less than 2^127 to the one and less than 2^120 to the other, so that 2^63 of them fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    whole: I256,
    units: I256,
}

impl Sum {
    pub(super) const ZERO: Self = Self { whole: I256::ZERO, units: I256::ZERO };

    /// Adds a number so many times; takes it out where that is below zero.
    pub(super) fn add(&mut self, number: Decimal, times: isize) {
        let times = I256::from(i128::try_from(times).unwrap_or(0));
        let (mut whole, mut units) = (number.mantissa(), 0);
        if number.scale() > 0
            && let Some(one) = pow10(number.scale().into())
            && let Some(unit) = pow10(u32::from(number::SCALE_MAX - number.scale()))
        {
            // The rest is below 10^scale, so that it fits.
            units = whole.rem_euclid(one) * unit;
            whole = whole.div_euclid(one);
        }
        self.whole += I256::from(whole) * times;
        self.units += I256::from(units) * times;
    }

    /// The sum over a count, half-even at 1e-9; `None` where it doesn't fit 38 digits. A count of one
    /// gives the sum.
    ///
    /// # Panics
    /// If the count is zero.
    pub(super) fn over(&self, n: u64) -> Option<Decimal> {
        let n = I256::from(n);
        let one = I256::from(units());
        let units = self.units.rem_euclid(one);
        let whole = self.whole + self.units.div_euclid(one);
        let nanos = whole * I256::from(NANO) + units / I256::from(UNITS_IN_NANO);
        // nanos + rest / 10^27, over n: the quotient, and what is left in units of 1e-36.
        let (quotient, left) = (nanos.div_euclid(n), nanos.rem_euclid(n));
        let left = left * I256::from(UNITS_IN_NANO) + units % I256::from(UNITS_IN_NANO);
        let twice = left * I256::from(2);
        let all = n * I256::from(UNITS_IN_NANO);
        let is_odd = quotient % I256::from(2) != I256::ZERO;
        let is_up = twice > all || (twice == all && is_odd);
        let rounded = if is_up { quotient + I256::ONE } else { quotient };
        let nano = i128::try_from(rounded).ok()?;
        (nano.unsigned_abs() < 10u128.pow(38)).then(|| Decimal::new(nano, 9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap()
    }

    fn sum(numbers: &[&str]) -> Sum {
        let mut sum = Sum::ZERO;
        for number in numbers {
            sum.add(decimal(number), 1);
        }
        sum
    }

    #[test]
    fn sums_round_once_and_to_even() {
        let over = |numbers: &[&str], n| sum(numbers).over(n).map(|sum| sum.to_string());
        assert_eq!(over(&["0.1", "0.2", "-0.3"], 1).as_deref(), Some("0"));
        assert_eq!(over(&["0.0000000005"], 1).as_deref(), Some("0"));
        assert_eq!(over(&["0.0000000005", "0.0000000005"], 1).as_deref(), Some("0.000000001"));
        assert_eq!(over(&["0.0000000015"], 1).as_deref(), Some("0.000000002"));
        assert_eq!(over(&["-0.0000000015"], 1).as_deref(), Some("-0.000000002"));
        assert_eq!(over(&["-0.0000000025"], 1).as_deref(), Some("-0.000000002"));
        assert_eq!(
            over(&["0.0000000005", "0.000000000000000000000000000000000001"], 1).as_deref(),
            Some("0.000000001")
        );
        assert_eq!(over(&["1", "1"], 3).as_deref(), Some("0.666666667"));
        assert_eq!(over(&["-1"], 8).as_deref(), Some("-0.125"));
        // 5e-10 between neighbours: to the even one.
        assert_eq!(over(&["0.000000003"], 2).as_deref(), Some("0.000000002"));
        assert_eq!(over(&["0.000000001"], 2).as_deref(), Some("0"));
    }

    #[test]
    fn what_does_not_fit_heals() {
        let huge = "99999999999999999999999999999999999999";
        assert_eq!(sum(&[huge]).over(1), None);
        let mut sum = sum(&[huge, huge, huge, "0.5"]);
        assert_eq!(sum.over(1), None);
        sum.add(decimal(huge), -3);
        assert_eq!(sum.over(1), Some(decimal("0.5")));
        sum.add(decimal("0.5"), -1);
        assert_eq!(sum, Sum::ZERO);
    }
}
