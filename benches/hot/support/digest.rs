//! What came out, in a few numbers: the sum of the hashes of all rows, each with its sign. What was
//! taken back leaves nothing, whatever the order, so the sum over all changes is that over the rows
//! that stand at the end.

use types::Changes;
use types::relations;

use super::loops::{Bar, Bars, Position, low};
use super::snapshots::Pnl;

/// Rows and the sum of their hashes, by view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) positions: Sum,
    pub(crate) bars: Sum,
    pub(crate) pnl: Sum,
    /// Changes of all views, whatever their sign: not part of what stands.
    pub(crate) n_changes: u64,
}

/// Rows and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) n_rows: i64,
    hash: u64,
}

impl Sum {
    /// Adds a row, or takes it off.
    pub(crate) fn add(&mut self, hash: u64, diff: i64) {
        self.n_rows += diff;
        self.hash = self.hash.wrapping_add(hash.wrapping_mul(diff.cast_unsigned()));
    }

    fn merge(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

impl Digest {
    /// Adds what another digest holds.
    pub(crate) fn add(&mut self, other: &Self) {
        self.positions.merge(other.positions);
        self.bars.merge(other.bars);
        self.pnl.merge(other.pnl);
        self.n_changes += other.n_changes;
    }

    /// What stands, however it came about.
    pub(crate) fn rows(&self) -> [Sum; 3] {
        [self.positions, self.bars, self.pnl]
    }

    /// Adds the changes of a view.
    ///
    /// # Panics
    /// For views that have no digest.
    pub(crate) fn take(&mut self, changes: &Changes) {
        self.n_changes += u64::try_from(changes.len()).unwrap_or_default();
        match changes {
            Changes::Positions(rows) => each(rows, &mut self.positions, of_position),
            Changes::Bars(rows) => each(rows, &mut self.bars, of_bar),
            Changes::Pnl(rows) => each(rows, &mut self.pnl, of_pnl),
            other => panic!("{:?} have no digest", other.kind()),
        }
    }

    /// Adds a loop's positions.
    pub(crate) fn positions<'a>(&mut self, rows: impl Iterator<Item = (u32, u32, &'a Position)>) {
        rows.for_each(|(wallet, asset, row)| self.positions.add(position(wallet, asset, row), 1));
    }

    /// Adds a loop's bars.
    pub(crate) fn bars(&mut self, bars: &Bars) {
        let rows = bars.rows();
        rows.for_each(|(asset, level, start, row)| self.bars.add(bar(asset, level, start, row), 1));
    }
}

fn each<R>(rows: &[(R, isize)], sum: &mut Sum, hash: impl Fn(&R) -> u64) {
    for (row, diff) in rows {
        sum.add(hash(row), i64::try_from(*diff).expect("small"));
    }
}

/// The hash of a position's row.
pub(crate) fn position(wallet: u32, asset: u32, row: &Position) -> u64 {
    let key = (u64::from(wallet) << 32) | u64::from(asset);
    hash(key, [row.qty, row.cost, row.realized, row.fees])
}

fn bar(asset: u32, level: usize, start: i64, row: &Bar) -> u64 {
    let key = (u64::from(asset) << 2) | u64::try_from(level).expect("three levels");
    let [open, high, low, close, start] =
        [row.open, row.high, row.low, row.close, start].map(i128::from);
    hash(key, [start, open, high, low, close, row.volume, row.notional, row.n_trades.into()])
}

/// The hash of a snapshot's row.
pub(crate) fn pnl(row: &Pnl) -> u64 {
    let Pnl { realized, unrealized, fees, total, exposure, .. } = *row;
    let (snapshot, n_positions) = (row.snapshot.into(), row.n_positions.into());
    let amounts = [snapshot, realized, unrealized, fees, total, exposure, n_positions];
    hash(row.wallet.into(), amounts)
}

fn of_position(row: &relations::Position) -> u64 {
    let amounts = Position {
        qty: row.qty.raw(),
        cost: row.cost.raw(),
        realized: row.realized_pnl.raw(),
        fees: row.fees.raw(),
    };
    position(row.wallet.index() - 1, row.asset.0, &amounts)
}

fn of_bar(row: &relations::Bar) -> u64 {
    let level = match row.size.as_str() {
        "1m" => 0,
        "1h" => 1,
        _ => 2,
    };
    let amounts = Bar {
        open: row.open.raw(),
        high: row.high.raw(),
        low: row.low.raw(),
        close: row.close.raw(),
        volume: row.volume.raw(),
        notional: row.notional.raw(),
        n_trades: row.n_trades,
    };
    bar(row.asset.0, level, row.bucket.nanos(), &amounts)
}

fn of_pnl(row: &relations::Pnl) -> u64 {
    pnl(&Pnl {
        wallet: row.wallet.index() - 1,
        snapshot: row.snapshot.nanos(),
        realized: row.realized_pnl.to_nano_half_even(),
        unrealized: row.unrealized_pnl.to_nano_half_even(),
        fees: row.fees.to_nano_half_even(),
        total: row.total_pnl.to_nano_half_even(),
        exposure: row.exposure.to_nano_half_even(),
        n_positions: row.n_positions,
    })
}

/// A folded multiplication a word: cheap beside what is measured.
fn hash<const N: usize>(key: u64, amounts: [i128; N]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ key;
    for amount in amounts {
        let bits = amount.cast_unsigned();
        let wide =
            u128::from(state ^ low(bits)) * u128::from(low(bits >> 64) ^ 0xd6e8_feb8_6659_fd93);
        state = low(wide) ^ low(wide >> 64).rotate_left(17) ^ state.rotate_left(31);
    }
    let wide = u128::from(state) * 0xa076_1d64_78bd_642f;
    low(wide) ^ low(wide >> 64)
}
