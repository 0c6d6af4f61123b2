//! Cells as ClickHouse has them: the bytes that are sent, hashed and sent again.

use types::{Cell, Column, Kind, VenueTime};

use crate::sinks::misfit;

/// Decimals of prices, sizes and money outside.
const SCALE: u8 = 9;
/// What `Decimal(18, 9)` and `Decimal(38, 9)` hold, in units of 1e-9.
const PRICE_MAX: i128 = 10i128.pow(18) - 1;
const DECIMAL_MAX: i128 = 10i128.pow(38) - 1;

/// Writes one column of a row as `RowBinary` has it.
///
/// # Errors
/// Where the cell isn't one of the column's: says so in words. Nothing is ever cut to fit.
pub(super) fn column(out: &mut Vec<u8>, column: &Column, cell: &Cell<'_>) -> Result<(), String> {
    let is_null = matches!(cell, Cell::Null);
    if column.nullable {
        out.push(u8::from(is_null));
        if is_null {
            return Ok(());
        }
    }
    not_null(out, column.kind, cell).ok_or_else(|| misfit(column, cell))
}

fn not_null(out: &mut Vec<u8>, kind: Kind, cell: &Cell<'_>) -> Option<()> {
    match kind {
        Kind::Bool => out.extend_from_slice(&bool(cell)?),
        Kind::Count => out.extend_from_slice(&count(cell)?),
        Kind::Price => out.extend_from_slice(&price(cell)?),
        Kind::Size | Kind::Money | Kind::Number => out.extend_from_slice(&decimal(cell)?),
        Kind::Float => out.extend_from_slice(&float(cell)?),
        Kind::Time => out.extend_from_slice(&time(cell)?),
        Kind::Text | Kind::Name => text(out, cell.as_str()?),
        Kind::Word(words) => out.extend_from_slice(&word(words, cell)?),
    }
    Some(())
}

pub(super) fn bool(cell: &Cell<'_>) -> Option<[u8; 1]> {
    if let Cell::Bool(bool) = cell { Some([u8::from(*bool)]) } else { None }
}

pub(super) fn count(cell: &Cell<'_>) -> Option<[u8; 8]> {
    u64::try_from(cell.at_scale(0)?).ok().map(u64::to_le_bytes)
}

pub(super) fn price(cell: &Cell<'_>) -> Option<[u8; 8]> {
    i64::try_from(at_most(PRICE_MAX, cell)?).ok().map(i64::to_le_bytes)
}

pub(super) fn decimal(cell: &Cell<'_>) -> Option<[u8; 16]> {
    at_most(DECIMAL_MAX, cell).map(i128::to_le_bytes)
}

fn at_most(max: i128, cell: &Cell<'_>) -> Option<i128> {
    cell.at_scale(SCALE).filter(|raw| raw.unsigned_abs() <= max.unsigned_abs())
}

pub(super) fn float(cell: &Cell<'_>) -> Option<[u8; 8]> {
    if let Cell::Float(float) = cell { Some(float.get().to_le_bytes()) } else { None }
}

pub(super) fn time(cell: &Cell<'_>) -> Option<[u8; 8]> {
    if let Cell::Time(time) = cell { Some(time.nanos().to_le_bytes()) } else { None }
}

/// The number of a word, from 1 on.
pub(super) fn word(words: &[&str], cell: &Cell<'_>) -> Option<[u8; 1]> {
    let word = cell.as_str()?;
    let place = words.iter().position(|known| *known == word)?;
    i8::try_from(place + 1).ok().map(i8::to_le_bytes)
}

/// Writes a text: its length, then its bytes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Writes a length in groups of 7 bits, least first.
pub(super) fn length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let group = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            return out.push(group);
        }
        out.push(group | 0x80);
    }
}

/// Bytes that a row takes, about.
pub(super) fn row_bytes(columns: &[Column]) -> usize {
    let bytes = |column: &Column| match column.kind {
        Kind::Bool | Kind::Word(_) => 1,
        Kind::Count | Kind::Price | Kind::Float | Kind::Time => 8,
        Kind::Size | Kind::Money | Kind::Number => 16,
        Kind::Name => 12,
        Kind::Text => 42,
    };
    columns.iter().map(bytes).sum::<usize>() + 9
}

/// The partition that `toYYYYMM` gives.
pub(super) fn month(time: VenueTime) -> u32 {
    let timestamp = jiff::Timestamp::from_nanosecond(time.nanos().into());
    let date = jiff::tz::Offset::UTC.to_datetime(timestamp.unwrap_or_default());
    // Years are those of 64 bits of nanoseconds: 1677 to 2262.
    u32::from(date.year().unsigned_abs()) * 100 + u32::from(date.month().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use types::{Decimal, Value};

    use super::*;

    fn encode(kind: Kind, nullable: bool, value: &Value) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let name = Cow::Borrowed("c");
        column(&mut out, &Column { name, kind, nullable }, &Cell::from(value)).map(|()| out)
    }

    fn decimal(text: &str) -> Value {
        Value::Number(Decimal::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn numbers_are_little_endian_and_never_cut() {
        assert_eq!(
            encode(Kind::Price, false, &decimal("0.5")).unwrap(),
            500_000_000i64.to_le_bytes()
        );
        assert_eq!(
            encode(Kind::Money, false, &decimal("-2")).unwrap(),
            (-2 * 10i128.pow(9)).to_le_bytes()
        );
        assert_eq!(
            encode(Kind::Count, false, &Value::from(u64::MAX)).unwrap(),
            u64::MAX.to_le_bytes()
        );
        let largest = "99999999999999999999999999999.999999999";
        assert_eq!(
            encode(Kind::Size, false, &decimal(largest)).unwrap(),
            DECIMAL_MAX.to_le_bytes()
        );
        for (kind, value) in [
            (Kind::Price, decimal("1000000000")),
            (Kind::Price, decimal("-1000000000")),
            (Kind::Size, decimal("100000000000000000000000000000")),
            (Kind::Count, decimal("-1")),
            (Kind::Count, decimal("18446744073709551616")),
            (Kind::Count, Value::Null),
            (Kind::Word(&["a"]), Value::word("b")),
            (Kind::Time, Value::word("b")),
        ] {
            let error = encode(kind, false, &value).unwrap_err();
            assert!(error.contains("doesn't fit column c"), "{error}");
        }
    }

    #[test]
    fn nulls_have_a_flag_and_texts_a_length() {
        assert_eq!(encode(Kind::Text, true, &Value::Null).unwrap(), [1]);
        assert_eq!(encode(Kind::Text, true, &Value::word("ab")).unwrap(), [0, 2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(
            encode(Kind::Name, false, &Value::from(types::Text::from(long.as_str())))
                .unwrap()
                .get(..2),
            Some(&[0xac, 2][..])
        );
        assert_eq!(encode(Kind::Word(&["a", "b"]), false, &Value::word("b")).unwrap(), [2]);
    }

    #[test]
    fn months_are_utc() {
        for (nanos, expected) in
            [(0, 197_001), (951_782_399_999_999_999, 200_002), (4_102_444_799_999_999_999, 209_912)]
        {
            assert_eq!(month(VenueTime::from_nanos(nanos)), expected);
        }
    }
}
