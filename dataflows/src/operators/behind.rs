//! The columns of a row with those of another view's row behind it: what joins give.

use std::borrow::Cow;
use std::sync::Arc;

use types::options::{
    Need, OptionKind, OptionSpec, Place, Problem, Settings, did_you_mean, option,
};
use types::relations::RelationKind;
use types::schema::Column;
use types::{Row, Schema, Value};

use super::declared::check_keyed;
use super::expressions::is_column_name;
use super::latest::columns;
use crate::plan::{Build, Output, PlanBuilder, Prepared, View};

/// How the columns that must be equal are named.
pub(super) const ON: OptionSpec =
    option("on", OptionKind::Columns, Need::Required, "columns of both that must be equal");
/// What keeps names apart; see [`named_behind`].
pub(super) const PREFIX: OptionSpec = option(
    "prefix",
    OptionKind::Text,
    Need::Optional,
    "in front of a name that both have; by default the other view's name and `_`",
);

/// An operator that puts rows of `with` behind those of `input`.
pub(super) trait Behind: Build + Sized + 'static {
    /// Settles the options.
    fn settle(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) -> Self;

    /// Checks what the views must be like, whatever the options.
    fn check(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>);

    /// The columns of its rows.
    fn schema(&self) -> &Arc<Schema>;
}

/// The output of an operator with these options; `None` where they have problems.
pub(super) fn outputs<B: Behind>(settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
    let mut problems = Vec::new();
    let input = plan.input(settings, "input", &mut problems)?;
    let with = plan.input(settings, "with", &mut problems)?;
    let settled = B::settle(settings, input, with, &mut problems);
    problems.is_empty().then(|| vec![output(&settled)])
}

/// Prepares an operator with these options.
pub(super) fn prepare<B: Behind>(
    settings: &Settings,
    plan: &PlanBuilder,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let input = plan.input(settings, "input", &mut problems);
    let with = plan.input(settings, "with", &mut problems);
    let (Some(input), Some(with)) = (input, with) else { return Err(problems) };
    check_keyed(input, settings, "input", &mut problems);
    B::check(settings, input, with, &mut problems);
    let settled = B::settle(settings, input, with, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let outputs = vec![output(&settled)];
    Ok(Prepared { inputs: vec![input.port, with.port], outputs, build: Box::new(settled) })
}

fn output(settled: &impl Behind) -> Output {
    let schema = Arc::clone(settled.schema());
    Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: true }
}

/// The columns that must be equal, as indices of both views' columns.
pub(super) struct On {
    pub(super) input: Vec<usize>,
    pub(super) with: Vec<usize>,
}

/// Settles the option `on`: columns that both views have, and that compare.
pub(super) fn on(
    settings: &Settings,
    input: &View,
    with: &View,
    problems: &mut Vec<Problem>,
) -> On {
    let of_input = columns(settings, "on", input, problems);
    let mut of_with = Vec::new();
    for (name, place) in settings.list("on") {
        let Some(in_input) = input.schema.index(name) else { continue };
        let Some(in_with) = with.schema.index(name) else {
            let message = format!("`{}` has no column `{name}`", with.name);
            let mut problem = Problem::new(place.clone(), "unknown_column", message);
            let known = with.schema.columns.iter().map(|column| column.name.as_ref());
            problem.hint = did_you_mean(name, known);
            problems.push(problem);
            continue;
        };
        let kinds = [(input, in_input), (with, in_with)]
            .map(|(view, index)| view.schema.columns.get(index).map(|column| column.kind));
        if let [Some(left), Some(right)] = kinds
            && left.of() != right.of()
        {
            let message = format!(
                "`{name}` is a {} in `{}` and a {} in `{}`: they are never equal",
                left.name(),
                input.name,
                right.name(),
                with.name
            );
            problems.push(Problem::new(place.clone(), "wrong_type", message));
        }
        of_with.push(in_with);
    }
    On { input: of_input, with: of_with }
}

/// The columns of another view under names that don't clash with those of the input, nor with one
/// another: a name that both have gets the option `prefix` in front, by default the view's name and
/// `_`.
pub(super) fn named_behind(
    settings: &Settings,
    input: &View,
    (with, shown): (&View, &[usize]),
    problems: &mut Vec<Problem>,
) -> Vec<Column> {
    let place = settings.place("prefix");
    let prefix = match settings.text("prefix") {
        Some(prefix) => prefix.to_owned(),
        None => format!("{}_", with.name.replace('.', "_")),
    };
    if !is_column_name(&prefix) {
        let message = format!("a column's name can't start with `{prefix}`");
        let problem = Problem::new(place.clone(), "bad_name", message);
        problems.push(problem.hint("use letters, digits and `_`, a letter first"));
    }
    let mut named: Vec<Column> = Vec::new();
    for column in shown.iter().filter_map(|index| with.schema.columns.get(*index)) {
        let name = match input.schema.index(&column.name) {
            Some(_) => Cow::Owned(format!("{prefix}{}", column.name)),
            None => column.name.clone(),
        };
        let of_input = input.schema.columns.iter().chain(&named);
        if of_input.map(|other| &other.name).any(|other| *other == name) {
            problems.push(name_clash(&name, &place));
            continue;
        }
        named.push(Column { name, ..column.clone() });
    }
    named
}

fn name_clash(name: &str, place: &Place) -> Problem {
    let message = format!("two columns would be named `{name}`");
    Problem::new(place.clone(), "name_taken", message).hint("give another `prefix`")
}

/// Where a column of a joined row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The input's row.
    Input(usize),
    /// The other view's.
    With(usize),
}

/// A row of the input with the other view's behind it; nulls where there is none.
pub(super) fn joined(input: &Row, with: Option<&Row>, sources: &[Source]) -> Row {
    let value = |source: &Source| match *source {
        Source::Input(index) => input.0.get(index),
        Source::With(index) => with.and_then(|row| row.0.get(index)),
    };
    Row(sources.iter().map(|source| value(source).cloned().unwrap_or(Value::Null)).collect())
}
