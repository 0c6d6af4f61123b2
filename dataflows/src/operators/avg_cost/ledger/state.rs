//! A position's state, and what trades, transfers and closings do to it (SEMANTICS section 5).

use types::relations::{Basis, Position, RareSums};
use types::{AssetId, Money, Price, Size, Sym, VenueTime};

use super::Finding;

/// A position while it is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operators::avg_cost) struct State {
    pub(super) qty: Size,
    /// Zero while the basis is unknown.
    pub(super) cost: Money,
    pub(super) realized_pnl: Money,
    pub(super) fees: Money,
    pub(super) n_fills: u64,
    pub(super) updated_at: VenueTime,
    /// Never there with all of it zero, so that equal states are equal.
    rare: Option<Box<RareSums>>,
    pub(super) market: Option<Sym>,
    basis: Basis,
    pub(super) is_settled: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            qty: Size::ZERO,
            cost: Money::ZERO,
            realized_pnl: Money::ZERO,
            fees: Money::ZERO,
            n_fills: 0,
            updated_at: VenueTime::MIN,
            rare: None,
            market: None,
            basis: Basis::Known,
            is_settled: false,
        }
    }
}

impl State {
    /// The position's row; `None` before the first fill.
    pub(in crate::operators::avg_cost) fn position(
        &self,
        wallet: Sym,
        asset: AssetId,
    ) -> Option<Position> {
        (self.n_fills > 0).then_some(Position {
            wallet,
            asset,
            market: self.market,
            qty: self.qty,
            cost: self.cost,
            realized_pnl: self.realized_pnl,
            fees: self.fees,
            n_fills: self.n_fills,
            basis: self.basis,
            updated_at: self.updated_at,
            rare: self.rare.clone(),
        })
    }

    /// Whether two states show the same row.
    pub(in crate::operators::avg_cost) fn shows_as(&self, other: &Self) -> bool {
        self.n_fills == other.n_fills
            && self.qty == other.qty
            && self.cost == other.cost
            && self.realized_pnl == other.realized_pnl
            && self.fees == other.fees
            && self.updated_at == other.updated_at
            && self.market == other.market
            && self.basis == other.basis
            && self.rare == other.rare
    }

    /// Changes what few positions have. `None`: overflow.
    pub(super) fn change_rare(
        &mut self,
        change: impl FnOnce(&mut RareSums) -> Option<()>,
    ) -> Option<()> {
        let mut rare = self.rare.as_deref().copied().unwrap_or_default();
        change(&mut rare)?;
        self.rare = rare.kept();
        Some(())
    }

    pub(super) fn is_known(&self) -> bool {
        self.basis == Basis::Known
    }

    fn forget_basis(&mut self) {
        self.basis = Basis::Unknown;
        self.cost = Money::ZERO;
    }

    /// A flat position costs nothing, and that is known.
    fn settle_flat(&mut self) {
        if self.qty.is_zero() {
            self.basis = Basis::Known;
            self.cost = Money::ZERO;
        }
    }

    /// Takes the venue's word for the quantity before a fill; tells where it differs.
    pub(super) fn take_stated(&mut self, stated: Option<Size>) -> Option<Finding> {
        let stated = stated.filter(|stated| *stated != self.qty)?;
        let expected = self.qty;
        self.qty = stated;
        self.forget_basis();
        self.settle_flat();
        Some(Finding::Break { expected, stated })
    }

    /// Buys or sells: adds, or closes and opens what is left the other way. `None`: overflow.
    pub(super) fn trade(&mut self, delta: Size, value: Money) -> Option<()> {
        if self.qty.signum() * delta.signum() >= 0 {
            return self.open(delta, value);
        }
        let closed = delta.abs().min(self.qty.abs());
        let part = value.share_half_even(closed, delta.abs())?;
        self.close(closed, part)?;
        let left = delta.abs().checked_sub(closed)?;
        if left.is_zero() {
            return Some(());
        }
        // What the closed part didn't take, so that no unit is lost between the two.
        let rest = value.checked_sub(part)?;
        self.open(if delta > Size::ZERO { left } else { left.negated() }, rest)
    }

    /// Adds in the position's direction.
    fn open(&mut self, delta: Size, value: Money) -> Option<()> {
        self.qty = self.qty.checked_add(delta)?;
        if self.is_known() {
            let cost = if delta < Size::ZERO { value.checked_neg()? } else { value };
            self.cost = self.cost.checked_add(cost)?;
        }
        Some(())
    }

    /// Closes part of the position for what it fetched.
    pub(super) fn close(&mut self, closed: Size, fetched: Money) -> Option<()> {
        let is_long = self.qty > Size::ZERO;
        if self.is_known() {
            let removed = self.cost.share_half_even(closed, self.qty.abs())?;
            let fetched = if is_long { fetched } else { fetched.checked_neg()? };
            self.realized_pnl = self.realized_pnl.checked_add(fetched.checked_sub(removed)?)?;
            self.cost = self.cost.checked_sub(removed)?;
        } else {
            self.change_rare(|rare| {
                rare.unknown_closed = rare.unknown_closed.checked_add(fetched)?;
                Some(())
            })?;
        }
        self.qty = self.qty.checked_add(if is_long { closed.negated() } else { closed })?;
        self.settle_flat();
        Some(())
    }

    /// Moves quantity with a stated cost, and no trade.
    pub(super) fn transfer(&mut self, delta: Size, value: Option<Money>) -> Option<()> {
        let before = self.qty;
        self.qty = before.checked_add(delta)?;
        if self.qty.is_zero() {
            self.settle_flat();
            return Some(());
        }
        let crosses = before.signum() * self.qty.signum() < 0;
        let Some(value) = value.filter(|_| self.is_known() && !crosses) else {
            self.forget_basis();
            return Some(());
        };
        let moved = if delta < Size::ZERO { value.checked_neg()? } else { value };
        self.cost = self.cost.checked_add(moved)?;
        if self.cost.raw().signum() * self.qty.signum() < 0 {
            self.forget_basis();
        }
        Some(())
    }

    /// Whether the average price fits its column.
    pub(super) fn fits(&self) -> bool {
        let (cost, qty) = (self.cost.raw().unsigned_abs(), self.qty.raw().unsigned_abs());
        let most = Price::MAX_RAW.unsigned_abs();
        match u64::try_from(qty) {
            // One multiplication of 64 bits, which can't overflow.
            Ok(qty) => cost <= u128::from(qty) * u128::from(most),
            Err(_) => qty.checked_mul(most.into()).is_none_or(|most| cost <= most),
        }
    }
}
