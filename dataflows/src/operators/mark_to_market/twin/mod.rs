//! The slow twin of the sweep: everything in ordered maps, sums of 256 bits, and a correction sums
//! all positions of its wallet anew.

mod book;
pub(crate) mod snapshots;
pub(crate) mod sweep;
mod value;
