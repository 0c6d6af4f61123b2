//! Rows that are replayed, read as if they stood in their file: with its header, its path and their number
//! in it, so that ids that are places and whatever else comes of the place are the same as there.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::frames::{Frame, Framing, one_row};
use super::paths::{self, SourceFile};
use super::stream::{self, Decoder};
use crate::error::ConnectError;
use crate::replayed::{Lines, ReplayedRow, Section};
use crate::rows::Rows;
use crate::source::{FileSource, Order, RowStream};

/// Opens rows that are replayed: a stream for each section of this source, in their order.
///
/// # Errors
/// Where a file isn't among the source's, can't be opened, or lacks a column.
pub fn open_replayed(
    source: &FileSource,
    sections: Vec<Section>,
) -> Result<Vec<Box<dyn RowStream>>, ConnectError> {
    let files = if sections.is_empty() { Vec::new() } else { paths::expand(source)? };
    let mut streams: Vec<Box<dyn RowStream>> = Vec::new();
    let mut counted = BTreeMap::new();
    for section in sections {
        let file = find(&files, &section.path).ok_or_else(|| gone(source, &section))?;
        let mut reader = Reader::open(source, file)?;
        if source.order == Order::NewestFirst {
            let n_rows = match counted.get(&section.path) {
                Some(n_rows) => *n_rows,
                None => count(source, file)?,
            };
            counted.insert(section.path.clone(), n_rows);
            reader.n_rows = Some(n_rows);
        }
        let (at, line) = (section.bytes.start, section.line);
        streams.push(Box::new(ReplayedStream { reader, section, at, line }));
    }
    Ok(streams)
}

fn find<'a>(files: &'a [SourceFile], written: &str) -> Option<&'a SourceFile> {
    files.iter().find(|file| file.written == written)
}

fn gone(source: &FileSource, section: &Section) -> ConnectError {
    let doing = format!(
        "replaying {}, line {}: source `{}` has no file {}",
        section.batch.display(),
        section.line,
        source.name,
        section.path
    );
    ConnectError::broken(doing).hint(
        "put the file back, or take the rows back that are replayed: remove that file of them and start with \
         `--fresh`",
    )
}

/// How many rows a file has.
fn count(source: &FileSource, file: &SourceFile) -> Result<u64, ConnectError> {
    let (mut frames, _) = stream::open(source, file)?;
    let (mut frame, mut fields) = (Frame::default(), Fields::default());
    while frames.next(&mut frame, &mut fields)? {}
    Ok(frame.row)
}

/// Reads rows of a file that don't stand there.
struct Reader {
    written: String,
    framing: Framing,
    decoder: Decoder,
    /// How many rows the file has, where they are read backwards.
    n_rows: Option<u64>,
}

impl Reader {
    /// Opens the file for its header.
    fn open(source: &FileSource, file: &SourceFile) -> Result<Self, ConnectError> {
        let (_, decoder) = stream::open(source, file)?;
        let (written, framing) = (file.written.clone(), stream::framing(source));
        Ok(Self { written, framing, decoder, n_rows: None })
    }

    /// Adds a row to a batch.
    fn push(&mut self, row: &ReplayedRow, rows: &mut Rows) {
        let ReplayedRow { row: number, line, bytes, .. } = row;
        let frame = Frame { row: *number, line: *line, ..Frame::default() };
        match one_row(bytes, self.framing) {
            Ok(raw) => self.decoder.decode(&frame, self.position(*number), raw, rows),
            Err(detail) => self.decoder.refuse(&frame, bytes, detail, rows),
        }
    }

    /// Where a row of this number stands in the order of reading. In a file that is sorted by time this is
    /// its place in the file: where it would stand among the others isn't known.
    fn position(&self, row: u64) -> u64 {
        match self.n_rows {
            None => row.saturating_sub(1),
            Some(n_rows) => n_rows.saturating_sub(row),
        }
    }
}

/// The rows of one file in a batch.
struct ReplayedStream {
    reader: Reader,
    section: Section,
    /// The next row's first byte, and its line.
    at: u64,
    line: u64,
}

impl ReplayedStream {
    fn read_rows(&mut self, rows: &mut Rows) -> Result<bool, ConnectError> {
        // Opened for each batch, so that however many sections there are, none holds a file.
        let mut lines = Lines::open(&self.section.batch, self.at, self.line)?;
        while lines.at < self.section.bytes.end {
            if rows.is_full() {
                return Ok(true);
            }
            self.reader.push(&lines.next_row()?, rows);
            (self.at, self.line) = (lines.at, lines.line);
        }
        Ok(false)
    }
}

impl RowStream for ReplayedStream {
    fn path(&self) -> &str {
        &self.reader.written
    }

    fn read(&mut self, rows: &mut Rows) -> Result<bool, ConnectError> {
        self.reader.decoder.start(rows);
        let read = self.read_rows(rows);
        rows.finish();
        read
    }

    fn progress(&self) -> (u64, u64) {
        let start = self.section.bytes.start;
        (self.at - start, self.section.bytes.end - start)
    }
}

/// Tries whether rows of a source can be read, before they are replayed.
pub struct Trial<'a> {
    source: &'a FileSource,
    files: Vec<SourceFile>,
    /// The file of the last row.
    reader: Option<Reader>,
    rows: Rows,
}

impl<'a> Trial<'a> {
    /// Looks for a source's files.
    ///
    /// # Errors
    /// A pattern that matches nothing, a file that isn't there.
    pub fn new(source: &'a FileSource) -> Result<Self, ConnectError> {
        let files = paths::expand(source)?;
        Ok(Self { source, files, reader: None, rows: Rows::default() })
    }

    /// Reads a row alone; `None` where the source has no such file.
    ///
    /// # Errors
    /// Where its file can't be opened, or lacks a column.
    pub fn read(&mut self, row: &ReplayedRow) -> Result<Option<&Rows>, ConnectError> {
        if self.reader.as_ref().is_none_or(|reader| reader.written != row.path) {
            let Some(file) = find(&self.files, &row.path) else { return Ok(None) };
            self.reader = Some(Reader::open(self.source, file)?);
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        reader.decoder.start(&mut self.rows);
        reader.push(row, &mut self.rows);
        self.rows.finish();
        Ok(Some(&self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_row_or_none() {
        let quoted = Framing::Quoted(b',');
        let long = "x".repeat(crate::files::limits::ROW_BYTES_MAX);
        for (text, framing, is_row) in [
            ("a,b", quoted, true),
            ("a,b\r\n", quoted, true),
            ("a,\"b\nc\"", quoted, true),
            ("a,\"b\n\"\"c\"\n", quoted, true),
            ("a,b\"c", quoted, true),
            (" ", quoted, true),
            ("", quoted, false),
            ("\n", quoted, false),
            ("a\nb", quoted, false),
            ("a,b\n\n", quoted, false),
            ("a,\"b", quoted, false),
            ("a,\"b\"\"", quoted, false),
            ("a,b\"c\nd\"", quoted, false),
            (&long, quoted, false),
            ("{}", Framing::Lines, true),
            ("\"{\n", Framing::Lines, true),
            ("{\n}", Framing::Lines, false),
            (" \t\n", Framing::Lines, false),
        ] {
            let found = one_row(text.as_bytes(), framing);
            assert_eq!(found.is_ok(), is_row, "{text:?}: {found:?}");
            // As it is told in a file.
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.csv");
            std::fs::write(&path, format!("{text}\n")).unwrap();
            let mut frames = crate::files::frames::Frames::open(&path, framing).unwrap();
            let (mut frame, mut fields) = (Frame::default(), Fields::default());
            let mut rows = Vec::new();
            while frames.next(&mut frame, &mut fields).unwrap() {
                rows.push((frame.fault, frames.row().to_vec()));
            }
            let one = (!text.ends_with("\n\n")).then_some(rows);
            let one = one.and_then(|rows| <[_; 1]>::try_from(rows).ok());
            let one = one.and_then(|[(fault, row)]| fault.is_none().then_some(row));
            assert_eq!(one, found.ok().map(<[u8]>::to_vec), "{text:?}");
        }
    }
}
