//! `latest`: the last row of each key.
//!
//! The last by event time, then `seq`, id and the row's text. With `by` the key is those columns, and
//! they come first in the rows; without, it is the input's key, and the rows stay what they are: so
//! quotes, which follow one another, become a view that readers and sinks can hold. Rows that can be
//! taken back are all kept, because a removal shows the row before; of quotes only the last is. A
//! row whose time is null is never the last, and one with a null among the columns of `by` has no
//! key. Nothing is forgotten.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::{FxHashMap, FxHasher};
use timely::dataflow::operators::Exchange;
use types::changes::consolidate;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, did_you_mean, option};
use types::relations::{Relation, RelationKind};
use types::sabotage::{Safeguard, is_out};
use types::{Column, Names, Row, Schema, Value};

use crate::edge::{Coll, Edge};
use crate::operators::Operator;
use crate::operators::epochs::per_epoch;
use crate::operators::ordered::{HasId, Order, Ordered};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::route::mix;
use crate::with_edge;

/// The operator.
pub(super) struct Latest;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "what is read: rows with a time"),
    option("by", OptionKind::Columns, Need::Optional, "the key; the input's own where not given"),
];

impl Operator for Latest {
    fn name(&self) -> &'static str {
        "latest"
    }

    fn help(&self) -> &'static str {
        "the last row of each key, by event time"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems)?;
        let by = columns(settings, "by", input, &mut problems);
        problems.is_empty().then(|| vec![output(input, &by)])
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
        let by = columns(settings, "by", input, &mut problems);
        if input.schema.time.is_none() {
            problems.push(no_time(input, settings, "input"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let build = Last {
            by: (!is_key(&by, &input.schema)).then_some(by.clone()),
            schema: Arc::clone(&input.schema),
            is_stream: !input.is_keyed,
        };
        let outputs = vec![output(input, &by)];
        Ok(Prepared { inputs: vec![input.port], outputs, build: Box::new(build) })
    }
}

/// The problem of a view whose rows have no time.
pub(crate) fn no_time(view: &View, settings: &Settings, option: &str) -> Problem {
    let message = format!("`{}` has no column that says when a row happened", view.name);
    let problem = Problem::new(settings.place(option), "wrong_input", message);
    problem.hint("read something with times: fills, trades, quotes, bars, snapshots")
}

/// The indices of the columns that an option lists, without repeats.
pub(crate) fn columns(
    settings: &Settings,
    option: &str,
    view: &View,
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    let mut found = Vec::new();
    for (name, place) in settings.list(option) {
        match view.schema.index(name) {
            Some(index) if found.contains(&index) => {
                let message = format!("`{name}` is listed twice");
                problems.push(Problem::new(place.clone(), "duplicate_column", message));
            }
            Some(index) => found.push(index),
            None => {
                let message = format!("`{}` has no column `{name}`", view.name);
                let mut problem = Problem::new(place.clone(), "unknown_column", message);
                let known = view.schema.columns.iter().map(|c| c.name.as_ref());
                problem.hint = did_you_mean(name, known);
                problems.push(problem);
            }
        }
    }
    found
}

/// Whether columns are the view's key; no columns stand for it.
fn is_key(by: &[usize], schema: &Schema) -> bool {
    by.is_empty() || by.iter().copied().eq(0..schema.n_key)
}

/// The columns of the output as indices of the input's: the key first.
fn places(by: &[usize], schema: &Schema) -> Vec<usize> {
    let rest = (0..schema.columns.len()).filter(|index| !by.contains(index));
    by.iter().copied().chain(rest).collect()
}

fn output(input: &View, by: &[usize]) -> Output {
    if is_key(by, &input.schema) {
        let schema = Arc::clone(&input.schema);
        return Output { suffix: "", kind: input.kind, schema, is_keyed: true };
    }
    let places = places(by, &input.schema);
    let mut columns: Vec<Column> =
        places.iter().map(|index| input.schema.columns[*index].clone()).collect();
    columns.iter_mut().take(by.len()).for_each(|column| column.nullable = false);
    let schema = Schema {
        columns,
        n_key: by.len(),
        time: places.iter().position(|index| Some(*index) == input.schema.time),
    };
    Output { suffix: "", kind: RelationKind::Rows, schema: schema.shared(), is_keyed: true }
}

/// The operator with its options settled.
struct Last {
    /// The key's columns; `None` for the input's own key.
    by: Option<Vec<usize>>,
    schema: Arc<Schema>,
    /// Whether rows are never taken back, so that only the last can matter.
    is_stream: bool,
}

impl Build for Last {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("one view is read") };
        let order = Order::new(&self.schema, &context.names);
        let schema = Arc::clone(&self.schema);
        with_edge!(input.clone(), rows => match &self.by {
            None => {
                let last = self.last(context, rows, order, move |row| row.key(&schema));
                vec![Edge::from(last)]
            }
            Some(by) => {
                let (keyed, names) = (by.clone(), Arc::clone(&context.names));
                let key = move |row: &_| key_of(row, &keyed, &names);
                let has_key = key.clone();
                let rows = rows.filter(move |row| !has_key(row).contains(&Value::Null));
                let last = self.last(context, rows, order, key);
                let (places, names) = (places(by, &schema), Arc::clone(&context.names));
                vec![Edge::Rows(last.map(move |row| moved(&row, &places, &names)))]
            }
        })
    }
}

/// Some columns of a row.
fn key_of<R: Relation>(row: &R, by: &[usize], names: &Names) -> Box<[Value]> {
    by.iter().map(|index| row.column(*index, names)).collect()
}

/// A row with its columns in another order.
fn moved<R: Relation>(row: &R, places: &[usize], names: &Names) -> Row {
    Row(places.iter().map(|index| row.column(*index, names)).collect())
}

impl Last {
    /// The last row of each key.
    fn last<'s, R: HasId, K: Ord + Hash + Clone + 'static>(
        &self,
        context: &Context<'s, '_>,
        rows: Coll<'s, R>,
        order: Order,
        key: impl Fn(&R) -> K + Clone + 'static,
    ) -> Coll<'s, R> {
        let route = key.clone();
        let routed = rows.inner.exchange(move |(row, _, _): &(R, u64, isize)| {
            let mut hasher = FxHasher::default();
            route(row).hash(&mut hasher);
            mix(hasher.finish())
        });
        let is_stream = self.is_stream || is_out(Safeguard::KeptBesideLast);
        let mut keys: FxHashMap<K, Ordered<R>> = FxHashMap::default();
        let name = format!("view {}: latest", context.view);
        let changes = per_epoch(routed, &name, move |epoch, inputs, out| {
            let mut rows: Vec<(R, isize)> =
                inputs.drain(..).map(|(row, _, diff)| (row, diff)).collect();
            if rows.iter().any(|(_, diff)| *diff < 0) {
                consolidate(&mut rows);
            }
            let mut before: BTreeMap<K, Option<R>> = BTreeMap::new();
            for (row, diff) in rows {
                let Some(time) = order.time(&row) else { continue };
                let place = order.place(&row, time);
                let key = key(&row);
                let held = keys.entry(key.clone()).or_insert_with(Ordered::new);
                before.entry(key).or_insert_with(|| held.last().cloned());
                for _ in 0..diff.unsigned_abs() {
                    if diff < 0 {
                        held.remove(&order, &place, &row);
                    } else {
                        held.insert(&order, place.clone(), row.clone());
                    }
                }
                if is_stream {
                    held.keep_last();
                }
            }
            for (key, old) in before {
                let new = keys.get(&key).and_then(Ordered::last);
                if old.as_ref() != new {
                    out.extend(old.map(|row| (row, epoch, -1)));
                    out.extend(new.map(|row| (row.clone(), epoch, 1)));
                }
                if keys.get(&key).is_some_and(Ordered::is_empty) {
                    keys.remove(&key);
                }
            }
        });
        changes.as_collection()
    }
}
