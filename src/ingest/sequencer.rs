//! The sequencer: judges rows, gives order and epoch, makes the watermark. A function of its input:
//! no clock, no chance.

use std::sync::Arc;

use connectors::source::RowRef;
use dataflows::Clock;
use dataflows::cold::Failure;
use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use types::event::{Cells, Reason};
use types::relations::{Input, content32, content128, revision_column};
use types::{Event, Interner, Names, Op, Reject, Row, Schema, VenueTime, relations};

use super::identities::{Identities, RecentRows, Standing};
use crate::cold::Spill;
use crate::error::Error;

/// How long equal rows of a relation without identities are known for equal: an hour of event time
/// behind the watermark.
const REVISE_WITHIN: i64 = 3_600_000_000_000;

/// Events that were admitted together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which epoch; they start at 1 and leave none out.
    pub epoch: u64,
    /// How many rows were read for it, whatever became of them.
    pub n_rows: usize,
    /// Its events, by relation of the plan.
    pub events: Vec<Events>,
    /// Event time at its end.
    pub clock: Arc<Clock>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It enters.
    Applied,
    /// It says nothing new.
    Duplicate,
    /// It goes to quarantine.
    Quarantined(Reject),
}

/// Rows by outcome: `received = applied + duplicate + quarantined`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows read.
    pub received: u64,
    /// Rows that entered.
    pub applied: u64,
    /// Rows that said nothing new.
    pub duplicate: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Of the applied ones, those behind the watermark.
    pub late: u64,
}

/// What a sequencer is made with.
#[derive(Clone, Debug)]
pub struct SequencerOptions {
    /// Rows of an epoch.
    pub max_events: usize,
    /// The greatest lateness of the finite sources, in nanoseconds.
    pub lateness_nanos: i64,
    /// Whether the dictionary keeps the texts of ids.
    pub keeps_id_texts: bool,
}

/// One relation's part of the sequencer.
struct Relation {
    spec: RelationSpec,
    /// The input column that tells several states of a row apart.
    revision: Option<usize>,
    identities: Identities,
    recent: RecentRows,
    events: Events,
    greatest: VenueTime,
}

/// See the module.
pub struct Sequencer {
    options: SequencerOptions,
    interner: Interner,
    relations: Vec<Relation>,
    counts: Counts,
    epoch: u64,
    n_rows: usize,
    /// The greatest event time of all finite sources so far.
    greatest: VenueTime,
}

impl Sequencer {
    /// Starts before the first row.
    pub fn new(specs: &[RelationSpec], options: SequencerOptions) -> Self {
        let relation = |spec: &RelationSpec| Relation {
            revision: revision_column(&spec.kind.input_columns(&spec.schema)),
            identities: Identities::default(),
            recent: RecentRows::default(),
            events: Events::empty(spec.kind),
            greatest: VenueTime::MIN,
            spec: spec.clone(),
        };
        Self {
            interner: Interner::new(options.keeps_id_texts),
            options,
            relations: specs.iter().map(relation).collect(),
            counts: Counts::default(),
            epoch: 1,
            n_rows: 0,
            greatest: VenueTime::MIN,
        }
    }

    /// Lets old identities leave memory, where there is a place for them.
    #[must_use]
    pub fn spilling(mut self, spill: Option<&Spill>) -> Self {
        let n = self.relations.len();
        for (index, relation) in self.relations.iter_mut().enumerate() {
            relation.identities = Identities::new(spill.map(|spill| spill.of_relation(index, n)));
        }
        self
    }

    /// The dictionary.
    pub fn names(&self) -> &Arc<Names> {
        self.interner.names()
    }

    /// Rows by outcome.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Removals that wait for what they remove.
    pub fn n_pending(&self) -> u64 {
        self.relations.iter().map(|relation| relation.identities.n_pending()).sum()
    }

    /// The greatest event time so far; `None` before the first.
    pub fn greatest(&self) -> Option<VenueTime> {
        Some(self.greatest).filter(|time| *time > VenueTime::MIN)
    }

    /// The event time up to which input is thought complete.
    pub fn watermark(&self) -> VenueTime {
        self.greatest.less(self.options.lateness_nanos)
    }

    /// Judges a row of a relation; it counts into the open epoch whatever becomes of it.
    ///
    /// # Errors
    /// If old identities can't be kept or read back: then nothing can be judged any more.
    ///
    /// # Panics
    /// If the plan has no such relation.
    pub fn admit(&mut self, relation: usize, row: &RowRef<'_>) -> Result<Outcome, Error> {
        self.n_rows += 1;
        self.counts.received += 1;
        let outcome = match row.reject {
            Some((reject, _)) => Outcome::Quarantined(reject.clone()),
            None => self.judge(relation, &row.cells)?,
        };
        match outcome {
            Outcome::Applied => self.counts.applied += 1,
            Outcome::Duplicate => self.counts.duplicate += 1,
            Outcome::Quarantined(_) => self.counts.quarantined += 1,
        }
        Ok(outcome)
    }

    /// The epoch, if it is full.
    pub fn cut(&mut self) -> Option<Batch> {
        (self.n_rows >= self.options.max_events).then(|| self.close(self.watermark()))
    }

    /// The last epoch: shorter than the others, with the infinite watermark.
    pub fn finish(&mut self) -> Batch {
        self.close(VenueTime::END)
    }

    fn close(&mut self, watermark: VenueTime) -> Batch {
        let max_events = self.options.max_events;
        let take = |relation: &mut Relation| {
            relation.recent.forget_before(watermark.less(REVISE_WITHIN));
            // The next epoch is mostly like this one. Growing by doubling would touch four times the
            // memory.
            let n_events = relation.events.len();
            let n_events = max_events.min(n_events + n_events / 8);
            let events = Events::with_capacity(relation.spec.kind, n_events);
            std::mem::replace(&mut relation.events, events)
        };
        let batch = Batch {
            epoch: self.epoch,
            n_rows: self.n_rows,
            events: self.relations.iter_mut().map(take).collect(),
            clock: Arc::new(Clock {
                watermark,
                greatest: self.relations.iter().map(|relation| relation.greatest).collect(),
            }),
        };
        self.epoch += 1;
        self.n_rows = 0;
        batch
    }

    fn judge(&mut self, index: usize, cells: &Cells<'_>) -> Result<Outcome, Error> {
        let watermark = self.watermark();
        let relation = &mut self.relations[index];
        let judged = relation.judge(cells, &mut self.interner);
        let (standing, moves) = match judged {
            Ok(judged) => judged,
            Err(Refused::Row(reject)) => return Ok(Outcome::Quarantined(reject)),
            Err(Refused::All(failure)) => return Err(Error::Cold(failure)),
        };
        if standing == Standing::Conflict {
            let detail = "the same identity, revision and operation came before with other content";
            let reason = Reason::IdentityConflict;
            let detail = detail.to_owned();
            return Ok(Outcome::Quarantined(Reject { reason, column: None, detail }));
        }
        if let Some(time) = moves {
            relation.greatest = relation.greatest.max(time);
            self.greatest = self.greatest.max(time);
            self.counts.late += u64::from(standing.enters() && time < watermark);
        }
        Ok(if standing.enters() { Outcome::Applied } else { Outcome::Duplicate })
    }
}

impl Relation {
    /// Makes the row's event, judges it and keeps it if it enters. Gives the event time where it
    /// moves the watermark.
    fn judge(
        &mut self,
        cells: &Cells<'_>,
        names: &mut Interner,
    ) -> Result<(Standing, Option<VenueTime>), Refused> {
        let Self { spec, revision, identities, recent, events, .. } = self;
        let (schema, revision) = (spec.schema.as_ref(), *revision);
        let mut judge = Judge { schema, revision, identities, recent, cells, names };
        match events {
            Events::Fills(events) => judge.admit::<relations::Fill>(events),
            Events::Trades(events) => judge.admit::<relations::Trade>(events),
            Events::Quotes(events) => judge.admit::<relations::Quote>(events),
            Events::Settlements(events) => judge.admit::<relations::Settlement>(events),
            Events::Rows(events) => judge.admit::<Row>(events),
        }
    }
}

/// Why a row isn't judged.
enum Refused {
    /// It can't be used.
    Row(Reject),
    /// No row can be judged.
    All(Box<Failure>),
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self::Row(reject)
    }
}

impl From<Box<Failure>> for Refused {
    fn from(failure: Box<Failure>) -> Self {
        Self::All(failure)
    }
}

/// What judging one row needs.
struct Judge<'a> {
    schema: &'a Schema,
    revision: Option<usize>,
    identities: &'a mut Identities,
    recent: &'a mut RecentRows,
    cells: &'a Cells<'a>,
    names: &'a mut Interner,
}

impl Judge<'_> {
    fn admit<R: Input>(
        &mut self,
        events: &mut Vec<Event<R>>,
    ) -> Result<(Standing, Option<VenueTime>), Refused> {
        let (cells, schema) = (self.cells, self.schema);
        let mut event: Event<R> = Event::read(cells, self.revision, schema, self.names)?;
        let time = event.row.event_time(schema).filter(|_| event.op != Op::Bust);
        let standing = if let Some(identity) = event.row.identity(schema) {
            let is_bust = event.op == Op::Bust;
            let content = if is_bust { 0 } else { content32(&event.row, cells, schema) };
            self.identities.judge(identity, event.op, event.revision, content)?
        } else {
            // Rows without an identity are one where all of their content is equal.
            let content = content128(&event.row, cells, schema);
            let is_new = self.recent.is_new(time.unwrap_or(VenueTime::MIN), content);
            if is_new { Standing::First } else { Standing::Duplicate }
        };
        event.is_first = standing == Standing::First;
        if standing.enters() {
            events.push(event);
        }
        Ok((standing, time))
    }
}
