//! What ends a command, and with which exit code.

use std::io::ErrorKind;
use std::path::PathBuf;

use connectors::ConnectError;
use connectors::error::Class;
use dataflows::cold::Failure;

use crate::config::ConfigError;

/// Why a command failed. Main prints it and what caused it once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong usage.
    #[error("{doing}")]
    Usage {
        /// What was asked for.
        doing: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A config that can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A command that looked for something wrong and found it.
    #[error("{found}")]
    Findings {
        /// What it found.
        found: String,
    },
    /// Something between us and the outside.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An operation of the system that failed.
    #[error("{doing}")]
    Io {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A data directory that another engine holds.
    #[error("taking data directory {}: another engine runs there ({holder})", path.display())]
    Held {
        /// The data directory.
        path: PathBuf,
        /// What the other one wrote into its lock.
        holder: String,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// A checkpoint that isn't as it was written.
    #[error("reading {}: {what}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An interrupted run that this one can't go on with.
    #[error("going on with the run that was interrupted: it {what}")]
    OtherRun {
        /// In what it is another one.
        what: String,
    },
    /// Rows that were read again and aren't what they were.
    #[error("going on with the run that was interrupted: {what}")]
    Changed {
        /// What differs.
        what: String,
    },
    /// A run that gives other rows for the same input.
    #[error(
        "going on with the run that was interrupted: epoch {epoch} gave {was:016x}, and gives {is:016x} now"
    )]
    Diverged {
        /// The epoch.
        epoch: u64,
        /// The digest of its changes as it was.
        was: u64,
        /// As it is.
        is: u64,
    },
    /// Rows went astray inside.
    #[error("the rows don't add up at the end of epoch {epoch}: {what}")]
    Unbalanced {
        /// The epoch.
        epoch: u64,
        /// What was counted.
        what: String,
    },
    /// History that doesn't fit into memory couldn't be kept, or read back.
    #[error("{}", .0.doing)]
    Cold(#[source] Box<Failure>),
    /// A sink.
    #[error("delivering to sink `{name}`")]
    Sink {
        /// Its name in the config.
        name: String,
        /// What went wrong.
        source: ConnectError,
    },
    /// A row that can't be used, where the config says that this ends the run.
    #[error("reading {path}, line {line}: {reason}: {detail} (`on_bad_row = \"stop\"`)")]
    BadRow {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The reason's code.
        reason: &'static str,
        /// What was found.
        detail: String,
    },
    /// Following a view of another engine.
    #[error(transparent)]
    Subscribe(#[from] crate::cli::subscribe::SubscribeError),
    /// A worker panicked.
    #[error("computing epochs {first} to {last}: a worker crashed: {what}")]
    Crashed {
        /// The first epoch that it may have been,
        first: u64,
        /// and the last.
        last: u64,
        /// What it said.
        what: String,
    },
    /// A thread of ours died.
    #[error("{0}")]
    Worker(String),
    /// A stage that finds another one gone; that one says why.
    #[error("{0}: another part of the engine has stopped")]
    Stopped(&'static str),
}

impl Error {
    /// Something that the system refused.
    pub(crate) fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// What it says, and what its causes say, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut told = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            told = format!("{told}: {error}");
            cause = error.source();
        }
        told
    }

    /// A sink that failed.
    pub(crate) fn sink(name: &str, source: ConnectError) -> Self {
        Self::Sink { name: name.to_owned(), source }
    }

    /// The exit code: 1 findings, 2 wrong usage or config, 3 failed while running, 4 something
    /// outside couldn't be reached.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Findings { .. } => 1,
            Self::Usage { .. } | Self::Config(_) => 2,
            Self::Connect(source) | Self::Sink { source, .. } => match source.class {
                Class::Broken => 3,
                Class::Away => 4,
            },
            Self::Subscribe(error) => error.exit_code(),
            Self::Io { .. }
            | Self::Held { .. }
            | Self::Log(_)
            | Self::Checkpoint { .. }
            | Self::OtherRun { .. }
            | Self::Changed { .. }
            | Self::Diverged { .. }
            | Self::Unbalanced { .. }
            | Self::Cold(_)
            | Self::BadRow { .. }
            | Self::Crashed { .. }
            | Self::Worker(_)
            | Self::Stopped(_) => 3,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } => hint.as_deref(),
            Self::Held { .. } => {
                Some("stop that one first, or set another `data_dir`: each pipeline needs its own")
            }
            Self::Log(error) => Some(error.hint()),
            Self::Checkpoint { .. } => Some(
                "the file was changed or its disk fails: `tapeline checkpoint verify` tells which \
                 checkpoints are whole, and a run takes the newest of them",
            ),
            Self::OtherRun { .. } => Some(
                "put the config (or that version) back to finish it, or start anew with `--fresh`: what it \
                 delivered stays, and counts as of another run",
            ),
            Self::Changed { .. } => {
                Some("put the file back as it was, or start anew with `--fresh`")
            }
            Self::Crashed { .. } => Some(
                "this is a bug of Tapeline: please report it. Start again to go on: where one row does it, it \
                 goes to quarantine after the third time",
            ),
            Self::Unbalanced { .. } => Some("this is a bug of Tapeline: please report it"),
            Self::Diverged { .. } => Some(
                "this is a bug of Tapeline, or memory that fails: please report it; `--fresh` starts anew",
            ),
            Self::Connect(error) | Self::Sink { source: error, .. } => error.hint.as_deref(),
            Self::Cold(failure) => Some(match failure.source.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                    "the file was changed by another or its disk fails: run again, with `data_dir` on \
                     another disk"
                }
                _ => {
                    "free space there, set `data_dir` to a folder that can be written and has room, or \
                     raise `history_memory`"
                }
            }),
            _ => None,
        }
    }
}
