use std::collections::BTreeMap;

use proptest::prelude::*;
use types::options::Setting;

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};
use crate::plan::RelationSpec;

/// Settings with lists at 20 and texts where they are listed below.
fn of(patterns: &[&str], rules: &[(&str, &str)], keep: &str) -> Settings {
    let listed = patterns.iter().map(|name| ((*name).to_owned(), 20..30)).collect();
    let place = |text: &str| 40..42 + text.len();
    let rule = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned(), place(text));
    settings([
        ("input", Setting::Text("orders".to_owned()), 0..8),
        ("patterns", Setting::List(listed), 20..30),
        ("rules", Setting::Assignments(rules.iter().map(rule).collect()), 40..41),
        ("keep", Setting::Text(keep.to_owned()), 50..51),
    ])
}

fn orders() -> Vec<RelationSpec> {
    let columns =
        [("id", Kind::Text), ("qty?", Kind::Number), ("side", Kind::Name), ("at", Kind::Time)];
    vec![relation("orders", RelationKind::Rows, schema(&columns, 1))]
}

/// What `features` gives of fills by wallet, with these windows, less some columns.
fn features(windows: &[&str], without: &[&str]) -> Vec<RelationSpec> {
    let mut columns = vec![
        Column { name: "wallet".into(), kind: Kind::Text, nullable: false },
        Column { name: "time".into(), kind: Kind::Time, nullable: false },
    ];
    for (feature, kind) in [
        ("count", Kind::Count),
        ("volume", Kind::Size),
        ("notional", Kind::Money),
        ("imbalance", Kind::Float),
        ("return_z", Kind::Float),
        ("momentum", Kind::Float),
        ("spread", Kind::Float),
        ("largest_share", Kind::Float),
        ("covered", Kind::Float),
    ] {
        let named = windows.iter().map(|window| format!("{feature}_{window}"));
        columns.extend(named.map(|name| Column { name: name.into(), kind, nullable: true }));
    }
    columns.push(Column { name: "last_return".into(), kind: Kind::Float, nullable: true });
    columns.push(Column { name: "age".into(), kind: Kind::Number, nullable: false });
    columns.retain(|column| !without.contains(&column.name.as_ref()));
    let schema = Schema { columns, n_key: 2, time: Some(1) };
    vec![relation("orders", RelationKind::Rows, schema)]
}

fn problems(relations: Vec<RelationSpec>, settings: &Settings) -> Vec<String> {
    let problems = prepare(&Label, relations, settings).err().unwrap();
    let show = |p: Problem| {
        let hint = p.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
        format!("{:?} {} {}{hint}", p.place, p.code, p.message)
    };
    problems.into_iter().map(show).collect()
}

#[test]
fn rows_bear_the_names_of_what_is_true() {
    let rules = [("large", "qty * qty > 4"), ("bought", "side = 'buy'"), ("none", "qty is null")];
    let rows = [
        ("a 3 buy null", 0, 1),
        ("b 1 sell null", 0, 1),
        ("n null buy null", 0, 1),
        ("c 99999999999999999999 buy null", 1, 1),
        // A correction changes the labels, lets a row in, and heals the overflow.
        ("a 3 buy null", 2, -1),
        ("a 3 sell null", 2, 1),
        ("b 1 sell null", 2, -1),
        ("b 9 buy null", 2, 1),
        ("c 99999999999999999999 buy null", 3, -1),
        ("c 0 sell null", 3, 1),
    ];
    let rows = rows.map(|(values, epoch, diff)| (row(values), epoch, diff)).to_vec();
    let labelled = prepare(&Label, orders(), &of(&[], &rules, "labelled")).unwrap();
    let names = labelled.outputs[0].schema.columns.iter().map(|c| c.name.as_ref());
    assert_eq!(names.collect::<Vec<_>>(), ["id", "at", "labels", "qty", "side"]);
    assert_eq!((labelled.outputs[0].schema.n_key, labelled.outputs[0].schema.time), (1, Some(1)));
    let all = prepare(&Label, orders(), &of(&[], &rules, "all")).unwrap();
    let [found, errors] = changes(labelled, &no_names(), rows.clone()).try_into().unwrap();
    assert_eq!(
        found,
        [
            r#"0 +1 {"id":"a","at":null,"labels":"large,bought","qty":"3","side":"buy"}"#,
            r#"0 +1 {"id":"n","at":null,"labels":"bought,none","qty":null,"side":"buy"}"#,
            r#"2 +1 {"id":"a","at":null,"labels":"large","qty":"3","side":"sell"}"#,
            r#"2 -1 {"id":"a","at":null,"labels":"large,bought","qty":"3","side":"buy"}"#,
            r#"2 +1 {"id":"b","at":null,"labels":"large,bought","qty":"9","side":"buy"}"#,
        ]
    );
    assert_eq!(
        errors,
        [
            r#"1 +1 {"id":"c","reason":"overflow of large"}"#,
            r#"3 -1 {"id":"c","reason":"overflow of large"}"#,
        ]
    );
    let [found, _] = changes(all, &no_names(), rows).try_into().unwrap();
    assert!(
        found.contains(
            &r#"0 +1 {"id":"b","at":null,"labels":"","qty":"1","side":"sell"}"#.to_owned()
        )
    );
    assert_eq!(found.len(), 8);
}

#[test]
fn patterns_are_written_out_over_the_windows() {
    let conditions = |windows: &[&str]| {
        let relations = features(windows, &[]);
        let windows = Windows::of(&relations[0].schema);
        let condition = |pattern| match windows.condition(pattern) {
            Ok(condition) => condition,
            Err(refusal) => refusal.message,
        };
        PATTERNS
            .iter()
            .map(|pattern| (pattern.name, condition(pattern)))
            .collect::<BTreeMap<_, _>>()
    };
    let of = conditions(&["5m", "90s", "1h"]);
    assert_eq!(
        of["volume_spike"],
        "volume_90s * 40 > 5 * volume_1h * 1 and count_1h >= 20 and covered_1h >= 1"
    );
    assert!(of["new_wallet_large"].contains("age <= 90 and"), "{}", of["new_wallet_large"]);
    assert_eq!(
        of["order_flow_skew"],
        "(imbalance_90s > 0.8 or imbalance_90s < -0.8) and count_90s >= 10"
    );
    let of = conditions(&["5m"]);
    assert_eq!(of["volume_spike"], "`volume_spike` compares two windows, and there is but `5m`");
    assert!(of["order_flow_skew"].starts_with("(imbalance_5m > 0.8"));
    // Each of them can be read, and says what it is.
    let all: Vec<&str> = PATTERNS.iter().map(|pattern| pattern.name).collect();
    let settings = super::tests::of(&all, &[], "labelled");
    assert!(prepare(&Label, features(&["1m", "1h"], &[]), &settings).is_ok());
    assert!(PATTERNS.iter().all(|pattern| !pattern.help.is_empty()));
}

#[test]
fn windows_of_a_joined_feed_do_not_count() {
    let column = |name: &str| {
        let kind = if name == "time" { Kind::Time } else { Kind::Float };
        Column { name: name.to_owned().into(), kind, nullable: true }
    };
    // Trades in windows of 5 minutes and an hour, quotes in such of one minute and four hours.
    let trades = "time count_5m count_1h volume_5m volume_1h covered_5m covered_1h imbalance_5m";
    let quotes = "count_1m count_4h spread_1m spread_4h quotes_imbalance_1m";
    let columns: Vec<Column> = trades.split(' ').chain(quotes.split(' ')).map(column).collect();
    let schema = Schema { columns, n_key: 1, time: Some(0) };
    let windows = Windows::of(&schema);
    for (name, expected) in [
        (
            "volume_spike",
            "volume_5m * 12 > 5 * volume_1h * 1 and count_1h >= 20 and covered_1h >= 1",
        ),
        ("spread_blowout", "number(spread_1m) > 3 * number(spread_4h) and count_4h >= 20"),
        ("order_flow_skew", "(imbalance_5m > 0.8 or imbalance_5m < -0.8) and count_5m >= 10"),
    ] {
        let condition = windows.condition(Pattern::find(name).unwrap());
        assert_eq!(condition.unwrap_or_else(|refusal| refusal.message), expected);
    }
}

/// A row of `features`: the named columns, 20 for the count of an hour, windows that are covered, zero
/// for the others.
fn features_row(schema: &Schema, values: &[(&str, &str)]) -> Row {
    let value = |column: &Column| {
        let text = values.iter().find(|(name, _)| *name == column.name).map(|value| value.1);
        let text = text.unwrap_or(match column.name.as_ref() {
            "count_1h" => "20",
            "covered_1h" => "1",
            _ => "0",
        });
        match column.kind {
            Kind::Text => Value::Text("w".into()),
            Kind::Time => Value::Null,
            Kind::Float => Value::from(types::value::Float::new(text.parse().unwrap())),
            _ => Value::Number(types::Decimal::parse(text.as_bytes()).unwrap()),
        }
    };
    Row(schema.columns.iter().map(value).collect())
}

/// Whether a row shows a pattern.
fn is_shown(name: &str, values: &[(&str, &str)]) -> bool {
    let relations = features(&["1m", "1h"], &[]);
    let row = features_row(&relations[0].schema, values);
    let prepared = prepare(&Label, relations, &of(&[name], &[], "labelled")).unwrap();
    let [found, errors] = changes(prepared, &no_names(), vec![(row, 0, 1)]).try_into().unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    !found.is_empty()
}

#[test]
fn patterns_say_what_they_are_meant_to() {
    // 60 minutes of 100 are 1.66 a minute.
    for (name, shown, hidden) in [
        ("volume_spike", "volume_1m=8.4 volume_1h=100", "volume_1m=8.3 volume_1h=100"),
        (
            "price_volume_spike",
            "return_z_1h=-4.1 volume_1m=6 volume_1h=100",
            "return_z_1h=4 volume_1m=6 volume_1h=100",
        ),
        ("price_jump", "return_z_1h=6.1 count_1m=1", "return_z_1h=6.1"),
        ("liquidity_drop", "count_1m=3 count_1h=1200", "count_1m=4 count_1h=1200"),
        ("spread_blowout", "spread_1m=0.31 spread_1h=0.1", "spread_1m=0.29 spread_1h=0.1"),
        ("order_flow_skew", "imbalance_1m=-0.81 count_1m=10", "imbalance_1m=-0.8 count_1m=10"),
        (
            "whale_trade",
            "largest_share_1m=0.5 notional_1m=9 notional_1h=100",
            "largest_share_1m=0.4 notional_1m=9 notional_1h=100",
        ),
        ("new_wallet_large", "age=60 notional_1m=10000", "age=60.1 notional_1m=10000"),
        (
            "pump",
            "momentum_1m=0.06 imbalance_1m=0.6 volume_1m=6 volume_1h=100",
            "momentum_1m=-0.06 imbalance_1m=0.6 volume_1m=6 volume_1h=100",
        ),
    ] {
        let values = |text: &'static str| -> Vec<(&str, &str)> {
            text.split(' ').map(|pair| pair.split_once('=').unwrap()).collect()
        };
        assert!(is_shown(name, &values(shown)), "{name}: {shown}");
        assert!(!is_shown(name, &values(hidden)), "{name}: {hidden}");
        // What is usual isn't known before the longest window is covered.
        let early = [&values(shown)[..], &[("covered_1h", "0.9")]].concat();
        let is_volume = shown.contains("volume_1h") || shown.contains("notional_1h");
        assert_eq!(is_shown(name, &early), !is_volume, "{name}, early");
    }
}

#[test]
fn a_rule_stands_for_the_pattern_of_its_name() {
    let rules = [("own", "true"), ("volume_spike", "count_1m > 0")];
    let relations = features(&["1m", "1h"], &[]);
    let row = features_row(&relations[0].schema, &[("count_1m", "1")]);
    let settings = of(&["volume_spike", "price_jump"], &rules, "all");
    let prepared = prepare(&Label, relations, &settings).unwrap();
    let [found, _] = changes(prepared, &no_names(), vec![(row, 0, 1)]).try_into().unwrap();
    assert!(found[0].contains(r#""labels":"volume_spike,own""#), "{found:?}");
}

#[test]
fn problems_stand_where_they_are() {
    let listed = |patterns: &[&str], relations| problems(relations, &of(patterns, &[], "all"));
    assert_eq!(
        listed(
            &["volume_spik", "pump", "pump", "whale_trade"],
            features(&["1m", "1h"], &["momentum_1m", "wallet"])
        ),
        [
            "20..30 unknown_pattern no pattern is named `volume_spik` | did you mean `volume_spike`: 5 times the usual volume?",
            "20..30 missing_feature `pump` needs the feature `momentum`: there is no column `momentum_1m` | list `momentum` in `features` of what it reads, if its input can give it",
            "20..30 missing_feature `pump` needs the feature `momentum`: there is no column `momentum_1m` | list `momentum` in `features` of what it reads, if its input can give it",
        ]
    );
    assert_eq!(
        listed(&["price_jump", "price_jump"], features(&["1m", "1h"], &[])),
        ["20..30 duplicate_rule `price_jump` is listed twice"]
    );
    assert_eq!(
        listed(&["new_wallet_large"], features(&["1m", "1h"], &["wallet"])),
        [
            "20..30 missing_feature `new_wallet_large` needs rows of wallets: there is no column `wallet` | give `features` a `by` with `wallet`"
        ]
    );
    assert_eq!(
        listed(&["new_wallet_large"], features(&["1m", "1h"], &["age"])),
        [
            "20..30 missing_feature `new_wallet_large` needs the feature `age`: there is no such column | list `age` in `features` of what it reads"
        ]
    );
    assert_eq!(
        listed(&["price_jump"], orders()),
        [
            "20..30 missing_feature `price_jump` reads columns of windows, like `count_1m`, and there are none | read a view of op `features`"
        ]
    );
    assert_eq!(
        listed(&[], orders()),
        ["0..1 missing_value there is neither a pattern nor a rule: no row would have a label"]
    );
    assert_eq!(
        problems(orders(), &of(&[], &[("a,b", "qty > 1"), ("c", "qty"), ("d", "qt > 0")], "all")),
        [
            "40..49 bad_rule_name a rule can't be named `a,b` | use letters, digits and `_`, a letter first",
            "40..45 bad_expression the expression must be true or false | compare it with something, like `qty > 0`",
            "41..43 bad_expression no column is named `qt` | did you mean `at`?",
        ]
    );
    let columns = [("id", Kind::Text), ("labels", Kind::Text)];
    let taken = vec![relation("orders", RelationKind::Rows, schema(&columns, 1))];
    assert_eq!(
        problems(taken, &of(&[], &[("a", "true")], "all")),
        [
            "0..8 duplicate_column `orders` has a column `labels` already | name it otherwise with `select`"
        ]
    );
}

/// An order: its quantity, and whether it is bought.
type Order = (Option<i64>, bool);

proptest! {
    #[test]
    fn a_history_gives_what_its_rows_give(
        history in prop::collection::vec((0u8..6, prop::option::of((prop::option::of(-9i64..9), any::<bool>()))), 0..40),
        n_per_epoch in 1usize..7,
        keeps_all in any::<bool>(),
    ) {
        // Each key holds one row at most: a new state takes the old one back.
        let text = |key: u8, (qty, is_buy): Order| {
            let qty = qty.map_or("null".to_owned(), |qty| qty.to_string());
            format!("{key}x {qty} {} null", if is_buy { "buy" } else { "sell" })
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
        let rules = [("small", "not (qty >= 2)"), ("bought", "side = 'buy'"), ("odd", "qty in (-1, 1, 3)")];
        let keep = if keeps_all { "all" } else { "labelled" };
        let prepared = prepare(&Label, orders(), &of(&[], &rules, keep)).unwrap();
        let [found, errors] = changes(prepared, &no_names(), rows).try_into().unwrap();
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for change in found {
            let [_, diff, row] = change.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            *sums.entry(row.to_owned()).or_default() += diff.parse::<i64>().unwrap();
        }
        sums.retain(|_, sum| *sum != 0);
        let twin = |(key, (qty, is_buy)): (u8, Order)| {
            let mut labels = Vec::new();
            if qty.is_some_and(|qty| qty < 2) {
                labels.push("small");
            }
            if is_buy {
                labels.push("bought");
            }
            if matches!(qty, Some(-1 | 1 | 3)) {
                labels.push("odd");
            }
            let qty = qty.map_or("null".to_owned(), |qty| format!("\"{qty}\""));
            let (side, labels) = (if is_buy { "buy" } else { "sell" }, labels.join(","));
            let row = format!(r#"{{"id":"{key}x","at":null,"labels":"{labels}","qty":{qty},"side":"{side}"}}"#);
            (keeps_all || !labels.is_empty()).then_some((row, 1))
        };
        prop_assert_eq!(sums, held.into_iter().filter_map(twin).collect());
        prop_assert!(errors.is_empty());
    }
}
