//! Scores: as long as no change comes too late they are those of one pass over the rows in order; where
//! some do, they are still the same on any number of workers, and after any interruption.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::oracle::anomaly::{Asked, Twin};
use detectors::{Kind, Options};
use proptest::prelude::{Strategy as _, any};
use types::relations::{Fill, Relation};
use types::{Names, Row, Schema, VenueTime};

use super::cases::check_cases;
use super::history::{Placed, ledger_history};
use super::market::Standing;
use super::resumed::{Shares, assert_resumed, places};
use super::runs::{Loaded, Way, load, run};
use super::twins::Lines;
use super::{assert_same_stream, assert_way, busy, busy_way, way};

const SCORES: &str = include_str!("scores.toml");

thread_local! {
    static ALL: Loaded = load(SCORES);
    static SOME: Loaded = load(&SCORES.replace("1000w", "30s"));
}

fn rows_of<R: Relation>(rows: &[R], schema: &Schema, names: &Names) -> Vec<Row> {
    let row = |row: &R| (0..schema.columns.len()).map(|index| row.column(index, names)).collect();
    rows.iter().map(|r| Row(row(r))).collect()
}

/// Lines of all views.
fn scores(loaded: &Loaded, history: &[Placed]) -> Lines {
    let standing = Standing::new(loaded, history);
    let names = standing.names.names();
    let schema = |view| &loaded.plan.views[loaded.plan.view(view).unwrap()].schema;
    let fills = rows_of(&standing.fills, &Fill::schema(), names);
    let flow: Vec<Row> = standing.flow().into_iter().collect();
    let odd = Asked {
        schema: Fill::schema().shared(),
        columns: vec!["price", "size"],
        by: Vec::new(),
        length: None,
        is_by_key: false,
        is_normalised: false,
        refit_on: None,
        revise_within: i64::MAX,
        forget_after: None,
        explain_from: 0.9,
        options: Options { warm_up: 16, ..Options::default() },
    };
    let own = Asked {
        schema: Arc::clone(schema("flow")),
        columns: vec!["count_1m", "volume_5m", "vwap_1m", "last_return"],
        by: vec!["asset"],
        is_by_key: true,
        explain_from: 0.5,
        options: Options { kind: Kind::Loda, seed: 7, ..odd.options.clone() },
        ..odd.clone()
    };
    let usual = Asked {
        columns: vec!["count_5m", "vwap_5m"],
        is_by_key: false,
        is_normalised: true,
        explain_from: 0.99,
        options: odd.options.clone(),
        ..own.clone()
    };
    let mut lines = Lines::new();
    for (view, rows, asked) in
        [("odd", fills, odd), ("own", flow.clone(), own), ("usual", flow, usual)]
    {
        let mut twin = Twin::new(asked, Arc::clone(names));
        let rows: Vec<(Row, isize)> = rows.into_iter().map(|row| (row, 1)).collect();
        twin.take(&rows, VenueTime::END);
        lines.insert(view, standing.lines(&twin.rows(), schema(view)));
    }
    for empty in ["odd.stale", "own.stale", "usual.stale"] {
        lines.insert(empty, BTreeSet::new());
    }
    lines
}

fn follows(history: &[Placed], way: Way) {
    ALL.with(|loaded| {
        assert_way(loaded, history, way, &scores(loaded, history));
    });
}

fn stream_follows(history: &[Placed], way: Way) {
    SOME.with(|loaded| {
        let one = run(loaded, history, Way { n_workers: 1, spills: false, ..way });
        assert_same_stream(&one, &run(loaded, history, way), way);
    });
}

/// A run that goes on, some of whose changes came too late.
pub(super) fn go_on(history: &[Placed], way: Way, shares: &Shares) {
    SOME.with(|loaded| assert_resumed(loaded, history, way, shares));
}

#[test]
fn scores_follow_both_laws() {
    check_cases("scores", 150, (ledger_history(60), way()), |(history, way)| {
        follows(&history, way);
    });
}

#[test]
fn scores_of_long_histories_follow_both_laws() {
    check_cases("long scores", 10, (any::<u64>().no_shrink(), busy_way()), |(seed, way)| {
        follows(&busy::ledger_history(seed), way);
    });
}

#[test]
fn stale_scores_are_the_same_on_all_workers() {
    check_cases("stale scores", 100, (ledger_history(60), way()), |(history, way)| {
        stream_follows(&history, way);
    });
}

#[test]
fn resumed_scores_go_on_as_if_nothing_had_been() {
    check_cases("resumed scores", 200, (ledger_history(60), way(), places()), |(h, way, at)| {
        go_on(&h, way, &at);
    });
}
