//! Ticks: trades at a price, from trades or fills alike, in the order of SEMANTICS section 3.

use std::cmp::Ordering;

use types::relations::{Fill, Relation, Trade};
use types::{AssetId, Names, Sym, Value, VenueTime, json};

/// A trade of one asset at a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) time: VenueTime,
    pub(super) seq: u64,
    /// The 128 bits of the id.
    pub(super) id: u128,
    /// Whose fill; `None` in trades.
    pub(super) wallet: Option<Sym>,
    /// In units of 1e-9.
    pub(super) price: i64,
    /// In units of 1e-9.
    pub(super) size: i128,
    /// What it is worth in units of 1e-18; `None` where that doesn't fit.
    pub(super) value: Option<i128>,
}

impl Tick {
    /// The order of two ticks of one asset and time. No two trades of an asset have one id, and
    /// fills that have are told apart by their wallets, the first that differs in their text.
    pub(super) fn tie(&self, other: &Self, names: &Names) -> Ordering {
        let wallets = || match (self.wallet, other.wallet) {
            (Some(a), Some(b)) if a != b => text(a, names).cmp(&text(b, names)),
            (a, b) => a.cmp(&b),
        };
        let by_id = (self.seq, self.id).cmp(&(other.seq, other.id));
        by_id.then_with(wallets).then(self.price.cmp(&other.price))
    }
}

/// A wallet's text as it stands in a row's text: escaped and in its quotes. Needed only by fills of
/// one time, seq and id, so it may be slow.
fn text(wallet: Sym, names: &Names) -> Vec<u8> {
    let mut bytes = Vec::new();
    json::write_value(&mut bytes, &Value::from(names.text(wallet)));
    bytes
}

/// Price x size in units of 1e-18; `None` where it doesn't fit.
pub(super) fn product(price: i64, size: i128) -> Option<i128> {
    // Most sizes fit 64 bits, and then one multiplication can't overflow.
    match i64::try_from(size) {
        Ok(size) => Some(i128::from(price) * i128::from(size)),
        Err(_) => size.checked_mul(price.into()),
    }
}

/// A relation whose rows can be trades at a price.
pub(super) trait Printed: Relation {
    /// What is traded.
    fn asset(&self) -> AssetId;

    /// The trade, unless the row trades nothing at a price.
    fn tick(&self) -> Option<Tick>;
}

impl Printed for Fill {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn tick(&self) -> Option<Tick> {
        let (price, size) = (self.traded_price()?.raw(), self.size.raw());
        Some(Tick {
            time: self.event_time,
            seq: self.seq,
            id: self.id.raw(),
            wallet: Some(self.wallet),
            price,
            size,
            value: self.notional.map_or_else(|| product(price, size), |value| Some(value.raw())),
        })
    }
}

impl Printed for Trade {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn tick(&self) -> Option<Tick> {
        let (price, size) = (self.price.raw(), self.size.raw());
        Some(Tick {
            time: self.event_time,
            seq: self.seq,
            id: self.id.raw(),
            wallet: None,
            price,
            size,
            value: product(price, size),
        })
    }
}
