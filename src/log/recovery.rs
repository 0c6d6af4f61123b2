//! On open: checks every record, and tells a tail that a crash tore from damage.

use std::ops::Range;
use std::path::PathBuf;

use types::sabotage::{Safeguard, is_out};

use super::error::LogError;
use super::files::Files;
use super::parts::{self, Opening, Scanner, Step};
use super::record::{self, Header};
use super::segment::{HEADER, Kind, Part};
use super::wide;
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
    // What a killed process wrote can be read, but need not be on the disk yet.
    files.sync().map_err(LogError::io("syncing the log's folder", files.path("")))?;
    Ok(found)
}

/// Checks one file behind what was found before.
fn check(
    files: &dyn Files,
    log_id: u128,
    (part, is_last): (Part, bool),
    found: &mut Recovered,
) -> Result<(), LogError> {
    let (mut scanner, opening) = Scanner::open(files, log_id, part)?;
    let next = found.records.end;
    let begin = match opening {
        Opening::Flaw(flaw)
            if is_last
                && part.first == next
                && part.kind == Kind::Segment
                && (flaw.may_be_torn() || is_out(Safeguard::LogTornOrDamaged)) =>
        {
            // The header was synced before any record was written: with a record there it was whole.
            verdict(&scanner, (0, part.first), |_| true, &flaw)?;
            found.torn = Some(torn(&scanner, 0));
            renew_header(files, log_id, part)?;
            found.last = Some((part, wide(HEADER)));
            return Ok(());
        }
        Opening::Flaw(flaw) => return Err(scanner.damage_at(0, next, &flaw)),
        Opening::Gap(end) => end,
        Opening::Segment => part.first,
    };
    if part.first != next {
        let what =
            format!("the file begins with record {}: records are missing or doubled", part.first);
        return Err(scanner.damage_at(0, next, &what));
    }
    if let Opening::Gap(end) = opening {
        found.gaps.push(next..end);
        found.records.end = begin;
        found.last = None;
        return match scanner.n_bytes() == wide(HEADER) {
            true => Ok(()),
            false => Err(scanner.damage(&"bytes behind the header of a gap")),
        };
    }
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
    if is_last {
        cut(files, part, end, flaw.is_some())?;
    }
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
    match find_later(&rest, scanner.seed(), expected, shows) {
        None => Ok(()),
        Some((behind, number)) => {
            let at = offset + wide(behind);
            let what = format!("{flaw}; but record {number}, at byte {at}, was written later");
            Err(scanner.damage_at(offset, expected, &what))
        }
    }
}

/// Looks for a later whole record at any place; pure. Returns place and number.
fn find_later(
    bytes: &[u8],
    seed: u32,
    from: u64,
    shows: impl Fn(&Header) -> bool,
) -> Option<(usize, u64)> {
    (0..bytes.len()).find_map(|at| {
        let (header, _) = record::find(bytes.get(at..)?, seed, from, &shows)?;
        Some((at, header.number))
    })
}

fn torn(scanner: &Scanner, offset: u64) -> Torn {
    Torn { path: scanner.path(), offset, n_bytes: scanner.n_bytes() - offset }
}

/// Cuts a segment's torn tail; what is before it is on the disk then.
fn cut(files: &dyn Files, part: Part, n_bytes: u64, is_torn: bool) -> Result<(), LogError> {
    let path = files.path(&part.name());
    let cut = files.open(&part.name()).and_then(|mut file| {
        if is_torn {
            file.set_len(n_bytes)?;
        }
        file.sync_data()
    });
    cut.map_err(LogError::io("cutting the torn tail of", path))
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
