//! Events: what enters, before and after it is understood.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use crate::draft::{Cell, Cells, Draft};

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Adds a row.
    Insert,
    /// Puts a whole row in the place of the one with its identity; needs none before it.
    Correct,
    /// Removes the row with its identity.
    Bust,
}

impl Op {
    /// Its place among all.
    pub const fn place(self) -> u8 {
        match self {
            Self::Insert => 0,
            Self::Correct => 1,
            Self::Bust => 2,
        }
    }

    /// The one with this place.
    pub const fn from_place(place: u8) -> Option<Self> {
        match place {
            0 => Some(Self::Insert),
            1 => Some(Self::Correct),
            2 => Some(Self::Bust),
            _ => None,
        }
    }
}

/// One change of an input relation. A bust carries identity and key; its other columns are
/// never read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event<R> {
    /// What it does.
    pub op: Op,
    /// Which of several states of the row this is; a bust "for good" has [`FOR_GOOD`].
    pub revision: u64,
    /// Whether nothing of its identity came before, so that readers needn't look for it. False says
    /// nothing.
    pub is_first: bool,
    /// The row.
    pub row: R,
}

/// The revision of a bust without one: it removes the event for good.
pub const FOR_GOOD: u64 = u64::MAX;

/// Why an input went to quarantine. The names are part of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The row can't be read: wrong number of fields, no JSON, no UTF-8.
    UnreadableRow,
    /// A column that the relation needs is empty, null or not there.
    MissingValue,
    /// A text isn't a number.
    NotANumber,
    /// More than 9 decimals and no `round`.
    TooManyDecimals,
    /// A number too large for its column.
    OutOfRange,
    /// A text isn't a time in the column's format.
    NotATime,
    /// A time before 1990 or from 2100 on.
    TimeOutOfRange,
    /// A size that isn't above zero, for a kind that moves quantity.
    SizeNotPositive,
    /// Notional over size reaches 1e9.
    PriceOutOfRange,
    /// A side that is neither buy nor sell.
    UnknownSide,
    /// A kind that the ledger doesn't know.
    UnknownKind,
    /// A word that the column doesn't take.
    UnknownValue,
    /// The same identity, revision and operation came before with other content.
    IdentityConflict,
    /// A worker has panicked at it, over and over.
    CrashesEngine,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::UnreadableRow,
        Self::MissingValue,
        Self::NotANumber,
        Self::TooManyDecimals,
        Self::OutOfRange,
        Self::NotATime,
        Self::TimeOutOfRange,
        Self::SizeNotPositive,
        Self::PriceOutOfRange,
        Self::UnknownSide,
        Self::UnknownKind,
        Self::UnknownValue,
        Self::IdentityConflict,
        Self::CrashesEngine,
    ];

    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason's code in quarantine files and summaries.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnreadableRow => "unreadable_row",
            Self::MissingValue => "missing_value",
            Self::NotANumber => "not_a_number",
            Self::TooManyDecimals => "too_many_decimals",
            Self::OutOfRange => "out_of_range",
            Self::NotATime => "not_a_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::SizeNotPositive => "size_not_positive",
            Self::PriceOutOfRange => "price_out_of_range",
            Self::UnknownSide => "unknown_side",
            Self::UnknownKind => "unknown_kind",
            Self::UnknownValue => "unknown_value",
            Self::IdentityConflict => "identity_conflict",
            Self::CrashesEngine => "crashes_engine",
        }
    }
}

/// An input that goes to quarantine: why, and which column of the relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// The relation's column, where one is to blame.
    pub column: Option<Cow<'static, str>>,
    /// What was found, for people.
    pub detail: String,
}

impl Reject {
    /// Makes a reject that blames a column.
    pub fn of(reason: Reason, column: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, column: Some(Cow::Borrowed(column)), detail: detail.into() }
    }
}
