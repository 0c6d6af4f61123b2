//! Files read back with the reader of the same crate.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use types::options::Setting;
use types::value::Float;
use types::{Column, Decimal, Schema, Text, Value, VenueTime, json};

use crate::sinks::tests::{context, history, open, views, write};

fn read(path: &Path) -> (SchemaRef, Vec<RecordBatch>) {
    let file = File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(builder.schema());
    (schema, builder.build().unwrap().map(Result::unwrap).collect())
}

/// All values of a file, row by row.
pub(super) fn rows_of(path: &Path) -> Vec<Vec<Value>> {
    let (_, batches) = read(path);
    let row = |(batch, row): (&RecordBatch, usize)| {
        batch.columns().iter().map(|column| value(column, row)).collect()
    };
    rows(&batches).map(row).collect()
}

/// The parts of a view, as whoever globs them finds them.
pub(super) fn parts_of(folder: &Path, view: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("out").join(view)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "parquet"));
    paths.sort();
    paths
}

/// The value of a cell.
fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::UInt64 => Value::from(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Decimal128(38, 9) => {
            Value::Number(Decimal::new(array.as_primitive::<Decimal128Type>().value(row), 9))
        }
        DataType::Float64 => {
            Value::Float(Float::new(array.as_primitive::<Float64Type>().value(row)).unwrap())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) if zone.as_ref() == "UTC" => {
            let nanos = array.as_primitive::<TimestampNanosecondType>().value(row);
            Value::Time(VenueTime::from_nanos(nanos))
        }
        DataType::Utf8 => Value::Text(Text::from(array.as_string::<i32>().value(row))),
        other => panic!("no column of ours is {other}"),
    }
}

/// The JSON text of a row's first columns.
fn text(batch: &RecordBatch, row: usize, columns: &[Column]) -> String {
    let mut out = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b"," });
        out.extend_from_slice(format!("\"{}\":", column.name).as_bytes());
        json::write_value(&mut out, &value(batch.column(index), row));
    }
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = (&RecordBatch, usize)> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

/// Follows a file of changes: the rows that stand, and each change's epoch and key.
fn replay(
    batches: &[RecordBatch],
    schema: &Schema,
) -> (BTreeMap<String, String>, Vec<(u64, String)>) {
    let (mut state, mut places) = (BTreeMap::new(), Vec::new());
    let (epoch, op) = (schema.columns.len(), schema.columns.len() + 1);
    for (batch, row) in rows(batches) {
        let key = text(batch, row, schema.key());
        if batch.column(op).as_string::<i32>().value(row) == "put" {
            state.insert(key.clone(), text(batch, row, &schema.columns));
        } else {
            assert!(state.remove(&key).is_some(), "{key}");
            let others = &batch.columns()[schema.n_key..epoch];
            assert!(others.iter().all(|column| column.is_null(row)), "{key}");
        }
        places.push((batch.column(epoch).as_primitive::<UInt64Type>().value(row), key));
    }
    (state, places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn final_files_read_back_as_the_state(seed: u64, n_epochs in 0u64..20, n_keys in 1u64..40) {
        let history = history(seed, n_epochs, n_keys);
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open("parquet", context(&history.names, folder.path(), None)).unwrap();
        write(sink.as_mut(), &history);
        sink.finish().unwrap();
        for ((view, _, schema), state) in views().iter().zip(&history.state) {
            let (found, batches) = read(&folder.path().join(format!("out/{view}.parquet")));
            let texts: Vec<String> =
                rows(&batches).map(|(batch, row)| text(batch, row, &schema.columns)).collect();
            prop_assert_eq!(texts, state.values().cloned().collect::<Vec<_>>());
            for (column, field) in schema.columns.iter().zip(found.fields()) {
                prop_assert_eq!(column.name.as_ref(), field.name());
                prop_assert_eq!(column.nullable, field.is_nullable());
            }
        }
    }

    #[test]
    fn changes_lead_to_the_state_in_order(
        seed: u64,
        n_epochs in 0u64..20,
        n_keys in 1u64..40,
        part_rows in 1u64..200,
    ) {
        let history = history(seed, n_epochs, n_keys);
        let folder = tempfile::tempdir().unwrap();
        let mut context = context(&history.names, folder.path(), Some("changes"));
        context.settings.set("part_rows", Setting::Count(part_rows), 0..0);
        let mut sink = open("parquet", context).unwrap();
        write(sink.as_mut(), &history);
        sink.finish().unwrap();
        for ((view, _, schema), expected) in views().iter().zip(&history.state) {
            let parts = parts_of(folder.path(), view);
            let batches: Vec<_> = parts.iter().flat_map(|path| read(path).1).collect();
            let (state, places) = replay(&batches, schema);
            prop_assert_eq!(&state, expected);
            prop_assert!(places.is_sorted_by(|a, b| a < b), "{:?}", places);
        }
    }
}

#[test]
fn more_rows_than_a_batch_come_back() {
    let history = history(1, 4, 12_000);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open("parquet", context(&history.names, folder.path(), None)).unwrap();
    write(sink.as_mut(), &history);
    sink.finish().unwrap();
    let (_, batches) = read(&folder.path().join("out/bars.all.parquet"));
    assert_eq!(rows(&batches).count(), history.state[1].len());
}
