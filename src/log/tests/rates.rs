//! What it costs. Figures worth reading: `TAPELINE_LOG_RATES=1 cargo test --release --lib log::tests::rates
//! -- --nocapture`; without the variable it does a thousandth, to see that all of it works.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::*;
use crate::env::Stopwatch;
use crate::env::{Disk, Files};
use crate::log::record::{encode, seed};

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "rates to be read")]
fn tell(what: &str, n: u64, n_bytes: u64, watch: Stopwatch) {
    let seconds = watch.elapsed().as_secs_f64();
    let (records, megabytes) = (n as f64 / seconds, n_bytes as f64 / seconds / 1e6);
    println!("{what}: {records:.0} records/s, {megabytes:.0} MB/s");
}

#[test]
fn rates() {
    let part = if std::env::var_os("TAPELINE_LOG_RATES").is_some() { 1 } else { 1000 };
    let payload = [7; 100];
    let mut bytes = Vec::with_capacity(64 << 20);
    let (n, watch) = (500_000 / part, Stopwatch::start());
    for number in 1..=n {
        encode(&Record { number, kind: 0, payload: &payload }, 1, seed(LOG_ID, 1), &mut bytes);
    }
    tell("encoding", n, wide(bytes.len()), watch);

    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let files: Arc<dyn Files> = Arc::new(Disk::open(folder.path()).unwrap());
    for (what, sync) in [("written, no sync", Sync::None), ("written and synced", Sync::Data)] {
        let found = recover(&*files, LOG_ID).unwrap();
        let options = Options { sync, ..Options::default() };
        let mut writer = Writer::start(Arc::clone(&files), LOG_ID, &found, options).unwrap();
        let (n, watch) = (2_000_000 / part, Stopwatch::start());
        for _ in 0..n {
            writer.append(0, &payload).unwrap();
        }
        writer.finish().unwrap();
        tell(what, n, n * 121, watch);
    }
    let watch = Stopwatch::start();
    let records = recover(&*files, LOG_ID).unwrap().records;
    tell("checking", records.end - 1, (records.end - 1) * 121, watch);
    let watch = Stopwatch::start();
    let mut reader = Reader::open(Arc::clone(&files), LOG_ID, records.clone()).unwrap();
    let mut n_bytes = 0;
    while let Some(record) = reader.next_record().unwrap() {
        n_bytes += wide(record.payload.len());
    }
    tell("reading", records.end - 1, n_bytes, watch);
    assert_eq!(n_bytes, 2 * (2_000_000 / part) * 100, "all that was appended is read");

    // A source that waits for so many records at a time.
    for group in [1, 16, 256, 4096] {
        let found = recover(&*files, LOG_ID).unwrap();
        let mut writer =
            Writer::start(Arc::clone(&files), LOG_ID, &found, options(64 << 20)).unwrap();
        let (n, watch) = (2000.max(group * 50) / part, Stopwatch::start());
        for number in 1..=n {
            let appended = writer.append(0, &payload).unwrap();
            if number % group == 0 {
                writer.durable().wait_for(appended).unwrap();
            }
        }
        tell(&format!("acknowledged by {group}"), n, n * 121, watch);
        writer.finish().unwrap();
    }
}

/// How long a record waits until it is kept, and how long a file's own sync takes. They take turns, so
/// that a slow moment of the disk meets both.
#[test]
fn waiting() {
    let n = if std::env::var_os("TAPELINE_LOG_RATES").is_some() { 4_000 } else { 4 };
    for (what, n_beside) in [("nothing", 0), ("10,000 records/s", 10), ("100,000 records/s", 100)] {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let files: Arc<dyn Files> = Arc::new(Disk::open(&folder.path().join("log")).unwrap());
        let found = recover(&*files, LOG_ID).unwrap();
        let writer = Writer::start(files, LOG_ID, &found, options(64 << 20)).unwrap();
        let durable = writer.durable();
        let (writer, is_done) = (Mutex::new(writer), AtomicBool::new(false));
        let append = || writer.lock().unwrap().append(0, &[7; 100]).unwrap();
        let mut of_log = Histogram::<u64>::new(3).unwrap();
        let mut of_file = of_log.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while n_beside > 0 && !is_done.load(Ordering::Relaxed) {
                    for _ in 0..n_beside {
                        append();
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let mut file = std::fs::File::create(folder.path().join("alone")).unwrap();
            for _ in 0..n {
                let watch = Stopwatch::start();
                durable.wait_for(append()).unwrap();
                of_log.record(u64::try_from(watch.elapsed().as_micros()).unwrap()).unwrap();
                let watch = Stopwatch::start();
                file.write_all(&[7; 100]).unwrap();
                file.sync_data().unwrap();
                of_file.record(u64::try_from(watch.elapsed().as_micros()).unwrap()).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        let at = |of: &Histogram<u64>| [0.5, 0.99].map(|quantile| of.value_at_quantile(quantile));
        let ([p50, p99], [disk50, disk99]) = (at(&of_log), at(&of_file));
        println!(
            "acknowledged beside {what}: p50 {p50} us, p99 {p99} us; the disk's own sync {disk50} and \
             {disk99} us (1 ms and three of those: {} us)",
            1_000 + 3 * disk99
        );
        writer.into_inner().unwrap().finish().unwrap();
    }
}
