//! Step 10 for sinks: each has a thread and a bounded queue of its own, and gets every epoch in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use connectors::sink::{EpochChanges, SinkReport};
use connectors::{ConnectError, Sink};
use crossbeam_channel::{Receiver, RecvError, RecvTimeoutError, Sender, bounded};
use types::Changes;

use crate::error::Error;
use crate::gate::{CloseAtEnd, Gate};
use crate::limits;
use crate::runtime::EpochOutput;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

/// How long a sink waits for another epoch before it hands over what it holds back.
const IDLE: Duration = Duration::from_millis(200);

/// What a sink's thread is told.
enum Message {
    /// The next epoch.
    Epoch(EpochChanges),
    /// All epochs of a run were sent. A queue that ends without a last word was abandoned.
    Finish,
    /// All epochs were sent up to where the run was stopped.
    Stop,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its sources have ended: results get their names.
    Finished,
    /// It was stopped: what was delivered is made sure of.
    Stopped,
    /// It has failed: what was delivered stays.
    Failed,
}

impl End {
    /// How a run ends of which all stages ended well, or not, and which was stopped, or not.
    pub(crate) const fn of(is_well: bool, is_stopped: bool) -> Self {
        match (is_well, is_stopped) {
            (false, _) => Self::Failed,
            (true, true) => Self::Stopped,
            (true, false) => Self::Finished,
        }
    }
}

/// A sink at work.
pub struct Delivery {
    name: String,
    /// Its views, as indices of the plan's emitted ones.
    views: Vec<usize>,
    queue: Sender<Message>,
    /// Bounds the epochs of the queue and the one at work.
    gate: Arc<Gate>,
    thread: JoinHandle<Result<SinkReport, ConnectError>>,
    kept_until: Option<u64>,
    /// The same as it stands now; without bound where it needs none.
    kept: Arc<AtomicU64>,
}

/// Starts a sink's thread.
///
/// # Errors
/// If the thread can't be started.
pub fn start(name: &str, sink: Box<dyn Sink>, views: Vec<usize>) -> Result<Delivery, Error> {
    let (n_epochs, n_bytes) = if is_out(Safeguard::SinksHoldBack) {
        (limits::SINK_EPOCHS << 12, usize::MAX)
    } else {
        (limits::SINK_EPOCHS, limits::SINK_BYTES)
    };
    // The gate lets so many epochs in; behind the last comes the word that it was the last.
    let (queue, epochs) = bounded(n_epochs + 1);
    let gate = Gate::new(n_epochs, n_bytes);
    let at_end = CloseAtEnd(Arc::clone(&gate));
    let kept_until = sink.kept_until().map(|epoch| epoch.0);
    let kept = Arc::new(AtomicU64::new(kept_until.unwrap_or(u64::MAX)));
    let told = Arc::clone(&kept);
    let thread = std::thread::Builder::new()
        .name(format!("sink {name}"))
        .spawn(move || deliver(sink, &epochs, &at_end.0, &told))
        .map_err(|source| Error::io("starting a sink", source))?;
    Ok(Delivery { name: name.to_owned(), views, queue, gate, thread, kept_until, kept })
}

impl Delivery {
    /// The last epoch that the sink needn't be given by itself, as it stood when it was opened; `None`
    /// where it needs none.
    pub const fn kept_until(&self) -> Option<u64> {
        self.kept_until
    }

    /// The same, raised as the sink goes on.
    pub fn kept(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.kept)
    }

    /// Queues an epoch; waits while the queue is full. False if the sink has failed.
    pub fn send(&self, output: &EpochOutput) -> bool {
        let views = self.views.iter().filter_map(|view| output.changes.get(*view)).map(Arc::clone);
        let changes = EpochChanges { epoch: output.epoch, views: views.collect() };
        let n_bytes = changes.views.iter().map(|changes| Changes::bytes(changes)).sum();
        self.gate.enter(output.epoch.0, n_bytes).is_ok()
            && self.queue.send(Message::Epoch(changes)).is_ok()
    }

    /// Tells the sink to end after its queue, and doesn't wait. Where the run isn't finished nothing gets
    /// the name of a result.
    pub fn end(self, end: End) -> Ending {
        let last = match end {
            End::Finished => Some(Message::Finish),
            End::Stopped => Some(Message::Stop),
            End::Failed => None,
        };
        if let Some(last) = last {
            // A sink that failed says so when it is joined.
            drop(self.queue.send(last));
        }
        Ending { name: self.name, thread: self.thread }
    }
}

/// A sink that ends after its queue.
pub struct Ending {
    name: String,
    thread: JoinHandle<Result<SinkReport, ConnectError>>,
}

impl Ending {
    /// Waits for the end; the sink's name and what it wrote.
    ///
    /// # Errors
    /// If the sink failed.
    pub fn join(self) -> Result<(String, SinkReport), Error> {
        let joined = self.thread.join();
        let result = joined.map_err(|_| Error::Worker(format!("sink `{}` panicked", self.name)))?;
        let report = result.map_err(|source| Error::sink(&self.name, source))?;
        Ok((self.name, report))
    }
}

fn deliver(
    mut sink: Box<dyn Sink>,
    epochs: &Receiver<Message>,
    gate: &Gate,
    kept: &AtomicU64,
) -> Result<SinkReport, ConnectError> {
    let tell = |sink: &dyn Sink| {
        let until = sink.kept_until().map_or(u64::MAX, |epoch| epoch.0);
        kept.store(until, Ordering::Release);
    };
    let mut is_flushed = true;
    loop {
        // With nothing to hand over it sleeps until an epoch comes.
        let message = if is_flushed {
            epochs.recv().map_err(|RecvError| RecvTimeoutError::Disconnected)
        } else {
            epochs.recv_timeout(IDLE)
        };
        match message {
            Ok(Message::Epoch(changes)) => {
                sink.write(&changes)?;
                point("sink.written");
                is_flushed = false;
                tell(&*sink);
                let epoch = changes.epoch.0;
                drop(changes);
                gate.leave(epoch);
            }
            Err(RecvTimeoutError::Timeout) => {
                sink.flush()?;
                tell(&*sink);
                point("sink.flushed");
                is_flushed = true;
            }
            Ok(Message::Finish) => {
                sink.flush()?;
                point("sink.finish.before");
                let report = sink.finish()?;
                point("sink.finish.after");
                return Ok(report);
            }
            Ok(Message::Stop) => {
                sink.flush()?;
                tell(&*sink);
                return Ok(sink.report());
            }
            Err(RecvTimeoutError::Disconnected) => {
                sink.abandon()?;
                return Ok(SinkReport::default());
            }
        }
    }
}

#[cfg(test)]
mod tests;
