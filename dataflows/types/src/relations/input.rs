//! Relations that are fed from outside: their columns, and how a draft becomes a row.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use twox_hash::XxHash3_64;

use super::Relation;
use crate::digest::digest128;
use crate::event::{Cell, Draft, Event, FOR_GOOD, Op, Reason, Reject};
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, Sym};
use crate::names::Interner;
use crate::row::Row;
use crate::schema::{Kind, Schema};
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

    /// Makes the row of a draft whose cells follow `columns` of the relation's input. Of a bust only
    /// identity and key are read.
    ///
    /// # Errors
    /// The first rule of the relation that the draft breaks.
    fn assemble(draft: &Draft, schema: &Schema, interner: &mut Interner) -> Result<Self, Reject>;

    /// What makes the row's event unique; `None` where only its whole content does.
    fn identity(&self, schema: &Schema) -> Option<Identity>;

    /// When it happened; `None` in a declared relation without `event_time`.
    fn event_time(&self, schema: &Schema) -> Option<VenueTime>;

    /// The row without its `seq`, for comparing content where `seq` is only a reading position.
    #[must_use]
    fn without_seq(self) -> Self;
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

impl<R: Input> Event<R> {
    /// Makes the event of a draft.
    ///
    /// # Errors
    /// The first rule of the relation that the draft breaks.
    pub fn read(
        draft: &Draft,
        columns: &[InputColumn],
        schema: &Schema,
        interner: &mut Interner,
    ) -> Result<Self, Reject> {
        let row = R::assemble(draft, schema, interner)?;
        let revision = columns.iter().position(|c| c.name == "revision");
        let revision = match revision.and_then(|i| draft.cells.get(i)) {
            Some(Cell::Count(revision)) => (*revision).min(FOR_GOOD - 1),
            _ if draft.op == Op::Bust => FOR_GOOD,
            _ => 0,
        };
        Ok(Self { op: draft.op, revision, is_first: false, row })
    }
}

/// 32 bits of a row's content: what tells a repeat from a conflict. XXH3 over the row's fields.
pub fn content_digest<R: Input>(row: R, seq_is_mapped: bool) -> u32 {
    let mut hasher = XxHash3_64::new();
    if seq_is_mapped {
        row.hash(&mut hasher);
    } else {
        row.without_seq().hash(&mut hasher);
    }
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Reads the cells of a draft, telling the relation's column where one is wrong.
pub(super) struct Reading<'a> {
    draft: &'a Draft,
    columns: &'static [InputColumn],
}

impl<'a> Reading<'a> {
    pub(super) fn new(draft: &'a Draft, columns: &'static [InputColumn]) -> Self {
        Self { draft, columns }
    }

    pub(super) fn missing(&self, column: usize) -> Reject {
        self.reject(Reason::MissingValue, column, "no value")
    }

    fn reject(&self, reason: Reason, column: usize, detail: &str) -> Reject {
        let name = self.columns.get(column).map(|c| c.name.clone());
        Reject { reason, column: name, detail: detail.to_owned() }
    }

    pub(super) fn maybe_text(&self, column: usize) -> Option<&'a str> {
        self.draft.text(column)
    }

    pub(super) fn text(&self, column: usize) -> Result<&'a str, Reject> {
        self.maybe_text(column).ok_or_else(|| self.missing(column))
    }

    pub(super) fn word<T>(
        &self,
        column: usize,
        from_word: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Reject> {
        let Some(text) = self.maybe_text(column) else { return Ok(None) };
        let reason = match self.columns.get(column).map(|c| c.kind) {
            Some(InputKind::Word(_, reason)) => reason,
            _ => Reason::UnknownValue,
        };
        let unknown = || self.reject(reason, column, &format!("`{text}`"));
        from_word(text).map(Some).ok_or_else(unknown)
    }

    fn nano(&self, column: usize) -> Option<i128> {
        match self.draft.cells.get(column) {
            Some(Cell::Nano(nano)) => Some(*nano),
            _ => None,
        }
    }

    fn fits<T>(
        &self,
        column: usize,
        make: impl Fn(i128) -> Option<T>,
    ) -> Result<Option<T>, Reject> {
        let Some(nano) = self.nano(column) else { return Ok(None) };
        let out = || self.reject(Reason::OutOfRange, column, "too large");
        make(nano).map(Some).ok_or_else(out)
    }

    pub(super) fn price(&self, column: usize) -> Result<Option<Price>, Reject> {
        self.fits(column, Price::from_nano)
    }

    pub(super) fn size(&self, column: usize) -> Result<Option<Size>, Reject> {
        self.fits(column, Size::from_nano)
    }

    pub(super) fn money(&self, column: usize) -> Result<Option<Money>, Reject> {
        self.fits(column, Money::from_nano)
    }

    pub(super) fn count(&self, column: usize) -> Option<u64> {
        match self.draft.cells.get(column) {
            Some(Cell::Count(count)) => Some(*count),
            _ => None,
        }
    }

    pub(super) fn time(&self, column: usize) -> Result<VenueTime, Reject> {
        match self.draft.cells.get(column) {
            Some(Cell::Time(time)) if time.is_in_range() => Ok(*time),
            Some(Cell::Time(_)) => {
                let detail = "before 1990-01-01 or not before 2100-01-01";
                Err(self.reject(Reason::TimeOutOfRange, column, detail))
            }
            _ => Err(self.missing(column)),
        }
    }
}

/// A wallet's name as it is kept: hex addresses in lower case, others unchanged.
pub(super) fn wallet_text(text: &str) -> Cow<'_, str> {
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    if is_hex && text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// Checks that a fill or trade says what it is worth, and that its price fits.
pub(super) fn notional_or_price(
    price: Option<Price>,
    notional: Option<Money>,
    size: Size,
) -> Result<(), Reject> {
    match (price, notional) {
        (None, None) => {
            Err(Reject::of(Reason::MissingValue, "price", "neither price nor notional"))
        }
        (Some(price), None) => {
            let value = size.checked_mul_price(price);
            value
                .map(drop)
                .ok_or_else(|| Reject::of(Reason::OutOfRange, "size", "price x size is too large"))
        }
        (_, Some(notional)) => {
            let reads = notional.price_half_even(size).map(drop);
            reads.ok_or_else(|| {
                Reject::of(Reason::PriceOutOfRange, "notional", "notional / size reaches 1e9")
            })
        }
    }
}

impl Input for Row {
    const HAS_CORRECTIONS: bool = true;

    fn assemble(draft: &Draft, schema: &Schema, _interner: &mut Interner) -> Result<Self, Reject> {
        // Declared rows hold their texts; only the built-in relations intern.
        let n_read = if draft.op == Op::Bust { schema.n_key } else { schema.columns.len() };
        let value = |(i, column): (usize, &crate::schema::Column)| {
            let blame = |reason, detail: &str| Reject {
                reason,
                column: Some(column.name.clone()),
                detail: detail.to_owned(),
            };
            if i >= n_read {
                return Ok(Value::Null);
            }
            match draft.cells.get(i) {
                Some(Cell::Nano(nano)) if Size::from_nano(*nano).is_none() => {
                    Err(blame(Reason::OutOfRange, "more than 38 digits"))
                }
                Some(Cell::Nano(nano)) => Ok(Value::Number(crate::Decimal::new(*nano, 9))),
                Some(Cell::Count(count)) => Ok(Value::from(*count)),
                Some(Cell::Bool(flag)) => Ok(Value::Bool(*flag)),
                Some(Cell::Time(time)) if time.is_in_range() => Ok(Value::Time(*time)),
                Some(Cell::Time(_)) => Err(blame(Reason::TimeOutOfRange, "out of range")),
                Some(Cell::Text(..)) => {
                    let text = draft.text(i).unwrap_or_default();
                    let is_wallet = column.name == "wallet";
                    let text = if is_wallet { wallet_text(text) } else { Cow::Borrowed(text) };
                    Ok(Value::Text(Text::from(text.as_ref())))
                }
                Some(Cell::Null) | None if column.nullable && i >= schema.n_key => Ok(Value::Null),
                Some(Cell::Null) | None => Err(blame(Reason::MissingValue, "no value")),
            }
        };
        let values: Result<Vec<Value>, Reject> =
            schema.columns.iter().enumerate().map(value).collect();
        Ok(Self(values?.into()))
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

    fn without_seq(self) -> Self {
        self
    }
}
