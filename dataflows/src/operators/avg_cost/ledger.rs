//! The ledger's rules (SEMANTICS section 5): one fill or settlement at a time, exact, checked.

use types::relations::{Basis, FillKind, Position, Side};
use types::{AssetId, EventId, Money, Price, Size, Sym, VenueTime};

use super::entry::{Aside, Entry, LedgerEvent, Movement, Order, Packed};
use crate::operators::history::Fold;
use crate::route::route;

/// What becomes of a sale of more than is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oversell {
    /// It opens a short position.
    Short,
    /// The excess earns nothing and adds to `unmatched_size`.
    Clamp,
    /// The fill is left out and stands among the errors.
    Error,
}

/// The ledger as a fold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger {
    /// What becomes of a sale of more than is held.
    pub(super) oversell: Oversell,
}

/// What the fold says of a fill beside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Which fill.
    pub(super) id: EventId,
    /// When it happened.
    pub(super) time: VenueTime,
    /// What is wrong.
    pub(super) finding: Finding,
}

/// What is wrong with a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is left out, for this reason.
    LeftOut(&'static str),
    /// The venue states another quantity before it than the ledger holds.
    Break {
        /// The ledger's.
        expected: Size,
        /// The venue's.
        stated: Size,
    },
}

/// A position while it is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    qty: Size,
    /// Zero while the basis is unknown.
    cost: Money,
    realized_pnl: Money,
    fees: Money,
    n_fills: u64,
    updated_at: VenueTime,
    /// Never there with all of it zero, so that equal states are equal.
    rare: Option<Box<Rare>>,
    market: Option<Sym>,
    basis: Basis,
    is_settled: bool,
}

/// What few positions have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    funding: Money,
    unmatched_size: Size,
    unknown_closed: Money,
}

impl State {
    /// The position's row; `None` before the first fill.
    pub(super) fn position(&self, wallet: Sym, asset: AssetId) -> Option<Position> {
        let (funding, unmatched_size, unknown_closed) = match &self.rare {
            None => (Money::ZERO, Size::ZERO, Money::ZERO),
            Some(rare) => (rare.funding, rare.unmatched_size, rare.unknown_closed),
        };
        (self.n_fills > 0).then_some(Position {
            wallet,
            asset,
            market: self.market,
            qty: self.qty,
            cost: self.cost,
            realized_pnl: self.realized_pnl,
            fees: self.fees,
            funding,
            n_fills: self.n_fills,
            unmatched_size,
            basis: self.basis,
            unknown_closed,
            updated_at: self.updated_at,
        })
    }

    /// Changes what few positions have. `None`: overflow.
    fn change_rare(&mut self, change: impl FnOnce(&mut Rare) -> Option<()>) -> Option<()> {
        let mut rare = self.rare.take().unwrap_or_default();
        change(&mut rare)?;
        self.rare = Some(rare).filter(|rare| **rare != Rare::default());
        Some(())
    }

    fn is_known(&self) -> bool {
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
    fn take_stated(&mut self, stated: Option<Size>) -> Option<Finding> {
        let stated = stated.filter(|stated| *stated != self.qty)?;
        let expected = self.qty;
        self.qty = stated;
        self.forget_basis();
        self.settle_flat();
        Some(Finding::Break { expected, stated })
    }

    /// Buys or sells: adds, or closes and opens what is left the other way. `None`: overflow.
    fn trade(&mut self, delta: Size, value: Money) -> Option<()> {
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
    fn close(&mut self, closed: Size, fetched: Money) -> Option<()> {
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
    fn transfer(&mut self, delta: Size, value: Option<Money>) -> Option<()> {
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
    fn fits(&self) -> bool {
        let (cost, qty) = (self.cost.raw().unsigned_abs(), self.qty.raw().unsigned_abs());
        let most = Price::MAX_RAW.unsigned_abs();
        match u64::try_from(qty) {
            // One multiplication of 64 bits, which can't overflow.
            Ok(qty) => cost <= u128::from(qty) * u128::from(most),
            Err(_) => qty.checked_mul(most.into()).is_none_or(|most| cost <= most),
        }
    }
}

const OVERFLOW: &str = "overflow";

impl Ledger {
    /// Folds a fill in; the reason where it must be left out.
    fn fill(
        self,
        state: &mut State,
        time: VenueTime,
        fill: &Movement,
    ) -> Result<Option<Finding>, &'static str> {
        state.n_fills += 1;
        state.market = fill.market.or(state.market);
        state.updated_at = state.updated_at.max(time);
        if fill.kind == FillKind::Redeem && state.is_settled {
            return Ok(None);
        }
        if let Some(fee) = fill.fee {
            state.fees = state.fees.checked_add(fee).ok_or(OVERFLOW)?;
        }
        if fill.kind == FillKind::Funding {
            let paid = fill.value().ok_or(OVERFLOW)?;
            let add = |rare: &mut Rare| {
                rare.funding = rare.funding.checked_add(paid)?;
                Some(())
            };
            state.change_rare(add).ok_or(OVERFLOW)?;
            return Ok(None);
        }
        let finding = state.take_stated(fill.start_qty);
        let delta = if fill.side == Side::Buy { fill.size } else { fill.size.negated() };
        if fill.kind == FillKind::Transfer {
            state.transfer(delta, fill.value()).ok_or(OVERFLOW)?;
        } else {
            let value = fill.value().ok_or(OVERFLOW)?;
            self.trade(state, delta, value)?;
        }
        if state.fits() { Ok(finding) } else { Err(OVERFLOW) }
    }

    fn trade(self, state: &mut State, delta: Size, value: Money) -> Result<(), &'static str> {
        let held = state.qty.max(Size::ZERO);
        let oversold = delta < Size::ZERO && delta.abs() > held;
        match self.oversell {
            Oversell::Error if oversold => Err("oversell"),
            Oversell::Clamp if oversold => {
                let excess = delta.abs().checked_sub(held).ok_or(OVERFLOW)?;
                let add = |rare: &mut Rare| {
                    rare.unmatched_size = rare.unmatched_size.checked_add(excess)?;
                    Some(())
                };
                state.change_rare(add).ok_or(OVERFLOW)?;
                if held.is_zero() {
                    return Ok(());
                }
                let part = value.share_half_even(held, delta.abs()).ok_or(OVERFLOW)?;
                state.close(held, part).ok_or(OVERFLOW)
            }
            _ => state.trade(delta, value).ok_or(OVERFLOW),
        }
    }

    /// Closes the position at the payout.
    fn settle(state: &mut State, time: VenueTime, payout: Price) -> Result<(), &'static str> {
        state.is_settled = true;
        if state.qty.is_zero() {
            return Ok(());
        }
        state.updated_at = state.updated_at.max(time);
        let held = state.qty.abs();
        let fetched = held.checked_mul_price(payout).ok_or(OVERFLOW)?;
        state.close(held, fetched).ok_or(OVERFLOW)
    }
}

impl Fold for Ledger {
    type Key = (Sym, AssetId);
    type Event = Entry;
    type Packed = Packed;
    /// The market that a key's fills name.
    type Common = Option<Sym>;
    type Aside = Aside;
    type State = State;
    type Note = Note;
    type Order = Order;

    fn route((wallet, asset): Self::Key) -> u64 {
        route(wallet, asset)
    }

    fn order(event: &Entry) -> Order {
        event.order()
    }

    fn time(order: &Order) -> VenueTime {
        order.0
    }

    fn identity(event: &Entry) -> Option<u128> {
        event.identity()
    }

    fn pack(event: &Entry, market: &mut Option<Sym>, aside: &mut Aside) -> Packed {
        Packed::of(event, market, aside)
    }

    fn unpack(packed: &Packed, market: Option<Sym>, aside: &Aside) -> Entry {
        packed.entry(market, aside)
    }

    fn release(packed: &Packed, aside: &mut Aside) {
        packed.release(aside);
    }

    fn packed_order(packed: &Packed, aside: &Aside) -> Order {
        packed.order(aside)
    }

    fn packed_time(packed: &Packed) -> VenueTime {
        packed.time()
    }

    fn packed_identity(packed: &Packed, aside: &Aside) -> Option<u128> {
        packed.identity(aside)
    }

    fn start(&self) -> State {
        State {
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

    fn step(&self, state: &mut State, entry: &Entry) -> Option<Note> {
        let before = state.clone();
        let found = match &entry.event {
            LedgerEvent::Settle(payout) => Self::settle(state, entry.time, *payout).map(|()| None),
            LedgerEvent::Fill(fill) => self.fill(state, entry.time, fill),
        };
        let finding = match found {
            Ok(finding) => finding?,
            Err(reason) => {
                // A fill that doesn't fit is left out whole.
                *state = before;
                Finding::LeftOut(reason)
            }
        };
        Some(Note { id: entry.id, time: entry.time, finding })
    }

    fn about(note: &Note) -> u128 {
        note.id.raw()
    }
}
