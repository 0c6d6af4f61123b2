//! Which row crashes the engine: what the log holds is fed to one worker, for nobody, and the epochs in
//! question event by event.
//!
//! Nothing leaves it and nothing is logged, so that it may crash as often as it needs.

use std::sync::Arc;

use dataflows::Clock;
use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use types::digest::Fold;
use types::event::Reason;
use types::{Names, VenueTime, json};

use super::open::{open_sources, sequencer, spill};
use crate::checkpoint::{Restored, Store};
use crate::config::plan::EnginePlan;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::ingest::{Batch, Bulk, Merge, Sequencer};
use crate::journal::{Collector, Interrupted, Past};
use crate::poison::{self, Crash, Poison, Poisons};
use crate::runtime::{self, Runtime, RuntimeOutput};
use crate::stop::Stop;

/// Rows that one start sets aside at most: where more crash it, it isn't the rows.
const POISONS_MAX: usize = 64;

/// What is to be run.
pub(super) struct Rehearsal<'a> {
    pub(super) plan: &'a EnginePlan,
    pub(super) dir: &'a DataDir,
    /// What the log holds; none where sources are read anew.
    pub(super) interrupted: Option<&'a Interrupted>,
    pub(super) stop: &'a Stop,
}

/// How one pass ended.
enum Passed {
    /// All epochs in question were computed.
    Well,
    /// Somebody asked to stop.
    Stopped,
    /// It crashed at an event.
    Crashed(Poison),
    /// It crashed where no event was fed alone.
    Together(String),
}

/// How the epochs in question are fed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Event by event.
    Events,
    /// As they are.
    Epochs,
}

impl Rehearsal<'_> {
    /// Looks for the rows that crashed the engine, and keeps them.
    ///
    /// # Errors
    /// If it crashes, and no row alone does it; if the log or the sources can't be read.
    pub(super) fn run(&self, poisons: &mut Poisons) -> Result<(), Error> {
        while let Some(crash) = poisons.suspect().cloned() {
            let Crash { epochs: (first, last), n, what } = &crash;
            tracing::warn!(
                first,
                last,
                what,
                "crashed {n} times in these epochs: looking for the row"
            );
            let mut passed = self.pass(&crash, poisons.all(), Pace::Events)?;
            if matches!(passed, Passed::Well) {
                passed = self.pass(&crash, poisons.all(), Pace::Epochs)?;
            }
            match passed {
                Passed::Stopped => return Ok(()),
                Passed::Well => {
                    tracing::info!("no crash in epochs {first} to {last}: going on");
                    poisons.clear()?;
                }
                Passed::Crashed(_) if poisons.all().len() >= POISONS_MAX => {
                    return Err(together(&crash, &format!("{POISONS_MAX} rows and more do it")));
                }
                Passed::Crashed(row) => {
                    let line = &row.line;
                    tracing::error!(line, "a row crashes the engine: it goes to quarantine");
                    poisons.add(row)?;
                }
                Passed::Together(what) => return Err(together(&crash, &what)),
            }
        }
        Ok(())
    }

    /// Feeds what came before some epochs in bulk, and those as they are to be.
    fn pass(&self, crash: &Crash, poisons: &[Poison], pace: Pace) -> Result<Passed, Error> {
        let (first, last) = crash.epochs;
        let EnginePlan { pipeline, sources, plan, keeps_id_texts, .. } = self.plan;
        let spill = spill(self.dir, pipeline.history_memory)?;
        let sequencer =
            sequencer(pipeline, sources, plan, *keeps_id_texts).spilling(spill.as_ref());
        let (runtime, output) = runtime::start(plan, sequencer.names(), 1, spill.as_ref())?;
        let relations = &plan.relations;
        let mut stage =
            Stage { runtime, output, relations, names: Arc::clone(sequencer.names()), epoch: 0 };
        let mut batches = self.batches(first, sequencer)?;
        let (mut bulk, mut clock) = (Bulk::until(first.saturating_sub(1), plan), None);
        while let Some(mut batch) = batches.next()? {
            if self.stop.was_asked() {
                // Its worker ends before another one takes its folder.
                return stage.runtime.finish().map(|()| Passed::Stopped);
            }
            let (epoch, next_clock) = (batch.epoch, Arc::clone(&batch.clock));
            poison::take_out(&mut batch, poisons);
            if epoch < first {
                if let Some(batch) = bulk.take(batch)
                    && let Err(what) = stage.feed(batch)?
                {
                    return Ok(Passed::Together(what));
                }
            } else {
                let fed = match pace {
                    Pace::Epochs => stage.feed(batch)?.map_err(Passed::Together),
                    Pace::Events => stage.feed_each(batch, clock.as_ref())?,
                };
                if let Err(passed) = fed {
                    return Ok(passed);
                }
            }
            clock = Some(next_clock);
            if epoch >= last {
                break;
            }
        }
        stage.runtime.finish()?;
        Ok(Passed::Well)
    }

    /// The epochs as they were, from the first on or a checkpoint before those in question.
    fn batches(&self, first: u64, sequencer: Sequencer) -> Result<Batches, Error> {
        let run = self.interrupted.filter(|run| run.keeps_events);
        let Some(run) = run else {
            let merge = open_sources(self.dir, &self.plan.sources)?;
            let relations = self.plan.sources.iter().map(|source| source.relation).collect();
            let read = ReadAgain { merge, relations, has_ended: false };
            return Ok(Batches { sequencer, restored: None, read: From::Sources(Box::new(read)) });
        };
        let store = Arc::new(Store::new(self.dir.files(&self.dir.checkpoints())?));
        let manifest = store.newest(run.log_id, first.saturating_sub(1), run.records())?;
        let from = manifest.as_ref().map_or(1, |manifest| manifest.next_record);
        let relations = &self.plan.plan.relations;
        let restored = manifest.map(|manifest| Restored::new(&store, manifest, relations));
        let read = From::Log(Box::new((run.past(from)?, Collector::new(relations))));
        Ok(Batches { sequencer, restored, read })
    }
}

fn together(crash: &Crash, what: &str) -> Error {
    let (first, last) = crash.epochs;
    let what = format!("{what}; crashed {} times there, and no single row does it", crash.n);
    Error::Crashed { first, last, what }
}

/// Where epochs come from.
enum From {
    Log(Box<(Past, Collector)>),
    Sources(Box<ReadAgain>),
}

/// Sources, read from their begin.
struct ReadAgain {
    merge: Merge,
    /// The relation of each source.
    relations: Vec<usize>,
    has_ended: bool,
}

/// The epochs as they were.
struct Batches {
    sequencer: Sequencer,
    /// What comes before all else.
    restored: Option<Restored>,
    read: From,
}

impl Batches {
    /// The next one; `None` behind the last.
    fn next(&mut self) -> Result<Option<Batch>, Error> {
        let sequencer = &mut self.sequencer;
        if let Some(restored) = &mut self.restored {
            let Restored { manifest, groups } = restored;
            if let Some(group) = groups.next()? {
                return sequencer.enter(group, VenueTime::from_nanos(manifest.watermark)).map(Some);
            }
            sequencer.go_on(manifest.epoch, manifest.counts);
            self.restored = None;
        }
        match &mut self.read {
            From::Sources(read) => read.next(sequencer),
            From::Log(log) => {
                let (past, collector) = log.as_mut();
                let kept = past.next_kept(collector)?;
                kept.map(|(kept, _)| sequencer.restore(kept)).transpose()
            }
        }
    }
}

impl ReadAgain {
    fn next(&mut self, sequencer: &mut Sequencer) -> Result<Option<Batch>, Error> {
        if self.has_ended {
            return Ok(None);
        }
        while let Some(merged) = self.merge.next_rows(sequencer.room())? {
            let Some(relation) = self.relations.get(merged.source) else { continue };
            sequencer.admit_all(*relation, &merged, &mut Fold::new(0), |_, _| Ok(()))?;
            if let Some(batch) = sequencer.cut() {
                return Ok(Some(batch));
            }
        }
        self.has_ended = true;
        Ok(Some(sequencer.finish()))
    }
}

/// A worker that is fed one epoch after the other.
struct Stage<'a> {
    runtime: Runtime,
    output: RuntimeOutput,
    relations: &'a [RelationSpec],
    names: Arc<Names>,
    /// The last epoch that was fed; they aren't those of the run.
    epoch: u64,
}

impl Stage<'_> {
    /// Feeds an epoch and waits until it is computed; else what the worker said when it crashed.
    fn feed(&mut self, batch: Batch) -> Result<Result<(), String>, Error> {
        self.epoch += 1;
        let failed = match self.runtime.feed(Batch { epoch: self.epoch, ..batch }) {
            Ok(()) => match self.output.next() {
                Some(output) => {
                    self.output.release(output.epoch);
                    return Ok(Ok(()));
                }
                None => self.runtime.failure(),
            },
            Err(error) => error,
        };
        match failed {
            Error::Crashed { what, .. } => Ok(Err(what)),
            error => Err(error),
        }
    }

    /// Feeds each event of an epoch alone, as of the clock before it, and then its clock.
    fn feed_each(
        &mut self,
        mut batch: Batch,
        clock: Option<&Arc<Clock>>,
    ) -> Result<Result<(), Passed>, Error> {
        let none =
            || self.relations.iter().map(|spec| Events::empty(spec.kind)).collect::<Vec<_>>();
        let (epoch, relations) = (batch.epoch, self.relations);
        let all = std::mem::replace(&mut batch.events, none());
        let before = clock.map_or_else(
            || {
                Arc::new(Clock {
                    watermark: VenueTime::MIN,
                    greatest: Arc::clone(&batch.clock.greatest),
                })
            },
            Arc::clone,
        );
        for (relation, events) in all.into_iter().enumerate() {
            for event in events.each() {
                let mut single = Batch { clock: Arc::clone(&before), ..batch.clone() };
                let Some(place) = single.events.get_mut(relation) else { continue };
                place.clone_from(&event);
                if let Err(what) = self.feed(single)? {
                    let spec = relations.get(relation).map(|spec| (relation, spec));
                    let poison =
                        spec.and_then(|spec| poison(&event, spec, epoch, &self.names, &what));
                    return Ok(Err(poison.map_or(Passed::Together(what), Passed::Crashed)));
                }
            }
        }
        Ok(self.feed(batch)?.map_err(Passed::Together))
    }
}

macro_rules! by_kind {
    ($($variant:ident($row:ty),)*) => {
        /// The row of an event and what it does, as JSON.
        fn shown(events: &Events, spec: &RelationSpec, names: &Names) -> Option<(String, String)> {
            let mut row = Vec::new();
            let op = match events {
                $(Events::$variant(events) => {
                    let event = events.first()?;
                    json::write_row(&mut row, &event.row, &spec.schema, names);
                    event.op
                })*
            };
            Some((format!("{op:?}").to_lowercase(), String::from_utf8(row).ok()?))
        }
    };
}
types::for_inputs!(by_kind);

/// What is kept of an event at which the worker has crashed.
fn poison(
    event: &Events,
    (relation, spec): (usize, &RelationSpec),
    epoch: u64,
    names: &Names,
    what: &str,
) -> Option<Poison> {
    let (op, row) = shown(event, spec, names)?;
    let digest = poison::digest(event)?;
    let row: Box<serde_json::value::RawValue> =
        serde_json::value::RawValue::from_string(row).ok()?;
    let line = serde_json::json!({
        "relation": spec.name,
        "epoch": epoch.to_string(),
        "op": op,
        "row": row,
        "reason": Reason::CrashesEngine.code(),
        "detail": what,
    });
    Some(Poison { relation, digest, epoch, line: line.to_string() })
}
