//! The built-in relations and views, one file each: struct, key, schema, accessor.
//!
//! To add one: a file here with [`relation!`], a line in `for_relations!`, and, if it is fed from
//! outside, an [`Input`] with its columns.

mod alerts;
mod bars;
mod content;
mod fills;
mod input;
mod ledger;
mod marks;
mod quotes;
mod reading;
mod settlements;
mod trades;

use std::borrow::Cow;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use alerts::{Alert, AlertState, Severity};
pub use bars::Bar;
pub use content::{Content, content32, content128};
pub use fills::{Fill, FillKind, Liquidity, Side};
pub use input::{
    Identity, Input, InputColumn, InputKind, declared_inputs, place_columns, revision_column,
};
pub use ledger::{Basis, Break, FoldError, Position, PositionStep, RareSums};
pub use marks::{Mark, MarkNow, Pnl, PnlNow, PositionPnl, WalletNow, shown};
pub use quotes::Quote;
pub use settlements::Settlement;
pub use trades::Trade;

use crate::cell::Cell;
use crate::id::{AssetId, EventId, Sym};
use crate::names::Names;
use crate::schema::Schema;
use crate::value::{Text, Value};

/// A typed row: its key and its columns as values.
pub trait Relation:
    Clone + Ord + Hash + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// What tells rows apart; ordered by interned numbers, so never in an order that is shown.
    /// Has a text form so that a reader can come back to its place.
    type Key: Clone + Ord + Hash + Debug + Send + Sync + Serialize + DeserializeOwned + 'static;

    /// The row's key.
    fn key(&self, schema: &Schema) -> Self::Key;

    /// The hash of the row's key: the same for equal keys, in this build of the program alone.
    fn hash_key(&self, schema: &Schema) -> u64 {
        let mut hasher = FxHasher::default();
        self.key(schema).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether another row has this row's key.
    fn has_key_of(&self, other: &Self, schema: &Schema) -> bool {
        self.key(schema) == other.key(schema)
    }

    /// The value of a column, by its index in the schema.
    fn column(&self, index: usize, names: &Names) -> Value;

    /// The same without a copy, where the row holds it as it is.
    fn column_ref(&self, index: usize, names: &Names) -> Cow<'_, Value> {
        Cow::Owned(self.column(index, names))
    }

    /// What a column holds, read in place.
    fn cell<'a>(&'a self, index: usize, names: &'a Names) -> Cell<'a>;

    /// The name that a column holds, where it holds one of the dictionary's: tells texts apart without
    /// a look at them.
    fn sym(&self, index: usize, names: &Names) -> Option<Sym>;

    /// Shows what the columns from `first` on hold, in their order.
    fn for_each_cell(&self, first: usize, names: &Names, take: impl FnMut(&Cell<'_>));

    /// Hands over what a column holds in one row after the other. The column is looked up once, and
    /// what takes its cells is compiled for what they are.
    fn take_column<'a, T: TakeColumn>(
        rows: impl Iterator<Item = &'a Self>,
        index: usize,
        names: &'a Names,
        take: T,
    ) -> T::Output;

    /// Writes the first columns as one JSON object.
    fn write_json(&self, out: &mut Vec<u8>, n_columns: usize, schema: &Schema, names: &Names);
}

/// Takes a column.
pub trait TakeColumn {
    /// What comes of it.
    type Output;

    /// Takes what the column holds, row by row.
    fn take<'a>(self, cells: impl Iterator<Item = Cell<'a>>) -> Self::Output;
}

/// Stands for the dictionary where a column's name is asked for and not its text.
struct Syms<'a>(&'a Names);

impl Syms<'_> {
    #[expect(clippy::unused_self, reason = "columns ask it as they ask the dictionary")]
    const fn text(&self, sym: Sym) -> Sym {
        sym
    }

    fn venue(&self, asset: AssetId) -> Sym {
        self.0.venue(asset)
    }

    fn asset(&self, asset: AssetId) -> Sym {
        self.0.asset(asset)
    }

    fn id_text(&self, id: EventId) -> Text {
        self.0.id_text(id)
    }
}

/// What a column gives where its name is asked for.
trait MaybeSym {
    /// The name, where it is one.
    fn sym(self) -> Option<Sym>;
}

impl MaybeSym for Sym {
    fn sym(self) -> Option<Sym> {
        Some(self)
    }
}

impl MaybeSym for Option<Sym> {
    fn sym(self) -> Option<Sym> {
        self
    }
}

impl<'a, T: Into<Cell<'a>>> MaybeSym for T {
    fn sym(self) -> Option<Sym> {
        None
    }
}

/// Declares a built-in relation: its struct (key fields first), its schema and its accessor. A
/// column that one interned asset stands for is computed when it is read.
macro_rules! relation {
    (
        $(#[$doc:meta])*
        $name:ident {
            key { $($(#[$kdoc:meta])* $key:ident: $ktype:ty),* $(,)? }
            $($(#[$fdoc:meta])* $field:ident: $ftype:ty),* $(,)?
        }
        columns($n_key:expr, time $time:expr) {
            $($column:ident: $kind:expr $(, $null:ident)? => |$row:ident, $names:ident| $get:expr;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$kdoc])* pub $key: $ktype,)*
            $($(#[$fdoc])* pub $field: $ftype,)*
        }

        impl $name {
            /// The columns, key first.
            pub fn schema() -> crate::schema::Schema {
                let columns = vec![$(crate::schema::Column {
                    name: std::borrow::Cow::Borrowed(stringify!($column)),
                    kind: $kind,
                    nullable: relation!(@null $($null)?),
                }),*];
                let time: Option<&str> = $time;
                let time = time.and_then(|name| columns.iter().position(|c| c.name == name));
                crate::schema::Schema { columns, n_key: $n_key, time }
            }
        }

        impl crate::relations::Relation for $name {
            type Key = ($($ktype,)*);

            fn key(&self, _schema: &crate::schema::Schema) -> Self::Key {
                ($(self.$key.clone(),)*)
            }

            fn column(&self, index: usize, names: &crate::names::Names) -> crate::value::Value {
                const GET: &[fn(&$name, &crate::names::Names) -> crate::value::Value] =
                    &[$(|$row, $names| crate::value::Value::from($get)),*];
                GET.get(index).map_or(crate::value::Value::Null, |get| get(self, names))
            }

            fn cell<'a>(
                &'a self,
                index: usize,
                names: &'a crate::names::Names,
            ) -> crate::cell::Cell<'a> {
                const GET: &[for<'r> fn(&'r $name, &'r crate::names::Names) -> crate::cell::Cell<'r>] =
                    &[$(|$row, $names| crate::cell::Cell::from($get)),*];
                GET.get(index).map_or(crate::cell::Cell::Null, |get| get(self, names))
            }

            fn sym(&self, index: usize, names: &crate::names::Names) -> Option<crate::id::Sym> {
                const GET: &[for<'r> fn(
                    &'r $name,
                    &'r crate::relations::Syms<'r>,
                ) -> Option<crate::id::Sym>] =
                    &[$(|$row, $names| crate::relations::MaybeSym::sym($get)),*];
                GET.get(index)?(self, &crate::relations::Syms(names))
            }

            fn for_each_cell(
                &self,
                first: usize,
                names: &crate::names::Names,
                mut take: impl FnMut(&crate::cell::Cell<'_>),
            ) {
                let mut index = 0;
                $(
                    if index >= first {
                        let ($row, $names) = (self, names);
                        take(&crate::cell::Cell::from($get));
                    }
                    index += 1;
                )*
                debug_assert!(first <= index, "column {first} of {index}");
            }

            fn take_column<'a, T: crate::relations::TakeColumn>(
                rows: impl Iterator<Item = &'a Self>,
                index: usize,
                names: &'a crate::names::Names,
                take: T,
            ) -> T::Output {
                let mut at = 0;
                $(
                    if index == at {
                        return take.take(rows.map(|row| {
                            let ($row, $names) = (row, names);
                            crate::cell::Cell::from($get)
                        }));
                    }
                    at += 1;
                )*
                debug_assert!(index < at, "column {index} of {at}");
                take.take(rows.map(|_| crate::cell::Cell::Null))
            }

            fn write_json(
                &self,
                out: &mut Vec<u8>,
                n_columns: usize,
                _schema: &crate::schema::Schema,
                names: &crate::names::Names,
            ) {
                let mut index = 0;
                $(
                    // The compiler knows each index, so that only the bound is looked at.
                    if index < n_columns {
                        out.extend_from_slice(if index == 0 {
                            concat!("{\"", stringify!($column), "\":").as_bytes()
                        } else {
                            concat!(",\"", stringify!($column), "\":").as_bytes()
                        });
                        let ($row, $names) = (self, names);
                        crate::cell::Cell::from($get).write_json(out);
                    }
                    index += 1;
                )*
                debug_assert!(n_columns > 0 && n_columns <= index, "{n_columns} columns");
                out.push(b'}');
            }
        }
    };
    (@null) => { false };
    (@null null) => { true };
}
use relation;

/// Calls a macro with the list of all relations and views: variant, row type.
#[macro_export]
macro_rules! for_relations {
    ($callback:ident) => {
        $callback! {
            Fills($crate::relations::Fill),
            Trades($crate::relations::Trade),
            Quotes($crate::relations::Quote),
            Settlements($crate::relations::Settlement),
            Positions($crate::relations::Position),
            Errors($crate::relations::FoldError),
            Breaks($crate::relations::Break),
            Bars($crate::relations::Bar),
            Pnl($crate::relations::Pnl),
            PositionPnl($crate::relations::PositionPnl),
            PnlNow($crate::relations::PnlNow),
            Marks($crate::relations::MarkNow),
            Alerts($crate::relations::Alert),
            Rows($crate::Row),
        }
    };
}

/// Calls a macro with the list of the relations that are fed from outside: variant, row type.
#[macro_export]
macro_rules! for_inputs {
    ($callback:ident) => {
        $callback! {
            Fills($crate::relations::Fill),
            Trades($crate::relations::Trade),
            Quotes($crate::relations::Quote),
            Settlements($crate::relations::Settlement),
            Rows($crate::Row),
        }
    };
}

/// Which relation or view a row belongs to.
macro_rules! relation_kinds {
    ($($variant:ident($row:ty),)*) => {
        /// The type of a relation's or view's rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RelationKind {
            $(#[doc = concat!("Rows of [`", stringify!($row), "`].")] $variant,)*
        }
    };
}
for_relations!(relation_kinds);

impl RelationKind {
    /// The built-in relation with this name that sources may feed.
    pub fn input(name: &str) -> Option<Self> {
        match name {
            "fills" => Some(Self::Fills),
            "trades" => Some(Self::Trades),
            "quotes" => Some(Self::Quotes),
            "settlements" => Some(Self::Settlements),
            _ => None,
        }
    }

    /// What users call rows of this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fills => "fills",
            Self::Trades => "trades",
            Self::Quotes => "quotes",
            Self::Settlements => "settlements",
            Self::Positions => "positions",
            Self::Errors => "errors of a ledger",
            Self::Breaks => "breaks of a ledger",
            Self::Bars => "bars",
            Self::Pnl => "P&L by wallet",
            Self::PositionPnl => "P&L by position",
            Self::PnlNow => "the newest P&L by position",
            Self::Marks => "marks",
            Self::Alerts => "alerts",
            Self::Rows => "declared or computed rows",
        }
    }

    /// The names of the built-in relations that sources may feed.
    pub const INPUTS: &'static [&'static str] = &["fills", "trades", "quotes", "settlements"];

    /// The schema of a built-in relation's rows; `None` for declared ones, which have their own.
    pub fn schema(self) -> Option<Schema> {
        match self {
            Self::Fills => Some(Fill::schema()),
            Self::Trades => Some(Trade::schema()),
            Self::Quotes => Some(Quote::schema()),
            Self::Settlements => Some(Settlement::schema()),
            Self::Positions => Some(Position::schema()),
            Self::Errors => Some(FoldError::schema()),
            Self::Breaks => Some(Break::schema()),
            Self::Bars => Some(Bar::schema()),
            Self::Pnl => Some(Pnl::schema()),
            Self::PositionPnl => Some(PositionPnl::schema()),
            Self::PnlNow => Some(PnlNow::schema()),
            Self::Marks => Some(MarkNow::schema()),
            Self::Alerts => Some(Alert::schema()),
            Self::Rows => None,
        }
    }

    /// The columns that sources may map onto; `schema` is that of a declared relation.
    pub fn input_columns(self, schema: &Schema) -> Vec<InputColumn> {
        match self {
            Self::Fills => fills::COLUMNS.to_vec(),
            Self::Trades => trades::COLUMNS.to_vec(),
            Self::Quotes => quotes::COLUMNS.to_vec(),
            Self::Settlements => settlements::COLUMNS.to_vec(),
            _ => declared_inputs(schema),
        }
    }

    /// Whether rows of this relation can be corrected and removed.
    pub const fn has_corrections(self) -> bool {
        !matches!(self, Self::Quotes)
    }

    /// Whether at most one row of a key is held after each epoch. Quotes follow one another.
    pub const fn is_keyed(self) -> bool {
        !matches!(self, Self::Quotes)
    }
}
