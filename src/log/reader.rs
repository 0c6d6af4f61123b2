//! Reads records from a number on.

use std::ops::Range;
use std::sync::Arc;

use super::error::LogError;
use super::parts::{self, Opening, Scanner, Step};
use super::record::Record;
use super::segment::Part;
use crate::env::Files;

/// Goes through records in order, each of them verified. Holds one file open and one buffer, which
/// grows to the longest record that it met.
pub struct Reader {
    files: Arc<dyn Files>,
    log_id: u128,
    /// What is still to be opened, the next one last.
    parts: Vec<Part>,
    scanner: Option<Scanner>,
    /// What is wanted and wasn't given yet.
    wanted: Range<u64>,
}

impl Reader {
    /// Starts before a record. Of a log that is being written, ask for what is durable only.
    ///
    /// # Errors
    /// If the log doesn't begin with that record or an earlier one, or can't be listed.
    pub fn open(files: Arc<dyn Files>, log_id: u128, wanted: Range<u64>) -> Result<Self, LogError> {
        let mut parts = parts::list(&*files)?;
        let first = parts.first().map_or(1, |part| part.first);
        if wanted.start < first && !wanted.is_empty() {
            return Err(LogError::CutAway { number: wanted.start, first });
        }
        let n_before = parts.iter().filter(|part| part.first <= wanted.start).count();
        parts.drain(..n_before.saturating_sub(1));
        parts.reverse();
        Ok(Self { files, log_id, parts, scanner: None, wanted })
    }

    /// Wants more of a log that has grown, up to a record; what was given isn't read again.
    ///
    /// # Errors
    /// If the log can't be listed, or its file not be asked.
    pub fn extend(&mut self, end: u64) -> Result<(), LogError> {
        self.wanted.end = self.wanted.end.max(end);
        let next = self.scanner.as_ref().map_or(self.wanted.start, Scanner::expected);
        let mut parts = parts::list(&*self.files)?;
        let n_before = match &mut self.scanner {
            Some(scanner) => {
                scanner.grow()?;
                parts.iter().filter(|part| part.first < next).count()
            }
            None => parts.iter().filter(|part| part.first <= next).count().saturating_sub(1),
        };
        parts.drain(..n_before);
        parts.reverse();
        self.parts = parts;
        Ok(())
    }

    /// Gives the next record; `None` behind the last one that is wanted. What was lost, and is known to
    /// be, is passed over.
    ///
    /// # Errors
    /// If a record isn't as it was written, or can't be read. Nothing more comes then.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, LogError> {
        match self.step() {
            Ok(is_there) => Ok(self.scanner.as_ref().filter(|_| is_there).map(Scanner::record)),
            Err(error) => {
                self.wanted.start = self.wanted.end;
                Err(error)
            }
        }
    }

    /// Steps to the next record; `false` if there is none.
    fn step(&mut self) -> Result<bool, LogError> {
        while !self.wanted.is_empty() {
            let Some(current) = &mut self.scanner else {
                self.open_next()?;
                continue;
            };
            let number = current.expected();
            match current.next()? {
                Step::Record if number >= self.wanted.start => {
                    self.wanted.start = number + 1;
                    return Ok(true);
                }
                Step::Record => {}
                Step::End => self.scanner = None,
                Step::Flaw(flaw) => return Err(current.damage(&flaw)),
            }
        }
        Ok(false)
    }

    /// Opens the next segment, or steps over a gap.
    fn open_next(&mut self) -> Result<(), LogError> {
        let number = self.wanted.start;
        let Some(part) = self.parts.pop() else {
            return Err(LogError::NotThere { number, end: number });
        };
        let (scanner, opening) = Scanner::open(&*self.files, self.log_id, part)?;
        match opening {
            Opening::Flaw(flaw) => Err(scanner.damage_at(0, part.first, &flaw)),
            _ if part.first > number => {
                Err(scanner.damage_at(0, number, &"records before this file are missing"))
            }
            Opening::Gap(end) => {
                self.wanted.start = number.max(end).min(self.wanted.end);
                Ok(())
            }
            Opening::Segment => {
                self.scanner = Some(scanner);
                Ok(())
            }
        }
    }
}
