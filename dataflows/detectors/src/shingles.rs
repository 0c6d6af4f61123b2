//! Shapes of a series: each run of [`LENGTH`] values in a row is a point, and one far from all the
//! points of the past is a shape not seen before (Burnaev and Ishimtsev, "Conformalized density- and
//! distance-based anomaly detection in time-series data", 2016, known as KNN-CAD).

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Values of a shape.
pub(crate) const LENGTH: usize = 16;
/// Shapes that are kept.
const KEPT: usize = 256;
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
        for other in self.values.chunks_exact(LENGTH) {
            let mut square = 0.0;
            for (x, y) in shape.iter().zip(other) {
                let step = (x - y) / scale;
                square += step * step;
            }
            let place = nearest.partition_point(|known| *known <= square);
            if place < NEAREST {
                nearest[place..].rotate_right(1);
                nearest[place] = square;
            }
        }
        let mean = nearest.iter().map(|square| square.sqrt()).sum::<f64>() / 3.0;
        Some(libm::log(mean + FLOOR))
    }

    /// Whether the shapes are whole, and not too many.
    pub(crate) fn is_whole(&self) -> bool {
        self.values.len().is_multiple_of(LENGTH) && self.values.len() <= KEPT * LENGTH
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        8 * self.values.len()
    }
}
