use types::options::Setting;

use super::*;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};

fn of(input: &str, by: &[&str], order: &str, is_descending: bool) -> Settings {
    let by = by.iter().map(|name| ((*name).to_owned(), 30..40)).collect();
    settings([
        ("input", Setting::Text(input.to_owned()), 0..8),
        ("by", Setting::List(by), 25..45),
        ("order", Setting::Text(order.to_owned()), 50..52 + order.len()),
        ("k", Setting::Count(2), 80..81),
        ("descending", Setting::Bool(is_descending), 90..94),
    ])
}

fn views() -> Vec<crate::plan::RelationSpec> {
    let columns = [("id", Kind::Text), ("side?", Kind::Name), ("qty?", Kind::Number)];
    vec![
        relation("orders", RelationKind::Rows, schema(&columns, 1)),
        relation("ranked", RelationKind::Rows, schema(&[("rank", Kind::Count)], 1)),
        relation("quotes", RelationKind::Quotes, types::relations::Quote::schema()),
    ]
}

fn given(settings: &Settings, rows: &[(&str, u64, isize)]) -> Vec<Vec<String>> {
    let prepared = prepare(&TopK, views(), settings).unwrap();
    let rows = rows.iter().map(|(values, epoch, diff)| (row(values), *epoch, *diff)).collect();
    let short = |row: &String| row.replace(['"', '{', '}'], "");
    let given = changes(prepared, &no_names(), rows);
    given.iter().map(|output| output.iter().map(short).collect()).collect()
}

#[test]
fn ranks_follow_what_comes_and_goes() {
    let huge = "h buy 99999999999999999999999999999999999999";
    let rows = [
        ("b buy 5", 0, 1),
        ("a buy 5", 0, 1),
        ("n buy null", 0, 1),
        ("s sell 1", 0, 1),
        ("x null 9", 0, 1),
        // What it is ranked by doesn't fit.
        (huge, 1, 1),
        ("c buy 7", 1, 1),
        (huge, 2, -1),
        ("c buy 7", 2, -1),
        ("b buy 5", 2, -1),
        ("b sell 5", 2, 1),
    ];
    let [ranks, errors] =
        given(&of("orders", &["side"], "qty * 10", true), &rows).try_into().unwrap();
    assert_eq!(
        ranks,
        [
            "0 +1 id:a,side:buy,qty:5,rank:1",
            "0 +1 id:b,side:buy,qty:5,rank:2",
            "0 +1 id:s,side:sell,qty:1,rank:1",
            "1 -1 id:a,side:buy,qty:5,rank:1",
            "1 +1 id:a,side:buy,qty:5,rank:2",
            "1 -1 id:b,side:buy,qty:5,rank:2",
            "1 +1 id:c,side:buy,qty:7,rank:1",
            "2 +1 id:a,side:buy,qty:5,rank:1",
            "2 -1 id:a,side:buy,qty:5,rank:2",
            "2 +1 id:b,side:sell,qty:5,rank:1",
            "2 -1 id:c,side:buy,qty:7,rank:1",
            "2 +1 id:n,side:buy,qty:null,rank:2",
            "2 -1 id:s,side:sell,qty:1,rank:1",
            "2 +1 id:s,side:sell,qty:1,rank:2",
        ]
    );
    assert_eq!(errors, ["1 +1 id:h,reason:overflow", "2 -1 id:h,reason:overflow"]);
}

#[test]
fn nulls_are_last_in_both_directions() {
    let rows = [("a x null", 0, 1), ("b x 1", 0, 1), ("c x 2", 0, 1)];
    let ranks = |is_descending| given(&of("orders", &[], "qty", is_descending), &rows).remove(0);
    assert_eq!(ranks(false), ["0 +1 id:b,side:x,qty:1,rank:1", "0 +1 id:c,side:x,qty:2,rank:2"]);
    assert_eq!(ranks(true), ["0 +1 id:b,side:x,qty:1,rank:2", "0 +1 id:c,side:x,qty:2,rank:1"]);
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |input: &str, by: &[&str], order: &str| {
        let problems = prepare(&TopK, views(), &of(input, by, order, true)).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        problems("orders", &["sid"], "qt"),
        [
            "51..53 bad_expression no column is named `qt`",
            "30..40 unknown_column `orders` has no column `sid`",
        ]
    );
    assert_eq!(
        problems("quotes", &[], "bid"),
        ["0..8 wrong_input many rows of `quotes` have one key"]
    );
    assert_eq!(
        problems("ranked", &[], "rank"),
        ["0..8 name_taken `ranked` has a column `rank` already"]
    );
    assert_eq!(
        problems("order", &[], "qty <"),
        [
            "0..8 unknown_view no relation or view is named `order`",
            "56..56 bad_expression expected a value after `<`",
        ]
    );
}
