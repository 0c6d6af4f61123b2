//! What `avg_cost` gives: positions, fills that it couldn't fold, and breaks.

use serde::{Deserialize, Serialize};

use super::fills::words;
use super::relation;
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, EventId, Sym};
use crate::schema::Kind;
use crate::time::VenueTime;
use crate::value::Text;

words! {
    /// Whether a position's cost is known.
    Basis {
        /// All that it was built from is in the ledger.
        Known = "known",
        /// Fills are missing, or a transfer came without a cost.
        Unknown = "unknown",
    }
}

relation! {
    /// What a wallet holds of an asset, at average cost.
    Position {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
        }
        /// The market, of the last fill that names one.
        market: Option<Sym>,
        /// Held quantity; negative when short.
        qty: Size,
        /// What it cost, with the sign of `qty`; not shown while the basis is unknown.
        cost: Money,
        /// Gross, of what was closed.
        realized_pnl: Money,
        /// Sum of fees in the quote currency.
        fees: Money,
        /// How many fills are folded in.
        n_fills: u64,
        /// Whether the cost is known.
        basis: Basis,
        /// The greatest event time folded in.
        updated_at: VenueTime,
        /// What few positions have; never there with all of it zero.
        rare: Option<Box<RareSums>>,
    }
    columns(3, time None) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        market: Kind::Name, null => |r, n| r.market.map(|m| n.text(m));
        qty: Kind::Size => |r, _n| r.qty;
        cost: Kind::Money, null => |r, _n| r.known_cost();
        avg_price: Kind::Price, null => |r, _n| r.avg_price();
        realized_pnl: Kind::Money => |r, _n| r.realized_pnl;
        fees: Kind::Money => |r, _n| r.fees;
        funding: Kind::Money => |r, _n| r.rare().funding;
        n_fills: Kind::Count => |r, _n| r.n_fills;
        unmatched_size: Kind::Size => |r, _n| r.rare().unmatched_size;
        basis: Kind::Word(Basis::WORDS) => |r, _n| r.basis;
        unknown_closed: Kind::Money => |r, _n| r.rare().unknown_closed;
        updated_at: Kind::Time => |r, _n| r.updated_at;
    }
}

/// What few positions have. Apart from the position, whose rows are moved about by the million.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RareSums {
    /// Sum of funding payments.
    pub funding: Money,
    /// What was sold beyond the position under `clamp`.
    pub unmatched_size: Size,
    /// Notional of what was closed while the basis was unknown.
    pub unknown_closed: Money,
}

impl RareSums {
    /// These as a position keeps them: not at all, where all of them are zero.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Position {
    /// What few positions have: zero for most.
    pub fn rare(&self) -> RareSums {
        self.rare.as_deref().copied().unwrap_or_default()
    }

    /// The cost, where it is known.
    pub fn known_cost(&self) -> Option<Money> {
        (self.basis == Basis::Known).then_some(self.cost)
    }

    /// Cost over quantity, half-even at 1e-9; `None` when flat or unknown.
    pub fn avg_price(&self) -> Option<Price> {
        self.known_cost()?.price_half_even(self.qty)
    }
}

/// A position as of a step of a grid: what lay before `step`. Feeds marks and rules; no view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PositionStep {
    /// The step of the grid.
    pub step: VenueTime,
    /// The position before it.
    pub position: Position,
}

relation! {
    /// A fill that the fold left out, for as long as it can't be folded.
    FoldError {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
            /// Which fill.
            id: EventId,
        }
        /// Why: `oversell`, or `overflow` of a column.
        reason: Text,
        /// When the fill happened.
        event_time: VenueTime,
    }
    columns(4, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        id: Kind::Text => |r, _n| Text::from(r.id.to_string());
        reason: Kind::Name => |r, _n| &r.reason;
        event_time: Kind::Time => |r, _n| r.event_time;
    }
}

relation! {
    /// A fill whose stated quantity before it differs from the ledger's: fills are missing.
    #[derive(Copy)]
    Break {
        key {
            /// Whose.
            wallet: Sym,
            /// Of what, at which venue.
            asset: AssetId,
            /// Which fill.
            id: EventId,
        }
        /// The ledger's quantity before the fill.
        expected: Size,
        /// The venue's.
        stated: Size,
        /// When the fill happened.
        event_time: VenueTime,
    }
    columns(4, time Some("event_time")) {
        venue: Kind::Name => |r, n| n.text(n.venue(r.asset));
        wallet: Kind::Text => |r, n| n.text(r.wallet);
        asset: Kind::Text => |r, n| n.text(n.asset(r.asset));
        id: Kind::Text => |r, _n| Text::from(r.id.to_string());
        expected: Kind::Size => |r, _n| r.expected;
        stated: Kind::Size => |r, _n| r.stated;
        event_time: Kind::Time => |r, _n| r.event_time;
    }
}
