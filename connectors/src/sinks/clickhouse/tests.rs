//! What is found without a server.

use std::path::Path;
use std::sync::Arc;

use types::options::{Setting, Settings};
use types::relations::RelationKind;
use types::{Changes, Column, Decimal, Epoch, Kind, Names, Row, Schema, Value, VenueTime};

use super::batch::{self, Encoded};
use super::changelog::Log;
use super::options::check;
use super::pieces::{OneRow, Whole};
use crate::error::Class;
use crate::sink::SinkView;
use crate::sinks::held::Held;
use crate::sinks::tests::{context, open};

#[test]
fn wrong_options_are_found_offline() {
    for (name, text, expected) in [
        ("url", "http://db:8123", None),
        ("url", "https://db:8443", Some("https isn't built in")),
        ("url", "db:8123", Some("not an http url")),
        ("url", "http://", Some("not an http url")),
        ("url", "http://me:secret@db:8123", Some("the url holds a user")),
        ("url", "http://db:81234", Some("the url's port is no port")),
        ("url", "http://[::1]:8123", None),
        ("database", "", Some("the database has no name")),
    ] {
        let mut settings = Settings::new(0..0);
        settings.set(name, Setting::Text(text.into()), 7..9);
        let problems = check(&settings);
        let found = problems.first();
        assert_eq!(found.map(|problem| problem.message.as_str()), expected, "{text}");
        assert!(found.is_none_or(|problem| problem.place == (7..9) && problem.hint.is_some()));
    }
}

#[test]
fn two_views_never_share_a_table() {
    for (a, b) in [("pnl.now", "pnl_now"), ("pnl", "pnl_v"), ("a", "_commits")] {
        let mut context = context(&Arc::default(), Path::new(""), None);
        context.views.truncate(2);
        for (view, name) in context.views.iter_mut().zip([a, b]) {
            view.name = name.into();
        }
        let error = open("clickhouse", context).err().expect("it is refused");
        assert_eq!(error.class, Class::Broken);
        assert!(error.to_string().contains("is taken by another view"), "{error}");
    }
}

/// A row of these views: its name, a time of its key where it has one, and a price.
fn marks(has_time: bool) -> SinkView {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let mut columns = vec![column("name", Kind::Text), column("price", Kind::Price)];
    if has_time {
        columns.insert(1, column("at", Kind::Time));
    }
    let n_key = columns.len() - 1;
    let schema = Schema { columns, n_key, time: None }.shared();
    SinkView { name: "marks".into(), kind: RelationKind::Rows, schema }
}

/// Encodes changes of such rows, an epoch each: the rows that are sent, and those that don't fit.
fn sent(view: &SinkView, changes: &[(Row, isize)]) -> (Vec<OneRow>, Vec<(u64, String, String)>) {
    let (names, mut held) = (Names::default(), Held::new(view.kind));
    for (epoch, change) in (1..).zip(changes) {
        held.take(&Changes::Rows(vec![change.clone()]), &view.schema, Epoch(epoch));
    }
    let Encoded { parts, n_deleted, unfit } =
        batch::encode(view, &names, 1, &held, batch::PART).unwrap();
    let rows = parts.iter().flat_map(|part| {
        let block = Whole::read(&part.bytes).unwrap();
        assert_eq!(block.n_rows(), part.n_rows);
        let rows = (0..part.n_rows).map(|nth| block.row(nth, &view.schema, &names).unwrap());
        rows.collect::<Vec<_>>()
    });
    let rows: Vec<OneRow> = rows.collect();
    let deleted = rows.iter().filter(|row| row.is_deleted).count();
    assert_eq!(n_deleted, u64::try_from(deleted).unwrap());
    let unfit = unfit.into_iter().map(|unfit| (unfit.epoch, unfit.row, unfit.problem));
    (rows, unfit.collect())
}

fn mark(name: &'static str, price: i64) -> Row {
    Row(Arc::new([Value::word(name), Value::Number(Decimal::from(price))]))
}

#[test]
fn a_number_that_does_not_fit_is_set_aside_and_its_key_is_gone() {
    let changes = [(mark("a", 2), 1), (mark("b", 1_000_000_000), 1), (mark("c", 999_999_999), 1)];
    let (rows, unfit) = sent(&marks(false), &changes);
    let row = |json: &str, is_deleted, epoch| OneRow {
        json: json.into(),
        is_deleted,
        epoch: Epoch(epoch),
    };
    let expected = [
        row("{\"name\":\"a\",\"price\":\"2\"}", false, 1),
        row("{\"name\":\"b\",\"price\":\"0\"}", true, 2),
        row("{\"name\":\"c\",\"price\":\"999999999\"}", false, 3),
    ];
    assert_eq!(rows, expected);
    let problem = "\"1000000000\" doesn't fit column price (price)".to_owned();
    let json = "{\"name\":\"b\",\"price\":\"1000000000\"}".to_owned();
    assert_eq!(unfit, [(2, json, problem)]);
}

#[test]
fn in_a_changelog_a_row_that_does_not_fit_leaves_its_place_free() {
    let (view, names, mut log) = (marks(false), Names::default(), Log::default());
    let epochs = [
        vec![(mark("a", 2), 1), (mark("b", 1_000_000_000), 1), (mark("c", 3), 1)],
        vec![
            (mark("a", 2), -1),
            (mark("a", 1_000_000_000), 1),
            (mark("c", 3), -1),
            (mark("c", 4), 1),
        ],
        vec![(mark("b", 1_000_000_000), -1), (mark("c", 4), -1)],
    ];
    for (epoch, changes) in (1..).zip(epochs) {
        log.take(&Arc::new(Changes::Rows(changes)), Epoch(epoch));
    }
    let Encoded { parts, n_deleted, unfit } =
        batch::encode_log(&view, &names, &log, batch::PART).unwrap();
    let [part] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    let block = Whole::read(&part.bytes).unwrap();
    let row = |nth| {
        let row = block.row(nth, &view.schema, &names).unwrap();
        (
            row.epoch.0,
            block.row_place(nth).unwrap(),
            if row.is_deleted { '-' } else { '+' },
            row.json,
        )
    };
    let json = |name, price| format!("{{\"name\":\"{name}\",\"price\":\"{price}\"}}");
    let rows: Vec<_> = (0..part.n_rows).map(row).collect();
    let expected = [
        (1, 0, '+', json("a", 2)),
        (1, 2, '+', json("c", 3)),
        (2, 0, '-', json("a", 2)),
        (2, 2, '-', json("c", 3)),
        (2, 3, '+', json("c", 4)),
        (3, 1, '-', json("c", 4)),
    ];
    assert_eq!((rows.as_slice(), n_deleted), (&expected[..], 3));
    let unfit: Vec<_> = unfit.iter().map(|unfit| (unfit.epoch, unfit.row.as_str())).collect();
    let too_much = |name| json(name, 1_000_000_000);
    assert_eq!(unfit, [(1, too_much("b").as_str()), (2, too_much("a").as_str())]);
}

#[test]
fn a_key_that_is_gone_is_told_so_whatever_it_held() {
    let (rows, unfit) = sent(&marks(false), &[(mark("b", 1_000_000_000), -1)]);
    assert!(unfit.is_empty(), "{unfit:?}");
    assert!(rows.len() == 1 && rows.iter().all(|row| row.is_deleted), "{rows:?}");
}

#[test]
fn of_a_key_that_does_not_fit_nothing_is_sent() {
    let before_1900 = Value::Time(VenueTime::from_nanos(-3_000_000_000_000_000_000));
    let row = |time: Value| Row(Arc::new([Value::word("a"), time, Value::from(1u64)]));
    let now = Value::Time(VenueTime::from_nanos(1_700_000_000_000_000_000));
    let (rows, unfit) = sent(&marks(true), &[(row(before_1900.clone()), 1), (row(now), 1)]);
    assert!(rows.len() == 1 && rows.iter().all(|row| row.json.contains("2023-11-14")), "{rows:?}");
    let [(1, _, problem)] = unfit.as_slice() else { panic!("{unfit:?}") };
    assert_eq!(problem, "month 187412 is out of ClickHouse's range");
    // Where it goes there was nothing.
    assert_eq!(sent(&marks(true), &[(row(before_1900), -1)]), (Vec::new(), Vec::new()));
}
