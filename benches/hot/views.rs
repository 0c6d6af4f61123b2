//! Positions, bars, marks, some at once: in epochs of several sizes, on one worker and on two.

use std::hint::black_box;
use std::sync::Arc;

use crate::support::arguments::Arguments;
use crate::support::baselines::{Empty, Reduce};
use crate::support::clocks::Clocks;
use crate::support::digest::{self, Digest};
use crate::support::engine::{BARS, Engine, MARKS, POSITIONS};
use crate::support::harness::{Lap, Session, Setup};
use crate::support::stream::{self, Fill};
use crate::support::table::{self, Line, percentiles};
use crate::support::{loops, snapshots};

/// Events at the end of the stream that are fed one an epoch: the state is full by then.
const N_SINGLE: usize = 200_000;

/// Events that differential's `reduce` is fed with: its rate falls with history.
const N_REDUCE: usize = 500_000;

/// What is measured, and by what loop.
struct Part {
    name: &'static str,
    views: &'static [&'static str],
    emitted: &'static [&'static str],
    /// The loop over a part of the events on a thread of its own; gives what it holds at the end.
    work: fn(&[Fill], (u32, u32)) -> Digest,
    /// How events are cut among threads; `None` where each thread sees all.
    cut: Option<fn(&Fill) -> u64>,
}

const PARTS: &[Part] = &[
    Part {
        name: "positions",
        views: &[POSITIONS],
        emitted: &["positions"],
        work: |fills, _| count(loops::positions(fills).len()),
        cut: Some(by_key),
    },
    Part {
        name: "bars",
        views: &[BARS],
        emitted: &["bars"],
        work: |fills, _| count(loops::bars(fills).len()),
        cut: Some(|fill| fill.asset.into()),
    },
    Part {
        name: "both",
        views: &[POSITIONS, BARS],
        emitted: &["positions", "bars"],
        work: |fills, _| {
            let (positions, bars) = loops::positions_and_bars(fills);
            count(positions.len() + bars.len())
        },
        cut: Some(|fill| fill.asset.into()),
    },
    Part {
        name: "marks",
        views: &[POSITIONS, MARKS],
        emitted: &["pnl"],
        work: |fills, part| all(fills, part, false),
        cut: None,
    },
    Part {
        name: "all",
        views: &[POSITIONS, BARS, MARKS],
        emitted: &["positions", "bars", "pnl"],
        work: |fills, part| all(fills, part, true),
        cut: None,
    },
];

/// The rows that loops over the events in order end with: what the engine must end with.
pub(crate) fn expected(emitted: &[&str], truth: &[Fill]) -> Digest {
    let mut digest = Digest::default();
    let wants = |view: &str| emitted.contains(&view);
    if wants("pnl") {
        snapshots::everything(truth, (0, 1), false, |row| digest.pnl.add(digest::pnl(&row), 1));
    }
    if wants("positions") {
        digest.positions(loops::positions(truth).rows());
    }
    if wants("bars") {
        digest.bars(&loops::bars(truth));
    }
    digest
}

fn all(fills: &[Fill], part: (u32, u32), with_bars: bool) -> Digest {
    let (book, bars) = snapshots::everything(fills, part, with_bars, |row| {
        black_box(row);
    });
    count(book.len() + bars.len())
}

/// Keeps a loop's work from being left out.
fn count(n_rows: usize) -> Digest {
    black_box(Digest { n_changes: u64::try_from(n_rows).unwrap_or_default(), ..Digest::default() })
}

fn by_key(fill: &Fill) -> u64 {
    dataflows::route::mix((u64::from(fill.wallet) << 32) | u64::from(fill.asset))
}

/// Runs the parts that are asked for.
pub(crate) fn run(arguments: &Arguments, fills: &[Fill]) {
    let truth = stream::truth(fills);
    for part in PARTS.iter().filter(|part| arguments.wants(part.name)) {
        let bench = Bench { arguments, part, fills, expected: expected(part.emitted, &truth) };
        for n_workers in &arguments.workers {
            bench.on(*n_workers);
        }
    }
}

/// Runs one part once, in epochs of 10,000 on one worker, for counting instructions; whether that was
/// asked for.
pub(crate) fn once(arguments: &Arguments, fills: &[Fill]) -> bool {
    let named = |part: &&Part| arguments.names(&format!("once-{}", part.name));
    let part = PARTS.iter().find(named);
    if let Some(part) = part {
        let engine = Arc::new(Engine::new(part.views, part.emitted));
        for batch in &arguments.batches {
            measure(&engine, fills, *batch, 1);
        }
    }
    part.is_some()
}

/// One part over some events.
struct Bench<'a> {
    arguments: &'a Arguments,
    part: &'a Part,
    fills: &'a [Fill],
    expected: Digest,
}

/// What feeding some events took, and how many they were.
struct Measured {
    line: Line,
    lap: Lap,
}

impl Bench<'_> {
    fn on(&self, n_workers: usize) {
        let Part { name, views, emitted, .. } = self.part;
        table::title(&format!("{name}, {} events, workers: {n_workers}", self.fills.len()));
        let engine = Arc::new(Engine::new(views, emitted));
        let parts = self.cut(n_workers);
        for batch in &self.arguments.batches {
            let (mut bare, mut empty, mut full) = (None, None, None);
            for _ in 0..self.arguments.n_runs {
                keep(&mut bare, self.bare(&parts, n_workers));
                keep(&mut empty, measure(&Arc::new(Empty), self.fills, *batch, n_workers));
                let run = measure(&engine, self.fills, *batch, n_workers);
                assert_eq!(run.lap.digest.rows(), self.expected.rows(), "{name}: the loop's rows");
                keep(&mut full, run);
            }
            let [bare, empty, full] = [bare, empty, full].map(|run| run.expect("one run at least"));
            table::line(&bare.line, &[], "");
            let title = |what: &str| format!("{what}, {batch} an epoch");
            print(title("  empty dataflow"), &empty, &[("the loop", &bare)]);
            print(title(&format!("  {name}")), &full, &[("the loop", &bare), ("empty", &empty)]);
            if *batch == 1 && n_workers == 1 {
                medians(&full, &empty);
            }
            if *name == "positions" && !self.arguments.skips_reduce && *batch > 1 {
                self.reduce(&engine, *batch, n_workers);
            }
        }
    }

    /// The events of each thread of the loop.
    fn cut(&self, n_workers: usize) -> Vec<Vec<Fill>> {
        match self.part.cut {
            Some(cut) if n_workers > 1 => {
                loops::parts(self.fills, u64::try_from(n_workers).expect("a few"), cut)
            }
            _ => Vec::new(),
        }
    }

    fn bare(&self, parts: &[Vec<Fill>], n_workers: usize) -> Measured {
        let n = u32::try_from(n_workers).expect("a few workers");
        let clocks = Clocks::process();
        std::thread::scope(|scope| {
            for part in 0..n {
                let own = usize::try_from(part).ok().and_then(|part| parts.get(part));
                let fills = own.map_or(self.fills, Vec::as_slice);
                scope.spawn(move || (self.part.work)(fills, (part, n)));
            }
        });
        let line = Line {
            what: format!("the loop: {}, threads: {n}", self.part.name),
            n_events: self.fills.len(),
            spent: clocks.spent(),
            by_wall: n > 1,
        };
        Measured { line, lap: Lap::default() }
    }

    /// Differential's `reduce` and the engine over the first events.
    fn reduce(&self, engine: &Arc<Engine>, batch: usize, n_workers: usize) {
        let fills = &self.fills[..self.fills.len().min(N_REDUCE)];
        let reduce = measure(&Arc::new(Reduce), fills, batch, n_workers);
        let full = measure(engine, fills, batch, n_workers);
        assert_eq!(reduce.lap.digest.positions, full.lap.digest.positions, "reduce's rows");
        print(format!("  reduce, first {}, {batch} an epoch", fills.len()), &reduce, &[]);
        let title = format!("  positions, first {}, {batch} an epoch", fills.len());
        print(title, &full, &[("reduce", &reduce)]);
    }
}

fn keep(best: &mut Option<Measured>, run: Measured) {
    if best.as_ref().is_none_or(|best| run.line.is_better(&best.line)) {
        *best = Some(run);
    }
}

fn print(what: String, run: &Measured, ratios: &[(&str, &Measured)]) {
    let ratios: Vec<_> = ratios.iter().map(|(name, other)| (*name, &other.line)).collect();
    let (worst, n_changes) = (run.lap.worst_cpu.as_micros(), run.lap.digest.n_changes);
    let worst = if worst > 0 { format!(" (CPU {worst} us)") } else { String::new() };
    let changes = if n_changes > 0 { format!("; {n_changes} changes") } else { String::new() };
    let notes = [percentiles(&run.lap.epochs), worst, changes].concat();
    table::line(&Line { what, ..run.line.clone() }, &ratios, &notes);
}

/// One event an epoch: how the medians compare.
fn medians(full: &Measured, empty: &Measured) {
    let median = |run: &Measured| {
        f64::from(u32::try_from(run.lap.epochs.value_at_quantile(0.5)).unwrap_or(u32::MAX))
    };
    let ratio = median(full) / median(empty);
    table::note(&format!("{:<44}p50 {ratio:.2} x that of the empty dataflow", ""));
}

/// Feeds all events and the end. Of single events only the last are measured.
fn measure<S: Setup>(setup: &Arc<S>, fills: &[Fill], batch: usize, n_workers: usize) -> Measured {
    let mut session = Session::start(setup, n_workers);
    let n_head = if batch == 1 { fills.len() - fills.len().min(N_SINGLE) } else { 0 };
    let (head, tail) = fills.split_at(n_head);
    let before = session.feed(head, 10_000);
    let mut lap = session.feed(tail, batch);
    let (spent, epochs) = (lap.spent, lap.epochs.clone());
    let last = session.close();
    lap.then(&last);
    lap.digest.add(&before.digest);
    if batch == 1 {
        // The end is no event of its own.
        (lap.spent, lap.epochs) = (spent, epochs);
    }
    session.end();
    let line = Line {
        what: String::new(),
        n_events: tail.len(),
        spent: lap.spent,
        by_wall: n_workers > 1,
    };
    Measured { line, lap }
}
