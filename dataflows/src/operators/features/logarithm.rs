//! Log returns as whole numbers, so that sums of them don't depend on the order in which they are
//! added.

/// Returns are in units of 2^-56: finer than what a float tells of any return above 1/8, and the
/// largest, of the highest price over the lowest, still fits 64 bits.
pub(super) const FRACTION_BITS: u32 = 56;

/// 2^56.
const ONE: f64 = 72_057_594_037_927_936.0;

/// Returns `ln(to / from)` in units of 2^-56, rounded half-even; `None` unless both are above zero.
/// They are prices on one scale.
///
/// The logarithm is that of the crate `libm` at the version that the manifest pins (its `log` and
/// `log1p` are those of FreeBSD's msun, in plain Rust), so that all machines find the same. Prices
/// that are near to each other go by `log1p` of the exact difference, because their quotient would
/// lose what makes the return.
pub(super) fn log_return(from: i64, to: i64) -> Option<i64> {
    if from <= 0 || to <= 0 {
        return None;
    }
    let is_near = from / 2 <= to && to / 2 <= from;
    let logarithm = if is_near {
        libm::log1p(float(to.saturating_sub(from)) / float(from))
    } else {
        libm::log(float(to) / float(from))
    };
    Some(whole((logarithm * ONE).round_ties_even()))
}

/// Rounded to the nearest float, ties to even.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "rounds as documented")]
const fn float(number: i64) -> f64 {
    number as f64
}

/// A whole float below 2^63.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "whole and small")]
const fn whole(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(from: i64, to: i64) -> f64 {
        float(log_return(from, to).unwrap()) / ONE
    }

    #[test]
    fn returns_are_those_of_the_textbook() {
        let prices = [1, 2, 3, 999, 1000, 1001, 123_456_789, 1_000_000_000, 1_000_000_001];
        let mut prices = prices.to_vec();
        prices.extend([i64::MAX / 5, 1_999_999_999_999_999_998]);
        for from in &prices {
            for to in &prices {
                let expected = (float(*to) / float(*from)).ln();
                let given = shown(*from, *to);
                assert!((given - expected).abs() <= 1e-15 + 1e-14 * expected.abs(), "{from} {to}");
            }
        }
        // Where the quotient itself would lose digits: x - x^2 / 2 + x^3 / 3.
        let x = 1e-9_f64;
        assert!((shown(1_000_000_000, 1_000_000_001) - (x - x * x / 2.0)).abs() < 2e-17);
    }

    #[test]
    fn bits_are_pinned() {
        let given =
            [(3, 4), (4, 3), (1, 1), (1_000_000, 1_000_001), (1, 1_999_999_999_999_999_998)]
                .map(|(from, to)| log_return(from, to).unwrap());
        // To 60 digits: 20729677988720201.9, its negative, 0, 72057558009.15, 3036483871782813664.04.
        // A float has 53 bits, and no more is asked of the logarithm.
        let n = 20_729_677_988_720_200;
        assert_eq!(given, [n, -n, 0, 72_057_558_009, 3_036_483_871_782_813_696]);
    }

    #[test]
    fn what_is_not_above_zero_has_no_return() {
        for (from, to) in [(0, 1), (1, 0), (-1, 5), (5, -1), (0, 0), (-2, -2)] {
            assert_eq!(log_return(from, to), None);
        }
    }
}
