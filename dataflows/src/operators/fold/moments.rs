//! Exponentially weighted mean and variance (West 1979, Updating Mean and Variance Estimates; Finch 2009,
//! Incremental calculation of weighted mean and variance, section 9).

use ethnum::I256;

use super::fixed::{ONE, product, quotient, root, shows_as_zero};
use types::number::mul_div_half_even;

/// Mean and variance of the rows so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    /// Counted up to where it matters, so that states far from the start are equal.
    n_rows: u64,
    mean: i128,
    /// In whole 1e-36, so that a deviation is exact to 1e-18.
    variance: I256,
}

/// A number seen from the rows before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) mean: i128,
    pub(super) deviation: i128,
    /// By how many deviations the number is above the mean; `None` where the deviation leaves as zero.
    pub(super) z: Option<i128>,
}

/// How moments go on.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// The weight of the newest row.
    pub(super) alpha: i128,
    /// How many rows must stand before the first score.
    pub(super) warmup: u64,
}

impl Moments {
    pub(super) const START: Self = Self { n_rows: 0, mean: 0, variance: I256::ZERO };

    /// Whether enough rows stand for a score.
    pub(super) const fn is_warm(&self, rate: Rate) -> bool {
        self.n_rows >= rate.warmup
    }

    /// The score of a number; `None` where it doesn't fit.
    pub(super) fn score(&self, number: i128) -> Option<Score> {
        let deviation = i128::try_from(root(self.variance.unsigned_abs())).ok()?;
        let above = number.checked_sub(self.mean)?;
        // Of a series that rests what is left of mean and variance is what rounding left.
        let z = if shows_as_zero(deviation) {
            None
        } else {
            Some(mul_div_half_even(above, ONE, deviation)?)
        };
        Some(Score { mean: self.mean, deviation, z })
    }

    /// Takes a number in: d = x - mean; mean += alpha x d; variance = (1 - alpha) x (variance + d x alpha
    /// x d). `None` for what doesn't fit: deviations beyond about 1e11.
    pub(super) fn take(&mut self, number: i128, rate: Rate) -> Option<()> {
        if self.n_rows == 0 {
            (self.n_rows, self.mean) = (1, number);
            return Some(());
        }
        self.n_rows = (self.n_rows + 1).min(rate.warmup.max(1));
        let above = number.checked_sub(self.mean)?;
        let increment = product(above, rate.alpha)?;
        self.mean = self.mean.checked_add(increment)?;
        let square = I256::from(above) * I256::from(increment);
        let rest = I256::from(ONE - rate.alpha);
        let variance = self.variance.checked_add(square)?.checked_mul(rest)?;
        self.variance = quotient(variance, I256::from(ONE))?;
        Some(())
    }
}
