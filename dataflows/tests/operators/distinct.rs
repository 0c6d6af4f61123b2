//! `distinct` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::relations::{Fill, Quote};

use crate::harness::{self, Any, history, run_on_all, stands, total_rows};
use crate::marks;

/// Runs the history over rows that are taken back, with nulls, and over a stream.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let plan = || {
        let views: [harness::ViewSpec<'_>; 3] = [
            ("a", "distinct", &[("input", "fills"), ("columns", "side,wallet")]),
            ("b", "distinct", &[("input", "fills"), ("columns", "price")]),
            ("c", "distinct", &[("input", "quotes"), ("columns", "asset,event_time")]),
        ];
        harness::plan(&views, &["a", "b", "c"])
    };
    let one = run_on_all(plan, &names, epochs, lateness);
    for n in 1..=epochs.len() {
        let (given, stands) = (one[..n].to_vec(), stands(&epochs[..n]));
        let of_fills =
            |columns: &[&str]| oracle::distinct(&stands.fills, columns, &Fill::schema(), &names);
        assert_eq!(total_rows(&given, 0), of_fills(&["side", "wallet"]));
        assert_eq!(total_rows(&given, 1), of_fills(&["price"]));
        let columns = ["asset", "event_time"];
        let c = oracle::distinct(&stands.quotes, &columns, &Quote::schema(), &names);
        assert_eq!(total_rows(&given, 2), c);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts_of_values_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}
