//! Every file of every finite source is a stream; streams are merged by their running greatest event
//! time, ties by source, path, row (SEMANTICS section 4). Rows that are replayed come behind all of them,
//! one stream after the other: a run that goes on reads all that it has read as it was, whatever was
//! replayed since.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use connectors::ConnectError;
use connectors::source::{RowRef, RowStream, Rows};
use types::event::Cells;
use types::sabotage::{Safeguard, is_out};
use types::{Reject, VenueTime};

use super::readers::{self, Batches, Next};
use super::sequencer::ReadRows;

/// A stream and where it belongs.
pub struct MergedStream {
    /// The rows.
    pub rows: Box<dyn RowStream>,
    /// The source's index in the plan.
    pub source: usize,
    /// The source's name: ties go by it.
    pub name: String,
    /// Streams come when all of lower ranks have ended: zero for files, from one on for what is replayed.
    pub rank: usize,
}

/// Rows in their place, which follow one another in their stream.
#[derive(Clone, Copy)]
pub struct MergedRows<'a> {
    /// The source's index in the plan.
    pub source: usize,
    /// The path of their file as the config writes it.
    pub path: &'a str,
    rows: &'a Rows,
    first: usize,
    end: usize,
}

impl<'a> MergedRows<'a> {
    /// A row by its place among them.
    pub fn get(&self, index: usize) -> Option<RowRef<'a>> {
        self.rows.get(self.first + index)
    }
}

impl ReadRows for MergedRows<'_> {
    fn n_rows(&self) -> usize {
        self.end - self.first
    }

    #[inline]
    fn cells(&self, index: usize) -> Cells<'_> {
        self.rows.cells(self.first + index)
    }

    #[inline]
    fn reject(&self, index: usize) -> Option<&Reject> {
        self.rows.reject(self.first + index).map(|(reject, _)| reject)
    }
}

/// A merge of finite streams.
pub struct Merge {
    streams: Vec<Stream>,
    /// Streams with a row, the one to take first on top. Streams are sorted by (rank, source, path), so
    /// that their index breaks ties.
    queue: BinaryHeap<Reverse<Turn>>,
    /// The stream whose rows were handed out last, and the place behind them.
    taken: Option<(usize, usize)>,
}

/// When a stream's turn comes: its rank, the greatest event time up to its next row, its index.
type Turn = (usize, VenueTime, usize);

/// A stream, its batch at hand and the next row in it.
struct Stream {
    source: usize,
    rank: usize,
    batches: Batches,
    rows: Option<Rows>,
    index: usize,
    /// What comes behind the batch; taken when it is used up.
    next: Next,
    progress: (u64, u64),
    /// The greatest event time up to the next row.
    greatest: VenueTime,
}

impl Merge {
    /// Starts a merge: reads the first rows of each stream.
    ///
    /// # Errors
    /// If a stream can't be read.
    pub fn new(mut streams: Vec<MergedStream>) -> Result<Self, ConnectError> {
        if is_out(Safeguard::ReplayedLast) {
            for stream in &mut streams {
                stream.rank = 0;
            }
        }
        streams.sort_by(|a, b| {
            (a.rank, a.name.as_str(), a.rows.path()).cmp(&(b.rank, b.name.as_str(), b.rows.path()))
        });
        let sources: Vec<_> = streams.iter().map(|stream| (stream.source, stream.rank)).collect();
        let rows = streams.into_iter().map(|stream| stream.rows).collect();
        let n_files = sources.iter().filter(|(_, rank)| *rank == 0).count();
        let batches = readers::start(rows, n_files)?;
        let mut merge = Self {
            streams: sources.into_iter().zip(batches).map(Stream::new).collect(),
            queue: BinaryHeap::new(),
            taken: None,
        };
        for stream in 0..merge.streams.len() {
            merge.advance(stream, 0)?;
        }
        Ok(merge)
    }

    /// The next rows of one stream, at most so many; `None` at the end of all.
    ///
    /// # Errors
    /// If a stream can't be read any further.
    pub fn next_rows(&mut self, n_max: usize) -> Result<Option<MergedRows<'_>>, ConnectError> {
        self.pass_taken()?;
        let Some(Reverse((rank, _, index))) = self.queue.pop() else { return Ok(None) };
        let other = self.queue.peek().map(|Reverse(other)| *other);
        let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };
        // Rows go on as long as no other stream's comes first.
        let Some(end) =
            stream.run(n_max, |time| other.is_none_or(|other| (rank, time, index) < other))
        else {
            return Ok(None);
        };
        self.taken = Some((index, end));
        Ok(stream.rows(end))
    }

    /// Whether all rows of files were handed out, and some that are replayed weren't.
    ///
    /// # Errors
    /// If a stream can't be read any further.
    pub fn is_at_replayed(&mut self) -> Result<bool, ConnectError> {
        self.pass_taken()?;
        Ok(self.queue.peek().is_some_and(|Reverse((rank, ..))| *rank > 0))
    }

    /// Whether there are streams of rows that are replayed.
    pub fn has_replayed(&self) -> bool {
        self.streams.iter().any(|stream| stream.rank > 0)
    }

    /// Bytes read and bytes in all, over all streams.
    pub fn progress(&self) -> (u64, u64) {
        let each = self.streams.iter().map(|stream| stream.progress);
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Goes behind the rows that were handed out last.
    fn pass_taken(&mut self) -> Result<(), ConnectError> {
        self.taken.take().map_or(Ok(()), |(index, end)| self.advance(index, end))
    }

    fn advance(&mut self, index: usize, next: usize) -> Result<(), ConnectError> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        if stream.advance(next)? {
            self.queue.push(Reverse((stream.rank, stream.greatest, index)));
        }
        Ok(())
    }
}

impl Stream {
    /// Stands before the first row.
    fn new(((source, rank), batches): ((usize, usize), Batches)) -> Self {
        Self {
            source,
            rank,
            batches,
            rows: None,
            index: 0,
            next: Next::Rows,
            progress: (0, 0),
            greatest: VenueTime::MIN,
        }
    }

    /// Finds the end of a run from the next row on: at most so many rows, and behind the first one
    /// only while `goes_on` says so of the greatest event time up to each.
    fn run(&mut self, n_max: usize, goes_on: impl Fn(VenueTime) -> bool) -> Option<usize> {
        let rows = self.rows.as_ref()?;
        let last = rows.len().min(self.index.saturating_add(n_max));
        let mut end = self.index + 1;
        while end < last {
            let greatest = self.greatest.max(rows.time(end));
            if !goes_on(greatest) {
                break;
            }
            self.greatest = greatest;
            end += 1;
        }
        Some(end)
    }

    fn rows(&self, end: usize) -> Option<MergedRows<'_>> {
        let (rows, path) = (self.rows.as_ref()?, self.batches.path());
        Some(MergedRows { source: self.source, path, rows, first: self.index, end })
    }

    /// Goes to the row at a place of the batch, or behind it to the next one's first; false at the end.
    fn advance(&mut self, next: usize) -> Result<bool, ConnectError> {
        self.index = next;
        while self.rows.as_ref().is_none_or(|rows| self.index >= rows.len()) {
            match std::mem::replace(&mut self.next, Next::End) {
                Next::Rows => {}
                Next::End => return Ok(false),
                Next::Failure(error) => return Err(error),
            }
            let reply = self.batches.next()?;
            if let Some(used) = self.rows.replace(reply.rows) {
                self.batches.give_back(used);
            }
            (self.next, self.progress, self.index) = (reply.next, reply.progress, 0);
        }
        self.greatest = self
            .greatest
            .max(self.rows.as_ref().map_or(VenueTime::MIN, |rows| rows.time(self.index)));
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
