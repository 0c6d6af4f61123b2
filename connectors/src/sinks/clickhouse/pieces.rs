//! A block of `Native` taken apart again: as smaller blocks, and as the rows that it holds. What was
//! kept in the outbox is all that there is of a batch after a crash.

use std::ops::Range;
use std::sync::Arc;

use types::value::Float;
use types::{Column, Decimal, Epoch, Kind, Names, Row, Schema, Text, Value, VenueTime, json};

use super::batch::epoch_of;
use super::encode::{length, text};
use super::layout::sent_type;

/// A block, and where its columns lie in it.
pub(super) struct Whole<'a> {
    bytes: &'a [u8],
    n_rows: usize,
    columns: Vec<Lies<'a>>,
}

/// Where a column lies.
struct Lies<'a> {
    name: &'a str,
    kind: &'a str,
    /// Its flags of what is null, where it has them.
    nulls: Option<Range<usize>>,
    /// Where each row's value starts, and the last one ends.
    starts: Starts,
}

enum Starts {
    /// Values of one length from a place on.
    Even { first: usize, width: usize },
    /// Texts.
    Each(Vec<usize>),
}

impl Starts {
    fn range(&self, from: usize, to: usize) -> Option<Range<usize>> {
        match self {
            Self::Even { first, width } => Some(first + width * from..first + width * to),
            Self::Each(starts) => Some(*starts.get(from)?..*starts.get(to)?),
        }
    }
}

/// A row of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OneRow {
    /// The view's columns, as one JSON object.
    pub(super) json: String,
    pub(super) is_deleted: bool,
    pub(super) epoch: Epoch,
}

impl<'a> Whole<'a> {
    /// Reads a block; `None` where these bytes aren't one of ours.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut place = 0;
        let n_columns = number(bytes, &mut place)?;
        let n_rows = number(bytes, &mut place)?;
        let mut columns = Vec::new();
        for _ in 0..n_columns {
            let name = word(bytes, &mut place)?;
            let kind = word(bytes, &mut place)?;
            let plain = kind.strip_prefix("Nullable(").and_then(|kind| kind.strip_suffix(')'));
            let nulls = match plain {
                Some(_) => Some(place..place.checked_add(n_rows)?),
                None => None,
            };
            place = nulls.as_ref().map_or(place, |nulls| nulls.end);
            let plain = plain.unwrap_or(kind);
            let starts = if plain == "String" {
                let mut starts = Vec::new();
                for _ in 0..n_rows {
                    starts.push(place);
                    word(bytes, &mut place)?;
                }
                starts.push(place);
                Starts::Each(starts)
            } else {
                let (first, width) = (place, width(plain)?);
                place = first.checked_add(width.checked_mul(n_rows)?)?;
                Starts::Even { first, width }
            };
            (place <= bytes.len()).then_some(())?;
            columns.push(Lies { name, kind, nulls, starts });
        }
        (place == bytes.len()).then_some(Self { bytes, n_rows, columns })
    }

    /// How many rows it has.
    pub(super) const fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// A block of some of its rows, as if they had been encoded alone.
    pub(super) fn cut(&self, from: usize, to: usize) -> Option<Vec<u8>> {
        let n_rows = to.checked_sub(from).filter(|_| to <= self.n_rows)?;
        let mut out = Vec::new();
        length(&mut out, self.columns.len());
        length(&mut out, n_rows);
        for column in &self.columns {
            text(&mut out, column.name);
            text(&mut out, column.kind);
            if let Some(nulls) = &column.nulls {
                out.extend_from_slice(self.bytes.get(nulls.start + from..nulls.start + to)?);
            }
            out.extend_from_slice(self.bytes.get(column.starts.range(from, to)?)?);
        }
        Some(out)
    }

    /// One of its rows; `None` where it isn't a block of this schema.
    pub(super) fn row(&self, nth: usize, schema: &Schema, names: &Names) -> Option<OneRow> {
        let (of_view, behind) = self.columns.split_at_checked(schema.columns.len())?;
        let mut values = Vec::with_capacity(of_view.len());
        for (lies, column) in of_view.iter().zip(&schema.columns) {
            (lies.name == column.name && lies.kind == sent_type(column)).then_some(())?;
            values.push(self.value(lies, nth, column)?);
        }
        let place =
            |lies: &Lies<'a>| Some(u64::from_le_bytes(self.at(lies, nth)?.try_into().ok()?));
        let (epoch, is_deleted) = match behind {
            [version, deleted] if version.name == "_version" => {
                (epoch_of(place(version)?), self.at(deleted, nth)? != [0])
            }
            [epoch, _, diff] if epoch.name == "_epoch" => {
                (Epoch(place(epoch)?), self.at(diff, nth)? != [1])
            }
            _ => return None,
        };
        let mut json = Vec::new();
        json::write_row(&mut json, &Row(Arc::from(values)), schema, names);
        Some(OneRow { json: String::from_utf8(json).ok()?, is_deleted, epoch })
    }

    /// The place of a row of a changelog.
    #[cfg(test)]
    pub(super) fn row_place(&self, nth: usize) -> Option<u64> {
        let lies = self.columns.iter().find(|lies| lies.name == "_seq")?;
        Some(u64::from_le_bytes(self.at(lies, nth)?.try_into().ok()?))
    }

    fn at(&self, lies: &Lies<'_>, nth: usize) -> Option<&'a [u8]> {
        self.bytes.get(lies.starts.range(nth, nth + 1)?)
    }

    fn value(&self, lies: &Lies<'_>, nth: usize, column: &Column) -> Option<Value> {
        if let Some(nulls) = &lies.nulls
            && *self.bytes.get(nulls.start + nth)? != 0
        {
            return Some(Value::Null);
        }
        let bytes = self.at(lies, nth)?;
        Some(match column.kind {
            Kind::Bool => Value::Bool(bytes != [0]),
            Kind::Count => Value::from(u64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::Price => {
                Value::Number(Decimal::new(i64::from_le_bytes(bytes.try_into().ok()?).into(), 9))
            }
            Kind::Size | Kind::Money | Kind::Number => {
                Value::Number(Decimal::new(i128::from_le_bytes(bytes.try_into().ok()?), 9))
            }
            Kind::Float => Value::Float(Float::new(f64::from_le_bytes(bytes.try_into().ok()?))?),
            Kind::Time => {
                let nanos = i64::from_le_bytes(bytes.try_into().ok()?);
                Value::Time(VenueTime::from_nanos(nanos))
            }
            Kind::Text | Kind::Name => Value::Text(Text::from(word(bytes, &mut 0)?)),
            Kind::Word(words) => {
                let place = usize::from(*bytes.first()?).checked_sub(1)?;
                Value::word(words.get(place)?)
            }
        })
    }
}

/// Bytes of a value of a type that isn't a text.
fn width(kind: &str) -> Option<usize> {
    Some(match kind {
        "Bool" | "UInt8" | "Int8" => 1,
        "UInt64" | "Float64" | "Decimal(18, 9)" | "DateTime64(9, 'UTC')" => 8,
        "Decimal(38, 9)" => 16,
        words if words.starts_with("Enum8(") => 1,
        _ => return None,
    })
}

/// Reads what [`length`] wrote.
fn number(bytes: &[u8], place: &mut usize) -> Option<usize> {
    let mut number = 0;
    for group in 0..u32::try_from(size_of::<usize>()).ok()? {
        let byte = *bytes.get(*place)?;
        *place += 1;
        number |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads what [`text`] wrote.
fn word<'a>(bytes: &'a [u8], place: &mut usize) -> Option<&'a str> {
    let n_bytes = number(bytes, place)?;
    let end = place.checked_add(n_bytes)?;
    let word = std::str::from_utf8(bytes.get(*place..end)?).ok()?;
    *place = end;
    Some(word)
}
