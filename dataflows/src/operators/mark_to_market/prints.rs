//! Trades at a price on their way to the worker of their asset, from rows or from events.

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;
use types::relations::{Fill, Identity, Trade};
use types::{AssetId, Event, Price, Sym, VenueTime};

use super::ticks::{Tick, halves};
use crate::edge::Edge;
use crate::revisions::Revision;

/// What marks need of a row of trades or fills.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Print {
    pub(super) asset: AssetId,
    /// Halves of its bits, the upper one first.
    id: [u64; 2],
    wallet: Option<Sym>,
    /// Time, sequence number and price, unless the row trades nothing at a price.
    traded: Option<(VenueTime, u64, Price)>,
    pub(super) change: Change,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    /// The row stands so many times more.
    Row(isize),
    /// The event counts against others of its identity.
    Event(Revision),
}

impl Print {
    /// A fill.
    pub(super) fn of_fill(fill: &Fill, change: Change) -> Self {
        let traded = fill.traded_price().map(|price| (fill.event_time, fill.seq, price));
        let (wallet, id) = (Some(fill.wallet), halves(fill.id.raw()));
        Self { asset: fill.asset, id, wallet, traded, change }
    }

    /// A trade.
    pub(super) fn of_trade(trade: &Trade, change: Change) -> Self {
        let traded = Some((trade.event_time, trade.seq, trade.price));
        Self { asset: trade.asset, id: halves(trade.id.raw()), wallet: None, traded, change }
    }

    /// The trade at a price.
    pub(super) fn tick(&self) -> Option<Tick> {
        let (time, seq, price) = self.traded?;
        Some(Tick { time, seq, id: self.id, price, wallet: self.wallet })
    }

    /// What is the same for all revisions of the row.
    pub(super) fn identity(&self) -> Identity {
        let id = u128::from(self.id[0]) << 64 | u128::from(self.id[1]);
        Identity { wallet: self.wallet, asset: Some(self.asset), id }
    }
}

/// The prints of an edge of fills or trades. Where events can't replace or remove one another, each is
/// a row.
///
/// # Panics
/// If the plan let another kind through.
pub(super) fn prints<'s>(edge: &Edge<'s>, has_corrections: bool) -> StreamVec<'s, u64, Print> {
    let change = move |revision| {
        if has_corrections { Change::Event(revision) } else { Change::Row(1) }
    };
    match edge {
        Edge::FillEvents(events) => events.clone().map(move |event: Event<Fill>| {
            Print::of_fill(&event.row, change(Revision::of(&event)))
        }),
        Edge::TradeEvents(events) => events.clone().map(move |event: Event<Trade>| {
            Print::of_trade(&event.row, change(Revision::of(&event)))
        }),
        Edge::Fills(fills) => {
            let print = |(fill, _, diff)| Print::of_fill(&fill, Change::Row(diff));
            fills.inner.clone().map(print)
        }
        other => {
            let print = |(trade, _, diff)| Print::of_trade(&trade, Change::Row(diff));
            other.trades().inner.map(print)
        }
    }
}
