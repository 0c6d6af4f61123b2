//! What a run takes from its surroundings, behind one trait: the wall clock, chance, the files of its log,
//! its checkpoints and its sinks, and what its sinks connect to. Tests give others, with faults. The only
//! place that asks the system for the time, for chance and for what the process uses.

mod files;
mod network;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use types::time::ReceiveTime;

pub use files::{Disk, Files, OpenFile};
pub use network::{Connecting, Socket};

/// Where a run gets the time, chance and files from. Nothing that it computes depends on the former two.
pub trait Env: Debug + Send + Sync {
    /// The wall clock; it may jump.
    fn now(&self) -> ReceiveTime;

    /// Bits that nobody can know before.
    fn chance(&self) -> u128;

    /// A folder for files that must outlive the process; it is made where it isn't there.
    ///
    /// # Errors
    /// If it can't be.
    fn files(&self, folder: &Path) -> io::Result<Arc<dyn Files>>;

    /// Begins to connect to a port of a host, which is a name or an address.
    fn connect(&self, host: &str, port: u16) -> Connecting;
}

/// The system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Env for System {
    fn now(&self) -> ReceiveTime {
        now()
    }

    fn chance(&self) -> u128 {
        chance()
    }

    fn files(&self, folder: &Path) -> io::Result<Arc<dyn Files>> {
        Ok(Arc::new(Disk::open(folder)?))
    }

    fn connect(&self, host: &str, port: u16) -> Connecting {
        network::connect(host, port)
    }
}

/// Measures how long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is asked")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is asked")]
fn now() -> ReceiveTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ReceiveTime(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

/// Bits that nobody can know before.
fn chance() -> u128 {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    if read.is_err() {
        // It must only differ from what was drawn before.
        return u128::from(std::process::id()) << 64 | u128::from(now().0.cast_unsigned());
    }
    u128::from_le_bytes(bytes)
}

/// The most memory that the process has held so far, in bytes; `None` where the system doesn't say.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
