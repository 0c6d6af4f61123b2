//! What rows of the view are like, and what of the input's is looked at.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use types::schema::{Column, Kind, Type};
use types::value::Float;
use types::{Row, Schema, Span, Text, Value, VenueTime};

use super::judge::Said;
use crate::operators::ordered::is_of_row;

/// The words of `state`.
const STATES: &[&str] = &["warming", "ok", "stale"];
/// What the operator adds to the input's columns, behind the key.
const ADDED: [(&str, Kind, bool); 6] = [
    ("score", Kind::Float, true),
    ("raw", Kind::Float, true),
    ("state", Kind::Word(STATES), false),
    ("reason", Kind::Name, true),
    ("deviations", Kind::Float, true),
    ("why", Kind::Text, true),
];
/// The words of `change`.
const CHANGES: &[&str] = &["inserted", "replaced", "removed"];

/// What became of a row too old to change scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Inserted,
    Replaced,
    Removed,
}

/// Which columns are what.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) input: Arc<Schema>,
    /// The columns that the detector sees.
    pub(super) measured: Vec<usize>,
    /// The columns that tell keys apart.
    pub(super) by: Vec<usize>,
    /// The column of a bar's length, where rows are bars.
    pub(super) length: Option<usize>,
}

/// The names of the columns that the operator adds to one of the views.
pub(super) fn added() -> impl Iterator<Item = &'static str> {
    ADDED.iter().map(|(name, ..)| *name).chain(["change"])
}

impl Layout {
    /// The columns of the view.
    pub(super) fn schema(&self) -> Schema {
        let n_key = self.input.n_key;
        let (key, rest) = self.input.columns.split_at(n_key);
        let column = |(name, kind, nullable)| Column { name: Cow::Borrowed(name), kind, nullable };
        let columns =
            key.iter().cloned().chain(ADDED.map(column)).chain(rest.iter().cloned()).collect();
        let behind = |time| if time < n_key { time } else { time + ADDED.len() };
        Schema { columns, n_key, time: self.input.time.map(behind) }
    }

    /// The columns of the view of changes that came too late.
    pub(super) fn stale_schema(&self) -> Schema {
        let mut columns = self.input.key().to_vec();
        let kind = Kind::Word(CHANGES);
        columns.push(Column { name: Cow::Borrowed("change"), kind, nullable: false });
        let n_key = self.input.n_key;
        Schema { columns, n_key, time: self.input.time.filter(|time| *time < n_key) }
    }

    /// The columns that say whom a row is about: the key's, without time and id.
    pub(super) fn entity(schema: &Schema) -> Vec<usize> {
        (0..schema.n_key).filter(|index| !is_of_row(schema, *index)).collect()
    }

    /// When a row counts: at its time, a bar at its end.
    pub(super) fn counts_at(&self, row: &Row, time: VenueTime) -> VenueTime {
        match self.length.and_then(|index| row.0.get(index)) {
            Some(Value::Text(text)) => Span::parse(text.as_str()).map_or(time, |n| time.plus(n)),
            _ => time,
        }
    }

    /// Whether a column holds numbers.
    pub(super) fn is_number(column: &Column) -> bool {
        matches!(column.kind.of(), Type::Number | Type::Float)
    }

    /// The numbers of a row; NaN where one is null.
    pub(super) fn numbers(&self, row: &Row, out: &mut Vec<f64>) {
        out.clear();
        out.extend(self.measured.iter().map(|index| match row.0.get(*index) {
            Some(Value::Float(number)) => number.get(),
            Some(Value::Number(number)) => number.nearest_float(),
            _ => f64::NAN,
        }));
    }

    /// The name of a column that is looked at.
    pub(super) fn name(&self, measured: usize) -> &str {
        let index = self.measured.get(measured).copied().unwrap_or_default();
        self.input.columns.get(index).map_or("", |column| column.name.as_ref())
    }

    /// The row of the view.
    pub(super) fn row(&self, row: &Row, said: &Said) -> Row {
        let (key, rest) = row.0.split_at(self.input.n_key.min(row.0.len()));
        let float = |number: f64| Value::from(Float::new(number));
        let (scores, state) = match said {
            Said::Warming => ([Value::Null, Value::Null], STATES[0]),
            Said::Scored { score, raw, .. } => ([float(*score), float(*raw)], STATES[1]),
            Said::Stale => ([Value::Null, Value::Null], STATES[2]),
        };
        let [score, raw] = scores;
        let (reason, deviations, why) = match said {
            Said::Scored { because: Some(because), .. } => (
                Value::Text(Text::from(self.name(because.column))),
                float(because.deviations),
                Value::Text(because.why.clone()),
            ),
            _ => (Value::Null, Value::Null, Value::Null),
        };
        let said = [score, raw, Value::word(state), reason, deviations, why];
        Row(key.iter().cloned().chain(said).chain(rest.iter().cloned()).collect())
    }

    /// The row of the view of changes that came too late.
    pub(super) fn stale_row(&self, row: &Row, change: Change) -> Row {
        let word = match change {
            Change::Inserted => CHANGES[0],
            Change::Replaced => CHANGES[1],
            Change::Removed => CHANGES[2],
        };
        let key = row.0.iter().take(self.input.n_key).cloned();
        Row(key.chain([Value::word(word)]).collect())
    }
}

/// Some columns of rows.
pub(super) struct Columns {
    indices: Vec<usize>,
    /// Where they stand, if side by side: then nothing need be copied.
    range: Option<Range<usize>>,
}

impl Columns {
    pub(super) fn new(indices: Vec<usize>) -> Self {
        let range = match (indices.first(), indices.last()) {
            (Some(first), Some(last)) => Some(*first..last + 1),
            _ => None,
        };
        let range = range.filter(|range| range.clone().eq(indices.iter().copied()));
        Self { indices, range }
    }

    /// Their values.
    pub(super) fn of<'a>(&self, row: &'a Row) -> Cow<'a, [Value]> {
        if let Some(values) = self.range.clone().and_then(|range| row.0.get(range)) {
            return Cow::Borrowed(values);
        }
        let value = |index: &usize| row.0.get(*index).cloned().unwrap_or(Value::Null);
        Cow::Owned(self.indices.iter().map(value).collect())
    }
}
