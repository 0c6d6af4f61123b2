//! `select`: some columns of each row, and new ones that expressions compute.

use std::borrow::Cow;
use std::sync::Arc;

use types::expr::{Compiled, EvalError};
use types::options::{
    Need, OptionKind, OptionSpec, Place, Problem, Settings, did_you_mean, option,
};
use types::relations::{Relation, RelationKind};
use types::schema::Column;
use types::{Names, Row, Schema, Text};

use super::Operator;
use super::expressions::{
    compile, error_row, errors_output, is_column_name, kind_of, leaving, split,
};
use crate::edge::Edge;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

/// Gives each row of its input with the columns of `columns`, behind the input's key: without the
/// key rows couldn't be told apart. Numbers that are computed are rounded half-even at 1e-9, once,
/// at the end. A row with a number that doesn't fit stands in `<view>.errors` for as long as the
/// row is there. Keeps nothing and forgets nothing.
pub(crate) struct Select;

impl Operator for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn help(&self) -> &'static str {
        "the key, some columns and new columns of each row of the input"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            option("input", OptionKind::Input, Need::Required, "what is read"),
            option(
                "columns",
                OptionKind::Assignments,
                Need::Required,
                "columns of the input, or new columns and their expressions; the key is always there",
            ),
        ];
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems)?;
        let columns = Columns::settle(settings, Some(input), &mut problems)?;
        problems.is_empty().then(|| outputs_of(input, &columns))
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems);
        let columns = Columns::settle(settings, input, &mut problems);
        match (input, columns) {
            (Some(input), Some(columns)) if problems.is_empty() => Ok(Prepared {
                inputs: vec![input.port],
                outputs: outputs_of(input, &columns),
                build: Box::new(Selected {
                    sources: columns.sources.into(),
                    n_key: input.schema.n_key,
                }),
            }),
            _ => Err(problems),
        }
    }
}

fn outputs_of(input: &View, columns: &Columns) -> Vec<Output> {
    let is_time =
        |source: &Source| matches!(source, Source::Column(i) if Some(*i) == input.schema.time);
    let schema = Schema {
        columns: columns.columns.clone(),
        n_key: input.schema.n_key,
        time: columns.sources.iter().position(is_time),
    };
    let rows = Output {
        suffix: "",
        kind: RelationKind::Rows,
        schema: schema.shared(),
        is_keyed: input.is_keyed,
    };
    vec![rows, errors_output(input)]
}

/// Where a column of the output comes from.
#[derive(Clone)]
enum Source {
    /// A column of the input, by its index.
    Column(usize),
    /// An expression over the input's columns, and the reason that errors give if it overflows.
    Computed(Compiled, Text),
}

/// The columns of the output, key first, and where they come from.
struct Columns {
    columns: Vec<Column>,
    sources: Vec<Source>,
}

impl Columns {
    /// Settles the option against the input's columns; `None` without an input, when only the texts
    /// of expressions are checked.
    fn settle(
        settings: &Settings,
        input: Option<&View>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let Some(view) = input else {
            for (_, text, place) in settings.assignments("columns") {
                compile(text, place, None, problems);
            }
            return None;
        };
        let key = view.schema.key().to_vec();
        let sources = (0..key.len()).map(Source::Column).collect();
        let mut columns = Self { columns: key, sources };
        for (name, place) in settings.list("columns") {
            columns.add_listed(name, place, view, problems);
        }
        for (name, text, place) in settings.assignments("columns") {
            columns.add_assigned((name, text, place), view, problems);
        }
        Some(columns)
    }

    /// Adds a column of the input under its own name.
    fn add_listed(&mut self, name: &str, place: &Place, view: &View, problems: &mut Vec<Problem>) {
        let schema = &view.schema;
        let Some(index) = schema.index(name) else {
            let message = format!("`{}` has no column `{name}`", view.name);
            let mut problem = Problem::new(place.clone(), "unknown_column", message);
            problem.hint = did_you_mean(name, schema.columns.iter().map(|c| c.name.as_ref()));
            problems.push(problem);
            return;
        };
        if index < schema.n_key {
            return;
        }
        if self.columns.iter().any(|column| column.name == name) {
            let message = format!("`{name}` is listed twice");
            problems.push(Problem::new(place.clone(), "duplicate_column", message));
            return;
        }
        self.columns.push(schema.columns[index].clone());
        self.sources.push(Source::Column(index));
    }

    /// Adds a column with its expression. One that is nothing but a column of the input stays what
    /// it is there, under the new name.
    fn add_assigned(
        &mut self,
        (name, text, place): (&str, &str, &Place),
        view: &View,
        problems: &mut Vec<Problem>,
    ) {
        let compiled = compile(text, place, Some(view), problems);
        if !is_column_name(name) {
            let message = format!("a column can't be named `{name}`");
            let hint = "use letters, digits and `_`, a letter first";
            problems.push(Problem::new(place.clone(), "bad_column_name", message).hint(hint));
            return;
        }
        let Some(compiled) = compiled else { return };
        let source = compiled.as_column();
        if let Some(key) = view.schema.key().iter().position(|column| column.name == name) {
            if source != Some(key) {
                let message = format!("`{name}` is part of the key of `{}`", view.name);
                let problem = Problem::new(place.clone(), "key_column", message);
                problems.push(problem.hint("give the new column another name"));
            }
            return;
        }
        let name = Cow::Owned(name.to_owned());
        if let Some(index) = source {
            self.columns.push(Column { name, ..view.schema.columns[index].clone() });
            self.sources.push(Source::Column(index));
            return;
        }
        let reason = Text::from(format!("overflow of {name}"));
        let kind = kind_of(compiled.value_type());
        self.columns.push(Column { name, kind, nullable: true });
        self.sources.push(Source::Computed(compiled, reason));
    }
}

/// A select with its options settled.
struct Selected {
    sources: Arc<[Source]>,
    n_key: usize,
}

impl Build for Selected {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a select reads one view") };
        let name = format!("view {}: select", context.view);
        let (sources, n_key) = (Arc::clone(&self.sources), self.n_key);
        let names = Arc::clone(&context.names);
        let (rows, errors) = with_edge!(input, rows => {
            split(rows.clone(), &name, move |row| Some(select(&row, &sources, n_key, &names)))
        });
        vec![Edge::Rows(rows), Edge::Rows(errors)]
    }
}

/// The row of the output, or that of the errors.
fn select<'a, R: Relation>(
    row: &R,
    sources: &'a [Source],
    n_key: usize,
    names: &Names,
) -> Result<Row, Row> {
    let column = |index| row.column_ref(index, names);
    let value = |source: &'a Source| match source {
        Source::Column(index) => Ok(column(*index).into_owned()),
        Source::Computed(compiled, reason) => compiled
            .eval(&column)
            .and_then(leaving)
            .map_err(|EvalError::Overflow| error_row(row, n_key, names, reason.clone())),
    };
    sources.iter().map(value).collect::<Result<_, _>>().map(Row)
}

#[cfg(test)]
mod tests;
