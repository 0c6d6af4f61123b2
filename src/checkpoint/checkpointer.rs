//! Makes checkpoints while the engine runs: a thread of its own reads what the log holds for good, so
//! that nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, RecvTimeoutError, Sender, bounded};
use dataflows::plan::RelationSpec;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::collect::{Head, Tail, collect};
use super::manifest::{Manifest, RunRef};
use super::merge::{merge, n_due};
use super::store::Store;
use crate::error::Error;
use crate::journal::{ENTRIES, Journal};
use crate::log::cut_before;

/// How long it waits where a checkpoint is due and somebody still needs what it would hold: at first, and
/// at most.
const AGAIN: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// What its thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The log has grown by as much as lies between two checkpoints.
    Due,
    /// The run has ended; whether a last checkpoint is wanted.
    End { is_wanted: bool },
}

/// How checkpoints are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Bytes of the log between two of them.
    pub(crate) every: u64,
    /// How many runs of one size become one.
    pub(crate) fan: usize,
    /// Whether the log may go where three checkpoints don't need it.
    pub(crate) cuts_log: bool,
    /// Whether all events stay, epoch by epoch: what is computed depends on when they came.
    pub(crate) keeps_epochs: bool,
}

impl Settings {
    /// With the fan that is usual.
    pub(crate) const fn new(every: u64, cuts_log: bool) -> Self {
        Self { every, fan: 8, cuts_log, keeps_epochs: false }
    }
}

/// How far checkpoints may reach: what somebody still needs epoch by epoch stays in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits(Vec<Arc<AtomicU64>>);

impl Limits {
    /// Those that somebody raises as he goes on.
    pub(crate) fn new(raised: Vec<Arc<AtomicU64>>) -> Self {
        Self(raised)
    }

    fn epoch(&self) -> u64 {
        if is_out(Safeguard::CheckpointWaits) {
            return u64::MAX;
        }
        // Whoever raises one has done before what it says.
        self.0.iter().map(|limit| limit.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

/// Makes checkpoints; see the module.
pub(crate) struct Checkpointer {
    asks: Sender<Ask>,
    thread: JoinHandle<()>,
}

/// Makes one checkpoint after the other.
pub(crate) struct Work {
    store: Arc<Store>,
    journal: Arc<Journal>,
    relations: Vec<RelationSpec>,
    settings: Settings,
    limits: Limits,
    plan: u128,
    head: Head,
    runs: Vec<RunRef>,
    tail: Option<Tail>,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(work: Work) -> Result<Self, Error> {
        // One word is enough: whoever finds one there needn't say it again.
        let (asks, asked) = bounded(1);
        work.journal.wake(work.settings.every, asks.clone());
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || work.run(&asked))
            .map_err(|source| Error::io("starting the thread of checkpoints", source))?;
        Ok(Self { asks, thread })
    }

    /// Makes a last checkpoint, of all that was delivered, if it is wanted; ends the thread.
    pub(crate) fn finish(self, is_wanted: bool) {
        self.asks.send(Ask::End { is_wanted }).unwrap_or_default();
        if self.thread.join().is_err() {
            tracing::error!("the thread of checkpoints panicked: the log is kept whole");
        }
    }
}

impl Work {
    /// Begins before the first checkpoint, or behind the one that the run goes on from.
    pub(crate) fn new(
        store: Arc<Store>,
        journal: Arc<Journal>,
        (relations, plan): (&[RelationSpec], u128),
        (settings, limits): (Settings, Limits),
        from: Option<&Manifest>,
    ) -> Self {
        let head = from.map_or_else(Head::default, Head::of);
        let runs = from.map(|manifest| manifest.runs.clone()).unwrap_or_default();
        let relations = relations.to_vec();
        Self { store, journal, relations, settings, limits, plan, head, runs, tail: None }
    }

    fn run(mut self, asked: &Receiver<Ask>) {
        let (mut is_due, [mut again, longest]) = (false, AGAIN);
        loop {
            let ask = if is_due {
                asked.recv_timeout(again)
            } else {
                asked.recv().map_err(|RecvError| RecvTimeoutError::Disconnected)
            };
            let is_last = match ask {
                Err(RecvTimeoutError::Disconnected) | Ok(Ask::End { is_wanted: false }) => return,
                Err(RecvTimeoutError::Timeout) | Ok(Ask::Due) => false,
                Ok(Ask::End { is_wanted: true }) => true,
            };
            is_due = match self.make() {
                Ok(is_made) => !is_made,
                Err(error) => {
                    // The log holds all of it: nothing is lost, and it is tried again.
                    let told = error.in_full();
                    tracing::warn!("no checkpoint was made, the log is kept: {told}");
                    false
                }
            };
            again = if is_due { (again * 2).min(longest) } else { AGAIN[0] };
            if is_last {
                return;
            }
        }
    }

    /// Makes a checkpoint of what the log holds for good; false where there is nothing new.
    ///
    /// # Errors
    /// If the log can't be read or files not be written. The log holds all of it then.
    pub(crate) fn make(&mut self) -> Result<bool, Error> {
        let until = self.limits.epoch();
        if until <= self.head.epoch {
            return Ok(false);
        }
        // Whatever fails, the log is read again from where the last checkpoint ends.
        let mut tail = match self.tail.take() {
            Some(mut tail) => {
                tail.extend(self.journal.durable_end())?;
                tail
            }
            None => Tail::new(self.journal.durable_from(self.head.next_record)?),
        };
        let mut head = self.head.clone();
        let Some(run) = collect(&self.store, &mut tail, &mut head, until)? else {
            self.tail = Some(tail);
            return Ok(false);
        };
        let mut runs = self.runs.clone();
        runs.push(run);
        while let Some(n) = n_due(&runs, self.settings.every, self.settings.fan) {
            let older = runs.len() - n;
            let newer = runs.split_off(older);
            let keeps_epochs = self.settings.keeps_epochs && !is_out(Safeguard::EpochsKept);
            runs.push(merge(&self.store, &self.relations, &newer, keeps_epochs)?);
        }
        let manifest = self.manifest(&head, &runs);
        self.store.save(&manifest)?;
        (self.head, self.runs, self.tail) = (head, runs, Some(tail));
        tracing::debug!(epoch = manifest.epoch, n_events = manifest.n_events(), "checkpoint");
        let oldest = self.store.prune(manifest.log_id)?;
        if let Some(oldest) = oldest.filter(|_| self.settings.cuts_log) {
            cut_before(self.journal.files(), oldest)?;
            point("checkpoint.log.cut");
        }
        Ok(true)
    }

    fn manifest(&self, head: &Head, runs: &[RunRef]) -> Manifest {
        Manifest {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            log_id: self.journal.log_id(),
            plan: self.plan,
            entries: ENTRIES,
            epoch: head.epoch,
            watermark: head.watermark,
            counts: head.counts,
            greatest: head.greatest.clone(),
            next_record: head.next_record,
            runs: runs.to_vec(),
        }
    }
}
