//! `settlements`: what an asset pays when its market ends.

use super::content::Content;
use super::input::{Identity, Input, InputColumn, InputKind};
use super::reading::Reading;
use super::relation;
use crate::event::{Cells, Op, Reject};
use crate::fixed::Price;
use crate::id::AssetId;
use crate::names::Interner;
use crate::schema::{Kind, Schema};
use crate::time::VenueTime;

relation! {
    /// The payout of one unit of an asset. There is one for an asset; another needs a greater
    /// revision.
    Settlement {
        key {
            /// Of what, at which venue.
            asset: AssetId,
        }
        /// Quote currency a unit.
        payout: Price,
        /// From when on.
        event_time: VenueTime,
        /// Which of several statements of the payout.
        revision: u64,
    }
    columns(2, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        payout: Kind::Price => |r, _n| r.payout;
        event_time: Kind::Time => |r, _n| r.event_time;
        revision: Kind::Count => |r, _n| r.revision;
    }
}

const VENUE: usize = 0;
const ASSET: usize = 1;
const PAYOUT: usize = 2;
const EVENT_TIME: usize = 3;
const REVISION: usize = 4;

/// The columns that sources of `settlements` may map.
pub(super) const COLUMNS: &[InputColumn] = &[
    InputColumn::needed("venue", InputKind::Text),
    InputColumn::needed("asset", InputKind::Text),
    InputColumn::needed("payout", InputKind::Nano),
    InputColumn::needed("event_time", InputKind::Time),
    InputColumn::maybe("revision", InputKind::Count),
];

impl Input for Settlement {
    const HAS_CORRECTIONS: bool = true;

    fn assemble(cells: &Cells<'_>, _schema: &Schema, names: &mut Interner) -> Result<Self, Reject> {
        let read = Reading::new(cells, COLUMNS);
        let asset = names.asset(read.text(VENUE)?, read.text(ASSET)?);
        if cells.op == Op::Bust {
            let (payout, event_time) = (Price::ZERO, VenueTime::MIN);
            return Ok(Self { asset, payout, event_time, revision: 0 });
        }
        Ok(Self {
            asset,
            payout: read.price(PAYOUT)?.ok_or_else(|| read.missing(PAYOUT))?,
            event_time: read.time(EVENT_TIME)?,
            revision: cells.count(REVISION).unwrap_or(0),
        })
    }

    fn digest(&self, _cells: &Cells<'_>, _schema: &Schema, content: &mut Content) {
        // The asset is the identity.
        content.number(self.payout.raw().into());
        content.time(self.event_time);
        content.word(self.revision);
    }

    fn identity(&self, _schema: &Schema) -> Option<Identity> {
        Some(Identity { wallet: None, asset: Some(self.asset), id: 0 })
    }

    fn event_time(&self, _schema: &Schema) -> Option<VenueTime> {
        Some(self.event_time)
    }
}
