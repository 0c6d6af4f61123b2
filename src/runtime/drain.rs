//! Step 8: the workers' parts of an epoch become one consolidated whole, in epoch order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use types::{Changes, Epoch};

use super::EpochOutput;
use super::worker::Drained;

/// Puts the parts of epochs together.
pub(super) struct Drain {
    parts: Receiver<Drained>,
    /// Says that a worker has failed: the others' parts may never come.
    gave_up: Receiver<()>,
    n_workers: usize,
    /// Parts of epochs that not all workers have completed.
    open: BTreeMap<u64, Vec<Drained>>,
}

impl Drain {
    pub(super) fn new(parts: Receiver<Drained>, gave_up: Receiver<()>, n_workers: usize) -> Self {
        Self { parts, gave_up, n_workers, open: BTreeMap::new() }
    }

    /// The next whole epoch; `None` when all workers are done or one has failed.
    pub(super) fn next(&mut self) -> Option<EpochOutput> {
        loop {
            if let Some(entry) = self.open.first_entry()
                && entry.get().len() == self.n_workers
            {
                return Some(whole(entry.remove()));
            }
            let part = self.part()?;
            self.open.entry(part.epoch).or_default().push(part);
        }
    }
}

impl Drain {
    fn part(&self) -> Option<Drained> {
        crossbeam_channel::select! {
            recv(self.parts) -> part => part.ok(),
            recv(self.gave_up) -> word => match word {
                Ok(()) => None,
                // The input has ended well; what the workers still hold will come.
                Err(_) => self.parts.recv().ok(),
            },
        }
    }
}

/// One epoch of all workers' parts.
fn whole(mut parts: Vec<Drained>) -> EpochOutput {
    // Parts come in any order; rows must not show it.
    parts.sort_by_key(|part| part.worker);
    let n_parts = parts.len();
    let (mut epoch, mut watermark) = (0, types::VenueTime::MIN);
    let mut changes: Vec<Changes> = Vec::new();
    for part in parts {
        (epoch, watermark) = (part.epoch, part.watermark);
        if changes.is_empty() {
            changes = part.changes;
        } else {
            changes.iter_mut().zip(part.changes).for_each(|(all, more)| all.append(more));
        }
    }
    if n_parts > 1 {
        changes.iter_mut().for_each(Changes::consolidate);
    }
    let changes = changes.into_iter().map(Arc::new).collect();
    EpochOutput { epoch: Epoch(epoch), watermark, changes }
}
