//! The averages that indicators are made of. All numbers are whole 1e-18; each step of a recursion
//! rounds half-even; `None` stands for what doesn't fit.

use std::collections::VecDeque;
use std::rc::Rc;

use ethnum::I256;
use types::number::{div_half_even, mul_div_half_even};

/// How many numbers stand in a block.
const BLOCK: usize = 64;

/// The mean of the last numbers. They stand in blocks that clones share: a state that is kept costs the
/// places of its blocks and the numbers behind them, however long the window.
#[derive(Clone, Debug)]
pub(super) struct Window {
    length: usize,
    /// The oldest first.
    blocks: VecDeque<Rc<[i128; BLOCK]>>,
    /// How many numbers of the oldest block are out of the window.
    n_out: usize,
    /// The numbers behind all blocks, less than make one.
    newest: Vec<i128>,
    sum: i128,
}

impl Window {
    pub(super) fn new(length: usize) -> Self {
        Self { length, blocks: VecDeque::new(), n_out: 0, newest: Vec::new(), sum: 0 }
    }

    /// Takes a number in; whether there are enough now.
    pub(super) fn take(&mut self, number: i128) -> Option<bool> {
        if self.len() >= self.length
            && let Some(oldest) = self.pop()
        {
            self.sum = self.sum.checked_sub(oldest)?;
        }
        self.newest.push(number);
        self.sum = self.sum.checked_add(number)?;
        if let Ok(block) = <[i128; BLOCK]>::try_from(self.newest.as_slice()) {
            self.blocks.push_back(Rc::new(block));
            self.newest.clear();
        }
        Some(self.len() >= self.length)
    }

    fn len(&self) -> usize {
        self.blocks.len() * BLOCK - self.n_out + self.newest.len()
    }

    /// Takes the oldest number out.
    fn pop(&mut self) -> Option<i128> {
        let Some(block) = self.blocks.front() else {
            return (!self.newest.is_empty()).then(|| self.newest.remove(0));
        };
        let oldest = block.get(self.n_out).copied();
        self.n_out += 1;
        if self.n_out == BLOCK {
            self.blocks.pop_front();
            self.n_out = 0;
        }
        oldest
    }

    /// The oldest first.
    fn numbers(&self) -> impl Iterator<Item = &i128> {
        let blocks = self.blocks.iter().flat_map(|block| block.iter());
        blocks.skip(self.n_out).chain(&self.newest)
    }

    /// The mean, rounded once.
    pub(super) fn mean(&self) -> i128 {
        div_half_even(self.sum, whole(self.length))
    }

    /// length x sum of squares - square of the sum: the population variance times length squared, exact.
    pub(super) fn spread(&self) -> Option<I256> {
        let square = |number: i128| I256::from(number) * I256::from(number);
        let squares =
            self.numbers().try_fold(I256::ZERO, |sum, number| sum.checked_add(square(*number)))?;
        squares.checked_mul(I256::from(whole(self.length)))?.checked_sub(square(self.sum))
    }
}

/// Windows of the same numbers are equal, wherever their blocks begin.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        (self.length, self.len(), self.sum) == (other.length, other.len(), other.sum)
            && self.numbers().eq(other.numbers())
    }
}

impl Eq for Window {}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn filled(length: usize, numbers: &[i128]) -> Window {
        let mut window = Window::new(length);
        for number in numbers {
            window.take(*number).unwrap();
        }
        window
    }

    proptest! {
        /// Sums over the last numbers, which need no window.
        #[test]
        fn windows_hold_the_last_numbers(
            length in 1..300usize,
            numbers in prop::collection::vec(-1_000..1_000i128, 0..700),
            rest in prop::collection::vec(-1_000..1_000i128, 0..400),
        ) {
            let mut window = Window::new(length);
            for (index, number) in numbers.iter().enumerate() {
                let is_full = window.take(*number).unwrap();
                prop_assert_eq!(is_full, index + 1 >= length);
                let last = &numbers[(index + 1).saturating_sub(length)..=index];
                let n = whole(length);
                let (sum, squares) = (last.iter().sum::<i128>(), last.iter().map(|x| x * x).sum::<i128>());
                prop_assert_eq!(window.mean(), div_half_even(sum, n));
                prop_assert_eq!(window.spread(), Some(I256::from(n * squares - sum * sum)));
            }
            // What was before doesn't matter, nor where blocks begin.
            let far: Vec<i128> = numbers.iter().chain(&rest).copied().collect();
            let last = &far[far.len().saturating_sub(length)..];
            let is_full = last.len() == length;
            prop_assert_eq!(filled(length, &far) == filled(length, last), is_full || far.len() == last.len());
            if let Some((oldest, others)) = last.split_first() {
                let other: Vec<i128> =
                    std::iter::once(oldest + 1).chain(others.iter().copied()).collect();
                prop_assert!(filled(length, last) != filled(length, &other));
            }
        }
    }

    /// Of a window of 10,000 numbers a state behind every 32nd costs little more than those.
    #[test]
    fn clones_share_their_numbers() {
        let (mut window, mut kept) = (Window::new(10_000), Vec::new());
        for number in 0..20_000 {
            window.take(number).unwrap();
            if number % 32 == 31 {
                kept.push(window.clone());
            }
        }
        let blocks: BTreeSet<*const [i128; BLOCK]> =
            kept.iter().flat_map(|window| window.blocks.iter().map(Rc::as_ptr)).collect();
        let of_blocks = blocks.len() * size_of::<[i128; BLOCK]>();
        let of_window = |window: &Window| {
            size_of::<Window>()
                + window.blocks.len() * size_of::<Rc<[i128; BLOCK]>>()
                + size_of_val(&*window.newest)
        };
        let bytes = of_blocks + kept.iter().map(of_window).sum::<usize>();
        assert!(bytes < 20_000 * 64, "{bytes}");
    }
}
