//! `aggregate` against its twin.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::oracle::{self, Asked};
use proptest::prelude::*;
use types::relations::{Fill, Quote, Relation};
use types::{Decimal, Row, Text, Value};

use crate::harness::{self, Any, history, run_on_all, stands, total_rows};
use crate::marks;

/// Brings sums of a few sizes beyond 38 digits.
const HUGE: &str = "3000000000000000000000000000";

const OF_ASSET: &str = "n: count(), prices: count(price), volume: sum(size), high: max(price), \
    low: min(price), mean: avg(price), wallets: distinct(wallet), first: min(event_time), \
    last_wallet: max(wallet)";
const OF_PRICE: &str = "whole: sum(size * 3000000000000000000000000000), mean: avg(size / 7 * 0.1)";
const OF_ALL: &str = "n: count(), bids: distinct(bid), spread: avg(ask - bid)";

/// Runs the history over all views at once: groups inside the key and outside, one group of a stream,
/// sums that overflow and heal.
fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let plan = || {
        let views: [harness::ViewSpec<'_>; 3] = [
            ("a", "aggregate", &[("input", "fills"), ("by", "asset"), ("values", OF_ASSET)]),
            ("b", "aggregate", &[("input", "fills"), ("by", "price"), ("values", OF_PRICE)]),
            ("c", "aggregate", &[("input", "quotes"), ("values", OF_ALL)]),
        ];
        harness::plan(&views, &["a", "b", "b.errors", "c"])
    };
    let one = run_on_all(plan, &names, epochs, lateness);
    let column = |name: &'static str| {
        let (index, names) = (Fill::schema().index(name).unwrap(), Arc::clone(&names));
        move |row: &Fill| Some(row.column(index, &names))
    };
    let price = column("price");
    let (size, wallet, time) = (column("size"), column("wallet"), column("event_time"));
    let yes = |_: &Fill| Some(Value::Bool(true));
    let of_asset: [Asked<'_, Fill>; 9] = [
        ("count", &yes),
        ("count", &price),
        ("sum", &size),
        ("max", &price),
        ("min", &price),
        ("avg", &price),
        ("distinct", &wallet),
        ("min", &time),
        ("max", &wallet),
    ];
    let number = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
    let huge = |row: &Fill| Decimal::from(row.size).checked_mul(number(HUGE)).map(Value::Number);
    let small = |row: &Fill| {
        let seventh = Decimal::from(row.size).checked_div(number("7")).unwrap();
        seventh.checked_mul(number("0.1")).map(Value::Number)
    };
    let of_price: [Asked<'_, Fill>; 2] = [("sum", &huge), ("avg", &small)];
    let any = |_: &Quote| Some(Value::Bool(true));
    let bid = |row: &Quote| Some(Value::from(row.bid));
    let spread = |row: &Quote| {
        let both = row.bid.zip(row.ask);
        let spread = both.map(|(b, a)| Decimal::from(a).checked_sub(Decimal::from(b)).unwrap());
        Some(Value::from(spread))
    };
    let of_all: [Asked<'_, Quote>; 3] = [("count", &any), ("distinct", &bid), ("avg", &spread)];
    for n in 1..=epochs.len() {
        let (given, stands) = (one[..n].to_vec(), stands(&epochs[..n]));
        let of_fills = |by, asked| {
            oracle::aggregate(&stands.fills, (&[by], ""), asked, (&Fill::schema(), &names))
        };
        assert_eq!(total_rows(&given, 0), of_fills("asset", &of_asset[..]).0);
        let (rows, errors) = of_fills("price", &of_price[..]);
        assert_eq!(total_rows(&given, 1), rows);
        let error = |(mut key, place): (Vec<Value>, usize)| {
            assert_eq!(place, 0, "only the sum is large");
            key.push(Value::Text(Text::from("overflow of whole")));
            Row(key.into())
        };
        assert_eq!(total_rows(&given, 2), errors.into_iter().map(error).collect::<BTreeSet<_>>());
        let schema = Quote::schema();
        let c = oracle::aggregate(&stands.quotes, (&[], "quotes"), &of_all, (&schema, &names));
        assert_eq!(total_rows(&given, 3), c.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn groups_equal_their_twin((epochs, lateness) in history(marks::events())) {
        check(&epochs, lateness);
    }
}
