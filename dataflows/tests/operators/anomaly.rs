//! `anomaly` over bars and over features by step, through the dataflow, against its twin.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::Plan;
use dataflows::oracle::anomaly::{Asked, Twin};
use detectors::Options;
use proptest::prelude::*;
use types::relations::{Fill, Relation};
use types::{Changes, Names, Row, Schema};

use crate::harness::{self, Any, Epochs, ViewSpec, clocks, history, run, total};
use crate::rows;

/// The scored views come last: by bar, by step, and by step with a model a key; each with what came too
/// late.
const EMITTED: &[&str] = &[
    "bars",
    "flow",
    "of_bars",
    "of_bars.stale",
    "of_flow",
    "of_flow.stale",
    "of_keys",
    "of_keys.stale",
];

fn views() -> Vec<ViewSpec<'static>> {
    vec![
        ("bars", "rollup", &[("input", "fills"), ("sizes", "1m,5m")]),
        (
            "flow",
            "features",
            &[
                ("input", "fills"),
                ("by", "venue,asset"),
                ("windows", "3m"),
                ("kind", "sliding"),
                ("emit", "step"),
                ("step", "1m"),
                ("features", "count,volume,vwap"),
            ],
        ),
        (
            "of_bars",
            "anomaly",
            &[
                ("input", "bars"),
                ("columns", "close,volume"),
                ("detector", "robust_z"),
                ("scope", "view"),
                ("normalise", "false"),
                ("warm_up", "16"),
                ("revise_within", "10m"),
                ("explain_from", "0.8"),
            ],
        ),
        (
            "of_flow",
            "anomaly",
            &[
                ("input", "flow"),
                ("detector", "robust_z"),
                ("scope", "view"),
                ("warm_up", "16"),
                ("revise_within", "4m"),
                ("forget_after", "3m"),
                ("explain_from", "0.8"),
            ],
        ),
        (
            "of_keys",
            "anomaly",
            &[
                ("input", "flow"),
                ("columns", "volume_3m"),
                ("detector", "robust_z"),
                ("scope", "key"),
                ("warm_up", "16"),
                ("refit_on", "count_3m"),
                ("revise_within", "0s"),
                ("forget_after", "2m"),
                ("explain_from", "0.8"),
            ],
        ),
    ]
}

/// What the twins are asked, in the order of the views.
fn asked(bars: &Arc<Schema>, flow: &Arc<Schema>) -> [Asked; 3] {
    let minutes = |minutes: i64| minutes * 60 * harness::SECOND;
    let options = Options { kind: detectors::Kind::RobustZ, warm_up: 16, ..Options::default() };
    let of_bars = Asked {
        schema: Arc::clone(bars),
        columns: vec!["close", "volume"],
        by: Vec::new(),
        length: Some("size"),
        is_by_key: false,
        is_normalised: false,
        refit_on: None,
        revise_within: minutes(10),
        forget_after: None,
        explain_from: 0.8,
        options,
    };
    let of_flow = Asked {
        schema: Arc::clone(flow),
        columns: vec!["count_3m", "volume_3m", "vwap_3m"],
        by: vec!["venue", "asset"],
        length: None,
        is_normalised: true,
        revise_within: minutes(4),
        forget_after: Some(minutes(3)),
        ..of_bars.clone()
    };
    let of_keys = Asked {
        columns: vec!["volume_3m"],
        is_by_key: true,
        is_normalised: false,
        refit_on: Some("count_3m"),
        revise_within: 0,
        forget_after: Some(minutes(2)),
        ..of_flow.clone()
    };
    [of_bars, of_flow, of_keys]
}

/// Fills over an hour.
fn events() -> impl Strategy<Value = Vec<Any>> {
    harness::seeds(240).prop_map(|seeds| {
        let mut interner = harness::interner();
        let far = |s: &harness::Seed| (s.0, s.1, s.2, s.3 * 4, s.4, s.5, s.6, s.7);
        let fills = seeds.iter().map(|seed| harness::fill(&far(seed), &mut interner)).collect();
        let fills = harness::without_conflicts(fills, |f: &Fill| (f.wallet, f.asset, f.id));
        fills.into_iter().map(Any::Fill).collect()
    })
}

/// An epoch's changes as declared rows; bars once they are final.
fn changes(changes: &Changes, schema: &Schema, names: &Names) -> Vec<(Row, isize)> {
    match changes {
        Changes::Rows(rows) => rows.clone(),
        Changes::Bars(bars) => {
            let row = |bar: &types::relations::Bar| {
                Row((0..schema.columns.len()).map(|column| bar.column(column, names)).collect())
            };
            let finals = bars.iter().filter(|(bar, _)| bar.is_final);
            finals.map(|(bar, diff)| (row(bar), *diff)).collect()
        }
        other => panic!("other rows: {other:?}"),
    }
}

fn set(given: &Epochs, view: usize) -> BTreeSet<Row> {
    rows!(Rows, total(given, view)).into_iter().collect()
}

/// Gives how many rows were scored.
fn check(epochs: &[Vec<Any>], lateness: i64) -> usize {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let plan = || -> Plan { harness::plan(&views(), EMITTED) };
    let one = run(plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), &names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    let plan = plan();
    let schema = |view: &str| &plan.views[plan.view(view).unwrap()].schema;
    let [bars, flow] = [schema("bars"), schema("flow")];
    let mut n_scored = 0;
    for (n, asked) in asked(bars, flow).into_iter().enumerate() {
        let (input, schema) = if n == 0 { (0, bars) } else { (1, flow) };
        let mut twin = Twin::new(asked, Arc::clone(&names));
        for (epoch, clock) in clocks.iter().enumerate() {
            twin.take(&changes(&one[epoch][input], schema, &names), clock.watermark);
            let given = one[..=epoch].to_vec();
            let (scores, stale) = (set(&given, 2 + 2 * n), set(&given, 3 + 2 * n));
            assert_eq!(scores, twin.rows(), "{} epoch {epoch}", EMITTED[2 + 2 * n]);
            assert_eq!(stale, twin.stale(), "{} epoch {epoch}", EMITTED[3 + 2 * n]);
            if epoch + 1 == clocks.len() {
                let n_key = schema.n_key;
                n_scored += scores.iter().filter(|row| row.0[n_key] != types::Value::Null).count();
            }
        }
    }
    n_scored
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_of_bars_and_steps_equal_their_twin((epochs, lateness) in history(events())) {
        check(&epochs, lateness);
    }
}

/// Enough rows for scores, and for changes that come too late.
#[test]
fn scores_of_a_long_history_equal_their_twin() {
    let mut interner = harness::interner();
    let mut fill = |n: i64| {
        let wallet = u8::try_from(n % 4).unwrap();
        let seed = (0, wallet, 0, n * 7 % 3_600, 2 + n % 9, 1 + n % 7, 0, 0);
        let row = harness::fill(&seed, &mut interner).row;
        Fill { id: interner.event_id(&(1_000 + n).to_string()), ..row }
    };
    let mut fills: Vec<Fill> = (0..800).map(&mut fill).collect();
    fills.sort_by_key(|fill| (fill.event_time, fill.id));
    // One in a hundred comes in the last epoch.
    let (late, rest): (Vec<_>, Vec<_>) =
        fills.into_iter().enumerate().partition(|(index, _)| index % 100 == 99);
    let event = |(_, row): (usize, Fill)| {
        Any::Fill(types::Event { op: types::Op::Insert, revision: 0, is_first: false, row })
    };
    let rest: Vec<Any> = rest.into_iter().map(event).collect();
    let mut epochs: Vec<Vec<Any>> = rest.chunks(80).map(<[Any]>::to_vec).collect();
    epochs.push(late.into_iter().map(event).collect());
    epochs.push(Vec::new());
    let n_scored = check(&epochs, 30 * harness::SECOND);
    assert!(n_scored > 50, "{n_scored}");
}
