//! A row's cells as bytes, for the spool: what is written is read back by the same run.

use std::io;

use types::relations::Relation;
use types::value::Float;
use types::{Cell, Decimal, Names, VenueTime};

use crate::spool::{read_length, write_length};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NANO: u8 = 4;
const NUMBER: u8 = 5;
const FLOAT: u8 = 6;
const TIME: u8 = 7;
const TEXT: u8 = 8;
/// A count, and numbers of 1e-9 of either sign whose size 64 bits hold, with how many bytes that takes.
const COUNT: u8 = 0x10;
const SHORT_NANO: u8 = 0x20;
const SHORT_NEGATIVE: u8 = 0x30;
const SHORT_END: u8 = 0x3f;

/// Writes the row's columns from one on.
pub(crate) fn write<R: Relation>(out: &mut Vec<u8>, row: &R, first: usize, names: &Names) {
    row.for_each_cell(first, names, |cell| write_cell(out, cell));
}

/// Writes a tag with how many bytes follow, and these: the lowest, without zeros behind them.
fn write_short(out: &mut Vec<u8>, tag: u8, number: u64) {
    let n_bytes = 8 - number.leading_zeros() / 8;
    let tag = tag | u8::try_from(n_bytes).unwrap_or(0);
    let both = u128::from(number) << 8 | u128::from(tag);
    // Room of a fixed size needs no call to copy memory.
    let end = out.len() + 1 + usize::try_from(n_bytes).unwrap_or(0);
    out.extend_from_slice(&both.to_le_bytes());
    out.truncate(end);
}

#[expect(clippy::inline_always, reason = "where a column's kind is known, one arm is left")]
#[inline(always)]
fn write_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(bytes);
    };
    match cell {
        Cell::Null => tagged(NULL, &[]),
        Cell::Bool(false) => tagged(FALSE, &[]),
        Cell::Bool(true) => tagged(TRUE, &[]),
        Cell::Count(count) => write_short(out, COUNT, *count),
        Cell::Nano(raw) => match u64::try_from(raw.unsigned_abs()) {
            Ok(size) if *raw < 0 => write_short(out, SHORT_NEGATIVE, size),
            Ok(size) => write_short(out, SHORT_NANO, size),
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
    take_cell(bytes, |cell| cell)
}

/// Writes the next cell as JSON; errors as [`read`] does.
pub(crate) fn spell(bytes: &mut &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    take_cell(bytes, |cell| cell.write_json(out))
}

/// Hands the next cell over where its kind is known, so that none is made where it is used at once.
#[expect(
    clippy::inline_always,
    reason = "a cell that is moved about costs more than what is done with it"
)]
#[inline(always)]
fn take_cell<'a, T>(bytes: &mut &'a [u8], hand: impl FnOnce(Cell<'a>) -> T) -> io::Result<T> {
    let [tag] = take(bytes)?;
    Ok(match tag {
        NULL => hand(Cell::Null),
        FALSE => hand(Cell::Bool(false)),
        TRUE => hand(Cell::Bool(true)),
        COUNT..SHORT_NANO => hand(Cell::Count(take_short(bytes, tag)?)),
        SHORT_NANO..SHORT_NEGATIVE => hand(Cell::Nano(take_short(bytes, tag)?.into())),
        SHORT_NEGATIVE..=SHORT_END => hand(Cell::Nano(-i128::from(take_short(bytes, tag)?))),
        NANO => hand(Cell::Nano(i128::from_le_bytes(take(bytes)?))),
        NUMBER => {
            let [scale] = take(bytes)?;
            let mantissa = i128::from_le_bytes(take(bytes)?);
            if scale > types::number::SCALE_MAX {
                return Err(damaged());
            }
            hand(Cell::Number(Decimal::new(mantissa, scale)))
        }
        FLOAT => {
            let float = Float::new(f64::from_le_bytes(take(bytes)?)).ok_or_else(damaged)?;
            hand(Cell::Float(float))
        }
        TIME => hand(Cell::Time(VenueTime::from_nanos(i64::from_le_bytes(take(bytes)?)))),
        TEXT => {
            let length = read_length(bytes)?;
            let (text, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
            *bytes = rest;
            hand(Cell::Str(std::str::from_utf8(text).map_err(|_| damaged())?))
        }
        _ => return Err(damaged()),
    })
}

/// Takes as many bytes as the tag says.
fn take_short(bytes: &mut &[u8], tag: u8) -> io::Result<u64> {
    let n_bytes = tag & 0x0f;
    let (short, rest) = bytes.split_at_checked(n_bytes.into()).ok_or_else(damaged)?;
    // Mostly enough follows for a whole word.
    let number = match (bytes.first_chunk(), n_bytes) {
        (_, 0) => 0,
        (Some(word), 1..=8) => u64::from_le_bytes(*word) & u64::MAX >> (64 - 8 * n_bytes),
        (None, 1..=8) => short.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        _ => return Err(damaged()),
    };
    *bytes = rest;
    Ok(number)
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
            Cell::Nano(i128::from(u64::MAX)),
            Cell::Nano(-i128::from(u64::MAX)),
            Cell::Nano(i128::from(u64::MAX) + 1),
            Cell::Nano(-i128::from(u64::MAX) - 1),
            Cell::Nano(i128::MIN),
            Cell::Nano(i128::MAX),
            number("-0.000000001"),
            number("99999999999999999999999999999999999999"),
            Cell::Float(Float::new(0.1).unwrap()),
            Cell::Time(VenueTime::from_nanos(-1)),
            Cell::Str(text.as_str()),
        ];
        let sizes = (0..64).flat_map(|n_bits| [1u64 << n_bits, (1 << n_bits) - 1]);
        let shorts = sizes.flat_map(|size| {
            let nano = i128::from(size);
            [Cell::Count(size), Cell::Nano(nano), Cell::Nano(-nano)]
        });
        let cells: Vec<Cell<'_>> = cells.into_iter().chain(shorts).collect();
        let mut bytes = Vec::new();
        for cell in &cells {
            write_cell(&mut bytes, cell);
        }
        for spelling in [Cell::Text(&text), Cell::Made(text.clone()), Cell::Word("")] {
            write_cell(&mut bytes, &spelling);
        }
        let mut rest = bytes.as_slice();
        for cell in &cells {
            let (mut spelled, mut text) = (Vec::new(), Vec::new());
            spell(&mut { rest }, &mut spelled).unwrap();
            cell.write_json(&mut text);
            assert_eq!(spelled, text);
            assert_eq!(read(&mut rest).unwrap(), *cell);
        }
        for expected in [text.as_str(), text.as_str(), ""] {
            assert_eq!(read(&mut rest).unwrap(), Cell::Str(expected));
        }
        assert!(read(&mut rest).is_err());
        let shorts = [(COUNT + 3, 2), (SHORT_NANO + 8, 7), (COUNT + 9, 20), (SHORT_END, 20)];
        let others = [(NUMBER, 3), (FLOAT, 7), (TIME, 0), (NANO, 15), (TEXT, 2), (99, 0)];
        for (tag, n) in shorts.into_iter().chain(others) {
            let mut damaged = vec![tag];
            damaged.resize(1 + n, 0xff);
            assert!(read(&mut damaged.as_slice()).is_err(), "{tag}");
        }
    }
}
