use types::options::Setting;
use types::schema::Kind;

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};

fn orders() -> Vec<crate::plan::RelationSpec> {
    let columns = [
        ("venue", Kind::Name),
        ("id", Kind::Text),
        ("qty?", Kind::Size),
        ("price", Kind::Price),
        ("event_time", Kind::Time),
    ];
    vec![relation("orders", RelationKind::Rows, schema(&columns, 2))]
}

fn of(columns: Setting) -> Settings {
    settings([("input", Setting::Text("orders".to_owned()), 0..8), ("columns", columns, 10..11)])
}

fn listed(names: &[&str]) -> Settings {
    of(Setting::List(names.iter().map(|name| ((*name).to_owned(), 20..30)).collect()))
}

fn assigned(columns: &[(&str, &str)]) -> Settings {
    let place = |text: &str| 40..42 + text.len();
    let column =
        |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned(), place(text));
    of(Setting::Assignments(columns.iter().map(column).collect()))
}

/// The columns of the first output as `name: kind`, with `?` for nullable.
fn columns(prepared: &Prepared) -> Vec<String> {
    let null = |column: &Column| if column.nullable { "?" } else { "" };
    let show = |c: &Column| format!("{}: {}{}", c.name, c.kind.name(), null(c));
    prepared.outputs[0].schema.columns.iter().map(show).collect()
}

#[test]
fn the_key_comes_first_and_columns_stay_what_they_are() {
    let prepared = prepare(&Select, orders(), &listed(&["event_time", "id", "qty"])).unwrap();
    let expected = ["venue: name", "id: text", "event_time: time", "qty: size?"];
    assert_eq!(columns(&prepared), expected);
    let schema = &prepared.outputs[0].schema;
    assert_eq!((schema.n_key, schema.time), (2, Some(2)));
    assert_eq!(prepared.outputs[1].schema.columns[2].name, "reason");

    let renamed = [
        ("at", "event_time"),
        ("value", "qty * price"),
        ("id", "id"),
        ("label", "venue || id"),
        ("large", "qty > 10"),
    ];
    let prepared = prepare(&Select, orders(), &assigned(&renamed)).unwrap();
    let expected =
        ["venue: name", "id: text", "at: time", "value: number?", "label: text?", "large: bool?"];
    assert_eq!(columns(&prepared), expected);
    assert_eq!(prepared.outputs[0].schema.time, Some(2));

    let prepared = prepare(&Select, orders(), &listed(&["qty"])).unwrap();
    assert_eq!(prepared.outputs[0].schema.time, None);
}

#[test]
fn numbers_leave_at_nine_decimals_and_overflows_stand_apart() {
    let computed = assigned(&[("value", "qty * price"), ("is_short", "qty < 0")]);
    let prepared = prepare(&Select, orders(), &computed).unwrap();
    let huge = "x c 99999999999999999999999999999 99999999 0";
    let rows = [
        ("x a 0.000000003 0.5 0", 0, 1),
        ("x b -2 1.25 0", 0, 1),
        ("x n null 1 0", 0, 1),
        (huge, 1, 1),
        (huge, 2, -1),
        ("x b -2 1.25 0", 2, -1),
    ];
    let rows = rows.map(|(values, epoch, diff)| (row(values), epoch, diff)).to_vec();
    assert_eq!(
        changes(prepared, &no_names(), rows),
        [
            vec![
                // 1.5e-9 is a tie: the even neighbour is 2e-9.
                r#"0 +1 {"venue":"x","id":"a","value":"0.000000002","is_short":false}"#,
                r#"0 +1 {"venue":"x","id":"b","value":"-2.5","is_short":true}"#,
                r#"0 +1 {"venue":"x","id":"n","value":null,"is_short":null}"#,
                r#"2 -1 {"venue":"x","id":"b","value":"-2.5","is_short":true}"#,
            ],
            vec![
                r#"1 +1 {"venue":"x","id":"c","reason":"overflow of value"}"#,
                r#"2 -1 {"venue":"x","id":"c","reason":"overflow of value"}"#,
            ],
        ]
    );
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |settings: &Settings| {
        let problems = prepare(&Select, orders(), settings).err().unwrap();
        let show = |p: Problem| {
            let hint = p.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{:?} {} {}{hint}", p.place, p.code, p.message)
        };
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(&listed(&["qy", "qty", "qty"])),
        [
            "20..30 unknown_column `orders` has no column `qy` | did you mean `qty`?",
            "20..30 duplicate_column `qty` is listed twice",
        ]
    );
    let wrong = [("id", "venue"), ("_x", "qty"), ("a", "qty + id"), ("venue", "venue || 'x'")];
    assert_eq!(
        problems(&assigned(&wrong)),
        [
            "40..47 key_column `id` is part of the key of `orders` | give the new column another name",
            "40..45 bad_column_name a column can't be named `_x` | use letters, digits and `_`, a letter first",
            "47..49 bad_expression `id` is a text: `+` takes numbers | join texts with `||`",
            "40..54 key_column `venue` is part of the key of `orders` | give the new column another name",
        ]
    );
}
