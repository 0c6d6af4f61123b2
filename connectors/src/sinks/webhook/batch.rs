//! What is on disk before it is sent: the POSTs of an epoch, and how far they have come.

use serde::{Deserialize, Serialize};

use super::limits::Memory;
use crate::sinks::aside::Length;

/// The changes of an epoch, as they are sent.
#[derive(Serialize, Deserialize)]
pub(super) struct Batch {
    /// The run: one that goes on keeps the number of its first part.
    pub(super) run: String,
    pub(super) epoch: u64,
    /// None where all of its changes are held back or passed over.
    pub(super) posts: Vec<Post>,
    /// What was sent, with this batch.
    pub(super) totals: Totals,
    /// What is remembered of alerts behind this epoch: what was decided with it is decided once.
    #[serde(default)]
    pub(super) memory: Memory,
}

/// A POST.
#[derive(Serialize, Deserialize)]
pub(super) struct Post {
    /// Stays the same however often it is sent.
    pub(super) key: String,
    /// Of which views.
    pub(super) views: String,
    pub(super) n_changes: u64,
    pub(super) body: String,
}

/// What was sent.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) n_posts: u64,
    pub(super) n_changes: u64,
}

/// How far the batch of an epoch has come, and what was set aside.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) epoch: u64,
    pub(super) n_through: usize,
    pub(super) aside: Length,
    /// Changes of the POSTs that were set aside.
    pub(super) n_refused: u64,
}
