//! Steps 4 and 5: rows are judged, refused ones set aside, epochs logged and fed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use connectors::quarantine::{Entry, Quarantine};
use connectors::source::RowRef;

use crate::config::plan::SourcePlan;
use crate::engine::{Progress, RunOptions};
use crate::error::Error;
use crate::ingest::sequencer::ReadRows as _;
use crate::ingest::{Batch, Counts, Merge, Sequencer};
use crate::journal::{EpochEntry, Recorder};
use crate::runtime::Runtime;
use types::fault::point;

/// The stage between sources and workers.
pub(crate) struct Ingest<'a> {
    sources: &'a [SourcePlan],
    recorder: Recorder,
    set_aside: SetAside,
    runtime: Runtime,
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
    ) -> Self {
        let set_aside = SetAside { file: quarantine, reasons: BTreeMap::new(), path: None };
        Self { sources, recorder, set_aside, runtime }
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
        while let Some(merged) = merge.next_rows(sequencer.room())? {
            let Some(source) = self.sources.get(merged.source) else { continue };
            let digest = self.recorder.rows_of(merged.source, merged.n_rows());
            sequencer.admit_all(source.relation, &merged, digest, |index, reject| {
                let Some(row) = merged.get(index) else { return Ok(()) };
                self.set_aside.take(source, merged.path, &row, reject)
            })?;
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

    /// Ends the input and waits for the workers.
    pub(crate) fn finish(self) -> (Result<SetAside, Error>, Result<(), Error>) {
        (self.set_aside.finish(), self.runtime.finish())
    }

    fn feed(&mut self, batch: Batch, counts: Counts) -> Result<(), Error> {
        self.recorder.record(EpochEntry {
            epoch: batch.epoch,
            watermark: batch.clock.watermark.nanos(),
            sources: Vec::new(),
            names: batch.names,
            counts,
        })?;
        point("epoch.recorded");
        self.runtime.feed(batch)?;
        point("epoch.fed");
        Ok(())
    }
}

impl SetAside {
    fn take(
        &mut self,
        source: &SourcePlan,
        path: &str,
        row: &RowRef<'_>,
        reject: &types::Reject,
    ) -> Result<(), Error> {
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
        self.file.write(&entry)?;
        point("row.refused");
        Ok(())
    }

    fn finish(mut self) -> Result<Self, Error> {
        let n_rows: u64 = self.reasons.values().sum();
        self.file.finish()?;
        self.path = (n_rows > 0).then(|| self.file.path().to_owned());
        Ok(self)
    }
}
