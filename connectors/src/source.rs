//! The contract of finite sources, and how a source's columns become those of a relation.
//!
//! A source gives streams (one a file). A stream gives batches of rows in the order of its `order`;
//! each row is a draft or a reject, with its place and bytes, so that whoever refuses it later can still say
//! where it stood. A stream never panics on input. It ends with an error only where nothing
//! sensible can be read any more (a damaged gzip, a header without a column).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use types::Rounding;
use types::options::{Need, OptionKind, OptionSpec, option};
use types::relations::InputColumn;

use crate::error::ConnectError;

pub use crate::files::{Trial, check_mapping, open, open_replayed};
pub use crate::rows::{Failure, Record, RowRef, Rows};

/// A kind of source that configs can name.
pub struct SourceKind {
    /// `type = "csv"`.
    pub name: &'static str,
    /// What it reads, in a line.
    pub help: &'static str,
    /// Its options, beside those of every source.
    pub options: &'static [OptionSpec],
    /// Which reader it is.
    pub format: Format,
}

/// All kinds of sources.
pub static SOURCES: &[SourceKind] = &[
    SourceKind {
        name: "csv",
        help: "comma-separated values with a header line, plain or gzip",
        options: &[option(
            "delimiter",
            OptionKind::Text,
            Need::Default(","),
            "what stands between two fields: one ASCII character, or tab",
        )],
        format: Format::Csv,
    },
    SourceKind {
        name: "jsonl",
        help: "one JSON object a line, plain or gzip",
        options: &[],
        format: Format::Jsonl,
    },
];

/// The byte that the option `delimiter` means: one ASCII character, or `tab`; `None` for what
/// can't stand between fields.
pub fn delimiter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"tab" => Some(b'\t'),
        [b'"' | b'\r' | b'\n'] => None,
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

/// How a file is cut into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// The order in which a file's rows enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they stand.
    Arrival,
    /// Backwards.
    NewestFirst,
    /// By event time, then by row.
    Unsorted,
}

/// A file source as used: nothing left to look up but the file's own header.
#[derive(Clone, Debug)]
pub struct FileSource {
    /// Its name in the config.
    pub name: String,
    /// How its files are cut into rows.
    pub format: Format,
    /// The folder of the config file.
    pub base: PathBuf,
    /// Path or glob pattern as written in the config.
    pub path: String,
    /// The order in which rows enter.
    pub order: Order,
    /// The relation's columns; a draft has one cell for each.
    pub columns: Arc<[InputColumn]>,
    /// Indices of `columns` that make identity and key: all that is read of a bust, beside
    /// `revision`.
    pub key_columns: Vec<usize>,
    /// How each mapped column is read. A relation's column that isn't here is taken from the
    /// source's column of that name, if there is one, read plainly.
    pub mapping: BTreeMap<usize, Mapping>,
    /// How the operation is read; `None`: a source column named `op` if there is one, else all are
    /// inserts.
    pub op: Option<Mapping>,
    /// Names among `op` and `revision` that the config doesn't list. Whether rows can replace one
    /// another must be known before a header is read, so these are never taken by name; a CSV file
    /// whose header has one is refused, since ignoring it would give wrong rows.
    pub unlisted: Vec<&'static str>,
    /// Source columns that stand for `id`.
    pub identity: Vec<String>,
    /// Set as the internal column `quote_asset` of each row.
    pub quote_asset: Option<String>,
    /// What stands between two fields of a CSV; see [`delimiter`].
    pub delimiter: u8,
}

/// How one column of the relation is read.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Where its text comes from.
    pub from: From,
    /// Replaces texts; one that isn't listed goes to quarantine.
    pub values: Option<BTreeMap<String, String>>,
    /// How a time is written.
    pub time: TimeFormat,
    /// What becomes of more than 9 decimals.
    pub rounding: Rounding,
    /// Decimal places that an integer stands for: value x 10^-scale.
    pub scale: u8,
    /// Whether empty, `NA`, `NaN` and null mean null.
    pub optional: bool,
}

impl Mapping {
    /// Reads a source column plainly.
    pub fn plain(from: From) -> Self {
        Self {
            from,
            values: None,
            time: TimeFormat::Rfc3339,
            rounding: Rounding::Exact,
            scale: 0,
            optional: false,
        }
    }
}

/// Where a column's text comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// A source column; in JSON a member of the object.
    Column(String),
    /// The same text for each row.
    Constant(String),
    /// An expression over the source's columns, all of them texts.
    Expr(String),
    /// A JSON pointer (`/data/p`).
    Pointer(String),
    /// The file's name without its extensions.
    FileStem,
}

/// How a time is written.
#[derive(Clone, Debug)]
pub enum TimeFormat {
    /// RFC 3339.
    Rfc3339,
    /// A whole or decimal number of these units (in nanoseconds) since 1970.
    Unit(i64),
    /// strftime, in a zone (`+05:30`, `Europe/Berlin`); UTC by default.
    Strftime {
        /// The format.
        format: String,
        /// The zone's name or offset.
        zone: Option<String>,
    },
}

/// The rows of one file.
pub trait RowStream: Send {
    /// The path as written in the config: for a glob, the pattern's folder and the file's name.
    fn path(&self) -> &str;

    /// Empties `rows` and reads the next ones into it; false with the last ones. Gives what is at hand, and
    /// waits only where that is nothing: a batch ends where the input pauses.
    ///
    /// # Errors
    /// Where the file can't be read any further: names path and place. The rows before that place
    /// are in `rows`.
    fn read(&mut self, rows: &mut Rows) -> Result<bool, ConnectError>;

    /// Bytes of the file read so far, and its length, for progress.
    fn progress(&self) -> (u64, u64);
}
