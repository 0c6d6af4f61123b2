//! A simulated run that is interrupted and goes on, through the log and the checkpoints of a folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use connectors::source::Record;
use dataflows::Plan;

use super::{Simulated, Simulation};
use crate::checkpoint::{Limits, Restored, Settings, Store, Work};
use crate::data_dir::DataDir;
use crate::env::System;
use crate::error::Error;
use crate::ingest::{Batch, Bulk, Counts, Outcome, Sequencer, SequencerOptions};
use crate::journal::{self, Found, Journal, Past, Recorder};
use crate::log::{Options, Sync};
use types::VenueTime;

/// Where a run is interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// The last epoch in its log.
    pub logged: u64,
    /// The last epoch that all of its sinks have; not behind the former.
    pub delivered: u64,
    /// The epochs behind which it makes a checkpoint of what is delivered by then.
    pub checkpoints: BTreeSet<u64>,
    /// Whether the log goes where three checkpoints don't need it.
    pub cuts_log: bool,
    /// How many of the newest checkpoints were damaged since.
    pub n_damaged: usize,
}

/// As [`super::simulate`], of a run that was interrupted and goes on with what its log and its checkpoints
/// hold, in an empty folder: gives what comes out of the second part.
///
/// # Errors
/// As [`super::simulate`], and if the second part can't take what the first one kept.
pub fn simulate_resumed(
    plan: &Arc<Plan>,
    rows: impl IntoIterator<Item = (usize, Record)>,
    options: SequencerOptions,
    n_workers: usize,
    (at, folder): (&Interruption, &Path),
) -> Result<Simulated, Error> {
    let options = SequencerOptions { keeps_events: true, ..options };
    let mut first = Sequencer::new(&plan.relations, options);
    let mut kept = Part::start(plan, at, folder)?;
    let (mut rows, mut epoch, mut refused) = (rows.into_iter().enumerate().peekable(), 0, vec![]);
    while epoch < at.logged && rows.peek().is_some() {
        let Some((index, (relation, record))) = rows.next() else { break };
        if let Outcome::Quarantined(reject) = first.admit(relation, &record.view())? {
            refused.push((index, reject));
        }
        if let Some(batch) = first.cut() {
            epoch = batch.epoch;
            kept.keep(&batch, first.counts())?;
        }
    }
    let has_ended = epoch != at.logged;
    if has_ended {
        // It had read all there was, and is interrupted behind its last epoch.
        let last = first.finish();
        kept.keep(&last, first.counts())?;
    }
    kept.end()?;
    damage(folder, at.n_damaged)?;
    let second = Sequencer::new(&plan.relations, options);
    let bulk = Bulk::until(at.delivered, plan);
    let mut simulation = Simulation::start(plan, second, (n_workers, bulk), None)?;
    simulation.refused = refused;
    restore(plan, &mut simulation, at, folder)?;
    if has_ended { simulation.end() } else { simulation.run(rows) }
}

/// All runs are smaller, so that three of them become one.
const RUN_BYTES: u64 = 1 << 20;

/// What the first part keeps.
struct Part<'a> {
    at: &'a Interruption,
    journal: Arc<Journal>,
    recorder: Recorder,
    limit: Arc<AtomicU64>,
    checkpoints: Work,
}

impl<'a> Part<'a> {
    fn start(plan: &Plan, at: &'a Interruption, folder: &Path) -> Result<Self, Error> {
        let dir = DataDir::take(folder, Arc::new(System))?;
        // Segments of a record or two, so that the log can be cut.
        let options = Options { sync: Sync::None, segment_bytes: 1 };
        let journal = Arc::new(journal::start(&dir, 0, options)?);
        let store = Arc::new(Store::new(dir.files(&dir.checkpoints())?));
        let recorder = Recorder::new(Arc::clone(&journal), Past::none(), &[]);
        let recorder = recorder.keeping_events(&plan.relations);
        let limit = Arc::new(AtomicU64::new(0));
        let keeps_epochs = plan.depends_on_arrival();
        let (every, cuts_log) = (RUN_BYTES, at.cuts_log);
        let settings = Settings { every, fan: 3, cuts_log, keeps_epochs };
        let how = (settings, Limits::new(vec![Arc::clone(&limit)]));
        let kept = Arc::clone(&journal);
        let checkpoints = Work::new(store, kept, (&plan.relations, 0), how, None);
        Ok(Self { at, journal, recorder, limit, checkpoints })
    }

    fn keep(&mut self, batch: &Batch, counts: Counts) -> Result<(), Error> {
        self.recorder.record(batch, counts, Vec::new())?;
        if self.at.checkpoints.contains(&batch.epoch) {
            self.journal.wait_for(batch.epoch)?;
            let until = batch.epoch.min(self.at.delivered);
            self.limit.store(until, std::sync::atomic::Ordering::Release);
            self.checkpoints.make()?;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        self.journal.close()
    }
}

/// Damages the newest checkpoints: of the first its last run, of others the manifest.
fn damage(folder: &Path, n: usize) -> Result<(), Error> {
    let dir = DataDir::take(folder, Arc::new(System))?;
    let store = Store::new(dir.files(&dir.checkpoints())?);
    for (index, found) in store.list()?.into_iter().take(n).enumerate() {
        let last_run = found.manifest.ok().and_then(|manifest| store.last_run(&manifest));
        let path = last_run.filter(|_| index == 0).unwrap_or(found.path);
        let damaged = std::fs::read(&path).and_then(|mut bytes| {
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            std::fs::write(&path, bytes)
        });
        damaged.map_err(|error| Error::io(format!("damaging {}", path.display()), error))?;
    }
    Ok(())
}

/// Feeds what the first part kept to the second.
fn restore(
    plan: &Plan,
    simulation: &mut Simulation,
    at: &Interruption,
    folder: &Path,
) -> Result<(), Error> {
    let dir = DataDir::take(folder, Arc::new(System))?;
    let Found::Interrupted(run) = journal::find(&dir, false)? else { return Ok(()) };
    let store = Arc::new(Store::new(dir.files(&dir.checkpoints())?));
    let manifest = store.newest(run.log_id, at.delivered, run.records())?;
    let from = manifest.as_ref().map_or(1, |manifest| manifest.next_record);
    let (journal, read, _) = run.resume(from, Options::default())?;
    if let Some(manifest) = manifest {
        let Restored { manifest, mut groups } = Restored::new(&store, manifest, &plan.relations);
        let watermark = VenueTime::from_nanos(manifest.watermark);
        while let Some(group) = groups.next()? {
            let batch = simulation.sequencer.enter(group, watermark)?;
            simulation.feed(batch)?;
        }
        simulation.sequencer.go_on(manifest.epoch, manifest.counts);
    }
    let recorder = Recorder::new(Arc::new(journal), read, &[]);
    let mut recorder = recorder.keeping_events(&plan.relations);
    while let Some((kept, _)) = recorder.next_kept()? {
        let batch = simulation.sequencer.restore(kept)?;
        simulation.feed(batch)?;
    }
    Ok(())
}
