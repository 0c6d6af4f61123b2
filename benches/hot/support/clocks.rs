//! Wall time and CPU time side by side: on a machine that does other work, CPU time is what holds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tapeline::env::Stopwatch;

/// Time that has passed, and CPU time that was used in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Spent {
    /// Adds a stretch.
    pub(crate) fn add(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

/// A running pair of clocks.
pub(crate) struct Clocks {
    wall: Stopwatch,
    cpu: Duration,
    of: ClockId,
}

impl Clocks {
    /// Starts; counts the CPU time of this thread.
    pub(crate) fn thread() -> Self {
        Self::start(ClockId::ThreadCPUTime)
    }

    /// Starts; counts the CPU time of all threads.
    pub(crate) fn process() -> Self {
        Self::start(ClockId::ProcessCPUTime)
    }

    fn start(of: ClockId) -> Self {
        Self { wall: Stopwatch::start(), cpu: now(of), of }
    }

    /// What was spent since the start.
    pub(crate) fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: now(self.of).saturating_sub(self.cpu) }
    }
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let secs = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or_default())
}
