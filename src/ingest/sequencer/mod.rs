//! The sequencer: judges rows, gives order and epoch, makes the watermark. A function of its input:
//! no clock, no chance.

mod restore;

use std::sync::Arc;

use connectors::source::RowRef;
use dataflows::Clock;
use dataflows::cold::Failure;
use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use serde::{Deserialize, Serialize};
use types::digest::{Fold, halves};
use types::event::{Cells, Reason};
use types::names::{Extent, NewNames};
use types::relations::{Input, content32, content128, revision_column};
use types::{Event, Interner, Names, Op, Reject, Row, Schema, VenueTime, relations};

pub use self::restore::Kept;
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
    /// The digest of the names that it brought.
    pub names: u64,
    /// What else a log must hold so that it can be had again, where it was asked for.
    pub kept: Option<KeptBeside>,
}

/// What the log holds of an epoch beside its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptBeside {
    /// Digests of the events' contents, by relation.
    pub contents: Vec<Vec<u128>>,
    /// The names that it brought.
    pub names: NewNames,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Counts {
    /// With so many of the applied rows in quarantine.
    pub(crate) const fn less(self, n_poisons: u64) -> Self {
        let applied = self.applied.saturating_sub(n_poisons);
        let quarantined = self.quarantined + (self.applied - applied);
        Self { applied, quarantined, ..self }
    }
}

/// What a sequencer is made with.
#[derive(Clone, Copy, Debug)]
pub struct SequencerOptions {
    /// Rows of an epoch.
    pub max_events: usize,
    /// The greatest lateness of the finite sources, in nanoseconds.
    pub lateness_nanos: i64,
    /// Whether the dictionary keeps the texts of ids.
    pub keeps_id_texts: bool,
    /// Whether batches come with what a log must hold beside their events.
    pub keeps_events: bool,
}

/// Rows that were read, in their order.
pub trait ReadRows {
    /// How many.
    fn n_rows(&self) -> usize;

    /// The columns of a row; none of a reject.
    fn cells(&self, index: usize) -> Cells<'_>;

    /// Why a row can't be used.
    fn reject(&self, index: usize) -> Option<&Reject>;
}

/// A row alone.
impl ReadRows for RowRef<'_> {
    fn n_rows(&self) -> usize {
        1
    }

    fn cells(&self, _index: usize) -> Cells<'_> {
        self.cells
    }

    fn reject(&self, _index: usize) -> Option<&Reject> {
        self.reject.map(|(reject, _)| reject)
    }
}

/// One relation's part of the sequencer.
struct Relation {
    spec: RelationSpec,
    /// The input column that tells several states of a row apart.
    revision: Option<usize>,
    identities: Identities,
    recent: RecentRows,
    events: Events,
    /// Digests of the events' contents, where they are kept.
    contents: Option<Vec<u128>>,
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
    /// How many names there were before the open epoch.
    n_names: usize,
    extent: Extent,
    /// The greatest event time of all finite sources so far.
    greatest: VenueTime,
}

impl Sequencer {
    /// Starts before the first row.
    pub fn new(specs: &[RelationSpec], options: SequencerOptions) -> Self {
        let keeps_events = options.keeps_events;
        let relation = |spec: &RelationSpec| Relation {
            revision: revision_column(&spec.kind.input_columns(&spec.schema)),
            identities: Identities::default(),
            recent: RecentRows::default(),
            events: Events::empty(spec.kind),
            contents: keeps_events.then(Vec::new),
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
            n_names: 0,
            extent: Extent::default(),
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

    /// Rows that the open epoch still takes.
    pub fn room(&self) -> usize {
        self.options.max_events.saturating_sub(self.n_rows).max(1)
    }

    /// Judges a row of a relation; it counts into the open epoch whatever becomes of it.
    ///
    /// # Errors
    /// If old identities can't be kept or read back: then nothing can be judged any more.
    ///
    /// # Panics
    /// If the plan has no such relation.
    pub fn admit(&mut self, relation: usize, row: &RowRef<'_>) -> Result<Outcome, Error> {
        let (mut refused, before) = (None, self.counts.applied);
        self.admit_all(relation, row, &mut Fold::new(0), |_, reject| {
            refused = Some(reject.clone());
            Ok(())
        })?;
        Ok(match refused {
            Some(reject) => Outcome::Quarantined(reject),
            None if self.counts.applied > before => Outcome::Applied,
            None => Outcome::Duplicate,
        })
    }

    /// Judges rows of a relation, in their order. They count into the open epoch, which must have room
    /// for them. What was read is added to `digest`, so that it can be told from what is read another
    /// time. `refuse` gets those that go to quarantine, by their places.
    ///
    /// # Errors
    /// As [`Sequencer::admit`], and where `refuse` fails.
    ///
    /// # Panics
    /// As [`Sequencer::admit`].
    pub fn admit_all(
        &mut self,
        relation: usize,
        rows: &impl ReadRows,
        digest: &mut Fold,
        refuse: impl FnMut(usize, &Reject) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { options, interner, relations, counts, n_rows, greatest, .. } = self;
        let Relation {
            spec,
            revision,
            identities,
            recent,
            events,
            contents,
            greatest: of_relation,
        } = &mut relations[relation];
        let before = counts.received;
        let mut judge = Judge {
            schema: spec.schema.as_ref(),
            revision: *revision,
            lateness_nanos: options.lateness_nanos,
            identities,
            recent,
            contents: contents.as_mut(),
            names: interner,
            counts,
            digest,
            greatest: (of_relation, greatest),
        };
        let judged = match events {
            Events::Fills(events) => judge.admit::<relations::Fill>(rows, events, refuse),
            Events::Trades(events) => judge.admit::<relations::Trade>(rows, events, refuse),
            Events::Quotes(events) => judge.admit::<relations::Quote>(rows, events, refuse),
            Events::Settlements(events) => {
                judge.admit::<relations::Settlement>(rows, events, refuse)
            }
            Events::Rows(events) => judge.admit::<Row>(rows, events, refuse),
        };
        *n_rows += usize::try_from(counts.received - before).unwrap_or(usize::MAX);
        judged
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
        let mut names = Fold::new(0);
        for name in self.interner.names().since(self.n_names) {
            names.add_text(name.as_str());
            self.n_names += 1;
        }
        let kept = self.options.keeps_events.then(|| self.kept_beside());
        let batch = Batch {
            epoch: self.epoch,
            names: names.finish(),
            kept,
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
}

/// What judging rows needs.
struct Judge<'a> {
    schema: &'a Schema,
    revision: Option<usize>,
    lateness_nanos: i64,
    identities: &'a mut Identities,
    recent: &'a mut RecentRows,
    /// Where digests of contents go, if they are kept.
    contents: Option<&'a mut Vec<u128>>,
    names: &'a mut Interner,
    counts: &'a mut Counts,
    /// Of what was read.
    digest: &'a mut Fold,
    /// The greatest event time of the relation, and of all.
    greatest: (&'a mut VenueTime, &'a mut VenueTime),
}

/// Rows whose names are looked for at once.
const BLOCK: usize = 16;

impl Judge<'_> {
    /// Makes events of rows, judges them and keeps those that enter.
    fn admit<R: Input>(
        &mut self,
        rows: &impl ReadRows,
        events: &mut Vec<Event<R>>,
        mut refuse: impl FnMut(usize, &Reject) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut first = 0;
        while first < rows.n_rows() {
            let end = rows.n_rows().min(first + BLOCK);
            let mut names = [None; BLOCK];
            for (index, name) in (first..end).zip(&mut names) {
                *name = R::main_name(&rows.cells(index));
            }
            let names = self.names.known(&names);
            for (index, main_name) in (first..end).zip(names) {
                self.counts.received += 1;
                if let Some(reject) = rows.reject(index) {
                    self.counts.quarantined += 1;
                    self.digest.add_text(&reject.detail);
                    refuse(index, reject)?;
                    continue;
                }
                let judged = self.judge(&Cells { main_name, ..rows.cells(index) }, events);
                match judged.map_err(|refused| *refused) {
                    Ok(()) => {}
                    Err(Refused::Row(reject)) => {
                        self.counts.quarantined += 1;
                        self.digest.add_text(&reject.detail);
                        refuse(index, &reject)?;
                    }
                    Err(Refused::All(failure)) => return Err(Error::Cold(failure)),
                }
            }
            first = end;
        }
        Ok(())
    }

    /// Makes the row's event, judges it and keeps it if it enters.
    #[inline]
    fn judge<R: Input>(
        &mut self,
        cells: &Cells<'_>,
        events: &mut Vec<Event<R>>,
    ) -> Result<(), Box<Refused>> {
        let schema = self.schema;
        if let Err(reject) = Event::read(cells, self.revision, schema, self.names, events) {
            return Err(Box::new(Refused::Row(reject)));
        }
        let Some(event) = events.last_mut() else { return Ok(()) };
        let is_bust = event.op == Op::Bust;
        let time = event.row.event_time(schema).filter(|_| !is_bust);
        let (standing, content) = if let Some(identity) = event.row.identity(schema) {
            let content = if is_bust { 0 } else { content32(&event.row, cells, schema) };
            self.digest.add(u64::from(content) << 2 | u64::from(event.op.place()));
            self.digest.add(halves(identity.id)[0] ^ event.revision.rotate_left(32));
            let judged = self.identities.judge(identity, event.op, event.revision, content);
            (judged.map_err(|failure| Box::new(Refused::All(failure)))?, u128::from(content))
        } else {
            // Rows without an identity are one where all of their content is equal.
            let content = content128(&event.row, cells, schema);
            self.digest.add(halves(content)[0]);
            let is_new = self.recent.is_new(time.unwrap_or(VenueTime::MIN), content);
            (if is_new { Standing::First } else { Standing::Duplicate }, content)
        };
        event.is_first = standing == Standing::First;
        let enters = standing.enters();
        if !enters {
            events.pop();
        } else if let Some(contents) = &mut self.contents {
            contents.push(content);
        }
        if standing == Standing::Conflict {
            return Err(Box::new(conflict()));
        }
        self.counts.applied += u64::from(enters);
        self.counts.duplicate += u64::from(!enters);
        if let Some(time) = time {
            let watermark = self.greatest.1.less(self.lateness_nanos);
            self.counts.late += u64::from(enters && time < watermark);
            *self.greatest.0 = (*self.greatest.0).max(time);
            *self.greatest.1 = (*self.greatest.1).max(time);
        }
        Ok(())
    }
}

/// Why a row isn't judged.
enum Refused {
    /// It can't be used.
    Row(Reject),
    /// No row can be judged.
    All(Box<Failure>),
}

#[cold]
fn conflict() -> Refused {
    let detail = "the same identity, revision and operation came before with other content";
    let (reason, detail) = (Reason::IdentityConflict, detail.to_owned());
    Refused::Row(Reject { reason, column: None, detail })
}
