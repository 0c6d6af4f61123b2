//! A row's values as bytes, for the spool: what is written is read back by the same run.

use std::io;

use types::relations::Relation;
use types::value::Float;
use types::{Decimal, Names, Text, Value, VenueTime};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const FLOAT: u8 = 4;
const TIME: u8 = 5;
const TEXT: u8 = 6;

/// Writes the row's first columns.
pub(crate) fn write<R: Relation>(out: &mut Vec<u8>, row: &R, n_columns: usize, names: &Names) {
    for index in 0..n_columns {
        write_value(out, &row.column(index, names));
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => {
            out.extend_from_slice(&[NUMBER, number.scale()]);
            out.extend_from_slice(&number.mantissa().to_le_bytes());
        }
        Value::Float(float) => {
            out.push(FLOAT);
            out.extend_from_slice(&float.get().to_le_bytes());
        }
        Value::Time(time) => {
            out.push(TIME);
            out.extend_from_slice(&time.nanos().to_le_bytes());
        }
        Value::Text(text) => {
            let bytes = text.as_str().as_bytes();
            out.push(TEXT);
            out.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads the next value; null at the end, so that a deletion's missing columns are null.
///
/// # Errors
/// Where the bytes weren't written by [`write()`]: the temporary file is damaged.
pub(crate) fn read(bytes: &mut &[u8]) -> io::Result<Value> {
    let Some((tag, rest)) = bytes.split_first() else { return Ok(Value::Null) };
    *bytes = rest;
    Ok(match *tag {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        NUMBER => {
            let [scale] = take(bytes)?;
            let mantissa = i128::from_le_bytes(take(bytes)?);
            if scale > types::number::SCALE_MAX {
                return Err(damaged());
            }
            Value::Number(Decimal::new(mantissa, scale))
        }
        FLOAT => Value::Float(Float::new(f64::from_le_bytes(take(bytes)?)).ok_or_else(damaged)?),
        TIME => Value::Time(VenueTime::from_nanos(i64::from_le_bytes(take(bytes)?))),
        TEXT => {
            let length =
                usize::try_from(u64::from_le_bytes(take(bytes)?)).map_err(|_| damaged())?;
            let (text, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
            *bytes = rest;
            Value::Text(Text::from(std::str::from_utf8(text).map_err(|_| damaged())?))
        }
        _ => return Err(damaged()),
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> io::Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(*taken)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a spooled row is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_damage_is_told() {
        let number = |text: &str| Value::Number(Decimal::parse(text.as_bytes()).unwrap());
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            number("-0.000000001"),
            number("99999999999999999999999999999999999999"),
            Value::Float(Float::new(0.1).unwrap()),
            Value::Time(VenueTime::from_nanos(-1)),
            Value::word("\u{e9}\"\n"),
        ];
        let mut bytes = Vec::new();
        for value in &values {
            write_value(&mut bytes, value);
        }
        let mut rest = bytes.as_slice();
        for value in &values {
            assert_eq!(read(&mut rest).unwrap(), *value);
        }
        assert_eq!(read(&mut rest).unwrap(), Value::Null);
        for (tag, n) in [(NUMBER, 3), (FLOAT, 7), (TIME, 0), (TEXT, 8), (99, 0)] {
            let mut damaged = vec![tag];
            damaged.resize(1 + n, 0xff);
            assert!(read(&mut damaged.as_slice()).is_err(), "{tag}");
        }
    }
}
