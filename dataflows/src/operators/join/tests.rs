use types::options::Setting;
use types::relations::RelationKind;
use types::schema::Kind;

use super::*;
use crate::operators::testing::{changes_of, no_names, prepare, relation, row, schema, settings};

fn views() -> Vec<crate::plan::RelationSpec> {
    let orders = [("id", Kind::Text), ("asset?", Kind::Text), ("at?", Kind::Time)];
    let assets = [("asset", Kind::Text), ("id", Kind::Text)];
    let parts = [("asset", Kind::Text), ("no", Kind::Text), ("assets_id", Kind::Text)];
    vec![
        relation("orders", RelationKind::Rows, schema(&orders, 1)),
        relation("assets", RelationKind::Rows, schema(&assets, 1)),
        relation("parts", RelationKind::Rows, schema(&parts, 2)),
        relation("quotes", RelationKind::Quotes, types::relations::Quote::schema()),
    ]
}

fn of(input: &str, with: &str, columns: &[&str], kind: &str) -> Settings {
    let text = |text: &str| Setting::Text(text.to_owned());
    let columns = columns.iter().map(|name| ((*name).to_owned(), 30..40)).collect();
    settings([
        ("input", text(input), 0..8),
        ("with", text(with), 10..18),
        ("on", Setting::List(columns), 25..45),
        ("kind", text(kind), 50..55),
    ])
}

fn columns(prepared: &Prepared) -> String {
    let schema = &prepared.outputs[0].schema;
    let null = |column: &Column| if column.nullable { "?" } else { "" };
    let names = schema.columns.iter().map(|column| format!("{}{}", column.name, null(column)));
    let (names, n_key) = (names.collect::<Vec<_>>().join(" "), schema.n_key);
    format!("{n_key} of {names}, time {:?}", schema.time)
}

#[test]
fn rows_meet_part_and_stay() {
    let prepared = prepare(&Join, views(), &of("orders", "assets", &["asset"], "left")).unwrap();
    assert_eq!(columns(&prepared), "1 of id asset? at? assets_id?, time Some(2)");
    let orders = [
        ("a btc null", 0, 1),
        ("b eth null", 0, 1),
        ("c null null", 0, 1),
        ("a btc null", 3, -1),
        ("a eth null", 3, 1),
    ];
    let assets = [("btc x", 1, 1), ("btc x", 2, -1), ("btc y", 2, 1), ("eth z", 3, 1)];
    let rows = |rows: &[(&str, u64, isize)]| {
        rows.iter().map(|(values, epoch, diff)| (row(values), *epoch, *diff)).collect()
    };
    let [given] =
        changes_of(prepared, &no_names(), vec![rows(&orders), rows(&assets)]).try_into().unwrap();
    let short: Vec<String> = given
        .iter()
        .map(|row| row.replace(r#","at":null"#, "").replace(['"', '{', '}'], ""))
        .collect();
    assert_eq!(
        short,
        [
            "0 +1 id:a,asset:btc,assets_id:null",
            "0 +1 id:b,asset:eth,assets_id:null",
            "0 +1 id:c,asset:null,assets_id:null",
            "1 +1 id:a,asset:btc,assets_id:x",
            "1 -1 id:a,asset:btc,assets_id:null",
            "2 -1 id:a,asset:btc,assets_id:x",
            "2 +1 id:a,asset:btc,assets_id:y",
            "3 -1 id:a,asset:btc,assets_id:y",
            "3 +1 id:a,asset:eth,assets_id:z",
            "3 +1 id:b,asset:eth,assets_id:z",
            "3 -1 id:b,asset:eth,assets_id:null",
        ]
    );
}

#[test]
fn keys_of_both_come_first() {
    let prepared = prepare(&Join, views(), &of("orders", "parts", &["asset"], "inner")).unwrap();
    assert_eq!(columns(&prepared), "2 of id no asset? at? assets_id, time Some(3)");
    let prepared = prepare(&Join, views(), &of("assets", "orders", &["asset"], "inner")).unwrap();
    assert_eq!(columns(&prepared), "2 of asset orders_id id at?, time None");
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |input: &str, with: &str, on: &[&str], kind: &str| {
        let problems = prepare(&Join, views(), &of(input, with, on, kind)).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        problems("orders", "parts", &["asset"], "left"),
        ["50..55 wrong_option `on` must hold the whole key of `parts` in a left join"]
    );
    assert_eq!(
        problems("orders", "quotes", &[], "inner"),
        [
            "10..18 wrong_input many rows of `quotes` have one key",
            "25..45 wrong_value `on` names no columns",
        ]
    );
    // The prefix makes a name that the other view has already.
    let clashing = [("id", Kind::Text), ("l_id", Kind::Text)];
    let views = vec![
        relation("k", RelationKind::Rows, schema(&clashing, 1)),
        relation("l", RelationKind::Rows, schema(&[("l_id", Kind::Text), ("id", Kind::Text)], 1)),
    ];
    let problems = prepare(&Join, views, &of("k", "l", &["l_id"], "inner")).err().unwrap();
    assert_eq!(problems[0].message, "two columns would be named `l_id`");
    assert_eq!(problems[0].code, "name_taken");
}
