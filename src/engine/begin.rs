//! Where a run begins: before its first row, or where one was interrupted.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dataflows::plan::RelationSpec;

use crate::checkpoint::{self, Checkpointer, Limits, Manifest, Restored, Store, Work};
use crate::config::plan::Pipeline;
use crate::data_dir::DataDir;
use crate::deliver::Delivery;
use crate::error::Error;
use crate::journal::{self, Interrupted, Journal, Past, Start};
use crate::log::Options;
use crate::poison::Poisons;

/// What becomes of a run that was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// It is gone on with.
    #[default]
    GoOn,
    /// It is gone on with, also where its log is damaged: that is put aside.
    Salvage,
    /// It is forgotten.
    Fresh,
}

/// The run to go on with, if there is one whose events are kept, or of which something has left the
/// engine for good. If not, what it kept is forgotten, but for crashes, which come again.
pub(super) fn interrupted(
    dir: &DataDir,
    digest: u128,
    begin: Begin,
    poisons: &mut Poisons,
) -> Result<Option<Interrupted>, Error> {
    let found = match begin {
        Begin::Fresh => journal::Found::Nothing,
        Begin::GoOn => journal::find(dir, false)?,
        Begin::Salvage => journal::find(dir, true)?,
    };
    if matches!(found, journal::Found::Nothing) {
        poisons.forget()?;
    }
    if let journal::Found::Interrupted(run) = found
        && (run.keeps_events || dir.has_delivered()?)
    {
        let start = match &run.start {
            Some(start) => start.clone(),
            None => start_of(&newest_manifest(dir, &run)?),
        };
        Interrupted::check(&start, digest)?;
        tracing::info!("going on with the run that was interrupted");
        return Ok(Some(*run));
    }
    dir.forget_sinks()?;
    Ok(None)
}

/// What a log was about whose begin was cut.
fn newest_manifest(dir: &DataDir, run: &Interrupted) -> Result<Manifest, Error> {
    let found = Store::new(dir.files(&dir.checkpoints())?).list()?;
    let ours = found.into_iter().filter_map(|found| found.manifest.ok());
    let newest = ours.into_iter().find(|manifest| manifest.log_id == run.log_id);
    newest.ok_or_else(|| nothing_to_begin_with(run))
}

fn start_of(manifest: &Manifest) -> Start {
    let Manifest { entries, engine, plan, .. } = manifest;
    Start { format: *entries, engine: engine.clone(), plan: *plan }
}

fn nothing_to_begin_with(run: &Interrupted) -> Error {
    let first = run.records().start;
    let what =
        format!("has no checkpoint that can be used, and its log begins with record {first}");
    Error::OtherRun { what }
}

/// A run that begins.
pub(super) struct Begun {
    pub(super) journal: Arc<Journal>,
    /// What the log holds of what it has read,
    pub(super) read: Past,
    /// and of what it has given.
    pub(super) given: Past,
    /// The checkpoint that it goes on from.
    pub(super) restored: Option<Restored>,
    /// The last epoch that nobody needs by itself.
    pub(super) bulk_until: u64,
    /// The last epoch that the interrupted run may have shown to anybody.
    pub(super) shown_until: u64,
    /// Where checkpoints go.
    store: Option<Arc<Store>>,
}

/// The smallest segments that a log has which is cut.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Begins a run, or goes on with one; `what` it computes, and with what digest.
///
/// # Errors
/// If the log can't be made or opened, or doesn't hold what is needed.
pub(super) fn begin(
    dir: &DataDir,
    interrupted: Option<Interrupted>,
    pipeline: &Pipeline,
    (relations, digest): What<'_>,
    deliveries: &[Delivery],
) -> Result<Begun, Error> {
    let mut options = Options { sync: pipeline.sync, ..Options::default() };
    if pipeline.checkpoints.cuts_log {
        // It is cut by whole segments.
        let wanted = pipeline.checkpoints.every.max(SEGMENT_BYTES_MIN);
        options.segment_bytes = options.segment_bytes.min(wanted);
    }
    let open = || dir.files(&dir.checkpoints()).map(|files| Arc::new(Store::new(files)));
    let Some(run) = interrupted else {
        let journal = Arc::new(journal::start(dir, digest, options)?);
        dir.forget_checkpoints()?;
        let store = pipeline.keeps_events.then(open).transpose()?;
        let (read, given) = (Past::none(), Past::none());
        let (restored, bulk_until, shown_until) = Default::default();
        return Ok(Begun { journal, read, given, restored, bulk_until, shown_until, store });
    };
    let store = pipeline.keeps_events.then(open).transpose()?;
    // What all sinks have needs no epochs; what one lacks it is given epoch by epoch.
    let kept_until = deliveries.iter().filter_map(Delivery::kept_until).min();
    let newest = |store: &Arc<Store>| {
        store.newest(run.log_id, kept_until.unwrap_or(u64::MAX), run.records())
    };
    let manifest = store.as_ref().map(newest).transpose()?.flatten();
    let from = manifest.as_ref().map_or(1, |manifest| manifest.next_record);
    if from < run.records().start {
        return Err(nothing_to_begin_with(&run));
    }
    let last_epoch = run.last_epoch;
    let (journal, read, given) = run.resume(from, options)?;
    let epoch = manifest.as_ref().map_or(0, |manifest| manifest.epoch);
    let restored = store.as_ref().zip(manifest);
    let restored = restored.map(|(store, manifest)| Restored::new(store, manifest, relations));
    let bulk_until = kept_until.unwrap_or(epoch);
    let (journal, shown_until) = (Arc::new(journal), last_epoch.max(epoch));
    Ok(Begun { journal, read, given, restored, bulk_until, shown_until, store })
}

/// The relations that are read, and the digest of the plan.
pub(super) type What<'a> = (&'a [RelationSpec], u128);

impl Begun {
    /// Starts to make checkpoints, where events are kept. They reach as far as what was confirmed and
    /// what all sinks have.
    ///
    /// # Errors
    /// If their thread can't be started.
    pub(super) fn checkpointer(
        &self,
        (relations, digest): What<'_>,
        settings: checkpoint::Settings,
        deliveries: &[Delivery],
        confirmed: Arc<AtomicU64>,
    ) -> Result<Option<Checkpointer>, Error> {
        let Some(store) = &self.store else { return Ok(None) };
        let raised = deliveries.iter().map(Delivery::kept).chain([confirmed]);
        let limits = Limits::new(raised.collect());
        let from = self.restored.as_ref().map(|restored| &restored.manifest);
        let (store, journal) = (Arc::clone(store), Arc::clone(&self.journal));
        let work = Work::new(store, journal, (relations, digest), (settings, limits), from);
        Checkpointer::start(work).map(Some)
    }
}
