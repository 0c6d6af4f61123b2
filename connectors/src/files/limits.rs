//! How much of a file is held at once, and what a row may be.

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 256 << 10;
/// Longest row; a longer one is refused.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;
/// Longest text that a column takes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most members of a JSON object.
pub(super) const JSON_MEMBERS_MAX: usize = 10_000;
/// Deepest nesting of a JSON value.
pub(super) const JSON_DEPTH_MAX: usize = 32;
/// What a file that is sorted holds in memory; the rest is on disk. Each such file holds as much
/// while it is sorted, that is while its first row is read.
pub(super) const SORT_BYTES_MAX: usize = 64 << 20;
