//! Sources to batches: rows are merged by event time, judged, numbered and cut into epochs.

mod books;
mod bulk;
mod identities;
mod merge;
mod readers;
mod sequencer;
mod stage;

pub use bulk::Bulk;
pub use identities::{Identities, Standing};
pub use merge::{Merge, MergedRows, MergedStream};
pub use sequencer::{
    Batch, Counts, Kept, KeptBeside, Outcome, ReadRows, Sequencer, SequencerOptions,
};
pub(crate) use stage::{Ingest, ReadTo, SetAside};
