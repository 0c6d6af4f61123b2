//! `join` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::Names;
use types::relations::{Fill, Position, Trade};

use crate::harness::{self, Any, history, run_on_all, stands, total, total_rows};
use crate::{marks, rows};

/// Runs the history over all views at once: one row that meets many, many that meet many, and left
/// joins with nulls in `on`.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let plan = || {
        let views: [harness::ViewSpec<'_>; 6] = [
            ("p", "avg_cost", &[("input", "fills")]),
            ("t", "latest", &[("input", "trades"), ("by", "price")]),
            ("a", "join", &[("input", "trades"), ("with", "p"), ("on", "venue,asset")]),
            ("b", "join", &[("input", "fills"), ("with", "trades"), ("on", "asset,price")]),
            (
                "c",
                "join",
                &[
                    ("input", "fills"),
                    ("with", "p"),
                    ("on", "wallet,asset,venue"),
                    ("kind", "left"),
                ],
            ),
            ("d", "join", &[("input", "fills"), ("with", "t"), ("on", "price"), ("kind", "left")]),
        ];
        harness::plan(&views, &["p", "t", "a", "b", "c", "d"])
    };
    let one = run_on_all(plan, &names, epochs, lateness);
    for n in 1..=epochs.len() {
        let (given, stands) = (one[..n].to_vec(), stands(&epochs[..n]));
        let positions = rows!(Positions, total(&given, 0));
        let positions = (&positions[..], &Position::schema());
        let fills = (&stands.fills[..], &Fill::schema());
        let trades = (&stands.trades[..], &Trade::schema());
        let a = oracle::join(trades, positions, &["venue", "asset"], false, &names);
        assert_eq!(total_rows(&given, 2), a, "trades and positions");
        let b = oracle::join(fills, trades, &["asset", "price"], false, &names);
        assert_eq!(total_rows(&given, 3), b, "fills and trades");
        let c = oracle::join(fills, positions, &["wallet", "asset", "venue"], true, &names);
        assert_eq!(total_rows(&given, 4), c, "fills and their positions");
        let d = with_last(&stands.fills, &stands.trades, &names);
        assert_eq!(total_rows(&given, 5), d, "fills and last trades");
    }
}

/// Fills with the last trade at their price.
fn with_last(
    fills: &[Fill],
    trades: &[Trade],
    names: &Names,
) -> std::collections::BTreeSet<types::Row> {
    let schema = Trade::schema();
    let last = oracle::latest(trades, &["price"], &schema, names);
    let last: Vec<Trade> = last.into_iter().collect();
    // The price is the key of these rows, and their columns stand behind it.
    let schema = types::Schema { n_key: 0, ..schema };
    oracle::join((fills, &Fill::schema()), (&last, &schema), &["price"], true, names)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pairs_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}
