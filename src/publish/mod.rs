//! The stage from outputs to readers and sinks: each view's rows at the newest epoch, and what each
//! reader hasn't seen yet.
//!
//! [`Hub`] is written by one thread, an epoch at a time, and read by many. An epoch is there whole
//! or not at all. A reader costs the writer one shared list of keys an epoch, however slow the
//! reader is: what it missed is merged by key, and beyond a bound it starts again from a snapshot.
//!
//! Reading order: `stage` (the thread that publishes), [`hub`] (who may do what), `table` (the rows of a view), `cursor` (what one
//! reader hasn't seen), `rows` (how rows leave as JSON, piece by piece), [`live`] (P&L as of now).

mod cursor;
mod hub;
pub mod live;
pub(crate) mod newest;
mod rows;
mod stage;
mod table;

use std::sync::Arc;

use types::relations::RelationKind;
use types::{Schema, VenueTime};

pub use hub::Hub;
pub(crate) use hub::{Place, Standing, Taken};
use live::LiveSpec;
pub(crate) use rows::{BadCursor, Chunk, Chunks};
pub(crate) use stage::{Published, Publisher, Readers};

/// How many keys a reader may be behind by before it starts again from a snapshot. At 50 bytes a
/// key this is 200 MB for one hopeless reader, which its time limit ends soon after.
pub const MAX_PENDING_KEYS: usize = 4_000_000;

/// A view that readers may ask for.
#[derive(Clone, Debug)]
pub struct ViewSpec {
    /// Its name: `positions`, `positions.errors`.
    pub name: String,
    /// Its rows' type; keyed, so no quotes.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// The operator that makes it, for readers.
    pub operator: &'static str,
    /// How its rows as of the current epoch are made, where they differ from those that it holds.
    pub live: Option<LiveSpec>,
}

/// How far event time is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frontier {
    /// Nothing has been told yet.
    Unknown,
    /// Up to here.
    At(VenueTime),
    /// All sources are finite and have ended.
    End,
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
