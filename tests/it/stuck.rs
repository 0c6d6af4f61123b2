//! A sink that stands still stops the reader, and what is between them stays bounded.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use connectors::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport};
use connectors::{ConnectError, SINKS};
use tapeline::config::{self, Purpose, Registry};
use tapeline::engine::{self, Begin, RunOptions};
use tapeline::stop::Stop;

/// Whether the sink goes on.
static GOES_ON: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

struct Stuck;

impl Sink for Stuck {
    fn write(&mut self, _changes: &EpochChanges) -> Result<(), ConnectError> {
        let goes_on = GOES_ON.0.lock().unwrap();
        drop(GOES_ON.1.wait_while(goes_on, |goes_on| !*goes_on).unwrap());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        Ok(SinkReport::default())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the contract of sinks")]
fn open(_context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    Ok(Box::new(Stuck))
}

const CONFIG: &str = r#"
[pipeline]
name = "stuck"
epoch = { max_events = 10 }
[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "x" }
event_time = { column = "time", unit = "ms" }
[views.positions]
op = "avg_cost"
input = "fills"
[sinks.stuck]
type = "stuck"
views = ["positions"]
"#;

const N_FILLS: u64 = 3_000;
/// Rows that queues and stages hold at most: 16 epochs on the way through the workers, 16 at the sink,
/// one before each, and the one that the reader makes, of 10 rows each.
const N_HELD_MAX: u64 = 350;

#[test]
fn a_stuck_sink_stops_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = "wallet,asset,id,side,price,size,time\n".to_owned();
    for id in 0..N_FILLS {
        let time = 1_767_571_200_000 + id;
        writeln!(rows, "w{},a{},{id},buy,0.5,1,{time}", id % 7, id % 3).unwrap();
    }
    std::fs::write(folder.path().join("fills.csv"), rows).unwrap();
    let path = folder.path().join("stuck.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let jsonl = SINKS.iter().find(|sink| sink.name == "jsonl").unwrap();
    let kind =
        SinkKind { name: "stuck", help: "", options: jsonl.options, check: jsonl.check, open };
    let registry = Registry { sinks: Box::leak(Box::new([kind])), ..Registry::compiled() };
    let plan = config::load_with(&path, &|_| None, &registry, Purpose::Run).unwrap();

    let n_read = AtomicU64::new(0);
    let summary = std::thread::scope(|scope| {
        let n_read = &n_read;
        let running = scope.spawn(move || {
            let options = RunOptions {
                env: std::sync::Arc::new(tapeline::env::System),
                stop: Stop::new(),
                begin: Begin::GoOn,
                n_newest: 5,
                progress: &mut |progress| n_read.store(progress.n_rows, Ordering::Relaxed),
                listening: &mut |_| {},
                hold: &mut |_| {},
            };
            engine::run(plan, options).unwrap()
        });
        // Until nothing is read for a while.
        let mut last = 0;
        loop {
            std::thread::sleep(Duration::from_millis(700));
            let now = n_read.load(Ordering::Relaxed);
            if now > 0 && now == last {
                break;
            }
            last = now;
        }
        assert!(last <= N_HELD_MAX && !running.is_finished(), "{last} rows were read");
        *GOES_ON.0.lock().unwrap() = true;
        GOES_ON.1.notify_all();
        running.join().unwrap()
    });
    assert_eq!(summary.counts.applied, N_FILLS);
    assert_eq!(summary.views[0].n_rows, 21);
}
