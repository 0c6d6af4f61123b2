//! The last row of each key, from all rows at once.

use std::collections::{BTreeMap, BTreeSet};

use types::relations::Relation;
use types::{Names, Schema, Value};

use super::place;

/// The last row of each key; `by` names the key's columns.
///
/// # Panics
/// If a column isn't there.
pub fn latest<R: Relation>(rows: &[R], by: &[&str], schema: &Schema, names: &Names) -> BTreeSet<R> {
    let mut groups: BTreeMap<Vec<Value>, Vec<&R>> = BTreeMap::new();
    for row in rows.iter().filter(|row| place(*row, schema, names).is_some()) {
        let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
        groups.entry(by.iter().map(value).collect()).or_default().push(row);
    }
    let last = |mut rows: Vec<&R>| {
        rows.sort_by_key(|row| place(*row, schema, names));
        rows.last().copied().cloned()
    };
    groups.into_values().filter_map(last).collect()
}
