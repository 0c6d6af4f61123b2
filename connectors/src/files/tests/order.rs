//! Backwards and by time, against plain sorts in memory.

use proptest::prelude::*;
use types::VenueTime;

use super::*;
use crate::files::paths::expand;
use crate::files::stream::FileStream;

/// A row of the test: a second of the day, or none that can be read.
fn row(index: usize, second: Option<u8>) -> String {
    let time = second.map_or("never".to_owned(), |s| format!("2026-01-01T00:00:{s:02}Z"));
    // Every third row spans two lines.
    let market = if index.is_multiple_of(3) { "\"a\nb\"" } else { "a" };
    format!("v,w,a,{index},buy,1,1,{time},{market}\n")
}

fn in_order(source: &FileSource, sort_bytes_max: usize) -> Vec<Record> {
    let file = expand(source).unwrap().remove(0);
    let mut stream = FileStream::open(source, file, sort_bytes_max).unwrap();
    let (records, error) = drain(&mut stream);
    assert!(error.is_none());
    records
}

/// The time by which a row is sorted.
fn time_of(record: &Record, column: usize) -> VenueTime {
    match record.draft.cells.get(column) {
        Some(Cell::Time(time)) => *time,
        _ => VenueTime::MIN,
    }
}

/// All that the order must keep.
fn kept(source: &FileSource, record: &Record) -> (u64, u64, Vec<u8>, String) {
    let told = told(source, record);
    let told = told.split(" seq=").next().unwrap_or_default().to_owned();
    (record.row, record.line, record.bytes.clone(), told)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn orders_equal_sorts_in_memory_when_runs_spill(
        seconds in prop::collection::vec(prop::option::weighted(0.9, 0u8..6), 0..60),
        sort_bytes_max in 0usize..4000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let header = "venue,wallet,asset,id,side,price,size,event_time,market\n".to_owned();
        let rows_of = seconds.iter().enumerate().map(|(i, s)| row(i, *s));
        let text: String = std::iter::once(header).chain(rows_of).collect();
        write(folder.path(), "f.csv", text.as_bytes());
        let mut source = fills(folder.path(), "f.csv");
        let time = index(&source, "event_time");
        let arrival = rows(&source);
        for order in [Order::NewestFirst, Order::Unsorted] {
            source.order = order;
            let mut twin: Vec<&Record> = arrival.iter().collect();
            match order {
                Order::NewestFirst => twin.reverse(),
                _ => twin.sort_by_key(|r| (time_of(r, time), r.row)),
            }
            let twin: Vec<_> = twin.into_iter().map(|r| kept(&source, r)).collect();
            let ours = in_order(&source, sort_bytes_max);
            // The reading position counts in the order of reading.
            for (position, record) in ours.iter().enumerate() {
                prop_assert!(
                    record.reject.is_some() || shown(&source, record, "seq") == position.to_string()
                );
            }
            prop_assert_eq!(ours.iter().map(|r| kept(&source, r)).collect::<Vec<_>>(), twin);
        }
    }
}

#[test]
fn faults_of_frames_survive_sorting() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(2 << 20);
    let text = format!("c,side\n1,buy\n{long}\n2,sell\n3,\"open\n");
    write(folder.path(), "f.csv", text.as_bytes());
    let mut source = fills(folder.path(), "f.csv");
    constants_but(&mut source, &["side"]);
    let details = |source: &FileSource| -> Vec<Option<String>> {
        let records = in_order(source, 100);
        records.into_iter().map(|r| r.reject.map(|(reject, _)| reject.detail)).collect()
    };
    let mut arrival = details(&source);
    assert_eq!(arrival.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, true]);
    arrival.reverse();
    source.order = Order::NewestFirst;
    assert_eq!(details(&source), arrival);
}
