//! What checkpoints add to the time in which an epoch is kept. Figures worth reading:
//! `TAPELINE_PAUSES=1 cargo test --release --lib checkpoint::pauses -- --nocapture`; without the variable
//! it does a hundredth, to see that all of it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use hdrhistogram::Histogram;
use types::names::NewNames;
use types::relations::{RelationKind, Settlement};
use types::{AssetId, Event, Op, Price, VenueTime};

use super::*;
use crate::env::Stopwatch;
use crate::env::{Disk, Files};
use crate::ingest::Counts;
use crate::journal::{Brought, EpochEntry, Journal, parts};
use crate::log::{Options, Sync};

const LOG_ID: u128 = 7;
const EPOCH_EVENTS: u32 = 1_000;
/// So that 50,000 events come a second.
const EPOCH_EVERY: Duration = Duration::from_millis(20);

/// An epoch of settlements, none of which replaces another.
fn events(epoch: u32) -> Vec<Event<Settlement>> {
    let event = |i: u32| Event {
        op: Op::Insert,
        revision: 0,
        is_first: true,
        row: Settlement {
            asset: AssetId(epoch * EPOCH_EVENTS + i),
            payout: Price::ZERO,
            event_time: VenueTime::from_nanos(i64::from(epoch) << 30),
            revision: 0,
        },
    };
    (0..EPOCH_EVENTS).map(event).collect()
}

/// Keeps epochs, one after the other, while checkpoints are made; how long each took, in microseconds.
fn kept(n_epochs: u32, sync: Sync, every: Option<u64>) -> Histogram<u64> {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let files =
        |name: &str| -> Arc<dyn Files> { Arc::new(Disk::open(&folder.path().join(name)).unwrap()) };
    let options = Options { sync, ..Options::default() };
    let journal = Arc::new(Journal::over(files("log"), LOG_ID, options));
    let kind = RelationKind::Settlements;
    let schema = Arc::new(kind.schema().unwrap());
    let name = "settlements".to_owned();
    let relations = vec![RelationSpec { name, kind, schema, has_corrections: true }];
    let confirmed = Arc::new(AtomicU64::new(0));
    let checkpointer = every.map(|every| {
        let how = (Settings::new(every, false), Limits::new(vec![Arc::clone(&confirmed)]));
        let store = Arc::new(Store::new(files("checkpoints")));
        let work = Work::new(store, Arc::clone(&journal), (&relations, 1), how, None);
        Checkpointer::start(work).unwrap()
    });
    let mut taken = Histogram::new(3).unwrap();
    let begin = Stopwatch::start();
    for number in 1..=n_epochs {
        let events = [Events::Settlements(events(number))];
        let epoch = u64::from(number);
        std::thread::sleep((EPOCH_EVERY * number).saturating_sub(begin.elapsed()));
        let watch = Stopwatch::start();
        let (names, watermark, greatest) = (NewNames::default(), 1, vec![1]);
        let brought = Brought { epoch, names, watermark, greatest, refused: Vec::new() };
        let contents = [vec![9; events[0].len()]];
        journal.brought(brought, parts(epoch, &relations, &events, &contents)).unwrap();
        let (sources, counts) = (Vec::new(), Counts::default());
        journal.epoch(EpochEntry { epoch, watermark: 5, sources, names: 0, counts }).unwrap();
        journal.wait_for(epoch).unwrap();
        taken.record(u64::try_from(watch.elapsed().as_micros()).unwrap()).unwrap();
        confirmed.store(epoch, Ordering::Release);
    }
    if let Some(checkpointer) = checkpointer {
        checkpointer.finish(true);
        let made = Store::new(files("checkpoints")).list().unwrap();
        assert!(!made.is_empty(), "no checkpoint was made");
    }
    journal.close().unwrap();
    taken
}

#[test]
fn pauses() {
    let n_epochs = if std::env::var_os("TAPELINE_PAUSES").is_some() { 1_500 } else { 15 };
    for sync in [Sync::None, Sync::Data] {
        for every in [None, Some(1 << 20), Some(16 << 20)] {
            let taken = kept(n_epochs, sync, every);
            let [p50, p99] = [0.5, 0.99].map(|quantile| taken.value_at_quantile(quantile));
            let what = every.map_or("none".to_owned(), |every| format!("every {every} bytes"));
            let longest = taken.max();
            println!(
                "{sync:?}, checkpoints {what}: p50 {p50} us, p99 {p99} us, longest {longest} us"
            );
        }
    }
}
