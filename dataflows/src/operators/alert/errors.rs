//! The view of the rows for which a rule's conditions have no value.

use std::borrow::Cow;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::operator::empty;
use types::expr::{Compiled, EvalError};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind};
use types::{Names, Row, Schema, Text, Value, VenueTime};

use super::Watch;
use crate::edge::Coll;
use crate::operators::expressions::{error_row, errors_output};
use crate::plan::{Output, View};

/// The output: the view's key and the reason. A position is looked at once a step, so that the step is
/// part of the key there.
pub(super) fn output(view: &View) -> Output {
    let output = errors_output(view);
    if view.kind != RelationKind::Positions {
        return output;
    }
    let n_key = view.schema.n_key;
    let mut columns = output.schema.columns.clone();
    columns
        .insert(n_key, Column { name: Cow::Borrowed("time"), kind: Kind::Time, nullable: false });
    let schema = Schema { columns, n_key: n_key + 1, time: Some(n_key) };
    Output { schema: schema.shared(), ..output }
}

/// A rule's conditions, as far as they may have no value.
#[derive(Clone)]
pub(super) struct Faults {
    when: Compiled,
    resolve_when: Option<Compiled>,
    severities: Vec<Compiled>,
    n_key: usize,
    names: Arc<Names>,
}

impl Faults {
    /// Those of a rule; `None` where each condition has a value for each row.
    pub(super) fn of(watch: &Watch, names: &Arc<Names>) -> Option<Self> {
        let faults = Self {
            when: watch.when.clone(),
            resolve_when: watch.resolve_when.clone(),
            severities: watch.severities.iter().map(|(_, when)| when.clone()).collect(),
            n_key: watch.schema.n_key,
            names: Arc::clone(names),
        };
        let is_any = faults.conditions().any(Compiled::may_fail);
        is_any.then_some(faults)
    }

    fn conditions(&self) -> impl Iterator<Item = &Compiled> {
        [&self.when].into_iter().chain(&self.resolve_when).chain(&self.severities)
    }

    /// The row of the errors, where some condition has no value for a row; with the step of a position.
    pub(super) fn row<R: Relation>(&self, row: &R, step: Option<VenueTime>) -> Option<Row> {
        let reason = self.judge(row).err()?;
        let error = error_row(row, self.n_key, &self.names, reason);
        let Some(step) = step else { return Some(error) };
        let mut values = error.0.to_vec();
        values.insert(self.n_key, Value::Time(step));
        Some(Row(values.into()))
    }

    /// Evaluates what a rule evaluates of a row that it looks at; the first reason why it can't.
    fn judge<R: Relation>(&self, row: &R) -> Result<(), Text> {
        let is_true = |condition: &Compiled, option: &str| {
            let truth = condition.is_true(&|index| row.column_ref(index, &self.names));
            truth.map_err(|error: EvalError| Text::from(format!("{error} of {option}")))
        };
        let fires = is_true(&self.when, "when")?;
        if let Some(resolve_when) = &self.resolve_when {
            is_true(resolve_when, "resolve_when")?;
        }
        if fires {
            for severity in &self.severities {
                if is_true(severity, "severity_when")? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The errors of a rule that has none, or whose errors nobody reads.
pub(super) fn none<'s>(scope: Scope<'s, u64>) -> Coll<'s, Row> {
    empty(scope).as_collection()
}
