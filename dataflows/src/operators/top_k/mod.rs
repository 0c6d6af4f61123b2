//! `top_k`: the first rows of each group.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Exchange;
use types::changes::{adjoin, consolidate};
use types::expr::{Compiled, EvalError};
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::{Relation, RelationKind};
use types::schema::Kind;
use types::{Column, Names, Row, Schema, Text, Value};

use self::group::{Group, Ranking};
use super::Operator;
use super::declared::{Values, check_keyed, follow_key, route, settled, values};
use super::epochs::per_epoch;
use super::expressions::{compile, error_row, errors_output, split};
use super::latest::columns;
use super::ordered::Order;
use crate::edge::{Coll, Edge};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

mod group;

/// Gives the first `k` rows of each group by an expression, with their ranks: the greatest first, or
/// the least. Nulls come last; rows that tie stand in the order of SEMANTICS section 3, earlier ones
/// first, and rows without a time by their key's text. A row whose expression overflows stands in
/// `<view>.errors`; one with a null in `by` is in no group. All rows are kept, in order, since any may
/// come to the front.
pub(super) struct TopK;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "the rows to rank; keyed"),
    option(
        "by",
        OptionKind::Columns,
        Need::Optional,
        "the groups' columns; all rows are one without",
    ),
    option("order", OptionKind::Expression, Need::Required, "what rows are ranked by"),
    option("k", OptionKind::Count(1, 10_000), Need::Required, "how many of each group"),
    option("descending", OptionKind::Bool, Need::Default("true"), "whether the greatest are first"),
];

/// The column that says which row of its group it is, from 1.
const RANK: &str = "rank";

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn help(&self) -> &'static str {
        "the first rows of each group, with their ranks"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let input = plan.input(settings, "input", &mut Vec::new())?;
        input.schema.index(RANK).is_none().then(|| outputs_of(input))
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems);
        let place = settings.place("order");
        let order =
            settings.text("order").and_then(|text| compile(text, &place, input, &mut problems));
        let Some(input) = input else { return Err(problems) };
        check_keyed(input, settings, "input", &mut problems);
        if input.schema.index(RANK).is_some() {
            let message = format!("`{}` has a column `{RANK}` already", input.name);
            let problem = Problem::new(settings.place("input"), "name_taken", message);
            problems.push(problem.hint("leave it out with a view of `op = \"select\"`"));
        }
        let by = columns(settings, "by", input, &mut problems);
        match (order, settings.count("k").and_then(|k| usize::try_from(k).ok())) {
            (Some(order), Some(k)) if problems.is_empty() => {
                let outputs = outputs_of(input);
                let ranked = Ranked {
                    by,
                    order,
                    k,
                    is_descending: settings.flag("descending"),
                    of_input: Arc::clone(&input.schema),
                    schema: schema(input),
                };
                Ok(Prepared { inputs: vec![input.port], outputs, build: Box::new(ranked) })
            }
            _ => Err(problems),
        }
    }
}

/// The input's columns and the rank.
fn schema(input: &View) -> Arc<Schema> {
    let rank = Column { name: Cow::Borrowed(RANK), kind: Kind::Count, nullable: false };
    let columns = input.schema.columns.iter().cloned().chain([rank]).collect();
    Schema { columns, ..*input.schema.as_ref() }.shared()
}

fn outputs_of(input: &View) -> Vec<Output> {
    let schema = schema(input);
    let rows = Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: true };
    vec![rows, errors_output(input)]
}

/// The operator with its options settled.
struct Ranked {
    by: Vec<usize>,
    order: Compiled,
    k: usize,
    is_descending: bool,
    of_input: Arc<Schema>,
    schema: Arc<Schema>,
}

impl Build for Ranked {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("one view is read") };
        let name = format!("view {}: top_k", context.view);
        let (order, schema) = (self.order.clone(), Arc::clone(&self.of_input));
        let names = Arc::clone(&context.names);
        let (rows, errors) = with_edge!(input.clone(), rows => {
            split(rows, &format!("{name}: order"), move |row| {
                Some(ordered(&row, &order, &schema, &names))
            })
        });
        let top = self.top(context, rows, &name);
        let top = if follow_key(&self.by, &self.of_input) {
            top.as_collection()
        } else {
            settled(top, &self.schema, &name)
        };
        vec![Edge::Rows(top), Edge::Rows(errors)]
    }
}

/// A row with what it is ranked by behind it, or the row of the errors.
fn ordered<R: Relation>(
    row: &R,
    order: &Compiled,
    schema: &Schema,
    names: &Names,
) -> Result<Row, Row> {
    let column = |index| row.column_ref(index, names);
    let value = order.eval(&column).map_err(|EvalError::Overflow| {
        error_row(row, schema.n_key, names, Text::Word("overflow"))
    })?;
    let values = (0..schema.columns.len()).map(|index| row.column(index, names));
    Ok(Row(values.chain([value]).collect()))
}

impl Ranked {
    /// What changes among the first rows of each group.
    fn top<'s>(
        &self,
        context: &Context<'s, '_>,
        rows: Coll<'s, Row>,
        name: &str,
    ) -> StreamVec<'s, u64, (Row, u64, isize)> {
        let (by, names) = (self.by.clone(), Arc::clone(&context.names));
        let coming = rows.flat_map(move |row| Some((values(&row, &by, &names)?, row)));
        let routed =
            coming.inner.exchange(|((by, _), _, _): &((Values, Row), u64, isize)| route(by));
        let ranking = Ranking {
            order: Order::new(&self.of_input, &context.names),
            is_descending: self.is_descending,
        };
        let (k, schema) = (self.k, Arc::clone(&self.schema));
        let mut groups: FxHashMap<Values, Group> = FxHashMap::default();
        per_epoch(routed, name, move |epoch, inputs, out| {
            let mut coming: Vec<_> = inputs.drain(..).map(|(row, _, diff)| (row, diff)).collect();
            consolidate(&mut coming);
            // What goes makes room for what comes: both may have one rank.
            coming.sort_by_key(|(_, diff)| *diff);
            let mut before: BTreeMap<Values, Vec<Row>> = BTreeMap::new();
            for ((by, row), diff) in coming {
                let group = groups.entry(by.clone()).or_insert_with(Group::new);
                before.entry(by).or_insert_with(|| group.first(k));
                group.take(&ranking, row, diff);
            }
            let mut changes = Vec::new();
            for (by, old) in before {
                let Some(group) = groups.get(&by) else { continue };
                tell(&old, &group.first(k), &mut changes);
                if group.is_empty() {
                    groups.remove(&by);
                }
            }
            adjoin(&mut changes, &schema);
            out.extend(changes.into_iter().map(|(row, diff)| (row, epoch, diff)));
        })
    }
}

/// Tells which ranks have other rows than before.
fn tell(old: &[Row], new: &[Row], changes: &mut Vec<(Row, isize)>) {
    for place in 0..old.len().max(new.len()) {
        let (old, new) = (old.get(place), new.get(place));
        if old != new {
            changes.extend(old.map(|row| (ranked(row, place), -1)));
            changes.extend(new.map(|row| (ranked(row, place), 1)));
        }
    }
}

/// A row with its rank in place of what it is ranked by.
fn ranked(row: &Row, place: usize) -> Row {
    let n_columns = row.0.len().saturating_sub(1);
    let rank = Value::from(u64::try_from(place + 1).unwrap_or(u64::MAX));
    Row(row.0.iter().take(n_columns).cloned().chain([rank]).collect())
}

#[cfg(test)]
mod tests;
