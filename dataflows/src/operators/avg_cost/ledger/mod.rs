//! The ledger's rules (SEMANTICS section 5): one fill or settlement at a time, exact, checked.

use types::relations::{Fill, FillKind, RareSums, Side};
use types::{AssetId, EventId, Money, Price, Size, Sym, VenueTime};

pub(super) use self::state::State;
use super::entry::{Entry, LedgerEvent, Movement, Order};
use super::packed::{Aside, Packed};
use crate::operators::history::{Fold, Packable};
use crate::route::route;

mod plain;
mod state;

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

const OVERFLOW: &str = "overflow";

impl Ledger {
    /// Folds anything in.
    #[inline(never)]
    fn follow_the_rules(self, state: &mut State, entry: &Entry) -> Option<Note> {
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
            let add = |rare: &mut RareSums| {
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
                let add = |rare: &mut RareSums| {
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

    fn unpack(packed: &Packed, market: Option<Sym>, aside: &Aside) -> Entry {
        packed.entry(market, aside)
    }

    const BYTES: usize = Packed::BYTES;

    fn write(packed: &Packed, bytes: &mut Vec<u8>) {
        packed.write(bytes);
    }

    fn read(bytes: &[u8]) -> Packed {
        Packed::read(bytes)
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
        State::default()
    }

    #[cfg(test)]
    fn step_by_the_rules(&self, state: &mut State, entry: &Entry) -> Option<Note> {
        self.follow_the_rules(state, entry)
    }

    #[inline]
    fn step(
        &self,
        state: &mut State,
        packed: &Packed,
        market: Option<Sym>,
        aside: &Aside,
    ) -> Option<Note> {
        if let Some(fill) = packed.plain(market)
            && self.fill_plainly(state, &fill).is_some()
        {
            return None;
        }
        self.follow_the_rules(state, &packed.entry(market, aside))
    }

    fn about(note: &Note) -> u128 {
        note.id.raw()
    }
}

/// Fills are packed as they come, without an entry between.
impl Packable<Ledger> for Fill {
    #[inline]
    fn time(&self) -> VenueTime {
        self.event_time
    }

    fn event(&self) -> Entry {
        Entry::of_fill(self)
    }

    #[inline]
    fn pack(&self, market: &mut Option<Sym>, aside: &mut Aside) -> Packed {
        Packed::of_fill(self, market, aside)
    }
}

impl Packable<Ledger> for Entry {
    fn time(&self) -> VenueTime {
        self.time
    }

    fn event(&self) -> Entry {
        self.clone()
    }

    fn pack(&self, market: &mut Option<Sym>, aside: &mut Aside) -> Packed {
        Packed::of(self, market, aside)
    }
}
