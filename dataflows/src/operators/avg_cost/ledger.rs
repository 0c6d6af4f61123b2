//! The ledger's rules (SEMANTICS section 5): one fill or settlement at a time, exact, checked.

use types::relations::{Basis, Fill, FillKind, Position, Settlement, Side};
use types::{AssetId, EventId, Money, Price, Size, Sym, VenueTime};

use crate::operators::history::Fold;

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

/// What the fold needs of a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) time: VenueTime,
    pub(super) seq: u64,
    pub(super) id: EventId,
    pub(super) event: LedgerEvent,
}

/// What happens to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LedgerEvent {
    /// A fill.
    Fill {
        kind: FillKind,
        side: Side,
        size: Size,
        value: Option<Money>,
        /// The fee, where it is in the quote currency.
        fee: Option<Money>,
        start_qty: Option<Size>,
        market: Option<Sym>,
    },
    /// The asset pays out; comes after all fills of its time.
    Settle(Price),
}

impl Entry {
    /// What the fold needs of a fill.
    pub(super) fn of_fill(fill: &Fill) -> Self {
        Self {
            time: fill.event_time,
            seq: fill.seq,
            id: fill.id,
            event: LedgerEvent::Fill {
                kind: fill.kind,
                side: fill.side,
                size: fill.size,
                value: fill.value(),
                fee: fill.fee.filter(|_| fill.fee_counts),
                start_qty: fill.start_qty,
                market: fill.market,
            },
        }
    }

    /// What the fold needs of a settlement.
    pub(super) fn of_settlement(settlement: &Settlement) -> Self {
        Self {
            time: settlement.event_time,
            seq: 0,
            // Not that of a fill: both may stand among the errors of one key.
            id: EventId::NONE,
            event: LedgerEvent::Settle(settlement.payout),
        }
    }
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
    market: Option<Sym>,
    qty: Size,
    /// Zero while the basis is unknown.
    cost: Money,
    realized_pnl: Money,
    fees: Money,
    funding: Money,
    n_fills: u64,
    unmatched_size: Size,
    basis: Basis,
    unknown_closed: Money,
    updated_at: VenueTime,
    is_settled: bool,
}

impl State {
    /// The position's row; `None` before the first fill.
    pub(super) fn position(&self, wallet: Sym, asset: AssetId) -> Option<Position> {
        (self.n_fills > 0).then_some(Position {
            wallet,
            asset,
            market: self.market,
            qty: self.qty,
            cost: self.cost,
            realized_pnl: self.realized_pnl,
            fees: self.fees,
            funding: self.funding,
            n_fills: self.n_fills,
            unmatched_size: self.unmatched_size,
            basis: self.basis,
            unknown_closed: self.unknown_closed,
            updated_at: self.updated_at,
        })
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
            self.unknown_closed = self.unknown_closed.checked_add(fetched)?;
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
        let most = self.qty.raw().unsigned_abs().checked_mul(Price::MAX_RAW.unsigned_abs().into());
        most.is_none_or(|most| self.cost.raw().unsigned_abs() <= most)
    }
}

impl Ledger {
    /// Folds a fill in; the reason where it must be left out.
    fn fill(self, state: &mut State, entry: &Entry) -> Result<Option<Finding>, &'static str> {
        let LedgerEvent::Fill { kind, side, size, value, fee, start_qty, market } = &entry.event
        else {
            return Ok(None);
        };
        let overflow = "overflow";
        state.n_fills += 1;
        state.market = market.or(state.market);
        state.updated_at = state.updated_at.max(entry.time);
        if *kind == FillKind::Redeem && state.is_settled {
            return Ok(None);
        }
        if let Some(fee) = fee {
            state.fees = state.fees.checked_add(*fee).ok_or(overflow)?;
        }
        if *kind == FillKind::Funding {
            let paid = value.ok_or(overflow)?;
            state.funding = state.funding.checked_add(paid).ok_or(overflow)?;
            return Ok(None);
        }
        let finding = state.take_stated(*start_qty);
        let delta = if *side == Side::Buy { *size } else { size.negated() };
        if *kind == FillKind::Transfer {
            state.transfer(delta, *value).ok_or(overflow)?;
        } else {
            let value = value.ok_or(overflow)?;
            self.trade(state, delta, value)?;
        }
        if state.fits() { Ok(finding) } else { Err(overflow) }
    }

    fn trade(self, state: &mut State, delta: Size, value: Money) -> Result<(), &'static str> {
        let overflow = "overflow";
        let held = state.qty.max(Size::ZERO);
        let oversold = delta < Size::ZERO && delta.abs() > held;
        match self.oversell {
            Oversell::Error if oversold => Err("oversell"),
            Oversell::Clamp if oversold => {
                let excess = delta.abs().checked_sub(held).ok_or(overflow)?;
                state.unmatched_size = state.unmatched_size.checked_add(excess).ok_or(overflow)?;
                if held.is_zero() {
                    return Ok(());
                }
                let part = value.share_half_even(held, delta.abs()).ok_or(overflow)?;
                state.close(held, part).ok_or(overflow)
            }
            _ => state.trade(delta, value).ok_or(overflow),
        }
    }

    /// Closes the position at the payout.
    fn settle(state: &mut State, time: VenueTime, payout: Price) -> Result<(), &'static str> {
        let overflow = "overflow";
        state.is_settled = true;
        if state.qty.is_zero() {
            return Ok(());
        }
        state.updated_at = state.updated_at.max(time);
        let held = state.qty.abs();
        let fetched = held.checked_mul_price(payout).ok_or(overflow)?;
        state.close(held, fetched).ok_or(overflow)
    }
}

impl Fold for Ledger {
    type Event = Entry;
    type State = State;
    type Note = Note;
    /// A settlement comes after all fills of its time.
    type Order = (VenueTime, bool, u64, EventId);

    fn order(event: &Entry) -> Self::Order {
        let settles = matches!(event.event, LedgerEvent::Settle(_));
        (event.time, settles, event.seq, event.id)
    }

    fn time(event: &Entry) -> VenueTime {
        event.time
    }

    fn start(&self) -> State {
        State {
            market: None,
            qty: Size::ZERO,
            cost: Money::ZERO,
            realized_pnl: Money::ZERO,
            fees: Money::ZERO,
            funding: Money::ZERO,
            n_fills: 0,
            unmatched_size: Size::ZERO,
            basis: Basis::Known,
            unknown_closed: Money::ZERO,
            updated_at: VenueTime::MIN,
            is_settled: false,
        }
    }

    fn step(&self, state: &mut State, entry: &Entry) -> Option<Note> {
        let before = state.clone();
        let found = match entry.event {
            LedgerEvent::Settle(payout) => Self::settle(state, entry.time, payout).map(|()| None),
            LedgerEvent::Fill { .. } => self.fill(state, entry),
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
}
