//! Signals: the first SIGINT or SIGTERM asks the engine to stop, the second ends the process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// Whether somebody has asked the engine to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Nobody has, until [`Stop::ask`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to signals. The second one, or one after which the engine takes longer than `deadline`,
    /// ends the process; `told` says which of the two. What was acknowledged is kept in either case.
    ///
    /// # Errors
    /// If the system lets nobody listen.
    pub fn on_signals(deadline: Duration, told: fn(&str)) -> Result<Self, Error> {
        let stop = Self::new();
        let failed = |source| Error::io("listening to signals", source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let signals = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(failed)?,
                signal(SignalKind::terminate()).map_err(failed)?,
            )
        };
        let asked = stop.clone();
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || listen(&runtime, signals, &asked, deadline, told)).map_err(failed)?;
        Ok(stop)
    }

    /// Asks the engine to stop.
    pub fn ask(&self) {
        *self.is_asked() = true;
        self.0.changed.notify_all();
    }

    /// Whether somebody has asked.
    pub fn was_asked(&self) -> bool {
        *self.is_asked()
    }

    /// Waits until somebody asks.
    pub fn wait(&self) {
        let asked = self.0.changed.wait_while(self.is_asked(), |is_asked| !*is_asked);
        drop(asked);
    }

    fn is_asked(&self) -> MutexGuard<'_, bool> {
        self.0.is_asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::exit, reason = "ends the process because somebody asked twice, or no end came")]
fn listen(
    runtime: &Runtime,
    (mut interrupt, mut terminate): (Signal, Signal),
    stop: &Stop,
    deadline: Duration,
    told: fn(&str),
) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    runtime.block_on(async {
        next().await;
        told("stopping: what was read is delivered and kept; once more ends at once\n");
        stop.ask();
        if tokio::time::timeout(deadline, next()).await.is_err() {
            told("stopping took too long: what wasn't delivered is kept for the next start\n");
            std::process::exit(0);
        }
        // As the shell says it of a process that SIGINT has ended.
        std::process::exit(130);
    });
}
