//! Robust z: how many deviations each value lies from its column's median.
//!
//! The deviation is the larger of two estimates that agree on normal data: the median absolute
//! deviation times 1.4826, and the distance from the 10th to the 90th percentile over 2.563. A column
//! most of whose values are equal has neither; there the typical size of what does deviate counts,
//! so that a rare value isn't infinitely far away.

use serde::{Deserialize, Serialize};

use crate::number::{float, select};

/// 1 / the third quartile of the standard normal distribution.
const PER_MAD: f64 = 1.4826;
/// Deviations between the 10th and the 90th percentile of the standard normal distribution.
const DECILES: f64 = 2.563;
/// The part of the typical size of deviations that counts as one, where most values are equal.
const RARE: f64 = 0.3;
/// Where z is no longer counted in full: beyond it grows by the logarithm.
const FULL: f64 = 3.0;
/// The largest softened z.
const SOFT_MAX: f64 = 24.0;

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
    pub(crate) fn fit(values: &mut [f64], rare: f64) -> Self {
        let [low, median, high] = [0.1, 0.5, 0.9].map(|share| select(values, share));
        let spread = (high - low) / DECILES;
        values.iter_mut().for_each(|value| *value = (*value - median).abs());
        let usual = (select(values, 0.5) * PER_MAD).max(spread);
        let deviation = match (usual > 0.0, rare > 0.0) {
            (true, _) => usual,
            (false, true) => rare * RARE,
            (false, false) => median.abs() * 1e-6,
        };
        let deviation = deviation.max(median.abs() * 1e-12).max(1e-100);
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
    /// Takes the deviation of one value.
    pub(crate) fn learn(&mut self, size: f64) {
        if size > 0.0 {
            self.count += 1;
            let counted = if self.count <= 3 { size } else { size.min(4.0 * self.mean) };
            self.mean += (1.0 / float(self.count)).max(GAIN_MIN) * (counted - self.mean);
        }
    }
}
