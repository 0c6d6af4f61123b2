//! Options, and what is wrong with them.

use types::options::{Problem, Setting, Settings};
use types::relations::RelationKind;
use types::schema::Kind;

use super::super::Anomaly;
use super::columns;
use crate::operators::testing::{prepare, relation, schema, settings};

#[test]
fn options_are_checked() {
    let relations = || vec![relation("flow", RelationKind::Rows, columns(false))];
    let text = |text: &str| Setting::Text(text.to_owned());
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([("input", text("flow"), 1..2), ("explain_from", text("2"), 3..4)]),
    );
    let problems = problems.err().unwrap();
    assert_eq!((problems[0].code, problems[0].place.clone()), ("wrong_value", 3..4));
    let listed = Setting::List(vec![("asset".to_owned(), 5..6)]);
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("columns", listed, 4..7),
        ]),
    );
    let problems = problems.err().unwrap();
    assert_eq!(problems[0].message, "`asset` holds no numbers");
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("refit_on", text("sesion"), 4..7),
        ]),
    );
    let problem = problems.err().unwrap().remove(0);
    assert_eq!((problem.code, problem.place), ("unknown_column", 4..7));
    assert_eq!(problem.hint.as_deref(), Some("did you mean `session`?"));
    let newest = schema(&[("asset", Kind::Text), ("x", Kind::Float), ("time", Kind::Time)], 1);
    let problems = prepare(
        &Anomaly,
        vec![relation("flow", RelationKind::Rows, newest)],
        &settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]),
    );
    let message = "each row of `flow` takes the place of the one before";
    assert_eq!(problems.err().unwrap()[0].message, message);
    let taken = schema(&[("asset", Kind::Text), ("time", Kind::Time), ("score", Kind::Float)], 2);
    let problems = prepare(
        &Anomaly,
        vec![relation("flow", RelationKind::Rows, taken)],
        &settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]),
    );
    assert_eq!(problems.err().unwrap()[0].message, "`flow` has a column `score` already");
}

/// What tells keys apart is of the key, and no time.
#[test]
fn keys_are_told_apart_by_what_rows_are_about() {
    let text = |text: &str| Setting::Text(text.to_owned());
    for (name, expected) in [
        ("x", "`x` is no part of the key of `flow`"),
        ("time", "`time` says when a row happened, not whom it is about"),
    ] {
        let problems = prepare(
            &Anomaly,
            vec![relation("flow", RelationKind::Rows, columns(false))],
            &settings([
                ("input", text("flow"), 1..2),
                ("explain_from", text("0.9"), 3..4),
                ("by", Setting::List(vec![(name.to_owned(), 5..6)]), 4..7),
                ("normalise", Setting::Bool(true), 7..8),
            ]),
        );
        let problem = problems.err().unwrap().remove(0);
        assert_eq!((problem.message.as_str(), problem.place), (expected, 5..6));
    }
}

/// A time or an id in the key tells rows apart.
#[test]
fn keys_may_hold_an_id_for_a_time() {
    let text = |text: &str| Setting::Text(text.to_owned());
    for has_id in [false, true] {
        let relations = vec![relation("flow", RelationKind::Rows, columns(has_id))];
        let settings =
            settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]);
        assert!(prepare(&Anomaly, relations, &settings).is_ok(), "{has_id}");
    }
}

/// Each key's own model takes its numbers as they are.
#[test]
fn units_beside_a_model_a_key_are_refused() {
    let relations = || vec![relation("flow", RelationKind::Rows, columns(false))];
    let text = |text: &str| Setting::Text(text.to_owned());
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("scope", text("key"), 5..6),
            ("normalise", Setting::Bool(true), 7..8),
        ]),
    );
    let problem = problems.err().unwrap().remove(0);
    let message = "`normalise` says nothing where each key has a model of its own";
    assert_eq!((problem.code, problem.place, &*problem.message), ("wrong_option", 7..8, message));
    assert!(problem.hint.is_some());
}

/// What is wrong with an option that makes keys be forgotten, beside others.
fn of_forgetting<const N: usize>(
    has_asset: bool,
    others: [(&'static str, Setting, std::ops::Range<usize>); N],
) -> Option<Problem> {
    let text = |text: &str| Setting::Text(text.to_owned());
    let mut asked = Settings::new(0..1);
    asked.set("input", text("flow"), 1..2);
    asked.set("explain_from", text("0.9"), 3..4);
    asked.set("forget_after", Setting::Duration(types::Span::parse("1h").unwrap()), 5..6);
    for (name, setting, place) in others {
        asked.set(name, setting, place);
    }
    let columns = if has_asset {
        columns(false)
    } else {
        schema(&[("time", Kind::Time), ("x?", Kind::Float)], 1)
    };
    let relations = vec![relation("flow", RelationKind::Rows, columns)];
    prepare(&Anomaly, relations, &asked).err().map(|mut problems| problems.remove(0))
}

#[test]
fn without_keys_none_can_be_forgotten() {
    let text = |text: &str| Setting::Text(text.to_owned());
    assert_eq!(of_forgetting(true, []), None);
    assert_eq!(of_forgetting(true, [("scope", text("key"), 7..8)]), None);
    let as_they_are = ("normalise", Setting::Bool(false), 7..8);
    let problem = of_forgetting(true, [as_they_are]).unwrap();
    assert_eq!((problem.code, problem.place), ("wrong_option", 5..6));
    assert!(problem.message.contains("one model takes all numbers as they are"));
    assert!(problem.hint.unwrap().contains("`normalise = false`"));
    let problem = of_forgetting(false, []).unwrap();
    assert_eq!((problem.code, problem.place), ("wrong_option", 5..6));
    assert_eq!(problem.message, "no column tells keys of `flow` apart, so none is forgotten");
    assert!(problem.hint.is_some());
    let gone = Setting::List(vec![("gone".to_owned(), 7..8)]);
    assert_eq!(of_forgetting(true, [("by", gone, 6..8)]).unwrap().code, "unknown_column");
}

/// What says where a row stands isn't looked at, nor what a join puts its prefix before.
#[test]
fn places_are_not_looked_at() {
    let text = |text: &str| Setting::Text(text.to_owned());
    let columns = [
        ("asset", Kind::Text),
        ("time", Kind::Time),
        ("seq", Kind::Count),
        ("revision", Kind::Count),
        ("covered_5m", Kind::Float),
        ("x", Kind::Float),
        ("account_age", Kind::Number),
        ("quotes_seq", Kind::Count),
        ("qcovered_5m", Kind::Float),
        ("quotes_x", Kind::Float),
    ];
    let prepared = prepare(
        &Anomaly,
        vec![relation("flow", RelationKind::Rows, schema(&columns, 2))],
        &settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]),
    );
    let build = prepared.unwrap().build;
    assert_eq!(build.scoring().unwrap().columns, ["x", "account_age", "quotes_x"]);
}
