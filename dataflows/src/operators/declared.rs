//! What operators share that read views of any kind: rows as declared ones, their values, the worker
//! that they belong to, and changes that leave as [`crate::plan::Build`] says.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHasher;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Exchange;
use types::changes::adjoin;
use types::options::{Problem, Settings};
use types::relations::Relation;
use types::{Names, Row, Schema, Value};

use crate::edge::{Coll, Edge};
use crate::operators::epochs::per_epoch;
use crate::plan::View;
use crate::route::mix;
use crate::with_edge;

/// Values that rows are grouped or found by.
pub(super) type Values = Box<[Value]>;

/// The rows of a view as declared ones.
pub(super) fn declared<'s>(
    edge: &Edge<'s>,
    schema: &Arc<Schema>,
    names: &Arc<Names>,
) -> Coll<'s, Row> {
    if let Edge::Rows(rows) = edge {
        return rows.clone();
    }
    let (n_columns, names) = (schema.columns.len(), Arc::clone(names));
    with_edge!(edge.clone(), rows => rows.map(move |row| {
        Row((0..n_columns).map(|index| row.column(index, &names)).collect())
    }))
}

/// Some columns of a row; `None` where one of them is null, which equals nothing.
pub(super) fn values<R: Relation>(row: &R, columns: &[usize], names: &Names) -> Option<Values> {
    let value = |index: &usize| Some(row.column(*index, names)).filter(|value| !value.is_null());
    columns.iter().map(value).collect()
}

/// The worker that values belong to. Depends on what they are, never on the numbers of names.
pub(super) fn route(values: &[Value]) -> u64 {
    let mut hasher = FxHasher::default();
    values.hash(&mut hasher);
    mix(hasher.finish())
}

/// Brings the changes of each key together, where its old and its new row may have been made on two
/// workers.
pub(super) fn settled<'s>(
    changes: StreamVec<'s, u64, (Row, u64, isize)>,
    schema: &Arc<Schema>,
    name: &str,
) -> Coll<'s, Row> {
    let by_key = Arc::clone(schema);
    let routed = changes.exchange(move |(row, _, _)| mix(row.hash_key(&by_key)));
    let schema = Arc::clone(schema);
    let settled = per_epoch(routed, &format!("{name}: settled"), move |epoch, inputs, out| {
        let mut rows = inputs.drain(..).map(|(row, _, diff)| (row, diff)).collect();
        adjoin(&mut rows, &schema);
        out.extend(rows.into_iter().map(|(row, diff)| (row, epoch, diff)));
    });
    settled.as_collection()
}

/// Tells a problem where many rows of a view may have one key.
pub(super) fn check_keyed(
    view: &View,
    settings: &Settings,
    option: &str,
    problems: &mut Vec<Problem>,
) {
    if view.is_keyed {
        return;
    }
    let message = format!("many rows of `{}` have one key", view.name);
    let problem = Problem::new(settings.place(option), "wrong_input", message);
    problems.push(problem.hint("read its last rows: a view with `op = \"latest\"`"));
}

/// Whether rows of one key always have the same values of some columns.
pub(super) fn follow_key(columns: &[usize], schema: &Schema) -> bool {
    columns.iter().all(|index| *index < schema.n_key)
}
