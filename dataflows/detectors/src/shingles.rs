//! Shapes of a series: each run of [`LENGTH`] values in a row is a point, and one far from all the
//! points of the past is a shape not seen before (Burnaev and Ishimtsev, "Conformalized density- and
//! distance-based anomaly detection in time-series data", 2016, known as KNN-CAD).

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::are_values;

/// Values of a shape.
pub(crate) const LENGTH: usize = 16;
/// Shapes that are kept.
const KEPT: usize = 128;
/// Shapes that must be kept before a distance says something.
const KEPT_MIN: usize = 16;
/// One in so many shapes replaces one that is kept.
const RENEWAL: usize = 4;
/// Neighbours whose distances are averaged.
const NEAREST: usize = 3;
/// Added to a distance before its logarithm.
const FLOOR: f64 = 0.01;

/// The shapes of the past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shingles {
    /// [`LENGTH`] values each.
    values: Vec<f64>,
}

impl Shingles {
    /// Keeps a shape, in the place of a random one once [`KEPT`] are there.
    pub(crate) fn learn(&mut self, shape: &[f64; LENGTH], chance: &mut Chance) {
        if self.values.len() < KEPT * LENGTH {
            self.values.extend_from_slice(shape);
        } else if chance.below(RENEWAL) == 0 {
            let from = chance.below(KEPT) * LENGTH;
            self.values[from..from + LENGTH].copy_from_slice(shape);
        }
    }

    /// ln of the mean distance to the nearest shapes, in units of `scale`; none with too few.
    pub(crate) fn distance(&self, shape: &[f64; LENGTH], scale: f64) -> Option<f64> {
        if self.values.len() < KEPT_MIN * LENGTH {
            return None;
        }
        let mut nearest = [f64::INFINITY; NEAREST];
        for other in self.values.as_chunks::<LENGTH>().0 {
            // Four sums side by side, in the same order on every machine.
            let mut sums = [0.0; 4];
            for (xs, ys) in shape.as_chunks::<4>().0.iter().zip(other.as_chunks::<4>().0) {
                for (sum, (x, y)) in sums.iter_mut().zip(xs.iter().zip(ys)) {
                    let step = x - y;
                    *sum += step * step;
                }
            }
            let square = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            if square < nearest[NEAREST - 1] {
                let place = nearest.partition_point(|known| *known <= square);
                nearest[place..].rotate_right(1);
                nearest[place] = square;
            }
        }
        let mean = nearest.iter().map(|square| square.sqrt()).sum::<f64>() / 3.0;
        Some(libm::log(mean / scale + FLOOR))
    }

    /// Whether the shapes are whole, and not too many.
    pub(crate) fn is_whole(&self) -> bool {
        self.values.len().is_multiple_of(LENGTH)
            && self.values.len() <= KEPT * LENGTH
            && are_values(&self.values)
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        8 * self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_are_found_by_sorting_all(
            values in prop::collection::vec(-9_i32..9, 40..90),
            scale in 0.1_f64..10.0,
        ) {
            let values: Vec<f64> = values.iter().map(|x| f64::from(*x)).collect();
            let mut shingles = Shingles::default();
            let mut chance = Chance::new(1);
            let shapes: Vec<[f64; LENGTH]> =
                values.windows(LENGTH).map(|shape| <[f64; LENGTH]>::try_from(shape).unwrap()).collect();
            let (asked, known) = shapes.split_last().unwrap();
            for shape in known {
                shingles.learn(shape, &mut chance);
            }
            let mut distances: Vec<f64> = known
                .iter()
                .map(|shape| {
                    let square = |at: usize| ((shape[at] - asked[at]) / scale).powi(2);
                    (0..LENGTH).map(square).sum::<f64>().sqrt()
                })
                .collect();
            distances.sort_by(f64::total_cmp);
            let mean = distances.iter().take(3).sum::<f64>() / 3.0;
            let found = shingles.distance(asked, scale).unwrap();
            prop_assert!((found - (mean + FLOOR).ln()).abs() < 1e-9);
        }
    }

    #[test]
    fn at_most_so_many_shapes_are_kept() {
        let mut shingles = Shingles::default();
        let mut chance = Chance::new(1);
        for x in 0..2_000_i32 {
            shingles.learn(&[f64::from(x); LENGTH], &mut chance);
        }
        assert!(shingles.is_whole());
        assert_eq!(shingles.bytes(), KEPT * LENGTH * 8);
        // One in four replaces another, so some of the first are still there.
        assert!(shingles.values.iter().any(|x| *x < 256.0));
        assert!(shingles.values.iter().any(|x| *x > 1_000.0));
    }
}
