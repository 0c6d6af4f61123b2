//! Every bound of every queue, and what it costs at most.

/// Epochs between the sequencer and the last sink: fed, computed or waiting to be published. With
/// 10,000 events of about 250 bytes an epoch, some 40 MB.
pub(crate) const EPOCHS_IN_FLIGHT: usize = 16;

/// Epochs that wait for one sink. A sink that falls behind further holds back the sources.
pub(crate) const SINK_EPOCHS: usize = 16;

/// Drained epochs that wait to be published. A worker drains only what was fed, so this never
/// fills before [`EPOCHS_IN_FLIGHT`] does.
pub(crate) const fn drained(n_workers: usize) -> usize {
    (EPOCHS_IN_FLIGHT + 1) * n_workers
}

/// Failures that wait to be told; the first one ends the run.
pub(crate) const FAILURES: usize = 64;
