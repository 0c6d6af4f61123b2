//! Steps 4 and 5: rows are judged, refused ones set aside, epochs logged and fed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use connectors::quarantine::{Entry, Quarantine};
use connectors::source::RowRef;

use crate::checkpoint::Restored;
use crate::config::plan::SourcePlan;
use crate::engine::{Progress, RunOptions};
use crate::error::Error;
use crate::ingest::books::Books;
use crate::ingest::sequencer::ReadRows as _;
use crate::ingest::{Batch, Bulk, Counts, Merge, Sequencer};
use crate::journal::{Recorder, Refused};
use crate::poison::{Poison, take_out};
use crate::runtime::Runtime;
use types::VenueTime;
use types::event::Reason;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

/// The stage between sources and workers.
pub(crate) struct Ingest<'a> {
    sources: &'a [SourcePlan],
    recorder: Recorder,
    /// What the open epoch has refused, where events are kept.
    refused: Vec<Refused>,
    set_aside: SetAside,
    runtime: Runtime,
    bulk: Bulk,
    books: Books,
    /// Events that crash the engine.
    poisons: &'a [Poison],
}

/// Where reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadTo {
    /// All sources have ended.
    End,
    /// Somebody asked to stop. Rows behind the last whole epoch come again.
    Stop,
}

/// Refused rows.
pub(crate) struct SetAside {
    file: Quarantine,
    /// How many, by reason.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// Of them, those that the sequencer had let in.
    pub(crate) n_poisons: u64,
    /// Of them, those that the quarantine had no room for.
    pub(crate) n_left_out: u64,
    /// Where they are, if there are any.
    pub(crate) path: Option<PathBuf>,
}

impl<'a> Ingest<'a> {
    /// Starts before the first row.
    pub(crate) fn new(
        sources: &'a [SourcePlan],
        recorder: Recorder,
        quarantine: Quarantine,
        runtime: Runtime,
        bulk: Bulk,
    ) -> Self {
        let set_aside = SetAside {
            file: quarantine,
            reasons: BTreeMap::new(),
            n_poisons: 0,
            n_left_out: 0,
            path: None,
        };
        Self {
            sources,
            recorder,
            refused: Vec::new(),
            set_aside,
            runtime,
            bulk,
            books: Books::default(),
            poisons: &[],
        }
    }

    /// Sets events aside that crash the engine, instead of feeding them.
    pub(crate) fn without(self, poisons: &'a [Poison]) -> Self {
        Self { poisons, ..self }
    }

    /// Reads all rows to their end, or until it is asked to stop.
    ///
    /// # Errors
    /// If a source can't be read, a row must not be refused, or a later stage has failed.
    pub(crate) fn read(
        &mut self,
        mut merge: Merge,
        sequencer: &mut Sequencer,
        options: &mut RunOptions<'_>,
    ) -> Result<ReadTo, Error> {
        if let Some(read_to) = self.replay(&mut merge, sequencer, options)? {
            return Ok(read_to);
        }
        while !self.is_at_its_end(&mut merge, sequencer)? {
            let Some(merged) = merge.next_rows(sequencer.room())? else { break };
            let Some(source) = self.sources.get(merged.source) else { continue };
            let n_rows = merged.n_rows();
            self.books.read += u64::try_from(n_rows).unwrap_or(u64::MAX);
            let digest = self.recorder.rows_of(merged.source, n_rows);
            let mut refused = Vec::new();
            sequencer.admit_all(source.relation, &merged, digest, |index, reject| {
                let Some(row) = merged.get(index) else { return Ok(()) };
                refused.push(self.set_aside.take(source, merged.path, &row, reject)?);
                self.books.refused += 1;
                Ok(())
            })?;
            if self.recorder.keeps_events() {
                self.refused.append(&mut refused);
            }
            if let Some(batch) = sequencer.cut() {
                let progress = Progress {
                    n_rows: sequencer.counts().received,
                    bytes: merge.progress(),
                    event_time: sequencer.greatest(),
                };
                self.feed(batch, sequencer.counts())?;
                (options.progress)(&progress);
                if options.stop.was_asked() {
                    return Ok(ReadTo::Stop);
                }
            }
        }
        let last = sequencer.finish();
        self.feed(last, sequencer.counts())?;
        Ok(ReadTo::End)
    }

    /// Feeds what a checkpoint holds.
    ///
    /// # Errors
    /// If it can't be read, isn't of this plan, or a later stage has failed.
    pub(crate) fn restore(
        &mut self,
        from: Restored,
        sequencer: &mut Sequencer,
    ) -> Result<(), Error> {
        let Restored { manifest, mut groups } = from;
        let watermark = VenueTime::from_nanos(manifest.watermark);
        while let Some(mut group) = groups.next()? {
            for row in std::mem::take(&mut group.brought.refused) {
                self.set_aside.restore(&row)?;
                self.books.refused += 1;
            }
            let batch = sequencer.enter(group, watermark)?;
            self.books.feed(&batch);
            point("checkpoint.group.restored");
            self.feed_restored(batch)?;
        }
        // What superseded one may have taken its place in the checkpoint: it went to quarantine though.
        let is_before = |poison: &&Poison| poison.epoch <= manifest.epoch;
        self.set_aside.poisons(self.poisons.iter().filter(is_before))?;
        self.books.fed += manifest.n_superseded();
        self.books.read = manifest.counts.received;
        self.books.check(manifest.epoch, &manifest.counts)?;
        sequencer.go_on(manifest.epoch, manifest.counts);
        Ok(())
    }

    /// Ends the input and waits for the workers.
    pub(crate) fn finish(mut self) -> (Result<SetAside, Error>, Result<(), Error>) {
        let rest = self.bulk.rest().map_or(Ok(()), |batch| self.runtime.feed(batch));
        (self.set_aside.finish(), rest.and(self.runtime.finish()))
    }

    /// Feeds what the log holds, as it was; then goes to where the sources were read to. Says where
    /// reading has ended, where it has.
    fn replay(
        &mut self,
        merge: &mut Merge,
        sequencer: &mut Sequencer,
        options: &mut RunOptions<'_>,
    ) -> Result<Option<ReadTo>, Error> {
        let mut is_at_end = false;
        while let Some((kept, refused)) = self.recorder.next_kept()? {
            is_at_end = kept.watermark == VenueTime::END;
            for row in refused {
                self.set_aside.restore(&row)?;
                self.books.refused += 1;
            }
            let batch = sequencer.restore(kept)?;
            self.books.feed(&batch);
            self.books.read = sequencer.counts().received;
            self.books.check(batch.epoch, &sequencer.counts())?;
            point("epoch.replayed");
            self.feed_on(batch)?;
            (options.progress)(&Progress {
                n_rows: sequencer.counts().received,
                bytes: merge.progress(),
                event_time: sequencer.greatest(),
            });
            if options.stop.was_asked() {
                return Ok(Some(ReadTo::Stop));
            }
        }
        if is_at_end {
            if merge.has_replayed() {
                tell_of_replayed();
            }
            return Ok(Some(ReadTo::End));
        }
        let mut left = if self.recorder.keeps_events() { sequencer.counts().received } else { 0 };
        while left > 0 {
            let n_max = usize::try_from(left).unwrap_or(usize::MAX);
            let Some(rows) = merge.next_rows(n_max)? else {
                let what = format!("sources have {left} rows less than were read of them");
                return Err(Error::Changed { what });
            };
            left -= u64::try_from(rows.n_rows()).unwrap_or(left).min(left);
        }
        Ok(None)
    }

    /// Whether the run that was interrupted had ended its last epoch here: what was replayed since mustn't
    /// enter it.
    fn is_at_its_end(&mut self, merge: &mut Merge, sequencer: &Sequencer) -> Result<bool, Error> {
        let n_received = sequencer.counts().received;
        let is_it = self.recorder.end()?.is_some_and(|n_rows| n_rows <= n_received)
            && merge.is_at_replayed()?
            && !is_out(Safeguard::EndStays);
        if is_it {
            tell_of_replayed();
        }
        Ok(is_it)
    }

    fn feed(&mut self, batch: Batch, counts: Counts) -> Result<(), Error> {
        self.books.feed(&batch);
        self.books.check(batch.epoch, &counts)?;
        self.recorder.record(&batch, counts, std::mem::take(&mut self.refused))?;
        point("epoch.recorded");
        self.feed_on(batch)?;
        point("epoch.fed");
        Ok(())
    }

    fn feed_on(&mut self, mut batch: Batch) -> Result<(), Error> {
        if !self.poisons.is_empty() {
            self.set_aside.poisons(take_out(&mut batch, self.poisons).into_iter())?;
        }
        self.bulk.take(batch).map_or(Ok(()), |batch| self.runtime.feed(batch))
    }

    fn feed_restored(&mut self, mut batch: Batch) -> Result<(), Error> {
        take_out(&mut batch, self.poisons);
        self.bulk.take(batch).map_or(Ok(()), |batch| self.runtime.feed(batch))
    }
}

fn tell_of_replayed() {
    tracing::warn!(
        "the run that was interrupted had come to the end of its rows: what was replayed since enters with the \
         next start"
    );
}

impl SetAside {
    fn take(
        &mut self,
        source: &SourcePlan,
        path: &str,
        row: &RowRef<'_>,
        reject: &types::Reject,
    ) -> Result<Refused, Error> {
        let reason = reject.reason.code();
        if source.stops_on_bad_row {
            return Err(Error::BadRow {
                path: path.to_owned(),
                line: row.line,
                reason,
                detail: reject.detail.clone(),
            });
        }
        *self.reasons.entry(reason).or_default() += 1;
        let entry = Entry {
            source: &source.file.name,
            path,
            line: row.line,
            row: row.row,
            column: reject.column.as_deref(),
            source_column: row.reject.and_then(|(_, column)| column.as_deref()),
            reason: reject.reason,
            detail: &reject.detail,
            bytes: row.bytes,
        };
        let line = self.file.write(&entry)?.to_owned();
        point("row.refused");
        Ok(Refused { reason: reason.to_owned(), line })
    }

    /// Takes a row that the log holds.
    fn restore(&mut self, refused: &Refused) -> Result<(), Error> {
        let reason = Reason::from_code(&refused.reason).ok_or_else(|| Error::OtherRun {
            what: format!(
                "refused a row for a reason that this version doesn't know: {}",
                refused.reason
            ),
        })?;
        *self.reasons.entry(reason.code()).or_default() += 1;
        Ok(self.file.write_line(&refused.line)?)
    }

    /// Takes events that crash the engine.
    fn poisons<'p>(&mut self, found: impl Iterator<Item = &'p Poison>) -> Result<(), Error> {
        for poison in found {
            *self.reasons.entry(Reason::CrashesEngine.code()).or_default() += 1;
            self.n_poisons += 1;
            self.file.write_line(&poison.line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self, Error> {
        let n_rows: u64 = self.reasons.values().sum();
        self.file.finish()?;
        self.n_left_out = self.file.n_left_out();
        self.path = (n_rows > 0).then(|| self.file.path());
        Ok(self)
    }
}
