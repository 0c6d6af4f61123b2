//! How one column's text becomes a cell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use types::Reject;
use types::event::{Cell, Reason};
use types::expr::{Compiled, Expr};
use types::number::{NumberError, Rounding, div_half_even, parse_scaled, parse_small, pow10};
use types::relations::{InputColumn, InputKind};
use types::schema;
use types::value::{Text, Value};

use super::fields::{RowView, Slot};
use super::limits::TEXT_BYTES_MAX;
use super::map::{Layout, Unknown};
use super::time::{TimeReader, shown};
use super::words::Words;
use crate::rows::{Failure, RowCells, read_apart};
use crate::source::{From, Mapping, TimeFormat};

/// Decimals of a [`Cell::Nano`].
const NANO_SCALE: u8 = 9;

/// Reads one column.
pub(super) struct CellReader {
    /// The relation's column.
    pub(super) column: usize,
    /// The field that holds the text as it is read, where nothing computes or replaces it.
    plain_slot: Option<usize>,
    input: Input,
    kind: Kind,
}

/// Finds one column's text.
struct Input {
    name: Cow<'static, str>,
    /// The source's column, for whoever looks for a mistake.
    source: Option<String>,
    origin: Origin,
    values: Option<BTreeMap<String, String>>,
    /// The reason for a text that `values` doesn't list.
    unlisted: Reason,
    /// Whether `NA`, `NaN` and `null` mean null.
    is_optional: bool,
    /// Whether an empty text is null rather than a mistake.
    takes_empty: bool,
}

/// Where the text comes from.
enum Origin {
    Slot(usize),
    Expr(Compiled, Vec<usize>),
    /// The same for each row.
    Ready(Cell, String),
}

/// How the text is read.
enum Kind {
    Text,
    Nano { scale: u8, rounding: Rounding },
    Count,
    Time(TimeReader),
    Bool,
    Word(Words),
}

/// The file that a mapping is settled for.
pub(super) struct Context<'a> {
    /// Its path as the config writes it.
    pub(super) path: &'a str,
    /// Its columns.
    pub(super) layout: &'a mut dyn Layout,
}

impl CellReader {
    /// Reads the source's column that has the relation's name; empty is null.
    pub(super) fn implied(index: usize, column: &InputColumn, slot: usize) -> Self {
        let time = || TimeReader::new(&TimeFormat::Rfc3339).expect("needs neither zone nor format");
        let input = Input {
            name: column.name.clone(),
            source: Some(column.name.to_string()),
            origin: Origin::Slot(slot),
            values: None,
            unlisted: Reason::UnknownValue,
            is_optional: false,
            takes_empty: true,
        };
        let kind = Kind::new(column.kind, 0, Rounding::Exact, time);
        Self { column: index, plain_slot: Some(slot), input, kind }
    }

    /// Reads what the config lists for a column.
    ///
    /// # Errors
    /// A column that the file doesn't have, or a mapping that can't be read.
    pub(super) fn listed(
        index: usize,
        column: &InputColumn,
        mapping: &Mapping,
        context: &mut Context<'_>,
    ) -> Result<Self, Unknown> {
        let wrong = |message| Unknown { message, hint: None };
        let time = match column.kind {
            InputKind::Time => TimeReader::new(&mapping.time),
            _ => TimeReader::new(&TimeFormat::Rfc3339),
        };
        let time = time.map_err(wrong)?;
        let mut kind = Kind::new(column.kind, mapping.scale, mapping.rounding, || time);
        kind.check_values(mapping.values.as_ref())?;
        let mut input = Input {
            name: column.name.clone(),
            source: None,
            origin: Origin::Slot(0),
            values: mapping.values.clone(),
            unlisted: kind.unlisted(),
            is_optional: mapping.optional,
            // An empty revision is none: of a bust it means "for good".
            takes_empty: mapping.optional || column.name == "revision",
        };
        input.origin = match &mapping.from {
            From::Column(name) => {
                input.source = Some(name.clone());
                Origin::Slot(context.layout.column(name)?)
            }
            From::Pointer(pointer) => {
                input.source = Some(pointer.clone());
                Origin::Slot(context.layout.pointer(pointer)?)
            }
            From::Expr(text) => expression(text, context.layout)?,
            From::Constant(text) => ready(&input, &mut kind, text).map_err(wrong)?,
            From::FileStem => ready(&input, &mut kind, file_stem(context.path)).map_err(wrong)?,
        };
        let plain_slot = match (&input.origin, &input.values) {
            (Origin::Slot(slot), None) => Some(*slot),
            _ => None,
        };
        Ok(Self { column: index, plain_slot, input, kind })
    }

    /// The cell that is the same for each row, and the text that it may point into.
    pub(super) fn constant(&self) -> Option<(Cell, &str)> {
        match &self.input.origin {
            Origin::Ready(cell, text) => Some((*cell, text)),
            Origin::Slot(_) | Origin::Expr(..) => None,
        }
    }

    /// Reads the cell of a row.
    ///
    /// # Errors
    /// Why the row can't be used.
    #[inline]
    pub(super) fn read(
        &mut self,
        view: RowView<'_>,
        cells: &mut RowCells<'_>,
    ) -> Result<(), Failure> {
        let column = self.column;
        if let Some(slot) = self.plain_slot
            && let Some(place) = view.plain_place(slot)
            && self.kind.set_plain(view.raw, place, column, cells)
        {
            return Ok(());
        }
        self.read_any(view, cells)
    }

    /// Reads a cell that may be null, replaced, computed or wrong.
    fn read_any(&mut self, view: RowView<'_>, cells: &mut RowCells<'_>) -> Result<(), Failure> {
        let column = self.column;
        let set = match (&self.input.origin, &self.input.values) {
            (Origin::Slot(slot), None) => {
                let text = view.get(*slot).unwrap_or_default();
                if self.input.is_null(text)? {
                    return Ok(());
                }
                match (&self.kind, view.slot(*slot)) {
                    (Kind::Text, Slot::Raw(start, end)) if text.len() <= TEXT_BYTES_MAX => {
                        if cells.set_own(column, (start, end)) {
                            return Ok(());
                        }
                        self.kind.set(text, column, cells)
                    }
                    _ => self.kind.set(text, column, cells),
                }
            }
            _ => match self.input.text(view)? {
                None => return Ok(()),
                Some(text) => self.kind.set(&text, column, cells),
            },
        };
        set.map_err(|(reason, detail)| self.input.fail(reason, detail))
    }

    /// The text of a row's cell, replaced where `values` says so; `None` for null.
    ///
    /// # Errors
    /// Why the row can't be used.
    pub(super) fn text<'a>(&'a self, view: RowView<'a>) -> Result<Option<Cow<'a, [u8]>>, Failure> {
        self.input.text(view)
    }

    /// Makes a failure that blames this column.
    pub(super) fn fail(&self, reason: Reason, detail: impl Into<String>) -> Failure {
        self.input.fail(reason, detail)
    }
}

impl Input {
    fn text<'a>(&'a self, view: RowView<'a>) -> Result<Option<Cow<'a, [u8]>>, Failure> {
        let text = match &self.origin {
            Origin::Slot(slot) => Cow::Borrowed(view.get(*slot).unwrap_or_default()),
            Origin::Expr(expr, slots) => Cow::Owned(self.evaluate(expr, slots, view)?),
            Origin::Ready(Cell::Null, _) => return Ok(None),
            Origin::Ready(_, text) => return Ok(Some(Cow::Borrowed(text.as_bytes()))),
        };
        self.replaced(text)
    }

    fn fail(&self, reason: Reason, detail: impl Into<String>) -> Failure {
        let reject = Reject { reason, column: Some(self.name.clone()), detail: detail.into() };
        (reject, self.source.clone())
    }

    fn replaced<'a>(&'a self, text: Cow<'a, [u8]>) -> Result<Option<Cow<'a, [u8]>>, Failure> {
        let text = match &self.values {
            None => text,
            Some(values) => {
                let key = std::str::from_utf8(&text);
                let key = key.map_err(|_| self.fail(Reason::UnreadableRow, "not UTF-8"))?;
                match values.get(key) {
                    Some(value) => Cow::Borrowed(value.as_bytes()),
                    None if self.is_null(&text)? => return Ok(None),
                    None => {
                        let detail = format!("`{}` isn't among the values", shown(&text));
                        return Err(self.fail(self.unlisted, detail));
                    }
                }
            }
        };
        Ok(if self.is_null(&text)? { None } else { Some(text) })
    }

    #[inline]
    fn is_null(&self, text: &[u8]) -> Result<bool, Failure> {
        // Nearly all texts are told by their length.
        if text.len() > 4 { Ok(false) } else { self.is_short_null(text) }
    }

    fn is_short_null(&self, text: &[u8]) -> Result<bool, Failure> {
        match text {
            b"" if self.takes_empty => Ok(true),
            b"" => Err(self.fail(Reason::MissingValue, "no value")),
            b"NA" | b"NaN" | b"null" => Ok(self.is_optional),
            _ => Ok(false),
        }
    }

    fn evaluate(
        &self,
        expr: &Compiled,
        slots: &[usize],
        view: RowView<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let text = |index: usize| view.get(*slots.get(index)?);
        for index in expr.columns() {
            let bytes = text(index).unwrap_or_default();
            std::str::from_utf8(bytes)
                .map_err(|_| self.fail(Reason::UnreadableRow, "not UTF-8"))?;
        }
        let value = expr.eval(&|index| {
            let text = text(index).and_then(|bytes| std::str::from_utf8(bytes).ok());
            Cow::Owned(text.map_or(Value::Null, |text| Value::Text(Text::from(text))))
        });
        let value = value.map_err(|error| self.fail(Reason::OutOfRange, error.to_string()))?;
        Ok(match value {
            Value::Null => Vec::new(),
            Value::Bool(flag) => flag.to_string().into_bytes(),
            Value::Number(number) => number.to_string().into_bytes(),
            Value::Float(float) => float.get().to_string().into_bytes(),
            Value::Time(time) => time.to_string().into_bytes(),
            Value::Text(text) => text.as_str().as_bytes().to_vec(),
        })
    }
}

impl Kind {
    fn new(
        kind: InputKind,
        scale: u8,
        rounding: Rounding,
        time: impl FnOnce() -> TimeReader,
    ) -> Self {
        match kind {
            InputKind::Text => Self::Text,
            InputKind::Nano => Self::Nano { scale, rounding },
            InputKind::Count => Self::Count,
            InputKind::Time => Self::Time(time()),
            InputKind::Bool => Self::Bool,
            InputKind::Word(words, reason) => Self::Word(Words::new(words, reason)),
        }
    }

    /// Sets the cell of a text as nearly all are; false leaves it to [`Kind::set`], also where it may
    /// be null. Each kind writes its cell into its place: one that is put together elsewhere waits on
    /// its way for its parts.
    #[inline]
    fn set_plain(
        &self,
        raw: &[u8],
        place: (usize, usize),
        column: usize,
        cells: &mut RowCells<'_>,
    ) -> bool {
        let Some(text) = raw.get(place.0..place.1) else { return false };
        match self {
            // What may mean null starts like `NA`, `NaN`, `null`.
            Self::Text => match text.first() {
                None | Some(b'N' | b'n') => false,
                Some(_) => text.len() <= TEXT_BYTES_MAX && cells.set_own(column, place),
            },
            Self::Nano { scale, .. } => {
                let Some(places) = NANO_SCALE.checked_sub(*scale) else { return false };
                let Some(nano) = parse_small(text, places) else { return false };
                cells.set(column, Cell::Nano(nano));
                true
            }
            Self::Count => {
                let count = parse_small(text, 0).and_then(|count| u64::try_from(count).ok());
                let Some(count) = count else { return false };
                cells.set(column, Cell::Count(count));
                true
            }
            Self::Time(reader) => {
                let Some(time) = reader.plain(text) else { return false };
                cells.set(column, Cell::Time(time));
                true
            }
            Self::Word(words) => {
                let Some(word) = words.short_place(raw, place) else { return false };
                cells.set(column, Cell::Word(word));
                true
            }
            Self::Bool => false,
        }
    }

    /// Sets the cell of a text that isn't null.
    fn set(
        &mut self,
        text: &[u8],
        column: usize,
        cells: &mut RowCells<'_>,
    ) -> Result<(), (Reason, String)> {
        let cell = match self {
            Self::Nano { scale, rounding } => {
                if let Some(small) =
                    NANO_SCALE.checked_sub(*scale).and_then(|places| parse_small(text, places))
                {
                    Cell::Nano(small)
                } else {
                    cells.set_nano(column, nano(text, *scale, *rounding)?);
                    return Ok(());
                }
            }
            Self::Count => Cell::Count(match parse_small(text, 0).map(u64::try_from) {
                Some(Ok(small)) => small,
                _ => count(text)?,
            }),
            Self::Time(reader) => Cell::Time(reader.read(text)?),
            Self::Bool => match text {
                b"true" => Cell::Bool(true),
                b"false" => Cell::Bool(false),
                _ => {
                    let detail = format!("`{}` is neither true nor false", shown(text));
                    return Err((Reason::UnknownValue, detail));
                }
            },
            Self::Word(words) => {
                let (place, reason) = (words.place(text), &words.reason);
                let unknown = || (*reason, format!("`{}` isn't one of its words", shown(text)));
                match u8::try_from(place.ok_or_else(unknown)?) {
                    Ok(place) => Cell::Word(place),
                    // No relation has so many words that a byte doesn't count them.
                    Err(_) => return Err(unknown()),
                }
            }
            Self::Text => {
                cells.set_text(column, readable(text)?);
                return Ok(());
            }
        };
        cells.set(column, cell);
        Ok(())
    }

    fn check_values(&self, values: Option<&BTreeMap<String, String>>) -> Result<(), Unknown> {
        let (Self::Word(words), Some(values)) = (self, values) else { return Ok(()) };
        let words = words.texts;
        match values.values().find(|v| !v.is_empty() && !words.contains(&v.as_str())) {
            None => Ok(()),
            Some(value) => Err(Unknown {
                message: format!("`{value}` among its values isn't a word of the column"),
                hint: types::options::did_you_mean(value, words.iter().copied()),
            }),
        }
    }

    /// The reason for a text that `values` doesn't list.
    const fn unlisted(&self) -> Reason {
        match self {
            Self::Word(words) => words.reason,
            _ => Reason::UnknownValue,
        }
    }
}

/// Reads a text once for all rows.
fn ready(input: &Input, kind: &mut Kind, text: &str) -> Result<Origin, String> {
    let wrong = |reason: Reason, detail: &str| {
        format!("the constant `{text}`: {} ({})", detail, reason.code())
    };
    let replaced = input.replaced(Cow::Borrowed(text.as_bytes()));
    let replaced = replaced.map_err(|(reject, _)| wrong(reject.reason, &reject.detail))?;
    let mut texts = Vec::new();
    let cell = read_apart(&mut texts, |cells| match replaced {
        Some(text) => kind.set(&text, 0, cells),
        None => Ok(()),
    });
    let cell = cell.map_err(|(reason, detail)| wrong(reason, &detail))?;
    let texts = String::from_utf8(texts).map_err(|_| wrong(Reason::UnreadableRow, "not UTF-8"))?;
    Ok(Origin::Ready(cell, texts))
}

fn expression(text: &str, layout: &mut dyn Layout) -> Result<Origin, Unknown> {
    let wrong = |error: types::expr::ExprError| Unknown {
        message: format!("the expression `{text}`: {}", error.message),
        hint: error.hint,
    };
    let expr = Expr::parse(text).map_err(wrong)?;
    let names = expr.column_names();
    let slots: Result<Vec<usize>, Unknown> = names.iter().map(|name| layout.column(name)).collect();
    let columns: Vec<(&str, schema::Kind)> =
        names.iter().map(|name| (*name, schema::Kind::Text)).collect();
    let compiled = expr.check(&columns).map_err(|errors| {
        let message = format!("the expression `{text}` can't be read");
        errors.into_iter().next().map_or(Unknown { message, hint: None }, wrong)
    })?;
    Ok(Origin::Expr(compiled, slots?))
}

/// A file's name up to its first dot.
fn file_stem(path: &str) -> &str {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

fn readable(text: &[u8]) -> Result<&str, (Reason, String)> {
    if text.len() > TEXT_BYTES_MAX {
        let detail = format!("a text of {} bytes; at most {TEXT_BYTES_MAX}", text.len());
        return Err((Reason::UnreadableRow, detail));
    }
    std::str::from_utf8(text).map_err(|_| (Reason::UnreadableRow, "not UTF-8".to_owned()))
}

/// Reads `text x 10^-scale` in units of 1e-9.
fn nano(text: &[u8], scale: u8, rounding: Rounding) -> Result<i128, (Reason, String)> {
    let number = match NANO_SCALE.checked_sub(scale) {
        Some(places) => parse_scaled(text, places, rounding),
        // More places than a cell holds: the integer first, then what is too many of it.
        None => parse_scaled(text, 0, Rounding::Exact).and_then(|integer| {
            let divisor = pow10(u32::from(scale - NANO_SCALE)).ok_or(NumberError::OutOfRange)?;
            if rounding == Rounding::Exact && integer % divisor != 0 {
                return Err(NumberError::TooManyDecimals(NANO_SCALE));
            }
            Ok(div_half_even(integer, divisor))
        }),
    };
    number.map_err(|error| {
        let reason = match error {
            NumberError::NotANumber => Reason::NotANumber,
            NumberError::TooManyDecimals(_) => Reason::TooManyDecimals,
            NumberError::OutOfRange => Reason::OutOfRange,
        };
        (reason, format!("`{}`: {error}", shown(text)))
    })
}

/// Reads an integer without sign.
fn count(text: &[u8]) -> Result<u64, (Reason, String)> {
    let not_a_count = || (Reason::NotANumber, format!("`{}` isn't a whole number", shown(text)));
    let out = || (Reason::OutOfRange, format!("`{}` isn't from 0 to {}", shown(text), u64::MAX));
    match parse_scaled(text, 0, Rounding::Exact) {
        Ok(number) => u64::try_from(number).map_err(|_| out()),
        Err(NumberError::OutOfRange) => Err(out()),
        Err(NumberError::NotANumber | NumberError::TooManyDecimals(_)) => Err(not_a_count()),
    }
}
