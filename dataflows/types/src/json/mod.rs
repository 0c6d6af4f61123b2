//! Rows as JSON: the one spelling of SEMANTICS section 9. Decimals, counts and times are strings,
//! nulls are written, keys stand in schema order.

use crate::cell::Cell;
use crate::names::Names;
use crate::relations::Relation;
use crate::schema::Schema;
use crate::value::Value;

/// Writes one value.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    Cell::from(value).write_json(out);
}

/// Writes the row as one JSON object.
pub fn write_row<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
    row.write_json(out, schema.columns.len(), schema, names);
}

/// Writes the key's columns as one JSON object: the key's text, by which outputs are sorted. But for
/// its last byte, it is what the row's object starts with.
pub fn write_key<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
    row.write_json(out, schema.n_key, schema, names);
}

#[cfg(test)]
mod tests;
