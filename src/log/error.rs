//! Why the log can't go on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What went wrong with the log. All who wait for it are told the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused something. Where it was a write or a sync, what reached the disk is unknown,
    /// so it is never tried again: only opening the log anew tells.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The log isn't as it was written, and not because a write was cut short.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// A record that is too long; the log is as before.
    #[error("appending {n_bytes} bytes to the log: a record holds {limit} at most")]
    TooLong {
        /// Bytes of its payload.
        n_bytes: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// Records that aren't in the log any more.
    #[error("reading record {number} of the log, which begins with record {first}")]
    CutAway {
        /// The record.
        number: u64,
        /// The first that is there.
        first: u64,
    },
    /// Records that aren't in the log yet.
    #[error("reading record {number} of the log, which ends before record {end}")]
    NotThere {
        /// The record.
        number: u64,
        /// The first that isn't there.
        end: u64,
    },
    /// The writer has ended, so what is waited for doesn't come.
    #[error("waiting for the log: its writer has ended")]
    Ended,
}

/// Where a log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading {}, byte {offset}, where record {expected} should be: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The record that should begin there.
    pub expected: u64,
    /// What is there instead.
    pub what: String,
}

impl LogError {
    /// Makes an error of the system's.
    pub(super) fn io(doing: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path, source: Arc::new(source) }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space there and start again: nothing that was acknowledged is lost"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "let this user write there, or set `data_dir` to another folder"
                }
                _ => {
                    "look at the disk (`dmesg`), then start again, on another disk if it fails: \
                     what was acknowledged is kept"
                }
            },
            Self::Damaged(_) => {
                "restore the file from a copy; or put it aside with `--salvage`: what it held is read \
                 again from the sources; or start anew with `--fresh`"
            }
            Self::TooLong { .. } => "split what is appended",
            Self::CutAway { .. } => "start from a newer checkpoint, or restore the older segments",
            Self::NotThere { .. } => {
                "restore the newer segments, or start from an older checkpoint"
            }
            Self::Ended => "the first error says why it ended",
        }
    }
}
