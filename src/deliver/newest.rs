//! The newest rows of each view, for the summary of a run.

use std::sync::Arc;

use types::{Changes, Kind, Names, Schema, Value};

/// The newest rows of one view: by its time, later ones first.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    schema: Arc<Schema>,
    /// The column that says what is new.
    time: Option<usize>,
    n_kept: usize,
    rows: Vec<Vec<Value>>,
}

impl Newest {
    /// Starts without rows; keeps at most `n_kept`.
    pub(crate) fn new(schema: &Arc<Schema>, n_kept: usize) -> Self {
        let any_time = || schema.columns.iter().rposition(|column| column.kind == Kind::Time);
        let time = schema.time.or_else(any_time);
        Self { schema: Arc::clone(schema), time, n_kept, rows: Vec::new() }
    }

    /// Takes the changes of an epoch.
    pub(crate) fn take(&mut self, changes: &Changes, names: &Names) {
        if self.n_kept == 0 {
            return;
        }
        for row in 0..changes.len() {
            let value = |column| changes.value(row, column, names);
            if changes.diff(row) > 0 {
                let time = self.time.map(value);
                if self.rows.len() < self.n_kept || self.is_newer(time.as_ref()) {
                    let columns = 0..self.schema.columns.len();
                    self.rows.push(columns.map(value).collect());
                    self.shorten();
                }
            } else if self.rows.iter().any(|kept| (0..kept.len()).all(|c| kept[c] == value(c))) {
                self.rows.retain(|kept| (0..kept.len()).any(|c| kept[c] != value(c)));
            }
        }
    }

    /// Column names and rows.
    pub(crate) fn into_table(self) -> (Vec<String>, Vec<Vec<Value>>) {
        let names = self.schema.columns.iter().map(|column| column.name.to_string()).collect();
        (names, self.rows)
    }

    /// Whether a row of this time belongs among the newest.
    fn is_newer(&self, time: Option<&Value>) -> bool {
        let oldest = self.rows.last().and_then(|row| row.get(self.time?));
        time >= oldest
    }

    fn shorten(&mut self) {
        let time = self.time.unwrap_or(0);
        self.rows.sort_by(|a, b| b.get(time).cmp(&a.get(time)).then_with(|| a.cmp(b)));
        self.rows.truncate(self.n_kept);
    }
}

#[cfg(test)]
mod tests {
    use types::relations::{Bar, RelationKind};
    use types::{AssetId, Interner, Money, Price, ShortText, Size, VenueTime};

    use super::*;

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
}
