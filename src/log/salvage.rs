//! Makes a log of a damaged one, once somebody has asked for that.
//!
//! Each file that isn't as it was written is copied to `salvaged/`; then its whole records are written
//! anew, in the order of their numbers. Where numbers are missing, a gap stands in their place, so that
//! what is lost is known for good. A file is replaced last of all that is made of it: salvage that was
//! cut short leaves a damaged log, and is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::error::LogError;
use super::parts::{self, Opening, Scanner};
use super::record::{self, Record};
use super::segment::{HEADER, HeaderFlaw, Kind, Part};
use super::{SALVAGED, wide};
use crate::env::Files;
use crate::limits;

/// What salvage found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Records that are lost, and that others follow. How many were lost behind the last one that is
    /// left can't be known.
    pub lost: Vec<Range<u64>>,
    /// Copies of the files that were not as they should be.
    pub copies: Vec<PathBuf>,
}

/// Puts what is damaged aside, so that the log can be opened with what is left. Does nothing to a log
/// without damage but cut its torn tail.
///
/// # Errors
/// If the system refuses something; salvage can be run again then. If a file has the format of another
/// release.
pub fn salvage(files: &dyn Files, log_id: u128) -> Result<Salvaged, LogError> {
    let parts = parts::list(files)?;
    let next = parts.first().map_or(1, |part| part.first);
    let (made, found) = Default::default();
    let mut salvage = Salvage { files, log_id, next, made, found };
    for (i, part) in parts.iter().enumerate() {
        if !salvage.made.contains(part) {
            salvage.go_through(*part, i + 1 == parts.len())?;
        }
    }
    Ok(salvage.found)
}

/// Puts all from a record on aside, the newest first: what follows records that are lost and are to be had
/// from elsewhere. Gives the copies.
///
/// # Errors
/// If the system refuses something; what is left is a log, and it can be done again.
pub fn cut_from(files: &dyn Files, log_id: u128, number: u64) -> Result<Vec<PathBuf>, LogError> {
    let (made, found) = Default::default();
    let mut salvage = Salvage { files, log_id, next: number, made, found };
    for part in parts::list(files)?.into_iter().rev().take_while(|part| part.first >= number) {
        let (scanner, _) = Scanner::open(files, log_id, part)?;
        salvage.put_aside(part, &scanner.rest(0)?)?;
    }
    Ok(salvage.found.copies)
}

/// How far it has come.
struct Salvage<'a> {
    files: &'a dyn Files,
    log_id: u128,
    /// The record that should come next.
    next: u64,
    /// Files that were written out of earlier ones.
    made: BTreeSet<Part>,
    found: Salvaged,
}

impl Salvage<'_> {
    fn go_through(&mut self, part: Part, is_last: bool) -> Result<(), LogError> {
        let (scanner, opening) = Scanner::open(self.files, self.log_id, part)?;
        let is_whole = match (&opening, part.kind) {
            // A newer release may know what it is.
            (Opening::Flaw(flaw @ HeaderFlaw::Version { .. }), _) => {
                return Err(scanner.damage_at(0, part.first, flaw));
            }
            (Opening::Gap(end), _)
                if part.first == self.next && scanner.n_bytes() == wide(HEADER) =>
            {
                self.next = *end;
                return Ok(());
            }
            (Opening::Segment, Kind::Segment) => true,
            _ => false,
        };
        if part.kind == Kind::Gap {
            return self.put_aside(part, &scanner.rest(0)?);
        }
        let longest =
            limits::LOG_SEGMENT_BYTES_MAX + wide(record::n_bytes(limits::LOG_PAYLOAD_BYTES));
        if scanner.n_bytes() > longest {
            return Err(scanner.damage_at(0, self.next, &"too long for a segment: move it away"));
        }
        let bytes = scanner.rest(0)?;
        let runs = runs(&bytes, scanner.seed(), self.next);
        let is_as_written = is_whole
            && match runs.as_slice() {
                // Only the newest segment may be without records.
                [] => is_last && bytes.len() == HEADER && part.first >= self.next,
                [run] => {
                    run.first == part.first
                        && run.is_in_place
                        && run.n_bytes == bytes.len() - HEADER
                }
                _ => false,
            };
        if is_as_written {
            self.write_gap(part.first)?;
            self.next = runs.last().map_or(part.first, Run::end);
            return Ok(());
        }
        self.copy(part, &bytes)?;
        let mut own = None;
        for run in &runs {
            let bytes = run.segment(self.log_id);
            let made = Part::segment(run.first);
            if made == part {
                own = Some(bytes);
            } else {
                self.replace(made, &bytes)?;
            }
            self.write_gap(run.first)?;
            self.next = run.end();
        }
        match own {
            Some(bytes) => self.replace(part, &bytes),
            None => self.remove(part),
        }
    }

    /// Says that records up to one are lost, unless there are none.
    fn write_gap(&mut self, end: u64) -> Result<(), LogError> {
        if self.next >= end {
            return Ok(());
        }
        self.found.lost.push(self.next..end);
        let gap = Part::gap(self.next);
        self.replace(gap, &gap.header(self.log_id, end))
    }

    fn put_aside(&mut self, part: Part, bytes: &[u8]) -> Result<(), LogError> {
        self.copy(part, bytes)?;
        self.remove(part)
    }

    /// Copies a file as it was found; never over an earlier copy.
    fn copy(&mut self, part: Part, bytes: &[u8]) -> Result<(), LogError> {
        for n in 1_u64.. {
            let name = match n {
                1 => format!("{SALVAGED}/{}", part.name()),
                _ => format!("{SALVAGED}/{}.{n}", part.name()),
            };
            let path = self.files.path(&name);
            match self.write(&name, bytes) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => {
                    done.map_err(LogError::io("copying a damaged file to", path.clone()))?;
                    self.found.copies.push(path);
                    break;
                }
            }
        }
        parts::sync(self.files)
    }

    /// Puts a file with such bytes in the place of the one of its name, whole or not at all.
    fn replace(&mut self, part: Part, bytes: &[u8]) -> Result<(), LogError> {
        let (name, draft) = (part.name(), format!("{}.new", part.name()));
        let failed = LogError::io("writing", self.files.path(&draft));
        // What an attempt before has left.
        match self.files.remove(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let written = self.write(&draft, bytes).and_then(|()| self.files.rename(&draft, &name));
        written.map_err(failed)?;
        self.made.insert(part);
        parts::sync(self.files)
    }

    fn remove(&mut self, part: Part) -> Result<(), LogError> {
        let path = self.files.path(&part.name());
        self.files.remove(&part.name()).map_err(LogError::io("removing", path))?;
        parts::sync(self.files)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.files.create(name)?;
        file.append(bytes)?;
        file.sync_data()
    }
}

/// Records that follow one another.
struct Run<'a> {
    first: u64,
    records: Vec<Record<'a>>,
    /// Bytes of them.
    n_bytes: usize,
    /// Whether they stand from the header on, in order.
    is_in_place: bool,
}

impl Run<'_> {
    fn end(&self) -> u64 {
        self.first.saturating_add(wide(self.records.len()))
    }

    /// A segment of them alone. Each is a write of its own in it: all before it is on the disk.
    fn segment(&self, log_id: u128) -> Vec<u8> {
        let mut bytes = Part::segment(self.first).header(log_id, 0).to_vec();
        let seed = record::seed(log_id, self.first);
        for record in &self.records {
            record::encode(record, record.number, seed, &mut bytes);
        }
        bytes
    }
}

/// Finds all whole records from a number on, wherever they stand in a segment; pure.
fn runs(bytes: &[u8], seed: u32, from: u64) -> Vec<Run<'_>> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((header, record)) = record::find(rest, seed, from, |_| true) else {
            at += 1;
            continue;
        };
        found.entry(record.number).or_insert((at, record));
        at += header.n_bytes();
    }
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (number, (at, record)) in found {
        let n_bytes = record::n_bytes(record.payload.len());
        if let Some(run) = runs.last_mut().filter(|run| run.end() == number) {
            run.is_in_place &= at == HEADER + run.n_bytes;
            run.n_bytes += n_bytes;
            run.records.push(record);
        } else {
            let (records, is_in_place) = (vec![record], at == HEADER);
            runs.push(Run { first: number, records, n_bytes, is_in_place });
        }
    }
    runs
}
