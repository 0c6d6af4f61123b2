//! The log of step 5: what is appended here happened, in this order, and nothing else did.

use types::VenueTime;

use crate::error::Error;
use crate::ingest::Batch;

/// What the engine needs of a log.
pub trait Log {
    /// Appends a batch; it is kept when this returns.
    ///
    /// # Errors
    /// Where it can't be kept. The engine stops then: without an order there is no truth.
    fn append(&mut self, batch: &Batch) -> Result<(), Error>;
}

/// What the log keeps of an epoch of finite files: which rows it was, not the rows. Reading the
/// files again gives them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which epoch.
    pub epoch: u64,
    /// How many rows were read for it, whatever became of them.
    pub n_rows: usize,
    /// The watermark at its end.
    pub watermark: VenueTime,
}

/// A log that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryLog {
    entries: Vec<Entry>,
}

impl MemoryLog {
    /// What was appended.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Log for MemoryLog {
    fn append(&mut self, batch: &Batch) -> Result<(), Error> {
        let next = self.entries.last().map_or(1, |last| last.epoch + 1);
        assert!(batch.epoch == next, "log order: epoch {} where {next} follows", batch.epoch);
        let (epoch, n_rows, watermark) = (batch.epoch, batch.n_rows, batch.clock.watermark);
        self.entries.push(Entry { epoch, n_rows, watermark });
        Ok(())
    }
}
