//! Reads records from a number on.

use std::ops::Range;
use std::sync::Arc;

use super::error::LogError;
use super::files::Files;
use super::parts::{self, Opening, Scanner, Step};
use super::record::Record;
use super::segment::Part;

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

    /// Gives the next record; `None` behind the last one that is wanted. What was lost, and is known to
    /// be, is passed over.
    ///
    /// # Errors
    /// If a record isn't as it was written, or can't be read. Nothing more comes then.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let Self { scanner, wanted, .. } = self;
        if wanted.is_empty() {
            return Ok(None);
        }
        // In two steps, since a record that is given away may not be looked at before.
        let given = loop {
            let Some(current) = scanner.as_mut() else {
                *scanner = open_next(&*self.files, self.log_id, &mut self.parts, wanted)?;
                if scanner.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let number = current.expected();
            match current.next()? {
                Step::Record if number >= wanted.start => break number,
                Step::Record => {}
                Step::End => *scanner = None,
                Step::Flaw(flaw) => {
                    let damage = current.damage(&flaw);
                    wanted.start = wanted.end;
                    return Err(damage);
                }
            }
        };
        wanted.start = given + 1;
        Ok(scanner.as_ref().map(Scanner::record))
    }
}

/// Opens the file that holds the first record that is wanted, or what follows it.
fn open_next(
    files: &dyn Files,
    log_id: u128,
    parts: &mut Vec<Part>,
    wanted: &mut Range<u64>,
) -> Result<Option<Scanner>, LogError> {
    while let Some(part) = parts.pop() {
        let (scanner, opening) = Scanner::open(files, log_id, part)?;
        match opening {
            Opening::Flaw(flaw) => return Err(scanner.damage_at(0, part.first, &flaw)),
            Opening::Gap(end) => wanted.start = wanted.start.max(end).min(wanted.end),
            Opening::Segment if part.first > wanted.start => {
                let what = "records before this file are missing";
                return Err(scanner.damage_at(0, wanted.start, &what));
            }
            Opening::Segment => return Ok(Some(scanner)),
        }
        if wanted.is_empty() {
            return Ok(None);
        }
    }
    let number = wanted.start;
    wanted.start = wanted.end;
    Err(LogError::NotThere { number, end: number })
}
