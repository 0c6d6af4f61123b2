//! `top_k` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::Value;
use types::relations::{Fill, Position, Relation};

use crate::harness::{self, Any, history, run_on_all, stands, total, total_rows};
use crate::{marks, rows};

/// Runs the history over all views at once: groups inside the key and outside, one group of all, nulls,
/// ties, and rows without a time.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let plan = || {
        let views: [harness::ViewSpec<'_>; 5] = [
            ("p", "avg_cost", &[("input", "fills")]),
            (
                "a",
                "top_k",
                &[
                    ("input", "fills"),
                    ("by", "asset"),
                    ("order", "price"),
                    ("k", "3"),
                    ("descending", "true"),
                ],
            ),
            ("b", "top_k", &[("input", "fills"), ("order", "size"), ("k", "5")]),
            (
                "c",
                "top_k",
                &[
                    ("input", "fills"),
                    ("by", "price"),
                    ("order", "wallet"),
                    ("k", "2"),
                    ("descending", "true"),
                ],
            ),
            (
                "d",
                "top_k",
                &[
                    ("input", "p"),
                    ("by", "asset"),
                    ("order", "n_fills"),
                    ("k", "2"),
                    ("descending", "true"),
                ],
            ),
        ];
        harness::plan(&views, &["p", "a", "b", "c", "d"])
    };
    let one = run_on_all(plan, &names, epochs, lateness);
    for n in 1..=epochs.len() {
        let (given, stands) = (one[..n].to_vec(), stands(&epochs[..n]));
        let of_fills = |by: &[&str], order: &str, k| {
            let index = Fill::schema().index(order).unwrap();
            let value = |row: &Fill| row.column(index, &names);
            oracle::top_k(&stands.fills, by, value, k, (&Fill::schema(), &names))
        };
        assert_eq!(total_rows(&given, 1), of_fills(&["asset"], "price", (3, true)));
        assert_eq!(total_rows(&given, 2), of_fills(&[], "size", (5, false)));
        assert_eq!(total_rows(&given, 3), of_fills(&["price"], "wallet", (2, true)));
        let positions = rows!(Positions, total(&given, 0));
        let value = |row: &Position| Value::from(row.n_fills);
        let schema = Position::schema();
        let d = oracle::top_k(&positions, &["asset"], value, (2, true), (&schema, &names));
        assert_eq!(total_rows(&given, 4), d);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn first_rows_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}
