//! Rows with equal values, from all rows at once.

use std::collections::BTreeSet;

use types::relations::Relation;
use types::{Names, Row, Schema, Value};

/// All pairs of rows with equal values of the columns `on`: both keys, then the rest of both, without
/// what is equal of the second. With `is_left` rows of the first that meet none stay, with nulls.
pub fn join<L: Relation, R: Relation>(
    (input, of_input): (&[L], &Schema),
    (with, of_with): (&[R], &Schema),
    on: &[&str],
    is_left: bool,
    names: &Names,
) -> BTreeSet<Row> {
    let values = |row: &L| -> Vec<Value> {
        (0..of_input.columns.len()).map(|index| row.column(index, names)).collect()
    };
    let shown = |row: Option<&R>, is_key: bool| -> Vec<Value> {
        let is_shown = |index: &usize| {
            let name = of_with.columns[*index].name.as_ref();
            !on.contains(&name) && (*index < of_with.n_key) == is_key
        };
        let value = |index| row.map_or(Value::Null, |row| row.column(index, names));
        (0..of_with.columns.len()).filter(is_shown).map(value).collect()
    };
    let pair = |row: &L, other: Option<&R>| {
        let (mut key, mut rest) = (values(row), Vec::new());
        rest.extend(key.split_off(of_input.n_key));
        key.extend(shown(other, true));
        key.extend(rest);
        key.extend(shown(other, false));
        Row(key.into())
    };
    let mut rows = BTreeSet::new();
    for row in input {
        let mut is_alone = true;
        for other in with {
            let is_equal = on.iter().all(|name| {
                let left = of_input.index(name).map(|index| row.column(index, names));
                let right = of_with.index(name).map(|index| other.column(index, names));
                left != Some(Value::Null) && left == right
            });
            if is_equal {
                is_alone = false;
                rows.insert(pair(row, Some(other)));
            }
        }
        if is_left && is_alone {
            rows.insert(pair(row, None));
        }
    }
    rows
}
