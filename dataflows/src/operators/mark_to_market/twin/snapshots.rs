//! Which snapshots a wallet or position has, and what they show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::relations::{Pnl, PnlNow, PositionPnl};
use types::{AssetId, Names, Span, Sym, Value, VenueTime};

use super::book::{Book, Pair};
use super::value::{Sums, shown};

/// A row of one of the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Row {
    Wallet(Pnl),
    Position(PositionPnl),
    Now(PnlNow),
    Error(types::Row),
}

/// Whose snapshots: a wallet's, or those of its position in one asset.
pub(crate) type Unit = (Sym, Option<AssetId>);

/// What a unit shows, whatever the step. Rows bear [`VenueTime::MIN`] as their snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No position yet.
    Nothing,
    /// What stands in the view.
    Wallet(Pnl),
    /// What stands in the view.
    Position(PositionPnl),
    /// A column that doesn't fit.
    Overflow,
}

/// What the rows are about.
pub(crate) struct Snapshots {
    pub(crate) grid: Span,
    pub(crate) by_position: bool,
    pub(crate) emits_all: bool,
    pub(crate) names: Arc<Names>,
}

impl Snapshots {
    /// The unit that a position belongs to.
    pub(crate) fn unit(&self, (wallet, asset): Pair) -> Unit {
        (wallet, self.by_position.then_some(asset))
    }

    /// The row of an outcome at a step.
    pub(crate) fn row(&self, unit: Unit, snapshot: VenueTime, outcome: Outcome) -> Option<Row> {
        match outcome {
            Outcome::Nothing => None,
            Outcome::Wallet(row) => Some(Row::Wallet(Pnl { snapshot, ..row })),
            Outcome::Position(row) => Some(Row::Position(PositionPnl { snapshot, ..row })),
            Outcome::Overflow => {
                let names = &self.names;
                let wallet = Value::from(names.text(unit.0));
                let snapshot = Value::from(snapshot);
                let reason = Value::word("overflow");
                Some(Row::Error(types::Row(match unit.1 {
                    None => Arc::from([wallet, snapshot, reason]),
                    Some(asset) => {
                        let venue = Value::from(names.text(names.venue(asset)));
                        let asset = Value::from(names.text(names.asset(asset)));
                        Arc::from([venue, wallet, asset, snapshot, reason])
                    }
                })))
            }
        }
    }

    /// What a unit shows at the steps of a range at which it has a row.
    pub(crate) fn rows(
        &self,
        book: &Book,
        unit: Unit,
        (first, last): (VenueTime, VenueTime),
    ) -> BTreeMap<VenueTime, Outcome> {
        let assets: Vec<AssetId> = match unit.1 {
            Some(asset) => vec![asset],
            None => book.assets(unit.0).collect(),
        };
        let mut points: BTreeMap<VenueTime, BTreeSet<AssetId>> = BTreeMap::new();
        for asset in assets {
            for step in book.changes((unit.0, asset), (first, last)) {
                points.entry(step).or_default().insert(asset);
            }
        }
        if self.emits_all {
            let mut step = first;
            while step <= last {
                points.entry(step).or_default();
                step = step.plus(self.grid);
            }
        }
        let mut sums = sums(book, unit, first.less(1));
        let mut before = outcome(book, unit, &sums, first.less(1));
        let mut rows = BTreeMap::new();
        for (step, assets) in points {
            for asset in &assets {
                sums -= book.part((unit.0, *asset), step.less(1));
                sums += book.part((unit.0, *asset), step);
            }
            let now = if assets.is_empty() { before } else { outcome(book, unit, &sums, step) };
            if self.is_row(&before, &now, &sums) {
                rows.insert(step, now);
            }
            before = now;
        }
        rows
    }

    /// Whether a step has a row, by what was shown at the step before and what is.
    pub(crate) fn is_row(&self, before: &Outcome, now: &Outcome, sums: &Sums) -> bool {
        if self.emits_all { sums.n_open > 0 } else { now != before }
    }
}

/// The sums of a unit as of a time.
pub(crate) fn sums(book: &Book, unit: Unit, time: VenueTime) -> Sums {
    let mut sums = Sums::default();
    match unit.1 {
        Some(asset) => sums += book.part((unit.0, asset), time),
        None => book.assets(unit.0).for_each(|asset| sums += book.part((unit.0, asset), time)),
    }
    sums
}

/// What a unit shows as of a time; `sums` are those of that time.
pub(crate) fn outcome(book: &Book, unit: Unit, sums: &Sums, time: VenueTime) -> Outcome {
    if sums.is_empty() {
        return Outcome::Nothing;
    }
    let found = match unit.1 {
        None => wallet(unit.0, sums).map(Outcome::Wallet),
        Some(asset) => position(book, (unit.0, asset), sums, time).map(Outcome::Position),
    };
    found.unwrap_or(Outcome::Overflow)
}

/// The row of the newest snapshot, of open positions alone. What overflows has none.
pub(crate) fn now(book: &Book, pair: Pair, time: VenueTime) -> Option<PnlNow> {
    let sums = book.part(pair, time);
    if sums.n_open == 0 {
        return None;
    }
    // The snapshot isn't a column of this view. Were it told, each row would change at each step.
    let at = position(book, pair, &sums, time)?;
    Some(PnlNow { wallet: pair.0, asset: pair.1, at })
}

fn wallet(wallet: Sym, sums: &Sums) -> Option<Pnl> {
    Some(Pnl {
        wallet,
        snapshot: VenueTime::MIN,
        realized_pnl: sums.realized()?,
        unrealized_pnl: sums.unrealized()?,
        fees: sums.fees()?,
        funding: sums.funding()?,
        total_pnl: sums.total()?,
        exposure: sums.exposure()?,
        n_positions: sums.n_open,
        n_unmarked: sums.n_unmarked,
    })
}

fn position(book: &Book, pair: Pair, sums: &Sums, time: VenueTime) -> Option<PositionPnl> {
    let held = book.held(pair, time)?;
    let (mark, mark_time, avg_price) = shown(held, book.mark(pair.1, time));
    let is_marked = sums.n_unmarked == 0;
    Some(PositionPnl {
        wallet: pair.0,
        asset: pair.1,
        snapshot: VenueTime::MIN,
        qty: held.qty,
        avg_price,
        mark,
        mark_time,
        unrealized_pnl: if is_marked { Some(sums.unrealized()?) } else { None },
        realized_pnl: sums.realized()?,
        fees: sums.fees()?,
        funding: sums.funding()?,
        total_pnl: if is_marked { Some(sums.total()?) } else { None },
    })
}
