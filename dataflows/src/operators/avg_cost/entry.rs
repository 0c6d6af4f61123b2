//! What the ledger needs of an event.

use types::relations::{Fill, FillKind, Settlement, Side};
use types::{EventId, Money, Price, Size, Sym, VenueTime};

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
    Fill(Movement),
    /// The asset pays out; comes after all fills of its time.
    Settle(Price),
}

/// What a fill does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Movement {
    pub(super) kind: FillKind,
    pub(super) side: Side,
    pub(super) size: Size,
    pub(super) worth: Worth,
    /// The fee, where it is in the quote currency.
    pub(super) fee: Option<Money>,
    pub(super) start_qty: Option<Size>,
    pub(super) market: Option<Sym>,
}

/// What says how much a fill is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Unstated,
    Price(Price),
    Notional(Money),
}

impl Movement {
    /// What the fill is worth; `None` where nothing says it, or it doesn't fit.
    pub(super) fn value(&self) -> Option<Money> {
        match self.worth {
            Worth::Unstated => None,
            Worth::Price(price) => self.size.checked_mul_price(price),
            Worth::Notional(notional) => Some(notional),
        }
    }
}

impl Entry {
    /// What the fold needs of a fill.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "packing reads it where it comes about")]
    pub(super) fn of_fill(fill: &Fill) -> Self {
        let worth = match (fill.notional, fill.price) {
            (Some(notional), _) => Worth::Notional(notional),
            (None, Some(price)) => Worth::Price(price),
            (None, None) => Worth::Unstated,
        };
        let movement = Movement {
            kind: fill.kind,
            side: fill.side,
            size: fill.size,
            worth,
            fee: fill.fee.filter(|_| fill.fee_counts),
            start_qty: fill.start_qty,
            market: fill.market,
        };
        let event = LedgerEvent::Fill(movement);
        Self { time: fill.event_time, seq: fill.seq, id: fill.id, event }
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

    /// The entry's place: a settlement comes after all fills of its time.
    pub(super) fn order(&self) -> Order {
        let settles = matches!(self.event, LedgerEvent::Settle(_));
        (self.time, settles, self.seq, self.id)
    }
}

/// The place of an entry among those of its key.
pub(super) type Order = (VenueTime, bool, u64, EventId);

impl Entry {
    /// The id of the fill; `None` for a settlement.
    pub(super) fn identity(&self) -> Option<u128> {
        matches!(self.event, LedgerEvent::Fill(_)).then(|| self.id.raw())
    }
}
