//! What is found without a server.

use std::path::Path;
use std::sync::Arc;

use types::options::{Setting, Settings};
use types::{Changes, Column, Decimal, Epoch, Kind, Names, Row, Schema, Value};

use super::{batch, check};
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

#[test]
fn a_number_that_does_not_fit_is_an_error_that_names_its_row() {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let columns = vec![column("name", Kind::Text), column("price", Kind::Price)];
    let schema = Schema { columns, n_key: 1, time: None };
    let price = Value::Number(Decimal::from(1_000_000_000));
    let row = Row(Arc::new([Value::word("BTC"), price]));
    let names = Names::default();
    let changes = Changes::Rows(vec![(row, 1)]);
    let view = SinkView { name: "marks".into(), kind: changes.kind(), schema: schema.shared() };
    let mut held = Held::new(view.kind);
    held.take(&changes, &view.schema, Epoch(1));
    let error = batch::encode(&view, &names, 1, &held, batch::PART).err().expect("it overflows");
    assert_eq!(
        error.to_string(),
        "writing row {\"name\":\"BTC\"} of view marks: \
         \"1000000000\" doesn't fit column price (price)"
    );
}
