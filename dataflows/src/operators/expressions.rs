//! What operators that evaluate expressions share: the check against a view's columns, and the view
//! of the rows for which an expression has no value.

use std::borrow::Cow;

use differential_dataflow::AsCollection;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use types::expr::{Compiled, EvalError, Expr, ExprError};
use types::options::{Place, Problem, within};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind, Type};
use types::{Decimal, Names, Row, Schema, Text, Value};

use crate::edge::Coll;
use crate::plan::{Output, View};

/// Compiles an expression over a view's columns; what is wrong is told as problems. Without a view
/// only the text is checked.
pub(crate) fn compile(
    text: &str,
    place: &Place,
    view: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Option<Compiled> {
    let mut tell = |errors: Vec<ExprError>| {
        problems.extend(errors.into_iter().map(|error| Problem {
            place: within(place, text, &error.at),
            code: "bad_expression",
            message: error.message,
            hint: error.hint,
        }));
    };
    let expr = Expr::parse(text).map_err(|error| tell(vec![error])).ok()?;
    let columns: Vec<(&str, Kind)> =
        view?.schema.columns.iter().map(|c| (c.name.as_ref(), c.kind)).collect();
    expr.check(&columns).map_err(tell).ok()
}

/// Compiles an expression that must be true or false.
pub(crate) fn condition(
    text: &str,
    place: &Place,
    view: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Option<Compiled> {
    let compiled = compile(text, place, view, problems)?;
    if compiled.value_type() == Type::Bool {
        return Some(compiled);
    }
    let message = "the expression must be true or false";
    let hint = "compare it with something, like `qty > 0`";
    problems.push(Problem::new(place.clone(), "bad_expression", message).hint(hint));
    None
}

/// The output of the rows for which an expression has no value: the input's key and the `reason`
/// (`error_reason` where a column of the key is called so).
pub(crate) fn errors_output(input: &View) -> Output {
    let mut columns = input.schema.key().to_vec();
    // No two columns have one name.
    let is_taken = columns.iter().any(|column| column.name == "reason");
    let name = Cow::Borrowed(if is_taken { "error_reason" } else { "reason" });
    columns.push(Column { name, kind: Kind::Name, nullable: false });
    let n_key = input.schema.n_key;
    let time = input.schema.time.filter(|time| *time < n_key);
    Output {
        suffix: "errors",
        kind: RelationKind::Rows,
        schema: Schema { columns, n_key, time }.shared(),
        is_keyed: input.is_keyed,
    }
}

/// A row of the errors.
pub(crate) fn error_row<R: Relation>(row: &R, n_key: usize, names: &Names, reason: Text) -> Row {
    let key = (0..n_key).map(|index| row.column(index, names));
    Row(key.chain([Value::Text(reason)]).collect())
}

/// Sends each row's result to the first output or its error to the second; what has neither is
/// dropped. Keeps nothing: times and differences stay as they are, so what `logic` says of a row is
/// taken back with it.
pub(crate) fn split<'s, R: Relation, O: Clone + 'static>(
    rows: Coll<'s, R>,
    name: &str,
    mut logic: impl FnMut(R) -> Option<Result<O, Row>> + 'static,
) -> (Coll<'s, O>, Coll<'s, Row>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), rows.inner.scope());
    let mut input = builder.new_input(rows.inner, Pipeline);
    let (output, results) = builder.new_output();
    let (errors_output, errors) = builder.new_output();
    let mut output = OutputBuilder::from(output);
    let mut errors_output = OutputBuilder::from(errors_output);
    builder.build(move |_| {
        move |_frontiers| {
            let (mut output, mut errors_output) = (output.activate(), errors_output.activate());
            input.for_each_time(|time, containers| {
                let mut results = output.session(&time);
                let mut errors = errors_output.session(&time);
                for (row, epoch, diff) in containers.flat_map(|container| container.drain(..)) {
                    match logic(row) {
                        Some(Ok(result)) => results.give((result, epoch, diff)),
                        Some(Err(error)) => errors.give((error, epoch, diff)),
                        None => {}
                    }
                }
            });
        }
    });
    (results.as_collection(), errors.as_collection())
}

/// Whether sinks and expressions take a name without quotes; a `_` in front is for columns that
/// sinks add.
pub(crate) fn is_column_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The kind of a column that is computed.
pub(crate) fn kind_of(value_type: Type) -> Kind {
    match value_type {
        Type::Bool => Kind::Bool,
        Type::Number => Kind::Number,
        Type::Float => Kind::Float,
        Type::Time => Kind::Time,
        Type::Text => Kind::Text,
    }
}

/// A computed value as it leaves: numbers at 1e-9, half-even, in 38 digits.
pub(crate) fn leaving(value: Value) -> Result<Value, EvalError> {
    let Value::Number(number) = value else { return Ok(value) };
    let fits = |nano: &i128| nano.unsigned_abs() < 10u128.pow(38);
    let nano = number.at_scale(9).filter(fits).ok_or(EvalError::Overflow)?;
    Ok(Value::Number(Decimal::new(nano, 9)))
}
