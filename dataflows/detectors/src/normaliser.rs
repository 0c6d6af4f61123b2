//! A key's own units: where its columns usually lie and how far they stray, in a few bytes, so that
//! one model serves keys of every size.

use serde::{Deserialize, Serialize};

use crate::number::present;

/// The least weight of a new value.
const GAIN_MIN: f64 = 1.0 / 256.0;
/// Deviations beyond which a value counts as at most so far away, so that an attack moves little.
const REACH: f64 = 4.0;
/// The largest size of a value in its key's units. The deviation is at least a billionth of the mean.
const UNITS_MAX: f64 = 1e6;
/// Values of a column before they are given in its own units.
const VALUES_MIN: u32 = 8;
/// Mean distances from the mean in a standard deviation of normal data: sqrt(pi / 2).
const PER_DISTANCE: f64 = 1.253_314_137_315_5;

/// Where one column of one key usually lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    count: u32,
    mean: f64,
    distance: f64,
}

/// The usual values of one key: 24 bytes a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normaliser {
    columns: Vec<Usual>,
}

impl Normaliser {
    /// For rows of `dimension` columns of a key that was never met.
    pub fn new(dimension: usize) -> Self {
        Self { columns: vec![Usual::default(); dimension] }
    }

    /// A row in the key's own units: deviations from what is usual. A value is missing (NaN) until
    /// its column has 8 values. Units are held at 1,000,000 either way: one in a column that never
    /// changed is 0 if it is the same again, else very far away.
    pub fn normalise(&self, row: &[f64]) -> Vec<f64> {
        let units = |(usual, x): (&Usual, &f64)| match present(*x) {
            Some(x) if usual.count >= VALUES_MIN => usual.deviations(x),
            _ => f64::NAN,
        };
        self.columns.iter().zip(row).map(units).collect()
    }

    /// A value of a column that [`Normaliser::normalise`] gives for this many deviations: the way back.
    pub fn restore(&self, column: usize, deviations: f64) -> f64 {
        self.columns
            .get(column)
            .map_or(deviations, |usual| usual.mean + deviations * usual.deviation())
    }

    /// Learns a row as it was given, before [`Normaliser::normalise`].
    pub fn learn(&mut self, row: &[f64]) {
        for (usual, x) in self.columns.iter_mut().zip(row) {
            if let Some(x) = present(*x) {
                usual.learn(x);
            }
        }
    }

    /// Bytes that the state takes.
    pub fn state_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.columns)
    }
}

impl Usual {
    fn deviation(&self) -> f64 {
        (self.distance * PER_DISTANCE).max(self.mean.abs() * 1e-9).max(1e-100)
    }

    fn deviations(&self, x: f64) -> f64 {
        ((x - self.mean) / self.deviation()).clamp(-UNITS_MAX, UNITS_MAX)
    }

    fn learn(&mut self, x: f64) {
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            // The first lies nowhere near or far.
            self.mean = x;
            return;
        }
        let gain = (1.0 / f64::from(self.count)).max(GAIN_MIN);
        let limit = REACH * self.distance;
        let step = x - self.mean;
        // A column that was constant so far takes what is new in full.
        let is_far = self.count > VALUES_MIN && self.distance > 0.0 && step.abs() > limit;
        let step = if is_far { limit.copysign(step) } else { step };
        self.mean += gain * step;
        self.distance += gain * (step.abs() - self.distance);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use super::*;
    use crate::Chance;

    #[test]
    fn keys_of_every_size_come_to_the_same_units() {
        for size in [1e-6, 1.0, 1e9] {
            let mut chance = Chance::new(5);
            let mut normaliser = Normaliser::new(1);
            let (mut sum, mut squares) = (0.0, 0.0);
            for at in 0..3_000 {
                let row = [size * (10.0 + chance.normal())];
                let units = normaliser.normalise(&row)[0];
                assert_eq!(units.is_nan(), at < 8, "row {at}");
                if at >= 1_000 {
                    sum += units;
                    squares += units * units;
                }
                normaliser.learn(&row);
            }
            let (mean, variance) = (sum / 2_000.0, squares / 2_000.0);
            assert!(mean.abs() < 0.1 && (variance - 1.0).abs() < 0.15, "{size}: {mean} {variance}");
        }
    }

    #[test]
    fn an_attack_moves_what_is_usual_a_little_only() {
        let mut chance = Chance::new(6);
        let mut normaliser = Normaliser::new(1);
        for _ in 0..1_000 {
            normaliser.learn(&[chance.normal()]);
        }
        for _ in 0..20 {
            normaliser.learn(&[1e6]);
        }
        assert!(normaliser.normalise(&[1e6])[0] > 1e5);
    }

    #[test]
    fn a_column_that_never_changed_is_far_away_once_it_does_whatever_its_size() {
        for size in [0.0, 1e-9, 1.0, -45.0, 1e12] {
            let mut normaliser = Normaliser::new(1);
            for _ in 0..100 {
                normaliser.learn(&[size]);
            }
            let step = 1e-2_f64.max(size.abs() / 100.0);
            let units = [size, size + step, size - step].map(|x| normaliser.normalise(&[x])[0]);
            assert_eq!(units, [0.0, UNITS_MAX, -UNITS_MAX], "{size}");
        }
    }

    /// Where a column stands has no part in its units.
    #[test]
    fn a_constant_added_changes_no_units() {
        let mut chance = Chance::new(9);
        let (mut low, mut high) = (Normaliser::new(1), Normaliser::new(1));
        for at in 0..100 {
            let x = chance.normal();
            let (one, two) = (low.normalise(&[x])[0], high.normalise(&[x + 1e4])[0]);
            assert!(at < 8 || (one - two).abs() < 1e-6, "row {at}: {one}, {two}");
            low.learn(&[x]);
            high.learn(&[x + 1e4]);
        }
    }

    #[test]
    fn a_kept_state_goes_on_as_it_was() {
        let mut normaliser = Normaliser::new(2);
        let mut chance = Chance::new(7);
        for _ in 0..50 {
            normaliser.learn(&[chance.normal(), 3.0]);
        }
        let bytes = postcard::to_stdvec(&normaliser).unwrap();
        assert_eq!(postcard::from_bytes::<Normaliser>(&bytes).unwrap(), normaliser);
    }

    #[test]
    fn missing_values_stay_missing_and_teach_nothing() {
        let mut normaliser = Normaliser::new(2);
        for _ in 0..10 {
            normaliser.learn(&[1.0, f64::NAN]);
        }
        let units = normaliser.normalise(&[1.0, 1.0]);
        assert_eq!(units[0], 0.0);
        assert!(units[1].is_nan());
        assert_eq!(normaliser.state_bytes() - size_of::<Normaliser>(), 2 * size_of::<Usual>());
    }
}
