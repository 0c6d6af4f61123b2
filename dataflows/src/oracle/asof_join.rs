//! Rows with what stood at their times, from all rows at once.

use std::collections::BTreeSet;

use types::relations::Relation;
use types::{Names, Row, Schema, Span, Value, VenueTime};

use super::place;

/// Each row with the last row of the other side at or before its time, among those with equal values
/// of the columns `on`, at most `within` old; nulls where there is none.
///
/// # Panics
/// If a column isn't there.
pub fn asof_join<L: Relation, R: Relation>(
    (input, of_input): (&[L], &Schema),
    (with, of_with): (&[R], &Schema),
    on: &[&str],
    within: Option<Span>,
    names: &Names,
) -> BTreeSet<Row> {
    let index = |schema: &Schema, name: &str| schema.index(name).expect("a column");
    let is_shown = |column: usize| {
        let name = of_with.columns[column].name.as_ref();
        !on.contains(&name) && (column >= of_with.n_key || of_with.time == Some(column))
    };
    let shown: Vec<usize> = (0..of_with.columns.len()).filter(|index| is_shown(*index)).collect();
    let meets = |row: &L, other: &R| {
        on.iter().all(|name| {
            let value = row.column(index(of_input, name), names);
            value != Value::Null && value == other.column(index(of_with, name), names)
        })
    };
    let found = |row: &L| -> Option<&R> {
        let Value::Time(time) = row.column(of_input.time?, names) else { return None };
        let met = with.iter().filter(|other| meets(row, other));
        let placed = met.filter_map(|other| Some((place(other, of_with, names)?, other)));
        let ((at, ..), last) =
            placed.filter(|(place, _)| place.0 <= time).max_by(|a, b| a.0.cmp(&b.0))?;
        let age = |at: VenueTime| time.nanos() - at.nanos();
        within.is_none_or(|within| age(at) <= within.nanos()).then_some(last)
    };
    let joined = |row: &L| -> Row {
        let found = found(row);
        let mut values: Vec<Value> =
            (0..of_input.columns.len()).map(|index| row.column(index, names)).collect();
        for index in &shown {
            values.push(found.map_or(Value::Null, |other| other.column(*index, names)));
        }
        Row(values.into())
    };
    input.iter().map(joined).collect()
}
