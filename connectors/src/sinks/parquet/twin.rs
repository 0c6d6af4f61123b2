//! The plain way to make a file: a row at a time and a cell at a time. Both ways give the same bytes.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use types::options::Setting;
use types::relations::{Relation, RelationKind};
use types::{Cell, Epoch, Kind, Names, Schema};

use super::FinalSink;
use super::columns::Columns;
use super::output::{BATCH_ROWS, properties};
use super::parts::{PART_EPOCHS, PartsSink};
use super::tests::{parts_of, rows_of};
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink};
use crate::sinks::HELD_BYTES;
use crate::sinks::held::Held;
use crate::sinks::many;
use crate::sinks::order::JsonKeys;
use crate::sinks::shown::{Shown, Visit, visit_changes};
use crate::sinks::tests::{History, context, history, views};

enum Builder {
    Bool(BooleanBuilder),
    Count(UInt64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Time(TimestampNanosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Count => Self::Count(UInt64Builder::new()),
            Kind::Price | Kind::Size | Kind::Money | Kind::Number => {
                Self::Decimal(Decimal128Builder::new())
            }
            Kind::Float => Self::Float(Float64Builder::new()),
            Kind::Time => Self::Time(TimestampNanosecondBuilder::new()),
            Kind::Text | Kind::Name | Kind::Word(_) => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Bool(builder), Cell::Null) => builder.append_null(),
            (Self::Count(builder), Cell::Null) => builder.append_null(),
            (Self::Decimal(builder), Cell::Null) => builder.append_null(),
            (Self::Float(builder), Cell::Null) => builder.append_null(),
            (Self::Time(builder), Cell::Null) => builder.append_null(),
            (Self::Text(builder), Cell::Null) => builder.append_null(),
            (Self::Bool(builder), Cell::Bool(bool)) => builder.append_value(*bool),
            (Self::Count(builder), cell) => {
                builder.append_value(u64::try_from(cell.at_scale(0).unwrap()).unwrap());
            }
            (Self::Decimal(builder), cell) => builder.append_value(cell.at_scale(9).unwrap()),
            (Self::Float(builder), Cell::Float(float)) => builder.append_value(float.get()),
            (Self::Time(builder), Cell::Time(time)) => builder.append_value(time.nanos()),
            (Self::Text(builder), cell) => builder.append_value(cell.as_str().unwrap()),
            (_, cell) => panic!("{cell:?} is of another column"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Count(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => {
                Arc::new(builder.finish().with_precision_and_scale(38, 9).unwrap())
            }
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

struct Twin<'a> {
    names: &'a Names,
    n_key: usize,
    builders: Vec<Builder>,
    of_change: Option<(UInt64Builder, StringBuilder)>,
    n_rows: usize,
    has_rows: bool,
    schema: SchemaRef,
    /// `None`: the columns are all that is wanted.
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl<'a> Twin<'a> {
    fn new(schema: &Schema, names: &'a Names, has_changes: bool, writes: bool) -> Self {
        let arrow = Columns::new(schema, has_changes).schema();
        let writer = writes.then(|| {
            ArrowWriter::try_new(Vec::new(), Arc::clone(&arrow), Some(properties().unwrap()))
                .unwrap()
        });
        let builders = schema.columns.iter().map(|column| Builder::new(column.kind)).collect();
        let of_change = has_changes.then(Default::default);
        let (n_key, schema) = (schema.n_key, arrow);
        Self { names, n_key, builders, of_change, n_rows: 0, has_rows: false, schema, writer }
    }

    fn end_row(&mut self) {
        self.has_rows = true;
        self.n_rows += 1;
        if self.n_rows == BATCH_ROWS {
            self.batch();
        }
    }

    fn batch(&mut self) {
        self.n_rows = 0;
        let mut arrays: Vec<ArrayRef> = self.builders.iter_mut().map(Builder::finish).collect();
        if let Some((epochs, ops)) = &mut self.of_change {
            arrays.push(Arc::new(epochs.finish()));
            arrays.push(Arc::new(ops.finish()));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).unwrap();
        if let Some(writer) = &mut self.writer {
            writer.write(&batch).unwrap();
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.n_rows > 0 {
            self.batch();
        }
        self.writer.unwrap().into_inner().unwrap()
    }
}

impl Visit for Twin<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        for Shown { row, is_deleted, epoch } in rows {
            for (index, builder) in self.builders.iter_mut().enumerate() {
                let is_shown = !is_deleted || index < self.n_key;
                builder.push(&if is_shown { row.cell(index, self.names) } else { Cell::Null });
            }
            if let Some((epochs, ops)) = &mut self.of_change {
                epochs.append_value(epoch.0);
                ops.append_value(if *is_deleted { "del" } else { "put" });
            }
            self.end_row();
        }
        Ok(())
    }
}

/// Takes the rows that stand.
struct Standing<'a>(Twin<'a>);

impl Visit for Standing<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        let mut standing = rows.chunk_by(|a, b| a.is_deleted == b.is_deleted);
        standing.try_for_each(|rows| match rows.first() {
            Some(Shown { is_deleted: false, .. }) => self.0.rows(rows),
            _ => Ok(()),
        })
    }
}

/// Counts rows.
struct Count(u64);

impl Visit for Count {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        self.0 += u64::try_from(rows.len()).unwrap();
        Ok(())
    }
}

/// Runs of epochs that make a part each, worked out from all epochs at once.
fn ranges(history: &History, part_rows: u64, part_epochs: u64) -> Vec<(u64, u64)> {
    let (mut ranges, mut first, mut n_rows) = (Vec::new(), 1, [0; 3]);
    for (epoch, changes) in &history.epochs {
        for ((n_rows, changes), (_, _, schema)) in n_rows.iter_mut().zip(changes).zip(views()) {
            let mut count = Count(0);
            visit_changes(changes, &schema, &history.names, *epoch, &mut count).unwrap();
            *n_rows += count.0;
        }
        if epoch.0 + 1 - first >= part_epochs || n_rows.iter().any(|n| *n >= part_rows) {
            ranges.push((first, epoch.0));
            (first, n_rows) = (epoch.0 + 1, [0; 3]);
        }
    }
    match history.epochs.last() {
        Some((last, _)) if last.0 >= first => ranges.push((first, last.0)),
        _ => {}
    }
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn files_are_those_of_a_row_at_a_time(
        seed: u64,
        n_epochs in 0u64..12,
        n_keys in 1u64..40,
        held_bytes in prop_oneof![Just(1usize), 1usize..20_000, Just(HELD_BYTES)],
    ) {
        check_final(&history(seed, n_epochs, n_keys), held_bytes);
    }

    #[test]
    fn parts_are_those_of_a_row_at_a_time(
        seed: u64,
        n_epochs in 0u64..12,
        n_keys in 1u64..40,
        part_rows in prop_oneof![1u64..100, Just(1_000_000)],
        part_epochs in prop_oneof![1u64..12, Just(PART_EPOCHS)],
    ) {
        check_parts(&history(seed, n_epochs, n_keys), part_rows, part_epochs);
    }
}

#[test]
fn files_of_more_rows_than_a_batch_are_those_of_a_row_at_a_time() {
    // Epochs of any length, so that batches end amid what is shown at once.
    let history = history(1, 9, 15_000);
    for held_bytes in [HELD_BYTES, 1 << 20] {
        check_final(&history, held_bytes);
    }
    check_parts(&history, 10_000, PART_EPOCHS);
}

/// Writes a history to its end.
fn written(mut sink: impl Sink, history: &History) {
    for (epoch, views) in &history.epochs {
        sink.write(&EpochChanges { epoch: *epoch, views: views.clone() }).unwrap();
    }
    sink.finish().unwrap();
}

fn check_final(history: &History, held_bytes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&history.names, folder.path(), Some("final"));
    let files = context.files(folder.path()).unwrap();
    written(FinalSink::open(&context, &files, held_bytes).unwrap(), history);
    for (index, (name, kind, schema)) in views().into_iter().enumerate() {
        let mut held = Held::new(kind);
        for (epoch, views) in &history.epochs {
            held.take(&views[index], &schema, *epoch);
        }
        let places = held.by_key::<JsonKeys>(&schema, &history.names);
        let twin = Twin::new(&schema, &history.names, false, true);
        let mut twin = Standing(twin);
        held.visit_at(&places, &history.names, &mut twin).unwrap();
        let found = std::fs::read(folder.path().join(format!("{name}.parquet"))).unwrap();
        assert!(found == twin.0.finish(), "the files of {name} differ");
    }
}

fn check_parts(history: &History, part_rows: u64, part_epochs: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut context = context(&history.names, folder.path(), Some("changes"));
    context.settings.set("part_rows", Setting::Count(part_rows), 0..0);
    let out = folder.path().join("out");
    written(PartsSink::open(&context, &out, part_epochs).unwrap(), history);
    for (index, (name, _, schema)) in views().into_iter().enumerate() {
        let epochs = || history.epochs.iter().map(|(epoch, views)| (*epoch, &views[index]));
        let plain = |first: u64, last: u64| {
            let mut twin = Twin::new(&schema, &history.names, true, true);
            for (epoch, changes) in epochs().filter(|(epoch, _)| (first..=last).contains(&epoch.0))
            {
                visit_changes(changes, &schema, &history.names, epoch, &mut twin).unwrap();
            }
            twin
        };
        let mut expected = Vec::new();
        for (first, last) in ranges(history, part_rows, part_epochs) {
            let twin = plain(first, last);
            if twin.has_rows {
                expected.push((format!("{first:020}-{last:020}.parquet"), twin.finish()));
            }
        }
        let parts = parts_of(folder.path(), name);
        let name_of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = parts.iter().map(|path| (name_of(path), std::fs::read(path).unwrap()));
        assert!(found.eq(expected), "the parts of {name} differ");
        // And one behind the other they are what one file of everything holds.
        let whole = folder.path().join("whole.parquet");
        std::fs::write(&whole, plain(0, u64::MAX).finish()).unwrap();
        let rows: Vec<_> = parts.iter().flat_map(|path| rows_of(path)).collect();
        assert!(rows == rows_of(&whole), "the changes of {name} differ");
    }
}

/// Takes rows by column and writes nothing.
struct ByColumn<'a>(Columns, &'a Names);

impl Visit for ByColumn<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        self.0.push(rows, self.1).unwrap();
        if self.0.n_rows() >= BATCH_ROWS {
            self.0.batch().unwrap();
        }
        Ok(())
    }
}

/// Takes rows by column, a cell at a time.
struct ByCell<'a>(Columns, &'a Names);

impl Visit for ByCell<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        use types::relations::TakeColumn as _;
        for index in 0..self.0.len() {
            let cells = rows.iter().map(|shown| shown.row.cell(index, self.1));
            self.0.column(index).unwrap().take(cells).unwrap();
        }
        self.0.end_rows(rows.len());
        if self.0.n_rows() >= BATCH_ROWS {
            self.0.batch().unwrap();
        }
        Ok(())
    }
}

fn cost(held: &Held, visitor: &mut impl Visit) -> u64 {
    let start = many::cpu_us();
    held.visit(visitor).unwrap();
    many::cpu_us() - start
}

#[test]
#[ignore = "prints what columns cost: run it alone, in a release build"]
fn what_columns_cost() {
    let n_rows = 1_000_000;
    let (names, changes) = many::positions(n_rows);
    let schema = RelationKind::Positions.schema().unwrap();
    let mut held = Held::new(RelationKind::Positions);
    held.take(&changes, &schema, Epoch(1));
    drop(changes);
    let mut least = [u64::MAX; 4];
    for _ in 0..9 {
        let costs = [
            cost(&held, &mut Twin::new(&schema, &names, false, false)),
            cost(&held, &mut ByColumn(Columns::new(&schema, false), &names)),
            cost(&held, &mut ByCell(Columns::new(&schema, false), &names)),
            cost(&held, &mut Twin::new(&schema, &names, false, true)),
        ];
        least = std::array::from_fn(|way| least[way].min(costs[way]));
    }
    let [by_row, by_column, by_cell, file] = least;
    println!(
        "{n_rows} positions, CPU us: by row {by_row}, by column {by_column} ({} %), by column through \
         cells {by_cell}, by row with the file {file}",
        by_column * 100 / by_row,
    );
}
