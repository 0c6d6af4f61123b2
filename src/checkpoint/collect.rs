//! From records of the log to a run: whole epochs, as they stand there.

use super::manifest::{Manifest, RunRef};
use super::run::{RunWriter, frame};
use super::store::Store;
use crate::error::Error;
use crate::ingest::Counts;
use crate::journal::{Brought, Entry, EpochEntry, counts_of, kinds};
use crate::log::{Reader, Record};

/// Where the log was read to, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The last whole epoch.
    pub(super) epoch: u64,
    /// The watermark at its end, in nanoseconds.
    pub(super) watermark: i64,
    /// Rows by outcome up to its end.
    pub(super) counts: Counts,
    /// The greatest event time of each relation, in nanoseconds.
    pub(super) greatest: Vec<i64>,
    /// The first record behind it.
    pub(super) next_record: u64,
}

impl Default for Head {
    /// Before the first epoch.
    fn default() -> Self {
        let (epoch, watermark, counts, greatest) = Default::default();
        Self { epoch, watermark, counts, greatest, next_record: 1 }
    }
}

impl Head {
    /// Where a checkpoint ends.
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            epoch: manifest.epoch,
            watermark: manifest.watermark,
            counts: manifest.counts,
            greatest: manifest.greatest.clone(),
            next_record: manifest.next_record,
        }
    }
}

/// The log as far as it was read, which may be farther than a checkpoint reaches.
pub(super) struct Tail {
    log: Reader,
    open: Open,
    /// The end of the open epoch, with the number of its record, where a checkpoint didn't reach it.
    end: Option<(u64, EpochEntry)>,
}

/// An epoch whose end wasn't taken yet.
#[derive(Default)]
struct Open {
    brought: Option<Brought>,
    n_events: u64,
    n_revising: u64,
    /// Its entries, as a run has them.
    entries: Vec<u8>,
}

impl Tail {
    /// Starts before an epoch.
    pub(super) fn new(log: Reader) -> Self {
        Self { log, open: Open::default(), end: None }
    }

    /// Goes on with what the log holds more, up to a record.
    pub(super) fn extend(&mut self, end: u64) -> Result<(), Error> {
        Ok(self.log.extend(end)?)
    }

    /// Reads to the end of the next epoch, and gives it with the number of its record.
    fn next(&mut self) -> Result<Option<(u64, EpochEntry)>, Error> {
        if self.end.is_some() {
            return Ok(self.end.take());
        }
        while let Some(record) = self.log.next_record()? {
            let number = record.number;
            let unreadable = || Error::OtherRun {
                what: format!("kept no events that can be read (record {number} of its log)"),
            };
            if record.kind != kinds::EPOCH {
                self.open.take(&record).ok_or_else(unreadable)?;
                continue;
            }
            let entry = Entry::decode(record.kind, record.payload);
            let Some(Entry::Epoch(entry)) = entry else { return Err(unreadable()) };
            let is_whole = self.open.brought.as_ref().is_some_and(|b| b.epoch == entry.epoch);
            return if is_whole { Ok(Some((number, entry))) } else { Err(unreadable()) };
        }
        Ok(None)
    }
}

impl Open {
    /// Takes a record into the epoch. `None` where it can't be read.
    fn take(&mut self, record: &Record<'_>) -> Option<()> {
        match record.kind {
            kinds::BROUGHT => {
                let decoded = Entry::decode(record.kind, record.payload)?;
                let Entry::Brought(brought) = decoded else { return None };
                // What was open is what a crash left of it.
                self.brought = Some(brought);
                (self.n_events, self.n_revising) = (0, 0);
                self.entries.clear();
            }
            kinds::EVENTS => {
                self.brought.as_ref()?;
                let (n_events, n_revising) = counts_of(record.payload)?;
                self.n_events += u64::from(n_events);
                self.n_revising += u64::from(n_revising);
            }
            _ => return Some(()),
        }
        frame(record.kind, record.payload, &mut self.entries);
        Some(())
    }
}

/// Copies epochs up to one into a run, and brings `head` to where they end. `None` where there is none.
///
/// # Errors
/// If the log can't be read, or keeps no events; if the run can't be written. The tail is of no use then.
pub(super) fn collect(
    store: &Store,
    tail: &mut Tail,
    head: &mut Head,
    until: u64,
) -> Result<Option<RunRef>, Error> {
    let number = store.next_run()?;
    let mut writer: Option<RunWriter> = None;
    let mut run = RunRef { number, ..RunRef::default() };
    while let Some((record, entry)) = tail.next()? {
        if entry.epoch > until {
            tail.end = Some((record, entry));
            break;
        }
        if writer.is_none() {
            run.epochs.0 = entry.epoch;
        }
        let file = match writer.take() {
            Some(file) => file,
            None => RunWriter::create(&*store.files, &Store::draft(number))?,
        };
        writer.insert(file).add_frames(&tail.open.entries)?;
        run.epochs.1 = entry.epoch;
        run.n_events += std::mem::take(&mut tail.open.n_events);
        run.n_revising += std::mem::take(&mut tail.open.n_revising);
        tail.open.entries.clear();
        *head = Head {
            epoch: entry.epoch,
            watermark: entry.watermark,
            counts: entry.counts,
            greatest: tail.open.brought.take().map(|b| b.greatest).unwrap_or_default(),
            next_record: record + 1,
        };
    }
    let Some(writer) = writer else { return Ok(None) };
    (run.n_bytes, run.crc) = writer.finish()?;
    store.name_run(number)?;
    Ok(Some(run))
}
