//! What a position is worth, exactly: sums of 128 bits, checked, and of 256 where those don't do.

use std::cmp::Ordering;

use ethnum::I256;
use types::number::div_rem_nano;
use types::relations::{self, Pnl, Position};
use types::sabotage::{Safeguard, is_out};
use types::{Money, Price, Size, Sym, VenueTime};

/// What marks need to know of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) qty: Size,
    /// `None` while the basis is unknown.
    pub(super) cost: Option<Money>,
    pub(super) realized: Money,
    pub(super) fees: Money,
    pub(super) funding: Money,
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

/// The mark of an asset from a step on; prices are doubled, as in [`types::relations::Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) long_twice: i64,
    pub(super) short_twice: i64,
    pub(super) time: VenueTime,
}

/// An exact amount in units of 5e-19: half of [`Money`]'s, so that the middle of two prices is exact.
/// `None` is always "does not fit".
pub(super) trait Number: Copy + Default + PartialEq {
    /// An amount of money.
    fn of(money: Money) -> Option<Self>;
    /// A quantity at a doubled price.
    fn product(qty: Size, twice: i64) -> Option<Self>;
    /// The sum.
    fn plus(self, other: Self) -> Option<Self>;
    /// The difference.
    fn minus(self, other: Self) -> Option<Self>;
    /// The same in 256 bits.
    fn wide(self) -> I256;
    /// Without the sign.
    fn magnitude(self) -> Option<Self>;
    /// Half-even at 1e-9.
    fn rounded(self) -> Option<Money>;
}

impl Number for i128 {
    fn of(money: Money) -> Option<Self> {
        money.raw().checked_mul(2)
    }

    fn product(qty: Size, twice: i64) -> Option<Self> {
        if is_out(Safeguard::ProductsWidened) {
            return Some(qty.raw().wrapping_mul(twice.into()));
        }
        qty.raw().checked_mul(twice.into())
    }

    fn plus(self, other: Self) -> Option<Self> {
        if is_out(Safeguard::SumsWidened) {
            return Some(self.wrapping_add(other));
        }
        self.checked_add(other)
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }

    fn wide(self) -> I256 {
        self.into()
    }

    fn magnitude(self) -> Option<Self> {
        self.checked_abs()
    }

    fn rounded(self) -> Option<Money> {
        let (quotient, rest) = div_rem_nano::<10>(self.unsigned_abs());
        let up = match rest.cmp(&(UNIT / 2)) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => quotient % 2 != 0,
        };
        let nano = i128::try_from(quotient + u128::from(up)).ok()?;
        Money::from_nano(if self < 0 { -nano } else { nano })
    }
}

/// Units of an exact amount in 1e-9.
const UNIT: u64 = 2_000_000_000;

/// No sum over positions reaches 256 bits: a product has less than 2^188, and there are less than
/// 2^32 of them.
impl Number for I256 {
    fn of(money: Money) -> Option<Self> {
        Some(Self::from(money.raw()) * Self::from(2))
    }

    fn product(qty: Size, twice: i64) -> Option<Self> {
        Some(Self::from(qty.raw()) * Self::from(twice))
    }

    fn plus(self, other: Self) -> Option<Self> {
        Some(self + other)
    }

    fn minus(self, other: Self) -> Option<Self> {
        Some(self - other)
    }

    fn wide(self) -> I256 {
        self
    }

    fn magnitude(self) -> Option<Self> {
        Some(self.abs())
    }

    fn rounded(self) -> Option<Money> {
        let unit = Self::from(UNIT);
        let (quotient, rest) = (self / unit, self % unit);
        let up = match (rest.abs() * Self::from(2)).cmp(&unit) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => quotient % Self::from(2) != Self::ZERO,
        };
        let away = if self < Self::ZERO { -Self::ONE } else { Self::ONE };
        let nano = if up { quotient + away } else { quotient };
        Money::from_nano(i128::try_from(nano).ok()?)
    }
}

/// The mark that counts for a position; `None` for a flat one.
pub(super) fn mark_of(qty: Size, mark: Marked) -> Option<i64> {
    match qty.signum() {
        0 => None,
        1.. => Some(mark.long_twice),
        _ => Some(mark.short_twice),
    }
}

/// Sums over positions, and differences of such sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums<N> {
    pub(super) realized: N,
    pub(super) unrealized: N,
    pub(super) fees: N,
    pub(super) funding: N,
    pub(super) exposure: N,
    /// What the open positions of known basis cost, marked or not.
    pub(super) cost: N,
    /// Positions, flat ones too.
    pub(super) n_held: i32,
    pub(super) n_open: i32,
    pub(super) n_unmarked: i32,
}

impl<N: Number> Sums<N> {
    /// The sums over one position; all zero without one.
    pub(super) fn of(held: Option<&Held>, mark: Option<Marked>) -> Option<Self> {
        let Some(held) = held else { return Some(Self::default()) };
        let mut sums = Self {
            realized: N::of(held.realized)?,
            fees: N::of(held.fees)?,
            funding: N::of(held.funding)?,
            n_held: 1,
            ..Self::default()
        };
        if held.qty.is_zero() {
            return Some(sums);
        }
        sums.n_open = 1;
        sums.cost = held.cost.map_or(Some(N::default()), N::of)?;
        match mark.and_then(|mark| mark_of(held.qty, mark)).filter(|_| held.cost.is_some()) {
            Some(twice) => {
                let value = N::product(held.qty, twice)?;
                sums.unrealized = value.minus(sums.cost)?;
                sums.exposure = value.magnitude()?;
            }
            None => sums.n_unmarked = 1,
        }
        Some(sums)
    }

    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            realized: self.realized.plus(other.realized)?,
            unrealized: self.unrealized.plus(other.unrealized)?,
            fees: self.fees.plus(other.fees)?,
            funding: self.funding.plus(other.funding)?,
            exposure: self.exposure.plus(other.exposure)?,
            cost: self.cost.plus(other.cost)?,
            n_held: self.n_held + other.n_held,
            n_open: self.n_open + other.n_open,
            n_unmarked: self.n_unmarked + other.n_unmarked,
        })
    }

    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            realized: self.realized.minus(other.realized)?,
            unrealized: self.unrealized.minus(other.unrealized)?,
            fees: self.fees.minus(other.fees)?,
            funding: self.funding.minus(other.funding)?,
            exposure: self.exposure.minus(other.exposure)?,
            cost: self.cost.minus(other.cost)?,
            n_held: self.n_held - other.n_held,
            n_open: self.n_open - other.n_open,
            n_unmarked: self.n_unmarked - other.n_unmarked,
        })
    }

    /// Realised, unrealised, fees, funding and all together, rounded; `None` where one doesn't fit.
    pub(super) fn rounded(&self) -> Option<[Money; 5]> {
        let exact = [self.realized, self.unrealized, self.fees, self.funding];
        let [realized, unrealized, fees, funding] = exact;
        // It may fit its column where twice of it doesn't fit 128 bits.
        let narrow = || realized.plus(unrealized)?.minus(fees)?.plus(funding);
        let wide = || realized.wide() + unrealized.wide() - fees.wide() + funding.wide();
        let total = narrow().map_or_else(|| wide().rounded(), N::rounded)?;
        Some([
            realized.rounded()?,
            unrealized.rounded()?,
            fees.rounded()?,
            funding.rounded()?,
            total,
        ])
    }

    /// What a wallet shows, at [`VenueTime::MIN`]; `None` where a column doesn't fit.
    pub(super) fn row(&self, wallet: Sym) -> Option<Pnl> {
        let [realized_pnl, unrealized_pnl, fees, funding, total_pnl] = self.rounded()?;
        Some(Pnl {
            wallet,
            snapshot: VenueTime::MIN,
            realized_pnl,
            unrealized_pnl,
            fees,
            funding,
            total_pnl,
            exposure: self.exposure.rounded()?,
            n_positions: count(self.n_open),
            n_unmarked: count(self.n_unmarked),
        })
    }
}

/// A count, which is never negative in a sum.
fn count(n: i32) -> u64 {
    u64::try_from(n).expect("positions are taken off once")
}

impl Sums<i128> {
    /// The same in 256 bits.
    pub(super) fn widened(&self) -> Sums<I256> {
        Sums {
            realized: self.realized.into(),
            unrealized: self.unrealized.into(),
            fees: self.fees.into(),
            funding: self.funding.into(),
            exposure: self.exposure.into(),
            cost: self.cost.into(),
            n_held: self.n_held,
            n_open: self.n_open,
            n_unmarked: self.n_unmarked,
        }
    }
}

/// What a position shows of its mark: the mark, when its row happened, and the average price.
pub(super) fn shown(
    held: &Held,
    mark: Option<Marked>,
) -> (Option<Money>, Option<VenueTime>, Option<Price>) {
    let twice = mark.and_then(|mark| mark_of(held.qty, mark));
    let time = mark.filter(|_| twice.is_some()).map(|mark| mark.time);
    (twice.map(relations::shown), time, held.cost.and_then(|cost| cost.price_half_even(held.qty)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of all sizes, many at a tie or beside one.
    fn amount() -> impl Strategy<Value = i128> {
        let near = (any::<i128>(), 0u32..127, -2i128..3);
        near.prop_map(|(bits, shift, beside)| {
            let amount = bits >> shift;
            let tie = amount - amount.rem_euclid(1_000_000_000);
            if bits & 1 == 0 { amount } else { tie.saturating_add(beside) }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn rounding_equals_that_of_256_bits(amount in amount()) {
            prop_assert_eq!(Number::rounded(amount), Number::rounded(I256::from(amount)));
        }
    }

    #[test]
    fn the_smallest_and_largest_round_too() {
        for amount in [i128::MIN, i128::MIN + 1, i128::MAX, 0, 1, -1, 1 << 117, (1 << 117) - 1] {
            assert_eq!(Number::rounded(amount), Number::rounded(I256::from(amount)), "{amount}");
        }
    }
}
