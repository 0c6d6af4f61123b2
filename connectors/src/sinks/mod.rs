//! The sinks, one file or folder each, and what they share.

#[cfg(any(feature = "clickhouse", feature = "webhook"))]
mod aside;
mod cells;
pub(crate) mod file;
mod fold;
mod hash;
#[cfg(any(test, feature = "clickhouse"))]
mod held;
pub(crate) mod jsonl;
mod kept;
mod order;
mod packed;
mod parallel;
mod shown;

#[cfg(any(feature = "clickhouse", feature = "webhook"))]
mod backoff;
#[cfg(feature = "clickhouse")]
pub mod clickhouse;
#[cfg(any(feature = "clickhouse", feature = "webhook"))]
mod http;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(any(feature = "clickhouse", feature = "webhook"))]
mod patience;
#[cfg(feature = "webhook")]
pub(crate) mod webhook;

#[cfg(test)]
mod many;
#[cfg(test)]
mod tests;
mod touch;
mod turns;

use std::sync::Arc;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};

use crate::env::Files;
use crate::error::{ConnectError, resolve};
use crate::sink::SinkContext;

/// What a file sink writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The rows as they stand at the end.
    Final,
    /// All changes, epoch by epoch.
    Changes,
}

/// The folder of a sink that writes files.
const PATH: OptionSpec =
    option("path", OptionKind::Path, Need::Default("out/"), "the folder that gets a file a view");

/// What a sink that writes files writes.
const MODE: OptionSpec = option(
    "mode",
    OptionKind::Choice(&["final", "changes"]),
    Need::Optional,
    "rows as they stand at the end, or all changes; final where all sources end, else changes",
);

/// Bytes of rows that a sink holds before they are sorted and spooled, where none are named.
const HELD_BYTES: usize = 384 << 20;
/// The most that can be named: rows have places of 32 bits, and take nine bytes at least.
const HELD_BYTES_MAX: usize = 32 << 30;

/// How much of final rows is held.
const HELD: OptionSpec = option(
    "held_bytes",
    OptionKind::Bytes,
    Need::Default("384MiB"),
    "bytes of `final` rows of all views that are held in memory; more goes to a temporary file",
);

/// How many bytes of final rows a sink may hold.
fn held_bytes(settings: &Settings) -> usize {
    let named = settings.count("held_bytes").map(usize::try_from);
    named.map_or(HELD_BYTES, |named| named.unwrap_or(HELD_BYTES_MAX).min(HELD_BYTES_MAX))
}

/// Finds nothing wrong: the options' own kinds say it all.
const fn no_problems(_settings: &Settings) -> Vec<Problem> {
    Vec::new()
}

/// Reads the options of a sink that writes files and makes its folder.
fn open_folder(context: &SinkContext) -> Result<(Arc<dyn Files>, Mode), ConnectError> {
    let mode = match (context.settings.text("mode"), context.is_finite) {
        (Some("final"), false) => {
            return Err(ConnectError::broken(format!(
                "opening sink {}: mode `final` needs sources that end",
                context.name
            ))
            .hint("use `mode = \"changes\"`"));
        }
        (Some("changes"), _) | (None, false) => Mode::Changes,
        (_, true) | (Some(_), false) => Mode::Final,
    };
    let folder = resolve(&context.base, context.settings.text("path").unwrap_or("out/"));
    Ok((context.files(&folder)?, mode))
}

/// Says that a value isn't one of its column's.
#[cfg(any(feature = "parquet", feature = "clickhouse"))]
fn misfit(column: &types::Column, cell: &types::Cell<'_>) -> String {
    let mut text = Vec::new();
    cell.write_json(&mut text);
    let text = String::from_utf8_lossy(&text);
    format!("{text} doesn't fit column {} ({})", column.name, column.kind.name())
}
