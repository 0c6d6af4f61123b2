//! The log against disks that fail, tear and lie.

mod bytes;
mod crash;
mod damage;
pub(crate) mod memory;
mod rates;
mod reference;
mod salvaging;
mod threads;

use std::ops::Range;
use std::sync::Arc;

use self::memory::Memory;
use super::commit::Committer;
use super::*;
use crate::publish::testing::Chance;

/// The log of all tests.
const LOG_ID: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    number: u64,
    kind: u8,
    payload: Vec<u8>,
}

/// A record of random bytes, zeros or repeats, of up to `longest` bytes.
fn random(number: u64, longest: u64, chance: &mut Chance) -> Given {
    let n = chance.below(longest + 1);
    let of = chance.below(4);
    let byte = |chance: &mut Chance| match of {
        0 => 0,
        1 => 7,
        _ => u8::try_from(chance.below(256)).unwrap(),
    };
    let payload = (0..n).map(|_| byte(chance)).collect();
    Given { number, kind: u8::try_from(chance.below(4)).unwrap(), payload }
}

/// Segments of so many bytes, synced.
fn options(segment_bytes: u64) -> Options {
    Options { sync: Sync::Data, segment_bytes }
}

/// Opens a log for a test that commits by itself.
fn open(memory: &Memory, segment_bytes: u64) -> Result<(Writer, Committer, Recovered), LogError> {
    let found = recover(memory, LOG_ID)?;
    let files = Arc::new(memory.clone());
    let (writer, committer) =
        Writer::without_thread(files, LOG_ID, &found, options(segment_bytes))?;
    Ok((writer, committer, found))
}

/// Reads records; an error where one can't be read.
fn read(memory: &Memory, wanted: Range<u64>) -> Result<Vec<Given>, LogError> {
    let mut reader = Reader::open(Arc::new(memory.clone()), LOG_ID, wanted)?;
    let mut given = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(Record { number, kind, payload })) => {
                given.push(Given { number, kind, payload: payload.to_vec() });
            }
            Ok(None) => return Ok(given),
            Err(error) => {
                assert_eq!(reader.next_record().unwrap(), None, "nothing comes after an error");
                return Err(error);
            }
        }
    }
}

/// Makes a test of each safeguard: with it taken out, one of so many cases of a check must fail.
macro_rules! noticed {
    ($($name:ident: $safeguard:ident by $n:literal of $case:expr;)*) => {
        $(#[cfg(feature = "sabotage")]
        #[test]
        fn $name() {
            let safeguard = types::sabotage::Safeguard::$safeguard;
            types::sabotage::assert_noticed(safeguard, $n, $case);
        })*
    };
}
use noticed;
