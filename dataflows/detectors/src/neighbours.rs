//! The distance to the nearest of a few rows that are kept, drawn at random (Sugiyama and
//! Borgwardt, "Rapid distance-based outlier detection via sampling", NIPS 2013): mean of the five
//! nearest, as its logarithm.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::float;
use crate::robust_z::SOFT_MAX;

/// Neighbours whose distances are averaged.
const NEAREST: usize = 5;
/// Added to a distance before its logarithm, so that a row equal to its neighbours has one.
const FLOOR: f64 = 1e-9;

/// The rows to be near to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Neighbours {
    count: usize,
    /// Column by column: `count` values of the first column, then of the second, ...
    values: Vec<f64>,
}

impl Neighbours {
    /// Draws `count` of the standardised `rows` (flat, `dimension` values each).
    pub(crate) fn draw(rows: &[f64], dimension: usize, count: usize, chance: &mut Chance) -> Self {
        let drawn = chance.sample(count, rows.len() / dimension.max(1));
        let mut values = Vec::with_capacity(drawn.len() * dimension);
        for column in 0..dimension {
            values.extend(drawn.iter().map(|row| rows[row * dimension + column]));
        }
        Self { count: drawn.len(), values }
    }

    /// ln of the mean distance of a standardised row to its nearest; 0 without neighbours.
    pub(crate) fn distance(&self, row: &[f64], squares: &mut Vec<f64>) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        squares.clear();
        squares.resize(self.count, 0.0);
        for (value, column) in row.iter().zip(self.values.chunks_exact(self.count)) {
            for (square, other) in squares.iter_mut().zip(column) {
                let step = value - other;
                *square += step * step;
            }
        }
        let mut nearest = [f64::INFINITY; NEAREST];
        for &square in squares.iter() {
            if square < nearest[NEAREST - 1] {
                let mut at = NEAREST - 1;
                while at > 0 && nearest[at - 1] > square {
                    nearest[at] = nearest[at - 1];
                    at -= 1;
                }
                nearest[at] = square;
            }
        }
        let used = NEAREST.min(self.count);
        let sum: f64 = nearest.iter().take(used).map(|square| square.sqrt()).sum();
        libm::log(sum / float(used) + FLOOR)
    }

    /// Whether there is a standardised value for each column.
    pub(crate) fn is_whole(&self, dimension: usize) -> bool {
        self.count.checked_mul(dimension) == Some(self.values.len())
            && self.values.iter().all(|z| z.abs() <= SOFT_MAX)
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_are_found_by_sorting_all(
            rows in prop::collection::vec(prop::array::uniform3(-9_i32..9), 1..60),
            asked in prop::array::uniform3(-9_i32..9),
            seed: u64,
        ) {
            let rows: Vec<f64> = rows.iter().flatten().map(|x| f64::from(*x)).collect();
            let asked = asked.map(f64::from);
            let neighbours = Neighbours::draw(&rows, 3, 32, &mut Chance::new(seed));
            let drawn = Chance::new(seed).sample(32, rows.len() / 3);
            let mut distances: Vec<f64> = drawn
                .iter()
                .map(|at| (0..3).map(|c| (asked[c] - rows[at * 3 + c]).powi(2)).sum::<f64>().sqrt())
                .collect();
            distances.sort_by(f64::total_cmp);
            distances.truncate(5);
            let mean = distances.iter().sum::<f64>() / float(distances.len());
            let found = neighbours.distance(&asked, &mut Vec::new());
            prop_assert!((found - (mean + FLOOR).ln()).abs() < 1e-9);
        }
    }
}
