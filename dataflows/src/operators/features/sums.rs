//! What is added up of a window's ticks: whole numbers of as many bits as they take, so that what
//! enters and leaves again leaves no trace.

use ethnum::I256;
use types::relations::Side;

use super::history::Held;
use super::tick::UNFIT;

/// Sums over ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) n: u64,
    /// Of trades: sizes in 1e-9, and values in 1e-18 of those that fit. Of quotes: sizes at bid and ask.
    pub(super) amounts: [I256; 2],
    /// Trades whose value doesn't fit, and sizes of quotes that aren't told.
    pub(super) n_unfit: u64,
    /// What was bought less what was sold, in 1e-9; where no side is told, neither.
    pub(super) signed: I256,
    /// Ask less bid, in 1e-9.
    pub(super) spread: i128,
    pub(super) n_returns: u64,
    /// Of returns, in 2^-56.
    pub(super) returns: i128,
    /// Of their squares, in 2^-112.
    pub(super) squares: I256,
}

impl Sums {
    /// Adds a tick.
    #[inline]
    pub(super) fn add(&mut self, held: &Held) {
        let Held { tick, log_return } = held;
        self.n += 1;
        for (sum, amount) in self.amounts.iter_mut().zip(tick.amounts) {
            if amount == UNFIT {
                self.n_unfit += 1;
            } else {
                *sum += I256::from(amount);
            }
        }
        match tick.side {
            Some(Side::Buy) => self.signed += I256::from(tick.amounts[0]),
            Some(Side::Sell) => self.signed -= I256::from(tick.amounts[0]),
            None => {}
        }
        self.spread += spread(held);
        if let Some(log_return) = *log_return {
            self.n_returns += 1;
            self.returns += i128::from(log_return);
            self.squares += square(log_return);
        }
    }

    /// Takes a tick off, which was added.
    #[inline]
    pub(super) fn subtract(&mut self, held: &Held) {
        let Held { tick, log_return } = held;
        self.n -= 1;
        for (sum, amount) in self.amounts.iter_mut().zip(tick.amounts) {
            if amount == UNFIT {
                self.n_unfit -= 1;
            } else {
                *sum -= I256::from(amount);
            }
        }
        match tick.side {
            Some(Side::Buy) => self.signed -= I256::from(tick.amounts[0]),
            Some(Side::Sell) => self.signed += I256::from(tick.amounts[0]),
            None => {}
        }
        self.spread -= spread(held);
        if let Some(log_return) = *log_return {
            self.n_returns -= 1;
            self.returns -= i128::from(log_return);
            self.squares -= square(log_return);
        }
    }

    /// Adds what was added up elsewhere.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.n += other.n;
        for (amount, other) in self.amounts.iter_mut().zip(other.amounts) {
            *amount += other;
        }
        self.n_unfit += other.n_unfit;
        self.signed += other.signed;
        self.spread += other.spread;
        self.n_returns += other.n_returns;
        self.returns += other.returns;
        self.squares += other.squares;
    }

    /// Takes off what was added up elsewhere, and added.
    pub(super) fn subtract_all(&mut self, other: &Self) {
        self.n -= other.n;
        for (amount, other) in self.amounts.iter_mut().zip(other.amounts) {
            *amount -= other;
        }
        self.n_unfit -= other.n_unfit;
        self.signed -= other.signed;
        self.spread -= other.spread;
        self.n_returns -= other.n_returns;
        self.returns -= other.returns;
        self.squares -= other.squares;
    }
}

fn spread(held: &Held) -> i128 {
    i128::from(held.tick.ask) - i128::from(held.tick.bid)
}

fn square(log_return: i64) -> I256 {
    // At most 2^124.
    I256::from(i128::from(log_return) * i128::from(log_return))
}
