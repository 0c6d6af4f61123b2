//! The two laws of sameness (SEMANTICS section 1) over random histories.
//!
//! A: at the end, the rows of every view depend on the set of events alone: whatever the order of
//! arrival, the cut into epochs and the number of workers, they are those that a plain function makes
//! of the set. B: the same arrivals in the same epochs give the same changes on any number of workers.

mod busy;
mod cases;
mod declared;
mod history;
mod ledger;
mod live;
mod market;
mod resumed;
mod runs;
#[cfg(feature = "sabotage")]
mod sabotage;
mod scores;
mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;
use types::Op;

use cases::check_cases;
use history::{
    Arrival, Fill, Placed, Settlement, conflicting_history, ledger_history, market_history,
    pending, two_sources,
};
use market::market_views;
use runs::{Loaded, Order, Ran, Way, load, run, run_all};
use twins::{Lines, fills_of, ledger_views, settlements_of};

const LEDGER: &str = include_str!("ledger.toml");
const MARKET: &str = include_str!("market.toml");

/// Orders of arrival, each with its cut into epochs.
const ARRIVALS: [(Order, usize); 4] =
    [(Order::ByTime, 3), (Order::First, 1), (Order::Second, 17), (Order::First, usize::MAX)];

/// Runs a history in all ways. Gives how many removals were pending at the end.
fn assert_all_ways(
    loaded: &Loaded,
    history: &[Placed],
    lateness_seconds: i64,
    expected: &Lines,
) -> u64 {
    let mut n_pending = BTreeSet::new();
    for (order, max_events) in ARRIVALS {
        for (n_workers, spills) in [(2, false), (2, true), (4, false)] {
            let way = Way { order, max_events, lateness_seconds, n_workers, spills };
            n_pending.insert(assert_way(loaded, history, way, expected));
        }
    }
    assert_eq!(n_pending.len(), 1, "{n_pending:?}");
    n_pending.into_iter().sum()
}

/// Runs a history in one way and on one worker. Gives how many removals were pending at the end.
fn assert_way(loaded: &Loaded, history: &[Placed], way: Way, expected: &Lines) -> u64 {
    let one = run(loaded, history, Way { n_workers: 1, spills: false, ..way });
    assert_rows(&one.rows, expected, &format!("{way:?}"));
    assert_same_stream(&one, &run(loaded, history, way), way);
    one.simulated.n_pending
}

fn assert_same_stream(one: &Ran, many: &Ran, way: Way) {
    assert_eq!(one.epochs.len(), many.epochs.len());
    for (epoch, (one, many)) in one.epochs.iter().zip(&many.epochs).enumerate() {
        assert_eq!(one.0, many.0, "the watermark of epoch {epoch} of {way:?}");
        if one.1 != many.1 {
            let (more, less) = (missing(&many.1, &one.1), missing(&one.1, &many.1));
            panic!("epoch {epoch} of {way:?}:\nonly one worker tells{more}\nonly many tell{less}");
        }
    }
    assert_eq!(one.simulated.counts, many.simulated.counts);
}

/// The lines of one list that aren't in another.
fn missing<'l>(
    lines: impl IntoIterator<Item = &'l String>,
    all: impl IntoIterator<Item = &'l String>,
) -> String {
    let lines: BTreeSet<&String> = lines.into_iter().collect();
    let not_there = all.into_iter().filter(|line| !lines.contains(line));
    not_there.fold(String::new(), |text, line| text + "\n  " + line)
}

fn assert_rows(given: &BTreeMap<String, BTreeSet<String>>, expected: &Lines, way: &str) {
    let views: BTreeSet<&str> = given.keys().map(String::as_str).collect();
    assert_eq!(views, expected.keys().copied().collect::<BTreeSet<&str>>());
    for (view, expected) in expected {
        let given = &given[*view];
        if given != expected {
            let (more, less) = (missing(expected, given), missing(given, expected));
            panic!("{view}, {way}:\nonly the engine has{more}\nonly the twin has{less}");
        }
    }
}

thread_local! {
    static LEDGER_PLAN: Loaded = load(LEDGER);
    static MARKET_PLAN: Loaded = load(MARKET);
    static INSERTS_PLAN: Loaded =
        load(&LEDGER.replace("op = \"op\"\n", "").replace("revision = \"revision\"\n", ""));
}

/// One of all ways, with more than one worker.
fn way() -> impl Strategy<Value = Way> {
    let order = prop::sample::select(vec![Order::ByTime, Order::First, Order::Second]);
    let max_events = prop_oneof![
        2 => 1..4usize,
        3 => 4..20usize,
        1 => 20..60usize,
        1 => Just(usize::MAX),
    ];
    let n_workers = prop::sample::select(vec![2, 2, 4]);
    (order, max_events, 0..200i64, n_workers, any::<bool>()).prop_map(
        |(order, max_events, lateness_seconds, n_workers, spills)| Way {
            order,
            max_events,
            lateness_seconds,
            n_workers,
            spills,
        },
    )
}

/// A way for a long history: an epoch for each of its events would take long.
fn busy_way() -> impl Strategy<Value = Way> {
    (way(), 7..120usize).prop_map(|(way, max_events)| Way {
        max_events: if way.max_events < 7 { max_events } else { way.max_events },
        ..way
    })
}

fn ledger_follows(history: &[Placed], way: Way) {
    LEDGER_PLAN.with(|loaded| {
        assert_way(loaded, history, way, &ledger_views(history));
    });
}

fn market_follows(history: &[Placed], way: Way) {
    MARKET_PLAN.with(|loaded| {
        assert_way(loaded, history, way, &market_views(loaded, history));
    });
}

/// Checks a long history; one that fails is made short.
fn busy_follows(history: &[Placed], way: Way, follows: fn(&[Placed], Way)) {
    let failure = |history: &[Placed]| catch_unwind(AssertUnwindSafe(|| follows(history, way)));
    let Err(first) = failure(history) else { return };
    let shortest = busy::shortest(history, |shorter| failure(shorter).is_err());
    println!("the shortest history that fails has {} arrivals: {shortest:#?}", shortest.len());
    resume_unwind(first)
}

/// Many cases of one law, in parts that can run side by side.
macro_rules! many {
    ($($name:ident: $n:literal of $law:ident($history:expr, $way:expr);)*) => {
        $(#[test]
        fn $name() {
            check_cases(stringify!($name), $n, ($history, $way), |(history, way)| {
                $law(&history, way);
            });
        })*
    };
}

use many;

many! {
    ledgers_follow_both_laws: 900 of ledger_follows(ledger_history(45), way());
    more_ledgers_follow_both_laws: 900 of ledger_follows(ledger_history(45), way());
    ledgers_of_few_events_follow_both_laws: 900 of ledger_follows(ledger_history(12), way());
    marks_bars_and_rules_follow_both_laws: 700 of market_follows(market_history(40), way());
    more_marks_bars_and_rules_follow_both_laws: 700 of market_follows(market_history(40), way());
}

#[test]
fn long_ledgers_follow_both_laws() {
    check_cases("long ledgers", 60, (any::<u64>().no_shrink(), busy_way()), |(seed, way)| {
        busy_follows(&busy::ledger_history(seed), way, ledger_follows);
    });
}

#[test]
fn long_marks_bars_and_rules_follow_both_laws() {
    check_cases("long markets", 30, (any::<u64>().no_shrink(), busy_way()), |(seed, way)| {
        busy_follows(&busy::market_history(seed), way, market_follows);
    });
}

#[test]
fn ledgers_follow_both_laws_in_all_ways() {
    check_cases(
        "ledgers in all ways",
        30,
        (ledger_history(45), 0..200i64),
        |(history, lateness)| {
            LEDGER_PLAN.with(|loaded| {
                let n = assert_all_ways(loaded, &history, lateness, &ledger_views(&history));
                let settlements = pending(&settlements_of(&history), |row: &Settlement| row.asset);
                assert_eq!(n, pending(&fills_of(&history), Fill::identity) + settlements);
            });
        },
    );
}

#[test]
fn marks_bars_and_rules_follow_both_laws_in_all_ways() {
    check_cases(
        "markets in all ways",
        20,
        (market_history(40), 0..200i64),
        |(history, lateness)| {
            MARKET_PLAN.with(|loaded| {
                assert_all_ways(loaded, &history, lateness, &market_views(loaded, &history));
            });
        },
    );
}

/// Where no source maps an operation or a revision, rows enter the views as they come.
#[test]
fn ledgers_without_corrections_follow_both_laws() {
    check_cases(
        "ledgers without corrections",
        400,
        (ledger_history(60), way()),
        |(history, way)| {
            let history = only_inserts(history);
            INSERTS_PLAN.with(|loaded| {
                assert!(loaded.plan.relations.iter().all(|relation| !relation.has_corrections));
                assert_way(loaded, &history, way, &ledger_views(&history));
            });
        },
    );
}

/// What is inserted, without revisions, and of each identity only one content.
fn only_inserts(mut history: Vec<Placed>) -> Vec<Placed> {
    let mut known: BTreeMap<String, Arrival> = BTreeMap::new();
    history.retain_mut(|(arrival, ..)| {
        let is_insert = match arrival {
            Arrival::Fill(change) => {
                change.revision = None;
                change.op == Op::Insert
            }
            Arrival::Settlement(change) => {
                change.revision = None;
                change.op == Op::Insert
            }
            Arrival::Trade(_) | Arrival::Quote(_) | Arrival::Declared(_) => false,
        };
        let Some(state) = arrival.state() else { return false };
        is_insert && known.entry(state).or_insert_with(|| arrival.clone()) == arrival
    });
    history
}

/// Law A is about what isn't refused: the first of those that conflict stands.
#[test]
fn the_first_of_a_conflict_stands() {
    check_cases("conflicts", 300, (conflicting_history(45), way()), |(history, way)| {
        conflicts_follow(&history, way);
    });
}

fn conflicts_follow(history: &[Placed], way: Way) {
    LEDGER_PLAN.with(|loaded| {
        let one = run_all(loaded, history, Way { n_workers: 1, ..way });
        let arrivals = way.order.of(history);
        let refused: Vec<usize> = one.simulated.refused.iter().map(|(place, _)| *place).collect();
        assert_eq!(refused, conflicts(&arrivals), "{way:?}");
        let stays =
            |(place, placed): (usize, &Placed)| (!refused.contains(&place)).then(|| placed.clone());
        let rest: Vec<Placed> = arrivals.into_iter().enumerate().filter_map(stays).collect();
        assert_rows(&one.rows, &ledger_views(&rest), &format!("{way:?}"));
        assert_same_stream(&one, &run_all(loaded, history, way), way);
    });
}

/// The places of fills that state with other content what stands, but for busts, as the greatest of
/// its identity so far.
fn conflicts(arrivals: &[&Placed]) -> Vec<usize> {
    let mut greatest: BTreeMap<_, ((u64, bool), i128)> = BTreeMap::new();
    let mut found = Vec::new();
    for (place, (arrival, ..)) in arrivals.iter().enumerate() {
        let Arrival::Fill(change) = arrival else { continue };
        if change.op == Op::Bust {
            continue;
        }
        let state = (change.revision.unwrap_or(0), change.op == Op::Correct);
        match greatest.get(&change.row.identity()) {
            Some((best, size)) if *best == state => {
                found.extend((*size != change.row.size).then_some(place));
            }
            Some((best, _)) if *best > state => {}
            _ => {
                greatest.insert(change.row.identity(), (state, change.row.size));
            }
        }
    }
    found
}

/// All orders in which two sources can meet give the same rows.
#[test]
fn every_interleaving_of_two_sources_follows_law_a() {
    let cuts = prop::collection::vec(1..6usize, 1..5);
    check_cases("interleavings", 40, (two_sources(), cuts, 0..200i64), |(sources, cuts, late)| {
        LEDGER_PLAN.with(|loaded| {
            let [first, second] = &sources;
            let orders = interleavings(first, second);
            let expected = ledger_views(&orders[0]);
            for (n, order) in orders.iter().enumerate() {
                let max_events = cuts[n % cuts.len()];
                let lateness_seconds = late;
                let way = Way {
                    order: Order::AsGiven,
                    max_events,
                    lateness_seconds,
                    n_workers: 1,
                    spills: false,
                };
                assert_rows(&run(loaded, order, way).rows, &expected, &format!("{order:?}"));
            }
        });
    });
}

/// All lists that hold two others in their orders.
fn interleavings(first: &[Arrival], second: &[Arrival]) -> Vec<Vec<Placed>> {
    let (Some(a), Some(b)) = (first.split_first(), second.split_first()) else {
        let rest = first.iter().chain(second).map(|arrival| (arrival.clone(), 0, 0));
        return vec![rest.collect()];
    };
    let with = |head: &Arrival, mut tails: Vec<Vec<Placed>>| {
        for tail in &mut tails {
            tail.insert(0, (head.clone(), 0, 0));
        }
        tails
    };
    [with(a.0, interleavings(a.1, second)), with(b.0, interleavings(first, b.1))].concat()
}
