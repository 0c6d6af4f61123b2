//! Reasons: which columns make a row unusual and by how much, as numbers and as a sentence.

use std::cmp::Ordering;

use crate::number::float;

/// Reasons that are given for a row at most.
pub(crate) const REASONS_MAX: usize = 3;
/// Deviations below which a value on its own is usual.
const USUAL: f64 = 2.0;
/// The share below which a reason beside the first isn't given: it did next to nothing.
const SHARE_MIN: f64 = 0.1;
/// Digits of values, so that prices of five or six digits can be told apart.
const VALUE_DIGITS: i32 = 6;
/// Digits of deviations.
const FAR_DIGITS: i32 = 3;

/// What of a column is unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The value, alone or together with the other columns.
    Value,
    /// The value at this hour of the day.
    Hour,
    /// The mean of the last values, so many of them.
    Mean(usize),
    /// The shape of the last values, so many of them.
    Shape(usize),
}

/// One reason why a row is unusual.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The column's place in the row.
    pub column: usize,
    /// What of it is unusual.
    pub aspect: Aspect,
    /// This reason's share of all, in [0, 1].
    pub share: f64,
    /// What was met.
    pub value: f64,
    /// What is usual.
    pub usual: f64,
    /// How many deviations lie between the two; negative below what is usual.
    pub deviations: f64,
}

impl Reason {
    /// The reason in words, with the column's name.
    pub fn sentence(&self, name: &str) -> String {
        let value = brief(self.value, VALUE_DIGITS);
        let usual = brief(self.usual, VALUE_DIGITS);
        let side = if self.deviations < 0.0 { "below" } else { "above" };
        let far = format!("{} deviations {side}", brief(self.deviations.abs(), FAR_DIGITS));
        match self.aspect {
            Aspect::Value if self.deviations.abs() < USUAL => {
                format!("{name} {value} is unusual together with the other columns")
            }
            Aspect::Value => format!("{name} {value} is {far} its usual {usual}"),
            Aspect::Hour => {
                format!("{name} {value} is {far} what is usual at this hour, {usual}")
            }
            Aspect::Mean(count) => {
                format!(
                    "the mean of the last {count} values of {name}, {value}, is {far} its usual {usual}"
                )
            }
            Aspect::Shape(count) => {
                format!("the last {count} values of {name} have a shape not seen before")
            }
        }
    }
}

/// A number with so many digits at most, without zeros behind them; in powers of ten if it is very large
/// or small.
fn brief(x: f64, n_digits: i32) -> String {
    let trimmed = |text: &str| {
        let is_whole = !text.contains('.');
        let trimmed = text.trim_end_matches(|c| c == '0' && !is_whole);
        trimmed.trim_end_matches('.').to_owned()
    };
    let decimals = |n: i32| usize::try_from(n).unwrap_or(0);
    let scientific = format!("{x:.*e}", decimals(n_digits - 1));
    let Some((mantissa, power)) = scientific.split_once('e') else { return scientific };
    match power.parse::<i32>() {
        Ok(power @ -4..9) => trimmed(&format!("{x:.*}", decimals(n_digits - 1 - power))),
        _ => format!("{}e{power}", trimmed(mantissa)),
    }
}

/// Gives each weight its share of their sum (the same to all if it is 0), puts the largest first and
/// keeps it, and of the others those that did something, [`REASONS_MAX`] in all. Where none did by itself
/// those that lie far off count: each hides what the other does.
pub(crate) fn by_share(mut reasons: Vec<Reason>) -> Vec<Reason> {
    let sum: f64 = reasons.iter().map(|reason| reason.share).sum();
    let count = float(reasons.len());
    for reason in &mut reasons {
        reason.share = if sum > 0.0 { reason.share / sum } else { 1.0 / count };
    }
    let far = |reason: &Reason| reason.deviations.abs();
    let weight = |reason: &Reason| if sum > 0.0 { reason.share } else { far(reason) };
    // Stable: of equal ones the first column stands first.
    reasons.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(Ordering::Equal));
    reasons.truncate(REASONS_MAX);
    let least = if sum > 0.0 { SHARE_MIN } else { USUAL };
    let n_given = reasons.iter().take_while(|reason| weight(reason) >= least).count();
    reasons.truncate(n_given.max(1));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(aspect: Aspect, value: f64, deviations: f64) -> Reason {
        Reason { column: 0, aspect, share: 1.0, value, usual: 120.0, deviations }
    }

    #[test]
    fn sentences_name_column_value_and_distance() {
        let sentence =
            |aspect, value, deviations| reason(aspect, value, deviations).sentence("volume");
        assert_eq!(
            sentence(Aspect::Value, 1840.0, 9.3),
            "volume 1840 is 9.3 deviations above its usual 120"
        );
        assert_eq!(
            sentence(Aspect::Value, 121.0, 0.1),
            "volume 121 is unusual together with the other columns"
        );
        assert_eq!(
            sentence(Aspect::Hour, 3.5, -4.0),
            "volume 3.5 is 4 deviations below what is usual at this hour, 120"
        );
        assert_eq!(
            sentence(Aspect::Mean(4), 0.001, -4.257),
            "the mean of the last 4 values of volume, 0.001, is 4.26 deviations below its usual 120"
        );
        assert_eq!(
            sentence(Aspect::Shape(16), 0.0, 0.0),
            "the last 16 values of volume have a shape not seen before"
        );
    }

    #[test]
    fn shares_sum_to_one_and_the_largest_stands_first() {
        let mut few = vec![reason(Aspect::Value, 1.0, 1.0), reason(Aspect::Value, 2.0, 2.0)];
        few[1].share = 3.0;
        let shares: Vec<f64> = by_share(few).iter().map(|reason| reason.share).collect();
        assert_eq!(shares, [0.75, 0.25]);
        // What did next to nothing isn't named.
        let mut one = vec![reason(Aspect::Value, 1.0, 1.0), reason(Aspect::Value, 2.0, 2.0)];
        one[0].share = 0.1;
        let shares: Vec<f64> = by_share(one).iter().map(|reason| reason.share).collect();
        assert_eq!(shares.len(), 1);
        let mut none = vec![reason(Aspect::Value, 1.0, 1.0); 2];
        for reason in &mut none {
            reason.share = 0.0;
        }
        assert_eq!(by_share(none.clone()).len(), 1);
        // Each far off, so that neither does anything beside the other.
        (none[0].deviations, none[1].deviations) = (-60.0, 70.0);
        let both = by_share(none);
        assert_eq!((both.len(), both[0].deviations, both[0].share), (2, 70.0, 0.5));
    }

    #[test]
    fn numbers_can_be_told_apart() {
        for (x, expected) in [
            (0.0, "0"),
            (1.0031, "1.0031"),
            (-61_837.634, "-61837.6"),
            (123_456_789.0, "123456789"),
            (999_999_999.6, "1e9"),
            (1e308, "1e308"),
            (0.000_123_456_78, "0.000123457"),
            (-1.5e-7, "-1.5e-7"),
            (9.999_999_9, "10"),
            (1_000_000.0, "1000000"),
        ] {
            assert_eq!(brief(x, VALUE_DIGITS), expected);
        }
        assert_eq!(brief(96.612, FAR_DIGITS), "96.6");
        assert_eq!(brief(f64::NAN, 3), "NaN");
    }
}
