use std::collections::BTreeMap;

use proptest::prelude::*;
use types::options::Setting;
use types::relations::{Quote, RelationKind};
use types::schema::Kind;
use types::{Interner, Price, VenueTime};

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};

fn of(condition: &str) -> Settings {
    settings([
        ("input", Setting::Text("orders".to_owned()), 10..18),
        ("where", Setting::Text(condition.to_owned()), 30..32 + condition.len()),
    ])
}

fn orders() -> Vec<crate::plan::RelationSpec> {
    let columns = [("id", Kind::Text), ("qty?", Kind::Number), ("side", Kind::Name)];
    vec![relation("orders", RelationKind::Rows, schema(&columns, 1))]
}

#[test]
fn keeps_what_is_true_and_follows_corrections() {
    let prepared = prepare(&Filter, orders(), &of("qty * qty > 4 and side = 'buy'")).unwrap();
    let huge = "c 99999999999999999999 buy";
    let rows = [
        ("a 3 buy", 0, 1),
        ("b 3 sell", 0, 1),
        ("n null buy", 0, 1),
        (huge, 1, 1),
        // A correction takes one row out, lets another in and heals the overflow.
        ("a 3 buy", 2, -1),
        ("a 2 buy", 2, 1),
        ("b 3 sell", 2, -1),
        ("b 3 buy", 2, 1),
        (huge, 3, -1),
        ("c -9 buy", 3, 1),
    ];
    let rows = rows.map(|(values, epoch, diff)| (row(values), epoch, diff)).to_vec();
    assert_eq!(
        changes(prepared, &no_names(), rows),
        [
            vec![
                r#"0 +1 {"id":"a","qty":"3","side":"buy"}"#,
                r#"2 -1 {"id":"a","qty":"3","side":"buy"}"#,
                r#"2 +1 {"id":"b","qty":"3","side":"buy"}"#,
                r#"3 +1 {"id":"c","qty":"-9","side":"buy"}"#,
            ],
            vec![
                r#"1 +1 {"id":"c","reason":"overflow"}"#,
                r#"3 -1 {"id":"c","reason":"overflow"}"#,
            ],
        ]
    );
}

#[test]
fn typed_rows_stay_typed() {
    let mut interner = Interner::new(false);
    let [btc, eth] = ["BTC", "ETH"].map(|asset| interner.asset("kraken", asset));
    let quote = |asset, seq| Quote {
        asset,
        market: None,
        bid: Some(Price::from_nano(1_500_000_000).unwrap()),
        bid_size: None,
        ask: None,
        ask_size: None,
        event_time: VenueTime::EARLIEST,
        seq,
    };
    let quotes = relation("orders", RelationKind::Quotes, Quote::schema());
    let prepared =
        prepare(&Filter, vec![quotes], &of("asset = 'BTC' and bid = 1.5 and ask is null"));
    let prepared = prepared.unwrap();
    assert_eq!(prepared.outputs[0].kind, RelationKind::Quotes);
    assert!(prepared.outputs.iter().all(|output| !output.is_keyed));
    let rows = vec![(quote(btc, 1), 0, 1), (quote(eth, 2), 0, 1), (quote(btc, 3), 4, 1)];
    let [kept, errors] = changes(prepared, interner.names(), rows).try_into().unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept[1].starts_with(r#"4 +1 {"venue":"kraken","asset":"BTC","market":null"#));
    assert!(errors.is_empty());
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |condition: &str| {
        let problems = prepare(&Filter, orders(), &of(condition)).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    for (condition, expected) in [
        ("qty <", &["36..36 bad_expression expected a value after `<`"][..]),
        ("qty", &["30..35 bad_expression the expression must be true or false"]),
        (
            "qt > 0 and sid = 'buy'",
            &[
                "31..33 bad_expression no column is named `qt`",
                "42..45 bad_expression no column is named `sid`",
            ],
        ),
    ] {
        assert_eq!(problems(condition), expected, "{condition}");
    }
    // The text is checked also where nothing is known of the input.
    let settings = settings([
        ("input", Setting::Text("order".to_owned()), 10..17),
        ("where", Setting::Text("qty <".to_owned()), 30..37),
    ]);
    let problems = prepare(&Filter, orders(), &settings).err().unwrap();
    assert_eq!(
        problems.iter().map(|p| p.code).collect::<Vec<_>>(),
        ["unknown_view", "bad_expression"]
    );
}

/// An order: its quantity, and whether it is bought.
type Order = (Option<i64>, bool);

proptest! {
    #[test]
    fn a_history_gives_what_its_rows_give(
        history in prop::collection::vec((0u8..6, prop::option::of((prop::option::of(-9i64..9), any::<bool>()))), 0..40),
        n_per_epoch in 1usize..7,
    ) {
        // Each key holds one row at most: a new state takes the old one back.
        let text = |key: u8, (qty, is_buy): Order| {
            let qty = qty.map_or("null".to_owned(), |qty| qty.to_string());
            format!("{key}x {qty} {}", if is_buy { "buy" } else { "sell" })
        };
        let mut held: BTreeMap<u8, Order> = BTreeMap::new();
        let mut rows = Vec::new();
        for (i, (key, order)) in history.into_iter().enumerate() {
            let epoch = u64::try_from(i / n_per_epoch).unwrap();
            if let Some(old) = held.remove(&key) {
                rows.push((row(&text(key, old)), epoch, -1));
            }
            if let Some(new) = order {
                rows.push((row(&text(key, new)), epoch, 1));
                held.insert(key, new);
            }
        }
        let condition = "not (side = 'sell' or qty < 2) or 7 - qty = 12 and side != 'buy'";
        let prepared = prepare(&Filter, orders(), &of(condition)).unwrap();
        let [kept, errors] = changes(prepared, &no_names(), rows).try_into().unwrap();
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for change in kept {
            let [_, diff, row] = change.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            *sums.entry(row.to_owned()).or_default() += diff.parse::<i64>().unwrap();
        }
        sums.retain(|_, sum| *sum != 0);
        let keeps = |(qty, is_buy): Order| {
            qty.is_some_and(|qty| if is_buy { qty >= 2 } else { qty == -5 })
        };
        let expected = held.into_iter().filter(|(_, order)| keeps(*order)).map(|(key, (qty, is_buy))| {
            let (qty, side) = (qty.unwrap(), if is_buy { "buy" } else { "sell" });
            (format!(r#"{{"id":"{key}x","qty":"{qty}","side":"{side}"}}"#), 1)
        });
        prop_assert_eq!(sums, expected.collect());
        prop_assert!(errors.is_empty());
    }
}
