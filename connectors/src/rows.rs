//! Rows on their way from a source to the sequencer: whole batches that are handed over and come
//! back, so that no row is allocated for.

use types::event::{Cell, Cells, Draft, Op};
use types::{Reject, VenueTime};

/// Why a row can't be used, and the source's column, where one is to blame.
pub type Failure = (Reject, Option<String>);

/// Text of a batch: about as much as one read of a file gives.
const BYTES_MAX: usize = 32 << 10;
/// Cells of a batch. With the text they stay in a core's cache until they are read.
const CELLS_MAX: usize = 16 << 10;
/// Rows of a batch.
const ROWS_MAX: usize = 1 << 10;

/// A batch of rows of one file. Recycled: a stream overwrites it.
#[derive(Debug)]
pub struct Rows {
    heads: Vec<Head>,
    cells: Vec<Cell>,
    /// The rows as they stand, what else their cells need, and the constants that all share: UTF-8,
    /// piece by piece.
    written: Vec<u8>,
    /// The same, once the batch is full.
    texts: String,
    /// Rows that aren't UTF-8, as they stand.
    raw: Vec<u8>,
    failures: Vec<Failure>,
    /// Rows, cells and bytes from which it is handed over.
    full: Full,
}

/// What makes a batch full.
#[derive(Clone, Copy, Debug)]
struct Full {
    rows: usize,
    cells: usize,
    bytes: usize,
}

/// Where a row's parts are.
#[derive(Clone, Copy, Debug)]
struct Head {
    row: u64,
    line: u64,
    time: VenueTime,
    op: Op,
    seq_is_mapped: bool,
    is_utf8: bool,
    failure: Option<u32>,
    /// Its bytes as they stand, in the texts or, if they aren't UTF-8, in `raw`.
    bytes: (usize, usize),
    cells: (usize, usize),
}

/// One row of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// The row's number in its file, from 1, as the file stands.
    pub row: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// The row's columns; none of a reject.
    pub cells: Cells<'a>,
    /// Why it can't be used, and the source's column, where one is to blame.
    pub reject: Option<&'a Failure>,
    /// Its bytes as they stand in the file, without the line break; at most 1 MiB of them.
    pub bytes: &'a [u8],
}

/// One row of its own.
#[derive(Debug, Default)]
pub struct Record {
    /// The row's number in its file, from 1, as the file stands.
    pub row: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// The row's columns. The draft of a reject holds nothing.
    pub draft: Draft,
    /// Why it can't be used, and the source's column, where one is to blame.
    pub reject: Option<Failure>,
    /// Its bytes as they stand in the file, without the line break; at most 1 MiB of them.
    pub bytes: Vec<u8>,
}

impl Default for Rows {
    fn default() -> Self {
        Self::part_of(1)
    }
}

impl Rows {
    /// An empty batch, where so many are held at once.
    pub fn part_of(n_batches: usize) -> Self {
        let part = |whole: usize| whole / n_batches.max(1);
        Self {
            heads: Vec::new(),
            cells: Vec::new(),
            written: Vec::new(),
            texts: String::new(),
            raw: Vec::new(),
            failures: Vec::new(),
            full: Full { rows: part(ROWS_MAX), cells: part(CELLS_MAX), bytes: part(BYTES_MAX) },
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Whether it is time to hand the batch over.
    pub(crate) fn is_full(&self) -> bool {
        let Full { rows, cells, bytes } = self.full;
        !self.is_empty()
            && (self.heads.len() >= rows
                || self.cells.len() >= cells
                || self.written.len() + self.raw.len() >= bytes)
    }

    /// The time by which a row moves the merge: that of readable inserts and corrects, else
    /// [`VenueTime::MIN`].
    #[inline]
    pub fn time(&self, index: usize) -> VenueTime {
        self.heads.get(index).map_or(VenueTime::MIN, |head| head.time)
    }

    /// The columns of a row; none of a reject, and where there is no such row.
    #[inline]
    pub fn cells(&self, index: usize) -> Cells<'_> {
        let (mut op, mut seq_is_mapped, mut cells) = (Op::Insert, false, [].as_slice());
        if let Some(head) = self.heads.get(index) {
            (op, seq_is_mapped) = (head.op, head.seq_is_mapped);
            cells = self.cells.get(head.cells.0..head.cells.1).unwrap_or_default();
        }
        Cells { op, seq_is_mapped, cells, texts: &self.texts, main_name: None }
    }

    /// Why a row can't be used, and the source's column, where one is to blame.
    #[inline]
    pub fn reject(&self, index: usize) -> Option<&Failure> {
        let failure = self.heads.get(index)?.failure?;
        self.failures.get(usize::try_from(failure).ok()?)
    }

    /// A row.
    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        let head = self.heads.get(index)?;
        let bytes = if head.is_utf8 { self.texts.as_bytes() } else { &self.raw };
        Some(RowRef {
            row: head.row,
            line: head.line,
            cells: self.cells(index),
            reject: self.reject(index),
            bytes: bytes.get(head.bytes.0..head.bytes.1)?,
        })
    }

    /// Empties the batch; the texts start with those that all rows share.
    pub(crate) fn restart(&mut self, shared: &str) {
        self.heads.clear();
        self.cells.clear();
        if self.written.is_empty() {
            self.written = std::mem::take(&mut self.texts).into_bytes();
        }
        self.written.clear();
        self.written.extend_from_slice(shared.as_bytes());
        self.raw.clear();
        self.failures.clear();
    }

    /// Ends the batch: from here on it is read.
    pub(crate) fn finish(&mut self) {
        // Checked as a whole, which costs far less than row by row.
        let written = String::from_utf8(std::mem::take(&mut self.written));
        self.texts = written.expect("only UTF-8 was added");
    }

    /// Adds a row: `fill` gives its cells or why it has none.
    pub(crate) fn push(
        &mut self,
        place: Place,
        bytes: &[u8],
        time_column: Option<usize>,
        fill: impl FnOnce(&mut RowCells<'_>) -> Result<(), Failure>,
    ) {
        let is_utf8 = place.is_ascii || std::str::from_utf8(bytes).is_ok();
        let texts = if is_utf8 { &mut self.written } else { &mut self.raw };
        let start = texts.len();
        texts.extend_from_slice(bytes);
        let first = self.cells.len();
        let mut cells = RowCells {
            cells: &mut self.cells,
            texts: &mut self.written,
            first,
            base: is_utf8.then_some(start),
            op: Op::Insert,
            seq_is_mapped: false,
        };
        let filled = fill(&mut cells);
        let (op, seq_is_mapped) = (cells.op, cells.seq_is_mapped);
        let failure = filled.err().map(|failure| {
            // Whoever reads on must not take half a row for a whole one.
            self.cells.truncate(first);
            self.failures.push(failure);
            u32::try_from(self.failures.len() - 1).unwrap_or(u32::MAX)
        });
        let time = time_column.and_then(|column| self.cells.get(first + column));
        self.heads.push(Head {
            row: place.row,
            line: place.line,
            time: match time {
                Some(Cell::Time(time)) if op != Op::Bust => *time,
                _ => VenueTime::MIN,
            },
            op: if failure.is_some() { Op::Insert } else { op },
            seq_is_mapped: seq_is_mapped && failure.is_none(),
            is_utf8,
            failure,
            bytes: (start, start + bytes.len()),
            cells: (first, self.cells.len()),
        });
    }
}

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its number, from 1.
    pub(crate) row: u64,
    /// The line where it starts, from 1.
    pub(crate) line: u64,
    /// Whether all its bytes are ASCII; false says nothing.
    pub(crate) is_ascii: bool,
}

/// The cells of a row that is being read.
pub(crate) struct RowCells<'a> {
    cells: &'a mut Vec<Cell>,
    /// UTF-8, piece by piece.
    texts: &'a mut Vec<u8>,
    first: usize,
    /// Where the row's own bytes stand in the texts; `None` if they aren't UTF-8.
    base: Option<usize>,
    /// What the event does.
    pub(crate) op: Op,
    /// Whether the column `seq` came from the source.
    pub(crate) seq_is_mapped: bool,
}

impl RowCells<'_> {
    /// Starts with these cells.
    #[inline]
    pub(crate) fn start(&mut self, cells: &[Cell]) {
        self.cells.extend_from_slice(cells);
    }

    /// The cell of a column.
    #[inline]
    pub(crate) fn get(&self, column: usize) -> Cell {
        self.cells.get(self.first + column).copied().unwrap_or_default()
    }

    /// Sets a cell of those that the row started with.
    #[inline]
    pub(crate) fn set(&mut self, column: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(self.first + column) {
            *place = cell;
        }
    }

    /// Sets a cell to a number x 1e9.
    #[inline]
    pub(crate) fn set_nano(&mut self, column: usize, nano: i128) {
        let Self { texts, .. } = self;
        let cell =
            Cell::nano(nano, texts.len(), |digits| texts.extend_from_slice(digits.as_bytes()));
        self.set(column, cell);
    }

    /// Sets a cell to a text that isn't the row's.
    pub(crate) fn set_text(&mut self, column: usize, text: &str) {
        let start = self.texts.len();
        self.push_text(text);
        self.set_text_from(column, start);
    }

    /// Sets a cell to a range of the row's own bytes; false where they aren't UTF-8.
    #[inline]
    pub(crate) fn set_own(&mut self, column: usize, (start, end): (usize, usize)) -> bool {
        let Some(base) = self.base else { return false };
        self.set(column, text_cell(base + start, base + end));
        true
    }

    /// How long the texts are.
    pub(crate) fn n_texts(&self) -> usize {
        self.texts.len()
    }

    /// Adds to the texts, for a cell that is put together.
    pub(crate) fn push_text(&mut self, text: &str) {
        self.texts.extend_from_slice(text.as_bytes());
    }

    /// Sets a cell to what was added to the texts since `start`.
    pub(crate) fn set_text_from(&mut self, column: usize, start: usize) {
        let cell = text_cell(start, self.texts.len());
        self.set(column, cell);
    }
}

/// A batch is at most a row more than [`BYTES_MAX`], and a row 1 MiB, so texts are far below 4 GiB.
#[inline]
fn text_cell(start: usize, end: usize) -> Cell {
    let range = u32::try_from(start).ok().zip(u32::try_from(end).ok());
    range.map_or(Cell::Null, |(start, end)| Cell::Text(start, end))
}

/// Reads the cells that a constant gives, into a column of their own.
pub(crate) fn read_apart<E>(
    texts: &mut Vec<u8>,
    read: impl FnOnce(&mut RowCells<'_>) -> Result<(), E>,
) -> Result<Cell, E> {
    let mut cells = vec![Cell::Null];
    let (op, seq_is_mapped) = (Op::Insert, false);
    read(&mut RowCells { cells: &mut cells, texts, first: 0, base: None, op, seq_is_mapped })?;
    Ok(cells.first().copied().unwrap_or_default())
}

impl Record {
    /// The record as a row of a batch.
    pub fn view(&self) -> RowRef<'_> {
        let Self { row, line, draft, reject, bytes } = self;
        let (cells, reject) = (draft.view(), reject.as_ref());
        RowRef { row: *row, line: *line, cells, reject, bytes }
    }
}
