//! Every bound of every queue, and what it costs at most.

/// Epochs between the sequencer and the last sink: fed, computed or waiting to be published.
pub(crate) const EPOCHS_IN_FLIGHT: usize = 16;

/// Bytes of them, events and changes, from which no other epoch is fed. What the epochs inside then
/// still give comes on top.
pub(crate) const BYTES_IN_FLIGHT: usize = 16 << 20;

/// Bytes that an event takes on its way to a worker, about.
pub(crate) const EVENT_BYTES: usize = 256;

/// Epochs that wait for one sink. A sink that falls behind further holds back the sources.
pub(crate) const SINK_EPOCHS: usize = 16;

/// Bytes of changes from which no other epoch is queued for a sink.
pub(crate) const SINK_BYTES: usize = 8 << 20;

/// Drained epochs that wait to be published. A worker drains only what was fed, so this never
/// fills before [`EPOCHS_IN_FLIGHT`] does.
pub(crate) const fn drained(n_workers: usize) -> usize {
    (EPOCHS_IN_FLIGHT + 1) * n_workers
}

/// Failures that wait to be told; the first one ends the run.
pub(crate) const FAILURES: usize = 64;

/// Threads that read files ahead of the merge; streams are shared among them.
pub(crate) const READERS_MAX: usize = 4;

/// Batches of rows that go round between a stream's reader and the merge: one is filled, one waits,
/// one is read. A batch is about 0.4 MB.
pub(crate) const BATCHES_OF_A_STREAM: usize = 3;

/// Streams beyond so many share what these would hold: their batches are smaller.
pub(crate) const ROWS_HELD_PARTS: usize = 8;

/// Bytes of one record's payload in the log, at most. Checked before anything is allocated.
pub(crate) const LOG_PAYLOAD_BYTES: usize = 64 << 20;

/// Bytes of a segment of the log, from which the next one is begun. One record more may lie in it.
pub(crate) const LOG_SEGMENT_BYTES: u64 = 64 << 20;

/// The largest segment that may be asked for. A file longer than it and a record is no segment of ours.
pub(crate) const LOG_SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Bytes of records that wait for the log's thread. It writes as many at a time, so twice this is
/// held, and a record that is larger passes alone.
pub(crate) const LOG_QUEUE_BYTES: usize = 8 << 20;

/// Bytes that are read from the log at a time.
pub(crate) const LOG_READ_BYTES: usize = 256 << 10;
