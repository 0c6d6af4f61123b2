//! What the way of a fill costs: decoding, sequencing, positions and bars in the dataflow, each
//! beside a bare loop over the same events in the same process, and beside a dataflow without views.
//!
//!     cargo bench --bench path                 a million fills
//!     cargo bench --bench path -- 100000       as many as one says
//!     cargo bench --bench path -- --test       few, once: whether it works
//!
//! Ratios are of the best of several runs, so that they hold on a machine that does other work.
#![forbid(unsafe_code)]

mod bare;

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::source::{self, RowRef, Rows};
use dataflows::{Plan, PlanBuilder};
use tapeline::config::{self, EnginePlan};
use tapeline::env::Stopwatch;
use tapeline::ingest::{Batch, Sequencer, SequencerOptions};
use tapeline::runtime;
use types::Names;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_FILLS: u64 = 1_000_000;
const N_FILLS_TEST: u64 = 2_000;
const N_RUNS: usize = 3;
const N_WALLETS: u64 = 1_000;
const N_ASSETS: u64 = 50;

const CONFIG: &str = r#"
[pipeline]
name = "bench"

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "bench" }
event_time = { column = "time", unit = "ms" }
"#;

const POSITIONS: &str = r#"
[views.positions]
op = "avg_cost"
input = "fills"

[sinks.files]
type = "jsonl"
views = ["positions"]
"#;

const BARS: &str = r#"
[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h", "1d"]

[sinks.files]
type = "jsonl"
views = ["bars"]
"#;

fn main() {
    let (mut n_fills, mut n_runs) = (N_FILLS, N_RUNS);
    for argument in std::env::args().skip(1) {
        match (argument.as_str(), argument.parse()) {
            ("--test", _) => (n_fills, n_runs) = (N_FILLS_TEST, 1),
            (_, Ok(n)) => n_fills = n,
            // Cargo adds words of its own.
            _ => {}
        }
    }
    let folder = tempfile::tempdir().expect("a folder for the fills");
    let table = Table { n_fills, n_runs };
    std::fs::write(folder.path().join("fills.csv"), csv(n_fills)).expect("writing the fills");
    let [positions, bars] = [POSITIONS, BARS].map(|view| load(folder.path(), view));
    let (names, batches) = sequence(&positions);
    let n_workers = positions.pipeline.workers;
    let run = |plan: Plan| {
        let plan = Arc::new(plan);
        table.best(|| dataflow(&plan, &names, batches.clone(), n_workers))
    };

    table.row("decode", &table.best(|| timed(|| decode(&positions, |_| ()))), None);
    table.row("decode and sequence", &table.best(|| timed(|| sequence(&positions).1.len())), None);
    let empty = run(PlanBuilder::new(positions.plan.relations.clone()).finish([]));
    table.row("dataflow without views", &empty, None);
    let bare = table.best(|| timed(|| bare::positions(&batches)));
    table.row("bare loop: positions", &bare, None);
    let positions = run(positions.plan);
    assert_eq!(positions.n_rows, bare.n_rows, "positions, and those of the bare loop");
    table.row("dataflow: positions", &positions, Some((&bare, &empty)));
    let bare = table.best(|| timed(|| bare::bars(&batches)));
    table.row("bare loop: bars", &bare, None);
    let bars = run(bars.plan);
    assert_eq!(bars.n_rows, bare.n_rows, "bars, and those of the bare loop");
    table.row("dataflow: bars", &bars, Some((&bare, &empty)));
}

/// How long one run took, and how many rows it left.
struct Measured {
    took: Duration,
    n_rows: usize,
}

/// The table that is printed, and how its lines are measured.
struct Table {
    n_fills: u64,
    n_runs: usize,
}

impl Table {
    fn best(&self, measure: impl Fn() -> Measured) -> Measured {
        let runs = (0..self.n_runs).map(|_| measure());
        runs.min_by_key(|run| run.took).expect("at least one run")
    }

    #[expect(clippy::print_stdout, reason = "the table is what a bench gives")]
    fn row(&self, what: &str, run: &Measured, beside: Option<(&Measured, &Measured)>) {
        let micros = |run: &Measured| run.took.as_micros().max(1);
        let rate = u128::from(self.n_fills) * 1_000_000 / micros(run);
        let ratio = |other: &Measured| {
            let percent = micros(run) * 100 / micros(other);
            format!("{}.{:02}", percent / 100, percent % 100)
        };
        let beside = beside.map_or_else(String::new, |(bare, empty)| {
            format!(", {} x the bare loop, {} x no views", ratio(bare), ratio(empty))
        });
        let millis = run.took.as_millis();
        println!("{what:<24} {rate:>12} events/s {millis:>8} ms {:>8} rows{beside}", run.n_rows);
    }
}

fn timed(work: impl FnOnce() -> usize) -> Measured {
    let watch = Stopwatch::start();
    let n_rows = work();
    Measured { took: watch.elapsed(), n_rows }
}

/// Reads the file; gives how many rows there were.
fn decode(config: &EnginePlan, mut take: impl FnMut(&RowRef<'_>)) -> usize {
    let (mut rows, mut n_rows) = (Rows::default(), 0);
    for source in &config.sources {
        for mut stream in source::open(&source.file).expect("the file is there") {
            let mut has_more = true;
            while has_more {
                has_more = stream.read(&mut rows).expect("the file is whole");
                (0..rows.len()).filter_map(|i| rows.get(i)).for_each(|row| take(black_box(&row)));
                n_rows += rows.len();
            }
        }
    }
    n_rows
}

/// Reads the file and cuts it into epochs.
fn sequence(config: &EnginePlan) -> (Arc<Names>, Vec<Batch>) {
    let max_events = config.pipeline.max_events;
    let options = SequencerOptions { max_events, lateness_nanos: 0, keeps_id_texts: false };
    let mut sequencer = Sequencer::new(&config.plan.relations, options);
    let mut batches = Vec::new();
    decode(config, |row| {
        sequencer.admit(0, row);
        batches.extend(sequencer.cut());
    });
    batches.push(sequencer.finish());
    let counts = sequencer.counts();
    assert_eq!(counts.received, counts.applied, "every row of the bench is good");
    (Arc::clone(sequencer.names()), batches)
}

/// Runs epochs through a dataflow; the rows are those that stand at the end.
fn dataflow(
    plan: &Arc<Plan>,
    names: &Arc<Names>,
    batches: Vec<Batch>,
    n_workers: usize,
) -> Measured {
    let (mut runtime, mut output) =
        runtime::start(plan, names, n_workers).expect("the workers start");
    timed(|| {
        let reader = std::thread::spawn(move || {
            let mut n_rows = 0;
            while let Some(epoch) = output.next() {
                let diffs = epoch.changes.iter().flat_map(|v| (0..v.len()).map(|i| v.diff(i)));
                n_rows += diffs.sum::<isize>();
                output.release();
            }
            n_rows
        });
        for batch in batches {
            runtime.feed(batch).expect("the workers work");
        }
        runtime.finish().expect("the workers end well");
        usize::try_from(reader.join().expect("the reader ends")).expect("no row is owed")
    })
}

/// The bench's config with some more sections.
fn load(folder: &Path, sections: &str) -> EnginePlan {
    let path = folder.join("bench.toml");
    std::fs::write(&path, format!("{CONFIG}{sections}")).expect("writing the config");
    config::load(&path, &|_| None).expect("the bench's config is good")
}

/// Fills of many wallets and assets, a tenth of a second apart; the same on each run.
fn csv(n_fills: u64) -> String {
    let mut text = "wallet,asset,id,side,price,size,time\n".to_owned();
    let mut state = 1_u64;
    let mut draw = |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for id in 0..n_fills {
        let (wallet, asset, side) = (draw(N_WALLETS), draw(N_ASSETS), draw(2));
        let side = if side == 0 { "buy" } else { "sell" };
        let (units, cents, size) = (1 + draw(99), draw(100), 1 + draw(999));
        let time = 1_767_571_200_000 + id * 100;
        writeln!(text, "w{wallet},a{asset},{id},{side},{units}.{cents:02},0.{size:03},{time}")
            .expect("memory takes all");
    }
    text
}
