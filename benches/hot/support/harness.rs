//! Drives a dataflow as the runtime does: shares go in epoch by epoch, what is complete is taken.
//! Making the shares isn't measured, nor is the check of what came out, except on several workers,
//! where both would need a stop of all of them each epoch.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use hdrhistogram::Histogram;
use tapeline::env::Stopwatch;
use timely::communication::WorkerGuards;
use timely::worker::Worker;

use super::clocks::{Clocks, Spent};
use super::digest::Digest;
use super::stream::Fill;

/// Epochs between feeding and completion: one worker runs one after the other, several would only
/// wait for each other.
const IN_FLIGHT: usize = 16;

/// How long a worker of several sleeps at most while it waits for the others.
const NAP: Duration = Duration::from_micros(200);

/// Events between two looks at what came out.
const SEGMENT: usize = 10_000;

/// An epoch before it is cut into shares.
#[derive(Clone, Copy)]
pub(crate) struct Epoch<'a> {
    pub(crate) number: u64,
    pub(crate) fills: &'a [Fill],
    /// The greatest event time so far, in nanoseconds.
    pub(crate) greatest: i64,
    /// Whether the input ends with it.
    pub(crate) is_last: bool,
}

/// A dataflow that can be measured.
pub(crate) trait Setup: Send + Sync + 'static {
    /// A worker's part of an epoch.
    type Share: Send + 'static;
    /// A worker's end of the running dataflow.
    type Flow: Flow<Share = Self::Share>;

    /// Builds the dataflow on a worker.
    fn build(&self, worker: &mut Worker) -> Self::Flow;

    /// Cuts an epoch into a share for each worker.
    fn cut(&self, epoch: Epoch<'_>, n_workers: usize) -> Vec<Self::Share>;
}

/// A worker's end of a running dataflow.
pub(crate) trait Flow {
    /// A worker's part of an epoch.
    type Share;
    /// What came of an epoch.
    type Output;

    /// Feeds a share and closes its epoch.
    fn feed(&mut self, share: Self::Share);

    /// Whether an epoch is complete.
    fn is_complete(&self, epoch: u64) -> bool;

    /// Takes what came of an epoch.
    fn take(&mut self, epoch: u64) -> Self::Output;

    /// Adds what came to a digest.
    fn digest(output: &Self::Output, digest: &mut Digest);
}

/// What feeding some events took.
#[derive(Clone)]
pub(crate) struct Lap {
    /// Wall time of the slowest worker, CPU time of all.
    pub(crate) spent: Spent,
    /// Wall time of single epochs, in nanoseconds; on one worker only.
    pub(crate) epochs: Histogram<u64>,
    /// The most CPU time that an epoch took; on one worker, for epochs of 100 events and more.
    pub(crate) worst_cpu: Duration,
    /// What came out, with its sign.
    pub(crate) digest: Digest,
}

impl Default for Lap {
    fn default() -> Self {
        Self {
            spent: Spent::default(),
            epochs: times(),
            worst_cpu: Duration::ZERO,
            digest: Digest::default(),
        }
    }
}

impl Lap {
    /// Adds what another worker did in the same time.
    fn beside(&mut self, other: &Self) {
        self.spent.wall = self.spent.wall.max(other.spent.wall);
        self.spent.cpu += other.spent.cpu;
        self.merge(other);
    }

    /// Adds what was done afterwards.
    pub(crate) fn then(&mut self, other: &Self) {
        self.spent.add(other.spent);
        self.merge(other);
    }

    fn merge(&mut self, other: &Self) {
        self.epochs.add(&other.epochs).expect("histograms grow");
        self.worst_cpu = self.worst_cpu.max(other.worst_cpu);
        self.digest.add(&other.digest);
    }
}

/// Epochs for a worker, by number.
type Work<T> = Vec<(u64, T)>;

/// A running dataflow with its workers.
pub(crate) struct Session<S: Setup> {
    setup: Arc<S>,
    workers: Vec<Sender<(usize, Work<S::Share>)>>,
    laps: Receiver<Lap>,
    guards: WorkerGuards<()>,
    epoch: u64,
    greatest: i64,
}

impl<S: Setup> Session<S> {
    pub(crate) fn start(setup: &Arc<S>, n_workers: usize) -> Self {
        let config = match n_workers {
            1 => timely::Config::thread(),
            n => timely::Config::process(n),
        };
        let (workers, work): (Vec<_>, Vec<_>) =
            (0..n_workers).map(|_| bounded::<(usize, Work<S::Share>)>(1)).unzip();
        let (tell, laps) = bounded(n_workers);
        let barrier = Arc::new(Barrier::new(n_workers));
        let build = Arc::clone(setup);
        let guards = timely::execute(config, move |worker| {
            let flow = build.build(worker);
            let in_flight = if n_workers == 1 { 1 } else { IN_FLIGHT };
            let mut place = Place { flow, in_flight };
            for (batch, work) in &work[worker.index()] {
                barrier.wait();
                let lap = place.run(worker, batch, work);
                tell.send(lap).expect("the session waits for laps");
            }
        });
        let guards = guards.expect("the workers start");
        Self { setup: Arc::clone(setup), workers, laps, guards, epoch: 0, greatest: 0 }
    }

    /// Feeds events in epochs of `batch`.
    pub(crate) fn feed(&mut self, fills: &[Fill], batch: usize) -> Lap {
        let mut total = Lap::default();
        let n_workers = self.workers.len();
        let segment = if n_workers == 1 { SEGMENT } else { SEGMENT * IN_FLIGHT };
        for fills in fills.chunks(segment.max(batch) / batch * batch) {
            let mut work: Vec<Work<S::Share>> = self.workers.iter().map(|_| Vec::new()).collect();
            for fills in fills.chunks(batch) {
                self.cut(fills, false, &mut work);
            }
            total.then(&self.lap(batch, work));
        }
        total
    }

    /// Says that the input has ended.
    pub(crate) fn close(&mut self) -> Lap {
        let mut work: Vec<Work<S::Share>> = self.workers.iter().map(|_| Vec::new()).collect();
        self.cut(&[], true, &mut work);
        self.lap(1, work)
    }

    fn cut(&mut self, fills: &[Fill], is_last: bool, work: &mut [Work<S::Share>]) {
        self.epoch += 1;
        let times = fills.iter().filter(|fill| !fill.is_bust).map(|fill| fill.time);
        self.greatest = times.fold(self.greatest, i64::max);
        let epoch = Epoch { number: self.epoch, fills, greatest: self.greatest, is_last };
        for (work, share) in work.iter_mut().zip(self.setup.cut(epoch, self.workers.len())) {
            work.push((self.epoch, share));
        }
    }

    fn lap(&self, batch: usize, work: Vec<Work<S::Share>>) -> Lap {
        for (worker, work) in self.workers.iter().zip(work) {
            worker.send((batch, work)).expect("the worker waits for work");
        }
        let mut lap = Lap::default();
        for _ in &self.workers {
            lap.beside(&self.laps.recv().expect("the worker tells its lap"));
        }
        lap
    }

    /// Ends the input and waits for the workers.
    pub(crate) fn end(self) {
        drop(self.workers);
        for worker in self.guards.join() {
            worker.expect("the worker ends well");
        }
    }
}

/// Where a worker stands.
struct Place<F> {
    flow: F,
    in_flight: usize,
}

impl<F: Flow> Place<F> {
    fn run(&mut self, worker: &mut Worker, batch: usize, work: Work<F::Share>) -> Lap {
        if self.in_flight == 1 {
            self.one_by_one(worker, batch, work)
        } else {
            self.overlapped(worker, work)
        }
    }

    /// Each epoch after the one before it is complete. Never inlined, so that callgrind can be told
    /// to count in it alone.
    #[inline(never)]
    fn one_by_one(&mut self, worker: &mut Worker, batch: usize, work: Work<F::Share>) -> Lap {
        let mut lap = Lap::default();
        let mut outputs = Vec::with_capacity(work.len());
        let (clocks, watch) = (Clocks::thread(), Stopwatch::start());
        let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
        for (epoch, share) in work {
            self.flow.feed(share);
            while !self.flow.is_complete(epoch) {
                worker.step();
            }
            outputs.push(self.flow.take(epoch));
            let now = watch.elapsed();
            lap.epochs.saturating_record(nanos(now.saturating_sub(wall)));
            wall = now;
            if batch >= 100 {
                let now = clocks.spent().cpu;
                lap.worst_cpu = lap.worst_cpu.max(now.saturating_sub(cpu));
                cpu = now;
            }
        }
        lap.spent = clocks.spent();
        for output in &outputs {
            F::digest(output, &mut lap.digest);
        }
        lap
    }

    /// Some epochs at once, so that workers needn't wait for each other.
    fn overlapped(&mut self, worker: &mut Worker, work: Work<F::Share>) -> Lap {
        let mut lap = Lap::default();
        let clocks = Clocks::thread();
        let mut work = work.into_iter();
        let mut open = std::collections::VecDeque::new();
        loop {
            let mut is_idle = true;
            if open.len() < self.in_flight
                && let Some((epoch, share)) = work.next()
            {
                self.flow.feed(share);
                open.push_back(epoch);
                is_idle = false;
            }
            worker.step();
            while let Some(epoch) = open.front().copied().filter(|e| self.flow.is_complete(*e)) {
                F::digest(&self.flow.take(epoch), &mut lap.digest);
                open.pop_front();
                is_idle = false;
            }
            if open.is_empty() && work.len() == 0 {
                break;
            }
            if is_idle {
                worker.step_or_park(Some(NAP));
            }
        }
        lap.spent = clocks.spent();
        lap
    }
}

/// Times from a nanosecond to a hundred seconds, to three digits.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 100_000_000_000, 3).expect("the bounds are in order")
}

/// A time in nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
