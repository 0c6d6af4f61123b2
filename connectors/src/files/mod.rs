//! Files as sources: CSV and JSON lines, plain or gzip.
//!
//! A file's bytes become frames (`frames`: where a row starts and ends), a frame's bytes fields
//! (`scan`, `csv`, `jsonl`), its fields cells (`map`). `order` stands before the last two, so that what
//! is sorted are rows as they stand.

mod bytes;
mod cell;
mod csv;
mod fields;
mod frames;
mod jsonl;
mod limits;
mod map;
mod order;
mod paths;
mod replayed;
mod scan;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod time;
mod words;

pub use map::check_mapping;
pub use replayed::{Trial, open_replayed};

use limits::{SORT_BYTES_MAX, SORT_BYTES_MIN};
use stream::FileStream;

use crate::error::ConnectError;
use crate::source::{FileSource, RowStream};

/// Opens all files of a source, sorted by path, and reads their headers.
///
/// # Errors
/// A pattern that matches nothing, a file that isn't there or isn't a regular one, a header
/// without a column that is mapped.
///
/// Files that aren't read in arrival order are read whole when their first row is asked for: a
/// damaged one then gives its error before any row, and its progress runs ahead of its rows.
pub fn open(source: &FileSource) -> Result<Vec<Box<dyn RowStream>>, ConnectError> {
    let mut streams: Vec<Box<dyn RowStream>> = Vec::new();
    let files = paths::expand(source)?;
    // All files are merged, so all may hold their rows at once.
    let sort_bytes_max = (SORT_BYTES_MAX / files.len().max(1)).max(SORT_BYTES_MIN);
    for file in files {
        streams.push(Box::new(FileStream::open(source, file, sort_bytes_max)?));
    }
    Ok(streams)
}
