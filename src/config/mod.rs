//! The config: TOML in, [`EnginePlan`] or all problems out. [`load`] is the only way in.
//!
//! Two steps: [`mod@file`] is the config as written, each value with its place; [`check`] makes of it
//! the config as used ([`plan`]), in which no name is left to look up. Options are read by the tables
//! of the parts themselves ([`sections`], operators, sources, sinks), so that a new one is checked,
//! explained and listed as soon as it is in its list.
//!
//! Problems bear one of these codes:
//!
//! | code | what is wrong |
//! |---|---|
//! | `syntax` | a file isn't TOML |
//! | `variable` | `${..}` is malformed, or names a variable that isn't set |
//! | `unknown_section`, `missing_section`, `repeated_section` | a section |
//! | `unknown_option`, `missing_option`, `wrong_option` | a key |
//! | `wrong_type`, `wrong_value` | the value of a key |
//! | `bad_name`, `name_taken` | a name that someone chose |
//! | `unknown_type`, `unknown_operator`, `unknown_kind` | what isn't compiled in, or never was |
//! | `unknown_relation`, `unknown_view`, `unknown_column` | a name that nothing has |
//! | `bad_expression` | an expression: its text, names or types |
//! | `cycle`, `wrong_input` | a view that reads itself or alerts, or rows of a wrong kind |
//! | `no_origin`, `two_origins`, `format_and_unit`, `zone_without_format`, `unusable_mapping` | how a column is mapped |
//! | `two_identities`, `identity_without_id`, `operation_without_identity`, `correct_without_revision`, `no_corrections` | how rows are replaced and removed |
//! | `null_in_key` | a key column of a declared relation |
//! | `not_keyed` | a view that can't be held, since many rows have one key |
//! | `path_taken` | where a sink would write over another's files, or over what is read |
//! | `not_loopback` | where the server listens |
//! | `unusable_row` | a test's row that its relation refuses |
//! | `unfed_relation` | a warning: a view reads what no source feeds |
//! | `unheard_rate` | a warning: a rule's rate, and no sink that goes by it, or a sink's rate, and no alerts |
//! | `unheard_age` | a warning: a webhook's `max_age`, and its `replay`, with which no alert is too old |

mod cases;
mod check;
mod columns;
mod digest;
mod file;
pub mod message;
mod options;
mod places;
pub mod plan;
mod relations;
pub mod sections;
mod sinks;
mod sources;
pub mod text;
mod variables;
mod views;

use std::fmt;
use std::path::{Path, PathBuf};

use connectors::{SINKS, SOURCES, SinkKind, SourceKind};
use dataflows::operators::alert::ALERT;
use dataflows::operators::{OPERATORS, Operator};
use types::options::Problem;

pub(crate) use options::bytes;
pub use plan::EnginePlan;
pub use text::Texts;

/// The lists that a config is checked against.
#[derive(Clone, Copy)]
pub struct Registry {
    /// What `[sources.NAME]` can be.
    pub sources: &'static [SourceKind],
    /// What `[views.NAME]` can be.
    pub operators: &'static [&'static dyn Operator],
    /// What `[sinks.NAME]` can be.
    pub sinks: &'static [SinkKind],
    /// What `[alerts.NAME]` is.
    pub alert: Option<&'static dyn Operator>,
}

impl Registry {
    /// What is compiled in.
    pub fn compiled() -> Self {
        Self { sources: SOURCES, operators: OPERATORS, sinks: SINKS, alert: Some(ALERT) }
    }
}

/// What a config is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run it: the views of sinks and server leave the dataflow.
    Run,
    /// To run its tests: what they expect leaves it as well.
    Test,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum ConfigError {
    /// The config has problems.
    Problems {
        /// The text that they are in.
        texts: Texts,
        /// All of them, in the order of the text.
        problems: Vec<Problem>,
    },
    /// A folder without a config file.
    NoFile {
        /// The folder.
        path: PathBuf,
    },
    /// A file that can't be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems { problems, .. } => match problems.len() {
                1 => write!(f, "the config has a problem"),
                n => write!(f, "the config has {n} problems"),
            },
            Self::NoFile { path } => write!(f, "reading config {}: no .toml file", path.display()),
            Self::Read { path, .. } => write!(f, "reading config {}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Problems { .. } | Self::NoFile { .. } => None,
        }
    }
}

/// Loads a config, a file or a folder, to run it. `env` gives the environment's variables.
///
/// # Errors
/// All problems at once, or a file that can't be read. Opens no data.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<EnginePlan, ConfigError> {
    load_with(path, env, &Registry::compiled(), Purpose::Run)
}

/// Loads a config to run its tests.
///
/// # Errors
/// As [`load`].
pub fn load_for_test(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<EnginePlan, ConfigError> {
    load_with(path, env, &Registry::compiled(), Purpose::Test)
}

/// Loads a config against other lists than the compiled ones.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    registry: &Registry,
    purpose: Purpose,
) -> Result<EnginePlan, ConfigError> {
    let written = file::read(path, env)?;
    check::check(written, registry, purpose)
        .map_err(|(texts, problems)| ConfigError::Problems { texts, problems })
}
