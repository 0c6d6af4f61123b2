//! From records of the log to a run: whole epochs, as they stand there.

use super::manifest::{Manifest, RunRef};
use super::run::RunWriter;
use super::store::Store;
use crate::error::Error;
use crate::ingest::Counts;
use crate::journal::{Brought, Entry, kinds, n_events_of};
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

/// An epoch whose end wasn't read yet.
struct Open {
    brought: Brought,
    n_events: u64,
    /// Its entries, by kind and payload.
    entries: Vec<(u8, Vec<u8>)>,
}

/// Copies epochs up to one into a run, and brings `head` to where they end. `None` where there is none.
///
/// # Errors
/// If the log can't be read, or keeps no events; if the run can't be written.
pub(super) fn collect(
    store: &Store,
    log: &mut Reader,
    head: &mut Head,
    until: u64,
) -> Result<Option<RunRef>, Error> {
    let number = store.next_run()?;
    let mut writer: Option<RunWriter> = None;
    let mut run = RunRef { number, ..RunRef::default() };
    let mut open: Option<Open> = None;
    while let Some(record) = log.next_record()? {
        let unreadable = || Error::OtherRun {
            what: format!("kept no events that can be read (record {} of its log)", record.number),
        };
        if record.kind != kinds::EPOCH {
            take(&record, &mut open).ok_or_else(unreadable)?;
            continue;
        }
        let entry = Entry::decode(record.kind, record.payload);
        let Some(Entry::Epoch(entry)) = entry else { return Err(unreadable()) };
        if entry.epoch > until {
            break;
        }
        let epoch = open.take().filter(|open| open.brought.epoch == entry.epoch);
        let Open { brought, n_events, entries } = epoch.ok_or_else(unreadable)?;
        if writer.is_none() {
            run.epochs.0 = entry.epoch;
        }
        let file = match writer.take() {
            Some(file) => file,
            None => RunWriter::create(&*store.files, &Store::draft(number))?,
        };
        let file = writer.insert(file);
        for (kind, payload) in entries {
            file.add(kind, &payload)?;
        }
        run.epochs.1 = entry.epoch;
        run.n_events += n_events;
        *head = Head {
            epoch: entry.epoch,
            watermark: entry.watermark,
            counts: entry.counts,
            greatest: brought.greatest,
            next_record: record.number + 1,
        };
    }
    let Some(writer) = writer else { return Ok(None) };
    (run.n_bytes, run.crc) = writer.finish()?;
    store.name_run(number)?;
    Ok(Some(run))
}

/// Takes a record into the open epoch. `None` where it can't be read.
fn take(record: &Record<'_>, open: &mut Option<Open>) -> Option<()> {
    let entry = || (record.kind, record.payload.to_vec());
    match record.kind {
        kinds::BROUGHT => {
            let decoded = Entry::decode(record.kind, record.payload)?;
            let Entry::Brought(brought) = decoded else { return None };
            // What was open is what a crash left of it.
            *open = Some(Open { brought, n_events: 0, entries: vec![entry()] });
        }
        kinds::EVENTS => {
            let open = open.as_mut()?;
            open.n_events += u64::from(n_events_of(record.payload)?);
            open.entries.push(entry());
        }
        _ => {}
    }
    Some(())
}
