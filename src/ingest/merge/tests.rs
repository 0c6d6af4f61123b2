//! The merge behind its readers against taking, row by row, the stream that is first.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::Path;

use connectors::source::{FileSource, Format, Order, open};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use types::relations::RelationKind;

use super::*;

/// A row of the test: a second, or none that can be read.
type Row = Option<u8>;

fn source(folder: &Path, name: &str, path: &str) -> FileSource {
    let schema = RelationKind::Fills.schema().expect("fills are built in");
    FileSource {
        unlisted: Vec::new(),
        name: name.to_owned(),
        format: Format::Csv,
        base: folder.to_owned(),
        path: path.to_owned(),
        order: Order::Arrival,
        key_columns: Vec::new(),
        columns: RelationKind::Fills.input_columns(&schema).into(),
        mapping: BTreeMap::new(),
        op: None,
        identity: Vec::new(),
        quote_asset: None,
        delimiter: b',',
    }
}

fn text(rows: &[Row]) -> String {
    let mut text = "venue,wallet,asset,id,side,price,size,event_time\n".to_owned();
    for (i, second) in rows.iter().enumerate() {
        let time = second.map_or("never".to_owned(), |s| format!("2026-01-01T00:00:{s:02}Z"));
        text.extend(["v,w,a,", &i.to_string(), ",buy,1,1,", &time, "\n"]);
    }
    text
}

/// Source, path and row of each row in order, and whether an error ended it.
fn merged(
    sources: &[FileSource],
    ranks: [usize; 3],
    n_max: usize,
) -> (Vec<(usize, String, u64)>, bool) {
    let mut streams = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for rows in open(source).unwrap() {
            let name = source.name.clone();
            streams.push(MergedStream { rows, source: index, name, rank: ranks[index] });
        }
    }
    let Ok(mut merge) = Merge::new(streams) else { return (Vec::new(), true) };
    let mut order = Vec::new();
    loop {
        let Ok(is_at_replayed) = merge.is_at_replayed() else { return (order, true) };
        match merge.next_rows(n_max) {
            Ok(Some(merged)) => {
                assert_eq!(is_at_replayed, ranks[merged.source] > 0);
                assert!((1..=n_max).contains(&merged.n_rows()));
                for index in 0..merged.n_rows() {
                    let row = merged.get(index).unwrap();
                    order.push((merged.source, merged.path.to_owned(), row.row));
                }
            }
            Ok(None) => {
                let (done, all) = merge.progress();
                assert_eq!(done, all, "all bytes are read at the end");
                return (order, false);
            }
            Err(_) => return (order, true),
        }
    }
}

/// The same by SEMANTICS section 4, word for word; a source of a higher rank comes behind the others.
fn twin(
    files: &BTreeMap<(usize, String), Vec<Row>>,
    ranks: [usize; 3],
) -> Vec<(usize, String, u64)> {
    let mut left: BTreeMap<_, VecDeque<(u64, Row)>> = BTreeMap::new();
    for (file, rows) in files {
        left.insert(file.clone(), (1..).zip(rows.iter().copied()).collect());
    }
    let mut greatest: BTreeMap<(usize, String), u8> = BTreeMap::new();
    let mut order = Vec::new();
    loop {
        let first = left.iter().filter_map(|(file, rows)| {
            let (_, second) = rows.front()?;
            let so_far = greatest.get(file).copied().unwrap_or(0);
            let time = second.map_or(so_far, |s| so_far.max(s + 1));
            Some((ranks[file.0], time, file.clone()))
        });
        let Some((_, time, file)) = first.min() else { return order };
        greatest.insert(file.clone(), time);
        let (row, _) = left.get_mut(&file).and_then(VecDeque::pop_front).unwrap();
        order.push((file.0, file.1, row));
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let some = prop::collection::vec(prop::option::weighted(0.9, 0u8..60), 0..12);
    // More than a batch holds, and more than all batches of a stream.
    let many = (0usize..6000, 0u8..60).prop_map(|(n, second)| vec![Some(second); n]);
    prop_oneof![6 => some, 1 => many]
}

/// Writes files of some sources, each with its rows, and merges them.
fn check(files: Vec<(usize, Vec<Row>)>, ranks: [usize; 3], n_max: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    for (i, (source, rows)) in files.into_iter().enumerate() {
        let path = format!("s{source}-{i:02}.csv");
        std::fs::write(folder.path().join(&path), text(&rows)).unwrap();
        expected.insert((source, path), rows);
    }
    let is_fed = |source: &usize| expected.keys().any(|(s, _)| s == source);
    // Sources are named so that their names sort as they do; one that has no file is left out.
    let indices: Vec<usize> = (0..3).filter(is_fed).collect();
    let sources: Vec<FileSource> = indices
        .iter()
        .map(|i| source(folder.path(), &format!("s{i}"), &format!("s{i}-*.csv")))
        .collect();
    let mut of_index = [0; 3];
    indices.iter().zip(&mut of_index).for_each(|(source, rank)| *rank = ranks[*source]);
    let (order, failed) = merged(&sources, of_index, n_max);
    let order: Vec<_> = order.into_iter().map(|(s, path, row)| (indices[s], path, row)).collect();
    assert!(!failed);
    assert!(order == twin(&expected, ranks), "another order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows_come_by_time_then_source_path_and_row(
        files in prop::collection::vec((0usize..3, rows()), 1..24),
        ranks in prop::array::uniform3(0usize..3),
        n_max in prop_oneof![Just(1), 1usize..9, Just(10_000)],
    ) {
        check(files, ranks, n_max);
    }
}

#[test]
fn a_damaged_file_fails_behind_its_last_row_and_no_row_later() {
    let folder = tempfile::tempdir().unwrap();
    let whole: Vec<Row> = vec![Some(10); 5000];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text(&whole).as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    std::fs::write(folder.path().join("a.csv.gz"), &gzip[..gzip.len() - 4]).unwrap();
    // Rows that stand before and behind the damaged file's.
    let other: Vec<Row> = [vec![Some(1); 2000], vec![Some(30); 10]].concat();
    std::fs::write(folder.path().join("b.csv"), text(&other)).unwrap();
    let sources = ["a.csv.gz", "b.csv"].map(|path| source(folder.path(), "s", path));
    let (order, failed) = merged(&sources, [0; 3], 1_000);
    assert!(failed);
    assert_eq!(order.len(), 7000);
    assert_eq!(order.last(), Some(&(0, "a.csv.gz".to_owned(), 5000)));
}
