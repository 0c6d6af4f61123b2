use types::options::Setting;

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};

fn of(by: &[&str], values: &[(&str, &str)]) -> Settings {
    let by = by.iter().map(|name| ((*name).to_owned(), 30..40)).collect();
    let value =
        |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned(), 60..62 + text.len());
    settings([
        ("input", Setting::Text("orders".to_owned()), 0..8),
        ("by", Setting::List(by), 25..45),
        ("values", Setting::Assignments(values.iter().map(value).collect()), 50..90),
    ])
}

fn orders() -> Vec<crate::plan::RelationSpec> {
    let columns = [
        ("id", Kind::Text),
        ("side?", Kind::Name),
        ("qty?", Kind::Number),
        ("score?", Kind::Float),
        ("price?", Kind::Price),
    ];
    vec![relation("orders", RelationKind::Rows, schema(&columns, 1))]
}

fn given(settings: &Settings, rows: &[(&str, u64, isize)]) -> Vec<Vec<String>> {
    let prepared = prepare(&Aggregate, orders(), settings).unwrap();
    let rows = rows.iter().map(|(values, epoch, diff)| (row(values), *epoch, *diff)).collect();
    let short = |row: &String| row.replace(['"', '{', '}'], "");
    let given = changes(prepared, &no_names(), rows);
    given.iter().map(|output| output.iter().map(short).collect()).collect()
}

#[test]
fn groups_come_change_and_go() {
    let values = [
        ("n", "count()"),
        ("qtys", "count( qty )"),
        ("sum", "sum(qty)"),
        ("low", " min (qty)"),
        ("mean", "avg(qty * 2)"),
        ("ids", "distinct(id)"),
    ];
    let rows = [
        ("a buy 1 null null", 0, 1),
        ("b buy 2.5 null null", 0, 1),
        ("n sell null null null", 0, 1),
        ("x null 9 null null", 0, 1),
        ("a buy 1 null null", 1, -1),
        ("b buy 2.5 null null", 2, -1),
    ];
    let [groups, errors] = given(&of(&["side"], &values), &rows).try_into().unwrap();
    assert_eq!(
        groups,
        [
            "0 +1 side:buy,n:2,qtys:2,sum:3.5,low:1,mean:3.5,ids:2",
            "0 +1 side:sell,n:1,qtys:0,sum:null,low:null,mean:null,ids:1",
            "1 +1 side:buy,n:1,qtys:1,sum:2.5,low:2.5,mean:5,ids:1",
            "1 -1 side:buy,n:2,qtys:2,sum:3.5,low:1,mean:3.5,ids:2",
            "2 -1 side:buy,n:1,qtys:1,sum:2.5,low:2.5,mean:5,ids:1",
        ]
    );
    assert!(errors.is_empty());
}

#[test]
fn what_overflows_stands_apart_until_it_fits() {
    // Fits as a number, and not as one with nine decimals; its square fits nowhere.
    let (large, huge) = ("60000000000000000000000000000", "99999999999999999999999999999999999999");
    let values = [("n", "count()"), ("sum", "sum(qty)"), ("high", "max(qty * qty / qty)")];
    let rows = [
        (format!("a x {large} null null"), 0, 1),
        (format!("b x {large} null null"), 1, 1),
        (format!("a x {large} null null"), 2, -1),
        (format!("b x {large} null null"), 2, -1),
        ("c x 2 null null".to_owned(), 2, 1),
        (format!("d x {huge} null null"), 3, 1),
        (format!("d x {huge} null null"), 4, -1),
    ];
    let rows: Vec<_> =
        rows.iter().map(|(text, epoch, diff)| (text.as_str(), *epoch, *diff)).collect();
    let [groups, errors] = given(&of(&[], &values), &rows).try_into().unwrap();
    assert_eq!(
        groups,
        [
            "2 +1 of:orders,n:1,sum:2,high:2",
            "3 -1 of:orders,n:1,sum:2,high:2",
            "4 +1 of:orders,n:1,sum:2,high:2"
        ]
    );
    assert_eq!(
        errors,
        [
            "0 +1 of:orders,reason:overflow of high",
            "1 -1 of:orders,reason:overflow of high",
            "1 +1 of:orders,reason:overflow of sum",
            "2 -1 of:orders,reason:overflow of sum",
            "3 +1 of:orders,reason:overflow of sum",
            "4 -1 of:orders,reason:overflow of sum",
        ]
    );
}

#[test]
fn kinds_are_those_of_columns() {
    let values = [("low", "min(price)"), ("last", "max(side)"), ("twice", "max(price * 2)")];
    let prepared = prepare(&Aggregate, orders(), &of(&["id"], &values)).unwrap();
    let columns = &prepared.outputs[0].schema.columns;
    let kinds: Vec<Kind> = columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [Kind::Text, Kind::Price, Kind::Name, Kind::Number]);
    assert_eq!(prepared.outputs[1].schema.columns[1].name, "reason");
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |name: &str, text: &str| {
        let problems =
            prepare(&Aggregate, orders(), &of(&["side"], &[(name, text)])).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>().join("; ")
    };
    for (name, text, expected) in [
        ("v", "qty", "61..64 bad_expression expected a function of an expression"),
        ("v", "total(qty)", "61..66 bad_expression no function of groups is named `total`"),
        ("v", "sum()", "64..66 bad_expression `sum` of what?"),
        ("v", "sum(qt)", "65..67 bad_expression no column is named `qt`"),
        ("v", "sum(side)", "65..69 bad_expression `sum` takes exact numbers"),
        ("v", "avg(score)", "65..70 bad_expression `avg` takes exact numbers"),
        ("v", "mean(qty)", "61..65 bad_expression no function of groups is named `mean`"),
        (
            "v",
            "sum(qty) / sum(qty)",
            "61..80 bad_expression a column is one function, and more stands here",
        ),
        (
            "v",
            "sum(qty) + 1",
            "61..73 bad_expression a column is one function, and more stands here",
        ),
        ("v", "sum(qty", "61..68 bad_expression what `sum(` opens isn't closed"),
        ("v", "count(side = 'a)", "61..77 bad_expression what `count(` opens isn't closed"),
        ("v", "count(*) ", "67..68 bad_expression `*` is no value"),
        ("side", "count()", "60..69 name_taken `side` is part of the key"),
        ("_v", "count()", "60..69 bad_column_name a column can't be named `_v`"),
    ] {
        assert_eq!(problems(name, text), expected, "{text}");
    }
    for text in ["sum((qty))", "max((qty + 1) * (qty - 1))", "count(side = ')')"] {
        assert!(prepare(&Aggregate, orders(), &of(&["side"], &[("v", text)])).is_ok(), "{text}");
    }
    let problems = prepare(&Aggregate, orders(), &of(&["side"], &[])).err().unwrap();
    assert_eq!(problems[0].code, "wrong_value");
}
