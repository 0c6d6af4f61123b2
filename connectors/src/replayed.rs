//! Batches of rows that are replayed: rows that couldn't be used, put right, each with the place where it
//! stands in its source. A file of JSON lines, in the order of source, path and row, with a line behind
//! them that says how many there are and what they come to: so that one which is cut off, changed or put
//! together by hand is never read as what it isn't.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use types::digest::Fold;

use crate::error::ConnectError;
use crate::quarantine::{base64, bytes_of};

/// Longest line of a batch: a row of 1 MiB, each byte of it escaped as `\u0000`, and its place.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// A row that is replayed. They are in order by source, path and row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplayedRow {
    /// The source's name in the config.
    pub source: String,
    /// The file's path as the config writes it.
    pub path: String,
    /// Its number in the file, from 1.
    pub row: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// Its bytes as they are to stand in the file, without the line break.
    pub bytes: Vec<u8>,
}

/// The rows of one file in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The source's name in the config.
    pub source: String,
    /// The file's path as the config writes it.
    pub path: String,
    /// The batch.
    pub batch: PathBuf,
    /// The line of the batch where they start, from 1.
    pub line: u64,
    /// How many there are.
    pub n_rows: u64,
    /// Where their lines stand in the batch.
    pub(crate) bytes: Range<u64>,
}

/// A row as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    source: String,
    path: String,
    row: u64,
    line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_base64: Option<String>,
}

/// What stands behind the rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    n_rows: u64,
    /// Of all lines before, as hexadecimal digits.
    digest: String,
}

impl ReplayedRow {
    /// Where it stands: no two rows of a batch stand in one place.
    pub fn place(&self) -> (&str, &str, u64) {
        (&self.source, &self.path, self.row)
    }
}

/// A batch as it is written; the rows must be in order, one at a place.
///
/// # Panics
/// Never: texts and numbers always encode.
pub fn write(rows: &[ReplayedRow]) -> Vec<u8> {
    let (mut text, mut digest) = (String::new(), Fold::new(0));
    for row in rows {
        let ReplayedRow { source, path, row, line, bytes } = row.clone();
        let bytes = String::from_utf8(bytes);
        let bytes_base64 = bytes.as_ref().err().map(|error| base64(error.as_bytes()));
        let written = Written { source, path, row, line, bytes: bytes.ok(), bytes_base64 };
        let line = serde_json::to_string(&written).expect("texts and numbers encode");
        digest.add_text(&line);
        text.extend([&line, "\n"]);
    }
    let end = End {
        n_rows: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        digest: format!("{:016x}", digest.finish()),
    };
    text.extend([&serde_json::to_string(&end).expect("texts and numbers encode"), "\n"]);
    text.into_bytes()
}

/// Reads a batch from its first line to its last, hands each row over and gives its sections.
///
/// # Errors
/// Where it can't be read, or isn't as it was written: names file and line.
pub fn check(
    batch: &Path,
    mut take: impl FnMut(&ReplayedRow),
) -> Result<Vec<Section>, ConnectError> {
    let mut lines = Lines::open(batch, 0, 1)?;
    let (mut sections, mut digest, mut n_rows) = (Vec::<Section>::new(), Fold::new(0), 0u64);
    let mut last: Option<ReplayedRow> = None;
    loop {
        let (start, line) = (lines.at, lines.line);
        let Some(text) = lines.next()? else {
            return Err(damaged(batch, line, "its end is missing"));
        };
        if let Ok(end) = serde_json::from_str::<End>(text) {
            let is_whole = end.n_rows == n_rows
                && end.digest == format!("{:016x}", digest.finish())
                && lines.next()?.is_none();
            let what = "the rows before it aren't those that were written";
            return if is_whole { Ok(sections) } else { Err(damaged(batch, line, what)) };
        }
        digest.add_text(text);
        n_rows += 1;
        let row = parse(text).map_err(|what| damaged(batch, line, &what))?;
        if last.as_ref().is_some_and(|last| last.place() >= row.place()) {
            return Err(damaged(batch, line, "it isn't behind the row before it"));
        }
        let end = lines.at;
        match sections.last_mut().filter(|s| (&s.source, &s.path) == (&row.source, &row.path)) {
            Some(section) => {
                section.n_rows += 1;
                section.bytes.end = end;
            }
            None => sections.push(Section {
                source: row.source.clone(),
                path: row.path.clone(),
                batch: batch.to_owned(),
                line,
                n_rows: 1,
                bytes: start..end,
            }),
        }
        take(&row);
        last = Some(row);
    }
}

/// The rows of a section, from a byte of its batch on.
pub(crate) struct Lines {
    batch: PathBuf,
    file: BufReader<File>,
    /// The byte behind the last line that was read.
    pub(crate) at: u64,
    /// The next line's number, from 1.
    pub(crate) line: u64,
    text: Vec<u8>,
}

impl Lines {
    /// Opens a batch where a line starts.
    pub(crate) fn open(batch: &Path, at: u64, line: u64) -> Result<Self, ConnectError> {
        let open = File::open(batch).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            Ok(file)
        });
        let file = open.map_err(|error| ConnectError::file("opening", batch, error))?;
        let file = BufReader::new(file);
        Ok(Self { batch: batch.to_owned(), file, at, line, text: Vec::new() })
    }

    /// The next row.
    pub(crate) fn next_row(&mut self) -> Result<ReplayedRow, ConnectError> {
        let (batch, line) = (self.batch.clone(), self.line);
        let text = self.next()?.ok_or_else(|| damaged(&batch, line, "its end is missing"))?;
        parse(text).map_err(|what| damaged(&batch, line, &what))
    }

    /// The next line, without its break; `None` at the end.
    fn next(&mut self) -> Result<Option<&str>, ConnectError> {
        self.text.clear();
        let mut limited = (&mut self.file).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut self.text);
        let n = read.map_err(|error| ConnectError::file("reading", &self.batch, error))?;
        if n == 0 {
            return Ok(None);
        }
        let text = self.text.strip_suffix(b"\n").and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or_else(|| damaged(&self.batch, self.line, "it isn't a whole line"))?;
        self.at += u64::try_from(n).unwrap_or(u64::MAX);
        self.line += 1;
        Ok(Some(text))
    }
}

fn parse(line: &str) -> Result<ReplayedRow, String> {
    let written: Written = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Written { source, path, row, line, bytes, bytes_base64 } = written;
    let bytes = bytes_of(bytes.as_deref(), bytes_base64.as_deref());
    let bytes = bytes.ok_or_else(|| "it has no bytes that can be read".to_owned())?;
    Ok(ReplayedRow { source, path, row, line, bytes })
}

/// A batch that isn't as it was written.
fn damaged(batch: &Path, line: u64, what: &str) -> ConnectError {
    let doing = format!("reading replayed rows, {}, line {line}: {what}", batch.display());
    ConnectError::broken(doing).hint(
        "the file was changed or its disk fails: put it back, or remove it, start with `--fresh` and replay \
         its rows again",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

    use super::*;

    fn row(source: &str, path: &str, row: u64, bytes: &[u8]) -> ReplayedRow {
        let (source, path, bytes) = (source.to_owned(), path.to_owned(), bytes.to_owned());
        ReplayedRow { source, path, row, line: row + 1, bytes }
    }

    fn rows() -> Vec<ReplayedRow> {
        vec![
            row("a", "x.csv", 2, b"1,\"two\nlines\",3"),
            row("a", "x.csv", 9, b"\xff\x00"),
            row("a", "y.csv", 1, "é".as_bytes()),
            row("b", "x.csv", 1, b""),
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let batch = folder.path().join("000001.jsonl");
        let rows = rows();
        std::fs::write(&batch, write(&rows)).unwrap();
        let mut read = Vec::new();
        let sections = check(&batch, |row| read.push(row.clone())).unwrap();
        assert_eq!(read, rows);
        let told: Vec<_> = sections
            .iter()
            .map(|s| (s.source.as_str(), s.path.as_str(), s.line, s.n_rows))
            .collect();
        assert_eq!(told, [("a", "x.csv", 1, 2), ("a", "y.csv", 3, 1), ("b", "x.csv", 4, 1)]);
        let mut read = Vec::new();
        for section in sections {
            let mut lines = Lines::open(&batch, section.bytes.start, section.line).unwrap();
            while lines.at < section.bytes.end {
                read.push(lines.next_row().unwrap());
            }
        }
        assert_eq!(read, rows);
    }

    #[test]
    fn whatever_is_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let batch = folder.path().join("000001.jsonl");
        let whole = write(&rows());
        let is_refused = |bytes: &[u8]| {
            std::fs::write(&batch, bytes).unwrap();
            let error = check(&batch, |_| {}).unwrap_err();
            assert!(error.doing.contains("000001.jsonl"), "{error}");
            assert!(error.hint.is_some_and(|hint| hint.contains("`--fresh`")));
        };
        for length in 0..whole.len() {
            is_refused(&whole[..length]);
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            is_refused(&changed);
        }
        is_refused(&[whole.as_slice(), b"{}\n"].concat());
        is_refused(&whole.repeat(2));
        let mut turned = rows();
        turned.swap(0, 1);
        is_refused(&write(&turned));
        let twice = row("a", "x.csv", 2, b"");
        is_refused(&write(&[twice.clone(), twice]));
    }
}
