//! `fills`: what wallets bought and sold.

use std::borrow::Cow;

use super::content::Content;
use super::input::{Identity, Input, InputColumn, InputKind};
use super::reading::{Reading, notional_or_price, wallet_text};
use super::relation;
use crate::event::{Cells, Op, Reason, Reject};
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, EventId, Sym};
use crate::names::Interner;
use crate::schema::{Kind, Schema};
use crate::time::VenueTime;

/// Declares an enum whose variants are words of the config and of the output.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// All words, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word for this.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Where this stands among [`Self::WORDS`].
            pub const fn place(self) -> u64 {
                let mut place = 0;
                $(if matches!(self, Self::$variant) {
                    return place;
                }
                place += 1;)*
                place
            }

            /// The variant whose word stands here among [`Self::WORDS`].
            pub fn from_place(place: u8) -> Option<Self> {
                const ALL: &[$name] = &[$($name::$variant),*];
                ALL.get(usize::from(place)).copied()
            }

            /// The variant that a word means.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl From<$name> for crate::value::Value {
            fn from(value: $name) -> Self {
                Self::word(value.word())
            }
        }

        impl From<$name> for crate::cell::Cell<'_> {
            fn from(value: $name) -> Self {
                Self::Word(value.word())
            }
        }
    };
}
pub(super) use words;

words! {
    /// Which way quantity moves: a buy adds to a position, a sell takes off.
    Side {
        /// In.
        Buy = "buy",
        /// Out.
        Sell = "sell",
    }
}

words! {
    /// What a fill does in the ledger (SEMANTICS: the ledger).
    FillKind {
        /// An ordinary fill.
        Trade = "trade",
        /// A fill that the venue forced.
        Liquidation = "liquidation",
        /// Shares given in at their payout: a sale at its price.
        Redeem = "redeem",
        /// One half of a split.
        Split = "split",
        /// One half of a merge.
        Merge = "merge",
        /// Quantity that moves with a cost and without a trade.
        Transfer = "transfer",
        /// A payment that moves no quantity.
        Funding = "funding",
        /// One leg of a conversion.
        Convert = "convert",
    }
}

words! {
    /// Which side of the book a fill came from.
    Liquidity {
        /// It rested.
        Maker = "maker",
        /// It crossed.
        Taker = "taker",
    }
}

relation! {
    /// One fill of one wallet.
    Fill {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
            /// The venue's id, with the wallet and asset the fill's identity.
            id: EventId,
        }
        /// The market, for readers.
        market: Option<Sym>,
        /// Buy or sell.
        side: Side,
        /// Null only where the notional says it, or in a transfer.
        price: Option<Price>,
        /// Above zero for kinds that move quantity.
        size: Size,
        /// What was paid; wins over price x size.
        notional: Option<Money>,
        /// In `fee_asset`; negative is a rebate.
        fee: Option<Money>,
        /// Null means the quote currency.
        fee_asset: Option<Sym>,
        /// Whether the fee is in the quote currency, so that it is summed.
        fee_counts: bool,
        /// What it does in the ledger.
        kind: FillKind,
        /// Maker or taker.
        liquidity: Option<Liquidity>,
        /// The order, for readers.
        order_id: Option<Sym>,
        /// What the venue says was held before.
        start_qty: Option<Size>,
        /// When it happened.
        event_time: VenueTime,
        /// Order among equal times.
        seq: u64,
        /// Which of several states of the row.
        revision: u64,
    }
    columns(4, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        id: Kind::Text => |r, n| n.id_text(r.id);
        market: Kind::Name, null => |r, n| r.market.map(|m| n.text(m));
        side: Kind::Word(Side::WORDS) => |r, _n| r.side;
        price: Kind::Price, null => |r, _n| r.shown_price();
        size: Kind::Size => |r, _n| r.size;
        notional: Kind::Money, null => |r, _n| r.value();
        fee: Kind::Money, null => |r, _n| r.fee;
        fee_asset: Kind::Name, null => |r, n| r.fee_asset.map(|a| n.text(a));
        kind: Kind::Word(FillKind::WORDS) => |r, _n| r.kind;
        liquidity: Kind::Word(Liquidity::WORDS), null => |r, _n| r.liquidity;
        order_id: Kind::Text, null => |r, n| r.order_id.map(|o| n.text(o));
        start_qty: Kind::Size, null => |r, _n| r.start_qty;
        event_time: Kind::Time => |r, _n| r.event_time;
        seq: Kind::Count => |r, _n| r.seq;
        revision: Kind::Count => |r, _n| r.revision;
    }
}

impl Fill {
    /// What the fill is worth: its notional, else price x size; `None` where neither is given or
    /// the product doesn't fit.
    pub fn value(&self) -> Option<Money> {
        self.notional.or_else(|| self.size.checked_mul_price(self.price?))
    }

    /// The price as it reads outside the ledger: as stated, else notional / size.
    pub fn shown_price(&self) -> Option<Price> {
        self.price.or_else(|| self.notional?.price_half_even(self.size))
    }

    /// The price at which the fill traded. Transfers and funding trade nothing, whatever price they
    /// bear.
    pub fn traded_price(&self) -> Option<Price> {
        match self.kind {
            FillKind::Transfer | FillKind::Funding => None,
            FillKind::Trade
            | FillKind::Liquidation
            | FillKind::Redeem
            | FillKind::Split
            | FillKind::Merge
            | FillKind::Convert => self.shown_price(),
        }
    }
}

const VENUE: usize = 0;
const WALLET: usize = 1;
const ASSET: usize = 2;
const ID: usize = 3;
const MARKET: usize = 4;
const SIDE: usize = 5;
const PRICE: usize = 6;
const SIZE: usize = 7;
const NOTIONAL: usize = 8;
const FEE: usize = 9;
const FEE_ASSET: usize = 10;
const KIND: usize = 11;
const LIQUIDITY: usize = 12;
const ORDER_ID: usize = 13;
const START_QTY: usize = 14;
const EVENT_TIME: usize = 15;
const SEQ: usize = 16;
const REVISION: usize = 17;
const QUOTE_ASSET: usize = 18;

/// The columns that sources of `fills` may map.
pub(super) const COLUMNS: &[InputColumn] = &[
    InputColumn::needed("venue", InputKind::Text),
    InputColumn::needed("wallet", InputKind::Text),
    InputColumn::needed("asset", InputKind::Text),
    InputColumn::maybe("id", InputKind::Text),
    InputColumn::maybe("market", InputKind::Text),
    InputColumn::needed("side", InputKind::Word(Side::WORDS, Reason::UnknownSide)),
    InputColumn::maybe("price", InputKind::Nano),
    InputColumn::needed("size", InputKind::Nano),
    InputColumn::maybe("notional", InputKind::Nano),
    InputColumn::maybe("fee", InputKind::Nano),
    InputColumn::maybe("fee_asset", InputKind::Text),
    InputColumn::maybe("kind", InputKind::Word(FillKind::WORDS, Reason::UnknownKind)),
    InputColumn::maybe("liquidity", InputKind::Word(Liquidity::WORDS, Reason::UnknownValue)),
    InputColumn::maybe("order_id", InputKind::Text),
    InputColumn::maybe("start_qty", InputKind::Nano),
    InputColumn::needed("event_time", InputKind::Time),
    InputColumn::maybe("seq", InputKind::Count),
    InputColumn::maybe("revision", InputKind::Count),
    InputColumn::internal("quote_asset", InputKind::Text),
];

impl Input for Fill {
    const HAS_CORRECTIONS: bool = true;

    #[inline]
    fn main_name<'a>(cells: &Cells<'a>) -> Option<&'a str> {
        match wallet_text(cells.text(WALLET)?) {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    #[inline]
    fn assemble(cells: &Cells<'_>, _schema: &Schema, names: &mut Interner) -> Result<Self, Reject> {
        let read = Reading::new(cells, COLUMNS);
        let venue = read.text(VENUE)?;
        let asset = read.text(ASSET)?;
        let wallet = wallet_text(read.text(WALLET)?);
        let id = read.text(ID)?;
        if cells.op == Op::Bust {
            let asset = names.asset(venue, asset);
            let wallet = cells.main_name.unwrap_or_else(|| names.sym(&wallet));
            return Ok(Self::bust(wallet, asset, names.event_id(id)));
        }
        let kind = read.word(KIND, FillKind::from_place, FillKind::from_word)?;
        let kind = kind.unwrap_or(FillKind::Trade);
        let side = match (read.word(SIDE, Side::from_place, Side::from_word)?, kind) {
            (Some(side), _) => side,
            (None, FillKind::Funding) => Side::Buy,
            (None, _) => return Err(read.missing(SIDE)),
        };
        let size = match (read.size(SIZE)?, kind) {
            (Some(size), FillKind::Funding) => size,
            (None, FillKind::Funding) => Size::ZERO,
            (Some(size), _) if size > Size::ZERO => size,
            (Some(size), _) => {
                return Err(Reject::of(Reason::SizeNotPositive, "size", format!("size is {size}")));
            }
            (None, _) => return Err(read.missing(SIZE)),
        };
        let (price, notional) = (read.price(PRICE)?, read.money(NOTIONAL)?);
        match kind {
            FillKind::Transfer if price.is_none() && notional.is_none() => {}
            FillKind::Funding if notional.is_none() => return Err(read.missing(NOTIONAL)),
            FillKind::Funding => {}
            _ => notional_or_price(price, notional, size)?,
        }
        let fee_asset = read.maybe_text(FEE_ASSET);
        Ok(Self {
            wallet: cells.main_name.unwrap_or_else(|| names.sym(&wallet)),
            asset: names.asset(venue, asset),
            id: names.event_id(id),
            market: read.maybe_text(MARKET).map(|text| names.sym(text)),
            side,
            price,
            size,
            notional,
            fee: read.money(FEE)?,
            fee_counts: fee_asset.is_none_or(|asset| read.maybe_text(QUOTE_ASSET) == Some(asset)),
            fee_asset: fee_asset.map(|text| names.sym(text)),
            kind,
            liquidity: read.word(LIQUIDITY, Liquidity::from_place, Liquidity::from_word)?,
            order_id: read.maybe_text(ORDER_ID).map(|text| names.sym(text)),
            start_qty: read.size(START_QTY)?,
            event_time: read.time(EVENT_TIME)?,
            seq: cells.count(SEQ).unwrap_or(0),
            revision: cells.count(REVISION).unwrap_or(0),
        })
    }

    #[inline]
    fn digest(&self, cells: &Cells<'_>, _schema: &Schema, content: &mut Content) {
        // Wallet, asset and id are the identity.
        content.word(self.side.place() | self.kind.place() << 8 | u64::from(self.fee_counts) << 16);
        content.maybe_word(self.liquidity.map(Liquidity::place));
        content.maybe_number(self.price.map(|price| price.raw().into()));
        content.number(self.size.raw());
        content.maybe_number(self.notional.map(Money::raw));
        content.maybe_number(self.fee.map(Money::raw));
        content.maybe_number(self.start_qty.map(Size::raw));
        for column in [MARKET, FEE_ASSET, ORDER_ID] {
            content.text(cells.text(column));
        }
        content.time(self.event_time);
        content.word(if cells.seq_is_mapped { self.seq } else { 0 });
        content.word(self.revision);
    }

    #[inline]
    fn identity(&self, _schema: &Schema) -> Option<Identity> {
        Some(Identity { wallet: Some(self.wallet), asset: Some(self.asset), id: self.id.raw() })
    }

    #[inline]
    fn event_time(&self, _schema: &Schema) -> Option<VenueTime> {
        Some(self.event_time)
    }
}

impl Fill {
    /// A row that only names a fill, for its removal.
    #[inline]
    fn bust(wallet: Sym, asset: AssetId, id: EventId) -> Self {
        Self {
            wallet,
            asset,
            id,
            market: None,
            side: Side::Buy,
            price: None,
            size: Size::ZERO,
            notional: None,
            fee: None,
            fee_asset: None,
            fee_counts: false,
            kind: FillKind::Trade,
            liquidity: None,
            order_id: None,
            start_qty: None,
            event_time: VenueTime::MIN,
            seq: 0,
            revision: 0,
        }
    }
}
