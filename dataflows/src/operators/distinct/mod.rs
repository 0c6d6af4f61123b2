//! `distinct`: the values that some columns have, each once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::dataflow::operators::Exchange;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::RelationKind;
use types::schema::Kind;
use types::{Column, Row, Schema, Value};

use super::Operator;
use super::declared::{Values, route, values};
use super::epochs::per_epoch;
use super::latest::columns;
use crate::edge::{Coll, Edge};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

/// Gives the values of some columns, each once, with how many rows have them. Rows with a null among
/// them are left out, since nulls are no key. Keeps a count for each of the values.
pub(super) struct Distinct;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "what is read"),
    option("columns", OptionKind::Columns, Need::Required, "the columns; all of them are the key"),
];

/// The column that says how many rows have the values.
const N: &str = "n";

impl Operator for Distinct {
    fn name(&self) -> &'static str {
        "distinct"
    }

    fn help(&self) -> &'static str {
        "the values that some columns have, each once"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems)?;
        let (output, _) = settle(settings, input, &mut problems);
        problems.is_empty().then(|| vec![output])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let Some(input) = plan.input(settings, "input", &mut problems) else {
            return Err(problems);
        };
        let (output, columns) = settle(settings, input, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let build = Box::new(Counted { columns });
        Ok(Prepared { inputs: vec![input.port], outputs: vec![output], build })
    }
}

/// Settles the options: the output, and the columns as indices of the input's.
fn settle(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> (Output, Vec<usize>) {
    let key = columns(settings, "columns", input, problems);
    if settings.has("columns") && settings.list("columns").is_empty() {
        let message = "`columns` names no columns";
        problems.push(Problem::new(settings.place("columns"), "wrong_value", message));
    }
    for (_, place) in settings.list("columns").iter().filter(|(name, _)| name == N) {
        let message = format!("`{N}` is the column that says how many rows there are");
        let problem = Problem::new(place.clone(), "name_taken", message);
        problems.push(problem.hint("rename it with a view of `op = \"select\"`"));
    }
    let of_input = key.iter().filter_map(|index| input.schema.columns.get(*index));
    let mut columns: Vec<Column> =
        of_input.map(|column| Column { nullable: false, ..column.clone() }).collect();
    columns.push(Column { name: Cow::Borrowed(N), kind: Kind::Count, nullable: false });
    let time = key.iter().position(|index| Some(*index) == input.schema.time);
    let schema = Schema { columns, n_key: key.len(), time }.shared();
    (Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: true }, key)
}

/// The operator with its options settled.
struct Counted {
    columns: Vec<usize>,
}

impl Build for Counted {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("one view is read") };
        let (columns, names) = (self.columns.clone(), Arc::clone(&context.names));
        let found: Coll<'s, Values> = with_edge!(input.clone(), rows => {
            rows.flat_map(move |row| values(&row, &columns, &names))
        });
        let routed = found.inner.exchange(|(values, _, _): &(Values, u64, isize)| route(values));
        let mut counts: FxHashMap<Values, isize> = FxHashMap::default();
        let name = format!("view {}: distinct", context.view);
        let changes = per_epoch(routed, &name, move |epoch, inputs, out| {
            let mut changed: BTreeMap<Values, isize> = BTreeMap::new();
            for (values, _, diff) in inputs.drain(..) {
                *changed.entry(values).or_default() += diff;
            }
            for (values, diff) in changed.into_iter().filter(|(_, diff)| *diff != 0) {
                let old = counts.get(&values).copied().unwrap_or(0);
                let new = old + diff;
                out.extend(counted(&values, old).map(|row| (row, epoch, -1)));
                out.extend(counted(&values, new).map(|row| (row, epoch, 1)));
                if new == 0 {
                    counts.remove(&values);
                } else {
                    counts.insert(values, new);
                }
            }
        });
        vec![Edge::Rows(changes.as_collection())]
    }
}

/// The row of some values; `None` where no row has them.
fn counted(values: &Values, n: isize) -> Option<Row> {
    let n = u64::try_from(n).ok().filter(|n| *n > 0)?;
    Some(Row(values.iter().cloned().chain([Value::from(n)]).collect()))
}

#[cfg(test)]
mod tests;
