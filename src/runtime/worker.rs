//! Steps 6 and 7: one worker's loop. It feeds what it is given, steps timely, drains what is
//! complete, and sleeps when there is nothing to do.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread::Thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use dataflows::Plan;
use dataflows::cold::Failure;
use dataflows::inputs::{Inputs, Share};
use dataflows::outputs::Outputs;
use dataflows::render::{Rendered, render};
use timely::worker::Worker;
use types::{Changes, Names, VenueTime};

use crate::cold::Spill;
use crate::error::Error;
use crate::gate::Gate;

/// A worker's changes of an epoch.
pub(super) struct Drained {
    pub(super) worker: usize,
    pub(super) epoch: u64,
    pub(super) watermark: VenueTime,
    pub(super) changes: Vec<Changes>,
}

/// What the workers are given. Each takes its own receiver by index.
pub(super) struct Work {
    pub(super) plan: Arc<Plan>,
    pub(super) names: Arc<Names>,
    pub(super) spill: Option<Spill>,
    pub(super) shares: Vec<Receiver<Share>>,
    pub(super) drained: Sender<Drained>,
    pub(super) failures: Sender<Error>,
    /// Closed once a failure was told.
    pub(super) gate: Arc<Gate>,
    /// The workers' threads, for waking them.
    pub(super) threads: Arc<Mutex<Vec<Thread>>>,
}

/// Starts the workers on threads of their own, and one that waits for them. The channel given back
/// ends when they have.
pub(super) fn spawn(work: Work, n_workers: usize) -> Result<Receiver<()>, Error> {
    let (failures, gate) = (work.failures.clone(), Arc::clone(&work.gate));
    let (alive, ended) = crossbeam_channel::bounded::<()>(1);
    let run = move || {
        let config = if n_workers == 1 {
            timely::Config::thread()
        } else {
            timely::Config::process(n_workers)
        };
        let guards = timely::execute(config, move |worker| run_worker(worker, &work));
        let joined = guards.map(timely::communication::WorkerGuards::join);
        let failure = match joined {
            Ok(results) => results.into_iter().find_map(Result::err),
            Err(error) => Some(error),
        };
        if let Some(failure) = failure {
            drop(failures.try_send(Error::Worker(failure)));
            gate.close();
        }
        drop(alive);
    };
    std::thread::Builder::new()
        .name("workers".to_owned())
        .spawn(run)
        .map_err(|source| Error::io("starting the workers", source))?;
    Ok(ended)
}

/// Runs a worker; tells why it can't go on where that is so, for the others would wait for ever.
fn run_worker(worker: &mut Worker, work: &Work) {
    let open = RefCell::default();
    let run = std::panic::AssertUnwindSafe(|| compute(worker, work, &open));
    let Err(payload) = std::panic::catch_unwind(run) else { return };
    // History that can't be read ends a worker as a panic does.
    let failure = match Failure::of_unwinding(payload) {
        Ok(failure) => Error::Cold(failure),
        Err(payload) => crashed(&open.borrow(), &*payload),
    };
    drop(work.failures.try_send(failure));
    work.gate.close();
    std::panic::resume_unwind(Box::new("the worker has said why"));
}

/// What a worker was at when it panicked.
fn crashed(open: &Open, payload: &(dyn Any + Send)) -> Error {
    let epochs = || open.iter().map(|(epoch, _)| *epoch);
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Error::Crashed {
        first: epochs().next().unwrap_or(0),
        last: epochs().next_back().unwrap_or(0),
        what: text.unwrap_or("it said nothing").to_owned(),
    }
}

fn compute(worker: &mut Worker, work: &Work, open: &RefCell<Open>) {
    let index = worker.index();
    {
        let mut threads = work.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        threads.push(std::thread::current());
    }
    let Some(shares) = work.shares.get(index).cloned() else { return };
    let Rendered { inputs, outputs } = {
        let spilling = work.spill.as_ref().map(|spill| spill.of_worker(index, work.shares.len()));
        render(worker, &work.plan, &work.names, spilling)
    };
    let mut place = Place { index, inputs: Some(inputs), outputs, open };
    loop {
        let fed = place.feed(&shares);
        worker.step();
        let drained = place.drain(work);
        if place.inputs.is_none() && open.borrow().is_empty() {
            return;
        }
        if !fed && !drained {
            // New work and other workers wake it.
            worker.step_or_park(None);
        }
    }
}

/// Where a worker stands.
struct Place<'a> {
    index: usize,
    /// `None` once the input has ended.
    inputs: Option<Inputs>,
    outputs: Outputs,
    /// Epochs that were fed and aren't complete, with their watermarks.
    open: &'a RefCell<Open>,
}

type Open = VecDeque<(u64, VenueTime)>;

impl Place<'_> {
    /// Feeds one share if there is one; whether there was.
    fn feed(&mut self, shares: &Receiver<Share>) -> bool {
        let Some(inputs) = &mut self.inputs else { return false };
        match shares.try_recv() {
            Ok(mut share) => {
                // It may be this one that it crashes in.
                self.open.borrow_mut().push_back((share.epoch, share.clock.watermark));
                inputs.feed(&mut share);
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                self.inputs = None;
                true
            }
        }
    }

    /// Hands on what is complete; whether anything was.
    fn drain(&mut self, work: &Work) -> bool {
        let mut any = false;
        loop {
            let Some((epoch, watermark)) = self.open.borrow().front().copied() else { break };
            if !self.outputs.is_complete(epoch) {
                break;
            }
            let changes = self.outputs.take(epoch);
            self.open.borrow_mut().pop_front();
            work.gate.grow(epoch, changes.iter().map(Changes::bytes).sum());
            // Nobody reads any more once the run has failed elsewhere.
            drop(work.drained.send(Drained { worker: self.index, epoch, watermark, changes }));
            any = true;
        }
        any
    }
}
