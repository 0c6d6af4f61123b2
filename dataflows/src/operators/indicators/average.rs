//! The averages that indicators are made of. All numbers are whole 1e-18; each step of a recursion
//! rounds half-even; `None` stands for what doesn't fit.

use std::collections::VecDeque;

use ethnum::I256;
use types::number::{div_half_even, mul_div_half_even};

/// The mean of the last numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    length: usize,
    numbers: VecDeque<i128>,
    sum: i128,
}

impl Window {
    pub(super) fn new(length: usize) -> Self {
        Self { length, numbers: VecDeque::new(), sum: 0 }
    }

    /// Takes a number in; whether there are enough now.
    pub(super) fn take(&mut self, number: i128) -> Option<bool> {
        if self.numbers.len() >= self.length
            && let Some(oldest) = self.numbers.pop_front()
        {
            self.sum = self.sum.checked_sub(oldest)?;
        }
        self.numbers.push_back(number);
        self.sum = self.sum.checked_add(number)?;
        Some(self.numbers.len() >= self.length)
    }

    /// The mean, rounded once.
    pub(super) fn mean(&self) -> i128 {
        div_half_even(self.sum, whole(self.length))
    }

    /// length x sum of squares - square of the sum: the population variance times length squared, exact.
    pub(super) fn spread(&self) -> Option<I256> {
        let square = |number: i128| I256::from(number) * I256::from(number);
        let squares = self
            .numbers
            .iter()
            .try_fold(I256::ZERO, |sum, number| sum.checked_add(square(*number)))?;
        squares.checked_mul(I256::from(whole(self.length)))?.checked_sub(square(self.sum))
    }
}

/// A recursive average: of the first `length` numbers their mean, and then each number counts
/// `weight / of` against what was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recursive {
    /// How many numbers make the first average.
    length: usize,
    weight: i128,
    of: i128,
    /// How many of those came.
    n_first: usize,
    /// The sum of the first ones; then the average.
    held: i128,
}

impl Recursive {
    /// An exponential average (EMA): alpha = 2 / (length + 1), as Appel 1979 has it for MACD.
    pub(super) fn exponential(length: usize) -> Self {
        Self { length, weight: 2, of: whole(length).saturating_add(1), n_first: 0, held: 0 }
    }

    /// Wilder's average (New Concepts in Technical Trading Systems, 1978): alpha = 1 / length.
    pub(super) fn wilder(length: usize) -> Self {
        Self { length, weight: 1, of: whole(length), n_first: 0, held: 0 }
    }

    /// Takes a number in; `None` where something doesn't fit.
    pub(super) fn take(&mut self, number: i128) -> Option<()> {
        if self.n_first < self.length {
            self.n_first += 1;
            self.held = self.held.checked_add(number)?;
            if self.n_first == self.length {
                self.held = div_half_even(self.held, whole(self.length));
            }
        } else {
            let step = mul_div_half_even(number.checked_sub(self.held)?, self.weight, self.of)?;
            self.held = self.held.checked_add(step)?;
        }
        Some(())
    }

    /// The average, once there are enough numbers.
    pub(super) fn average(&self) -> Option<i128> {
        (self.n_first == self.length).then_some(self.held)
    }
}

fn whole(length: usize) -> i128 {
    i128::try_from(length).unwrap_or(i128::MAX)
}
