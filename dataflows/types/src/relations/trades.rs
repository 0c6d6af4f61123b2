//! `trades`: what a venue says was traded.

use super::content::Content;
use super::fills::Side;
use super::input::{Identity, Input, InputColumn, InputKind};
use super::reading::{Reading, wallet_text};
use super::relation;
use crate::event::{Cells, Op, Reason, Reject};
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, EventId, Sym};
use crate::names::Interner;
use crate::schema::{Kind, Schema};
use crate::time::VenueTime;

relation! {
    /// One trade of a venue.
    Trade {
        key {
            /// Of what, at which venue.
            asset: AssetId,
            /// The venue's id, with the asset the trade's identity.
            id: EventId,
        }
        /// The market, for readers.
        market: Option<Sym>,
        /// At what price.
        price: Price,
        /// How much; above zero.
        size: Size,
        /// The aggressor's side.
        side: Option<Side>,
        /// Who rested, where the venue says it.
        maker_wallet: Option<Sym>,
        /// Who crossed, where the venue says it.
        taker_wallet: Option<Sym>,
        /// When it happened.
        event_time: VenueTime,
        /// Order among equal times.
        seq: u64,
        /// Which of several states of the row.
        revision: u64,
    }
    columns(3, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        id: Kind::Text => |r, n| n.id_text(r.id);
        market: Kind::Name, null => |r, n| r.market.map(|m| n.text(m));
        price: Kind::Price => |r, _n| r.price;
        size: Kind::Size => |r, _n| r.size;
        side: Kind::Word(Side::WORDS), null => |r, _n| r.side;
        maker_wallet: Kind::Text, null => |r, n| r.maker_wallet.map(|w| n.text(w));
        taker_wallet: Kind::Text, null => |r, n| r.taker_wallet.map(|w| n.text(w));
        event_time: Kind::Time => |r, _n| r.event_time;
        seq: Kind::Count => |r, _n| r.seq;
        revision: Kind::Count => |r, _n| r.revision;
    }
}

impl Trade {
    /// What the trade is worth; `None` where it doesn't fit, which [`Input::assemble`] refuses.
    pub fn value(&self) -> Option<Money> {
        self.size.checked_mul_price(self.price)
    }
}

const VENUE: usize = 0;
const ASSET: usize = 1;
const ID: usize = 2;
const MARKET: usize = 3;
const PRICE: usize = 4;
const SIZE: usize = 5;
const SIDE: usize = 6;
const MAKER_WALLET: usize = 7;
const TAKER_WALLET: usize = 8;
const EVENT_TIME: usize = 9;
const SEQ: usize = 10;
const REVISION: usize = 11;

/// The columns that sources of `trades` may map.
pub(super) const COLUMNS: &[InputColumn] = &[
    InputColumn::needed("venue", InputKind::Text),
    InputColumn::needed("asset", InputKind::Text),
    InputColumn::maybe("id", InputKind::Text),
    InputColumn::maybe("market", InputKind::Text),
    InputColumn::needed("price", InputKind::Nano),
    InputColumn::needed("size", InputKind::Nano),
    InputColumn::maybe("side", InputKind::Word(Side::WORDS, Reason::UnknownSide)),
    InputColumn::maybe("maker_wallet", InputKind::Text),
    InputColumn::maybe("taker_wallet", InputKind::Text),
    InputColumn::needed("event_time", InputKind::Time),
    InputColumn::maybe("seq", InputKind::Count),
    InputColumn::maybe("revision", InputKind::Count),
];

impl Input for Trade {
    const HAS_CORRECTIONS: bool = true;

    fn assemble(cells: &Cells<'_>, _schema: &Schema, names: &mut Interner) -> Result<Self, Reject> {
        let read = Reading::new(cells, COLUMNS);
        let (venue, asset, id) = (read.text(VENUE)?, read.text(ASSET)?, read.text(ID)?);
        let is_bust = cells.op == Op::Bust;
        let (price, size) = if is_bust {
            (Price::ZERO, Size::ZERO)
        } else {
            let price = read.price(PRICE)?.ok_or_else(|| read.missing(PRICE))?;
            (price, read.size(SIZE)?.ok_or_else(|| read.missing(SIZE))?)
        };
        if !is_bust && size <= Size::ZERO {
            return Err(Reject::of(Reason::SizeNotPositive, "size", format!("size is {size}")));
        }
        // A product of two 64-bit numbers always fits.
        if i64::try_from(size.raw()).is_err() && size.checked_mul_price(price).is_none() {
            return Err(Reject::of(Reason::OutOfRange, "size", "price x size is too large"));
        }
        let event_time = if is_bust { VenueTime::MIN } else { read.time(EVENT_TIME)? };
        let mut wallet = |column| read.maybe_text(column).map(|text| names.sym(&wallet_text(text)));
        let (maker_wallet, taker_wallet) = (wallet(MAKER_WALLET), wallet(TAKER_WALLET));
        Ok(Self {
            asset: names.asset(venue, asset),
            id: names.event_id(id),
            market: read.maybe_text(MARKET).map(|text| names.sym(text)),
            price,
            size,
            side: read.word(SIDE, Side::from_place, Side::from_word)?,
            maker_wallet,
            taker_wallet,
            event_time,
            seq: cells.count(SEQ).unwrap_or(0),
            revision: cells.count(REVISION).unwrap_or(0),
        })
    }

    fn digest(&self, cells: &Cells<'_>, _schema: &Schema, content: &mut Content) {
        // Asset and id are the identity.
        content.number(self.price.raw().into());
        content.number(self.size.raw());
        content.maybe_word(self.side.map(Side::place));
        content.text(cells.text(MARKET));
        for column in [MAKER_WALLET, TAKER_WALLET] {
            content.text(cells.text(column).map(wallet_text).as_deref());
        }
        content.time(self.event_time);
        content.word(if cells.seq_is_mapped { self.seq } else { 0 });
        content.word(self.revision);
    }

    fn identity(&self, _schema: &Schema) -> Option<Identity> {
        Some(Identity { wallet: None, asset: Some(self.asset), id: self.id.raw() })
    }

    fn event_time(&self, _schema: &Schema) -> Option<VenueTime> {
        Some(self.event_time)
    }
}
