//! What folds over one number a row have in common: their options, columns and errors.

use std::borrow::Cow;
use std::sync::Arc;

use types::expr::Compiled;
use types::number::Decimal;
use types::options::{Place, Problem, Settings};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind, Type};
use types::{Names, Schema, Text, Value};

use super::fixed::{ONE, fixed, weight_of};
use super::{Standing, Step, folded};
use crate::edge::Edge;
use crate::operators::expressions::{compile, error_row, errors_output, split};
use crate::operators::latest::{columns, no_time};
use crate::operators::ordered::Order;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

/// The half-life where none is given, in rows.
const HALF_LIFE: u64 = 20;

/// The longest half-life, in rows.
pub(super) const HALF_LIFE_MAX: u64 = 1_000_000;

/// The outputs of a fold that adds these columns behind `value`; `None` where an option keeps them from
/// being known.
pub(super) fn outputs(
    settings: &Settings,
    plan: &PlanBuilder,
    added: &[(&'static str, Kind)],
) -> Option<Vec<Output>> {
    plan.input(settings, "input", &mut Vec::new()).map(|input| outputs_of(input, added))
}

/// Settles the options that all of them have; `step` is `None` where its own are wrong.
pub(super) fn prepare<S: Step<Input = i128> + Send + Sync>(
    settings: &Settings,
    plan: &PlanBuilder,
    added: &[(&'static str, Kind)],
    (step, mut problems): (Option<S>, Vec<Problem>),
) -> Result<Prepared, Vec<Problem>> {
    let input = plan.input(settings, "input", &mut problems);
    let value = number(settings, input, &mut problems);
    let Some(input) = input else { return Err(problems) };
    let by = series(settings, input, &mut problems);
    check(settings, input, added, &mut problems);
    match (step, value) {
        (Some(step), Some(value)) if problems.is_empty() => {
            let head = head(&input.schema);
            let outputs = outputs_of(input, added);
            let folds = Folds { step, value, by, head, schema: Arc::clone(&input.schema) };
            Ok(Prepared { inputs: vec![input.port], outputs, build: Box::new(folds) })
        }
        _ => Err(problems),
    }
}

/// The weight of a row, from `half_life` or `alpha`.
pub(super) fn weight(settings: &Settings, problems: &mut Vec<Problem>) -> Option<i128> {
    let Some(text) = settings.text("alpha") else {
        return Some(weight_of(settings.count("half_life").unwrap_or(HALF_LIFE).max(1)));
    };
    let place = settings.place("alpha");
    if settings.has("half_life") {
        let message = "`alpha` and `half_life` both say how fast rows lose weight";
        problems.push(Problem::new(place, "wrong_option", message).hint("leave one of them out"));
        return None;
    }
    let range = |weight: &i128| (1..ONE).contains(weight);
    decimal(text, &place, (range, "above 0 and below 1, like \"0.1\""), problems)
}

/// A number of an option, exact in 1e-18.
pub(super) fn decimal(
    text: &str,
    place: &Place,
    (is_in_range, range): (impl Fn(&i128) -> bool, &str),
    problems: &mut Vec<Problem>,
) -> Option<i128> {
    let exact = |number: &Decimal| number.scale() <= 18;
    let number = Decimal::parse(text.as_bytes()).ok().filter(exact).and_then(fixed);
    let number = number.filter(is_in_range);
    if number.is_none() {
        let message = format!("`{text}` isn't a number that can stand here");
        let hint = format!("a number {range}, with 18 decimals at most");
        problems.push(Problem::new(place.clone(), "out_of_range", message).hint(hint));
    }
    number
}

/// The expression of `value`, which must be a number.
fn number(
    settings: &Settings,
    input: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Option<Compiled> {
    let place = settings.place("value");
    let compiled = compile(settings.text("value")?, &place, input, problems)?;
    let hint = match compiled.value_type() {
        Type::Number => return Some(compiled),
        Type::Float => "`number(..)` makes a decimal of a float",
        Type::Bool | Type::Time | Type::Text => "name a number, like `price`",
    };
    let problem = Problem::new(place, "bad_expression", "the expression must be a number");
    problems.push(problem.hint(hint));
    None
}

/// The columns that tell series apart: of the key, so that a row that is replaced stays in its series.
fn series(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> Vec<usize> {
    let Schema { columns: all, n_key, time } = &*input.schema;
    if !settings.has("by") {
        let is_series = |index: &usize| Some(*index) != *time && all[*index].name != "id";
        return (0..*n_key).filter(is_series).collect();
    }
    let by = columns(settings, "by", input, problems);
    for index in by.iter().filter(|index| *index >= n_key) {
        let message = format!("`{}` isn't part of the key of `{}`", all[*index].name, input.name);
        let problem = Problem::new(settings.place("by"), "wrong_option", message);
        let key: Vec<&str> = input.schema.key().iter().map(|column| column.name.as_ref()).collect();
        problems.push(problem.hint(format!("columns of the key: {}", key.join(", "))));
    }
    by
}

/// Checks that rows of the input can be told apart and put in order, and that the columns are free.
fn check(
    settings: &Settings,
    input: &View,
    added: &[(&'static str, Kind)],
    problems: &mut Vec<Problem>,
) {
    if input.schema.time.is_none() {
        problems.push(no_time(input, settings, "input"));
    }
    if !input.is_keyed {
        let message = format!("the rows of `{}` have no key that tells them apart", input.name);
        let problem = Problem::new(settings.place("input"), "wrong_input", message);
        problems.push(problem.hint("read trades, fills, bars, features or snapshots"));
    }
    for index in head(&input.schema) {
        let name = &input.schema.columns[index].name;
        if name == VALUE || added.iter().any(|(added, _)| added == name) {
            let message = format!("`{}` has a column `{name}` in its key already", input.name);
            problems.push(Problem::new(settings.place("input"), "duplicate_column", message));
        }
    }
}

/// The column of the number.
const VALUE: &str = "value";

/// The columns that rows start with: the key, and the time.
fn head(schema: &Schema) -> Vec<usize> {
    let time = schema.time.filter(|time| *time >= schema.n_key);
    (0..schema.n_key).chain(time).collect()
}

fn outputs_of(input: &View, added: &[(&'static str, Kind)]) -> Vec<Output> {
    let head = head(&input.schema);
    let mut columns: Vec<Column> =
        head.iter().map(|index| input.schema.columns[*index].clone()).collect();
    for (index, column) in head.iter().zip(&mut columns) {
        // A row without a time has none here.
        column.nullable &= Some(*index) != input.schema.time;
    }
    let added = [(VALUE, Kind::Number)].iter().chain(added).copied();
    columns.extend(added.map(|(name, kind)| Column {
        name: Cow::Borrowed(name),
        kind,
        nullable: true,
    }));
    let time = head.iter().position(|index| Some(*index) == input.schema.time);
    let schema = Schema { columns, n_key: input.schema.n_key, time }.shared();
    let rows = Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: input.is_keyed };
    vec![rows, errors_output(input)]
}

/// A fold with its options settled.
struct Folds<S> {
    step: S,
    value: Compiled,
    by: Vec<usize>,
    head: Vec<usize>,
    schema: Arc<Schema>,
}

impl<S: Step<Input = i128> + Send + Sync> Build for Folds<S> {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a fold reads one view") };
        let name = format!("view {}: fold", context.view);
        let order = Order::new(&self.schema, &context.names);
        let standing = Standing::new(order, &self.by, &self.head);
        let (value, n_key) = (self.value.clone(), self.schema.n_key);
        let names = Arc::clone(&context.names);
        let (seen, errors) = with_edge!(input, rows => {
            split(rows.clone(), &name, move |row| {
                if let Ok(number) = read(&row, &value, &names) {
                    return standing.see(&row, number).map(Ok);
                }
                let reason = Text::Word("overflow of value");
                Some(Err(error_row(&row, n_key, &names, reason)))
            })
        });
        let rows = folded(seen, &name, self.step.clone(), n_key);
        vec![Edge::Rows(rows), Edge::Rows(errors)]
    }
}

/// A number doesn't fit.
struct Overflow;

/// The number of a row; `None` where it is null.
fn read<R: Relation>(row: &R, value: &Compiled, names: &Names) -> Result<Option<i128>, Overflow> {
    match value.eval(&|index| row.column_ref(index, names)).map_err(|_| Overflow)? {
        Value::Number(number) => fixed(number).map(Some).ok_or(Overflow),
        _ => Ok(None),
    }
}
