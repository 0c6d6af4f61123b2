//! `Error`: which stage, doing what. The chain is printed once, in `main`.

use std::error::Error as _;
use std::fmt::Write as _;

use connectors::ConnectError;
use connectors::error::Class;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A config with problems; they are told already, one by one.
    #[error("{0} problems in the config")]
    Config(usize),
    /// Wrong usage.
    #[error("{0}")]
    Usage(String),
    /// Findings: a test failed, or rows are in quarantine and the run is strict.
    #[error("{0}")]
    Findings(String),
    /// A source or a file.
    #[error("{}", .0.doing)]
    Connect(#[source] ConnectError),
    /// A sink.
    #[error("delivering to sink `{name}`: {}", source.doing)]
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
    /// The system.
    #[error("{doing}")]
    Io {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of ours died.
    #[error("{0}")]
    Worker(String),
    /// Another stage is gone; it says why itself.
    #[error("{0}: another part of the engine has stopped")]
    Stopped(&'static str),
    /// Something outside can't be reached.
    #[error("{0}")]
    Away(String),
}

impl Error {
    /// Something that the system refused.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// A sink that failed.
    pub fn sink(name: &str, source: ConnectError) -> Self {
        Self::Sink { name: name.to_owned(), source }
    }

    /// A thread that died.
    pub fn worker(message: String) -> Self {
        Self::Worker(message)
    }

    /// A stage that finds another one gone.
    pub const fn stopped(doing: &'static str) -> Self {
        Self::Stopped(doing)
    }

    /// The exit code (SEMANTICS section 10).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Findings(_) => 1,
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Connect(source) | Self::Sink { source, .. } => match source.class {
                Class::Broken => 3,
                Class::Away => 4,
            },
            Self::BadRow { .. } | Self::Io { .. } | Self::Worker(_) | Self::Stopped(_) => 3,
            Self::Away(_) => 4,
        }
    }

    /// The whole chain, one cause a line, and what to do.
    pub fn describe(&self) -> String {
        let mut text = format!("error: {self}");
        let (mut cause, hint) = match self {
            Self::Connect(source) | Self::Sink { source, .. } => {
                (source.source(), source.hint.as_deref())
            }
            other => (other.source(), None),
        };
        while let Some(source) = cause {
            // Writing to a String can't fail.
            drop(write!(text, "\n  because: {source}"));
            cause = source.source();
        }
        if let Some(hint) = hint {
            drop(write!(text, "\n  hint: {hint}"));
        }
        text
    }
}

impl From<ConnectError> for Error {
    fn from(source: ConnectError) -> Self {
        Self::Connect(source)
    }
}
