//! What `mark_to_market` gives: P&L by wallet or position, at steps of event time.

use serde::{Deserialize, Serialize};

use super::relation;
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, Sym};
use crate::schema::Kind;
use crate::time::VenueTime;

/// The mark of an asset as of a step of a grid. Doubled, so that the middle of bid and ask is
/// exact: units of 5e-10 of the quote currency. Feeds the sweep; no view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The step that it holds from.
    pub step: VenueTime,
    /// Of what.
    pub asset: AssetId,
    /// Twice the mark of a long position.
    pub long_twice: i64,
    /// Twice the mark of a short position; differs from the long one for `bid_ask` alone.
    pub short_twice: i64,
    /// When the row that it comes from happened.
    pub mark_time: VenueTime,
}

relation! {
    /// A wallet's P&L at a snapshot. Amounts are rounded once, half-even at 1e-9, from exact sums.
    #[derive(Copy)]
    Pnl {
        key {
            /// Whose.
            wallet: Sym,
            /// As of when: what lies before it.
            snapshot: VenueTime,
        }
        /// Gross, of what was closed.
        realized_pnl: Money,
        /// Of marked positions.
        unrealized_pnl: Money,
        /// Sum of fees.
        fees: Money,
        /// Sum of funding payments.
        funding: Money,
        /// realized + unrealized - fees + funding.
        total_pnl: Money,
        /// Sum of |qty x mark| over marked positions.
        exposure: Money,
        /// Open positions, marked or not.
        n_positions: u64,
        /// Open positions without a mark or of unknown basis.
        n_unmarked: u64,
    }
    columns(2, time Some("snapshot")) {
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        snapshot: Kind::Time => |r, _n| r.snapshot;
        realized_pnl: Kind::Money => |r, _n| r.realized_pnl;
        unrealized_pnl: Kind::Money => |r, _n| r.unrealized_pnl;
        fees: Kind::Money => |r, _n| r.fees;
        funding: Kind::Money => |r, _n| r.funding;
        total_pnl: Kind::Money => |r, _n| r.total_pnl;
        exposure: Kind::Money => |r, _n| r.exposure;
        n_positions: Kind::Count => |r, _n| r.n_positions;
        n_unmarked: Kind::Count => |r, _n| r.n_unmarked;
    }
}

relation! {
    /// The P&L of one position at a snapshot.
    #[derive(Copy)]
    PositionPnl {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
            /// As of when: what lies before it.
            snapshot: VenueTime,
        }
        /// Held quantity.
        qty: Size,
        /// Average price, null when flat or unknown.
        avg_price: Option<Price>,
        /// The mark, null without one.
        mark: Option<Money>,
        /// When the mark's row happened.
        mark_time: Option<VenueTime>,
        /// Null without a mark or with an unknown basis.
        unrealized_pnl: Option<Money>,
        /// Gross, of what was closed.
        realized_pnl: Money,
        /// Sum of fees.
        fees: Money,
        /// Sum of funding payments.
        funding: Money,
        /// realized + unrealized - fees + funding; null where unrealized is.
        total_pnl: Option<Money>,
    }
    columns(4, time Some("snapshot")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        snapshot: Kind::Time => |r, _n| r.snapshot;
        qty: Kind::Size => |r, _n| r.qty;
        avg_price: Kind::Price, null => |r, _n| r.avg_price;
        mark: Kind::Money, null => |r, _n| r.mark;
        mark_time: Kind::Time, null => |r, _n| r.mark_time;
        unrealized_pnl: Kind::Money, null => |r, _n| r.unrealized_pnl;
        realized_pnl: Kind::Money => |r, _n| r.realized_pnl;
        fees: Kind::Money => |r, _n| r.fees;
        funding: Kind::Money => |r, _n| r.funding;
        total_pnl: Kind::Money, null => |r, _n| r.total_pnl;
    }
}

relation! {
    /// The P&L of one position at the newest snapshot: [`PositionPnl`] without the snapshot.
    #[derive(Copy)]
    PnlNow {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
        }
        /// The newest snapshot's row.
        at: PositionPnl,
    }
    columns(3, time None) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        qty: Kind::Size => |r, _n| r.at.qty;
        avg_price: Kind::Price, null => |r, _n| r.at.avg_price;
        mark: Kind::Money, null => |r, _n| r.at.mark;
        mark_time: Kind::Time, null => |r, _n| r.at.mark_time;
        unrealized_pnl: Kind::Money, null => |r, _n| r.at.unrealized_pnl;
        realized_pnl: Kind::Money => |r, _n| r.at.realized_pnl;
        fees: Kind::Money => |r, _n| r.at.fees;
        funding: Kind::Money => |r, _n| r.at.funding;
        total_pnl: Kind::Money, null => |r, _n| r.at.total_pnl;
    }
}

relation! {
    /// The newest mark of an asset, as of the current epoch. Prices are doubled, as in [`Mark`].
    #[derive(Copy)]
    MarkNow {
        key {
            /// Of what, at which venue.
            asset: AssetId,
        }
        /// Twice the mark of a long position.
        long_twice: i64,
        /// Twice the mark of a short position.
        short_twice: i64,
        /// When the row that it comes from happened.
        mark_time: VenueTime,
    }
    columns(2, time None) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        long_mark: Kind::Money => |r, _n| shown(r.long_twice);
        short_mark: Kind::Money => |r, _n| shown(r.short_twice);
        mark_time: Kind::Time => |r, _n| r.mark_time;
    }
}

relation! {
    /// A wallet's P&L as of the current epoch: [`Pnl`] without the snapshot. No view; made for who
    /// asks.
    #[derive(Copy)]
    WalletNow {
        key {
            /// Whose.
            wallet: Sym,
        }
        /// The amounts.
        at: Pnl,
    }
    columns(1, time None) {
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        realized_pnl: Kind::Money => |r, _n| r.at.realized_pnl;
        unrealized_pnl: Kind::Money => |r, _n| r.at.unrealized_pnl;
        fees: Kind::Money => |r, _n| r.at.fees;
        funding: Kind::Money => |r, _n| r.at.funding;
        total_pnl: Kind::Money => |r, _n| r.at.total_pnl;
        exposure: Kind::Money => |r, _n| r.at.exposure;
        n_positions: Kind::Count => |r, _n| r.at.n_positions;
        n_unmarked: Kind::Count => |r, _n| r.at.n_unmarked;
    }
}

/// Half of a doubled price, as it is shown: half-even at 1e-9.
pub fn shown(twice: i64) -> Money {
    // Twice a price of 1e-9 is 5e8 units of 1e-18.
    Money::from_raw(i128::from(twice) * 500_000_000).rounded()
}
