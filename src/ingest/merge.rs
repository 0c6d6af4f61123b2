//! Every file of every finite source is a stream; streams are merged by their running greatest event
//! time, ties by source, path, row (SEMANTICS section 4).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use connectors::ConnectError;
use connectors::source::{Record, RowStream};
use types::VenueTime;

/// A stream and where it belongs.
pub struct MergedStream {
    /// The rows.
    pub rows: Box<dyn RowStream>,
    /// The source's index in the plan.
    pub source: usize,
    /// The source's name: ties go by it.
    pub name: String,
    /// The index of the column that holds the event time.
    pub time_column: Option<usize>,
}

/// The next row of a stream and the greatest event time up to it.
struct Head {
    record: Record,
    greatest: VenueTime,
}

/// A merge of finite streams.
pub struct Merge {
    streams: Vec<MergedStream>,
    heads: Vec<Head>,
    /// Streams with a row, the one to take first on top. Streams are sorted by (source, path), so
    /// that their index breaks ties.
    queue: BinaryHeap<Reverse<(VenueTime, usize)>>,
    /// The stream whose row was handed out last and must be advanced.
    taken: Option<usize>,
}

impl Merge {
    /// Starts a merge: reads the first row of each stream.
    ///
    /// # Errors
    /// If a stream can't be read.
    pub fn new(mut streams: Vec<MergedStream>) -> Result<Self, ConnectError> {
        streams.sort_by(|a, b| {
            (a.name.as_str(), a.rows.path()).cmp(&(b.name.as_str(), b.rows.path()))
        });
        let head = |_| Head { record: Record::default(), greatest: VenueTime::MIN };
        let heads = streams.iter().map(head).collect();
        let mut merge = Self { streams, heads, queue: BinaryHeap::new(), taken: None };
        for stream in 0..merge.streams.len() {
            merge.advance(stream)?;
        }
        Ok(merge)
    }

    /// The next row and its stream; `None` at the end of all.
    ///
    /// # Errors
    /// If a stream can't be read any further.
    pub fn next_row(&mut self) -> Result<Option<(&MergedStream, &Record)>, ConnectError> {
        if let Some(stream) = self.taken.take() {
            self.advance(stream)?;
        }
        let Some(Reverse((_, stream))) = self.queue.pop() else { return Ok(None) };
        self.taken = Some(stream);
        Ok(self.streams.get(stream).zip(self.heads.get(stream).map(|head| &head.record)))
    }

    /// Bytes read and bytes in all, over all streams.
    pub fn progress(&self) -> (u64, u64) {
        let each = self.streams.iter().map(|stream| stream.rows.progress());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn advance(&mut self, index: usize) -> Result<(), ConnectError> {
        let (Some(stream), Some(head)) = (self.streams.get_mut(index), self.heads.get_mut(index))
        else {
            return Ok(());
        };
        if stream.rows.next(&mut head.record)? {
            if let Some(time) = head.record.event_time(stream.time_column) {
                head.greatest = head.greatest.max(time);
            }
            self.queue.push(Reverse((head.greatest, index)));
        }
        Ok(())
    }
}
