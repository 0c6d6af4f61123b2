//! The values that some columns have, from all rows at once.

use std::collections::BTreeSet;

use types::relations::Relation;
use types::{Names, Row, Schema, Value};

/// The values of some columns, each once, and how many rows have them; those with a null are left out.
///
/// # Panics
/// If a column isn't there.
pub fn distinct<R: Relation>(
    rows: &[R],
    columns: &[&str],
    schema: &Schema,
    names: &Names,
) -> BTreeSet<Row> {
    let values = |row: &R| -> Vec<Value> {
        let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
        columns.iter().map(value).collect()
    };
    let all: Vec<Vec<Value>> = rows.iter().map(values).collect();
    let counted = |values: &Vec<Value>| {
        let n = all.iter().filter(|other| *other == values).count();
        let n = Value::from(u64::try_from(n).unwrap_or(u64::MAX));
        Row(values.iter().cloned().chain([n]).collect())
    };
    all.iter().filter(|values| !values.contains(&Value::Null)).map(counted).collect()
}
