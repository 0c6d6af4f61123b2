//! `Cell`: what a column holds, read in place: borrowed, and numbers as they are.
//!
//! A [`Value`] is what leaves its row; a cell is what is looked at and written.

use crate::fixed::{Money, Price, Size};
use crate::number::Decimal;
use crate::short::ShortText;
use crate::spell;
use crate::time::VenueTime;
use crate::value::{Float, Text, Value};

/// What a column of a row holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A count.
    Count(u64),
    /// A price, size or amount in units of 1e-9.
    Nano(i128),
    /// Any other number that isn't a float.
    Number(Decimal),
    /// A feature or score.
    Float(Float),
    /// An event time.
    Time(VenueTime),
    /// A text of the row or of the dictionary.
    Text(&'a Text),
    /// A word of the program.
    Word(&'static str),
    /// A text that stands nowhere as a [`Text`].
    Str(&'a str),
    /// A text that was made for this cell.
    Made(Text),
}

impl Cell<'_> {
    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Made(text) => Some(text.as_str()),
            Self::Word(word) => Some(word),
            Self::Str(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Count(_)
            | Self::Nano(_)
            | Self::Number(_)
            | Self::Float(_)
            | Self::Time(_) => None,
        }
    }

    /// The number x 10^`scale`, rounded half-even; `None` where it is no number or doesn't fit.
    pub fn at_scale(&self, scale: u8) -> Option<i128> {
        match self {
            Self::Nano(raw) if scale == 9 => Some(*raw),
            Self::Nano(raw) => Decimal::new(*raw, 9).at_scale(scale),
            Self::Count(count) if scale == 0 => Some((*count).into()),
            Self::Count(count) => Decimal::new((*count).into(), 0).at_scale(scale),
            Self::Number(number) => number.at_scale(scale),
            _ => None,
        }
    }

    /// Writes the cell as JSON: decimals, counts and times are strings, nulls are written.
    #[expect(
        clippy::inline_always,
        reason = "where a column's kind is known, one writer is left and no cell is made"
    )]
    #[inline(always)]
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Count(count) => spell::write_quoted_count(out, *count),
            Self::Nano(0) => out.extend_from_slice(b"\"0\""),
            Self::Nano(raw) => spell::write_quoted_nano(out, *raw),
            Self::Number(number) => {
                spell::write_quoted_scaled(out, number.mantissa(), number.scale());
            }
            Self::Float(float) => spell::write_float(out, float.get()),
            Self::Time(time) => spell::write_quoted_time(out, *time),
            Self::Text(text) => spell::write_text(out, text.as_str()),
            Self::Made(text) => spell::write_text(out, text.as_str()),
            Self::Word(word) => spell::write_text(out, word),
            Self::Str(text) => spell::write_text(out, text),
        }
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Bool(bool) => Self::Bool(bool),
            Cell::Count(count) => Self::Number(Decimal::new(count.into(), 0)),
            Cell::Nano(raw) => Self::Number(Decimal::new(raw, 9)),
            Cell::Number(number) => Self::Number(number),
            Cell::Float(float) => Self::Float(float),
            Cell::Time(time) => Self::Time(time),
            Cell::Text(text) => Self::Text(text.clone()),
            Cell::Word(word) => Self::word(word),
            Cell::Str(text) => Self::Text(text.into()),
            Cell::Made(text) => Self::Text(text),
        }
    }
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Number(number) => Self::Number(*number),
            Value::Float(float) => Self::Float(*float),
            Value::Time(time) => Self::Time(*time),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// Says how a plain type becomes a cell.
macro_rules! into_cell {
    ($($type:ty => |$v:ident| $make:expr),* $(,)?) => {
        $(impl From<$type> for Cell<'_> {
            #[inline]
            fn from($v: $type) -> Self {
                $make
            }
        })*
    };
}

into_cell! {
    bool => |v| Self::Bool(v),
    Decimal => |v| Self::Number(v),
    Price => |v| Self::Nano(v.raw().into()),
    Size => |v| Self::Nano(v.raw()),
    Money => |v| v.rounded_nano().map_or_else(|| Self::Number(v.into()), Self::Nano),
    u64 => |v| Self::Count(v),
    Float => |v| Self::Float(v),
    VenueTime => |v| Self::Time(v),
    Text => |v| Self::Made(v),
    &'static str => |v| Self::Word(v),
}

impl<'a> From<&'a Text> for Cell<'a> {
    #[inline]
    fn from(text: &'a Text) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a ShortText> for Cell<'a> {
    #[inline]
    fn from(text: &'a ShortText) -> Self {
        Self::Str(text.as_str())
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    #[inline]
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
