//! Epochs on their way into the log, and those of a run that goes on beside what was logged of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::plan::RelationSpec;
use types::VenueTime;
use types::digest::Fold;

use super::brought::{Brought, Collector, Refused};
use super::codec::parts;
use super::{EpochEntry, Journal, OutputsEntry, Past, SourceRows};
use crate::config::plan::SourcePlan;
use crate::error::Error;
use crate::ingest::{Batch, Counts, Kept};
use crate::runtime::EpochOutput;

/// Logs what each epoch read.
pub(crate) struct Recorder {
    journal: Arc<Journal>,
    past: Past,
    /// The next epoch of the past, once it was looked at.
    ahead: Option<EpochEntry>,
    /// How sources are named in errors.
    sources: Vec<String>,
    /// What the open epoch has read of each source.
    read: Vec<(u64, Fold)>,
    /// Puts epochs together, where events are kept.
    events: Option<Collector>,
}

/// Logs what each epoch gives, once what it read is kept.
pub(crate) struct Confirmer {
    journal: Arc<Journal>,
    past: Past,
    /// Places of the views that sinks have, among an epoch's changes.
    delivered: Vec<usize>,
    /// Whether the epochs that come now were never given before.
    is_new: bool,
    /// The last epoch whose changes aren't those that it gave.
    bulk_until: u64,
    /// The last epoch that was confirmed, for others to see.
    confirmed: Arc<AtomicU64>,
    /// The next epoch of the past.
    next: Option<OutputsEntry>,
}

impl Recorder {
    /// Starts before the first epoch; `past` holds what an interrupted run read.
    pub(crate) fn new(journal: Arc<Journal>, past: Past, sources: &[SourcePlan]) -> Self {
        let sources: Vec<String> = sources.iter().map(|source| source.file.name.clone()).collect();
        let read = sources.iter().map(|_| (0, Fold::new(0))).collect();
        Self { journal, past, ahead: None, sources, read, events: None }
    }

    /// Where the rows of a source are counted, and their digest is made.
    ///
    /// # Panics
    /// If the plan has no such source.
    pub(crate) fn rows_of(&mut self, source: usize, n_rows: usize) -> &mut Fold {
        let (count, digest) = &mut self.read[source];
        *count += u64::try_from(n_rows).unwrap_or(u64::MAX);
        digest
    }

    /// Makes it keep events instead of comparing rows that are read again.
    #[must_use]
    pub(crate) fn keeping_events(mut self, relations: &[RelationSpec]) -> Self {
        self.events = Some(Collector::new(relations));
        self
    }

    /// The next epoch of the past with its events, and its rows that went to quarantine; none where
    /// events aren't kept.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_kept(&mut self) -> Result<Option<(Kept, Vec<Refused>)>, Error> {
        match &mut self.events {
            Some(collector) => self.past.next_kept(collector),
            None => Ok(None),
        }
    }

    /// How many rows the interrupted run had received at its end, where the next epoch was its last one;
    /// none where events are kept.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn end(&mut self) -> Result<Option<u64>, Error> {
        if self.keeps_events() {
            return Ok(None);
        }
        self.ahead = self.next_epoch()?;
        let end = VenueTime::END.nanos();
        Ok(self.ahead.as_ref().filter(|epoch| epoch.watermark == end).map(|e| e.counts.received))
    }

    fn next_epoch(&mut self) -> Result<Option<EpochEntry>, Error> {
        self.ahead.take().map_or_else(|| self.past.next_epoch(), |epoch| Ok(Some(epoch)))
    }

    /// Whether rows that went to quarantine are wanted with their epoch.
    pub(crate) fn keeps_events(&self) -> bool {
        self.events.is_some()
    }

    /// Logs an epoch, or compares it with what was logged of it. `refused` are its rows that went to
    /// quarantine.
    ///
    /// # Errors
    /// If its rows aren't those that the interrupted run read, or the log has failed.
    pub(crate) fn record(
        &mut self,
        batch: &Batch,
        counts: Counts,
        refused: Vec<Refused>,
    ) -> Result<(), Error> {
        let mut entry = EpochEntry {
            epoch: batch.epoch,
            watermark: batch.clock.watermark.nanos(),
            sources: Vec::new(),
            names: batch.names,
            counts,
        };
        let read = self.read.iter_mut().map(|read| {
            let (n_rows, digest) = std::mem::replace(read, (0, Fold::new(0)));
            SourceRows { n_rows, digest: digest.finish() }
        });
        entry.sources = read.collect();
        if let Some(collector) = &self.events {
            // All epochs of the past were fed as they were kept.
            let contents = batch.kept.as_ref().map(|kept| kept.contents.as_slice());
            let contents = contents.unwrap_or_default();
            let parts = parts(batch.epoch, collector.relations(), &batch.events, contents);
            self.journal.brought(Brought::of(batch, refused), parts)?;
            return self.journal.epoch(entry);
        }
        match self.next_epoch()? {
            None => self.journal.epoch(entry),
            Some(kept) if kept == entry => Ok(()),
            Some(kept) => Err(self.changed(&kept, &entry)),
        }
    }

    fn changed(&self, kept: &EpochEntry, now: &EpochEntry) -> Error {
        let epoch = now.epoch;
        let sources = kept.sources.iter().zip(&now.sources).zip(&self.sources);
        let differing = sources.filter(|((kept, now), _)| kept != now);
        let said: Vec<String> = differing
            .map(|((kept, now), name)| {
                let (was, is) = (kept.n_rows, now.n_rows);
                if was == is {
                    format!("source `{name}` has other rows in epoch {epoch}")
                } else {
                    format!("source `{name}` gives {is} rows to epoch {epoch}, and gave {was}")
                }
            })
            .collect();
        let what = if said.is_empty() {
            format!("epoch {epoch} is {now:?}, and was {kept:?}")
        } else {
            said.join("; ")
        };
        Error::Changed { what }
    }
}

impl Confirmer {
    /// Starts before the first epoch; `past` holds what an interrupted run gave. `delivered` are the
    /// emitted views that sinks have: what else leaves the dataflow is for readers, and another run may
    /// have others.
    /// `confirmed` is raised to each epoch that may leave.
    pub(crate) fn new(
        journal: Arc<Journal>,
        past: Past,
        delivered: Vec<usize>,
        confirmed: Arc<AtomicU64>,
    ) -> Self {
        let is_new = past.is_none();
        Self { journal, past, delivered, bulk_until: 0, confirmed, is_new, next: None }
    }

    /// Doesn't look at what epochs up to this one give: they are fed as few large ones, and all have what
    /// they gave.
    #[must_use]
    pub(crate) fn from(self, bulk_until: u64) -> Self {
        Self { bulk_until, ..self }
    }

    /// Returns once an epoch may leave: it is kept, and gave what it gave before, if it did.
    ///
    /// # Errors
    /// If it gave something else, or the log has failed.
    pub(crate) fn confirm(&mut self, output: &EpochOutput) -> Result<(), Error> {
        self.check(output)?;
        self.confirmed.store(output.epoch.0, Ordering::Release);
        Ok(())
    }

    fn check(&mut self, output: &EpochOutput) -> Result<(), Error> {
        let epoch = output.epoch.0;
        if epoch <= self.bulk_until {
            return Ok(());
        }
        let mut digest = Fold::new(epoch);
        for view in &self.delivered {
            digest.add(output.changes.get(*view).map_or(0, |changes| changes.digest()));
        }
        let entry = OutputsEntry { epoch, digest: digest.finish() };
        while self.next.is_none_or(|next| next.epoch < epoch) {
            self.next = self.past.next_outputs()?;
            if self.next.is_none() {
                break;
            }
        }
        match self.next.filter(|next| next.epoch == epoch) {
            Some(kept) if kept != entry => {
                return Err(Error::Diverged { epoch, was: kept.digest, is: entry.digest });
            }
            Some(_) => {}
            None => {
                if !std::mem::replace(&mut self.is_new, true) {
                    tracing::info!(epoch, "caught up: from this epoch on all is new");
                }
                self.journal.outputs(entry)?;
            }
        }
        self.journal.wait_for(epoch)
    }
}
