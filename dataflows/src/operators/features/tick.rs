//! Ticks: what features are made of, from fills, trades and quotes alike, in the order of SEMANTICS
//! section 3.

use std::cmp::Ordering;

use types::json::write_value;
use types::relations::{Fill, Quote, Relation, Side, Trade};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Money, Names, Price, Size, Sym, Value, VenueTime};

/// One fill, trade or quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) time: VenueTime,
    pub(super) seq: u64,
    /// The 128 bits of the id; zero in quotes, which have none.
    pub(super) id: u128,
    /// The bid of a quote; the price of a trade, in units of 1e-9.
    pub(super) bid: i64,
    /// The ask of a quote; the price of a trade.
    pub(super) ask: i64,
    /// In trades the size in units of 1e-9, and what it is worth in units of 1e-18 ([`UNFIT`] where
    /// that doesn't fit); in quotes the sizes at bid and ask ([`UNFIT`] where they aren't told).
    pub(super) amounts: [i128; 2],
    /// Whose fill; of a quote, its market; `None` in trades.
    pub(super) name: Option<Sym>,
    pub(super) asset: AssetId,
    /// Of a trade, where it is told.
    pub(super) side: Option<Side>,
}

const _: () = assert!(size_of::<Tick>() == 96, "millions of ticks are kept");

/// Stands for the value of a trade that doesn't fit, and for the size of a quote that isn't told; none
/// is as low.
pub(super) const UNFIT: i128 = i128::MIN;

impl Tick {
    /// The price from which returns are made, twice, so that the middle of a quote is whole.
    pub(super) const fn level(&self) -> i64 {
        // Prices have 18 digits, so that two fit.
        self.bid.saturating_add(self.ask)
    }

    /// The order of two ticks. Those that tie in time, `seq` and id stand as their rows' texts do.
    /// Only equal ones are equal in it.
    #[inline]
    pub(super) fn order(&self, other: &Self, names: &Names) -> Ordering {
        let place = |tick: &Self| (tick.time, tick.seq, tick.id);
        place(self).cmp(&place(other)).then_with(|| self.tie(other, names))
    }

    #[cold]
    fn tie(&self, other: &Self, names: &Names) -> Ordering {
        if self == other || is_out(Safeguard::FeaturesTie) {
            return Ordering::Equal;
        }
        // Two states of one row may differ in nothing that its text tells first.
        let rest = |tick: &Self| (tick.amounts, tick.side);
        self.text(names).cmp(&other.text(names)).then_with(|| rest(self).cmp(&rest(other)))
    }

    /// What of the row's text tells it from others of one time, `seq` and id, in the order of the text:
    /// of fills and trades the identity, of quotes all.
    fn text(&self, names: &Names) -> Vec<u8> {
        let price = |raw: i64| Price::from_nano(raw.into());
        // None is as low as what isn't told.
        let size = |raw: i128| Size::from_nano(raw);
        let [first, second] = self.amounts;
        let values = [
            Value::from(names.text(names.venue(self.asset))),
            Value::from(self.name.map(|name| names.text(name).clone())),
            Value::from(names.text(names.asset(self.asset))),
            Value::from(price(self.bid)),
            Value::from(size(first)),
            Value::from(price(self.ask)),
            Value::from(size(second)),
        ];
        let mut text = Vec::new();
        for value in &values {
            write_value(&mut text, value);
            text.push(b',');
        }
        text
    }
}

/// A relation whose rows can be ticks.
pub(super) trait Ticked: Relation {
    /// What is traded or quoted.
    fn asset(&self) -> AssetId;

    /// Whose row it is.
    fn wallet(&self) -> Option<Sym>;

    /// The market.
    fn market(&self) -> Option<Sym>;

    /// The tick; `None` for what trades nothing at a price, and for quotes with an empty side.
    fn tick(&self) -> Option<Tick>;
}

fn value_of(value: Option<Money>) -> i128 {
    value.map_or(UNFIT, Money::raw)
}

impl Ticked for Fill {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn wallet(&self) -> Option<Sym> {
        Some(self.wallet)
    }

    fn market(&self) -> Option<Sym> {
        self.market
    }

    #[inline]
    fn tick(&self) -> Option<Tick> {
        let price = self.traded_price()?.raw();
        Some(Tick {
            time: self.event_time,
            seq: self.seq,
            id: self.id.raw(),
            bid: price,
            ask: price,
            amounts: [self.size.raw(), value_of(self.value())],
            name: Some(self.wallet),
            asset: self.asset,
            side: Some(self.side),
        })
    }
}

impl Ticked for Trade {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn wallet(&self) -> Option<Sym> {
        None
    }

    fn market(&self) -> Option<Sym> {
        self.market
    }

    #[inline]
    fn tick(&self) -> Option<Tick> {
        let price = self.price.raw();
        Some(Tick {
            time: self.event_time,
            seq: self.seq,
            id: self.id.raw(),
            bid: price,
            ask: price,
            amounts: [self.size.raw(), value_of(self.value())],
            name: None,
            asset: self.asset,
            side: self.side,
        })
    }
}

impl Ticked for Quote {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn wallet(&self) -> Option<Sym> {
        None
    }

    fn market(&self) -> Option<Sym> {
        self.market
    }

    fn tick(&self) -> Option<Tick> {
        let (bid, ask) = self.both_sides()?;
        let size = |size: Option<Size>| size.map_or(UNFIT, Size::raw);
        Some(Tick {
            time: self.event_time,
            seq: self.seq,
            id: 0,
            bid: bid.raw(),
            ask: ask.raw(),
            amounts: [size(self.bid_size), size(self.ask_size)],
            name: self.market,
            asset: self.asset,
            side: None,
        })
    }
}
