//! A row's cells as bytes, for the spool: what is written is read back by the same run.

use std::io;

use types::relations::Relation;
use types::value::Float;
use types::{Cell, Decimal, Names, VenueTime};

use crate::runs::{read_length, write_length};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const COUNT: u8 = 3;
const NANO: u8 = 4;
const NUMBER: u8 = 5;
const FLOAT: u8 = 6;
const TIME: u8 = 7;
const TEXT: u8 = 8;
/// A count or a number of 1e-9 that a byte holds.
const SMALL_COUNT: u8 = 9;
const ZERO: u8 = 10;
/// A number of 1e-9 that 64 bits hold.
const SHORT_NANO: u8 = 11;

/// Writes some of the row's columns.
pub(crate) fn write<R: Relation>(
    out: &mut Vec<u8>,
    row: &R,
    columns: std::ops::Range<usize>,
    names: &Names,
) {
    for index in columns {
        write_cell(out, &row.cell(index, names));
    }
}

fn write_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(bytes);
    };
    match cell {
        Cell::Null => tagged(NULL, &[]),
        Cell::Bool(false) => tagged(FALSE, &[]),
        Cell::Bool(true) => tagged(TRUE, &[]),
        Cell::Count(count) => match u8::try_from(*count) {
            Ok(small) => tagged(SMALL_COUNT, &[small]),
            Err(_) => tagged(COUNT, &count.to_le_bytes()),
        },
        Cell::Nano(0) => tagged(ZERO, &[]),
        Cell::Nano(raw) => match i64::try_from(*raw) {
            Ok(short) => tagged(SHORT_NANO, &short.to_le_bytes()),
            Err(_) => tagged(NANO, &raw.to_le_bytes()),
        },
        Cell::Number(number) => {
            tagged(NUMBER, &[number.scale()]);
            out.extend_from_slice(&number.mantissa().to_le_bytes());
        }
        Cell::Float(float) => tagged(FLOAT, &float.get().to_le_bytes()),
        Cell::Time(time) => tagged(TIME, &time.nanos().to_le_bytes()),
        Cell::Text(_) | Cell::Word(_) | Cell::Str(_) | Cell::Made(_) => {
            let bytes = cell.as_str().unwrap_or_default().as_bytes();
            out.push(TEXT);
            write_length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads the next cell.
///
/// # Errors
/// Where the bytes weren't written by [`write()`]: the temporary file is damaged.
pub(crate) fn read<'a>(bytes: &mut &'a [u8]) -> io::Result<Cell<'a>> {
    let [tag] = take(bytes)?;
    Ok(match tag {
        NULL => Cell::Null,
        FALSE => Cell::Bool(false),
        TRUE => Cell::Bool(true),
        COUNT => Cell::Count(u64::from_le_bytes(take(bytes)?)),
        SMALL_COUNT => Cell::Count(u8::from_le_bytes(take(bytes)?).into()),
        ZERO => Cell::Nano(0),
        SHORT_NANO => Cell::Nano(i64::from_le_bytes(take(bytes)?).into()),
        NANO => Cell::Nano(i128::from_le_bytes(take(bytes)?)),
        NUMBER => {
            let [scale] = take(bytes)?;
            let mantissa = i128::from_le_bytes(take(bytes)?);
            if scale > types::number::SCALE_MAX {
                return Err(damaged());
            }
            Cell::Number(Decimal::new(mantissa, scale))
        }
        FLOAT => Cell::Float(Float::new(f64::from_le_bytes(take(bytes)?)).ok_or_else(damaged)?),
        TIME => Cell::Time(VenueTime::from_nanos(i64::from_le_bytes(take(bytes)?))),
        TEXT => {
            let length = read_length(bytes)?;
            let (text, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
            *bytes = rest;
            Cell::Str(std::str::from_utf8(text).map_err(|_| damaged())?)
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
    use types::Text;

    use super::*;

    #[test]
    fn cells_come_back_and_damage_is_told() {
        let number = |text: &str| Cell::Number(Decimal::parse(text.as_bytes()).unwrap());
        let text = Text::from("\u{e9}\"\n".repeat(99));
        let cells = [
            Cell::Null,
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Count(0),
            Cell::Count(255),
            Cell::Count(256),
            Cell::Count(u64::MAX),
            Cell::Nano(0),
            Cell::Nano(-1),
            Cell::Nano(i64::MIN.into()),
            Cell::Nano(i128::MAX),
            number("-0.000000001"),
            number("99999999999999999999999999999999999999"),
            Cell::Float(Float::new(0.1).unwrap()),
            Cell::Time(VenueTime::from_nanos(-1)),
            Cell::Str(text.as_str()),
        ];
        let mut bytes = Vec::new();
        for cell in &cells {
            write_cell(&mut bytes, cell);
        }
        for spelling in [Cell::Text(&text), Cell::Made(text.clone()), Cell::Word("")] {
            write_cell(&mut bytes, &spelling);
        }
        let mut rest = bytes.as_slice();
        for cell in &cells {
            assert_eq!(read(&mut rest).unwrap(), *cell);
        }
        for expected in [text.as_str(), text.as_str(), ""] {
            assert_eq!(read(&mut rest).unwrap(), Cell::Str(expected));
        }
        assert!(read(&mut rest).is_err());
        for (tag, n) in [(NUMBER, 3), (FLOAT, 7), (TIME, 0), (NANO, 15), (TEXT, 2), (99, 0)] {
            let mut damaged = vec![tag];
            damaged.resize(1 + n, 0xff);
            assert!(read(&mut damaged.as_slice()).is_err(), "{tag}");
        }
    }
}
