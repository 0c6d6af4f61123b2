//! Hashes in tables that keep a part of them, so that a growing table needn't look at what it holds.

/// The part of a hash that is kept.
pub(super) fn low_bits(hash: u64) -> u32 {
    u32::try_from(hash >> 32 ^ hash & u64::from(u32::MAX)).unwrap_or(0)
}

/// A hash of 64 bits, as a table wants it, of what is kept.
pub(super) fn spread(low: u32) -> u64 {
    u64::from(low).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
