//! `quotes`: the best bid and ask of an asset.

use super::content::Content;
use super::input::{Identity, Input, InputColumn, InputKind};
use super::reading::Reading;
use super::relation;
use crate::event::{Cells, Reject};
use crate::fixed::{Price, Size};
use crate::id::{AssetId, Sym};
use crate::names::Interner;
use crate::schema::{Kind, Schema};
use crate::time::VenueTime;

relation! {
    /// One state of the top of a book. Quotes follow one another and are never corrected, so many
    /// rows have one key.
    Quote {
        key {
            /// Of what, at which venue.
            asset: AssetId,
        }
        /// The market, for readers.
        market: Option<Sym>,
        /// Best bid; null where that side is empty.
        bid: Option<Price>,
        /// Size at the bid.
        bid_size: Option<Size>,
        /// Best ask; null where that side is empty.
        ask: Option<Price>,
        /// Size at the ask.
        ask_size: Option<Size>,
        /// When it held.
        event_time: VenueTime,
        /// Order among equal times.
        seq: u64,
    }
    columns(2, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        market: Kind::Name, null => |r, n| r.market.map(|m| n.text(m));
        bid: Kind::Price, null => |r, _n| r.bid;
        bid_size: Kind::Size, null => |r, _n| r.bid_size;
        ask: Kind::Price, null => |r, _n| r.ask;
        ask_size: Kind::Size, null => |r, _n| r.ask_size;
        event_time: Kind::Time => |r, _n| r.event_time;
        seq: Kind::Count => |r, _n| r.seq;
    }
}

impl Quote {
    /// Bid and ask where both sides are there: a price, and no size of zero.
    pub fn both_sides(&self) -> Option<(Price, Price)> {
        let has_size = |size: Option<Size>| size.is_none_or(|s| s > Size::ZERO);
        let both = (self.bid?, self.ask?);
        (has_size(self.bid_size) && has_size(self.ask_size)).then_some(both)
    }
}

const VENUE: usize = 0;
const ASSET: usize = 1;
const MARKET: usize = 2;
const BID: usize = 3;
const BID_SIZE: usize = 4;
const ASK: usize = 5;
const ASK_SIZE: usize = 6;
const EVENT_TIME: usize = 7;
const SEQ: usize = 8;

/// The columns that sources of `quotes` may map.
pub(super) const COLUMNS: &[InputColumn] = &[
    InputColumn::needed("venue", InputKind::Text),
    InputColumn::needed("asset", InputKind::Text),
    InputColumn::maybe("market", InputKind::Text),
    InputColumn::needed("bid", InputKind::Nano),
    InputColumn::maybe("bid_size", InputKind::Nano),
    InputColumn::needed("ask", InputKind::Nano),
    InputColumn::maybe("ask_size", InputKind::Nano),
    InputColumn::needed("event_time", InputKind::Time),
    InputColumn::maybe("seq", InputKind::Count),
];

impl Input for Quote {
    const HAS_CORRECTIONS: bool = false;

    fn assemble(cells: &Cells<'_>, _schema: &Schema, names: &mut Interner) -> Result<Self, Reject> {
        let read = Reading::new(cells, COLUMNS);
        let (venue, asset) = (read.text(VENUE)?, read.text(ASSET)?);
        Ok(Self {
            bid: read.price(BID)?,
            bid_size: read.size(BID_SIZE)?,
            ask: read.price(ASK)?,
            ask_size: read.size(ASK_SIZE)?,
            event_time: read.time(EVENT_TIME)?,
            seq: cells.count(SEQ).unwrap_or(0),
            market: read.maybe_text(MARKET).map(|text| names.sym(text)),
            asset: names.asset(venue, asset),
        })
    }

    fn digest(&self, cells: &Cells<'_>, _schema: &Schema, content: &mut Content) {
        for column in [VENUE, ASSET, MARKET] {
            content.text(cells.text(column));
        }
        content.maybe_number(self.bid.map(|price| price.raw().into()));
        content.maybe_number(self.bid_size.map(Size::raw));
        content.maybe_number(self.ask.map(|price| price.raw().into()));
        content.maybe_number(self.ask_size.map(Size::raw));
        content.time(self.event_time);
        content.word(if cells.seq_is_mapped { self.seq } else { 0 });
    }

    fn identity(&self, _schema: &Schema) -> Option<Identity> {
        None
    }

    fn event_time(&self, _schema: &Schema) -> Option<VenueTime> {
        Some(self.event_time)
    }
}
