//! The files of a log in order, and one of them record by record.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::error::{Damage, LogError};
use super::record::{self, Flaw, Header, Record};
use super::segment::{self, HeaderFlaw, Kind, Part};
use super::{narrow, wide};
use crate::env::{Files, OpenFile};
use crate::limits;

/// Lists the files of the log, in the order of their records; other files are left alone.
pub(super) fn list(files: &dyn Files) -> Result<Vec<Part>, LogError> {
    let names = files.list().map_err(LogError::io("listing the log", files.path("")))?;
    let mut parts: Vec<Part> = names.iter().filter_map(|name| Part::parse(name)).collect();
    parts.sort_unstable();
    Ok(parts)
}

/// Waits until the names in the log's folder are on the disk.
pub(super) fn sync(files: &dyn Files) -> Result<(), LogError> {
    files.sync().map_err(LogError::io("syncing the log's folder", files.path("")))
}

/// Removes whole segments below a record, the oldest first. The newest stays.
///
/// # Errors
/// If one can't be removed; what is left is a log.
pub fn cut_before(files: &dyn Files, number: u64) -> Result<(), LogError> {
    let parts = list(files)?;
    let n_below = parts.iter().skip(1).take_while(|next| next.first <= number).count();
    if n_below > 0 {
        // The newest may just have been made: it has to be there for good before others go.
        sync(files)?;
    }
    for part in parts.iter().take(n_below) {
        let name = part.name();
        files.remove(&name).map_err(LogError::io("removing", files.path(&name)))?;
        // Without this a crash could bring back an older one alone, and what is between would be missing.
        sync(files)?;
    }
    Ok(())
}

/// A file of the log that is read from its begin, through a bounded buffer.
pub(super) struct Scanner {
    /// For messages.
    path: PathBuf,
    file: Box<dyn OpenFile>,
    /// Bytes of the file when it was opened.
    n_bytes: u64,
    seed: u32,
    /// The number of the record that comes next.
    expected: u64,
    /// Where it begins.
    offset: u64,
    /// What was read; bytes before `begin` were used.
    buffer: Vec<u8>,
    begin: usize,
    /// The record before: number, kind, and where in the buffer its payload is.
    last: (u64, u8, Range<usize>),
}

/// What stands in a file at some place.
pub(super) enum Step {
    /// The record that is expected; [`Scanner::record`] is it.
    Record,
    /// The end of the file.
    End,
    /// Something else.
    Flaw(Flaw),
}

/// How a file of the log begins.
pub(super) enum Opening {
    /// A segment; its records come next.
    Segment,
    /// A gap up to this record.
    Gap(u64),
    /// Neither.
    Flaw(HeaderFlaw),
}

impl Scanner {
    /// Opens a file and reads its header.
    pub(super) fn open(
        files: &dyn Files,
        log_id: u128,
        part: Part,
    ) -> Result<(Self, Opening), LogError> {
        let path = files.path(&part.name());
        let opened = files.open(&part.name()).and_then(|file| Ok((file.n_bytes()?, file)));
        let (n_bytes, file) = opened.map_err(LogError::io("opening", path.clone()))?;
        let (seed, expected) = (record::seed(log_id, part.first), part.first);
        let (offset, buffer, begin, last) = (0, Vec::new(), 0, (0, 0, 0..0));
        let mut new = Self { path, file, n_bytes, seed, expected, offset, buffer, begin, last };
        new.fill(segment::HEADER)?;
        let opening = match (part.check(log_id, &new.buffer), part.kind) {
            (Err(flaw), _) => Opening::Flaw(flaw),
            (Ok(end), Kind::Gap) => Opening::Gap(end),
            (Ok(_), Kind::Segment) => Opening::Segment,
        };
        new.go_on(segment::HEADER);
        Ok((new, opening))
    }

    /// Sees how long the file has become.
    pub(super) fn grow(&mut self) -> Result<(), LogError> {
        let n_bytes = self.file.n_bytes();
        self.n_bytes =
            n_bytes.map_err(LogError::io("asking for the length of", self.path.clone()))?;
        Ok(())
    }

    /// Reads the next record. After a flaw it doesn't go on.
    pub(super) fn next(&mut self) -> Result<Step, LogError> {
        let n_left = self.n_bytes.saturating_sub(self.offset);
        if n_left == 0 {
            return Ok(Step::End);
        }
        self.fill(record::HEADER)?;
        if let Some(header) = Header::read(self.ahead()) {
            // Checked before a length is believed.
            if header.n_payload > limits::LOG_PAYLOAD_BYTES {
                return Ok(Step::Flaw(Flaw::Long { n_payload: header.n_payload }));
            }
            if header.number != self.expected {
                return Ok(Step::Flaw(Flaw::Number { found: header.number }));
            }
            self.fill(header.n_bytes())?;
        }
        let (header, record) = match record::decode(self.ahead(), self.seed) {
            Ok(decoded) => decoded,
            Err(Flaw::Short { .. }) => return Ok(Step::Flaw(Flaw::Short { n_bytes: n_left })),
            Err(flaw) => return Ok(Step::Flaw(flaw)),
        };
        let end = self.begin + header.n_bytes();
        self.last = (record.number, record.kind, end - header.n_payload..end);
        self.go_on(header.n_bytes());
        self.expected = self.expected.saturating_add(1);
        Ok(Step::Record)
    }

    /// The record that the last step found.
    pub(super) fn record(&self) -> Record<'_> {
        let (number, kind, payload) = self.last.clone();
        Record { number, kind, payload: self.buffer.get(payload).unwrap_or_default() }
    }

    /// The damage that a flaw at this place is.
    pub(super) fn damage(&self, what: &dyn fmt::Display) -> LogError {
        self.damage_at(self.offset(), self.expected, what)
    }

    /// The damage that something is at an offset, where a record is expected.
    pub(super) fn damage_at(
        &self,
        offset: u64,
        expected: u64,
        what: &dyn fmt::Display,
    ) -> LogError {
        let (path, what) = (self.path.clone(), what.to_string());
        LogError::Damaged(Box::new(Damage { path, offset, expected, what }))
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset.min(self.n_bytes)
    }

    /// The number of the next record.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// Bytes of the file.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The seed of the file's checksums.
    pub(super) fn seed(&self) -> u32 {
        self.seed
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// All bytes from an offset on.
    pub(super) fn rest(&self, offset: u64) -> Result<Vec<u8>, LogError> {
        let mut bytes = vec![0; narrow(self.n_bytes.saturating_sub(offset))];
        let read = self.file.read_at(&mut bytes, offset);
        read.map_err(LogError::io("reading", self.path.clone()))?;
        Ok(bytes)
    }

    /// What was read and not yet used.
    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.begin..).unwrap_or_default()
    }

    /// Steps over bytes that were read, as far as they were.
    fn go_on(&mut self, n: usize) {
        let n = n.min(self.ahead().len());
        self.begin += n;
        self.offset += wide(n);
    }

    /// Sees to it that so many bytes are ahead, or all that the file has.
    fn fill(&mut self, n: usize) -> Result<(), LogError> {
        if self.ahead().len() >= n {
            return Ok(());
        }
        let n_left = narrow(self.n_bytes.saturating_sub(self.offset));
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let n_read = self.buffer.len();
        self.buffer.resize(n.max(limits::LOG_READ_BYTES).min(n_left), 0);
        let more = self.buffer.get_mut(n_read..).unwrap_or_default();
        let read = self.file.read_at(more, self.offset + wide(n_read));
        read.map_err(LogError::io("reading", self.path.clone()))
    }
}
