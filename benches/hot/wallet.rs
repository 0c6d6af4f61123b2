//! Corrections and long histories: a wallet with a million fills of one asset, and fills that come or
//! go anywhere in the history of many.

use std::sync::Arc;
use std::time::Duration;

use crate::support::arguments::Arguments;
use crate::support::digest::Digest;
use crate::support::engine::{BARS, Engine, MARKS, POSITIONS};
use crate::support::harness::{Lap, Session};
use crate::support::stream::{self, Dice, Fill};
use crate::support::table::{self, percentiles};
use crate::views::expected;

/// Corrections of each kind.
const N_CORRECTIONS: usize = 100;

/// Fills that are appended to the empty and to the busy wallet.
const N_APPENDED: usize = 10_000;

/// Runs the parts that are asked for.
pub(crate) fn run(arguments: &Arguments, fills: &[Fill]) {
    if arguments.wants("wallet") {
        let n = if arguments.is_test { 20_000 } else { 1_000_000 };
        busy(&one_key(fills, n + 2 * N_APPENDED));
    }
    if arguments.wants("corrections") {
        corrections(arguments, fills);
    }
}

/// As many fills of one wallet in one asset, one after the other, without corrections.
fn one_key(fills: &[Fill], n: usize) -> Vec<Fill> {
    let inserts = fills.iter().filter(|fill| !fill.is_bust).cycle();
    let numbered = (0..).zip(inserts.take(n));
    let one = |(id, fill): (u32, &Fill)| {
        let time = stream::START + i64::from(id) * stream::STEP;
        Fill { time, id, wallet: 0, asset: 0, price: fill.price % 1_000_000_000 + 1, ..*fill }
    };
    numbered.map(one).collect()
}

/// Appends to an empty wallet and to a busy one, then corrects the busy one anywhere.
fn busy(fills: &[Fill]) {
    let engine = Arc::new(Engine::new(&[POSITIONS], &["positions"]));
    let mut session = Session::start(&engine, 1);
    let n_busy = fills.len() - 2 * N_APPENDED;
    table::note(&format!("\nOne wallet, one asset, {n_busy} fills"));
    let (first, rest) = fills.split_at(N_APPENDED);
    let (middle, last) = rest.split_at(n_busy);
    let mut digest = Digest::default();
    let mut lap = |lap: Lap| {
        digest.add(&lap.digest);
        lap
    };
    let [single, hundreds] = [1, 100].map(|batch| {
        let mut session = Session::start(&engine, 1);
        let lap = session.feed(first, batch);
        session.end();
        lap
    });
    lap(session.feed(first, 10_000));
    let all = lap(session.feed(middle, 10_000));
    appended("to the busy one, 10000 an epoch", &all, n_busy, None);
    let (singles, batches) = last.split_at(N_APPENDED / 2);
    appended("to an empty one, 1 an epoch", &single, N_APPENDED, None);
    let at_end = lap(session.feed(singles, 1));
    appended("to the busy one, 1 an epoch", &at_end, singles.len(), Some((&single, N_APPENDED)));
    appended("to an empty one, 100 an epoch", &hundreds, N_APPENDED, None);
    let at_end = lap(session.feed(batches, 100));
    let beside = Some((&hundreds, N_APPENDED));
    appended("to the busy one, 100 an epoch", &at_end, batches.len(), beside);

    let mut dice = Dice(7);
    let mut places: Vec<usize> = (0..N_CORRECTIONS)
        .map(|_| usize::try_from(dice.below(i64::try_from(fills.len()).expect("few"))))
        .map(|place| place.expect("a place"))
        .collect();
    places.sort_unstable();
    places.dedup();
    // In no order of time.
    places.sort_by_key(|place| place.wrapping_mul(0x9e37_79b9) % 1_000_003);
    let passed: usize = places.iter().map(|place| fills.len() - place).sum();
    let cancelled: Vec<Fill> =
        places.iter().map(|place| Fill { is_bust: true, ..fills[*place] }).collect();
    corrected("cancelled anywhere", &lap(session.feed(&cancelled, 1)), passed);
    let n = u32::try_from(fills.len()).expect("few");
    let late: Vec<Fill> = (n..)
        .zip(&places)
        .map(|(id, place)| Fill { id, time: fills[*place].time + 1, ..fills[*place] })
        .collect();
    corrected("late, anywhere", &lap(session.feed(&late, 1)), passed);
    session.end();

    let all: Vec<Fill> = fills.iter().chain(&cancelled).chain(&late).copied().collect();
    let expected = expected(&["positions"], &stream::truth(&all));
    assert_eq!(digest.rows(), expected.rows(), "the loop's rows");
}

/// CPU time a fill; on the average, since a clock's own cost hides that of a single one.
fn each(lap: &Lap, n: usize) -> f64 {
    lap.spent.cpu.as_secs_f64() * 1e9 / f64::from(u32::try_from(n).expect("few"))
}

fn appended(what: &str, lap: &Lap, n: usize, beside: Option<(&Lap, usize)>) {
    let ns = each(lap, n);
    let beside = beside.map_or_else(String::new, |(other, n)| {
        let median = |lap: &Lap| micros(lap.epochs.value_at_quantile(0.5));
        let (ratio, p50) = (ns / each(other, n), median(lap) / median(other));
        format!("; {ratio:.2} x the empty one's, p50 {p50:.2} x")
    });
    let times = percentiles(&lap.epochs);
    table::note(&format!("  {what:<42}{ns:>9.0} ns a fill{times}{beside}"));
}

fn micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

fn corrected(what: &str, lap: &Lap, passed: usize) {
    let times = percentiles(&lap.epochs);
    let ns = each(lap, passed);
    table::note(&format!("  {what:<42}{ns:>9.1} ns a fill passed{times}"));
}

/// Fills that come and go anywhere in the history of all wallets, one an epoch.
fn corrections(arguments: &Arguments, fills: &[Fill]) {
    let parts: [(&str, &[&str], &[&str]); 4] = [
        ("positions", &[POSITIONS], &["positions"]),
        ("bars", &[BARS], &["bars"]),
        ("marks", &[POSITIONS, MARKS], &["pnl"]),
        ("all", &[POSITIONS, BARS, MARKS], &["positions", "bars", "pnl"]),
    ];
    table::note(&format!("\nCorrections anywhere in {} events, one an epoch", fills.len()));
    for (name, views, emitted) in parts {
        let engine = Arc::new(Engine::new(views, emitted));
        let mut session = Session::start(&engine, 1);
        let mut digest = session.feed(fills, 10_000).digest;
        let mut dice = Dice(11);
        let mut standing: Vec<Fill> = stream::truth(fills);
        let mut cancelled = Vec::new();
        for _ in 0..N_CORRECTIONS {
            let at = usize::try_from(dice.below(i64::try_from(standing.len()).expect("few")));
            let fill = standing.swap_remove(at.expect("a place"));
            cancelled.push(Fill { is_bust: true, ..fill });
        }
        let n = arguments.n_fills;
        let late: Vec<Fill> = (n..)
            .zip(&cancelled)
            .map(|(id, fill)| Fill { id, is_bust: false, time: fill.time + 1, ..*fill })
            .collect();
        for (what, events) in [("cancelled", &cancelled), ("late", &late)] {
            let lap = session.feed(events, 1);
            let (times, changes) = (percentiles(&lap.epochs), lap.digest.n_changes);
            table::note(&format!("  {name:<12}{what:<12}{changes:>9} changes{times}"));
            digest.add(&lap.digest);
        }
        digest.add(&session.close().digest);
        session.end();
        let all = [fills, cancelled.as_slice(), late.as_slice()].concat();
        let expected = expected(emitted, &stream::truth(&all));
        assert_eq!(digest.rows(), expected.rows(), "{name}: the loop's rows");
    }
}
