//! Epochs that nobody outside needs one by one: all that came before the place where a run goes on.
//!
//! The rows that stand at an epoch depend on the events until then and its watermark alone (law A), so
//! those epochs are fed as few large ones: what a key went through on the way is never told.

use std::sync::Arc;

use dataflows::inputs::Events;
use dataflows::{Clock, Plan};
use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::Batch;

/// Events of a large epoch. With more of them sequencer, worker and publisher wait for one another; with
/// fewer a key is published more often.
const EVENTS: usize = 1 << 15;

/// Puts epochs together.
#[derive(Debug, Default)]
pub struct Bulk {
    /// The last epoch that isn't needed by itself.
    until: u64,
    open: Option<Batch>,
}

impl Bulk {
    /// Puts epochs together up to this one; none where what is computed depends on when events came.
    pub fn until(epoch: u64, plan: &Plan) -> Self {
        let is_apart = plan.depends_on_arrival() && !is_out(Safeguard::EpochsKept);
        Self { until: if is_apart { 0 } else { epoch }, open: None }
    }

    /// Takes an epoch; gives what is to be fed now.
    pub fn take(&mut self, mut batch: Batch) -> Option<Batch> {
        if batch.epoch > self.until {
            return Some(batch);
        }
        batch.kept = None;
        let mut whole = match self.open.take() {
            None => batch,
            Some(mut open) => {
                open.events.iter_mut().zip(batch.events).for_each(|(all, more)| all.append(more));
                open.n_rows += batch.n_rows;
                Batch { epoch: batch.epoch, clock: batch.clock, ..open }
            }
        };
        let n_events: usize = whole.events.iter().map(Events::len).sum();
        if whole.epoch < self.until && n_events < EVENTS {
            self.open = Some(whole);
            return None;
        }
        if whole.epoch < self.until {
            // Steps of event time are told at the end, with all that they hold.
            let Clock { greatest, .. } = whole.clock.as_ref();
            let greatest = Arc::clone(greatest);
            whole.clock = Arc::new(Clock { watermark: VenueTime::MIN, greatest });
        }
        Some(whole)
    }

    /// What is left where reading ends before the last epoch that was to come.
    pub fn rest(&mut self) -> Option<Batch> {
        self.open.take()
    }
}
