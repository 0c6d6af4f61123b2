use types::options::Setting;

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};

fn of(columns: &[&str]) -> Settings {
    let columns = columns.iter().map(|name| ((*name).to_owned(), 30..40)).collect();
    settings([
        ("input", Setting::Text("orders".to_owned()), 0..8),
        ("columns", Setting::List(columns), 25..45),
    ])
}

fn orders() -> Vec<crate::plan::RelationSpec> {
    let columns = [("id", Kind::Text), ("asset?", Kind::Text), ("n", Kind::Number)];
    vec![relation("orders", RelationKind::Rows, schema(&columns, 1))]
}

#[test]
fn values_stand_once_while_rows_have_them() {
    let prepared = prepare(&Distinct, orders(), &of(&["asset"])).unwrap();
    assert!(!prepared.outputs[0].schema.columns[0].nullable, "it is the key");
    let rows = [
        ("a btc 1", 0, 1),
        ("b btc 1", 0, 1),
        ("c null 1", 0, 1),
        ("b btc 1", 1, -1),
        ("b btc 2", 1, 1),
        ("a btc 1", 2, -1),
        ("b btc 2", 3, -1),
    ];
    let rows = rows.map(|(values, epoch, diff)| (row(values), epoch, diff)).to_vec();
    assert_eq!(
        changes(prepared, &no_names(), rows),
        [[
            r#"0 +1 {"asset":"btc","n":"2"}"#,
            r#"2 +1 {"asset":"btc","n":"1"}"#,
            r#"2 -1 {"asset":"btc","n":"2"}"#,
            r#"3 -1 {"asset":"btc","n":"1"}"#,
        ]]
    );
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |columns: &[&str]| {
        let problems = prepare(&Distinct, orders(), &of(columns)).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(problems(&[]), ["25..45 wrong_value `columns` names no columns"]);
    assert_eq!(problems(&["aset"]), ["30..40 unknown_column `orders` has no column `aset`"]);
    assert_eq!(
        problems(&["n"]),
        ["30..40 name_taken `n` is the column that says how many rows there are"]
    );
}
