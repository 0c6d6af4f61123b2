//! One file as a stream of rows.

use super::csv::{self, Header};
use super::fields::{Fields, RowView};
use super::frames::{Frame, Frames, Framing};
use super::jsonl::Wanted;
use super::map::Mapper;
use super::order::{Pass, Sorting};
use super::paths::SourceFile;
use crate::error::ConnectError;
use crate::rows::{Failure, Place, RowCells, Rows};
use crate::source::{FileSource, Format, Order, RowStream};
use types::event::Reason;
use types::{Reject, VenueTime};

/// One file of a source.
pub(super) struct FileStream {
    written: String,
    frames: Frames,
    decoder: Decoder,
    order: Order,
    /// The rows in order, once they were sorted, and the bytes of the last one.
    sorted: Option<(Pass, Vec<u8>)>,
    /// What sorting holds in memory.
    sort_bytes_max: usize,
    /// How many rows were given.
    position: u64,
}

/// From a row's bytes to its cells.
pub(super) struct Decoder {
    shape: Shape,
    fields: Fields,
    mapper: Mapper,
    /// The column by which rows are merged, and unsorted files sorted.
    event_time: Option<usize>,
}

/// How a row is cut into fields.
enum Shape {
    Csv { delimiter: u8, n_columns: usize },
    Jsonl(Wanted),
}

/// Opens a file, reads its header and settles the mapping.
///
/// # Errors
/// Where it can't be opened or read, or lacks a column.
pub(super) fn open(
    source: &FileSource,
    file: &SourceFile,
) -> Result<(Frames, Decoder), ConnectError> {
    let mut frames = Frames::open(&file.path, framing(source))?;
    let (shape, mapper) = match source.format {
        Format::Csv => {
            let shown = file.path.display().to_string();
            let mut header = Header::read(&mut frames, source.delimiter, &shown)?;
            let mapper = Mapper::new(source, &file.written, &mut header)?;
            let n_columns = header.n_columns();
            (Shape::Csv { delimiter: source.delimiter, n_columns }, mapper)
        }
        Format::Jsonl => {
            let mut wanted = Wanted::default();
            let mapper = Mapper::new(source, &file.written, &mut wanted)?;
            (Shape::Jsonl(wanted), mapper)
        }
    };
    let event_time = source.columns.iter().position(|c| c.name == "event_time");
    Ok((frames, Decoder { shape, fields: Fields::default(), mapper, event_time }))
}

/// How rows of a source are told apart.
pub(super) const fn framing(source: &FileSource) -> Framing {
    match source.format {
        Format::Csv => Framing::Quoted(source.delimiter),
        Format::Jsonl => Framing::Lines,
    }
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
        let (frames, decoder) = open(source, &file)?;
        Ok(Self {
            written: file.written,
            frames,
            decoder,
            order: source.order,
            sorted: None,
            sort_bytes_max,
            position: 0,
        })
    }

    /// Reads a batch; false at the end.
    fn read_rows(&mut self, rows: &mut Rows) -> Result<bool, ConnectError> {
        while !rows.is_full() {
            if !self.read_row(rows)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a row in order; false at the end.
    #[inline]
    fn read_row(&mut self, rows: &mut Rows) -> Result<bool, ConnectError> {
        let mut frame = Frame::default();
        if self.order != Order::Arrival && self.sorted.is_none() {
            self.sorted = Some((self.sort()?, Vec::new()));
        }
        let raw = match &mut self.sorted {
            None => {
                if !self.frames.next(&mut frame, &mut self.decoder.fields)? {
                    return Ok(false);
                }
                self.frames.row()
            }
            Some((pass, raw)) => {
                if !pass.next(&mut frame, raw)? {
                    return Ok(false);
                }
                raw
            }
        };
        self.decoder.decode(&frame, self.position, raw, rows);
        self.position += 1;
        Ok(true)
    }

    /// Reads the whole file and sorts it.
    fn sort(&mut self) -> Result<Pass, ConnectError> {
        let mut sorting = Sorting::new(&self.written, self.sort_bytes_max);
        let (mut frame, mut row) = (Frame::default(), Rows::default());
        while self.frames.next(&mut frame, &mut self.decoder.fields)? {
            let raw = self.frames.row();
            if self.order == Order::NewestFirst {
                sorting.push_backwards(&frame, raw)?;
                continue;
            }
            self.decoder.start(&mut row);
            self.decoder.decode(&frame, frame.row, raw, &mut row);
            let time = Some(row.time(0)).filter(|time| *time > VenueTime::MIN);
            sorting.push_by_time(time, &frame, raw)?;
        }
        sorting.finish()
    }
}

impl RowStream for FileStream {
    fn path(&self) -> &str {
        &self.written
    }

    fn read(&mut self, rows: &mut Rows) -> Result<bool, ConnectError> {
        self.decoder.start(rows);
        let read = self.read_rows(rows);
        rows.finish();
        read
    }

    fn progress(&self) -> (u64, u64) {
        self.frames.progress()
    }
}

impl Decoder {
    /// Empties a batch.
    pub(super) fn start(&self, rows: &mut Rows) {
        rows.restart(self.mapper.texts());
    }

    /// Adds a row that is none.
    pub(super) fn refuse(&self, frame: &Frame, raw: &[u8], detail: String, rows: &mut Rows) {
        let Frame { row, line, is_ascii, .. } = *frame;
        let place = Place { row, line, is_ascii };
        rows.push(place, raw, self.event_time, |_| Err(unreadable(detail)));
    }

    /// Adds a row's cells to a batch, or why there are none.
    pub(super) fn decode(&mut self, frame: &Frame, position: u64, raw: &[u8], rows: &mut Rows) {
        let time = self.event_time;
        let Frame { row, line, is_ascii, .. } = *frame;
        rows.push(Place { row, line, is_ascii }, raw, time, |cells| {
            self.try_decode(frame, position, raw, cells)
        });
    }

    fn try_decode(
        &mut self,
        frame: &Frame,
        position: u64,
        raw: &[u8],
        cells: &mut RowCells<'_>,
    ) -> Result<(), Failure> {
        if let Some(fault) = frame.fault {
            return Err(unreadable(fault.to_string()));
        }
        match &mut self.shape {
            Shape::Csv { delimiter, n_columns } => {
                if !frame.is_split {
                    csv::split(raw, *delimiter, &mut self.fields);
                }
                let n = self.fields.len();
                if n != *n_columns {
                    let detail = format!("{n} fields, the header has {n_columns}");
                    return Err(unreadable(detail));
                }
            }
            Shape::Jsonl(wanted) => wanted.split(raw, &mut self.fields).map_err(unreadable)?,
        }
        let view = RowView { raw, fields: &self.fields };
        self.mapper.read(view, (frame.row, position), cells)
    }
}

fn unreadable(detail: String) -> Failure {
    (Reject { reason: Reason::UnreadableRow, column: None, detail }, None)
}
