//! A manifest: what a checkpoint is made of. A small file, whole or not there.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `TAPECKPT` |
//! | 4 | the version of the format, little-endian |
//! | 4 | bytes of the content |
//! | 4 | CRC32C of the content |
//! | .. | [`Manifest`], by postcard |

use serde::{Deserialize, Serialize};

use crate::ingest::Counts;

/// The version of manifests and runs. One of another version is told as such, never misread.
pub(crate) const FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"TAPECKPT";
const HEAD: usize = 20;

/// What a checkpoint is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The version of Tapeline that wrote it.
    pub(crate) engine: String,
    /// The log of which it is.
    pub(crate) log_id: u128,
    /// What is computed ([`crate::config::EnginePlan::digest`]).
    pub(crate) plan: u128,
    /// The version of the log's entries, which are those of runs.
    pub(crate) entries: u32,
    /// The last epoch that is in it.
    pub(crate) epoch: u64,
    /// The watermark at its end, in nanoseconds.
    pub(crate) watermark: i64,
    /// Rows by outcome, from the start of the run to the end of the epoch.
    pub(crate) counts: Counts,
    /// The greatest event time of each relation, in nanoseconds.
    pub(crate) greatest: Vec<i64>,
    /// The first record of the log that isn't in it.
    pub(crate) next_record: u64,
    /// Its runs, in the order of their epochs.
    pub(crate) runs: Vec<RunRef>,
}

/// A run, as a manifest knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRef {
    /// Its number, which is its name.
    pub(crate) number: u64,
    /// Its first and last epoch.
    pub(crate) epochs: (u64, u64),
    /// Bytes of its file,
    pub(crate) n_bytes: u64,
    /// and their CRC32C.
    pub(crate) crc: u32,
    /// Events in it.
    pub(crate) n_events: u64,
    /// Of them, those that may supersede one before.
    pub(crate) n_revising: u64,
    /// Events of its epochs that were left out: others have superseded them.
    pub(crate) n_superseded: u64,
}

impl Manifest {
    /// Events in all runs.
    pub(crate) fn n_events(&self) -> u64 {
        self.runs.iter().map(|run| run.n_events).sum()
    }

    /// Events that were left out.
    pub(crate) fn n_superseded(&self) -> u64 {
        self.runs.iter().map(|run| run.n_superseded).sum()
    }

    /// Bytes of all runs.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.n_bytes).sum()
    }

    /// The bytes of its file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let content = postcard::to_stdvec(self).expect("numbers and texts always encode");
        let n_bytes = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let crc = crc32c::crc32c(&content);
        let head = MAGIC.into_iter().chain(FORMAT.to_le_bytes()).chain(n_bytes.to_le_bytes());
        head.chain(crc.to_le_bytes()).chain(content).collect()
    }

    /// Reads a file; says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let short = || format!("it has {} bytes, which is no manifest", bytes.len());
        let (head, content) = bytes.split_at_checked(HEAD).ok_or_else(short)?;
        let (magic, numbers) = head.split_at_checked(MAGIC.len()).ok_or_else(short)?;
        if magic != MAGIC {
            return Err("it doesn't begin as a manifest does".to_owned());
        }
        let mut numbers = numbers.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let [format, n_bytes, crc] = [(); 3].map(|()| numbers.next().unwrap_or_default());
        if format != FORMAT {
            return Err(format!("its format is version {format}, this release reads {FORMAT}"));
        }
        if usize::try_from(n_bytes) != Ok(content.len()) || crc32c::crc32c(content) != crc {
            return Err("its checksum differs".to_owned());
        }
        postcard::from_bytes(content).map_err(|error| format!("it can't be read: {error}"))
    }
}

impl RunRef {
    /// The name of its file.
    pub(super) fn name(&self) -> String {
        run_name(self.number)
    }
}

/// The name of a run's file.
pub(super) fn run_name(number: u64) -> String {
    format!("{number:012}.run")
}

/// The name of the manifest of an epoch.
pub(super) fn manifest_name(epoch: u64) -> String {
    format!("{epoch:020}.manifest")
}

/// The number in a name with such an ending; `None` of other files.
pub(super) fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
