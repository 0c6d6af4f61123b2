//! What ends a command, and with which exit code.

use connectors::ConnectError;
use connectors::error::Class;

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
}

impl Error {
    /// The exit code: 1 findings, 2 wrong usage or config, 3 failed while running, 4 something
    /// outside couldn't be reached.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Findings { .. } => 1,
            Self::Usage { .. } | Self::Config(_) => 2,
            Self::Connect(ConnectError { class: Class::Broken, .. }) | Self::Io { .. } => 3,
            Self::Connect(ConnectError { class: Class::Away, .. }) => 4,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } => hint.as_deref(),
            Self::Connect(error) => error.hint.as_deref(),
            Self::Config(_) | Self::Findings { .. } | Self::Io { .. } => None,
        }
    }
}
