//! The way of a fill outside the dataflow: reading and decoding a file, sequencing, the whole engine
//! from a file to a file, and single events from a row to a reader.

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use connectors::source::{self, RowRef, Rows};
use crossbeam_channel::bounded;
use hashbrown::HashMap;
use tapeline::config::{self, EnginePlan};
use tapeline::engine::{self, RunOptions};
use tapeline::env::Stopwatch;
use tapeline::ingest::{Sequencer, SequencerOptions};
use tapeline::publish::{Hub, ViewSpec};
use tapeline::runtime;
use tapeline::stop::Stop;
use types::VenueTime;

use crate::support::arguments::Arguments;
use crate::support::clocks::Clocks;
use crate::support::engine::{BARS, POSITIONS, config_text};
use crate::support::harness::{nanos, times};
use crate::support::loops::{Bars, Positions};
use crate::support::stream::Fill;
use crate::support::table::{self, Line, percentiles};

/// Rows of the file: a prefix of the events.
const N_ROWS: usize = 1_000_000;

/// Single events that go from a row to a reader, one after the other.
const N_SINGLE: usize = 20_000;

/// Runs the parts that are asked for.
pub(crate) fn run(arguments: &Arguments, fills: &[Fill]) {
    if !arguments.wants("path") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the fills");
    let fills = &fills[..fills.len().min(N_ROWS)];
    let text = csv(fills);
    std::fs::write(folder.path().join("fills.csv"), &text).expect("writing the fills");
    table::title(&format!("the path of {} rows of CSV", fills.len()));
    let positions = [POSITIONS].as_slice();
    let bench = Bench { arguments, folder: folder.path(), n_rows: fills.len() };

    let plan = || bench.load(positions, &["positions"]);
    let bare = bench.best("the loop: read, parse, intern", || from_text(&text, false, false));
    table::line(&bare, &[], "");
    let beside = [("the loop", &bare)];
    let decoded = bench.best("  decode", || decode(&plan(), |_| ()));
    table::line(&decoded, &beside, "");
    let sequenced = bench.best("  decode and sequence", || sequence(&plan()));
    table::line(&sequenced, &beside, "");
    for (what, views, emitted) in [
        ("positions", positions, &["positions"][..]),
        ("bars", &[BARS][..], &["bars"][..]),
        ("both", &[POSITIONS, BARS][..], &["positions", "bars"][..]),
    ] {
        let [takes, bars] = ["positions", "bars"].map(|view| emitted.contains(&view));
        let title = format!("the loop: file to memory, {what}");
        let bare = bench.best(&title, || from_text(&text, takes, bars));
        table::line(&bare, &[], "");
        let title = format!("  the engine: file to file, {what}");
        let run = bench.best(&title, || whole(bench.load(views, emitted)));
        table::line(&run, &[("the loop", &bare)], "");
    }
    single(bench.load(positions, &["positions"]), fills.len().min(N_SINGLE));
}

/// Where the file is, and how lines are measured.
struct Bench<'a> {
    arguments: &'a Arguments,
    folder: &'a Path,
    n_rows: usize,
}

impl Bench<'_> {
    fn load(&self, views: &[&str], emitted: &[&str]) -> EnginePlan {
        let path = self.folder.join("bench.toml");
        std::fs::write(&path, config_text(views, emitted)).expect("writing the config");
        let mut plan = config::load(&path, &|_| None).expect("the bench's config is good");
        plan.pipeline.data_dir = self.folder.join("data");
        plan
    }

    fn best(&self, what: &str, work: impl Fn() -> usize) -> Line {
        let run = |_| {
            let clocks = Clocks::process();
            assert_eq!(work(), self.n_rows, "{what}: every row is good");
            let spent = clocks.spent();
            Line { what: what.to_owned(), n_events: self.n_rows, spent, by_wall: false }
        };
        let runs = (0..self.arguments.n_runs).map(run);
        runs.reduce(|best, run| if run.is_better(&best) { run } else { best })
            .expect("one run at least")
    }
}

/// The events as a file in the order of arrival.
fn csv(fills: &[Fill]) -> String {
    let mut text = "op,id,seq,event_time,wallet,asset,side,price,size,fee\n".to_owned();
    for fill in fills {
        let Fill { id, time, wallet, asset, .. } = fill;
        let op = if fill.is_bust { "-1" } else { "1" };
        let side = if fill.is_buy { "buy" } else { "sell" };
        let [price, size, fee] = [fill.price, fill.size, fill.fee]
            .map(|nano| format!("{}.{:06}", nano / 1_000_000_000, nano % 1_000_000_000 / 1_000));
        let names = format!("wallet-{wallet:05},asset-{asset:04}");
        writeln!(text, "{op},{id},{id},{time},{names},{side},{price},{size},{fee}")
            .expect("memory takes all");
    }
    text
}

/// What one would write by hand for such a file, exact; gives how many rows it has.
fn from_text(text: &str, takes_positions: bool, takes_bars: bool) -> usize {
    let (mut positions, mut bars) = (Positions::default(), Bars::default());
    let (mut wallets, mut assets) = (Interned::default(), Interned::default());
    let mut rows = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let mut row = csv::ByteRecord::new();
    let mut n_rows = 0;
    while rows.read_byte_record(&mut row).expect("the text is whole") {
        n_rows += 1;
        let fill = Fill {
            is_bust: &row[0] == b"-1",
            id: u32::try_from(integer(&row[1])).expect("few"),
            time: integer(&row[3]),
            wallet: intern(&mut wallets, &row[4]),
            asset: intern(&mut assets, &row[5]),
            is_buy: &row[6] == b"buy",
            price: nano(&row[7]),
            size: nano(&row[8]),
            fee: nano(&row[9]),
        };
        if takes_positions && !fill.is_bust {
            positions.take(&fill);
        }
        if takes_bars && !fill.is_bust {
            bars.take(&fill);
        }
        black_box(&fill);
    }
    black_box((positions.len(), bars.len()));
    n_rows
}

/// Names of a kind by their bytes.
type Interned = HashMap<Vec<u8>, u32, rustc_hash::FxBuildHasher>;

fn intern(names: &mut Interned, name: &[u8]) -> u32 {
    if let Some(known) = names.get(name) {
        return *known;
    }
    let new = u32::try_from(names.len()).expect("few");
    names.insert(name.to_vec(), new);
    new
}

fn integer(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

/// A decimal in units of 1e-9.
fn nano(text: &[u8]) -> i64 {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, rest) = text.split_at(point);
    let decimals = rest.get(1..).unwrap_or_default();
    let missing = u32::try_from(9 - decimals.len()).expect("at most nine");
    integer(whole) * 1_000_000_000 + integer(decimals) * 10_i64.pow(missing)
}

/// Reads the file; gives how many rows there were.
fn decode(config: &EnginePlan, mut take: impl FnMut(&RowRef<'_>)) -> usize {
    let (mut rows, mut n_rows) = (Rows::default(), 0);
    for source in &config.sources {
        for mut stream in source::open(&source.file).expect("the file is there") {
            let mut has_more = true;
            while has_more {
                // The last rows come with the word that there are no more.
                has_more = stream.read(&mut rows).expect("the file is whole");
                (0..rows.len()).filter_map(|row| rows.get(row)).for_each(|row| take(&row));
                n_rows += rows.len();
            }
        }
    }
    n_rows
}

fn sequencer(config: &EnginePlan, max_events: usize) -> Sequencer {
    let options = SequencerOptions {
        max_events,
        lateness_nanos: 0,
        keeps_id_texts: false,
        keeps_events: false,
    };
    Sequencer::new(&config.plan.relations, options)
}

/// Reads the file and cuts it into epochs; gives how many events there were.
fn sequence(config: &EnginePlan) -> usize {
    let mut sequencer = sequencer(config, config.pipeline.max_events);
    decode(config, |row| {
        sequencer.admit(0, row).expect("identities are in memory");
        black_box(sequencer.cut());
    });
    black_box(sequencer.finish());
    usize::try_from(sequencer.counts().applied).expect("few")
}

/// The whole engine, as the binary runs it; gives how many events there were.
fn whole(plan: EnginePlan) -> usize {
    let options = RunOptions {
        env: std::sync::Arc::new(tapeline::env::System),
        stop: Stop::new(),
        begin: engine::Begin::GoOn,
        n_newest: 3,
        progress: &mut |_| (),
        listening: &mut |_| (),
        hold: &mut |_| (),
    };
    let summary = engine::run(plan, options).expect("the engine runs");
    usize::try_from(summary.counts.applied).expect("few")
}

/// Single events: each is decoded, sequenced, computed, published to the hub and seen by a reader on
/// another thread before the next one is read.
fn single(config: EnginePlan, n_events: usize) {
    let mut sequencer = sequencer(&config, 1);
    let names = Arc::clone(sequencer.names());
    let emitted = config.plan.emitted_views();
    let spec = |view: &dataflows::plan::View| ViewSpec {
        live: None,
        name: view.name.clone(),
        kind: view.kind,
        schema: Arc::clone(&view.schema),
        operator: "avg_cost",
    };
    let hub = Hub::new(emitted.map(spec).collect(), &names, i64::MAX / 2);
    let plan = config.plan;
    let (mut runtime, mut output) =
        runtime::start(&plan, &names, 1, None).expect("the worker starts");
    let (tell, told) = bounded::<VenueTime>(1);
    let publisher = std::thread::spawn(move || {
        while let Some(epoch) = output.next() {
            hub.publish(&epoch);
            output.release(epoch.epoch);
            // The reader leaves before the last epoch.
            tell.send(epoch.watermark).unwrap_or_default();
        }
    });
    let mut streams = source::open(&config.sources[0].file).expect("the file is there");
    let (mut rows, mut next, mut epochs) = (Rows::default(), 0, times());
    let clocks = Clocks::process();
    for _ in 0..n_events {
        let watch = Stopwatch::start();
        if next == rows.len() {
            // False comes with the last rows; that there are some is checked below.
            streams[0].read(&mut rows).expect("the file is whole");
            next = 0;
        }
        let row = rows.get(next).expect("the batch has more rows");
        sequencer.admit(0, &row).expect("identities are in memory");
        next += 1;
        let batch = sequencer.cut().expect("one event fills an epoch");
        runtime.feed(batch).expect("the worker works");
        told.recv().expect("the epoch is published");
        epochs.saturating_record(nanos(watch.elapsed()));
    }
    let spent = clocks.spent();
    drop(told);
    runtime.finish().expect("the worker ends well");
    publisher.join().expect("the publisher ends");
    let what = "  row to reader, one event an epoch".to_owned();
    let line = Line { what, n_events, spent, by_wall: true };
    table::line(&line, &[], &percentiles(&epochs));
}
