//! The first rows of each group, from all rows at once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use types::json::write_row;
use types::relations::Relation;
use types::{Names, Row, Schema, Value};

use super::place;

/// The first `k` rows of each group with their ranks. `order` gives what a row is ranked by; nulls are
/// last, ties stand in the order of SEMANTICS section 3.
///
/// # Panics
/// If a column isn't there.
pub fn top_k<R: Relation>(
    rows: &[R],
    by: &[&str],
    order: impl Fn(&R) -> Value,
    (k, is_descending): (usize, bool),
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Row> {
    let text = |row: &R| {
        let mut text = Vec::new();
        write_row(&mut text, row, schema, names);
        text
    };
    let compare = |a: &&R, b: &&R| -> Ordering {
        let values = (order(a), order(b));
        let by_value = match values {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (a, b) if is_descending => b.cmp(&a),
            (a, b) => a.cmp(&b),
        };
        let in_time = || place(*a, schema, names).cmp(&place(*b, schema, names));
        by_value.then_with(in_time).then_with(|| text(a).cmp(&text(b)))
    };
    let mut groups: BTreeMap<Vec<Value>, Vec<&R>> = BTreeMap::new();
    for row in rows {
        let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
        let key: Vec<Value> = by.iter().map(value).collect();
        if !key.contains(&Value::Null) {
            groups.entry(key).or_default().push(row);
        }
    }
    let mut first = BTreeSet::new();
    for mut rows in groups.into_values() {
        rows.sort_by(compare);
        for (place, row) in rows.into_iter().take(k).enumerate() {
            let values = (0..schema.columns.len()).map(|index| row.column(index, names));
            let rank = Value::from(u64::try_from(place + 1).unwrap_or(u64::MAX));
            first.insert(Row(values.chain([rank]).collect()));
        }
    }
    first
}
