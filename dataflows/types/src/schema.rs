//! Schemas: the names, kinds and key of a row.

use std::borrow::Cow;
use std::sync::Arc;

/// What a column may hold, and how it looks in each output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A count: a 64-bit integer without sign.
    Count,
    /// A [`crate::Price`]: `Decimal(18, 9)` outside.
    Price,
    /// A [`crate::Size`]: `Decimal(38, 9)` outside.
    Size,
    /// A [`crate::Money`]: `Decimal(38, 9)` outside.
    Money,
    /// A computed or declared number: `Decimal(38, 9)` outside.
    Number,
    /// A feature or score: a 64-bit float.
    Float,
    /// An event time.
    Time,
    /// A text of which there are many: wallet, asset, id.
    Text,
    /// A text of which there are few: venue, market, rule.
    Name,
    /// One of the words given.
    Word(&'static [&'static str]),
}

/// What an expression can do with a value: kinds with the same type compare and add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A number that isn't a float.
    Number,
    /// A 64-bit float.
    Float,
    /// An event time.
    Time,
    /// A text.
    Text,
}

impl Kind {
    /// The type that expressions see.
    pub const fn of(self) -> Type {
        match self {
            Self::Bool => Type::Bool,
            Self::Count | Self::Price | Self::Size | Self::Money | Self::Number => Type::Number,
            Self::Float => Type::Float,
            Self::Time => Type::Time,
            Self::Text | Self::Name | Self::Word(_) => Type::Text,
        }
    }

    /// The name that users read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Count => "count",
            Self::Price => "price",
            Self::Size => "size",
            Self::Money => "money",
            Self::Number => "number",
            Self::Float => "float",
            Self::Time => "time",
            Self::Text => "text",
            Self::Name => "name",
            Self::Word(_) => "word",
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The columns of a relation or view, key first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// All columns; the key's come first.
    pub columns: Vec<Column>,
    /// How many of them are the key.
    pub n_key: usize,
    /// The column that says when a row happened, where rows are indexed by time.
    pub time: Option<usize>,
}

/// Whether a column of this name holds wallets, of which hex addresses are kept in lower case: `wallet`,
/// and whatever ends so.
pub fn holds_wallets(column: &str) -> bool {
    column == "wallet" || column.ends_with("_wallet")
}

impl Schema {
    /// The index of a column.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The key's columns.
    pub fn key(&self) -> &[Column] {
        self.columns.get(..self.n_key).unwrap_or_default()
    }

    /// Shares the schema.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}
