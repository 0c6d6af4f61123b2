//! Rows as JSON: the one spelling of SEMANTICS section 9. Decimals, counts and times are strings,
//! nulls are written, keys stand in schema order.

use crate::cell::Cell;
use crate::names::Names;
use crate::relations::{Alert, Relation};
use crate::schema::Schema;
use crate::spell::write_text;
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

/// Writes an alert that is taken back as its message has it: the row as it last stood, but for its
/// `state`, `retracted`. No row has that state: where it would stand the row is gone.
pub fn write_retracted(out: &mut Vec<u8>, alert: &Alert, schema: &Schema, names: &Names) {
    for (index, column) in schema.columns.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write_text(out, &column.name);
        out.push(b':');
        match &*column.name {
            "state" => write_text(out, "retracted"),
            _ => alert.cell(index, names).write_json(out),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests;
