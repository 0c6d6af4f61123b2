//! `asof_join` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::Span;
use types::relations::{Fill, Quote, Trade};

use crate::harness::{self, Any, history, run_on_all, stands, total_rows};
use crate::marks;

/// Runs the history over all views at once: `on` inside the key and outside, with nulls in it, on the
/// rows of a stream and on rows that are taken back, on rows of the view itself.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let plan = || {
        let views: [harness::ViewSpec<'_>; 5] = [
            ("a", "asof_join", &[("input", "fills"), ("with", "quotes"), ("on", "venue,asset")]),
            (
                "b",
                "asof_join",
                &[("input", "fills"), ("with", "trades"), ("on", "price"), ("within", "100s")],
            ),
            (
                "c",
                "asof_join",
                &[("input", "trades"), ("with", "fills"), ("on", ""), ("prefix", "f_")],
            ),
            (
                "d",
                "asof_join",
                &[("input", "fills"), ("with", "fills"), ("on", "wallet"), ("within", "1ns")],
            ),
            // Quotes are whole sevens of seconds apart, so that many are as old as they may be.
            (
                "e",
                "asof_join",
                &[("input", "fills"), ("with", "quotes"), ("on", "asset"), ("within", "7s")],
            ),
        ];
        harness::plan(&views, &["a", "b", "c", "d", "e"])
    };
    let one = run_on_all(plan, &names, epochs, lateness);
    for n in 1..=epochs.len() {
        let (given, stands) = (one[..n].to_vec(), stands(&epochs[..n]));
        let fills = (&stands.fills[..], &Fill::schema());
        let trades = (&stands.trades[..], &Trade::schema());
        let quotes = (&stands.quotes[..], &Quote::schema());
        let within = |text| Span::parse(text);
        let a = oracle::asof_join(fills, quotes, &["venue", "asset"], None, &names);
        assert_eq!(total_rows(&given, 0), a, "of quotes");
        let b = oracle::asof_join(fills, trades, &["price"], within("100s"), &names);
        assert_eq!(total_rows(&given, 1), b, "of trades");
        assert_eq!(total_rows(&given, 2), oracle::asof_join(trades, fills, &[], None, &names));
        let d = oracle::asof_join(fills, fills, &["wallet"], within("1ns"), &names);
        assert_eq!(total_rows(&given, 3), d, "of itself");
        let e = oracle::asof_join(fills, quotes, &["asset"], within("7s"), &names);
        assert_eq!(total_rows(&given, 4), e, "of fresh quotes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_with_what_stood_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}
