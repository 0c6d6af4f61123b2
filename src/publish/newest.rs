//! The newest rows of each view, for the summary of a run.

use std::cmp::Ordering;
use std::sync::Arc;

use types::relations::Relation;
use types::{Cell, Changes, Kind, Names, Schema, Value};

/// The newest rows of one view: by its time, later ones first; equal times by their values.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    schema: Arc<Schema>,
    /// The column that says what is new.
    by: usize,
    n_kept: usize,
    rows: Vec<Vec<Value>>,
}

impl Newest {
    /// Starts without rows; keeps at most `n_kept`.
    pub(crate) fn new(schema: &Arc<Schema>, n_kept: usize) -> Self {
        let any_time = || schema.columns.iter().rposition(|column| column.kind == Kind::Time);
        let by = schema.time.or_else(any_time).unwrap_or(0);
        Self { schema: Arc::clone(schema), by, n_kept, rows: Vec::new() }
    }

    /// Takes the changes of an epoch: first what goes, so that their order doesn't matter.
    pub(crate) fn take(&mut self, changes: &Changes, names: &Names) {
        if self.n_kept > 0 && !changes.is_empty() {
            types::with_changes!(changes, rows => {
                self.remove(rows, names);
                self.add(rows, names);
            });
        }
    }

    /// Column names and rows.
    pub(crate) fn into_table(self) -> (Vec<String>, Vec<Vec<Value>>) {
        let names = self.schema.columns.iter().map(|column| column.name.to_string()).collect();
        (names, self.rows)
    }

    /// Drops kept rows that are taken back.
    fn remove<R: Relation>(&mut self, rows: &[(R, isize)], names: &Names) {
        for (row, _) in rows.iter().filter(|row| row.1 < 0) {
            let is_same = |kept: &Vec<Value>| {
                compare(&row.cell(self.by, names), &cell(kept, self.by)).is_eq()
                    && (0..kept.len()).all(|c| compare(&row.cell(c, names), &cell(kept, c)).is_eq())
            };
            if let Some(place) = self.rows.iter().position(is_same) {
                self.rows.remove(place);
            }
        }
    }

    /// Adds what belongs among the newest.
    fn add<R: Relation>(&mut self, rows: &[(R, isize)], names: &Names) {
        let by_value = |a: &R, b: &R| {
            let columns = 0..self.schema.columns.len();
            let mut orders = columns.map(|c| compare(&a.cell(c, names), &b.cell(c, names)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        // Nothing below the last row of a full table can belong there.
        let floor = self.rows.get(self.n_kept - 1);
        let mut newest: Vec<&R> = Vec::with_capacity(self.n_kept);
        for (row, _) in rows.iter().filter(|row| row.1 > 0) {
            let time = row.cell(self.by, names);
            if floor.is_some_and(|floor| compare(&time, &cell(floor, self.by)).is_lt()) {
                continue;
            }
            let comes_before = |kept: &&R| {
                let order = compare(&time, &kept.cell(self.by, names)).reverse();
                order.then_with(|| by_value(row, kept)).is_lt()
            };
            if newest.len() == self.n_kept && !newest.last().is_some_and(comes_before) {
                continue;
            }
            let place = newest.iter().position(comes_before).unwrap_or(newest.len());
            newest.insert(place, row);
            newest.truncate(self.n_kept);
        }
        for row in newest {
            let value = |column| Value::from(row.cell(column, names));
            self.rows.push((0..self.schema.columns.len()).map(value).collect());
        }
        let by = self.by;
        self.rows.sort_by(|a, b| b.get(by).cmp(&a.get(by)).then_with(|| a.cmp(b)));
        self.rows.truncate(self.n_kept);
    }
}

fn cell(row: &[Value], column: usize) -> Cell<'_> {
    row.get(column).map_or(Cell::Null, Cell::from)
}

/// Compares two cells as their values would.
fn compare(a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
    match (a, b) {
        (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (Cell::Nano(a), Cell::Nano(b)) => a.cmp(b),
        (Cell::Count(a), Cell::Count(b)) => a.cmp(b),
        (a, b) => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => Value::from(a.clone()).cmp(&Value::from(b.clone())),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use types::relations::{Bar, RelationKind};
    use types::{AssetId, Interner, Money, Price, ShortText, Size, VenueTime};

    use super::*;
    use crate::publish::testing::Chance;

    fn bar(bucket: i64) -> Bar {
        Bar {
            asset: AssetId(0),
            size: ShortText::new("1m").unwrap(),
            bucket: VenueTime::from_nanos(bucket),
            open: Price::ZERO,
            high: Price::ZERO,
            low: Price::ZERO,
            close: Price::ZERO,
            volume: Size::ZERO,
            notional: Money::ZERO,
            n_trades: 1,
            is_final: false,
        }
    }

    #[test]
    fn the_latest_rows_are_kept_and_taken_back_ones_are_not() {
        let mut interner = Interner::new(false);
        interner.asset("x", "BTC");
        let schema = RelationKind::Bars.schema().unwrap().shared();
        let mut newest = Newest::new(&schema, 2);
        newest.take(&Changes::Bars(vec![(bar(3), 1), (bar(1), 1), (bar(2), 1)]), interner.names());
        newest.take(&Changes::Bars(vec![(bar(3), -1), (bar(4), 1)]), interner.names());
        let (names, rows) = newest.into_table();
        let bucket = names.iter().position(|name| name == "bucket").unwrap();
        let times: Vec<&Value> = rows.iter().map(|row| &row[bucket]).collect();
        let time = |nanos| Value::Time(VenueTime::from_nanos(nanos));
        assert_eq!(times, [&time(4), &time(2)]);
    }

    /// All of it, kept and sorted: what the few rows must equal.
    #[test]
    fn any_order_gives_the_newest_of_all() {
        let mut interner = Interner::new(false);
        for asset in ["b", "a", "c", "d"] {
            interner.asset("x", asset);
        }
        let schema = RelationKind::Bars.schema().unwrap().shared();
        for seed in 0..300 {
            let mut chance = Chance(seed);
            let mut newest = Newest::new(&schema, 4);
            let mut held: BTreeMap<(u64, u64), Bar> = BTreeMap::new();
            // Only more rows than are kept can hide what comes back when a newer one goes.
            for _ in 0..20 {
                let mut changes = Vec::new();
                for key in 0..12 {
                    let key = (key % 4, key / 4);
                    if chance.below(3) == 0 || held.contains_key(&key) && chance.below(3) > 0 {
                        continue;
                    }
                    let bucket = i64::try_from(key.1).unwrap();
                    let asset = AssetId(u32::try_from(key.0).unwrap());
                    let n_trades = chance.below(99);
                    let new = Bar { asset, n_trades, ..bar(bucket) };
                    changes.extend(held.insert(key, new).map(|old| (old, -1)));
                    changes.push((new, 1));
                }
                // In whatever order.
                let turn = usize::try_from(chance.below(12)).unwrap() % changes.len().max(1);
                changes.rotate_left(turn);
                newest.take(&Changes::Bars(changes), interner.names());
            }
            let value = |row: &Bar, column| row.column(column, interner.names());
            let values = |row: &Bar| (0..schema.columns.len()).map(|c| value(row, c)).collect();
            let mut all: Vec<Vec<Value>> = held.values().map(values).collect();
            all.sort_by(|a, b| b[newest.by].cmp(&a[newest.by]).then_with(|| a.cmp(b)));
            all.truncate(4);
            assert_eq!(newest.into_table().1, all, "seed {seed}");
        }
    }
}
