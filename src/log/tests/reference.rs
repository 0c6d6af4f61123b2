//! What a log's files hold, decided slowly and obviously by one who knows what was written. Shares no
//! code with the log: it compares bytes, computes no checksum and believes no field.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

pub(super) type FileSet = BTreeMap<String, Vec<u8>>;

/// A log as it was written.
pub(super) struct Original {
    pub(super) files: FileSet,
    /// An earlier state of it.
    pub(super) stale: FileSet,
    /// The same records in another log.
    pub(super) foreign: FileSet,
    pub(super) given: Vec<Given>,
    segments: BTreeMap<u64, Segment>,
}

/// A segment as it was written.
struct Segment {
    header: Vec<u8>,
    /// Its records' bytes, each with its number and the first record of its write.
    records: Vec<(u64, u64, Vec<u8>)>,
}

/// What to make of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Whole { records: Range<u64> },
    Torn { records: Range<u64>, name: String, offset: usize },
    Damaged { name: String, offset: usize },
}

impl Original {
    /// Takes a log apart. `write_began` has the first record of each record's write.
    pub(super) fn new(
        (files, stale, foreign): (FileSet, FileSet, FileSet),
        given: Vec<Given>,
        write_began: &[u64],
    ) -> Self {
        let mut segments = BTreeMap::new();
        for (name, bytes) in &files {
            let first = first_of(name);
            let (header, mut rest) = bytes.split_at(64);
            let mut records = Vec::new();
            for record in &given[narrow(first - 1)..] {
                if rest.is_empty() {
                    break;
                }
                let (bytes, more) = rest.split_at(21 + record.payload.len());
                let began = write_began[narrow(record.number - 1)];
                records.push((record.number, began, bytes.to_vec()));
                rest = more;
            }
            segments.insert(first, Segment { header: header.to_vec(), records });
        }
        Self { files, stale, foreign, given, segments }
    }

    pub(super) fn decide(&self, files: &FileSet) -> Decision {
        let Some(first) = files.keys().next().map(|name| first_of(name)) else {
            return Decision::Whole { records: 1..1 };
        };
        let mut next = first;
        for (i, (name, bytes)) in files.iter().enumerate() {
            let is_last = i + 1 == files.len();
            let damaged = |offset| Decision::Damaged { name: name.clone(), offset };
            let torn = |next, offset| {
                let (records, name) = (first..next, name.clone());
                Decision::Torn { records, name, offset }
            };
            let starts = first_of(name);
            if !self.has_own_header(starts, bytes) {
                let is_of_another = self.is_some_header(bytes);
                let holds_some =
                    self.records(starts).iter().any(|(.., record)| holds(bytes, record));
                if is_last && starts == next && !is_of_another && !holds_some {
                    return torn(next, 0);
                }
                return damaged(0);
            }
            if starts != next {
                return damaged(0);
            }
            let mut at = 64;
            for (_, _, record) in self.records(starts) {
                if !bytes[at..].starts_with(record) {
                    break;
                }
                at += record.len();
                next += 1;
            }
            if at == bytes.len() {
                continue;
            }
            let shows = |(number, began, record): &(u64, u64, Vec<u8>)| {
                *number > next && *began > next && holds(&bytes[at..], record)
            };
            if !is_last || self.records(starts).iter().any(shows) {
                return damaged(at);
            }
            return torn(next, at);
        }
        Decision::Whole { records: first..next }
    }

    /// The records that are anywhere in the file that they were written to; no byte is part of two.
    pub(super) fn that_survive(&self, files: &FileSet) -> BTreeSet<u64> {
        let mut survive = BTreeSet::new();
        for (name, bytes) in files {
            let records = self.records(first_of(name));
            let mut at = 0;
            while at < bytes.len() {
                let here = records.iter().find(|(.., record)| bytes[at..].starts_with(record));
                survive.extend(here.map(|(number, ..)| *number));
                at += here.map_or(1, |(.., record)| record.len());
            }
        }
        survive
    }

    /// Where the records of a segment stand in it.
    pub(super) fn places(&self, first: u64) -> Vec<Range<usize>> {
        let mut at = 64;
        let mut place = |record: &[u8]| {
            at += record.len();
            at - record.len()..at
        };
        self.records(first).iter().map(|(.., record)| place(record)).collect()
    }

    fn records(&self, first: u64) -> &[(u64, u64, Vec<u8>)] {
        self.segments.get(&first).map(|segment| &*segment.records).unwrap_or_default()
    }

    fn has_own_header(&self, first: u64, bytes: &[u8]) -> bool {
        self.segments.get(&first).is_some_and(|segment| bytes.starts_with(&segment.header))
    }

    fn is_some_header(&self, bytes: &[u8]) -> bool {
        self.files.values().chain(self.foreign.values()).any(|file| bytes.starts_with(&file[..64]))
    }
}

/// The number that a file's name begins with.
pub(super) fn first_of(name: &str) -> u64 {
    name.split('.').next().unwrap().parse().unwrap()
}

/// Whether some bytes are anywhere among others.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
