//! On open: checks every record, and tells a tail that a crash tore from damage.

use std::ops::Range;
use std::path::PathBuf;

use types::sabotage::{Safeguard, is_out};

use super::error::LogError;
use super::parts::{self, Opening, Scanner, Step};
use super::record::{self, Header};
use super::segment::{HEADER, Kind, Part};
use super::wide;
use crate::env::Files;
use crate::limits;

/// A log that was checked, and is durable as far as it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The records that it holds, but for those of `gaps`.
    pub records: Range<u64>,
    /// Records that were lost earlier, when the log was salvaged.
    pub gaps: Vec<Range<u64>>,
    /// The torn tail that was cut, if there was one.
    pub torn: Option<Torn>,
    /// The segment to go on with, and its bytes; none if one is to be made.
    pub(super) last: Option<(Part, u64)>,
}

/// What a write that a crash cut short had left. None of it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes that were cut.
    pub n_bytes: u64,
}

/// Checks the log; cuts its torn tail, if it has one. What it then holds is on the disk.
///
/// # Errors
/// If the log is damaged, in another way than by a write that was cut short, or the system refuses
/// something. A damaged log is left as it is.
pub fn recover(files: &dyn Files, log_id: u128) -> Result<Recovered, LogError> {
    let parts = parts::list(files)?;
    let first = parts.first().map_or(1, |part| part.first);
    let mut found = Recovered { records: first..first, gaps: Vec::new(), torn: None, last: None };
    for (i, part) in parts.iter().enumerate() {
        let is_last = i + 1 == parts.len();
        check(files, log_id, (*part, is_last), &mut found)?;
    }
    parts::sync(files)?;
    Ok(found)
}

/// Checks one file behind what was found before.
fn check(
    files: &dyn Files,
    log_id: u128,
    (part, is_last): (Part, bool),
    found: &mut Recovered,
) -> Result<(), LogError> {
    let (scanner, opening) = Scanner::open(files, log_id, part)?;
    let next = found.records.end;
    if let Opening::Flaw(flaw) = opening {
        let may_be_torn = flaw.may_be_torn() || is_out(Safeguard::LogTornOrDamaged);
        let is_newest = is_last && part.first == next && part.kind == Kind::Segment;
        if !(is_newest && may_be_torn) {
            return Err(scanner.damage_at(0, next, &flaw));
        }
        // The header was synced before any record was written: with a record there it was whole.
        verdict(&scanner, (0, next), |_| true, &flaw)?;
        renew_header(files, log_id, part)?;
        found.torn = Some(torn(&scanner, 0));
        found.last = Some((part, wide(HEADER)));
        return Ok(());
    }
    if part.first != next {
        let first = part.first;
        let what = format!("the file begins with record {first}: records are missing or doubled");
        return Err(scanner.damage_at(0, next, &what));
    }
    if let Opening::Gap(end) = opening {
        if scanner.n_bytes() != wide(HEADER) {
            return Err(scanner.damage(&"bytes behind the header of a gap"));
        }
        found.gaps.push(next..end);
        found.records.end = end;
        found.last = None;
        return Ok(());
    }
    check_records(files, (part, is_last), scanner, found)
}

/// Checks the records of a segment that begins as it should.
fn check_records(
    files: &dyn Files,
    (part, is_last): (Part, bool),
    mut scanner: Scanner,
    found: &mut Recovered,
) -> Result<(), LogError> {
    let flaw = loop {
        match scanner.next()? {
            Step::Record => {}
            Step::End => break None,
            Step::Flaw(flaw) => break Some(flaw),
        }
    };
    let (end, expected) = (scanner.offset(), scanner.expected());
    if let Some(flaw) = flaw {
        if !is_last {
            return Err(scanner.damage(&flaw));
        }
        // One that belongs to the write of the bad one shows nothing: its sectors came in any order.
        let shows = |later: &Header| {
            later.number > expected
                && (later.write_began() > expected || is_out(Safeguard::LogTornByWrite))
        };
        verdict(&scanner, (end, expected), shows, &flaw)?;
        found.torn = Some(torn(&scanner, end));
    }
    settle(files, part, flaw.map(|_| end))?;
    found.records.end = expected;
    found.last = Some((part, end));
    Ok(())
}

/// Decides what a bad record in the last segment is: damage if a later record shows that the disk had
/// it. `shows` says which records behind it do.
fn verdict(
    scanner: &Scanner,
    (offset, expected): (u64, u64),
    shows: impl Fn(&Header) -> bool,
    flaw: &dyn std::fmt::Display,
) -> Result<(), LogError> {
    if is_out(Safeguard::LogTornOrDamaged) {
        return Ok(());
    }
    let longest = limits::LOG_SEGMENT_BYTES_MAX + wide(record::n_bytes(limits::LOG_PAYLOAD_BYTES));
    if scanner.n_bytes() > longest {
        let what = format!("{flaw}; and no segment is as long as this file");
        return Err(scanner.damage_at(offset, expected, &what));
    }
    let rest = scanner.rest(offset)?;
    // A whole record is checked once. What only looks like many, each inside the one before,
    // would take hours: somebody has made it so.
    let (mut n_checked, most) = (0, wide(rest.len()).saturating_mul(CHECKED_TIMES));
    let is_to_check = |later: &Header| {
        let shows = n_checked <= most && shows(later);
        n_checked += if shows { wide(later.n_bytes()) } else { 0 };
        shows
    };
    match find_later(&rest, scanner.seed(), expected, is_to_check) {
        None if n_checked > most => {
            let what = format!("{flaw}; and more than can be checked looks like later records");
            Err(scanner.damage_at(offset, expected, &what))
        }
        None => Ok(()),
        Some((behind, number)) => {
            let at = offset + wide(behind);
            let what = format!("{flaw}; but record {number}, at byte {at}, was written later");
            Err(scanner.damage_at(offset, expected, &what))
        }
    }
}

/// How often each byte behind a bad record may be checked, on average.
const CHECKED_TIMES: u64 = 64;

/// Looks for a later whole record at any place; pure. Returns place and number.
fn find_later(
    bytes: &[u8],
    seed: u32,
    from: u64,
    mut shows: impl FnMut(&Header) -> bool,
) -> Option<(usize, u64)> {
    (0..bytes.len()).find_map(|at| {
        let (header, _) = record::find(bytes.get(at..)?, seed, from, &mut shows)?;
        Some((at, header.number))
    })
}

fn torn(scanner: &Scanner, offset: u64) -> Torn {
    Torn { path: scanner.path(), offset, n_bytes: scanner.n_bytes() - offset }
}

/// Cuts a segment's torn tail, if it has one. What is before it is on the disk then: a process that was
/// killed, or one that doesn't sync, may not have seen to that.
fn settle(files: &dyn Files, part: Part, cut_at: Option<u64>) -> Result<(), LogError> {
    let path = files.path(&part.name());
    let settled = files.open(&part.name()).and_then(|mut file| {
        if let Some(n_bytes) = cut_at {
            file.set_len(n_bytes)?;
        }
        file.sync_data()
    });
    settled.map_err(LogError::io("cutting the torn tail of, or syncing,", path))
}

/// Gives a segment that holds nothing its header again. It isn't removed, since its name alone may
/// tell the next number.
fn renew_header(files: &dyn Files, log_id: u128, part: Part) -> Result<(), LogError> {
    let path = files.path(&part.name());
    let renewed = files.open(&part.name()).and_then(|mut file| {
        file.set_len(0)?;
        file.append(&part.header(log_id, 0))?;
        file.sync_data()
    });
    renewed.map_err(LogError::io("writing the torn header of", path))
}
