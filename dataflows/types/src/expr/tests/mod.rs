//! Text in, text out; then random texts and numbers.

mod errors;
mod random;
mod values;

use std::borrow::Cow;

use super::*;
use crate::VenueTime;
use crate::number::Decimal;
use crate::schema::{Kind, Type};
use crate::value::{Float, Value};

const COLUMNS: &[(&str, Kind)] = &[
    ("qty", Kind::Number),
    ("side", Kind::Text),
    ("wallet", Kind::Text),
    ("final", Kind::Bool),
    ("event_time", Kind::Time),
    ("score", Kind::Float),
    ("price", Kind::Number),
    ("Execution Price", Kind::Number),
    ("market", Kind::Text),
    ("maker_wallet", Kind::Text),
    ("nothing", Kind::Number),
    ("maybe", Kind::Bool),
    ("kind", Kind::Word(&["trade", "open", "close"])),
    ("phase", Kind::Word(&["open", "over"])),
    ("way", Kind::Word(&["buy", "sell"])),
];

/// The row of all eval tables: `nothing`, `market` and `maybe` are null.
fn row(index: usize) -> Value {
    match index {
        0 => number("-1.5"),
        1 => Value::word("buy"),
        2 => Value::word("0xab"),
        3 => Value::Bool(true),
        4 => Value::Time(VenueTime::from_nanos(1_767_225_600_000_000_000)),
        5 => Value::Float(Float::new(0.1).unwrap()),
        6 => number("0.1"),
        7 => number("170141183460469231731687303715884105727"),
        9 => Value::word("0xCD"),
        _ => Value::Null,
    }
}

/// The same as expressions read it.
fn cell<'a>(index: usize) -> Cow<'a, Value> {
    Cow::Owned(row(index))
}

fn number(text: &str) -> Value {
    Value::Number(Decimal::parse(text.as_bytes()).unwrap())
}

fn compile(text: &str) -> Result<Compiled, Vec<ExprError>> {
    Expr::parse(text).map_err(|error| vec![error])?.check(COLUMNS)
}

/// The value as outputs write it; texts with their quotes, floats with an `f`.
fn eval(text: &str) -> String {
    let compiled = compile(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    match compiled.eval(&cell) {
        Err(EvalError::Overflow) => "overflow".to_owned(),
        Ok(Value::Null) => "null".to_owned(),
        Ok(Value::Bool(truth)) => truth.to_string(),
        Ok(Value::Number(number)) => number.to_string(),
        Ok(Value::Float(float)) => format!("{}f", float.get()),
        Ok(Value::Time(time)) => time.to_string(),
        Ok(Value::Text(text)) => format!("'{text}'"),
    }
}

/// Each error as `start..end message | hint`.
fn errors(text: &str) -> Vec<String> {
    let errors = compile(text).map(|compiled| format!("{compiled:?}")).unwrap_err();
    let show = |error: ExprError| {
        let hint = error.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
        format!("{}..{} {}{hint}", error.at.start, error.at.end, error.message)
    };
    errors.into_iter().map(show).collect()
}

#[test]
fn types_and_columns_are_known() {
    for (text, value_type, columns) in [
        ("qty * price - qty", Type::Number, &[0, 6][..]),
        ("side || qty", Type::Text, &[0, 1]),
        ("event_time > '2026-01-01T00:00:00Z' and side in ('a', side)", Type::Bool, &[1, 4]),
        ("coalesce(score, 1)", Type::Float, &[5]),
        ("max(event_time, null)", Type::Time, &[4]),
        ("1 + 1 = 2", Type::Bool, &[]),
        ("abs(price) > 1", Type::Bool, &[6]),
    ] {
        let compiled = compile(text).unwrap();
        assert_eq!(compiled.value_type(), value_type, "{text}");
        assert_eq!(compiled.columns(), columns, "{text}");
    }
    let expr = Expr::parse("b || \"A b\" || lower(b)").unwrap();
    assert_eq!(expr.column_names(), ["b", "A b"]);
    assert_eq!(
        (expr.as_column(), Expr::parse("(\"A b\")").unwrap().as_column()),
        (None, Some("A b"))
    );
    assert_eq!(compile("side").unwrap().as_column(), Some(1));
}

#[test]
fn what_may_have_no_value_is_known() {
    for (text, may_fail) in [
        ("qty > 1 and side in ('a', lower(side)) or score < 0.5", false),
        ("coalesce(price, -1) = min(qty, 2) and event_time is not null", false),
        ("1 + 1 = 2 or qty < 1000 * 1000", false),
        ("qty * price > 1", true),
        ("side = 'a' or not (final and coalesce(nothing, abs(qty)) in (2, -price))", true),
        ("starts_with(side || (qty + 1), 'a')", true),
        ("number(score) > 1", true),
    ] {
        assert_eq!(compile(text).unwrap().may_fail(), may_fail, "{text}");
    }
}

#[test]
fn compiled_expressions_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&compile("qty > 0").unwrap());
}
