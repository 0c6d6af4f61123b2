//! The quarantine file: inputs that can't be used, one JSON line each, with place and bytes.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use types::event::Reason;
use types::sabotage::{Safeguard, is_out};

use crate::env::Files;
use crate::error::ConnectError;
use crate::sinks::file::{Buffered, remove, sync_names};

/// The file's name in the data directory.
pub const FILE: &str = "quarantine.jsonl";

/// Bytes of an input that are kept.
pub const BYTES_KEPT_MAX: usize = 64 << 10;

/// An input that can't be used.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The source's name in the config.
    pub source: &'a str,
    /// The file's path as the config writes it.
    pub path: &'a str,
    /// The line where it starts, from 1.
    pub line: u64,
    /// Its number in the file, from 1.
    pub row: u64,
    /// The column to blame: the relation's.
    pub column: Option<&'a str>,
    /// The source's column to blame, where another name stands in the file.
    pub source_column: Option<&'a str>,
    /// Why.
    pub reason: Reason,
    /// What was found.
    pub detail: &'a str,
    /// Its bytes as they stand in the file.
    pub bytes: &'a [u8],
}

/// How many bytes the file may have, and what becomes of an input that doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of the file at most.
    pub max_bytes: u64,
    /// Whether a full file ends the run; if not, further inputs are counted and not kept.
    pub ends_run: bool,
}

/// Writes the quarantine file. A run without a bad row leaves none.
pub struct Quarantine {
    files: Arc<dyn Files>,
    file: Option<Buffered>,
    quota: Quota,
    n_bytes: u64,
    /// Inputs that didn't fit.
    n_left_out: u64,
    /// The line that was written last.
    line: String,
}

impl Quarantine {
    /// Removes the file of an earlier run; the new one comes with its first entry.
    ///
    /// # Errors
    /// Where the old file can't be removed.
    pub fn create(files: Arc<dyn Files>, quota: Quota) -> Result<Self, ConnectError> {
        remove(&*files, FILE).map_err(|error| {
            ConnectError::file("preparing the quarantine file", &files.path(FILE), error)
        })?;
        Ok(Self { files, file: None, quota, n_bytes: 0, n_left_out: 0, line: String::new() })
    }

    /// Where the file is, once it has an entry.
    pub fn path(&self) -> PathBuf {
        self.files.path(FILE)
    }

    /// Adds an entry; gives its line, without the break.
    ///
    /// # Errors
    /// Where the file can't be made or written, or is full and that ends the run.
    pub fn write(&mut self, entry: &Entry<'_>) -> Result<&str, ConnectError> {
        let line = serde_json::to_string(&Written::from(entry)).map_err(io::Error::from);
        self.line = line.map_err(|error| self.failed(error))?;
        self.add()?;
        Ok(&self.line)
    }

    /// Adds an entry by the line that an earlier [`Quarantine::write`] gave.
    ///
    /// # Errors
    /// As [`Quarantine::write`].
    pub fn write_line(&mut self, line: &str) -> Result<(), ConnectError> {
        line.clone_into(&mut self.line);
        self.add()
    }

    /// How many inputs the file had no room for.
    pub const fn n_left_out(&self) -> u64 {
        self.n_left_out
    }

    /// Hands over what is held back, and makes the file durable: a run that ends well has been done with
    /// its rows, and nothing writes them again.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn finish(&mut self) -> Result<(), ConnectError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let synced = file.flush().and_then(|()| {
            if is_out(Safeguard::QuarantineSync) { Ok(()) } else { file.get_mut().sync_data() }
        });
        synced.map_err(|error| self.failed(error))?;
        sync_names(&*self.files)
    }

    /// Writes the line, if there is room for it.
    fn add(&mut self) -> Result<(), ConnectError> {
        let Quota { max_bytes, ends_run } = self.quota;
        let n_bytes = u64::try_from(self.line.len()).unwrap_or(u64::MAX).saturating_add(1);
        let is_full = self.n_left_out > 0 || n_bytes > max_bytes.saturating_sub(self.n_bytes);
        if !is_full {
            self.n_bytes += n_bytes;
            return self.try_write().map_err(|error| self.failed(error));
        }
        let path = self.path();
        let path = path.display();
        if ends_run {
            let doing = format!("writing quarantine file {path}: it is full, at {max_bytes} bytes");
            return Err(ConnectError::broken(doing).hint(
                "look why so many rows can't be used (`tapeline quarantine list`); raise `quarantine_bytes` and \
                 start again to go on, or set `quarantine_full = \"count\"` to keep none beyond it",
            ));
        }
        if self.n_left_out == 0 {
            tracing::warn!(%path, max_bytes, "the quarantine is full: further rows are counted alone");
        }
        self.n_left_out += 1;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ConnectError {
        ConnectError::file("writing quarantine file", &self.path(), error)
    }

    fn try_write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(self.files.create(FILE)?)),
        };
        file.write_all(self.line.as_bytes())?;
        file.write_all(b"\n")
    }
}

/// An entry as it is written.
#[derive(Serialize)]
struct Written<'a> {
    source: &'a str,
    path: &'a str,
    line: u64,
    row: u64,
    column: Option<&'a str>,
    source_column: Option<&'a str>,
    reason: &'a str,
    detail: &'a str,
    /// How many bytes it has, also where not all are kept.
    n_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_base64: Option<String>,
}

impl<'a> From<&Entry<'a>> for Written<'a> {
    fn from(entry: &Entry<'a>) -> Self {
        let kept = entry.bytes.get(..BYTES_KEPT_MAX).unwrap_or(entry.bytes);
        let text = match std::str::from_utf8(kept) {
            Ok(text) => Some(text),
            // A character that the cut has split isn't the input's fault.
            Err(error) if error.error_len().is_none() && kept.len() < entry.bytes.len() => {
                kept.get(..error.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok())
            }
            Err(_) => None,
        };
        Self {
            source: entry.source,
            path: entry.path,
            line: entry.line,
            row: entry.row,
            column: entry.column,
            source_column: entry.source_column,
            reason: entry.reason.code(),
            detail: entry.detail,
            n_bytes: entry.bytes.len(),
            bytes: text,
            bytes_base64: text.is_none().then(|| base64(kept)),
        }
    }
}

/// The bytes of an input, from what an entry's line says of them: `bytes`, or else `bytes_base64`; `None`
/// where it says nothing that can be read.
pub fn bytes_of(text: Option<&str>, in_base64: Option<&str>) -> Option<Vec<u8>> {
    match (text, in_base64) {
        (Some(text), None) => Some(text.as_bytes().to_vec()),
        (None, Some(text)) => from_base64(text),
        _ => None,
    }
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4usize {
            let digit = usize::try_from(group >> (18 - 6 * i) & 63).unwrap_or(0);
            let shown = DIGITS.get(digit).filter(|_| i <= chunk.len());
            text.push(char::from(shown.copied().unwrap_or(b'=')));
        }
    }
    text
}

/// What [`base64`] was made of; `None` for what it never gives.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let digit = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let digits: Vec<u8> = chunk.iter().map(digit).collect::<Option<_>>()?;
        let group = (0..4)
            .fold(0u32, |group, i| group << 6 | digits.get(i).map_or(0, |digit| u32::from(*digit)));
        let [_, group @ ..] = group.to_be_bytes();
        bytes.extend(group.iter().take(digits.len().saturating_sub(1)));
    }
    (base64(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Disk;

    const ROOM: Quota = Quota { max_bytes: 1 << 20, ends_run: true };

    fn entry(bytes: &[u8]) -> Entry<'_> {
        Entry {
            source: "fills",
            path: "data/fills.csv",
            line: 7,
            row: 5,
            column: Some("price"),
            source_column: Some("Price"),
            reason: Reason::NotANumber,
            detail: "`x`",
            bytes,
        }
    }

    #[test]
    fn a_line_says_what_where_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(Disk::open(&folder.path().join("deep")).unwrap());
        let path = files.path(FILE);
        let mut quarantine = Quarantine::create(Arc::clone(&files), ROOM).unwrap();
        quarantine.finish().unwrap();
        assert!(!path.exists(), "no bad row, no file");
        quarantine.write(&entry(b"a,\"x\"")).unwrap();
        quarantine.write(&entry(b"\xff\x00a")).unwrap();
        quarantine.finish().unwrap();
        let expected = concat!(
            r#"{"source":"fills","path":"data/fills.csv","line":7,"row":5,"column":"price","#,
            r#""source_column":"Price","reason":"not_a_number","detail":"`x`","n_bytes":5,"#,
            r#""bytes":"a,\"x\""}"#,
            "\n",
            r#"{"source":"fills","path":"data/fills.csv","line":7,"row":5,"column":"price","#,
            r#""source_column":"Price","reason":"not_a_number","detail":"`x`","n_bytes":3,"#,
            r#""bytes_base64":"/wBh"}"#,
            "\n",
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        drop(Quarantine::create(files, ROOM).unwrap());
        assert!(!path.exists(), "a run doesn't keep the entries of the one before");
    }

    #[test]
    fn a_full_file_ends_the_run_or_counts() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(Disk::open(folder.path()).unwrap());
        let create = |quota| Quarantine::create(Arc::clone(&files), quota).unwrap();
        let path = files.path(FILE);
        let line = create(ROOM).write(&entry(b"a")).unwrap().to_owned();
        let max_bytes = 2 * u64::try_from(line.len() + 1).unwrap();
        for (max_bytes, n_kept) in [(max_bytes, 2), (max_bytes - 1, 1), (max_bytes + 9, 2)] {
            let full = |ends_run| create(Quota { max_bytes, ends_run });
            let mut stops = full(true);
            (0..n_kept).for_each(|_| stops.write_line(&line).unwrap());
            let error = stops.write(&entry(b"a")).unwrap_err();
            assert!(error.hint.unwrap().contains("quarantine_bytes"));
            drop(stops);
            let mut counts = full(false);
            (0..5).for_each(|_| assert_eq!(counts.write(&entry(b"a")).unwrap(), line));
            // What is shorter doesn't pass those before it.
            counts.write_line("{}").unwrap();
            counts.finish().unwrap();
            assert_eq!(counts.n_left_out(), 6 - n_kept);
            let kept = std::fs::read_to_string(&path).unwrap();
            assert_eq!(u64::try_from(kept.lines().count()).unwrap(), n_kept);
        }
    }

    #[test]
    fn long_bytes_are_cut_at_a_character() {
        let long = "é".repeat(BYTES_KEPT_MAX);
        let long = format!("a{long}");
        let entry = entry(long.as_bytes());
        let line = Written::from(&entry);
        assert_eq!(line.n_bytes, 2 * BYTES_KEPT_MAX + 1);
        assert_eq!(line.bytes.map(str::len), Some(BYTES_KEPT_MAX - 1));
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(bytes_of(None, Some(text)), Some(bytes.as_bytes().to_vec()));
        }
        for wrong in ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Z*==", "===="] {
            assert_eq!(bytes_of(None, Some(wrong)), None, "{wrong}");
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of(None, Some(&base64(&all))), Some(all));
    }
}
