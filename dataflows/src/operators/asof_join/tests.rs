use types::options::Setting;
use types::relations::RelationKind;
use types::schema::Kind;
use types::{Value, VenueTime};

use super::*;
use crate::operators::testing::{changes_of, no_names, prepare, relation, row, schema, settings};

/// Orders, and what was offered: a stream if `is_stream`.
fn views() -> Vec<crate::plan::RelationSpec> {
    let orders = [("id", Kind::Text), ("asset?", Kind::Text), ("at?", Kind::Time)];
    let offers = [
        ("asset", Kind::Text),
        ("no", Kind::Text),
        ("price", Kind::Price),
        ("id", Kind::Text),
        ("at", Kind::Time),
    ];
    let untimed = [("id", Kind::Text), ("asset", Kind::Number)];
    vec![
        relation("orders", RelationKind::Rows, schema(&orders, 1)),
        relation("offers", RelationKind::Rows, schema(&offers, 2)),
        relation("untimed", RelationKind::Rows, schema(&untimed, 1)),
        relation("quotes", RelationKind::Quotes, types::relations::Quote::schema()),
    ]
}

fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

fn on(columns: &[&str]) -> Setting {
    Setting::List(columns.iter().map(|name| ((*name).to_owned(), 30..40)).collect())
}

/// A row whose last number is a time in nanoseconds.
fn at(values: &str) -> Row {
    let mut values = row(values).0.to_vec();
    if let Some(Value::Number(number)) = values.last().cloned() {
        values.pop();
        let nanos = i64::try_from(number.mantissa()).unwrap();
        values.push(Value::Time(VenueTime::from_nanos(nanos)));
    }
    Row(values.into())
}

#[test]
fn finds_what_stood_and_follows_it() {
    let settings = settings([
        ("input", text("orders"), 0..8),
        ("with", text("offers"), 10..18),
        ("on", on(&["asset"]), 30..40),
        ("within", Setting::Duration(Span::new(5).unwrap()), 50..55),
    ]);
    let prepared = prepare(&AsofJoin, views(), &settings).unwrap();
    let output = &prepared.outputs[0].schema;
    let names: Vec<&str> = output.columns.iter().map(|column| column.name.as_ref()).collect();
    assert_eq!(names, ["id", "asset", "at", "price", "offers_id", "offers_at"]);
    assert!(output.columns[3..].iter().all(|column| column.nullable));
    assert_eq!((output.n_key, output.time), (1, Some(2)));

    let orders = [
        ("a btc 10", 0, 1),
        ("b btc 14", 0, 1),
        ("c btc 99", 0, 1),
        ("n null 12", 0, 1),
        ("t btc null", 0, 1),
        // Leaves its group for another.
        ("a btc 10", 4, -1),
        ("a eth 10", 4, 1),
    ];
    let offers = [
        // Of one time as the order: at or before. A later one isn't.
        ("btc x 7 q 10", 0, 1),
        ("btc y 8 q 15", 0, 1),
        // A late one between them is seen by the order behind it alone, until it goes.
        ("btc z 9 r 12", 1, 1),
        ("btc z 9 r 12", 2, -1),
        // Too old by a nanosecond, then not.
        ("btc v 1 r 93", 2, 1),
        ("btc v 1 r 93", 3, -1),
        ("btc v 1 r 94", 3, 1),
    ];
    let rows = |rows: &[(&str, u64, isize)]| {
        rows.iter().map(|(values, epoch, diff)| (at(values), *epoch, *diff)).collect()
    };
    let [given] =
        changes_of(prepared, &no_names(), vec![rows(&orders), rows(&offers)]).try_into().unwrap();
    let short: Vec<String> = given
        .iter()
        .map(|row| row.replace("1970-01-01T00:00:00.0000000", "").replace("null", "-"))
        .map(|row| row.replace(['"', '{', '}'], "").replace("id:", "").replace("offers_", ""))
        .collect();
    assert_eq!(
        short,
        [
            "0 +1 a,asset:btc,at:10Z,price:7,q,at:10Z",
            "0 +1 b,asset:btc,at:14Z,price:7,q,at:10Z",
            "0 +1 c,asset:btc,at:99Z,price:-,-,at:-",
            "0 +1 n,asset:-,at:12Z,price:-,-,at:-",
            "0 +1 t,asset:btc,at:-,price:-,-,at:-",
            "1 -1 b,asset:btc,at:14Z,price:7,q,at:10Z",
            "1 +1 b,asset:btc,at:14Z,price:9,r,at:12Z",
            "2 +1 b,asset:btc,at:14Z,price:7,q,at:10Z",
            "2 -1 b,asset:btc,at:14Z,price:9,r,at:12Z",
            "3 +1 c,asset:btc,at:99Z,price:1,r,at:94Z",
            "3 -1 c,asset:btc,at:99Z,price:-,-,at:-",
            "4 -1 a,asset:btc,at:10Z,price:7,q,at:10Z",
            "4 +1 a,asset:eth,at:10Z,price:-,-,at:-",
        ]
    );
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |input: &str, with: &str, columns: &[&str], prefix: &str| {
        let settings = settings([
            ("input", text(input), 0..8),
            ("with", text(with), 10..18),
            ("on", on(columns), 25..45),
            ("prefix", text(prefix), 50..55),
        ]);
        let problems = prepare(&AsofJoin, views(), &settings).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        problems("order", "offer", &[], "x_"),
        [
            "0..8 unknown_view no relation or view is named `order`",
            "10..18 unknown_view no relation or view is named `offer`",
        ]
    );
    assert_eq!(
        problems("quotes", "untimed", &["asset", "bid"], "x_"),
        [
            "0..8 wrong_input many rows of `quotes` have one key",
            "10..18 wrong_input `untimed` has no column that says when a row happened",
            "30..40 wrong_type `asset` is a text in `quotes` and a number in `untimed`: they are never equal",
            "30..40 unknown_column `untimed` has no column `bid`",
        ]
    );
    assert_eq!(
        problems("orders", "offers", &["asset", "asset", "no"], "9"),
        [
            "30..40 duplicate_column `asset` is listed twice",
            "30..40 unknown_column `orders` has no column `no`",
            "50..55 bad_name a column's name can't start with `9`",
        ]
    );
}
