//! `aggregate`: counts, sums, extremes and means of groups of rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::vec::Map;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind};
use types::{Names, Row, Schema, Text, Value};

use self::function::Asked;
use self::group::{Arg, Group};
use super::Operator;
use super::declared::{Values, route, values};
use super::epochs::per_epoch;
use super::latest::columns;
use crate::edge::{Coll, Edge};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

mod function;
mod group;
mod sum;

/// Gives a row for each group of rows with equal values of `by`, with what `values` asks of it. Sums
/// are kept exactly, whatever comes and goes, and are rounded once, half-even at 1e-9, when they
/// leave. A group of which a value doesn't fit stands in `<view>.errors` instead, until it fits.
/// Nulls are left out, as in SQL; a row with a null in `by` is in no group. A group without rows has
/// no row. Nothing of rows is kept but what groups add up to, and for extremes and distinct values
/// the values that stand.
pub(super) struct Aggregate;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "what is read"),
    option(
        "by",
        OptionKind::Columns,
        Need::Optional,
        "the groups' columns; all rows are one without",
    ),
    option(
        "values",
        OptionKind::Assignments,
        Need::Required,
        "new columns: count, sum, avg, min, max or distinct of an expression",
    ),
];

impl Operator for Aggregate {
    fn name(&self) -> &'static str {
        "aggregate"
    }

    fn help(&self) -> &'static str {
        "counts, sums, extremes and means of groups of rows"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems)?;
        let groups = settle(settings, input, &mut problems)?;
        problems.is_empty().then(|| groups.outputs())
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let Some(input) = plan.input(settings, "input", &mut problems) else {
            // The texts can be checked all the same.
            function::asked(settings, None, &mut problems);
            return Err(problems);
        };
        match settle(settings, input, &mut problems) {
            Some(groups) if problems.is_empty() => Ok(Prepared {
                inputs: vec![input.port],
                outputs: groups.outputs(),
                build: Box::new(groups),
            }),
            _ => Err(problems),
        }
    }
}

/// The name of the key where all rows are one group: a key must have a column.
const WHOLE: &str = "of";

/// Settles the options.
fn settle(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> Option<Groups> {
    let by = columns(settings, "by", input, problems);
    let mut key: Vec<Column> =
        by.iter().map(|index| input.schema.columns[*index].clone()).collect();
    for column in &mut key {
        column.nullable = false;
    }
    if key.is_empty() {
        key.push(Column { name: Cow::Borrowed(WHOLE), kind: Kind::Name, nullable: false });
    }
    let asked = function::asked(settings, Some(input), problems)?;
    for asked in &asked {
        if key.iter().any(|column| column.name == asked.column.name) {
            let message = format!("`{}` is part of the key", asked.column.name);
            let problem = Problem::new(asked.place.clone(), "name_taken", message);
            problems.push(problem.hint("give the new column another name"));
        }
    }
    if let Some(taken) = key.iter().find(|column| column.name == "reason") {
        let message = format!("`{}` is what errors say why in", taken.name);
        let problem = Problem::new(settings.place("by"), "name_taken", message);
        problems.push(problem.hint("give the column another name with `op = \"select\"`"));
    }
    let time = by.iter().position(|index| Some(*index) == input.schema.time);
    Some(Groups { whole: Text::from(input.name.as_str()), by, key, time, asked: asked.into() })
}

/// The operator with its options settled.
struct Groups {
    by: Vec<usize>,
    /// What the key says where all rows are one group: what they are of.
    whole: Text,
    key: Vec<Column>,
    /// Which column of the key is the input's time.
    time: Option<usize>,
    asked: Arc<[Asked]>,
}

/// What a row brings to its group, and how often.
type Coming = ((Values, Box<[Arg]>), u64, isize);

/// A row of the view, or of its errors.
type Shown = Result<Row, Row>;

impl Groups {
    fn outputs(&self) -> Vec<Output> {
        let output = |suffix, behind: Vec<Column>| {
            let columns = self.key.iter().cloned().chain(behind).collect();
            let schema = Schema { columns, n_key: self.key.len(), time: self.time }.shared();
            Output { suffix, kind: RelationKind::Rows, schema, is_keyed: true }
        };
        let reason = Column { name: Cow::Borrowed("reason"), kind: Kind::Name, nullable: false };
        let values = self.asked.iter().map(|asked| asked.column.clone()).collect();
        vec![output("", values), output("errors", vec![reason])]
    }

    /// What a row brings; `None` for one that is in no group.
    fn coming<R: Relation>(
        (by, whole, asked): (&[usize], &Text, &[Asked]),
        row: &R,
        names: &Names,
    ) -> Option<(Values, Box<[Arg]>)> {
        let by = match by {
            [] => Box::from([Value::Text(whole.clone())]),
            by => values(row, by, names)?,
        };
        let column = |index| row.column_ref(index, names);
        Some((by, asked.iter().map(|asked| asked.arg(&column)).collect()))
    }
}

impl Build for Groups {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("one view is read") };
        let (by, whole) = (self.by.clone(), self.whole.clone());
        let (asked, names) = (Arc::clone(&self.asked), Arc::clone(&context.names));
        let coming: Coll<'s, (Values, Box<[Arg]>)> = with_edge!(input.clone(), rows => {
            rows.flat_map(move |row| Groups::coming((&by, &whole, &asked), &row, &names))
        });
        let routed = coming.inner.exchange(|((by, _), _, _): &Coming| route(by));
        let asked = Arc::clone(&self.asked);
        let mut groups: FxHashMap<Values, Group> = FxHashMap::default();
        let name = format!("view {}: aggregate", context.view);
        let changes = per_epoch(routed, &name, move |epoch, inputs, out| {
            let mut before: BTreeMap<Values, Option<Shown>> = BTreeMap::new();
            for ((by, args), _, diff) in inputs.drain(..) {
                let group = groups.entry(by.clone()).or_insert_with(|| Group::new(&asked));
                if let Entry::Vacant(vacant) = before.entry(by) {
                    let old = group.shown(vacant.key(), &asked);
                    vacant.insert(old);
                }
                group.take(&args, diff);
            }
            for (by, old) in before {
                let Some(group) = groups.get(&by) else { continue };
                let new = group.shown(&by, &asked);
                if group.is_empty() {
                    groups.remove(&by);
                }
                if old != new {
                    out.extend(old.map(|row| (row, epoch, -1)));
                    out.extend(new.map(|row| (row, epoch, 1)));
                }
            }
        });
        let split = |wanted: fn(Shown) -> Option<Row>| {
            let wanted =
                changes.clone().flat_map(move |(shown, epoch, diff): (Shown, u64, isize)| {
                    wanted(shown).map(|row| (row, epoch, diff))
                });
            Edge::Rows(wanted.as_collection())
        };
        vec![split(Result::ok), split(Result::err)]
    }
}

#[cfg(test)]
mod tests;
