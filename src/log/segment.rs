//! The files of a log, as names and bytes; pure.
//!
//! A segment is a file `<number of its first record, 20 digits>.seg`: a header of 64 bytes, then records.
//! Where records were lost, and someone said that the log shall go on without them, `<first lost>.gap`
//! stands in their place: a header alone. A header, little-endian: magic (8), format version (4), id of
//! the log (16), first record (8), in a gap the first record behind it (8, else zero), zeros, CRC32C of
//! all that (4, the last).

use std::fmt;

/// Bytes of a header.
pub(super) const HEADER: usize = 64;

/// The only version so far.
pub(super) const VERSION: u32 = 1;

const MAGIC_SEGMENT: [u8; 8] = *b"TAPELOG\n";
const MAGIC_GAP: [u8; 8] = *b"TAPEGAP\n";

/// A file of the log, as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The first record that it holds, or stands for.
    pub(super) first: u64,
    /// Which it is. A segment without records precedes a gap of its number.
    pub(super) kind: Kind,
}

/// What a file of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Records.
    Segment,
    /// Stands for records that were lost.
    Gap,
}

impl Part {
    /// The segment that begins with a record.
    pub(super) fn segment(first: u64) -> Self {
        Self { first, kind: Kind::Segment }
    }

    /// The gap that begins with a record.
    pub(super) fn gap(first: u64) -> Self {
        Self { first, kind: Kind::Gap }
    }

    /// Reads a file's name; `None` if it isn't the log's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, extension) = name.split_once('.')?;
        let kind = match extension {
            "seg" => Kind::Segment,
            "gap" => Kind::Gap,
            _ => return None,
        };
        let is_plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        let first = is_plain.then(|| digits.parse().ok())??;
        Some(Self { first, kind })
    }

    /// The file's name.
    pub(super) fn name(self) -> String {
        let extension = match self.kind {
            Kind::Segment => "seg",
            Kind::Gap => "gap",
        };
        format!("{:020}.{extension}", self.first)
    }

    /// The file's header. `end` is the first record behind a gap.
    pub(super) fn header(self, log_id: u128, end: u64) -> [u8; HEADER] {
        let (magic, end) = match self.kind {
            Kind::Segment => (MAGIC_SEGMENT, 0),
            Kind::Gap => (MAGIC_GAP, end),
        };
        let mut bytes = [0; HEADER];
        let fields = magic
            .into_iter()
            .chain(VERSION.to_le_bytes())
            .chain(log_id.to_le_bytes())
            .chain(self.first.to_le_bytes())
            .chain(end.to_le_bytes());
        for (place, byte) in bytes.iter_mut().zip(fields) {
            *place = byte;
        }
        if let Some((fields, crc)) = bytes.split_last_chunk_mut() {
            *crc = crc32c::crc32c(fields).to_le_bytes();
        }
        bytes
    }

    /// Checks a file's first bytes; returns the first record behind it if it is a gap.
    ///
    /// # Errors
    /// If they are not the header of this part of this log.
    pub(super) fn check(self, log_id: u128, bytes: &[u8]) -> Result<u64, HeaderFlaw> {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Err(HeaderFlaw::Short { n_bytes: bytes.len() });
        };
        let fields = Fields::read(header).ok_or(HeaderFlaw::Broken)?;
        let magic = match self.kind {
            Kind::Segment => MAGIC_SEGMENT,
            Kind::Gap => MAGIC_GAP,
        };
        if fields.magic != magic {
            return Err(HeaderFlaw::Broken);
        }
        if fields.version != VERSION {
            return Err(HeaderFlaw::Version { found: fields.version });
        }
        if fields.log_id != log_id {
            return Err(HeaderFlaw::Log { found: fields.log_id });
        }
        if fields.first != self.first {
            return Err(HeaderFlaw::First { found: fields.first });
        }
        match self.kind {
            Kind::Gap if fields.end <= self.first => Err(HeaderFlaw::Broken),
            Kind::Gap | Kind::Segment => Ok(fields.end),
        }
    }
}

/// Why bytes are not the header that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFlaw {
    /// The file is shorter.
    Short {
        /// Bytes that are there.
        n_bytes: usize,
    },
    /// Other bytes than were written.
    Broken,
    /// Of another format.
    Version {
        /// The one that it states.
        found: u32,
    },
    /// Of another log.
    Log {
        /// The one that it states.
        found: u128,
    },
    /// Of another segment.
    First {
        /// The first record that it states.
        found: u64,
    },
}

impl HeaderFlaw {
    /// Whether a write that was cut short can leave such a header; others were written whole.
    pub(super) fn may_be_torn(self) -> bool {
        match self {
            Self::Short { .. } | Self::Broken => true,
            Self::Version { .. } | Self::Log { .. } | Self::First { .. } => false,
        }
    }
}

impl fmt::Display for HeaderFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { n_bytes } => write!(f, "its header has {n_bytes} bytes of {HEADER}"),
            Self::Broken => f.write_str("its header isn't one, or its checksum differs"),
            Self::Version { found } => {
                write!(f, "its format is version {found}, this release reads {VERSION}")
            }
            Self::Log { found } => write!(f, "it belongs to another log, {found:032x}"),
            Self::First { found } => {
                write!(f, "its header says that it begins with record {found}")
            }
        }
    }
}

/// The fields of a header whose checksum is right.
struct Fields {
    magic: [u8; 8],
    version: u32,
    log_id: u128,
    first: u64,
    end: u64,
}

impl Fields {
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let (fields, crc) = header.split_last_chunk()?;
        if crc32c::crc32c(fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = fields.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (log_id, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (end, _) = rest.split_first_chunk()?;
        Some(Self {
            magic: *magic,
            version: u32::from_le_bytes(*version),
            log_id: u128::from_le_bytes(*log_id),
            first: u64::from_le_bytes(*first),
            end: u64::from_le_bytes(*end),
        })
    }
}
