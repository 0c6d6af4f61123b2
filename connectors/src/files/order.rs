//! Rows in another order than they stand: backwards, or by event time.

use types::VenueTime;

use super::frames::{Fault, Frame};
use crate::error::ConnectError;
use crate::spool::{Sorted, Sorter};

/// Rows on their way into order.
pub(super) struct Sorting {
    written: String,
    sorter: Sorter,
    value: Vec<u8>,
}

/// Rows in order.
pub(super) struct Pass {
    written: String,
    sorted: Sorted,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Bytes in front of a spooled row: row, line, what is wrong with its frame.
const HEADER_BYTES: usize = 25;

impl Sorting {
    pub(super) fn new(written: &str, max_bytes: usize) -> Self {
        let sorter = Sorter::new(max_bytes);
        Self { written: written.to_owned(), sorter, value: Vec::new() }
    }

    /// Adds a row that stands before those which were added.
    pub(super) fn push_backwards(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<(), ConnectError> {
        self.push(&(u64::MAX - frame.row).to_be_bytes(), frame, bytes)
    }

    /// Adds a row that stands by its time, then by its row; rows without a time stand first.
    pub(super) fn push_by_time(
        &mut self,
        time: Option<VenueTime>,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<(), ConnectError> {
        // Shifted so that bytes order as times do; no time is below all.
        let shifted = time.map_or(0, |time| i128::from(time.nanos()) - i128::from(i64::MIN) + 1);
        let mut key = [0; 24];
        let (of_time, of_row) = key.split_at_mut(16);
        of_time.copy_from_slice(&shifted.to_be_bytes());
        of_row.copy_from_slice(&frame.row.to_be_bytes());
        self.push(&key, frame, bytes)
    }

    fn push(&mut self, key: &[u8], frame: &Frame, bytes: &[u8]) -> Result<(), ConnectError> {
        let (code, length) = match frame.fault {
            None => (0, 0),
            Some(Fault::OpenQuote) => (1, 0),
            Some(Fault::TooLong(length)) => (2, length),
        };
        self.value.clear();
        self.value.extend_from_slice(&frame.row.to_le_bytes());
        self.value.extend_from_slice(&frame.line.to_le_bytes());
        self.value.extend_from_slice(&u64::to_le_bytes(length));
        self.value.push(code);
        self.value.extend_from_slice(bytes);
        let pushed = self.sorter.push(key, &self.value);
        pushed.map_err(|error| spooling(&self.written, error))
    }

    /// Gives the rows in order.
    pub(super) fn finish(self) -> Result<Pass, ConnectError> {
        let sorted = self.sorter.finish().map_err(|error| spooling(&self.written, error))?;
        Ok(Pass { written: self.written, sorted, key: Vec::new(), value: self.value })
    }
}

impl Pass {
    /// Reads the next row; false at the end.
    pub(super) fn next(
        &mut self,
        frame: &mut Frame,
        into: &mut Vec<u8>,
    ) -> Result<bool, ConnectError> {
        let read = self.sorted.next_into(&mut self.key, &mut self.value);
        if !read.map_err(|error| spooling(&self.written, error))? {
            return Ok(false);
        }
        let (header, bytes) = self.value.split_at_checked(HEADER_BYTES).unwrap_or_default();
        let number = |i: usize| {
            let bytes = header.get(i * 8..i * 8 + 8).and_then(|b| b.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        frame.row = number(0);
        frame.line = number(1);
        frame.fault = match header.last() {
            Some(1) => Some(Fault::OpenQuote),
            Some(2) => Some(Fault::TooLong(number(2))),
            _ => None,
        };
        (frame.is_split, frame.is_ascii) = (false, false);
        into.clear();
        into.extend_from_slice(bytes);
        Ok(true)
    }
}

fn spooling(written: &str, error: std::io::Error) -> ConnectError {
    ConnectError::broken(format!("sorting {written} in the folder for temporary files"))
        .because(error)
        .hint("TMPDIR names the folder; it needs as much room as the file's rows")
}
