//! What a log holds of the run that was interrupted, read in step with the run that goes on.

use std::sync::Arc;

use super::entry::{Entry, EpochEntry, OutputsEntry};
use crate::error::Error;
use crate::log::Files;
use crate::log::Reader;
use crate::log::Recovered;

/// The entries that were there when the engine started, in their order.
pub(crate) struct Past {
    reader: Option<Reader>,
}

impl Past {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        Self { reader: None }
    }

    /// All entries of a log.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        log_id: u128,
        recovered: &Recovered,
    ) -> Result<Self, Error> {
        let reader = Reader::open(Arc::clone(files), log_id, recovered.records.clone())?;
        Ok(Self { reader: Some(reader) })
    }

    /// The next entry; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let Some(record) = reader.next_record()? else {
            self.reader = None;
            return Ok(None);
        };
        let number = record.number;
        Entry::decode(record.kind, record.payload).map(Some).ok_or_else(|| Error::OtherRun {
            what: format!("was kept by another version of Tapeline (record {number} of its log)"),
        })
    }

    /// Whether the run came to its end.
    pub(super) fn has_ended(&mut self) -> Result<bool, Error> {
        while let Some(entry) = self.next()? {
            if entry == Entry::End {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next epoch.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_epoch(&mut self) -> Result<Option<EpochEntry>, Error> {
        while let Some(entry) = self.next()? {
            if let Entry::Epoch(epoch) = entry {
                return Ok(Some(epoch));
            }
        }
        Ok(None)
    }

    /// What the next epoch changed.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) fn next_outputs(&mut self) -> Result<Option<OutputsEntry>, Error> {
        while let Some(entry) = self.next()? {
            if let Entry::Outputs(outputs) = entry {
                return Ok(Some(outputs));
            }
        }
        Ok(None)
    }
}
