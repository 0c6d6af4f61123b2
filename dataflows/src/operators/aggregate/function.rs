//! What is asked of a group: a function of an expression, as the option `values` writes it.

use std::borrow::Cow;
use std::ops::Range;

use types::expr::{Columns, Compiled};
use types::options::{Place, Problem, Settings, did_you_mean, within};
use types::schema::{Column, Kind, Type};
use types::{Text, Value};

use super::group::Arg;
use crate::operators::expressions::{compile, is_column_name, kind_of};
use crate::plan::View;

/// What is computed of a group's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Distinct,
}

const FUNCTIONS: [(&str, Function); 6] = [
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("avg", Function::Avg),
    ("min", Function::Min),
    ("max", Function::Max),
    ("distinct", Function::Distinct),
];

/// A new column.
pub(super) struct Asked {
    pub(super) column: Column,
    pub(super) function: Function,
    /// Of what; `count()` is of rows.
    pub(super) of: Option<Compiled>,
    /// What errors say where its value doesn't fit.
    pub(super) reason: Text,
    pub(super) place: Place,
}

impl Asked {
    /// What a row brings to it.
    pub(super) fn arg<'a>(&'a self, column: Columns<'a>) -> Arg {
        match &self.of {
            None => Arg::Value(Value::Bool(true)),
            Some(of) => of.eval(column).map_or(Arg::Overflow, Arg::Value),
        }
    }
}

/// Reads the option `values`; `None` without an input, when only the texts are checked.
pub(super) fn asked(
    settings: &Settings,
    view: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Asked>> {
    let written = settings.assignments("values");
    if written.is_empty() && settings.has("values") {
        let message = "`values` names no new columns";
        let problem = Problem::new(settings.place("values"), "wrong_value", message);
        problems.push(problem.hint("write it like { n = \"count()\", volume = \"sum(size)\" }"));
    }
    let mut asked = Vec::new();
    for (name, text, place) in written {
        if !is_column_name(name) {
            let message = format!("a column can't be named `{name}`");
            let problem = Problem::new(place.clone(), "bad_column_name", message);
            problems.push(problem.hint("use letters, digits and `_`, a letter first"));
            continue;
        }
        let Some((function, of)) = read(text, place, view, problems) else { continue };
        let (kind, nullable) = kind(function, of.as_ref(), view);
        asked.push(Asked {
            column: Column { name: Cow::Owned(name.clone()), kind, nullable },
            function,
            of,
            reason: Text::from(format!("overflow of {name}")),
            place: place.clone(),
        });
    }
    view.is_some().then_some(asked)
}

/// Reads a function and the expression in its parentheses.
fn read(
    text: &str,
    place: &Place,
    view: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Option<(Function, Option<Compiled>)> {
    let (function, inner) = match called(text) {
        Ok(called) => called,
        Err(Wrong { at, message, hint }) => {
            let place = within(place, text, &at);
            problems.push(Problem { place, code: "bad_expression", message, hint });
            return None;
        }
    };
    let of = text.get(inner.clone()).unwrap_or_default();
    if of.trim().is_empty() {
        return Some((function, None));
    }
    // The parentheses stand where the quotes of other expressions do.
    let of = compile(of, &within(place, text, &(inner.start - 1..inner.end + 1)), view, problems)?;
    let adds = matches!(function, Function::Sum | Function::Avg);
    if adds && of.value_type() != Type::Number {
        let name = text.get(..inner.start - 1).unwrap_or_default().trim();
        let message = format!("`{name}` takes exact numbers");
        let hint = match of.value_type() {
            Type::Float => "sums of floats would depend on the order of rows",
            _ => "count, min, max and distinct take anything",
        };
        let at = within(place, text, &inner);
        problems.push(Problem::new(at, "bad_expression", message).hint(hint));
        return None;
    }
    Some((function, Some(of)))
}

/// What is wrong with a text, and where.
struct Wrong {
    at: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    fn new(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: Some(hint.into()) }
    }
}

/// The function that a text calls, and where that stands which it is of: nothing for `count()` alone.
fn called(text: &str) -> Result<(Function, Range<usize>), Wrong> {
    let end = text.trim_end().len();
    let Some(open) = text.find('(') else {
        let message = "expected a function of an expression";
        return Err(Wrong::new(0..text.len(), message, "write it like `sum(size)`"));
    };
    let name = text.get(..open).unwrap_or_default().trim();
    let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
        let hint = match name {
            "mean" | "average" => Some("did you mean `avg`?".to_owned()),
            _ => did_you_mean(name, FUNCTIONS.iter().map(|(known, _)| *known)),
        };
        let message = format!("no function of groups is named `{name}`");
        return Err(Wrong { at: 0..open, message, hint });
    };
    let behind = text.get(open + 1..end).unwrap_or_default();
    let Some(n_inner) = closes_at(behind) else {
        let message = format!("what `{name}(` opens isn't closed");
        return Err(Wrong::new(0..end, message, "a `)` is missing, or a quote"));
    };
    let inner = open + 1..open + 1 + n_inner;
    if inner.end + 1 < end {
        let hint = "give each function a column of its own, and reckon with them in a `select`";
        return Err(Wrong::new(0..end, "a column is one function, and more stands here", hint));
    }
    match (behind.get(..n_inner).unwrap_or_default().trim(), *function) {
        ("*", Function::Count) => {
            Err(Wrong::new(inner, "`*` is no value", "`count()` counts rows"))
        }
        ("", other) if other != Function::Count => {
            let hint = format!("name a column or write an expression: `{name}(size)`");
            Err(Wrong::new(open..end, format!("`{name}` of what?"), hint))
        }
        (_, function) => Ok((function, inner)),
    }
}

/// Where the parenthesis that was opened before a text is closed.
fn closes_at(behind: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in behind.char_indices() {
        match (quote, c) {
            (Some(opened), c) if c == opened => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(at),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The kind of a column, and whether it may be null: where a group's values are all null.
fn kind(function: Function, of: Option<&Compiled>, view: Option<&View>) -> (Kind, bool) {
    match (function, of) {
        (Function::Count | Function::Distinct, _) | (_, None) => (Kind::Count, false),
        (Function::Sum | Function::Avg, _) => (Kind::Number, true),
        (Function::Min | Function::Max, Some(of)) => {
            let columns = view.map(|view| view.schema.columns.as_slice()).unwrap_or_default();
            let column = of.as_column().and_then(|index| columns.get(index));
            (column.map_or_else(|| kind_of(of.value_type()), |column| column.kind), true)
        }
    }
}
