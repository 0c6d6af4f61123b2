//! What a log holds of the run that was interrupted, read in step with the run that goes on.

use std::ops::Range;
use std::sync::Arc;

use super::brought::{Collector, Refused};
use super::entry::kinds::{BROUGHT, END, EPOCH, OUTPUTS, START};
use super::entry::{Entry, EpochEntry, OutputsEntry};
use crate::env::Files;
use crate::error::Error;
use crate::ingest::Kept;
use crate::log::Reader;

/// The entries that were there when the engine started, in their order.
pub(crate) struct Past {
    reader: Option<Reader>,
}

/// What a log holds behind a place.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Whether the run came to its end.
    pub(super) has_ended: bool,
    /// Whether what epochs brought is kept.
    pub(super) keeps_events: bool,
    /// The last epoch; zero where there is none.
    pub(super) last_epoch: u64,
}

impl Past {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        Self { reader: None }
    }

    /// Whether there is nothing.
    pub(super) const fn is_none(&self) -> bool {
        self.reader.is_none()
    }

    /// The entries of a log, from one on.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        log_id: u128,
        records: Range<u64>,
    ) -> Result<Self, Error> {
        let reader = Reader::open(Arc::clone(files), log_id, records)?;
        Ok(Self { reader: Some(reader) })
    }

    /// The next entry; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.next_of(|_| true)
    }

    /// The next entry whose record is of a kind that is wanted. Others aren't read.
    fn next_of(&mut self, is_wanted: impl Fn(u8) -> bool) -> Result<Option<Entry>, Error> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        while let Some(record) = reader.next_record()? {
            if is_wanted(record.kind) {
                let number = record.number;
                let entry = Entry::decode(record.kind, record.payload);
                return entry.map(Some).ok_or_else(|| unreadable(number));
            }
        }
        self.reader = None;
        Ok(None)
    }

    /// Goes to the end, and says what there was.
    pub(super) fn rest(&mut self) -> Result<Rest, Error> {
        let mut rest = Rest::default();
        let Some(reader) = &mut self.reader else { return Ok(rest) };
        while let Some(record) = reader.next_record()? {
            rest.has_ended |= record.kind == END;
            rest.keeps_events |= record.kind == BROUGHT;
            if record.kind == EPOCH
                && let Some(Entry::Epoch(entry)) = Entry::decode(record.kind, record.payload)
            {
                rest.last_epoch = entry.epoch;
            }
        }
        Ok(rest)
    }

    /// The next epoch.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_epoch(&mut self) -> Result<Option<EpochEntry>, Error> {
        match self.next_of(|kind| kind == EPOCH)? {
            Some(Entry::Epoch(epoch)) => Ok(Some(epoch)),
            _ => Ok(None),
        }
    }

    /// The next epoch with its events, and its rows that went to quarantine.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_kept(
        &mut self,
        collector: &mut Collector,
    ) -> Result<Option<(Kept, Vec<Refused>)>, Error> {
        while let Some(entry) = self.next_of(|kind| kind != OUTPUTS && kind != START)? {
            let is_ours = match entry {
                Entry::Brought(brought) => {
                    drop(collector.begin(brought));
                    true
                }
                Entry::Events(part) => collector.add(&part).is_some(),
                Entry::Epoch(entry) => {
                    let epoch = entry.epoch;
                    return collector.end(&entry).map(Some).ok_or_else(|| Error::OtherRun {
                        what: format!("kept no events of epoch {epoch} that can be read"),
                    });
                }
                Entry::Start(_) | Entry::Outputs(_) | Entry::End => true,
            };
            if !is_ours {
                return Err(Error::OtherRun { what: "kept events that can't be read".to_owned() });
            }
        }
        Ok(None)
    }

    /// What the next epoch changed.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_outputs(&mut self) -> Result<Option<OutputsEntry>, Error> {
        match self.next_of(|kind| kind == OUTPUTS)? {
            Some(Entry::Outputs(outputs)) => Ok(Some(outputs)),
            _ => Ok(None),
        }
    }
}

fn unreadable(number: u64) -> Error {
    let what = format!("was kept by another version of Tapeline (record {number} of its log)");
    Error::OtherRun { what }
}
