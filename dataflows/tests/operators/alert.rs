//! `alert` against its twin.

use std::sync::Arc;

use dataflows::oracle::alert::{Rule, alerts};
use proptest::prelude::*;
use types::relations::{Alert, Bar, Fill, Pnl, Position, Relation, Severity};
use types::{Names, Price, Schema, Size, Span, VenueTime};

use crate::harness::{self, Any, Epochs, ViewSpec, clocks, history, run, total};
use crate::{marks, rows};

const EVERY: &str = "2m";
const COOLDOWN: i64 = 60 * harness::SECOND;
const HOLD: i64 = 90 * harness::SECOND;

/// The views of all tests; the rules' come last.
fn views() -> Vec<ViewSpec<'static>> {
    vec![
        ("positions", "avg_cost", &[("input", "fills")]),
        ("bars", "rollup", &[("input", "fills"), ("sizes", "1m,5m")]),
        (
            "pnl",
            "mark_to_market",
            &[("positions", "positions"), ("quotes", "quotes"), ("snapshot", "1m")],
        ),
        ("dear", "alert", &[("rule", "dear"), ("view", "fills"), ("when", "price > 0.5")]),
        (
            "any",
            "alert",
            &[
                ("rule", "any"),
                ("view", "fills"),
                ("when", "size > 4"),
                ("entity", "asset"),
                ("cooldown", "60s"),
                ("severity", "high"),
            ],
        ),
        ("up", "alert", &[("rule", "up"), ("view", "bars"), ("when", "close > open")]),
        ("loss", "alert", &[("rule", "loss"), ("view", "pnl"), ("when", "total_pnl < 0")]),
        (
            "short",
            "alert",
            &[("rule", "short"), ("view", "positions"), ("when", "qty < 0"), ("every", EVERY)],
        ),
        (
            "held",
            "alert",
            &[
                ("rule", "held"),
                ("view", "fills"),
                ("when", "size > 2"),
                ("for", "90s"),
                ("resolve_when", "size < 4"),
                ("entity", "asset"),
                ("severity", "low"),
                ("severity_when", "info: size > 8, critical: size > 6"),
                ("message", "{{{size}}} at {price}"),
            ],
        ),
        (
            "brief",
            "alert",
            &[
                ("rule", "brief"),
                ("view", "fills"),
                ("when", "size > 2"),
                ("for", "90s"),
                ("cooldown", "60s"),
                ("entity", "asset"),
            ],
        ),
    ]
}

/// A rule of the twin; `n` is its place among the views that are emitted.
fn assert_rule<R: Relation>(
    (given, n): (&Epochs, usize),
    rows: &[(VenueTime, R)],
    rule: &Rule<'_, R>,
    (schema, names): (&Schema, &Names),
) {
    let found: Vec<Alert> = rows!(Alerts, total(given, n));
    let mut found = found;
    found.sort();
    assert_eq!(found, alerts(rows, rule, schema, names), "rule {}", rule.name);
}

fn rule<'a, R>(
    name: &'a str,
    entity: &'a [&'a str],
    is_true: &'a dyn Fn(&R) -> bool,
    message: &'a dyn Fn(&R) -> String,
) -> Rule<'a, R> {
    Rule::new(name, entity, is_true, message)
}

fn check_fills(given: &Epochs, fills: &[Fill], names: &Names) {
    let rows: Vec<_> = fills.iter().map(|f| (f.event_time, f.clone())).collect();
    let half = Price::parse(b"0.5", types::Rounding::Exact).unwrap();
    let price = |f: &Fill| f.shown_price().map_or("null".to_owned(), |p| p.to_string());
    let is_dear = |f: &Fill| f.shown_price().is_some_and(|p| p > half);
    let message = |f: &Fill| format!("dear: price > 0.5 (price = {})", price(f));
    let key = ["venue", "wallet", "asset"];
    let dear = rule("dear", &key, &is_dear, &message);
    assert_rule((given, 2), &rows, &dear, (&Fill::schema(), names));

    let four = Size::from_nano(4_000_000_000).unwrap();
    let is_big = |f: &Fill| f.size > four;
    let message = |f: &Fill| format!("any: size > 4 (size = {})", f.size);
    let any = rule("any", &["asset"], &is_big, &message);
    let any = Rule { severity: &|_| Severity::High, cooldown: COOLDOWN, ..any };
    assert_rule((given, 3), &rows, &any, (&Fill::schema(), names));

    let is_small = |f: &Fill| f.size < four;
    let severity = |f: &Fill| match f.size {
        size if size > Size::from_nano(8_000_000_000).unwrap() => Severity::Info,
        size if size > Size::from_nano(6_000_000_000).unwrap() => Severity::Critical,
        _ => Severity::Low,
    };
    let is_some = |f: &Fill| f.size > Size::from_nano(2_000_000_000).unwrap();
    let message = |f: &Fill| format!("{{{}}} at {}", f.size, price(f));
    let held = rule("held", &["asset"], &is_some, &message);
    let held = Rule { severity: &severity, hold: HOLD, resolves: Some(&is_small), ..held };
    assert_rule((given, 7), &rows, &held, (&Fill::schema(), names));
    let held = Rule { name: "brief", resolves: None, cooldown: COOLDOWN, ..held };
    let message = |f: &Fill| format!("brief: size > 2 (size = {})", f.size);
    let held = Rule { severity: &|_| Severity::Medium, message: &message, ..held };
    assert_rule((given, 8), &rows, &held, (&Fill::schema(), names));
}

fn check_computed(given: &Epochs, names: &Names) {
    let bars: Vec<Bar> = rows!(Bars, total(given, 0));
    let rows: Vec<_> = bars.into_iter().filter(|b| b.is_final).map(|b| (b.bucket, b)).collect();
    let is_up = |b: &Bar| b.close > b.open;
    let message = |b: &Bar| format!("up: close > open (open = {}, close = {})", b.open, b.close);
    let key = ["venue", "asset", "size"];
    let up = rule("up", &key, &is_up, &message);
    assert_rule((given, 4), &rows, &up, (&Bar::schema(), names));

    let pnl: Vec<Pnl> = rows!(Pnl, total(given, 1));
    let rows: Vec<_> = pnl.into_iter().map(|p| (p.snapshot, p)).collect();
    let is_loss = |p: &Pnl| p.total_pnl.raw() < 0;
    let message = |p: &Pnl| format!("loss: total_pnl < 0 (total_pnl = {})", p.total_pnl);
    let loss = rule("loss", &["wallet"], &is_loss, &message);
    assert_rule((given, 5), &rows, &loss, (&Pnl::schema(), names));
}

fn check_positions(given: &Epochs, fills: &[Fill], watermark: VenueTime, names: &Arc<Names>) {
    let span = Span::parse(EVERY).unwrap();
    let mut steps: Vec<VenueTime> = fills.iter().map(|f| f.event_time.next_step(span)).collect();
    steps.sort();
    steps.dedup();
    // A step is seen once it is published.
    steps.retain(|step| *step <= watermark);
    let mut rows = Vec::new();
    for step in steps {
        let has_event = |p: &Position| {
            let mine = fills.iter().filter(|f| (f.wallet, f.asset) == (p.wallet, p.asset));
            mine.into_iter().any(|f| f.event_time.next_step(span) == step)
        };
        let positions = marks::positions(fills, step, names).into_iter();
        rows.extend(positions.filter(has_event).map(|p| (step, p)));
    }
    let is_short = |p: &Position| p.qty.raw() < 0;
    let message = |p: &Position| format!("short: qty < 0 (qty = {})", p.qty);
    let key = ["venue", "wallet", "asset"];
    let short = rule("short", &key, &is_short, &message);
    assert_rule((given, 6), &rows, &short, (&Position::schema(), names));
}

fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let emitted = ["bars", "pnl", "dear", "any", "up", "loss", "short", "held", "brief"];
    let plan = || harness::plan(&views(), &emitted);
    let one = run(plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), &names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let given = one[..n].to_vec();
        let fills = harness::standing(&harness::fills_of(&events), |f| (f.wallet, f.asset, f.id));
        check_fills(&given, &fills, &names);
        check_computed(&given, &names);
        check_positions(&given, &fills, clocks[n - 1].watermark, &names);
    }
}

/// Events whose fills have few times in some histories, so that those of one time come in several epochs.
fn events() -> impl Strategy<Value = Vec<Any>> {
    let grid = prop::sample::select(vec![1, 60, 180]);
    (marks::events(), grid).prop_map(|(mut events, grid)| {
        for event in &mut events {
            if let Any::Fill(fill) = event {
                let nanos = fill.row.event_time.nanos();
                fill.row.event_time =
                    VenueTime::from_nanos(nanos - nanos.rem_euclid(grid * harness::SECOND));
            }
        }
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn alerts_equal_their_twin((epochs, lateness) in history(events())) {
        check(&epochs, lateness);
    }
}

#[test]
fn a_rule_that_can_not_be_is_refused() {
    let mut builder = harness::builder();
    harness::prepare(&mut builder, ("p", "avg_cost", &[("input", "fills")])).unwrap();
    harness::prepare(&mut builder, ("f", "filter", &[("input", "p"), ("where", "qty > 0")]))
        .unwrap();
    for (options, code) in [
        (&[("view", "p"), ("when", "qty > 0")][..], "missing_option"),
        (&[("view", "f"), ("when", "qty > 0"), ("every", "5m")], "wrong_input"),
        (&[("view", "fills"), ("when", "size > 0"), ("every", "5m")], "wrong_option"),
        (&[("view", "fills"), ("when", "size")], "bad_expression"),
        (&[("view", "fills"), ("when", "size > 0"), ("entity", "walet")], "unknown_column"),
        (&[("view", "fills"), ("when", "size > 0"), ("resolve_when", "size")], "bad_expression"),
        (
            &[("view", "fills"), ("when", "size > 0"), ("severity_when", "dire: size > 9")],
            "wrong_value",
        ),
        (
            &[("view", "fills"), ("when", "size > 0"), ("severity_when", "high: size")],
            "bad_expression",
        ),
        (&[("view", "fills"), ("when", "size > 0"), ("message", "{sice}")], "bad_template"),
        (&[("view", "fills"), ("when", "size > 0"), ("message", "{size")], "bad_template"),
        (&[("view", "fills"), ("when", "size > 0"), ("message", "size}")], "bad_template"),
    ] {
        let problems = harness::prepare(&mut builder, ("a", "alert", options)).unwrap_err();
        assert_eq!(problems[0].code, code, "{options:?}");
    }
}
