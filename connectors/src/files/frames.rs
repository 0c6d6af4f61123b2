//! From bytes to rows as they stand: where each starts and ends, and what can't be one.

use std::fmt;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter, memchr2};

use super::bytes::Bytes;
use super::fields::Fields;
use super::limits::ROW_BYTES_MAX;
use super::scan::{Row, Scan, scan};
use crate::error::ConnectError;

/// How rows are told apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// Lines; blank ones are no rows.
    Lines,
    /// Lines, but for line breaks between quotes, with this delimiter of fields.
    Quoted(u8),
}

/// A row as it stands. Recycled.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Its number, from 1.
    pub(super) row: u64,
    /// The line where it starts, from 1.
    pub(super) line: u64,
    /// What is wrong with its frame.
    pub(super) fault: Option<Fault>,
    /// Whether its fields were found on the way.
    pub(super) is_split: bool,
    /// Whether all its bytes are ASCII; false says nothing.
    pub(super) is_ascii: bool,
}

/// Why bytes are no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Longer than rows may be; its whole length.
    TooLong(u64),
    /// A quote that nothing closes within a row's greatest length.
    OpenQuote,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "{length} bytes; a row is at most {ROW_BYTES_MAX}"),
            Self::OpenQuote => write!(f, "a quote that isn't closed within {ROW_BYTES_MAX} bytes"),
        }
    }
}

/// The rows of a file as they stand.
pub(super) struct Frames {
    path: PathBuf,
    bytes: Bytes,
    framing: Framing,
    row: u64,
    /// Lines taken so far.
    n_lines: u64,
    /// Where the last row's bytes are.
    last: Last,
    /// The bytes of a row that is too long for any, or runs on because of a quote.
    long: Vec<u8>,
}

/// Where the bytes of a row are.
#[derive(Clone, Copy, Debug)]
enum Last {
    /// Among those taken.
    Taken(usize, usize),
    /// Put aside, because more had to be read.
    Long,
}

/// Where a row ends in the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Behind its line break.
    At(usize),
    /// Not in these bytes.
    Beyond,
    /// Not in these bytes, and a quote is open.
    Open,
}

impl Frames {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it can't be opened, isn't a regular file, or its first bytes can't be read.
    pub(super) fn open(path: &Path, framing: Framing) -> Result<Self, ConnectError> {
        let opened = Bytes::open(path);
        let bytes = opened.map_err(|error| ConnectError::file("opening", path, error))?;
        let mut frames = Self {
            path: path.to_owned(),
            bytes,
            framing,
            row: 0,
            n_lines: 0,
            last: Last::Long,
            long: Vec::new(),
        };
        // A byte order mark isn't part of the first name.
        while frames.bytes.rest().len() < 3 && frames.more()? {}
        if frames.bytes.rest().starts_with(b"\xef\xbb\xbf") {
            frames.bytes.take(3);
        }
        Ok(frames)
    }

    /// Reads a row; false at the end. A row without quotes is cut into `fields` on the way, so that
    /// its bytes are looked at once.
    ///
    /// # Errors
    /// Where the file can't be read any further; names path and place.
    #[inline]
    pub(super) fn next(
        &mut self,
        frame: &mut Frame,
        fields: &mut Fields,
    ) -> Result<bool, ConnectError> {
        loop {
            if let Framing::Quoted(delimiter) = self.framing
                && let Scan::Row(row) = scan(self.bytes.rest(), delimiter, fields)
                && let Row { length, n_break, is_ascii } = row
                && length + n_break <= ROW_BYTES_MAX
            {
                self.n_lines += 1;
                let (start, _) = self.bytes.take(length + n_break);
                if length == 0 {
                    continue;
                }
                self.last = Last::Taken(start, start + length);
                self.row += 1;
                let (row, line) = (self.row, self.n_lines);
                *frame = Frame { row, line, fault: None, is_split: true, is_ascii };
                return Ok(true);
            }
            if let Some(is_row) = self.next_slowly(frame)? {
                return Ok(is_row);
            }
        }
    }

    /// The bytes of the row that was read last, without its line break.
    #[inline]
    pub(super) fn row(&self) -> &[u8] {
        match self.last {
            Last::Taken(start, end) => self.bytes.taken((start, end)),
            Last::Long => &self.long,
        }
    }

    /// Reads a row that may have quotes, or need more bytes; `None` for a blank one.
    fn next_slowly(&mut self, frame: &mut Frame) -> Result<Option<bool>, ConnectError> {
        let mut end = self.end();
        while !matches!(end, End::At(_)) {
            if self.bytes.rest().len() > ROW_BYTES_MAX {
                return self.take_faulty(frame).map(Some);
            }
            if !self.more()? {
                break;
            }
            end = self.end();
        }
        let n = match end {
            End::At(n) => n,
            End::Beyond => self.bytes.rest().len(),
            End::Open => return self.take_faulty(frame).map(Some),
        };
        if n == 0 {
            return Ok(Some(false));
        }
        if n > ROW_BYTES_MAX {
            return self.take_faulty(frame).map(Some);
        }
        let line = self.n_lines + 1;
        let raw = self.bytes.rest().get(..n).unwrap_or_default();
        self.n_lines += n_lines(raw);
        let row = without_break(raw);
        let (length, is_row) = (row.len(), !self.is_blank(row));
        let (start, _) = self.bytes.take(n);
        if !is_row {
            return Ok(None);
        }
        self.last = Last::Taken(start, start + length);
        self.row += 1;
        *frame = Frame { row: self.row, line, fault: None, is_split: false, is_ascii: false };
        Ok(Some(true))
    }

    /// Bytes of the file read so far, and its length.
    pub(super) fn progress(&self) -> (u64, u64) {
        self.bytes.progress()
    }

    /// Says that the next row is the first, as after a header.
    pub(super) fn restart_rows(&mut self) {
        self.row = 0;
    }

    fn end(&self) -> End {
        let rest = self.bytes.rest();
        match self.framing {
            Framing::Lines => memchr(b'\n', rest).map_or(End::Beyond, |at| End::At(at + 1)),
            Framing::Quoted(delimiter) => quoted_end(rest, delimiter),
        }
    }

    fn is_blank(&self, row: &[u8]) -> bool {
        match self.framing {
            Framing::Lines => is_white(row),
            Framing::Quoted(_) => row.is_empty(),
        }
    }

    /// Takes one line that is no row. What follows is read as rows again: a forgotten quote must
    /// cost its own line, not the rest of the file.
    fn take_faulty(&mut self, frame: &mut Frame) -> Result<bool, ConnectError> {
        self.long.clear();
        self.last = Last::Long;
        self.row += 1;
        self.n_lines += 1;
        let (mut length, line) = (0u64, self.n_lines);
        loop {
            let rest = self.bytes.rest();
            let end = memchr(b'\n', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let kept = part.len().min(ROW_BYTES_MAX - self.long.len());
            self.long.extend_from_slice(part.get(..kept).unwrap_or_default());
            length += u64::try_from(part.len()).unwrap_or(u64::MAX);
            let n = part.len() + usize::from(end.is_some());
            self.bytes.take(n);
            if end.is_some() || !self.more()? {
                break;
            }
        }
        // A short line whose row is too long runs on because of a quote.
        let is_short = self.long.len() < ROW_BYTES_MAX;
        let fault = if is_short { Fault::OpenQuote } else { Fault::TooLong(length) };
        let fault = Some(fault);
        *frame = Frame { row: self.row, line, fault, is_split: false, is_ascii: false };
        Ok(true)
    }

    fn more(&mut self) -> Result<bool, ConnectError> {
        self.bytes.more().map_err(|error| {
            let place = format!(
                "reading {} behind row {}, line {}",
                self.path.display(),
                self.row,
                self.n_lines
            );
            ConnectError::broken(place)
                .because(error)
                .hint("the file is damaged or cut off: fetch it again")
        })
    }
}

/// The one row that bytes are, without the line break behind it.
///
/// # Errors
/// Where they are none, several, or one that can't be read.
pub(super) fn one_row(bytes: &[u8], framing: Framing) -> Result<&[u8], String> {
    let row = without_break(bytes);
    let (is_blank, end) = match framing {
        Framing::Lines => (is_white(row), memchr(b'\n', row).map_or(End::Beyond, End::At)),
        Framing::Quoted(delimiter) => (row.is_empty(), quoted_end(row, delimiter)),
    };
    match end {
        _ if is_blank => Err("no row: it is blank".to_owned()),
        _ if row.len() >= ROW_BYTES_MAX => {
            let length = u64::try_from(row.len()).unwrap_or(u64::MAX);
            Err(Fault::TooLong(length).to_string())
        }
        End::At(_) => Err("more than one row: a line break that isn't quoted".to_owned()),
        End::Open => Err(Fault::OpenQuote.to_string()),
        End::Beyond => Ok(row),
    }
}

fn is_white(row: &[u8]) -> bool {
    row.iter().all(u8::is_ascii_whitespace)
}

/// Finds the end of a row whose fields may be quoted. A quote counts where a field starts.
fn quoted_end(bytes: &[u8], delimiter: u8) -> End {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(hit) = memchr2(b'"', b'\n', rest).map(|hit| at + hit) else {
            return End::Beyond;
        };
        at = hit + 1;
        if bytes.get(hit) == Some(&b'\n') {
            return End::At(at);
        }
        let before = hit.checked_sub(1).and_then(|i| bytes.get(i));
        if before.is_none_or(|byte| *byte == delimiter) {
            match closing_quote(bytes, at) {
                Some(quote) => at = quote + 1,
                None => return End::Open,
            }
        }
    }
}

/// Finds the quote that closes a field, from behind the opening one; doubled ones are text.
pub(super) fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let quote = at + memchr(b'"', bytes.get(at..)?)?;
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        at = quote + 2;
    }
}

fn n_lines(raw: &[u8]) -> u64 {
    // Nearly every row is one line, and then its break is at its end.
    let inner = raw.strip_suffix(b"\n").unwrap_or(raw);
    let has_quote = memchr(b'"', inner).is_some();
    let n = if has_quote { memchr_iter(b'\n', inner).count() + 1 } else { 1 };
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn without_break(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    raw.strip_suffix(b"\r").unwrap_or(raw)
}
