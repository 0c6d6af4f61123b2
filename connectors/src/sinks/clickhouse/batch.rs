//! A batch: the changes of a range of epochs of one view, cut into inserts once and for all.

use bytes::Bytes;
use types::digest::digest128;
use types::relations::Relation;
use types::{Cell, Column, Epoch, Names, Schema, VenueTime};

use super::encode;
use super::layout::partition_column;
use super::native::Block;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::sinks::held::{Held, Shown, Visit};
use crate::sinks::order::KeyBytes;

/// What an insert holds at most.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) n_rows: usize,
    /// About: some rows more may fit.
    pub(super) n_bytes: usize,
}

/// Well below the 1,048,449 rows and the 256 MB from which ClickHouse cuts an insert into blocks, so
/// that it is stored whole or not at all.
pub(super) const PART: Limits = Limits { n_rows: 500_000, n_bytes: 128 << 20 };

/// Epochs that a generation has room for.
const GENERATION_EPOCHS: u64 = 1 << 40;

/// Rows of one partition, to be inserted together.
pub(super) struct Part {
    /// The rows.
    pub(super) bytes: Bytes,
    /// How many.
    pub(super) n_rows: usize,
    /// What the bytes are.
    pub(super) digest: u128,
}

/// The rows of a batch.
pub(super) struct Encoded {
    /// Sorted by partition and key, and cut so that each part has one partition.
    pub(super) parts: Vec<Part>,
    /// How many of the rows say that their key is gone.
    pub(super) n_deleted: u64,
}

/// Encodes what is held of a view.
pub(super) fn encode(
    view: &SinkView,
    names: &Names,
    generation: u64,
    held: &Held,
    limits: Limits,
) -> Result<Encoded, ConnectError> {
    let mut places = held.by_key::<RowBinaryKeys>(&view.schema, names);
    let mut partitions = Partitions { view, names, of_rows: Vec::new() };
    if partition_column(&view.schema).is_some() {
        held.visit(&mut partitions)?;
    }
    let of_rows = partitions.of_rows;
    let partition = |place: &u32| usize::try_from(*place).ok().and_then(|place| of_rows.get(place));
    places.sort_by_key(partition);
    let (block, parts, n_deleted) = (Block::new(&view.schema), Vec::new(), 0);
    let mut encoder = Encoder { view, names, generation, limits, block, parts, n_deleted };
    for places in places.chunk_by(|a, b| partition(a) == partition(b)) {
        held.visit_at(places, names, &mut encoder)?;
        encoder.end_part();
    }
    Ok(Encoded { parts: encoder.parts, n_deleted: encoder.n_deleted })
}

/// Keys as `RowBinary`.
pub(super) struct RowBinaryKeys;

impl KeyBytes for RowBinaryKeys {
    fn key<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
        for (index, column) in schema.key().iter().enumerate() {
            Self::cell(out, column, &row.cell(index, names));
        }
        // Numbers that differ behind the ninth decimal alone have the same bytes up to here.
        for index in 0..schema.n_key {
            if let Cell::Number(number) = row.cell(index, names) {
                out.extend_from_slice(&number.mantissa().to_le_bytes());
                out.push(number.scale());
            }
        }
    }

    fn cell(out: &mut Vec<u8>, column: &Column, cell: &Cell<'_>) {
        // A cell that doesn't fit is told where its row is encoded.
        encode::column(out, column, cell).ok();
    }

    fn time(time: VenueTime) -> u64 {
        u64::from_be_bytes(time.nanos().to_le_bytes())
    }
}

/// The partition of each row.
struct Partitions<'a> {
    view: &'a SinkView,
    names: &'a Names,
    of_rows: Vec<u32>,
}

impl Visit for Partitions<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        let Some(index) = partition_column(&self.view.schema) else { return Ok(()) };
        for shown in rows {
            let partition = match shown.row.cell(index, self.names) {
                Cell::Time(time) => month(time),
                // What is no time is told where its row is encoded.
                _ => Ok(0),
            };
            let unfit = |problem: String| unfit(self.view, self.names, shown, &problem);
            self.of_rows.push(partition.map_err(unfit)?);
        }
        Ok(())
    }
}

/// Makes parts of rows in their order.
struct Encoder<'a> {
    view: &'a SinkView,
    names: &'a Names,
    generation: u64,
    limits: Limits,
    block: Block,
    parts: Vec<Part>,
    n_deleted: u64,
}

impl Visit for Encoder<'_> {
    fn rows<R: Relation>(&mut self, mut rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        while !rows.is_empty() {
            let n_fitting = rows.len().min(self.limits.n_rows - self.block.n_rows());
            let (now, later) = rows.split_at(n_fitting);
            let version = |epoch| version(self.generation, epoch);
            self.block.push(now, self.names, version).map_err(|misfit| {
                match now.get(misfit.nth) {
                    Some(shown) => unfit(self.view, self.names, shown, &misfit.problem),
                    None => ConnectError::broken(format!("writing a row: {}", misfit.problem)),
                }
            })?;
            let n_deleted = now.iter().filter(|shown| shown.is_deleted).count();
            self.n_deleted += u64::try_from(n_deleted).unwrap_or(u64::MAX);
            let Limits { n_rows, n_bytes } = self.limits;
            if self.block.n_rows() == n_rows || self.block.n_bytes() >= n_bytes {
                self.end_part();
            }
            rows = later;
        }
        Ok(())
    }
}

impl Encoder<'_> {
    fn end_part(&mut self) {
        let n_rows = self.block.n_rows();
        if n_rows > 0 {
            self.parts.push(Part::new(self.block.take(), n_rows));
        }
    }
}

fn unfit<R: Relation>(
    view: &SinkView,
    names: &Names,
    shown: &Shown<'_, R>,
    problem: &str,
) -> ConnectError {
    let mut key = Vec::new();
    types::json::write_key(&mut key, shown.row, &view.schema, names);
    let key = String::from_utf8_lossy(&key);
    ConnectError::broken(format!("writing row {key} of view {}: {problem}", view.name))
}

/// The month, where ClickHouse and we agree on it: its `DateTime64` starts in 1900.
fn month(time: VenueTime) -> Result<u32, String> {
    match encode::month(time) {
        month @ 190_001..=226_112 => Ok(month),
        month => Err(format!("month {month} is out of ClickHouse's range")),
    }
}

/// The row's version: greater in a later generation, and in a later epoch of one.
pub(super) fn version(generation: u64, epoch: Epoch) -> Option<u64> {
    let first = generation.checked_mul(GENERATION_EPOCHS)?;
    (epoch.0 < GENERATION_EPOCHS).then_some(first.checked_add(epoch.0)?)
}

/// The epoch of a version.
pub(super) const fn epoch_of(version: u64) -> Epoch {
    Epoch(version % GENERATION_EPOCHS)
}

impl Part {
    fn new(bytes: Vec<u8>, n_rows: usize) -> Self {
        let digest = digest128(&bytes);
        Self { bytes: bytes.into(), n_rows, digest }
    }
}
