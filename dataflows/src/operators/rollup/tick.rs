//! Ticks: trades at a price, from trades or fills alike, in the order of SEMANTICS section 3.

use std::cmp::Ordering;

use types::relations::{Fill, Identity, Relation, Trade};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Names, Price, Sym, Value, VenueTime, json};

/// A trade of one asset at a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) time: VenueTime,
    pub(super) seq: u64,
    /// The 128 bits of the id.
    pub(super) id: u128,
    /// Whose fill; `None` in trades.
    pub(super) wallet: Option<Sym>,
    pub(super) price: Price,
    /// In units of 1e-9.
    pub(super) size: i128,
    /// What it is worth in units of 1e-18; `None` where that doesn't fit.
    pub(super) value: Option<i128>,
}

/// A tick whose numbers are as small as those of nearly all, and whose value is price x size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) time: VenueTime,
    /// Below 2^[`PRICE_BITS`].
    pub(super) price: u64,
    /// In units of 1e-9.
    pub(super) size: u64,
    pub(super) id: u64,
    pub(super) seq: u32,
    pub(super) wallet: Option<Sym>,
}

/// Bits of a plain price.
pub(super) const PRICE_BITS: u32 = 54;

impl Plain {
    /// The tick.
    pub(super) fn tick(&self) -> Tick {
        Tick {
            time: self.time,
            seq: self.seq.into(),
            id: self.id.into(),
            wallet: self.wallet,
            price: self.price(),
            size: self.size.into(),
            value: Some(self.value()),
        }
    }

    pub(super) fn price(&self) -> Price {
        Price::from_nano(self.price.into()).unwrap_or_default()
    }

    /// What it is worth in units of 1e-18.
    #[inline]
    pub(super) fn value(&self) -> i128 {
        // Of 54 and 64 bits.
        i128::try_from(u128::from(self.price) * u128::from(self.size)).unwrap_or_default()
    }
}

impl Tick {
    /// The tick as nearly all are; `None` where this isn't such a one.
    #[inline]
    pub(super) fn plain(&self) -> Option<Plain> {
        let Self { time, seq, id, wallet, price, size, .. } = *self;
        let is_product =
            |plain: &Plain| self.value == Some(plain.value()) || is_out(Safeguard::NarrowValue);
        plain(time, (seq, id, wallet), price, size).filter(is_product)
    }

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
fn product(price: Price, size: i128) -> Option<i128> {
    let price = price.raw();
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

    /// What is the same for all revisions of the row.
    fn identity(&self) -> Identity;

    /// The trade, unless the row trades nothing at a price.
    fn tick(&self) -> Option<Tick>;

    /// [`Printed::tick`] where that is a [`Plain`] one, as it is for nearly all rows: what it takes is
    /// read once, and no wide number is made of it. `None` says nothing.
    fn plain(&self) -> Option<Plain>;
}

impl Printed for Fill {
    fn asset(&self) -> AssetId {
        self.asset
    }

    #[inline]
    fn identity(&self) -> Identity {
        Identity { wallet: Some(self.wallet), asset: Some(self.asset), id: self.id.raw() }
    }

    #[inline]
    fn tick(&self) -> Option<Tick> {
        let (price, size) = (self.traded_price()?, self.size.raw());
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

    #[inline]
    fn plain(&self) -> Option<Plain> {
        if self.notional.is_some() {
            return None;
        }
        let name = (self.seq, self.id.raw(), Some(self.wallet));
        plain(self.event_time, name, self.traded_price()?, self.size.raw())
    }
}

impl Printed for Trade {
    fn asset(&self) -> AssetId {
        self.asset
    }

    fn identity(&self) -> Identity {
        Identity { wallet: None, asset: Some(self.asset), id: self.id.raw() }
    }

    fn tick(&self) -> Option<Tick> {
        let (price, size) = (self.price, self.size.raw());
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

    #[inline]
    fn plain(&self) -> Option<Plain> {
        let name = (self.seq, self.id.raw(), None);
        plain(self.event_time, name, self.price, self.size.raw())
    }
}

/// A plain tick, if the numbers are small enough.
#[inline]
fn plain(
    time: VenueTime,
    (seq, id, wallet): (u64, u128, Option<Sym>),
    price: Price,
    size: i128,
) -> Option<Plain> {
    let price = u64::try_from(price.raw()).ok().filter(|price| price >> PRICE_BITS == 0)?;
    let (size, id) = (u64::try_from(size).ok()?, u64::try_from(id).ok()?);
    Some(Plain { time, price, size, id, seq: u32::try_from(seq).ok()?, wallet })
}
