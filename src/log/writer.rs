//! Appends records. The caller's thread encodes them and doesn't wait for the disk; the log's own
//! thread writes all that is queued, syncs once, and takes what has come since (group commit without
//! a timer).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::commit::{Committer, Group};
use super::error::LogError;
use super::record::{self, Record};
use super::recovery::Recovered;
use super::segment::{HEADER, Part};
use super::wide;
use crate::env::Files;
use crate::limits;

/// What is done before a record counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// It is on the disk: it outlives the machine's power.
    #[default]
    Data,
    /// It was given to the system: it outlives this process. Where the power fails, a log without syncs
    /// may be found damaged.
    None,
}

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What makes a record durable.
    pub sync: Sync,
    /// Bytes of a segment from which the next is begun, 1 GiB at most. Each holds one record at least.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: Sync::Data, segment_bytes: limits::LOG_SEGMENT_BYTES }
    }
}

/// Appends to a log. There is one for each log.
pub struct Writer {
    queue: Arc<Queue>,
    log_id: u128,
    segment_bytes: u64,
    /// Bytes of the newest segment, with all that waits.
    n_bytes: u64,
    /// The seed of its checksums.
    seed: u32,
    /// The number of the next record.
    next: u64,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Goes on where a log that was recovered ends; starts the log's thread.
    ///
    /// # Errors
    /// If its segment can't be opened or made, or the thread not started.
    pub fn start(
        files: Arc<dyn Files>,
        log_id: u128,
        recovered: &Recovered,
        options: Options,
    ) -> Result<Self, LogError> {
        let path = files.path("");
        let (mut writer, committer) = Self::without_thread(files, log_id, recovered, options)?;
        let thread = thread::Builder::new().name("log".to_owned()).spawn(|| committer.run());
        writer.thread = Some(thread.map_err(LogError::io("starting the thread of the log", path))?);
        Ok(writer)
    }

    /// The same, where the caller commits.
    pub(super) fn without_thread(
        files: Arc<dyn Files>,
        log_id: u128,
        recovered: &Recovered,
        options: Options,
    ) -> Result<(Self, Committer), LogError> {
        let next = recovered.records.end;
        let (part, n_bytes) = recovered.last.unwrap_or((Part::segment(next), wide(HEADER)));
        let is_new = recovered.last.is_none();
        let queue = Queue::new(next);
        let committer =
            Committer::open(files, log_id, Arc::clone(&queue), options.sync, (part, is_new))?;
        let segment_bytes = options.segment_bytes.min(limits::LOG_SEGMENT_BYTES_MAX);
        let (seed, thread) = (record::seed(log_id, part.first), None);
        Ok((Self { queue, log_id, segment_bytes, n_bytes, seed, next, thread }, committer))
    }

    /// Appends a record and returns its number, which is one more than the last one's. Waits only where
    /// too much waits for the disk.
    ///
    /// # Errors
    /// If the payload is too long, or the log has failed: then nothing more can be appended.
    pub fn append(&mut self, kind: u8, payload: &[u8]) -> Result<u64, LogError> {
        let (n_payload, limit) = (payload.len(), limits::LOG_PAYLOAD_BYTES);
        if n_payload > limit {
            return Err(LogError::TooLong { n_bytes: n_payload, limit });
        }
        let n_bytes = record::n_bytes(n_payload);
        let mut state = self.queue.wait_for_room(n_bytes)?;
        let number = self.next;
        let group = &mut state.group;
        if group.bytes.is_empty() {
            group.first = number;
        }
        let is_full = self.n_bytes > wide(HEADER)
            && self.n_bytes.saturating_add(wide(n_bytes)) > self.segment_bytes;
        if is_full {
            group.segments.push((group.bytes.len(), Part::segment(number)));
            self.seed = record::seed(self.log_id, number);
            self.n_bytes = wide(HEADER);
        }
        record::encode(&Record { number, kind, payload }, group.first, self.seed, &mut group.bytes);
        group.end = number + 1;
        self.n_bytes += wide(n_bytes);
        self.next = number + 1;
        if state.is_thread_waiting {
            self.queue.work.notify_one();
        }
        Ok(number)
    }

    /// The number of the next record.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// A handle that tells how far the log is durable.
    pub fn durable(&self) -> Durable {
        Durable { queue: Arc::clone(&self.queue) }
    }

    /// Waits until all that was appended is durable, and ends the log's thread.
    ///
    /// # Errors
    /// If it isn't.
    pub fn finish(mut self) -> Result<(), LogError> {
        let last = self.next - 1;
        self.end();
        self.durable().wait_for(last)
    }

    fn end(&mut self) {
        self.queue.lock().is_ending = true;
        self.queue.work.notify_one();
        // If it panicked, it said so to all that wait.
        self.thread.take().map(JoinHandle::join).and_then(Result::ok).unwrap_or_default();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Tells how far a log is durable. Cheap to clone, and to ask.
#[derive(Clone)]
pub struct Durable {
    queue: Arc<Queue>,
}

impl Durable {
    /// The last record that is durable; so are all before it. Zero before the first.
    pub fn reached(&self) -> u64 {
        self.queue.lock().reached
    }

    /// Waits until a record is durable.
    ///
    /// # Errors
    /// If the log failed before, or its writer has ended.
    pub fn wait_for(&self, number: u64) -> Result<(), LogError> {
        let mut state = self.queue.lock();
        loop {
            if state.reached >= number {
                return Ok(());
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.has_ended {
                return Err(LogError::Ended);
            }
            state = self.queue.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why the log has failed, once it has.
    pub fn failure(&self) -> Option<LogError> {
        self.queue.lock().failure.clone()
    }
}

/// What the writer, the log's thread and those who wait share.
pub(super) struct Queue {
    state: Mutex<State>,
    /// The thread waits for records here,
    work: Condvar,
    /// the writer for room,
    room: Condvar,
    /// all others for records to become durable.
    progress: Condvar,
}

struct State {
    /// What waits for the disk.
    group: Group,
    /// The last durable record.
    reached: u64,
    /// The first failure; nothing is written after it.
    failure: Option<LogError>,
    /// Nothing more is appended.
    is_ending: bool,
    /// Nothing more is written.
    has_ended: bool,
    /// Whether the thread must be woken.
    is_thread_waiting: bool,
}

impl Queue {
    fn new(next: u64) -> Arc<Self> {
        let state = State {
            group: Group::default(),
            reached: next.saturating_sub(1),
            failure: None,
            is_ending: false,
            has_ended: false,
            is_thread_waiting: false,
        };
        let (work, room, progress) = Default::default();
        Arc::new(Self { state: Mutex::new(state), work, room, progress })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_room(&self, n_bytes: usize) -> Result<MutexGuard<'_, State>, LogError> {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let n_waiting = state.group.bytes.len();
            if n_waiting == 0 || n_waiting.saturating_add(n_bytes) <= limits::LOG_QUEUE_BYTES {
                return Ok(state);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes all that waits, and leaves an empty group; waits for some if asked to. `false` where nothing
    /// is there or, after waiting, will come.
    pub(super) fn take(&self, group: &mut Group, is_patient: bool) -> bool {
        let mut state = self.lock();
        while state.group.bytes.is_empty() {
            if state.is_ending || !is_patient {
                return false;
            }
            state.is_thread_waiting = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_thread_waiting = false;
        }
        group.clear();
        std::mem::swap(group, &mut state.group);
        self.room.notify_one();
        true
    }

    /// Says what has become of a group.
    pub(super) fn settle(&self, end: u64, outcome: Result<(), LogError>) {
        let mut state = self.lock();
        match outcome {
            Ok(()) => state.reached = end.saturating_sub(1),
            Err(failure) => {
                state.failure.get_or_insert(failure);
                self.room.notify_one();
            }
        }
        self.progress.notify_all();
    }

    /// Says that nothing more is written.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        if !state.is_ending {
            // The thread is gone before the writer: the writer mustn't wait for it.
            state.failure.get_or_insert(LogError::Ended);
        }
        self.room.notify_one();
        self.progress.notify_all();
    }
}
