//! Trades at a price with the texts that order them.

use std::cmp::Ordering;

use types::relations::{Fill, FillKind};
use types::{AssetId, EventId, Money, Names, Price, Size, Sym, Text, Value, VenueTime, json};

/// A trade at a price on its way to the worker of its asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Print {
    pub(crate) asset: AssetId,
    time: VenueTime,
    seq: u64,
    id: EventId,
    wallet: Option<Sym>,
    price: Price,
    size: Size,
    value: Option<Money>,
}

impl Print {
    /// A fill at a price. Transfers and funding trade nothing, whatever price they bear.
    pub(crate) fn of_fill(fill: &Fill) -> Option<Self> {
        match fill.kind {
            FillKind::Transfer | FillKind::Funding => return None,
            FillKind::Trade
            | FillKind::Liquidation
            | FillKind::Redeem
            | FillKind::Split
            | FillKind::Merge
            | FillKind::Convert => {}
        }
        Some(Self {
            asset: fill.asset,
            time: fill.event_time,
            seq: fill.seq,
            id: fill.id,
            wallet: Some(fill.wallet),
            price: fill.shown_price()?,
            size: fill.size,
            value: fill.value(),
        })
    }

    /// The tick, with the text that breaks ties.
    pub(crate) fn tick(&self, names: &Names) -> Tick {
        let wallet = self.wallet.map(|wallet| names.text(wallet).clone());
        Tick {
            time: self.time,
            seq: self.seq,
            id: self.id,
            wallet: Wallet(wallet),
            price: self.price,
            size: self.size,
            value: self.value,
        }
    }
}

/// A trade of one asset. Ordered as SEMANTICS section 3 says: no two trades of an asset have one
/// id, and fills that have are told apart by their wallets, the first that differs in their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick {
    pub(crate) time: VenueTime,
    seq: u64,
    id: EventId,
    wallet: Wallet,
    pub(crate) price: Price,
    pub(crate) size: Size,
    /// What it is worth; `None` where that doesn't fit.
    pub(crate) value: Option<Money>,
}

impl Tick {
    /// Stands before every tick of a time.
    pub(crate) fn before(time: VenueTime) -> Self {
        Self {
            time,
            seq: 0,
            id: EventId::default(),
            wallet: Wallet(None),
            price: Price::from_nano((-Price::MAX_RAW).into()).unwrap_or_default(),
            size: Size::ZERO,
            value: None,
        }
    }
}

/// A wallet's text, ordered as it stands in a row's text: escaped and in its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wallet(Option<Text>);

impl PartialOrd for Wallet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wallet {
    fn cmp(&self, other: &Self) -> Ordering {
        let (Some(a), Some(b)) = (&self.0, &other.0) else { return self.0.cmp(&other.0) };
        if a == b {
            return Ordering::Equal;
        }
        // Reached only by fills of one time, seq and id, so it may be slow.
        let escaped = |text: &Text| {
            let mut bytes = Vec::new();
            json::write_value(&mut bytes, &Value::from(text));
            bytes
        };
        escaped(a).cmp(&escaped(b))
    }
}
