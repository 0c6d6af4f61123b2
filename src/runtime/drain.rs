//! Step 8: the workers' parts of an epoch become one whole, in epoch order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use dataflows::Plan;
use dataflows::plan::View;
use types::sabotage::{Safeguard, is_out};
use types::{Changes, Epoch, Schema};

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
    /// Of each emitted view its schema, and whether it has at most one row a key.
    views: Vec<(Arc<Schema>, bool)>,
}

impl Drain {
    pub(super) fn new(
        parts: Receiver<Drained>,
        gave_up: Receiver<()>,
        n_workers: usize,
        plan: &Plan,
    ) -> Self {
        let view = |view: &View| (Arc::clone(&view.schema), view.is_keyed);
        let views = plan.emitted_views().map(view).collect();
        Self { parts, gave_up, n_workers, open: BTreeMap::new(), views }
    }

    /// The next whole epoch; `None` when all workers are done or one has failed.
    pub(super) fn next(&mut self) -> Option<EpochOutput> {
        loop {
            if let Some(entry) = self.open.first_entry()
                && (entry.get().len() == self.n_workers || is_out(Safeguard::WholeEpochs))
            {
                let parts = entry.remove();
                return Some(self.whole(parts));
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

    /// One epoch of all workers' parts.
    fn whole(&self, mut parts: Vec<Drained>) -> EpochOutput {
        // Parts come in any order; rows must not show it.
        parts.sort_by_key(|part| part.worker);
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
        for (changes, (schema, is_keyed)) in changes.iter_mut().zip(&self.views) {
            // A key's changes all come from one worker, side by side: this only looks.
            if *is_keyed { changes.adjoin(schema) } else { changes.consolidate() }
        }
        let changes = changes.into_iter().map(Arc::new).collect();
        EpochOutput { epoch: Epoch(epoch), watermark, changes }
    }
}
