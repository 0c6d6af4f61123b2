//! Events in the log, where sources can't be read again: what an epoch brought, before the epoch's own
//! entry, in parts. A part that says it is the first of its epoch makes void what a crash left of that
//! epoch before.

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use serde::{Deserialize, Serialize};
use types::VenueTime;
use types::names::NewNames;

use super::{EpochEntry, codec};
use crate::ingest::{Batch, Kept, KeptBeside};

/// What an epoch brought, but for its events; the first of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Brought {
    /// Which epoch.
    pub(crate) epoch: u64,
    /// New names.
    pub(crate) names: NewNames,
    /// The watermark at its end, in nanoseconds.
    pub(crate) watermark: i64,
    /// The greatest event time of each relation, in nanoseconds.
    pub(crate) greatest: Vec<i64>,
    /// Rows that went to quarantine.
    pub(crate) refused: Vec<Refused>,
}

/// A row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// The code of the reason.
    pub(crate) reason: String,
    /// Its line in the quarantine file.
    pub(crate) line: String,
}

/// Some of an epoch's events, of one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsPart {
    /// Which epoch.
    pub(crate) epoch: u64,
    /// Which relation of the plan.
    pub(crate) relation: u32,
    /// How many events.
    pub(crate) n_events: u32,
    /// Of them, those that may supersede one before: they aren't the first of their identity.
    pub(crate) n_revising: u32,
    /// Each with the digest of its content.
    pub(crate) bytes: Vec<u8>,
}

impl Brought {
    /// What a batch brought. Batches without what is to be kept beside their events bring nothing.
    pub(super) fn of(batch: &Batch, refused: Vec<Refused>) -> Self {
        let names = batch.kept.as_ref().map(|kept| kept.names.clone()).unwrap_or_default();
        let greatest = batch.clock.greatest.iter().map(|time| time.nanos()).collect();
        let watermark = batch.clock.watermark.nanos();
        Self { epoch: batch.epoch, names, watermark, greatest, refused }
    }
}

/// Puts what epochs brought together, out of its parts.
pub(crate) struct Collector {
    relations: Vec<RelationSpec>,
    open: Option<Group>,
}

/// What one epoch brought, or some that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// All but the events; of the last epoch.
    pub(crate) brought: Brought,
    /// Its events, by relation of the plan.
    pub(crate) events: Vec<Events>,
    /// Digests of their contents.
    pub(crate) contents: Vec<Vec<u128>>,
}

impl Group {
    /// One without events.
    pub(crate) fn empty(brought: Brought, relations: &[RelationSpec]) -> Self {
        let events = relations.iter().map(|spec| Events::empty(spec.kind)).collect();
        Self { brought, events, contents: vec![Vec::new(); relations.len()] }
    }

    /// Adds events. `None` where they aren't this group's, or can't be read.
    pub(crate) fn add(&mut self, part: &EventsPart) -> Option<()> {
        let relation = usize::try_from(part.relation).ok()?;
        let (events, contents) = (self.events.get_mut(relation)?, self.contents.get_mut(relation)?);
        (self.brought.epoch == part.epoch).then_some(())?;
        codec::decode(events, contents, part)
    }

    /// How many events there are.
    pub(crate) fn n_events(&self) -> usize {
        self.events.iter().map(Events::len).sum()
    }
}

impl Collector {
    pub(crate) fn new(relations: &[RelationSpec]) -> Self {
        Self { relations: relations.to_vec(), open: None }
    }

    /// The relations of the plan.
    pub(crate) fn relations(&self) -> &[RelationSpec] {
        &self.relations
    }

    /// Begins a group; gives the one before. In a log that one is void: it is what a crash left.
    pub(crate) fn begin(&mut self, brought: Brought) -> Option<Group> {
        self.open.replace(Group::empty(brought, &self.relations))
    }

    /// Adds events. `None` where they aren't those of the open group, or can't be read.
    pub(crate) fn add(&mut self, part: &EventsPart) -> Option<()> {
        self.open.as_mut()?.add(part)
    }

    /// The open group.
    pub(crate) fn take(&mut self) -> Option<Group> {
        self.open.take()
    }

    /// The epoch, and its rows that went to quarantine. `None` where its entry is another epoch's.
    pub(super) fn end(&mut self, entry: &EpochEntry) -> Option<(Kept, Vec<Refused>)> {
        let Group { brought, events, contents } = self.open.take()?;
        let Brought { epoch, names, greatest, refused, .. } = brought;
        let kept = Kept {
            epoch,
            watermark: VenueTime::from_nanos(entry.watermark),
            counts: entry.counts,
            greatest: greatest.into_iter().map(VenueTime::from_nanos).collect(),
            events,
            beside: KeptBeside { contents, names },
        };
        (epoch == entry.epoch).then_some((kept, refused))
    }
}
