//! `latest` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::relations::{Fill, Quote, Relation};
use types::{Row, Value};

use crate::harness::{self, Any, clocks, history, run, total};
use crate::{marks, rows};

/// Runs the history on 1, 2 and 4 workers over all views at once.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let plan = || {
        let views: [harness::ViewSpec<'_>; 3] = [
            ("q", "latest", &[("input", "quotes")]),
            ("f", "latest", &[("input", "fills"), ("by", "asset,side")]),
            ("w", "latest", &[("input", "fills"), ("by", "price")]),
        ];
        harness::plan(&views, &["q", "f", "w"])
    };
    let one = run(plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), &names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let given = one[..n].to_vec();
        let quotes: Vec<Quote> = harness::quotes_of(&events).into_iter().map(|e| e.row).collect();
        let last = oracle::latest(&quotes, &["venue", "asset"], &Quote::schema(), &names);
        assert_eq!(rows!(Quotes, total(&given, 0)), last.into_iter().collect::<Vec<_>>());

        let fills = harness::standing(&harness::fills_of(&events), |f| (f.wallet, f.asset, f.id));
        let last = oracle::latest(&fills, &["asset", "side"], &Fill::schema(), &names);
        assert_eq!(rows!(Rows, total(&given, 1)), moved(last, &[2, 5], &Fill::schema(), &names));

        // A fill without a price has no key here.
        let fills: Vec<Fill> = fills.into_iter().filter(|f| f.shown_price().is_some()).collect();
        let last = oracle::latest(&fills, &["price"], &Fill::schema(), &names);
        assert_eq!(rows!(Rows, total(&given, 2)), moved(last, &[6], &Fill::schema(), &names));
    }
}

/// Rows with some columns first.
fn moved<R: Relation>(
    rows: impl IntoIterator<Item = R>,
    first: &[usize],
    schema: &types::Schema,
    names: &types::Names,
) -> Vec<Row> {
    let rest = (0..schema.columns.len()).filter(|i| !first.contains(i));
    let order: Vec<usize> = first.iter().copied().chain(rest).collect();
    let row = |row: R| -> Row {
        Row(order.iter().map(|i| row.column(*i, names)).collect::<Vec<Value>>().into())
    };
    let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn last_rows_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}

#[test]
fn what_has_no_time_or_column_is_refused() {
    let mut builder = harness::builder();
    harness::prepare(&mut builder, ("p", "avg_cost", &[("input", "fills")])).unwrap();
    for (options, code) in [
        (&[("input", "p")][..], "wrong_input"),
        (&[("input", "fills"), ("by", "asett")], "unknown_column"),
        (&[("input", "fills"), ("by", "asset,asset")], "duplicate_column"),
    ] {
        let problems = harness::prepare(&mut builder, ("l", "latest", options)).unwrap_err();
        assert_eq!(problems[0].code, code);
    }
}
