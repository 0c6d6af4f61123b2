//! Relations that are fed from outside: their columns, and how a draft becomes a row.

use std::borrow::Cow;

use super::Relation;
use super::content::Content;
use super::reading::wallet_text;
use crate::digest::digest128;
use crate::event::{Cell, Cells, Event, FOR_GOOD, Op, Reason, Reject};
use crate::fixed::Size;
use crate::id::{AssetId, Sym};
use crate::names::Interner;
use crate::row::Row;
use crate::schema::{Kind, Schema, holds_wallets};
use crate::time::VenueTime;
use crate::value::{Text, Value};

/// How the text of an input column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A text as it stands: a [`Cell::Text`].
    Text,
    /// A decimal of at most 9 places: a [`Cell::Nano`].
    Nano,
    /// An integer without sign: a [`Cell::Count`].
    Count,
    /// A time: a [`Cell::Time`].
    Time,
    /// `true` or `false`: a [`Cell::Bool`].
    Bool,
    /// One of these words, as a [`Cell::Text`]; another goes to quarantine with this reason.
    Word(&'static [&'static str], Reason),
}

/// One column that a source may map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputColumn {
    /// Its name in the config.
    pub name: Cow<'static, str>,
    /// How its text is read.
    pub kind: InputKind,
    /// Whether a source must map it.
    pub needed: bool,
    /// Whether a config can't name it, because the engine sets it.
    pub internal: bool,
}

impl InputColumn {
    /// A column that each source of the relation maps.
    pub const fn needed(name: &'static str, kind: InputKind) -> Self {
        Self { name: Cow::Borrowed(name), kind, needed: true, internal: false }
    }

    /// A column that may be left out.
    pub const fn maybe(name: &'static str, kind: InputKind) -> Self {
        Self { name: Cow::Borrowed(name), kind, needed: false, internal: false }
    }

    /// A column that the engine sets.
    pub const fn internal(name: &'static str, kind: InputKind) -> Self {
        Self { name: Cow::Borrowed(name), kind, needed: false, internal: true }
    }
}

/// What makes an event one and the same, whatever its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The wallet, where it is part of the identity.
    pub wallet: Option<Sym>,
    /// The asset, where it is part of the identity.
    pub asset: Option<AssetId>,
    /// The id, or the digest of a declared key; zero where there is neither.
    pub id: u128,
}

/// A relation that is fed from outside.
pub trait Input: Relation {
    /// Whether its rows can be corrected and removed. Quotes can't.
    const HAS_CORRECTIONS: bool;

    /// The name that most rows differ by, as it is kept: whoever reads many rows looks theirs up
    /// together, and sets [`Cells::main_name`]. `None` where there is none.
    fn main_name<'a>(_cells: &Cells<'a>) -> Option<&'a str> {
        None
    }

    /// Makes the row of cells that follow the columns of the relation's input. Of a bust only
    /// identity and key are read.
    ///
    /// # Errors
    /// The first rule of the relation that the cells break.
    fn assemble(cells: &Cells<'_>, schema: &Schema, names: &mut Interner) -> Result<Self, Reject>;

    /// Adds what tells a repeat of this row from a conflict with it: all of its content but its
    /// identity and a `seq` that is only a reading position. `cells` are those that the row was made
    /// of: of names the text counts, not the number, so that content is the same in each process.
    fn digest(&self, cells: &Cells<'_>, schema: &Schema, content: &mut Content);

    /// What makes the row's event unique; `None` where only its whole content does.
    fn identity(&self, schema: &Schema) -> Option<Identity>;

    /// When it happened; `None` in a declared relation without `event_time`.
    fn event_time(&self, schema: &Schema) -> Option<VenueTime>;
}

/// The columns that sources of a relation may map: built-in ones for `R`'s schema.
pub fn declared_inputs(schema: &Schema) -> Vec<InputColumn> {
    let column = |(i, c): (usize, &crate::schema::Column)| InputColumn {
        name: c.name.clone(),
        kind: match c.kind {
            Kind::Bool => InputKind::Bool,
            Kind::Count => InputKind::Count,
            Kind::Price | Kind::Size | Kind::Money | Kind::Number => InputKind::Nano,
            Kind::Time => InputKind::Time,
            Kind::Text | Kind::Name | Kind::Float => InputKind::Text,
            Kind::Word(words) => InputKind::Word(words, Reason::UnknownValue),
        },
        needed: i < schema.n_key || !c.nullable,
        internal: false,
    };
    schema.columns.iter().enumerate().map(column).collect()
}

/// The indices of `id` and `seq`, which a reader fills with a row's place where they aren't mapped.
pub fn place_columns(columns: &[InputColumn]) -> (Option<usize>, Option<usize>) {
    let index = |name: &str| columns.iter().position(|c| c.name == name);
    (index("id"), index("seq"))
}

/// The index of the column that tells several states of a row apart.
pub fn revision_column(columns: &[InputColumn]) -> Option<usize> {
    columns.iter().position(|c| c.name == "revision")
}

impl<R: Input> Event<R> {
    /// Makes the event of cells and adds it to others; `revision` is the column that tells its states
    /// apart ([`revision_column`]).
    ///
    /// # Errors
    /// The first rule of the relation that the cells break; nothing is added then.
    #[inline]
    pub fn read(
        cells: &Cells<'_>,
        revision: Option<usize>,
        schema: &Schema,
        names: &mut Interner,
        events: &mut Vec<Self>,
    ) -> Result<(), Reject> {
        let revision = match revision.and_then(|column| cells.count(column)) {
            Some(revision) => revision.min(FOR_GOOD - 1),
            None if cells.op == Op::Bust => FOR_GOOD,
            None => 0,
        };
        // The row is made where it stays: it is too large to be handed on.
        let row = R::assemble(cells, schema, names)?;
        events.push(Self { op: cells.op, revision, is_first: false, row });
        Ok(())
    }
}

impl Input for Row {
    const HAS_CORRECTIONS: bool = true;

    fn assemble(cells: &Cells<'_>, schema: &Schema, _names: &mut Interner) -> Result<Self, Reject> {
        // Declared rows hold their texts; only the built-in relations intern.
        let n_read = if cells.op == Op::Bust { schema.n_key } else { schema.columns.len() };
        let value = |(i, column): (usize, &crate::schema::Column)| {
            let blame = |reason, detail: &str| Reject {
                reason,
                column: Some(column.name.clone()),
                detail: detail.to_owned(),
            };
            if i >= n_read {
                return Ok(Value::Null);
            }
            match cells.get(i) {
                Cell::Nano(_) | Cell::Wide(_) => match cells.nano(i).and_then(Size::from_nano) {
                    Some(number) => Ok(Value::from(number)),
                    None => Err(blame(Reason::OutOfRange, "more than 38 digits")),
                },
                Cell::Count(count) => Ok(Value::from(count)),
                Cell::Bool(flag) => Ok(Value::Bool(flag)),
                Cell::Time(time) if time.is_in_range() => Ok(Value::Time(time)),
                Cell::Time(_) => Err(blame(Reason::TimeOutOfRange, "out of range")),
                Cell::Text(..) => {
                    let text = cells.text(i).unwrap_or_default();
                    let is_wallet = holds_wallets(&column.name);
                    let text = if is_wallet { wallet_text(text) } else { Cow::Borrowed(text) };
                    Ok(Value::Text(Text::from(text.as_ref())))
                }
                Cell::Word(place) => match column.kind {
                    Kind::Word(words) => match words.get(usize::from(place)) {
                        Some(word) => Ok(Value::word(word)),
                        None => Err(blame(Reason::UnknownValue, "no such word")),
                    },
                    _ => Err(blame(Reason::UnknownValue, "a word where none is taken")),
                },
                Cell::Null if column.nullable && i >= schema.n_key => Ok(Value::Null),
                Cell::Null => Err(blame(Reason::MissingValue, "no value")),
            }
        };
        let values: Result<Vec<Value>, Reject> =
            schema.columns.iter().enumerate().map(value).collect();
        Ok(Self(values?.into()))
    }

    fn digest(&self, cells: &Cells<'_>, schema: &Schema, content: &mut Content) {
        // The key is the identity.
        for (column, value) in schema.columns.iter().zip(self.0.iter()).skip(schema.n_key) {
            let is_place =
                !cells.seq_is_mapped && column.name == "seq" && column.kind == Kind::Count;
            content.value(if is_place { &Value::Null } else { value });
        }
    }

    fn identity(&self, schema: &Schema) -> Option<Identity> {
        let mut key = Vec::new();
        for value in self.key(schema) {
            crate::json::write_value(&mut key, &value);
            key.push(b',');
        }
        Some(Identity { wallet: None, asset: None, id: digest128(&key) })
    }

    fn event_time(&self, schema: &Schema) -> Option<VenueTime> {
        match self.0.get(schema.index("event_time")?) {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        }
    }
}
