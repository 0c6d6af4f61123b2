//! Two memories. A short window holds the last rows, whatever they are; a reservoir holds rows that
//! looked normal, from long ago till now. Models are fitted to the reservoir, so that an attack
//! doesn't teach the detector that it is normal.
//!
//! A row that is unusual among what is kept enters on a budget only ([`Budget`]). If most rows are
//! refused for long enough, what is new has become the rule: the gate opens, and the window takes the
//! place of a part of the reservoir.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::float;

/// The share of rows that may enter although they look unusual.
const UNUSUAL_SHARE: f64 = 0.01;
/// What the reservoir's budget holds at most.
const UNUSUAL_MAX: f64 = 4.0;
/// The weight of one row in the share of refused rows.
const REFUSAL_GAIN: f64 = 1.0 / 2048.0;
/// The share of refused rows that opens the gate.
const REFUSAL_MAX: f64 = 0.5;

/// A budget for rows that look unusual: it grows with each row, and each that enters costs 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    share: f64,
    most: f64,
    left: f64,
}

impl Budget {
    /// For `share` of all rows, and at most `most` in a row.
    pub(crate) fn new(share: f64, most: f64) -> Self {
        Self { share, most, left: 0.0 }
    }

    /// Counts a row, and says whether it enters.
    pub(crate) fn admits(&mut self, is_unusual: bool) -> bool {
        self.left = (self.left + self.share).min(self.most);
        if is_unusual && self.left < 1.0 {
            return false;
        }
        if is_unusual {
            self.left -= 1.0;
        }
        true
    }
}

/// Rows of one dimension, flat; the oldest gives way once it is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ring {
    values: Vec<f64>,
    next: usize,
    capacity: usize,
}

impl Ring {
    fn push(&mut self, row: &[f64]) {
        if self.values.len() < self.capacity * row.len() {
            self.values.extend_from_slice(row);
        } else {
            self.replace(self.next, row);
            self.next = (self.next + 1) % self.capacity;
        }
    }

    fn is_whole(&self, dimension: usize) -> bool {
        self.next < self.capacity
            && self.values.len().is_multiple_of(dimension)
            && self.values.len() / dimension <= self.capacity
    }

    fn replace(&mut self, at: usize, row: &[f64]) {
        let from = at * row.len();
        self.values[from..from + row.len()].copy_from_slice(row);
    }
}

/// The window and the reservoir. A missing value is NaN in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    dimension: usize,
    window: Ring,
    reservoir: Ring,
    /// Rows that passed the gate, held at `horizon`.
    passed: usize,
    /// Rows over which the reservoir is spread.
    horizon: usize,
    budget: Budget,
    /// The share of late rows that were refused.
    refused: f64,
}

impl Memory {
    pub(crate) fn new(dimension: usize, window: usize, reservoir: usize) -> Self {
        let ring = |capacity| Ring { values: Vec::new(), next: 0, capacity };
        Self {
            dimension,
            window: ring(window),
            reservoir: ring(reservoir),
            passed: 0,
            horizon: 8 * reservoir,
            budget: Budget::new(UNUSUAL_SHARE, UNUSUAL_MAX),
            refused: 0.0,
        }
    }

    /// The rows that models are fitted to, flat.
    pub(crate) fn kept(&self) -> &[f64] {
        &self.reservoir.values
    }

    /// How many rows are kept.
    pub(crate) fn len(&self) -> usize {
        self.reservoir.values.len() / self.dimension.max(1)
    }

    /// Takes a row in. Returns whether the gate has opened, that is, whether what was unusual is the
    /// rule now.
    pub(crate) fn learn(&mut self, row: &[f64], is_unusual: bool, chance: &mut Chance) -> bool {
        self.window.push(row);
        let admitted = self.budget.admits(is_unusual);
        self.refused += REFUSAL_GAIN * (f64::from(u8::from(!admitted)) - self.refused);
        if self.refused > REFUSAL_MAX {
            self.refused = 0.0;
            self.take_window_over(chance);
            return true;
        }
        if admitted {
            self.keep(row, chance);
        }
        false
    }

    /// Puts a row into the reservoir: each of the last `horizon` rows is about as likely to be there
    /// as any other.
    fn keep(&mut self, row: &[f64], chance: &mut Chance) {
        self.passed = (self.passed + 1).min(self.horizon);
        let capacity = self.reservoir.capacity;
        if self.len() < capacity {
            self.reservoir.push(row);
        } else if chance.unit() * float(self.passed) < float(capacity) {
            let at = chance.below(capacity);
            self.reservoir.replace(at, row);
        }
    }

    /// Puts the window's rows in the place of rows of the reservoir.
    fn take_window_over(&mut self, chance: &mut Chance) {
        let rows = std::mem::take(&mut self.window.values);
        for row in rows.chunks_exact(self.dimension) {
            if self.len() < self.reservoir.capacity {
                self.reservoir.push(row);
            } else {
                let at = chance.below(self.reservoir.capacity);
                self.reservoir.replace(at, row);
            }
        }
        self.window.values = rows;
    }

    /// Whether the parts fit together.
    pub(crate) fn is_whole(&self, dimension: usize) -> bool {
        self.dimension == dimension
            && self.window.is_whole(dimension)
            && self.reservoir.is_whole(dimension)
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        8 * (self.window.values.len() + self.reservoir.values.len())
    }
}
