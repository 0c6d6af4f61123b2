//! `mark_to_market` against its twin.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::Clock;
use dataflows::oracle::marks::{self, Market};
use proptest::prelude::*;
use types::relations::{Fill, Mark, Position, Settlement, Trade};
use types::{AssetId, Event, Names, Op, Span, VenueTime};

use crate::harness::{self, Any, FILLS, QUOTES, SETTLEMENTS, TRADES, clocks, history, run, total};
use crate::rows;

const SNAPSHOT: &str = "2m";

/// What a view is told to do.
#[derive(Clone, Copy, Debug)]
struct Options {
    mark: &'static str,
    source: &'static str,
    settles: bool,
    by: &'static str,
    emit: &'static str,
}

fn options() -> impl Strategy<Value = Options> {
    let marks = prop::sample::select(vec![
        ("mid", "quotes"),
        ("bid_ask", "quotes"),
        ("last", "trades"),
        ("last", "fills"),
        ("settlement", "settlements"),
    ]);
    let by = prop::sample::select(vec!["wallet", "position"]);
    let emit = prop::sample::select(vec!["changed", "all"]);
    (marks, any::<bool>(), by, emit).prop_map(|((mark, source), settles, by, emit)| Options {
        mark,
        source,
        settles: settles || mark == "settlement",
        by,
        emit,
    })
}

pub(crate) fn events() -> impl Strategy<Value = Vec<Any>> {
    let seeds = (harness::seeds(30), harness::seeds(25), harness::seeds(12), harness::seeds(4));
    seeds.prop_map(|(fills, quotes, trades, settlements)| {
        let mut interner = harness::interner();
        let fills = fills.iter().map(|seed| harness::fill(seed, &mut interner)).collect();
        let fills = harness::without_conflicts(fills, |f: &Fill| (f.wallet, f.asset, f.id));
        // Trades run on, so that the watermark passes steps that the last fill doesn't reach.
        let late = |s: &harness::Seed| (s.0, s.1, s.2, s.3 * 3, s.4, s.5, s.6, s.7);
        let trades = trades.iter().map(|seed| harness::trade(&late(seed), &mut interner)).collect();
        let trades = harness::without_conflicts(trades, |t: &Trade| (t.asset, t.id));
        let settlements =
            settlements.iter().map(|seed| harness::settlement(seed, &mut interner)).collect();
        let settlements = harness::without_conflicts(settlements, |s: &Settlement| s.asset);
        let quotes = quotes.iter().map(|seed| Any::Quote(harness::quote(seed, &mut interner)));
        let fills = fills.into_iter().map(Any::Fill);
        let trades = trades.into_iter().map(Any::Trade);
        let settlements = settlements.into_iter().map(Any::Settlement);
        fills.chain(quotes).chain(trades).chain(settlements).collect()
    })
}

/// The positions of the fills before a time: `avg_cost` run over them alone.
pub(crate) fn positions(fills: &[Fill], before: VenueTime, names: &Arc<Names>) -> Vec<Position> {
    let event = |row: &Fill| {
        Any::Fill(Event { op: Op::Insert, revision: 0, is_first: false, row: row.clone() })
    };
    let fills = fills.iter().filter(|fill| fill.event_time < before).map(event).collect();
    let plan = harness::plan(&[("p", "avg_cost", &[("input", "fills")])], &["p"]);
    let epochs = vec![fills];
    rows!(Positions, total(&run(plan, names, &epochs, &clocks(&epochs, 0, true), 1), 0))
}

/// What the twin says of the view and of its newest rows.
fn twin(events: &[Any], clock: &Clock, options: Options, names: &Arc<Names>) -> (String, String) {
    let fills = harness::standing(&harness::fills_of(events), |f| (f.wallet, f.asset, f.id));
    let trades = harness::standing(&harness::trades_of(events), |t| (t.asset, t.id));
    let settlements = harness::standing(&harness::settlements_of(events), |s| s.asset);
    let quotes: Vec<_> = harness::quotes_of(events).into_iter().map(|e| e.row).collect();
    let is_source = |source: &str| options.source == source;
    let market = Market {
        quotes: if is_source("quotes") { &quotes } else { &[] },
        fills: if is_source("fills") { &fills } else { &[] },
        trades: if is_source("trades") { &trades } else { &[] },
        settlements: if options.settles { &settlements } else { &[] },
        names,
    };
    let steps = steps(clock, options);
    let at =
        |step: &VenueTime| (positions(&fills, *step, names), market.marks(options.mark, *step));
    let states: Vec<(Vec<Position>, BTreeMap<AssetId, Mark>)> = steps.iter().map(at).collect();
    let all = options.emit == "all";
    let by_position: Vec<_> = states.iter().map(|(p, m)| marks::positions(p, m)).collect();
    let view = if options.by == "wallet" {
        let states: Vec<_> = states.iter().map(|(p, m)| marks::wallets(p, m)).collect();
        let rows = marks::snapshots(&states, all).into_iter();
        let mut rows: Vec<_> = rows
            .map(|(index, row)| types::relations::Pnl { snapshot: steps[index], ..row })
            .collect();
        rows.sort();
        format!("{rows:#?}")
    } else {
        let rows = marks::snapshots(&by_position, all).into_iter();
        let mut rows: Vec<_> = rows
            .map(|(index, row)| types::relations::PositionPnl { snapshot: steps[index], ..row })
            .collect();
        rows.sort();
        format!("{rows:#?}")
    };
    let now = by_position.last().into_iter().flatten();
    let now: Vec<_> = now.filter(|(_, (_, is_open))| *is_open).map(|(_, (row, _))| row).collect();
    (view, format!("{now:#?}"))
}

/// The steps that are published, from the first that can hold anything.
fn steps(clock: &Clock, options: Options) -> Vec<VenueTime> {
    let mut reads = vec![FILLS];
    reads.extend((options.source == "quotes").then_some(QUOTES));
    reads.extend((options.source == "trades").then_some(TRADES));
    reads.extend(options.settles.then_some(SETTLEMENTS));
    let span = Span::parse(SNAPSHOT).unwrap().nanos();
    let last = if clock.watermark == VenueTime::END {
        let greatest = reads.iter().map(|r| clock.greatest[*r].nanos()).max().unwrap();
        greatest.div_euclid(span).saturating_add(1).saturating_mul(span)
    } else {
        clock.watermark.nanos().div_euclid(span).saturating_mul(span)
    };
    let mut steps = Vec::new();
    let mut step = harness::START;
    while step <= last {
        steps.push(VenueTime::from_nanos(step));
        step += span;
    }
    steps
}

fn check(epochs: &[Vec<Any>], lateness: i64, options: Options) {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let mut pairs = vec![
        ("positions", "positions"),
        ("mark", options.mark),
        ("snapshot", SNAPSHOT),
        ("by", options.by),
        ("emit", options.emit),
    ];
    match options.source {
        "quotes" => pairs.push(("quotes", "quotes")),
        "settlements" => {}
        trades => pairs.push(("trades", trades)),
    }
    pairs.extend(options.settles.then_some(("settlements", "settlements")));
    let ledger = ("positions", "avg_cost", &[("input", "fills")][..]);
    let plan = || {
        let pnl = ("pnl", "mark_to_market", &pairs[..]);
        harness::plan(&[ledger, pnl], &["pnl", "pnl.now", "pnl.errors"])
    };
    let one = run(plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), &names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let (view, now) = twin(&events, &clocks[n - 1], options, &names);
        let given = one[..n].to_vec();
        let rows = total(&given, 0);
        let rows = if options.by == "wallet" {
            format!("{:#?}", rows!(Pnl, rows))
        } else {
            format!("{:#?}", rows!(PositionPnl, rows))
        };
        assert_eq!(rows, view, "after epoch {n}");
        let rows: Vec<_> = rows!(PnlNow, total(&given, 1)).into_iter().map(|row| row.at).collect();
        assert_eq!(format!("{rows:#?}"), now, "now after epoch {n}");
        assert!(total(&given, 2).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn snapshots_equal_their_twin((epochs, lateness) in history(events()), options in options()) {
        check(&epochs, lateness, options);
    }
}

#[test]
fn a_snapshot_that_overflows_is_an_error_until_it_fits_again() {
    let mut interner = harness::interner();
    let mut fill = harness::fill(&(0, 0, 2, 5, 3, 1, 0, 0), &mut interner);
    fill.row.size = harness::size(10i128.pow(33));
    fill.row.price = Some(harness::price(1));
    let mut trade = |second, nano, id| {
        let mut event = harness::trade(&(0, 0, id, second, 1, 1, 0, 0), &mut interner);
        event.row.price = harness::price(nano);
        Any::Trade(event)
    };
    let epochs = vec![vec![
        Any::Fill(fill),
        trade(10, 10i128.pow(17), 1),
        trade(130, 2, 2),
        trade(250, 3, 3),
    ]];
    let clocks = clocks(&epochs, 0, true);
    let names = Arc::clone(interner.names());
    for (by, n_rows) in [("wallet", 2), ("position", 2)] {
        let options =
            [("positions", "positions"), ("trades", "trades"), ("snapshot", SNAPSHOT), ("by", by)];
        let ledger = ("positions", "avg_cost", &[("input", "fills")][..]);
        let plan = harness::plan(
            &[ledger, ("pnl", "mark_to_market", &options)],
            &["pnl", "pnl.now", "pnl.errors"],
        );
        let given = run(plan, &names, &epochs, &clocks, 1);
        assert_eq!([0, 1, 2].map(|view| total(&given, view).len()), [n_rows, 1, 1], "{by}");
    }
}

#[test]
fn marks_that_can_not_be_are_refused() {
    let mut builder = harness::builder();
    harness::prepare(&mut builder, ("p", "avg_cost", &[("input", "fills")])).unwrap();
    harness::prepare(&mut builder, ("f", "filter", &[("input", "p"), ("where", "qty > 0")]))
        .unwrap();
    harness::prepare(&mut builder, ("q", "latest", &[("input", "quotes")])).unwrap();
    for (options, code) in [
        (&[("positions", "p")][..], "missing_option"),
        (&[("positions", "p"), ("quotes", "quotes"), ("mark", "last")], "missing_option"),
        (&[("positions", "p"), ("quotes", "q")], "wrong_input"),
        (&[("positions", "f"), ("quotes", "quotes")], "wrong_input"),
        (&[("positions", "p"), ("quotes", "quotes"), ("snapshot", "15250w")], "too_long"),
    ] {
        let mut options = options.to_vec();
        if !options.iter().any(|(name, _)| *name == "snapshot") {
            options.push(("snapshot", SNAPSHOT));
        }
        let view = ("m", "mark_to_market", &options[..]);
        let problems = harness::prepare(&mut builder, view).unwrap_err();
        assert_eq!(problems[0].code, code, "{options:?}");
    }
}
