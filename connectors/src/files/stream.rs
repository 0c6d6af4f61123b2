//! One file as a stream of rows.

use super::csv::{self, Header};
use super::fields::{Fields, RowView};
use super::frames::{Fault, Frame, Frames, Framing};
use super::jsonl::Wanted;
use super::map::{Failure, Mapper};
use super::order::{Pass, Sorting};
use super::paths::SourceFile;
use crate::error::ConnectError;
use crate::source::{FileSource, Format, Order, Record, RowStream};
use types::event::Reason;
use types::{Reject, VenueTime};

/// One file of a source.
pub(super) struct FileStream {
    written: String,
    frames: Frames,
    decoder: Decoder,
    order: Order,
    /// The column by which unsorted files are sorted.
    event_time: Option<usize>,
    /// The rows in order, once they were sorted.
    sorted: Option<Pass>,
    /// What sorting holds in memory.
    sort_bytes_max: usize,
    /// How many rows were given.
    position: u64,
}

/// From a row's bytes to its draft.
struct Decoder {
    shape: Shape,
    fields: Fields,
    mapper: Mapper,
}

/// How a row is cut into fields.
enum Shape {
    Csv { delimiter: u8, n_columns: usize },
    Jsonl(Wanted),
}

impl FileStream {
    /// Opens a file, reads its header and settles the mapping; `sort_bytes_max` is what sorting may
    /// hold in memory.
    ///
    /// # Errors
    /// Where it can't be opened or read, or lacks a column.
    pub(super) fn open(
        source: &FileSource,
        file: SourceFile,
        sort_bytes_max: usize,
    ) -> Result<Self, ConnectError> {
        let written = file.written;
        let framing = match source.format {
            Format::Csv => Framing::Quoted(source.delimiter),
            Format::Jsonl => Framing::Lines,
        };
        let mut frames = Frames::open(&file.path, framing)?;
        let (shape, mapper) = match source.format {
            Format::Csv => {
                let shown = file.path.display().to_string();
                let mut header = Header::read(&mut frames, source.delimiter, &shown)?;
                let mapper = Mapper::new(source, &written, &mut header)?;
                let n_columns = header.n_columns();
                (Shape::Csv { delimiter: source.delimiter, n_columns }, mapper)
            }
            Format::Jsonl => {
                let mut wanted = Wanted::default();
                let mapper = Mapper::new(source, &written, &mut wanted)?;
                (Shape::Jsonl(wanted), mapper)
            }
        };
        Ok(Self {
            written,
            frames,
            decoder: Decoder { shape, fields: Fields::default(), mapper },
            order: source.order,
            event_time: source.columns.iter().position(|c| c.name == "event_time"),
            sorted: None,
            sort_bytes_max,
            position: 0,
        })
    }

    /// Reads the next row's frame, in order.
    fn next_frame(&mut self, frame: &mut Frame, into: &mut Vec<u8>) -> Result<bool, ConnectError> {
        if self.order == Order::Arrival {
            return self.frames.next(frame, into);
        }
        if let Some(sorted) = &mut self.sorted {
            return sorted.next(frame, into);
        }
        let pass = self.sort()?;
        self.sorted.insert(pass).next(frame, into)
    }

    /// Reads the whole file and sorts it.
    fn sort(&mut self) -> Result<Pass, ConnectError> {
        let mut sorting = Sorting::new(&self.written, self.sort_bytes_max);
        let (mut frame, mut record) = (Frame::default(), Record::default());
        while self.frames.next(&mut frame, &mut record.bytes)? {
            if self.order == Order::NewestFirst {
                sorting.push_backwards(&frame, &record.bytes)?;
                continue;
            }
            let place = (frame.row, frame.row);
            self.decoder.decode(frame.fault, place, &mut record);
            sorting.push_by_time(self.time_of(&record), &frame, &record.bytes)?;
        }
        sorting.finish()
    }

    fn time_of(&self, record: &Record) -> Option<VenueTime> {
        record.event_time(self.event_time)
    }
}

impl RowStream for FileStream {
    fn path(&self) -> &str {
        &self.written
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, ConnectError> {
        let mut frame = Frame::default();
        if !self.next_frame(&mut frame, &mut record.bytes)? {
            return Ok(false);
        }
        record.row = frame.row;
        record.line = frame.line;
        self.decoder.decode(frame.fault, (frame.row, self.position), record);
        self.position += 1;
        Ok(true)
    }

    fn progress(&self) -> (u64, u64) {
        self.frames.progress()
    }
}

impl Decoder {
    /// Makes the draft of `record.bytes`, or says why there is none.
    fn decode(&mut self, fault: Option<Fault>, place: (u64, u64), record: &mut Record) {
        record.reject = None;
        if let Err(failure) = self.try_decode(fault, place, record) {
            // Whoever reads on must not take half a row for a whole one.
            record.draft.reset(0);
            record.reject = Some(failure);
        }
    }

    fn try_decode(
        &mut self,
        fault: Option<Fault>,
        place: (u64, u64),
        record: &mut Record,
    ) -> Result<(), Failure> {
        let raw = &record.bytes;
        let unreadable =
            |detail: String| (Reject { reason: Reason::UnreadableRow, column: None, detail }, None);
        if let Some(fault) = fault {
            return Err(unreadable(fault.to_string()));
        }
        match &mut self.shape {
            Shape::Csv { delimiter, n_columns } => {
                csv::split(raw, *delimiter, &mut self.fields);
                let n = self.fields.len();
                if n != *n_columns {
                    let detail = format!("{n} fields, the header has {n_columns}");
                    return Err(unreadable(detail));
                }
            }
            Shape::Jsonl(wanted) => wanted.split(raw, &mut self.fields).map_err(unreadable)?,
        }
        let view = RowView { raw, fields: &self.fields };
        self.mapper.read(view, place, &mut record.draft)
    }
}
