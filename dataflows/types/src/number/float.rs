//! The float next to a decimal.

use std::io::Write;

use super::Decimal;

/// The powers of ten that are floats.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl Decimal {
    /// The float next to it, ties to the even one: the same bits everywhere.
    pub fn nearest_float(self) -> f64 {
        self.quotient().unwrap_or_else(|| self.read())
    }

    /// By a division of two floats that are exact, which rounds once (Clinger, "How to read floating point
    /// numbers accurately", 1990); `None` where one of them wouldn't be.
    #[expect(
        clippy::float_arithmetic,
        reason = "of exact floats, for scores; none comes back from here"
    )]
    fn quotient(self) -> Option<f64> {
        const EXACT: u64 = 1 << 53;
        let mantissa = i64::try_from(self.mantissa()).ok()?;
        let size = mantissa.unsigned_abs();
        let power = POWERS.get(usize::from(self.scale()))?;
        let high = u32::try_from(size >> 32).ok().filter(|_| size <= EXACT)?;
        let low = u32::try_from(size & u64::from(u32::MAX)).ok()?;
        let size = f64::from(high) * 4_294_967_296.0 + f64::from(low);
        Some(if mantissa < 0 { -size / power } else { size / power })
    }

    /// By its digits, read as a float's are, which rounds once and correctly. On the stack, since it stands
    /// in comparisons.
    fn read(self) -> f64 {
        // A sign, 39 digits, `e-` and two digits.
        let mut digits = [0u8; 48];
        let mut rest = digits.as_mut_slice();
        let is_written = write!(rest, "{}e-{}", self.mantissa(), self.scale()).is_ok();
        let n_free = rest.len();
        let written = digits.get(..digits.len() - n_free).filter(|_| is_written);
        let text = written.and_then(|digits| std::str::from_utf8(digits).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(mantissa: i128, scale: u8) {
        let number = Decimal::new(mantissa, scale);
        let expected: f64 = number.to_string().parse().unwrap();
        assert_eq!(number.nearest_float().to_bits(), expected.to_bits(), "{number}");
    }

    proptest! {
        #[test]
        fn floats_are_those_of_the_texts(
            mantissa: i128,
            n_bits in 1u32..127,
            sign in prop::sample::select(vec![-1, 1]),
            scale in 0u8..=36,
        ) {
            check((mantissa >> n_bits).abs() * sign, scale);
        }
    }

    #[test]
    fn whole_numbers_around_the_last_exact_one() {
        for mantissa in (1i128 << 53) - 3..(1 << 53) + 4 {
            for scale in [0, 1, 9, 22, 23, 36] {
                check(mantissa, scale);
                check(-mantissa, scale);
            }
        }
    }
}
