//! What a stage may hold: so many epochs, and so many bytes of them. Who has more to bring waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Counts what is inside a stage. One brings, any number take note and let out.
#[derive(Debug)]
pub(crate) struct Gate {
    max_epochs: usize,
    max_bytes: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of each epoch inside.
    epochs: BTreeMap<u64, usize>,
    /// Their sum.
    n_bytes: usize,
    is_closed: bool,
    /// Whether somebody must be woken.
    is_awaited: bool,
}

/// Says that a gate was closed: what is behind it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Gate {
    /// Makes an empty stage. An epoch enters while fewer than `max_epochs` and less than `max_bytes`
    /// are inside, so that one that is larger than the bound still passes.
    pub(crate) fn new(max_epochs: usize, max_bytes: usize) -> Arc<Self> {
        let (state, changed) = Default::default();
        Arc::new(Self { max_epochs, max_bytes, state, changed })
    }

    /// Lets an epoch in, as soon as there is room.
    ///
    /// # Errors
    /// If the gate is closed, or is while waiting.
    pub(crate) fn enter(&self, epoch: u64, n_bytes: usize) -> Result<(), Closed> {
        let mut state = self.state();
        while !state.is_closed
            && (state.epochs.len() >= self.max_epochs || state.n_bytes >= self.max_bytes)
        {
            state.is_awaited = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return Err(Closed);
        }
        state.add(epoch, n_bytes);
        Ok(())
    }

    /// Takes note that an epoch inside has become larger.
    pub(crate) fn grow(&self, epoch: u64, n_bytes: usize) {
        self.state().add(epoch, n_bytes);
    }

    /// Lets an epoch out.
    pub(crate) fn leave(&self, epoch: u64) {
        let mut state = self.state();
        let n_bytes = state.epochs.remove(&epoch).unwrap_or(0);
        state.n_bytes -= n_bytes;
        self.wake(state);
    }

    /// Refuses whoever comes, or waits.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.is_awaited) {
            drop(state);
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, epoch: u64, n_bytes: usize) {
        *self.epochs.entry(epoch).or_default() += n_bytes;
        self.n_bytes += n_bytes;
    }
}

/// Closes a gate when its holder ends, however it ends.
#[derive(Debug)]
pub(crate) struct CloseAtEnd(pub(crate) Arc<Gate>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether an epoch enters within a moment; it enters in any case once there is room.
    fn enters(
        gate: &Arc<Gate>,
        epoch: u64,
        n_bytes: usize,
    ) -> (bool, std::thread::JoinHandle<bool>) {
        let behind = Arc::clone(gate);
        let entering = std::thread::spawn(move || behind.enter(epoch, n_bytes).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        (entering.is_finished(), entering)
    }

    #[test]
    fn epochs_and_bytes_have_their_bounds() {
        let gate = Gate::new(3, 100);
        gate.enter(1, 60).unwrap();
        gate.enter(2, 500).unwrap();
        let (entered, entering) = enters(&gate, 3, 1);
        assert!(!entered, "560 bytes are inside");
        gate.leave(2);
        assert!(entering.join().unwrap());
        gate.enter(4, 0).unwrap();
        let (entered, entering) = enters(&gate, 5, 0);
        assert!(!entered, "three epochs are inside");
        gate.leave(1);
        assert!(entering.join().unwrap());
        gate.grow(5, 100);
        gate.leave(3);
        let (entered, entering) = enters(&gate, 6, 0);
        assert!(!entered, "an epoch has grown");
        gate.close();
        assert!(!entering.join().unwrap(), "what waits is refused");
        assert_eq!(gate.enter(7, 0), Err(Closed));
    }
}
