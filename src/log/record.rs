//! A record as bytes; pure. All numbers are little-endian:
//!
//! | bytes | what |
//! |--:|---|
//! | 4 | length of the payload in bytes |
//! | 4 | CRC32C of all other bytes of the record, from the segment's seed |
//! | 8 | number: consecutive over the whole log, so that stale, swapped and repeated blocks are noticed |
//! | 4 | back: how many records before this one the write that it was part of began |
//! | 1 | kind, the caller's |
//! | | payload |
//!
//! `back` tells a torn tail from damage. One write at most is not yet synced when the machine stops, and
//! its sectors may reach the disk in any order: a hole in it, with whole records behind, is no damage.
//! But what was written after a sync says that all before it had been on the disk.

use std::fmt;

use types::sabotage::{Safeguard, is_out};

use crate::limits;

/// Bytes in front of a payload.
pub(super) const HEADER: usize = 21;

/// What one append put into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the log, counted from 1.
    pub number: u64,
    /// What its payload is; the log doesn't look.
    pub kind: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// Why bytes are not the record that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file ends inside the record.
    Short {
        /// Bytes that are there.
        n_bytes: u64,
    },
    /// A length beyond the limit.
    Long {
        /// The length that it states.
        n_payload: usize,
    },
    /// Another number.
    Number {
        /// The one that it states.
        found: u64,
    },
    /// Other bytes than were written, or a record of another log or segment.
    Checksum,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { n_bytes } => write!(f, "the file ends after {n_bytes} bytes of it"),
            Self::Long { n_payload } => write!(
                f,
                "it states {n_payload} bytes, more than {} can't be",
                limits::LOG_PAYLOAD_BYTES
            ),
            Self::Number { found } => write!(f, "it states the number {found}"),
            Self::Checksum => f.write_str("its checksum differs"),
        }
    }
}

/// The fields in front of a payload, as they were read: true only once the checksum was compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) n_payload: usize,
    crc: u32,
    /// The record's number.
    pub(super) number: u64,
    back: u32,
    kind: u8,
}

impl Header {
    /// Takes the fields apart; `None` where there are too few bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (back, rest) = rest.split_first_chunk()?;
        Some(Self {
            n_payload: usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX),
            crc: u32::from_le_bytes(*crc),
            number: u64::from_le_bytes(*number),
            back: u32::from_le_bytes(*back),
            kind: *rest.first()?,
        })
    }

    /// The first record of the write that this one was part of: all before it was durable then.
    pub(super) fn write_began(&self) -> u64 {
        self.number.saturating_sub(u64::from(self.back))
    }

    /// Bytes of the whole record.
    pub(super) fn n_bytes(&self) -> usize {
        n_bytes(self.n_payload)
    }
}

/// Bytes of a record with such a payload.
pub(super) fn n_bytes(n_payload: usize) -> usize {
    n_payload.saturating_add(HEADER)
}

/// Returns the seed of a segment's checksums, so that no record of another log or segment verifies.
pub(super) fn seed(log_id: u128, first: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&log_id.to_le_bytes()), &first.to_le_bytes())
}

/// Appends a record's bytes. `write_began` is the first record of the write that it is part of.
///
/// # Panics
/// If the payload is longer than the limit, which the caller has checked.
pub(super) fn encode(record: &Record<'_>, write_began: u64, seed: u32, bytes: &mut Vec<u8>) {
    assert!(record.payload.len() <= limits::LOG_PAYLOAD_BYTES, "the length of a payload");
    let length = u32::try_from(record.payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    // No write holds as many records as 32 bits count: `limits::LOG_QUEUE_BYTES`.
    let back = record.number.saturating_sub(write_began);
    let back = u32::try_from(back).unwrap_or(u32::MAX);
    let begin = bytes.len();
    bytes.reserve(n_bytes(record.payload.len()));
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&record.number.to_le_bytes());
    bytes.extend_from_slice(&back.to_le_bytes());
    bytes.push(record.kind);
    bytes.extend_from_slice(record.payload);
    if let Some((front, rest)) = bytes.split_at_mut(begin).1.split_first_chunk_mut::<8>() {
        let (length, crc) = front.split_at_mut(4);
        crc.copy_from_slice(&checksum(seed, length, rest).to_le_bytes());
    }
}

/// Reads the record that these bytes begin with, whatever its number.
///
/// # Errors
/// If they don't begin with a whole one of this segment.
pub(super) fn decode(bytes: &[u8], seed: u32) -> Result<(Header, Record<'_>), Flaw> {
    let short = Flaw::Short { n_bytes: super::wide(bytes.len()) };
    let header = Header::read(bytes).ok_or(short)?;
    if header.n_payload > limits::LOG_PAYLOAD_BYTES {
        return Err(Flaw::Long { n_payload: header.n_payload });
    }
    let bytes = bytes.get(..header.n_bytes()).ok_or(short)?;
    let (length, rest) = bytes.split_at_checked(4).ok_or(short)?;
    let (payload, rest) = (bytes.get(HEADER..).ok_or(short)?, rest.get(4..).ok_or(short)?);
    let is_whole = checksum(seed, length, rest) == header.crc;
    if !is_whole && !is_out(Safeguard::LogChecksum) {
        return Err(Flaw::Checksum);
    }
    Ok((header, Record { number: header.number, kind: header.kind, payload }))
}

/// Returns the record that bytes begin with if it is whole, has a number from `from` on and is wanted.
/// For places where no record need begin: cheap questions come first, and few places get past them.
pub(super) fn find<'a>(
    bytes: &'a [u8],
    seed: u32,
    from: u64,
    mut is_wanted: impl FnMut(&Header) -> bool,
) -> Option<(Header, Record<'a>)> {
    let header = Header::read(bytes)?;
    let is_near = header.number.checked_sub(from).is_some_and(|ahead| ahead < IN_A_SEGMENT);
    let may_be = is_near && header.n_bytes() <= bytes.len() && is_wanted(&header);
    if may_be { decode(bytes, seed).ok() } else { None }
}

/// No segment holds more records.
const IN_A_SEGMENT: u64 = limits::LOG_SEGMENT_BYTES_MAX / 16;

/// The checksum of a record's length and of all behind the checksum's own place.
fn checksum(seed: u32, length: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, length), rest)
}
