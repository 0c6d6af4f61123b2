//! A batch: the changes of a range of epochs of one view, cut into inserts once and for all.

use bytes::Bytes;
use types::digest::digest128;
use types::relations::Relation;
use types::sabotage::{Safeguard, is_out};
use types::{Cell, Column, Epoch, Names, Schema, VenueTime};

use super::changelog::Log;
use super::encode;
use super::layout::{Mode, partition_column};
use super::native::{Block, Misfit};
use super::unfit::Unfit;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::sinks::held::Held;
use crate::sinks::order::KeyBytes;
use crate::sinks::shown::{Shown, Visit};

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
    /// Rows that aren't among them, for no column holds what they say.
    pub(super) unfit: Vec<Unfit>,
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
    let mut encoder = Encoder::new((view, names), Stamp::Version { generation }, limits);
    for places in places.chunk_by(|a, b| partition(a) == partition(b)) {
        encoder.is_nowhere = places.first().and_then(partition) == Some(&NOWHERE);
        held.visit_at(places, names, &mut encoder)?;
        encoder.end_part();
    }
    Ok(encoder.out)
}

/// Encodes changes, all of them in their order.
pub(super) fn encode_log(
    view: &SinkView,
    names: &Names,
    log: &Log,
    limits: Limits,
) -> Result<Encoded, ConnectError> {
    let mut encoder = Encoder::new((view, names), Stamp::Place { last: None }, limits);
    log.visit(&view.schema, names, &mut encoder)?;
    encoder.end_part();
    Ok(encoder.out)
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
            self.of_rows.push(match shown.row.cell(index, self.names) {
                Cell::Time(time) => month(time).unwrap_or(NOWHERE),
                // What is no time is told where its row is encoded.
                _ => NOWHERE,
            });
        }
        Ok(())
    }
}

/// What stands behind rows.
enum Stamp {
    /// The version that their run and epoch give, and whether their key is gone.
    Version { generation: u64 },
    /// Where they stand in the changelog, and whether they came or went.
    Place { last: Option<(Epoch, u64)> },
}

/// Makes parts of rows in their order.
struct Encoder<'a> {
    view: &'a SinkView,
    names: &'a Names,
    stamp: Stamp,
    limits: Limits,
    /// Whether the rows at hand have no partition.
    is_nowhere: bool,
    block: Block,
    out: Encoded,
}

impl Visit for Encoder<'_> {
    fn rows<R: Relation>(&mut self, mut rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        while !rows.is_empty() {
            let n_fitting = rows.len().min(self.limits.n_rows - self.block.n_rows());
            let (now, later) = rows.split_at(n_fitting);
            if !self.is_nowhere && self.block.push(now, self.names).is_ok() {
                now.iter().try_for_each(|shown| self.stamp(shown.epoch, shown.is_deleted))?;
            } else {
                now.iter().try_for_each(|shown| self.take_one(shown))?;
            }
            let Limits { n_rows, n_bytes } = self.limits;
            if self.block.n_rows() == n_rows || self.block.n_bytes() >= n_bytes {
                self.end_part();
            }
            rows = later;
        }
        Ok(())
    }
}

impl<'a> Encoder<'a> {
    fn new((view, names): (&'a SinkView, &'a Names), stamp: Stamp, limits: Limits) -> Self {
        let mode = match stamp {
            Stamp::Version { .. } => Mode::Rows,
            Stamp::Place { .. } => Mode::Changelog,
        };
        let block = Block::new(&view.schema, mode);
        let out = Encoded { parts: Vec::new(), n_deleted: 0, unfit: Vec::new() };
        Self { view, names, stamp, limits, is_nowhere: false, block, out }
    }

    /// Takes a row of some that don't all fit.
    fn take_one<R: Relation>(&mut self, shown: &Shown<'_, R>) -> Result<(), ConnectError> {
        let problem = match self.no_partition(shown) {
            Some(problem) => problem,
            None => match self.block.push(std::slice::from_ref(shown), self.names) {
                Ok(()) => return self.stamp(shown.epoch, shown.is_deleted),
                Err(Misfit(problem)) => problem,
            },
        };
        // Of a key that is gone the table has nothing to say but that, and a row that never came needn't
        // go.
        if !shown.is_deleted {
            self.out.unfit.push(Unfit::new(shown, (self.view, self.names), problem));
        }
        if let Stamp::Place { .. } = self.stamp {
            // Its place stays free, which shows that something is missing.
            self.next_place(shown.epoch);
            return Ok(());
        }
        // The row before it may stand in the table, and isn't the key's any more. Where the key itself
        // fits no column there is none.
        let is_told = !is_out(Safeguard::StaleTakenBack) && !self.is_nowhere;
        if is_told && self.block.push_key(shown, self.names).is_ok() {
            self.stamp(shown.epoch, true)?;
        }
        Ok(())
    }

    fn no_partition<R: Relation>(&self, shown: &Shown<'_, R>) -> Option<String> {
        let index = partition_column(&self.view.schema).filter(|_| self.is_nowhere)?;
        match shown.row.cell(index, self.names) {
            Cell::Time(time) => month(time).err(),
            _ => None,
        }
    }

    fn stamp(&mut self, epoch: Epoch, is_deleted: bool) -> Result<(), ConnectError> {
        self.out.n_deleted += u64::from(is_deleted);
        let Stamp::Version { generation } = self.stamp else {
            let seq = self.next_place(epoch);
            let diff: i8 = if is_deleted { -1 } else { 1 };
            let values = [epoch.0.to_le_bytes(), seq.to_le_bytes()];
            self.block.stamp(&[&values[0], &values[1], &diff.to_le_bytes()]);
            return Ok(());
        };
        let version = version(generation, epoch).ok_or_else(|| {
            let doing = format!("writing view {}", self.view.name);
            ConnectError::broken(format!("{doing}: epoch {epoch} is beyond those of a generation"))
        })?;
        self.block.stamp(&[&version.to_le_bytes(), &[u8::from(is_deleted)]]);
        Ok(())
    }

    /// The place of the next row of a changelog: they are counted in each epoch anew.
    fn next_place(&mut self, of: Epoch) -> u64 {
        let Stamp::Place { last } = &mut self.stamp else { return 0 };
        let seq = last.filter(|(epoch, _)| *epoch == of).map_or(0, |(_, seq)| seq + 1);
        *last = Some((of, seq));
        seq
    }

    fn end_part(&mut self) {
        let n_rows = self.block.n_rows();
        if n_rows > 0 {
            self.out.parts.push(Part::new(self.block.take(), n_rows));
        }
    }
}

/// The partition of rows that have none. No month is 0.
const NOWHERE: u32 = 0;

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
