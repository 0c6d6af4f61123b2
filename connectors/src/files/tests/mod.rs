//! Files in, drafts and rejects out.
#![expect(clippy::indexing_slicing, reason = "a test that misses its row must stop")]

mod damage;
mod mapping;
mod order;
mod real;

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use types::Schema;
use types::event::Cell;
use types::relations::{InputColumn, InputKind, RelationKind};

use crate::error::ConnectError;
use crate::source::{
    FileSource, Format, From, Mapping, Order, Record, RowRef, RowStream, Rows, open,
};

/// A source of `fills` in a folder, with nothing mapped.
fn fills(folder: &Path, path: &str) -> FileSource {
    source_of(RelationKind::Fills, folder, path)
}

fn source_of(relation: RelationKind, folder: &Path, path: &str) -> FileSource {
    let none = Schema { columns: Vec::new(), n_key: 0, time: None };
    let columns: Vec<InputColumn> = relation.input_columns(&none);
    let key = ["venue", "wallet", "asset", "id"];
    let is_key = |name: &str| key.contains(&name);
    FileSource {
        unlisted: Vec::new(),
        name: "s".to_owned(),
        format: if path.contains(".jsonl") { Format::Jsonl } else { Format::Csv },
        base: folder.to_owned(),
        path: path.to_owned(),
        order: Order::Arrival,
        key_columns: (0..columns.len()).filter(|i| is_key(&columns[*i].name)).collect(),
        columns: columns.into(),
        mapping: std::collections::BTreeMap::new(),
        op: None,
        identity: Vec::new(),
        quote_asset: None,
        delimiter: b',',
    }
}

fn index(source: &FileSource, name: &str) -> usize {
    source.columns.iter().position(|c| c.name == name).unwrap()
}

fn set(source: &mut FileSource, name: &str, mapping: Mapping) {
    let index = index(source, name);
    source.mapping.insert(index, mapping);
}

fn column(name: &str) -> Mapping {
    Mapping::plain(From::Column(name.to_owned()))
}

fn constant(text: &str) -> Mapping {
    Mapping::plain(From::Constant(text.to_owned()))
}

/// Maps every needed column but those named onto a constant.
fn constants_but(source: &mut FileSource, but: &[&str]) {
    for (name, text) in [
        ("venue", "v"),
        ("wallet", "w"),
        ("asset", "a"),
        ("side", "buy"),
        ("size", "1"),
        ("event_time", "2026-01-01T00:00:00Z"),
    ] {
        if !but.contains(&name) {
            set(source, name, constant(text));
        }
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a stream gave: each row's record, and the error that ended it.
fn drain(stream: &mut dyn RowStream) -> (Vec<Record>, Option<ConnectError>) {
    // Small batches, so that many of them meet.
    let (mut records, mut rows) = (Vec::new(), Rows::part_of(100));
    loop {
        let read = stream.read(&mut rows);
        records.extend((0..rows.len()).map(|i| record(rows.get(i).unwrap())));
        match read {
            Ok(true) => assert!(!rows.is_empty(), "a batch of nothing"),
            Ok(false) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

/// A row of its own.
fn record(row: RowRef<'_>) -> Record {
    let RowRef { row, line, cells, reject, bytes } = row;
    let draft = types::event::Draft {
        op: cells.op,
        cells: cells.cells.to_vec(),
        text: cells.texts.to_owned(),
        seq_is_mapped: cells.seq_is_mapped,
    };
    Record { row, line, draft, reject: reject.cloned(), bytes: bytes.to_vec() }
}

/// The rows of a source that is read to its end.
fn rows(source: &FileSource) -> Vec<Record> {
    let mut all = Vec::new();
    for mut stream in open(source).unwrap() {
        let (records, error) = drain(stream.as_mut());
        assert!(error.is_none(), "{error:?}");
        all.extend(records);
    }
    all
}

/// A cell as text.
fn shown(source: &FileSource, record: &Record, name: &str) -> String {
    let column = index(source, name);
    match record.draft.cells[column] {
        Cell::Null => "null".to_owned(),
        Cell::Text(..) => record.draft.view().text(column).unwrap().to_owned(),
        Cell::Word(place) => match source.columns[column].kind {
            InputKind::Word(words, _) => words[usize::from(place)].to_owned(),
            kind => panic!("a word for {kind:?}"),
        },
        Cell::Nano(_) | Cell::Wide(_) => {
            types::Decimal::new(record.draft.view().nano(column).unwrap(), 9).to_string()
        }
        Cell::Count(count) => count.to_string(),
        Cell::Time(time) => time.to_string(),
        Cell::Bool(flag) => flag.to_string(),
    }
}

/// A row as text: its cells that aren't null, or why it was refused.
fn told(source: &FileSource, record: &Record) -> String {
    if let Some((reject, source_column)) = &record.reject {
        let column = reject.column.as_deref().unwrap_or("-");
        let source_column = source_column.as_deref().unwrap_or("-");
        return format!("{} {column} {source_column}", reject.reason.code());
    }
    let cells: Vec<String> = source
        .columns
        .iter()
        .map(|c| (c, shown(source, record, &c.name)))
        .filter(|(_, text)| text != "null")
        .map(|(c, text)| format!("{}={text}", c.name))
        .collect();
    format!("{:?} {}", record.draft.op, cells.join(" "))
}
