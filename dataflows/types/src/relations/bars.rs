//! `bars`: what `rollup` makes of trades or fills.

use super::relation;
use crate::fixed::{Money, Price, Size};
use crate::id::AssetId;
use crate::schema::Kind;
use crate::short::ShortText;
use crate::time::VenueTime;

relation! {
    /// Open, high, low, close and sums of one bucket of event time.
    #[derive(Copy)]
    Bar {
        key {
            /// Of what, at which venue.
            asset: AssetId,
            /// The bucket's length, as the config writes it.
            size: ShortText,
            /// The bucket's start.
            bucket: VenueTime,
        }
        /// First price in order.
        open: Price,
        /// Greatest price.
        high: Price,
        /// Least price.
        low: Price,
        /// Last price in order.
        close: Price,
        /// Sum of sizes.
        volume: Size,
        /// Sum of price x size.
        notional: Money,
        /// How many trades or fills.
        n_trades: u64,
        /// Whether the watermark has reached the bucket's end.
        is_final: bool,
    }
    columns(4, time Some("bucket")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        size: Kind::Name => |r, _n| &r.size;
        bucket: Kind::Time => |r, _n| r.bucket;
        open: Kind::Price => |r, _n| r.open;
        high: Kind::Price => |r, _n| r.high;
        low: Kind::Price => |r, _n| r.low;
        close: Kind::Price => |r, _n| r.close;
        volume: Kind::Size => |r, _n| r.volume;
        notional: Kind::Money => |r, _n| r.notional;
        vwap: Kind::Price, null => |r, _n| r.notional.price_half_even(r.volume);
        n_trades: Kind::Count => |r, _n| r.n_trades;
        final: Kind::Bool => |r, _n| r.is_final;
    }
}
