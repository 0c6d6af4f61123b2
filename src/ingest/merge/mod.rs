//! Every file of every finite source is a stream; streams are merged by their running greatest event
//! time, ties by source, path, row (SEMANTICS section 4).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use connectors::ConnectError;
use connectors::source::{RowRef, RowStream, Rows};
use types::VenueTime;

use super::readers::{self, Batches, Next};

/// A stream and where it belongs.
pub struct MergedStream {
    /// The rows.
    pub rows: Box<dyn RowStream>,
    /// The source's index in the plan.
    pub source: usize,
    /// The source's name: ties go by it.
    pub name: String,
}

/// A row in its place.
#[derive(Clone, Copy)]
pub struct MergedRow<'a> {
    /// The source's index in the plan.
    pub source: usize,
    /// The path of its file as the config writes it.
    pub path: &'a str,
    /// The row.
    pub row: RowRef<'a>,
}

/// A merge of finite streams.
pub struct Merge {
    streams: Vec<Stream>,
    /// Streams with a row, the one to take first on top. Streams are sorted by (source, path), so
    /// that their index breaks ties.
    queue: BinaryHeap<Reverse<(VenueTime, usize)>>,
    /// The stream whose row was handed out last and must be advanced.
    taken: Option<usize>,
}

/// A stream, its batch at hand and the next row in it.
struct Stream {
    source: usize,
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
        streams.sort_by(|a, b| {
            (a.name.as_str(), a.rows.path()).cmp(&(b.name.as_str(), b.rows.path()))
        });
        let sources: Vec<usize> = streams.iter().map(|stream| stream.source).collect();
        let rows = streams.into_iter().map(|stream| stream.rows).collect();
        let batches = readers::start(rows)?;
        let mut merge = Self {
            streams: sources.into_iter().zip(batches).map(Stream::new).collect(),
            queue: BinaryHeap::new(),
            taken: None,
        };
        for stream in 0..merge.streams.len() {
            merge.advance(stream)?;
        }
        Ok(merge)
    }

    /// The next row; `None` at the end of all.
    ///
    /// # Errors
    /// If a stream can't be read any further.
    pub fn next_row(&mut self) -> Result<Option<MergedRow<'_>>, ConnectError> {
        if let Some(stream) = self.taken.take() {
            self.advance(stream)?;
        }
        let Some(Reverse((_, index))) = self.queue.pop() else { return Ok(None) };
        self.taken = Some(index);
        Ok(self.streams.get(index).and_then(Stream::row))
    }

    /// Bytes read and bytes in all, over all streams.
    pub fn progress(&self) -> (u64, u64) {
        let each = self.streams.iter().map(|stream| stream.progress);
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn advance(&mut self, index: usize) -> Result<(), ConnectError> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        if stream.advance()? {
            self.queue.push(Reverse((stream.greatest, index)));
        }
        Ok(())
    }
}

impl Stream {
    /// Stands before the first row.
    fn new((source, batches): (usize, Batches)) -> Self {
        Self {
            source,
            batches,
            rows: None,
            index: 0,
            next: Next::Rows,
            progress: (0, 0),
            greatest: VenueTime::MIN,
        }
    }

    fn row(&self) -> Option<MergedRow<'_>> {
        let row = self.rows.as_ref()?.get(self.index)?;
        Some(MergedRow { source: self.source, path: self.batches.path(), row })
    }

    /// Goes to the next row; false at the end.
    fn advance(&mut self) -> Result<bool, ConnectError> {
        self.index += 1;
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
