//! The rows of a group in their order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use types::json::write_key;
use types::{Row, Value};

use crate::operators::ordered::{Order, Place};

/// How rows are put into order.
pub(super) struct Ranking {
    /// The order of the input's rows, which decides between rows that tie.
    pub(super) order: Order,
    pub(super) is_descending: bool,
}

/// All rows of a group, first to last; each ends with the value that it is ranked by.
pub(super) struct Group {
    rows: BTreeMap<Rank, Row>,
}

/// A row's place in its group. Compares from the first field to the last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_null: bool,
    value: Directed,
    /// In time; `None` where no time is known.
    place: Option<Place>,
    /// The start of the row's text, up to the end of its key: rows of one view differ in it.
    key: Box<[u8]>,
}

/// A value that comes before greater ones, or before lesser ones; a group has one sort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Directed {
    Ascending(Value),
    Descending(Reverse<Value>),
}

impl Ranking {
    fn rank(&self, row: &Row) -> Rank {
        let value = row.0.last().cloned().unwrap_or(Value::Null);
        let mut key = Vec::new();
        write_key(&mut key, row, &self.order.schema, &self.order.names);
        // In the row's text the key is followed by the next column.
        if let Some(last) = key.last_mut() {
            *last = b',';
        }
        Rank {
            is_null: value.is_null(),
            value: if self.is_descending {
                Directed::Descending(Reverse(value))
            } else {
                Directed::Ascending(value)
            },
            place: self.order.time(row).map(|time| self.order.place(row, time)),
            key: key.into(),
        }
    }
}

impl Group {
    pub(super) const fn new() -> Self {
        Self { rows: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lets a row in, or out where the difference is below zero.
    pub(super) fn take(&mut self, ranking: &Ranking, row: Row, diff: isize) {
        let rank = ranking.rank(&row);
        if diff < 0 {
            self.rows.remove(&rank);
        } else {
            self.rows.insert(rank, row);
        }
    }

    /// The first rows.
    pub(super) fn first(&self, k: usize) -> Vec<Row> {
        self.rows.values().take(k).cloned().collect()
    }
}
