//! What goes wrong between us and the outside.

use std::path::{Path, PathBuf};

/// Whether trying again may help, and with which exit code a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Broken here: a file, a permission, a layout. Exit 3.
    Broken,
    /// Something outside can't be reached or refuses for now. Exit 4.
    Away,
}

/// What was being done, to what, and why it failed. Lower case, no full stop; a hint apart.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct ConnectError {
    /// What was being done, to what, where.
    pub doing: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether trying again may help.
    pub class: Class,
    /// What the system or library said.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ConnectError {
    /// Something broken here.
    pub fn broken(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), hint: None, class: Class::Broken, source: None }
    }

    /// Something outside that is away.
    pub fn away(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), hint: None, class: Class::Away, source: None }
    }

    /// An operation on a file that failed.
    pub fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::broken(format!("{doing} {}", path.display())).because(source)
    }

    /// Adds what the system or library said.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A path relative to the config's folder.
pub(crate) fn resolve(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}
