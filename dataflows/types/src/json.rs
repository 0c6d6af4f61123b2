//! Rows as JSON: the one spelling of SEMANTICS section 9. Decimals, counts and times are strings,
//! nulls are written, keys stand in schema order.

use crate::names::Names;
use crate::relations::Relation;
use crate::schema::{Column, Schema};
use crate::value::Value;

/// Writes one value.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => quoted(out, &number.to_string()),
        Value::Time(time) => quoted(out, &time.to_string()),
        Value::Float(float) => write_json(out, &float.get()),
        Value::Text(text) => write_json(out, text.as_str()),
    }
}

/// Writes the row as one JSON object.
pub fn write_row<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
    write_columns(out, row, &schema.columns, names);
}

/// Writes the key's columns as one JSON object: the key's text, by which outputs are sorted.
pub fn write_key<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
    write_columns(out, row, schema.key(), names);
}

fn write_columns<R: Relation>(out: &mut Vec<u8>, row: &R, columns: &[Column], names: &Names) {
    out.push(b'{');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json(out, column.name.as_ref());
        out.push(b':');
        write_value(out, &row.column(i, names));
    }
    out.push(b'}');
}

/// Writes a text that needs no escaping.
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and finite floats are JSON, memory takes all");
}
