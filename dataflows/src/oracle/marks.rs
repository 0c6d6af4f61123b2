//! P&L at snapshots, from all rows at once.

use std::collections::BTreeMap;

use types::relations::{Basis, Fill, FillKind, Mark, Pnl, Position, PositionPnl};
use types::relations::{Quote, Relation, Settlement, Trade};
use types::{AssetId, Money, Names, Price, Schema, Sym, VenueTime};

use super::place;

/// All rows that marks are made of.
pub struct Market<'a> {
    /// For `mid` and `bid_ask`.
    pub quotes: &'a [Quote],
    /// For `last`, of fills.
    pub fills: &'a [Fill],
    /// For `last`, of trades.
    pub trades: &'a [Trade],
    /// At most one an asset.
    pub settlements: &'a [Settlement],
    /// The dictionary.
    pub names: &'a Names,
}

impl Market<'_> {
    /// The mark of each asset at a time: `mark` is the option as the config writes it.
    pub fn marks(&self, mark: &str, time: VenueTime) -> BTreeMap<AssetId, Mark> {
        let mut marks = BTreeMap::new();
        let mut add = |asset, long: Price, short: Price, both: bool, mark_time| {
            // Twice the middle is the sum; twice a price is the price added to itself.
            let (long_twice, short_twice) = if both {
                (long.raw() + short.raw(), long.raw() + short.raw())
            } else {
                (long.raw() + long.raw(), short.raw() + short.raw())
            };
            let step = VenueTime::MIN;
            marks.insert(asset, Mark { step, asset, long_twice, short_twice, mark_time });
        };
        for quote in self.before(self.quotes, &Quote::schema(), time) {
            let (Some(bid), Some(ask)) = (quote.bid, quote.ask) else { continue };
            let is_empty = |size: Option<types::Size>| size.is_some_and(|s| s.raw() <= 0);
            if !is_empty(quote.bid_size) && !is_empty(quote.ask_size) && mark != "last" {
                add(quote.asset, bid, ask, mark == "mid", quote.event_time);
            }
        }
        for trade in self.before(self.trades, &Trade::schema(), time) {
            add(trade.asset, trade.price, trade.price, false, trade.event_time);
        }
        for fill in self.before(self.fills, &Fill::schema(), time) {
            let is_trade = !matches!(fill.kind, FillKind::Transfer | FillKind::Funding);
            if let Some(price) = fill.shown_price().filter(|_| is_trade) {
                add(fill.asset, price, price, false, fill.event_time);
            }
        }
        for row in self.before(self.settlements, &Settlement::schema(), time) {
            add(row.asset, row.payout, row.payout, false, row.event_time);
        }
        marks
    }

    /// The rows before a time, in order.
    fn before<'r, R: Relation>(
        &self,
        rows: &'r [R],
        schema: &Schema,
        time: VenueTime,
    ) -> Vec<&'r R> {
        let placed = rows.iter().filter_map(|row| Some((place(row, schema, self.names)?, row)));
        let mut placed: Vec<_> = placed.filter(|(place, _)| place.0 < time).collect();
        placed.sort_by(|a, b| a.0.cmp(&b.0));
        placed.into_iter().map(|(_, row)| row).collect()
    }
}

/// Half of a unit of money, so that the middle of two prices is exact.
fn twice(money: Money) -> i128 {
    money.raw() * 2
}

/// Twice a sum of money, rounded half-even at 1e-9.
fn rounded(twice: i128) -> Money {
    let unit = 2_000_000_000;
    let (floor, rest) = (twice.div_euclid(unit), twice.rem_euclid(unit));
    let up = rest * 2 > unit || (rest * 2 == unit && floor.rem_euclid(2) == 1);
    Money::from_nano(floor + i128::from(up)).expect("tests stay small")
}

/// Twice the unrealised P&L and twice the exposure of an open position; `None` where unmarked.
fn value(position: &Position, marks: &BTreeMap<AssetId, Mark>) -> Option<(i128, i128)> {
    let mark = marks.get(&position.asset)?;
    let qty = position.qty.raw();
    let price = if qty > 0 { mark.long_twice } else { mark.short_twice };
    let value = qty * i128::from(price);
    (position.basis == Basis::Known).then_some((value - twice(position.cost), value.abs()))
}

/// What each wallet shows and whether it has an open position, without the snapshot.
///
/// # Panics
/// If a sum is too large for a test.
pub fn wallets(
    positions: &[Position],
    marks: &BTreeMap<AssetId, Mark>,
) -> BTreeMap<Sym, (Pnl, bool)> {
    let mut by_wallet: BTreeMap<Sym, Vec<&Position>> = BTreeMap::new();
    for position in positions {
        by_wallet.entry(position.wallet).or_default().push(position);
    }
    let row = |(wallet, positions): (Sym, Vec<&Position>)| {
        let sum = |of: fn(&Position) -> Money| positions.iter().map(|p| twice(of(p))).sum::<i128>();
        let (realized, fees) = (sum(|p| p.realized_pnl), sum(|p| p.fees));
        let funding = sum(|p| p.rare().funding);
        let open: Vec<&&Position> = positions.iter().filter(|p| p.qty.raw() != 0).collect();
        let values: Vec<(i128, i128)> = open.iter().filter_map(|p| value(p, marks)).collect();
        let unrealized: i128 = values.iter().map(|v| v.0).sum();
        let count = |n: usize| u64::try_from(n).expect("tests stay small");
        let row = Pnl {
            wallet,
            snapshot: VenueTime::MIN,
            realized_pnl: rounded(realized),
            unrealized_pnl: rounded(unrealized),
            fees: rounded(fees),
            funding: rounded(funding),
            total_pnl: rounded(realized + unrealized - fees + funding),
            exposure: rounded(values.iter().map(|v| v.1).sum()),
            n_positions: count(open.len()),
            n_unmarked: count(open.len() - values.len()),
        };
        (wallet, (row, !open.is_empty()))
    };
    by_wallet.into_iter().map(row).collect()
}

/// What each position shows and whether it is open, without the snapshot.
///
/// # Panics
/// If a sum is too large for a test.
pub fn positions(
    positions: &[Position],
    marks: &BTreeMap<AssetId, Mark>,
) -> BTreeMap<(Sym, AssetId), (PositionPnl, bool)> {
    let row = |position: &Position| {
        let is_open = position.qty.raw() != 0;
        let unrealized =
            if is_open { value(position, marks).map(|value| value.0) } else { Some(0) };
        let mark = marks.get(&position.asset).filter(|_| is_open);
        let price = mark.map(|m| if position.qty.raw() > 0 { m.long_twice } else { m.short_twice });
        let gross =
            twice(position.realized_pnl) - twice(position.fees) + twice(position.rare().funding);
        let row = PositionPnl {
            wallet: position.wallet,
            asset: position.asset,
            snapshot: VenueTime::MIN,
            qty: position.qty,
            avg_price: position.avg_price(),
            mark: price.map(|price| rounded(i128::from(price) * 1_000_000_000)),
            mark_time: mark.map(|mark| mark.mark_time),
            unrealized_pnl: unrealized.map(rounded),
            realized_pnl: rounded(twice(position.realized_pnl)),
            fees: rounded(twice(position.fees)),
            funding: rounded(twice(position.rare().funding)),
            total_pnl: unrealized.map(|unrealized| rounded(gross + unrealized)),
        };
        ((position.wallet, position.asset), (row, is_open))
    };
    positions.iter().map(row).collect()
}

/// Which snapshots have a row: `steps` says what each key shows at each step of the grid, and
/// whether it has an open position. Gives the step's index with the row.
pub fn snapshots<K: Ord + Clone, R: Clone + PartialEq>(
    steps: &[BTreeMap<K, (R, bool)>],
    emits_all: bool,
) -> Vec<(usize, R)> {
    let mut rows = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &steps[before]);
        for (key, (row, is_open)) in step {
            let same = before.and_then(|before| before.get(key)).is_some_and(|old| old.0 == *row);
            if if emits_all { *is_open } else { !same } {
                rows.push((index, row.clone()));
            }
        }
    }
    rows
}
