//! Event time as a dataflow sees it: a value that travels beside the epochs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::{Span, VenueTime};

/// What the sequencer knew of event time when it closed an epoch. Each worker is fed the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Clock {
    /// The event time up to which input is thought complete; [`VenueTime::END`] after the end.
    pub watermark: VenueTime,
    /// For each input relation of the plan, the greatest event time of its inserts and corrects so
    /// far; [`VenueTime::MIN`] before the first.
    pub greatest: Arc<[VenueTime]>,
}

impl Clock {
    /// The greatest event time over some input relations, `None` before their first event.
    pub fn greatest_of(&self, relations: &[usize]) -> Option<VenueTime> {
        let times = relations.iter().filter_map(|r| self.greatest.get(*r).copied());
        times.max().filter(|t| *t > VenueTime::MIN)
    }

    /// The last step of a grid that is published: the last that the watermark has reached; after the
    /// end, the first after the greatest event time over some input relations, `None` where they
    /// had no event.
    pub fn last_step(&self, grid: Span, relations: &[usize]) -> Option<VenueTime> {
        if self.watermark < VenueTime::END {
            return Some(self.watermark.bucket(grid));
        }
        Some(self.greatest_of(relations)?.next_step(grid))
    }
}
