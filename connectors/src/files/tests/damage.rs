//! Bytes that nobody meant as rows.

use proptest::prelude::*;

use super::*;
use crate::files::limits::ROW_BYTES_MAX;

const CSV: &str = "venue,wallet,asset,id,side,price,size,event_time\n";

fn csv_rows(n: usize) -> String {
    let row = |i: usize| format!("v,w{i},a,{i},buy,0.{i},1,2026-01-01T00:00:{:02}Z\n", i % 60);
    std::iter::once(CSV.to_owned()).chain((0..n).map(row)).collect()
}

#[test]
fn a_gzip_that_is_cut_gives_the_rows_before_the_cut_and_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // Two members, one behind the other, as logs are appended.
    let (first, second) = (csv_rows(12), csv_rows(30).replace(CSV, ""));
    let whole = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    let n_first = gzip(first.as_bytes()).len();
    let source = fills(folder.path(), "f.csv.gz");
    write(folder.path(), "f.csv.gz", &whole);
    let all: Vec<String> = rows(&source).iter().map(|r| told(&source, r)).collect();
    assert_eq!(all.len(), 42);
    let mut n_most = 0;
    for length in 0..whole.len() {
        write(folder.path(), "f.csv.gz", &whole[..length]);
        let (given, error) = match open(&source) {
            Err(error) => (Vec::new(), Some(error)),
            Ok(mut streams) => drain(streams[0].as_mut()),
        };
        let given: Vec<String> = given.iter().map(|r| told(&source, r)).collect();
        assert_eq!(given, all[..given.len()], "cut at {length}");
        n_most = n_most.max(given.len());
        if length == n_first {
            // A member that ends is an end: nothing says that another was to follow.
            assert!(error.is_none());
            assert_eq!(given.len(), 12);
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("no error when cut at {length}"));
        assert!(error.to_string().contains("f.csv.gz"), "{error}");
        assert!(length < n_first || given.len() >= 12, "cut at {length}");
        if !given.is_empty() {
            assert!(error.to_string().contains(&format!("row {}", given.len())), "{error}");
        }
    }
    assert_eq!(n_most, 42, "a cut in the checksum leaves all rows");
}

#[test]
fn a_gzip_that_is_changed_never_gives_other_rows_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(csv_rows(20).as_bytes());
    let source = fills(folder.path(), "f.csv.gz");
    for at in 10..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        write(folder.path(), "f.csv.gz", &changed);
        let error = match open(&source) {
            Err(error) => Some(error),
            Ok(mut streams) => drain(streams[0].as_mut()).1,
        };
        assert!(error.is_some(), "changed at {at}");
    }
}

#[test]
fn what_is_named_gz_and_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let source = fills(folder.path(), "f.csv.gz");
    write(folder.path(), "f.csv.gz", csv_rows(3).as_bytes());
    assert!(open(&source).is_err());
    // And what is one needs no name.
    let source = fills(folder.path(), "f.csv");
    write(folder.path(), "f.csv", &gzip(csv_rows(3).as_bytes()));
    assert_eq!(rows(&source).len(), 3);
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("f.csv");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    for path in ["f.csv", "f.cs*", "/dev/null"] {
        let error = open(&fills(folder.path(), path)).err().unwrap();
        let cause = error.source.as_ref().map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("not a regular file"), "{path}");
    }
}

#[test]
fn progress_counts_the_bytes_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("f.csv", csv_rows(50).into_bytes()), ("g.csv.gz", gzip(csv_rows(50).as_bytes()))]
    {
        write(folder.path(), name, &bytes);
        let mut streams = open(&fills(folder.path(), name)).unwrap();
        assert_eq!(drain(streams[0].as_mut()).0.len(), 50);
        let length = u64::try_from(bytes.len()).unwrap();
        assert_eq!(streams[0].progress(), (length, length));
    }
}

#[test]
fn an_open_quote_costs_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let source = fills(folder.path(), "f.csv");
    let text = format!("{}v,\"w,a,1,buy\n{}", csv_rows(2), csv_rows(3).replace(CSV, ""));
    write(folder.path(), "f.csv", text.as_bytes());
    let records = rows(&source);
    let refused: Vec<(u64, u64)> =
        records.iter().filter(|r| r.reject.is_some()).map(|r| (r.row, r.line)).collect();
    assert_eq!((records.len(), refused), (6, vec![(3, 4)]));
    assert_eq!(records[2].bytes, b"v,\"w,a,1,buy");
    assert_eq!((records[5].row, records[5].line), (6, 7));
}

#[test]
fn rows_that_are_too_long_are_refused_without_being_held() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(3 * ROW_BYTES_MAX);
    for (name, text) in [
        ("f.csv", format!("{}{long}\n{}", csv_rows(1), csv_rows(1).replace(CSV, ""))),
        ("f.jsonl", format!("{{}}\n{{\"venue\":\"{long}\"}}\n{{}}")),
    ] {
        write(folder.path(), name, text.as_bytes());
        let mut source = fills(folder.path(), name);
        constants_but(&mut source, &[]);
        let records = rows(&source);
        let refused: Vec<bool> = records.iter().map(|r| r.reject.is_some()).collect();
        assert_eq!(refused, [false, true, false], "{name}");
        assert_eq!(records[1].bytes.len(), ROW_BYTES_MAX);
        assert!(records[1].reject.as_ref().unwrap().0.detail.contains("bytes"));
        assert_eq!((records[2].row, records[2].line), (3, if name == "f.csv" { 4 } else { 3 }));
    }
}

#[test]
fn rows_longer_than_a_buffer_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x\n".repeat(200 << 10);
    let text = format!("c,side\n\"{long}\",buy\n1,sell\n");
    for (name, bytes) in [("f.csv", text.clone().into_bytes()), ("f.csv.gz", gzip(text.as_bytes()))]
    {
        write(folder.path(), name, &bytes);
        let mut source = fills(folder.path(), name);
        constants_but(&mut source, &["side"]);
        let records = rows(&source);
        let sides: Vec<String> = records.iter().map(|r| shown(&source, r, "side")).collect();
        assert_eq!(sides, ["buy", "sell"]);
        assert_eq!(records[1].line, (200 << 10) + 3);
        assert_eq!(records[0].bytes.len(), long.len() + 6);
    }
}

#[test]
fn a_wrong_number_of_fields_is_the_rows_fault() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f.csv", b"c,d\n1\n1,2\n1,2,3\n\xff,2\n");
    let mut source = fills(folder.path(), "f.csv");
    constants_but(&mut source, &[]);
    set(&mut source, "market", column("c"));
    let records = rows(&source);
    let details: Vec<&str> =
        records.iter().filter_map(|r| r.reject.as_ref()).map(|(r, _)| &*r.detail).collect();
    assert_eq!(details, ["1 fields, the header has 2", "3 fields, the header has 2", "not UTF-8"]);
    assert_eq!(told(&source, &records[3]), "unreadable_row market c");
}

/// Pieces from which files are made that are nearly right.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..12),
        6 => prop::sample::select(vec![
            "v", ",", "\"", "\n", "\r\n", "buy", "0.5", "2026-01-01T00:00:00Z", "{", "}", "[", ":",
            "{\"venue\":\"v\"}", "\"size\"", "null", "bust", "\\", "1e5", "v,w,a,1,buy,0.5,1,x\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn bytes_never_panic_and_each_row_is_a_draft_or_a_reject(
        pieces in prop::collection::vec(piece(), 0..30),
        is_json: bool, is_gzip: bool, is_raw: bool, order in 0usize..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let body = pieces.concat();
        let text = if is_json { body } else { [CSV.as_bytes(), &body].concat() };
        let kind = if is_json { "jsonl" } else { "csv" };
        let name = format!("f.{kind}{}", if is_gzip { ".gz" } else { "" });
        write(folder.path(), &name, &if is_gzip && !is_raw { gzip(&text) } else { text.clone() });
        let mut source = fills(folder.path(), &name);
        source.order = [Order::Arrival, Order::NewestFirst, Order::Unsorted][order];
        let Ok(mut streams) = open(&source) else { return Ok(()) };
        let (records, error) = drain(streams[0].as_mut());
        prop_assert!(error.is_none() || is_gzip || text.starts_with(&[0x1f, 0x8b]));
        for record in &records {
            let is_draft = record.draft.cells.len() == source.columns.len();
            prop_assert_eq!(is_draft, record.reject.is_none());
        }
        // Every row is given once, whatever the order.
        let mut numbers: Vec<u64> = records.iter().map(|r| r.row).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.iter().copied().eq(1..=u64::try_from(records.len()).unwrap()));
    }
}
