//! Threads that read and decode ahead of the merge. A stream's batches go round: the merge sends an
//! empty one and gets a full one back, so that the batches that a stream was given are all that is
//! ever held of it. Which thread reads what changes no order: each stream keeps its own.

use std::thread;

use connectors::ConnectError;
use connectors::source::{RowStream, Rows};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{BATCHES_OF_A_STREAM, READERS_MAX, ROWS_HELD_PARTS};

/// A stream at the merge's end.
pub(super) struct Batches {
    path: String,
    to_reader: Sender<Request>,
    from_reader: Receiver<Reply>,
    stream: usize,
}

/// A batch to be filled with a stream's next rows.
struct Request {
    stream: usize,
    rows: Rows,
}

/// A batch of a stream.
pub(super) struct Reply {
    /// Its rows.
    pub(super) rows: Rows,
    /// What comes behind them.
    pub(super) next: Next,
    /// Bytes of the file read so far, and its length.
    pub(super) progress: (u64, u64),
}

/// What comes behind a batch.
pub(super) enum Next {
    /// Perhaps more rows.
    Rows,
    /// Nothing.
    End,
    /// What can't be read.
    Failure(ConnectError),
}

/// Starts reading streams, of which the first so many are files. Of what is replayed there may be many
/// streams of a row or two each: they must not make the files' batches smaller.
///
/// # Errors
/// If no thread can be started.
pub(super) fn start(
    streams: Vec<Box<dyn RowStream>>,
    n_files: usize,
) -> Result<Vec<Batches>, ConnectError> {
    let n_streams = streams.len();
    let n_readers = n_streams.min(READERS_MAX);
    let mut readers: Vec<Vec<Reading>> = (0..n_readers).map(|_| Vec::new()).collect();
    let queues = (0..n_readers).map(|_| bounded(n_streams * BATCHES_OF_A_STREAM));
    let (to_readers, at_readers): (Vec<Sender<Request>>, Vec<_>) = queues.unzip();
    let mut all = Vec::new();
    let turns = (0..n_readers).cycle();
    for (stream, turn) in streams.into_iter().zip(turns) {
        let (Some(reader), Some(to_reader)) = (readers.get_mut(turn), to_readers.get(turn)) else {
            continue;
        };
        let (replies, from_reader) = bounded(BATCHES_OF_A_STREAM);
        let path = stream.path().to_owned();
        all.push(Batches { path, to_reader: to_reader.clone(), from_reader, stream: reader.len() });
        reader.push(Reading { stream, replies, has_ended: false });
    }
    for (index, (reading, requests)) in readers.into_iter().zip(at_readers).enumerate() {
        let spawned = thread::Builder::new()
            .name(format!("read-{index}"))
            .spawn(move || read(reading, &requests));
        spawned.map_err(|error| ConnectError::broken("starting a reader").because(error))?;
    }
    let part = |n_streams: usize| n_streams.div_ceil(ROWS_HELD_PARTS);
    for _ in 0..BATCHES_OF_A_STREAM {
        for (index, batches) in all.iter().enumerate() {
            let n_batches = if index < n_files { part(n_files) } else { part(n_streams) };
            batches.give_back(Rows::part_of(n_batches));
        }
    }
    Ok(all)
}

impl Batches {
    /// The path of the stream.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The next batch; waits for it.
    ///
    /// # Errors
    /// If the reader is gone.
    pub(super) fn next(&self) -> Result<Reply, ConnectError> {
        let gone = |_| ConnectError::broken(format!("reading {}: its reader is gone", self.path));
        self.from_reader.recv().map_err(gone)
    }

    /// Gives a batch back to be filled again.
    pub(super) fn give_back(&self, rows: Rows) {
        // There is room for all batches, and that the reader is gone shows at the next one.
        self.to_reader.try_send(Request { stream: self.stream, rows }).unwrap_or_default();
    }
}

/// A stream at its reader.
struct Reading {
    stream: Box<dyn RowStream>,
    replies: Sender<Reply>,
    has_ended: bool,
}

/// Fills batches as they are asked for, until nobody is left to ask.
fn read(mut streams: Vec<Reading>, requests: &Receiver<Request>) {
    for Request { stream, rows } in requests {
        let Some(reading) = streams.get_mut(stream).filter(|reading| !reading.has_ended) else {
            continue;
        };
        let reply = reading.fill(rows);
        reading.has_ended = !matches!(reply.next, Next::Rows);
        // There is room for all batches of a stream, and if the merge is gone nobody misses one.
        reading.replies.try_send(reply).unwrap_or_default();
    }
}

impl Reading {
    fn fill(&mut self, mut rows: Rows) -> Reply {
        let next = match self.stream.read(&mut rows) {
            Ok(true) => Next::Rows,
            Ok(false) => Next::End,
            Err(error) => Next::Failure(error),
        };
        Reply { rows, next, progress: self.stream.progress() }
    }
}
