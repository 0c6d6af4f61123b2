//! Robust z: how many deviations each value lies from its column's median.
//!
//! The deviation is the larger of two estimates that agree on normal data: the median absolute
//! deviation times 1.4826, and the distance from the 10th to the 90th percentile over 2.563. A column
//! most of whose values are equal has neither; there the typical size of what does deviate counts,
//! so that a rare value isn't infinitely far away.

use serde::{Deserialize, Serialize};

use crate::number::{are_results, are_values, float, select};

/// 1 / the third quartile of the standard normal distribution.
const PER_MAD: f64 = 1.4826;
/// Deviations between the 10th and the 90th percentile of the standard normal distribution.
const DECILES: f64 = 2.563;
/// The part of the typical size of deviations that counts as one, where most values are equal.
const RARE: f64 = 0.3;
/// Where z is no longer counted in full: beyond it grows by the logarithm.
const FULL: f64 = 3.0;
/// The least deviation.
const DEVIATION_MIN: f64 = 1e-100;

/// How small a column's deviation may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Least {
    /// Of any column.
    any: f64,
    /// Of one that never changed.
    constant: f64,
}

impl Least {
    /// Of columns of any size.
    pub(crate) const PLAIN: Self = Self { any: DEVIATION_MIN, constant: DEVIATION_MIN };
    /// Of columns in their keys' own units. What strays less than a tenth of one is as usual for its key:
    /// a key's mean that follows a value of another size moves all that comes then by less than one.
    pub(crate) const UNITS: Self = Self { any: 0.1, constant: 1.0 };
}
/// The largest softened z.
pub(crate) const SOFT_MAX: f64 = 24.0;

/// Where a column's values lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The median.
    pub median: f64,
    /// One deviation, above 0.
    pub deviation: f64,
    /// 1 / deviation.
    per_deviation: f64,
}

impl Column {
    /// Of values, which it changes; `rare` is the typical size of this column's deviations
    /// that aren't 0 ([`Deviations`]).
    pub(crate) fn fit(values: &mut [f64], rare: f64, least: Least) -> Self {
        let [low, median, high] = [0.1, 0.5, 0.9].map(|share| select(values, share));
        let spread = (high - low) / DECILES;
        for value in values.iter_mut() {
            *value = (*value - median).abs();
        }
        let usual = (select(values, 0.5) * PER_MAD).max(spread);
        let deviation = match (usual > 0.0, rare > 0.0) {
            (true, _) => usual,
            (false, true) => rare * RARE,
            (false, false) => (median.abs() * 1e-6).max(least.constant),
        };
        let deviation = deviation.max(median.abs() * 1e-12).max(least.any);
        Self { median, deviation, per_deviation: 1.0 / deviation }
    }

    /// Deviations of `value` from the median, in full.
    pub fn z(&self, value: f64) -> f64 {
        (value - self.median) * self.per_deviation
    }

    /// z, beyond 3 growing by its logarithm only, and at most 24 in size.
    pub(crate) fn soft(&self, value: f64) -> f64 {
        soften(self.z(value))
    }
}

impl Column {
    /// Whether it can have been fitted to values.
    pub(crate) fn is_whole(&self) -> bool {
        are_values(&[self.median])
            && are_results(&[self.deviation])
            && self.deviation >= DEVIATION_MIN
            && self.per_deviation.to_bits() == (1.0 / self.deviation).to_bits()
    }
}

/// z itself up to 3, then 3 + 3 ln(z / 3), at most 24 in size: order stays, and no single column
/// drowns the others.
pub(crate) fn soften(z: f64) -> f64 {
    let size = z.abs();
    if size <= FULL {
        return z;
    }
    (FULL + FULL * libm::log(size / FULL)).min(SOFT_MAX).copysign(z)
}

/// The typical size of a column's deviations that aren't 0: a slow average over all rows, kept or
/// not, each deviation counted as at most four times the average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deviations {
    count: usize,
    pub(crate) mean: f64,
}

/// The share of the average that a deviation has at least.
const GAIN_MIN: f64 = 1.0 / 256.0;

impl Deviations {
    /// Whether it can be a mean of deviations.
    pub(crate) fn is_whole(&self) -> bool {
        self.mean >= 0.0 && are_results(&[self.mean])
    }

    /// Takes the deviation of one value.
    pub(crate) fn learn(&mut self, size: f64) {
        if size > 0.0 {
            self.count = self.count.saturating_add(1);
            let counted = if self.count <= 3 { size } else { size.min(4.0 * self.mean) };
            self.mean += (1.0 / float(self.count)).max(GAIN_MIN) * (counted - self.mean);
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use super::*;
    use crate::Chance;

    #[test]
    fn normal_data_has_deviation_1() {
        let mut chance = Chance::new(8);
        let mut values: Vec<f64> = (0..10_001).map(|_| 5.0 + 2.0 * chance.normal()).collect();
        let column = Column::fit(&mut values, 0.0, Least::PLAIN);
        assert!((column.median - 5.0).abs() < 0.1, "{column:?}");
        assert!((column.deviation - 2.0).abs() < 0.1, "{column:?}");
    }

    /// A key's mean follows a blip in what was always the same: what is usual lies up to 0.8 of its units
    /// off then, less and less.
    #[test]
    fn what_is_usual_again_behind_a_blip_is_near() {
        let mut normaliser = crate::Normaliser::new(1);
        let mut always = Vec::new();
        for at in 0..2_000 {
            let units = normaliser.normalise(&[1.0])[0];
            always.extend((at >= 8).then_some(units));
            normaliser.learn(&[1.0]);
        }
        let column = Column::fit(&mut always, 0.0, Least::UNITS);
        let blip = normaliser.normalise(&[0.9999])[0];
        assert_eq!(column.soft(blip), -SOFT_MAX);
        normaliser.learn(&[0.9999]);
        for _ in 0..2_000 {
            let z = column.z(normaliser.normalise(&[1.0])[0]);
            assert!(z.abs() < 1.0, "{z}");
            normaliser.learn(&[1.0]);
        }
        // Nor is it far once the model is fitted to what the mean went through.
        let mut since: Vec<f64> = (0..500)
            .map(|_| {
                normaliser.learn(&[1.0]);
                normaliser.normalise(&[1.0])[0]
            })
            .collect();
        let column = Column::fit(&mut since, 0.0, Least::UNITS);
        normaliser.learn(&[1.0]);
        assert!(column.z(normaliser.normalise(&[1.0])[0]).abs() < 1.0, "{column:?}");
    }

    /// 1, 2, 3, 4, 100: median 3; distances 0, 1, 1, 2, 97; the deviation comes from the deciles.
    #[test]
    fn a_wild_value_moves_neither_median_nor_deviation_much() {
        let mut values = vec![100.0, 1.0, 3.0, 2.0, 4.0, 3.0, 2.0, 4.0, 3.0, 2.0, 4.0];
        let column = Column::fit(&mut values, 0.0, Least::PLAIN);
        assert_eq!(column.median, 3.0);
        assert!((column.deviation - PER_MAD).abs() < 1e-12, "{column:?}");
        assert!(column.z(100.0) > 60.0 && column.soft(100.0) < SOFT_MAX);
    }

    #[test]
    fn a_column_of_one_value_has_a_deviation_all_the_same() {
        let constant = Column::fit(&mut [7.0; 50], 0.0, Least::PLAIN);
        assert_eq!(constant.soft(7.0), 0.0);
        assert_eq!(constant.soft(8.0), SOFT_MAX);
        let mostly = Column::fit(&mut [7.0; 50], 10.0, Least::PLAIN);
        assert!((mostly.z(17.0) - 1.0 / RARE).abs() < 1e-12);
        let zero = Column::fit(&mut [0.0; 5], 0.0, Least::PLAIN);
        assert!(zero.soft(f64::MIN_POSITIVE).is_finite() && zero.soft(1e150) == SOFT_MAX);
        assert_eq!(Column::fit(&mut [], 0.0, Least::PLAIN).soft(1e150), SOFT_MAX);
    }

    #[test]
    fn softening_keeps_order_and_sign() {
        let zs = [-1e300, -30.0, -3.1, -3.0, -0.5, 0.0, 2.9, 3.0, 3.1, 50.0, f64::INFINITY];
        let soft = zs.map(soften);
        assert!(soft.is_sorted() && soft[0] == -SOFT_MAX && soft[10] == SOFT_MAX, "{soft:?}");
        assert_eq!(soft[3..8], zs[3..8]);
    }

    #[test]
    fn rare_deviations_are_averaged_without_the_zeros() {
        let mut deviations = Deviations::default();
        for size in [0.0, 2.0, 0.0, 4.0, 0.0, f64::NAN] {
            deviations.learn(size);
        }
        assert_eq!(deviations, Deviations { count: 2, mean: 3.0 });
    }
}
