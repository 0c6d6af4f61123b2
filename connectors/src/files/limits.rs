//! How much of a file is held at once, and what a row may be.

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Longest row; a longer one is refused.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;
/// Longest text that a column takes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most members of a JSON object.
pub(super) const JSON_MEMBERS_MAX: usize = 10_000;
/// Deepest nesting of a JSON value.
pub(super) const JSON_DEPTH_MAX: usize = 32;
/// What sorting holds in memory for all files of a source; the rest is on disk.
pub(super) const SORT_BYTES_MAX: usize = 64 << 20;
/// What it holds at least for each of them, so that many files don't make tiny runs.
pub(super) const SORT_BYTES_MIN: usize = 1 << 20;
