//! What a position is worth, exactly: sums are of 256 bits, so nothing overflows before it leaves.

use std::cmp::Ordering;
use std::ops::{AddAssign, SubAssign};

use ethnum::I256;
use types::relations::{Mark, Position};
use types::{Money, Price, Size, VenueTime};

/// What marks need to know of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) qty: Size,
    /// `None` while the basis is unknown.
    pub(crate) cost: Option<Money>,
    pub(crate) realized: Money,
    pub(crate) fees: Money,
    pub(crate) funding: Money,
}

impl From<&Position> for Held {
    fn from(position: &Position) -> Self {
        Self {
            qty: position.qty,
            cost: position.known_cost(),
            realized: position.realized_pnl,
            fees: position.fees,
            funding: position.rare().funding,
        }
    }
}

/// An exact amount in units of 5e-19: half of [`Money`]'s, so that the middle of two prices is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exact(I256);

impl Exact {
    fn of(money: Money) -> Self {
        Self(I256::from(money.raw()) * I256::from(2))
    }

    /// The amount half-even at 1e-9; `None` where that doesn't fit.
    pub(crate) fn rounded(self) -> Option<Money> {
        let unit = I256::from(2_000_000_000i64);
        let (quotient, rest) = (self.0 / unit, self.0 % unit);
        let up = match (rest.abs() * I256::from(2)).cmp(&unit) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => quotient % I256::from(2) != I256::ZERO,
        };
        let away = if self.0 < I256::ZERO { -I256::ONE } else { I256::ONE };
        let nano = if up { quotient + away } else { quotient };
        Money::from_nano(i128::try_from(nano).ok()?)
    }
}

/// The mark that counts for a position; `None` for a flat one.
fn mark_of(held: &Held, mark: &Mark) -> Option<i64> {
    match held.qty.signum() {
        0 => None,
        1.. => Some(mark.long_twice),
        _ => Some(mark.short_twice),
    }
}

/// What a position is worth at a mark, less what it cost.
fn unrealized(held: &Held, mark: Option<&Mark>) -> Option<Exact> {
    if held.qty.is_zero() {
        return Some(Exact::default());
    }
    let value = I256::from(held.qty.raw()) * I256::from(mark_of(held, mark?)?);
    Some(Exact(value - Exact::of(held.cost?).0))
}

/// Sums over positions. A position is added and taken off again as it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    realized: I256,
    unrealized: I256,
    fees: I256,
    funding: I256,
    exposure: I256,
    /// Positions, flat ones too.
    n_held: u64,
    pub(crate) n_open: u64,
    pub(crate) n_unmarked: u64,
}

impl Sums {
    /// The sums over one position.
    pub(crate) fn of(held: &Held, mark: Option<&Mark>) -> Self {
        let unrealized = unrealized(held, mark);
        let is_open = !held.qty.is_zero();
        let exposure = unrealized.and_then(|_| mark_of(held, mark?));
        let exposure = exposure.map(|mark| (I256::from(held.qty.raw()) * I256::from(mark)).abs());
        Self {
            realized: Exact::of(held.realized).0,
            unrealized: unrealized.unwrap_or_default().0,
            fees: Exact::of(held.fees).0,
            funding: Exact::of(held.funding).0,
            exposure: exposure.unwrap_or(I256::ZERO),
            n_held: 1,
            n_open: u64::from(is_open),
            n_unmarked: u64::from(is_open && unrealized.is_none()),
        }
    }

    /// Whether there is no position, not even a flat one.
    pub(crate) fn is_empty(&self) -> bool {
        self.n_held == 0
    }

    pub(crate) fn realized(&self) -> Option<Money> {
        Exact(self.realized).rounded()
    }

    pub(crate) fn unrealized(&self) -> Option<Money> {
        Exact(self.unrealized).rounded()
    }

    pub(crate) fn fees(&self) -> Option<Money> {
        Exact(self.fees).rounded()
    }

    pub(crate) fn funding(&self) -> Option<Money> {
        Exact(self.funding).rounded()
    }

    pub(crate) fn exposure(&self) -> Option<Money> {
        Exact(self.exposure).rounded()
    }

    pub(crate) fn total(&self) -> Option<Money> {
        Exact(self.realized + self.unrealized - self.fees + self.funding).rounded()
    }
}

impl AddAssign<Sums> for Sums {
    fn add_assign(&mut self, other: Self) {
        self.realized += other.realized;
        self.unrealized += other.unrealized;
        self.fees += other.fees;
        self.funding += other.funding;
        self.exposure += other.exposure;
        self.n_held += other.n_held;
        self.n_open += other.n_open;
        self.n_unmarked += other.n_unmarked;
    }
}

impl SubAssign<Sums> for Sums {
    fn sub_assign(&mut self, other: Self) {
        self.realized -= other.realized;
        self.unrealized -= other.unrealized;
        self.fees -= other.fees;
        self.funding -= other.funding;
        self.exposure -= other.exposure;
        self.n_held -= other.n_held;
        self.n_open -= other.n_open;
        self.n_unmarked -= other.n_unmarked;
    }
}

/// What a position shows of its mark: the mark, when its row happened, and the average price.
pub(crate) fn shown(
    held: &Held,
    mark: Option<&Mark>,
) -> (Option<Money>, Option<VenueTime>, Option<Price>) {
    let twice = mark.and_then(|mark| mark_of(held, mark));
    // Twice a price of 1e-9 is 5e8 units of 1e-18.
    let shown = twice.map(|twice| Money::from_raw(i128::from(twice) * 500_000_000).rounded());
    let time = mark.filter(|_| twice.is_some()).map(|mark| mark.mark_time);
    (shown, time, held.cost.and_then(|cost| cost.price_half_even(held.qty)))
}
