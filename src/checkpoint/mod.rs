//! Checkpoints: what the log's events come to, so that the log needn't be kept.
//!
//! The rows that stand at an epoch depend on the events until then and its watermark alone (law A of the
//! semantics), and of an event the greatest state and the greatest removal say all. So a checkpoint holds
//! no operator's state: it holds the events that still count, in the order in which they came, with what
//! epochs brought beside them. It can be restored by any number of workers and by any version that reads
//! events, and a view that is added later is computed from it.
//!
//! The events lie in **runs** ([`run`]): files that are written once, each of the epochs between two
//! checkpoints, copied out of the log behind the engine's back. From time to time some that follow one
//! another become one ([`merge`]), without what later events have superseded. A **manifest**
//! ([`manifest`]) says which runs a checkpoint is made of, and where the log goes on. It gets its name
//! last; the three newest are kept ([`store`]).

mod checkpointer;
mod collect;
mod groups;
mod manifest;
mod merge;
#[cfg(test)]
mod pauses;
mod run;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use self::checkpointer::{Ask, Checkpointer, Limits, Settings, Work};
pub(crate) use self::groups::Restored;
pub(crate) use self::manifest::Manifest;

pub(crate) use self::store::{Found, Store};
