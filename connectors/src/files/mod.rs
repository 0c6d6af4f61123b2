//! Files as sources: CSV and JSON lines, plain or gzip.
//!
//! A file's bytes become frames (`frames`: where a row starts and ends), a frame's bytes fields
//! (`csv`, `jsonl`), its fields a draft (`map`). `order` stands before the last two, so that what
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
mod stream;
#[cfg(test)]
mod tests;
mod time;

pub use map::check_mapping;

use crate::error::ConnectError;
use crate::source::{FileSource, RowStream};

/// Opens all files of a source, sorted by path, and reads their headers.
///
/// # Errors
/// A pattern that matches nothing, a file that isn't there or isn't a regular one, a header
/// without a column that is mapped.
pub fn open(source: &FileSource) -> Result<Vec<Box<dyn RowStream>>, ConnectError> {
    let mut streams: Vec<Box<dyn RowStream>> = Vec::new();
    for file in paths::expand(source)? {
        streams.push(Box::new(stream::FileStream::open(source, file)?));
    }
    Ok(streams)
}
