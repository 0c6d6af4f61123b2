//! Steps 6 to 8: batches go to timely workers, changes come back, one epoch after the other, whole,
//! the changes of a key side by side.

mod drain;
mod latency;
mod worker;

use std::sync::{Arc, Mutex};
use std::thread::Thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use dataflows::Plan;
use dataflows::inputs::{Events, Share};
use types::{Changes, Epoch, Names, VenueTime};

use self::drain::Drain;
use self::latency::Latency;
pub use self::latency::Quantiles;
use self::worker::Drained;
use crate::cold::Spill;
use crate::error::Error;
use crate::gate::{CloseAtEnd, Gate};
use crate::ingest::Batch;
use crate::limits;

/// All that one epoch gave.
#[derive(Clone, Debug)]
pub struct EpochOutput {
    /// Which epoch.
    pub epoch: Epoch,
    /// The watermark after it; [`VenueTime::MIN`] before any, [`VenueTime::END`] once all finite
    /// sources have ended.
    pub watermark: VenueTime,
    /// Changes by emitted view of the plan, or by view of a hub, in their order. Those of a key are
    /// neighbours, the removed row first: [`types::changes::adjoin`].
    pub changes: Vec<Arc<Changes>>,
}

/// The running workers of a plan.
pub struct Runtime {
    plan: Arc<Plan>,
    shares: Vec<Sender<Share>>,
    threads: Arc<Mutex<Vec<Thread>>>,
    /// Bounds what is inside, from here to the last sink's queue.
    gate: Arc<Gate>,
    latency: Latency,
    failures: Receiver<Error>,
    /// Ends when all workers have ended.
    ended: Receiver<()>,
    /// Tells the drain that a worker has failed, so that it waits for nothing more.
    give_up: Sender<()>,
    has_failed: bool,
}

/// The other end of a runtime: what the workers made of each epoch.
pub struct RuntimeOutput {
    drain: Drain,
    gate: Arc<Gate>,
    latency: Latency,
    /// Nothing may be fed once nobody takes what comes.
    _at_end: CloseAtEnd,
}

/// Starts the workers of a plan; they hold all history in memory unless `spill` says where it goes.
///
/// # Errors
/// If the threads can't be started.
pub fn start(
    plan: &Arc<Plan>,
    names: &Arc<Names>,
    n_workers: usize,
    spill: Option<&Spill>,
) -> Result<(Runtime, RuntimeOutput), Error> {
    let (to_workers, at_workers): (Vec<_>, Vec<_>) =
        (0..n_workers).map(|_| bounded::<Share>(limits::EPOCHS_IN_FLIGHT)).unzip();
    let (to_drain, at_drain) = bounded::<Drained>(limits::drained(n_workers));
    let (fail, failures) = bounded::<Error>(limits::FAILURES);
    let (give_up, gave_up) = bounded::<()>(1);
    let gate = Gate::new(limits::EPOCHS_IN_FLIGHT, limits::BYTES_IN_FLIGHT);
    let (threads, latency) = (Arc::new(Mutex::new(Vec::new())), Latency::default());
    let work = worker::Work {
        plan: Arc::clone(plan),
        names: Arc::clone(names),
        spill: spill.cloned(),
        shares: at_workers,
        drained: to_drain,
        failures: fail,
        gate: Arc::clone(&gate),
        threads: Arc::clone(&threads),
    };
    let ended = worker::spawn(work, n_workers)?;
    let runtime = Runtime {
        plan: Arc::clone(plan),
        shares: to_workers,
        threads,
        gate: Arc::clone(&gate),
        latency: latency.clone(),
        failures,
        ended,
        give_up,
        has_failed: false,
    };
    let drain = Drain::new(at_drain, gave_up, n_workers, plan);
    let at_end = CloseAtEnd(Arc::clone(&gate));
    let output = RuntimeOutput { drain, gate, latency, _at_end: at_end };
    Ok((runtime, output))
}

impl Runtime {
    /// Feeds a batch; waits while too many epochs, or too many bytes of them, are in flight.
    ///
    /// # Errors
    /// If a worker failed, or the output is gone.
    pub fn feed(&mut self, batch: Batch) -> Result<(), Error> {
        let stopped = Error::Stopped("feeding an epoch");
        if self.gate.enter(batch.epoch, batch.n_rows * limits::EVENT_BYTES).is_err() {
            // Whoever fails says so before the gate closes.
            let failure = self.failures.try_recv();
            return Err(failure.map_or(stopped, |failure| self.fail(failure)));
        }
        let Batch { epoch, events, clock, .. } = batch;
        self.latency.start(epoch);
        let n_workers = self.shares.len();
        let mut shares: Vec<Vec<Events>> = (0..n_workers).map(|_| Vec::new()).collect();
        for (events, spec) in events.into_iter().zip(&self.plan.relations) {
            for (share, events) in shares.iter_mut().zip(events.cut(spec, n_workers)) {
                share.push(events);
            }
        }
        for (to_worker, events) in self.shares.iter().zip(shares) {
            let share = Share { epoch, events, clock: Arc::clone(&clock) };
            to_worker.send(share).map_err(|_| Error::Stopped("feeding an epoch"))?;
        }
        self.wake();
        Ok(())
    }

    /// Why no output comes any more: a worker has failed.
    pub(crate) fn failure(&mut self) -> Error {
        let failure = self.failures.recv();
        failure.map_or(Error::Stopped("computing an epoch"), |failure| self.fail(failure))
    }

    /// Ends the input and waits for the workers. If one has failed the others may wait for it for
    /// ever, so that nobody waits for them: their threads end with the process.
    ///
    /// # Errors
    /// If a worker failed.
    pub fn finish(mut self) -> Result<(), Error> {
        self.shares.clear();
        self.wake();
        if self.has_failed {
            return Err(Error::Stopped("computing an epoch"));
        }
        crossbeam_channel::select! {
            // It never holds a message: it ends.
            recv(self.ended) -> ended => ended.unwrap_or_default(),
            // That nobody is left to tell of a failure says the same.
            recv(self.failures) -> failure => {
                if let Ok(failure) = failure {
                    return Err(self.fail(failure));
                }
            }
        }
        match self.failures.try_recv() {
            Ok(failure) => Err(self.fail(failure)),
            Err(_) => Ok(()),
        }
    }

    /// Remembers a failure and ends the drain.
    fn fail(&mut self, failure: Error) -> Error {
        self.has_failed = true;
        // One word is enough.
        self.give_up.try_send(()).unwrap_or_default();
        failure
    }

    fn wake(&self) {
        let threads = self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        threads.iter().for_each(Thread::unpark);
    }
}

/// Gives the next epoch once all workers have completed it; ends after the last.
impl Iterator for RuntimeOutput {
    type Item = EpochOutput;

    fn next(&mut self) -> Option<EpochOutput> {
        self.drain.next()
    }
}

impl RuntimeOutput {
    /// How long the epochs that have left were inside.
    pub fn quantiles(&self) -> Quantiles {
        self.latency.quantiles()
    }

    /// Says that an epoch has left the engine, so that another may enter.
    pub fn release(&self, epoch: Epoch) {
        self.gate.leave(epoch.0);
        self.latency.end(epoch);
    }
}
