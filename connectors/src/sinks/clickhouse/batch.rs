//! A batch: the changes of a range of epochs of one view, cut into inserts once and for all.

use bytes::Bytes;
use types::digest::digest128;
use types::relations::Relation;
use types::{Cell, Epoch, Names, Schema, VenueTime};

use super::encode;
use super::layout::partition_column;
use crate::error::ConnectError;
use crate::sinks::held::Visit;

/// Rows of an insert at most: well below the 1,048,449 from which ClickHouse cuts it into blocks,
/// so that it is stored whole or not at all.
const PART_ROWS: usize = 500_000;
/// Bytes of an insert, about: below the 256 MB from which ClickHouse cuts it.
const PART_BYTES: usize = 128 << 20;

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

/// Encodes rows as they come, and remembers where each stands.
pub(super) struct Encoder<'a> {
    view: &'a str,
    schema: &'a Schema,
    names: &'a Names,
    generation: u64,
    partition: Option<usize>,
    bytes: Vec<u8>,
    /// Partition, start and end of each row.
    rows: Vec<(u32, usize, usize)>,
    n_deleted: u64,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        view: &'a str,
        schema: &'a Schema,
        names: &'a Names,
        generation: u64,
    ) -> Self {
        let (partition, n_deleted) = (partition_column(schema), 0);
        let (bytes, rows) = (Vec::new(), Vec::new());
        Self { view, schema, names, generation, partition, bytes, rows, n_deleted }
    }

    /// How many of the rows say that their key is gone.
    pub(super) const fn n_deleted(&self) -> u64 {
        self.n_deleted
    }

    /// Cuts the rows, sorted by partition and key, so that each part has one partition.
    pub(super) fn parts(mut self) -> Vec<Part> {
        let bytes = &self.bytes;
        let row = |(_, start, end): (u32, usize, usize)| bytes.get(start..end).unwrap_or_default();
        // A row's bytes start with those of its key, and each key is there once.
        self.rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| row(*a).cmp(row(*b))));
        let mut parts = Vec::new();
        for rows in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let (mut part, mut n_rows) = (Vec::new(), 0);
            for place in rows {
                if n_rows == PART_ROWS || part.len() >= PART_BYTES {
                    parts.push(Part::new(std::mem::take(&mut part), n_rows));
                    n_rows = 0;
                }
                part.extend_from_slice(row(*place));
                n_rows += 1;
            }
            parts.push(Part::new(part, n_rows));
        }
        parts
    }

    fn encode<R: Relation>(
        &mut self,
        row: &R,
        is_deleted: bool,
        epoch: Epoch,
    ) -> Result<u32, String> {
        let mut partition = 0;
        for (index, column) in self.schema.columns.iter().enumerate() {
            let cell = row.cell(index, self.names);
            encode::column(&mut self.bytes, column, &cell)?;
            if let (true, Cell::Time(time)) = (self.partition == Some(index), cell) {
                partition = month(time)?;
            }
        }
        let version =
            version(self.generation, epoch).ok_or("the epoch is beyond those of a generation")?;
        self.bytes.extend_from_slice(&version.to_le_bytes());
        self.bytes.push(u8::from(is_deleted));
        Ok(partition)
    }
}

impl Visit for Encoder<'_> {
    fn row<R: Relation>(
        &mut self,
        row: &R,
        is_deleted: bool,
        epoch: Epoch,
    ) -> Result<(), ConnectError> {
        let start = self.bytes.len();
        let partition = self.encode(row, is_deleted, epoch).map_err(|problem| {
            let mut key = Vec::new();
            types::json::write_key(&mut key, row, self.schema, self.names);
            let key = String::from_utf8_lossy(&key);
            ConnectError::broken(format!("writing row {key} of view {}: {problem}", self.view))
        })?;
        self.rows.push((partition, start, self.bytes.len()));
        self.n_deleted += u64::from(is_deleted);
        Ok(())
    }
}

/// The month, where ClickHouse and we agree on it: its `DateTime64` starts in 1900.
fn month(time: VenueTime) -> Result<u32, String> {
    match encode::month(time) {
        month @ 190_001..=226_112 => Ok(month),
        month => Err(format!("month {month} is out of ClickHouse's range")),
    }
}

/// The row's version: greater in a later generation, and in a later epoch of one.
fn version(generation: u64, epoch: Epoch) -> Option<u64> {
    let first = generation.checked_mul(GENERATION_EPOCHS)?;
    (epoch.0 < GENERATION_EPOCHS).then_some(first.checked_add(epoch.0)?)
}

impl Part {
    fn new(bytes: Vec<u8>, n_rows: usize) -> Self {
        let digest = digest128(&bytes);
        Self { bytes: bytes.into(), n_rows, digest }
    }
}
