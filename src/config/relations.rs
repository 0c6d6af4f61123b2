//! The relations that sources can feed: the built-in ones, and those that the config declares.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use types::options::{Need, OptionSpec, option};
use types::options::{OptionKind, Problem, did_you_mean};
use types::relations::{InputColumn, RelationKind};
use types::{Column, Kind, Schema};

use super::file::{Data, Item, Part};
use super::options::{check_name, settings};
use super::views::ALERTS;

/// `[relations.NAME]`, beside `columns`.
pub(super) const RELATION: &[OptionSpec] =
    &[option("key", OptionKind::Columns, Need::Required, "the columns that tell rows apart")];

/// The kinds that a declared column can have; a `?` behind one allows null.
const KINDS: [(&str, Kind); 6] = [
    ("text", Kind::Text),
    ("name", Kind::Name),
    ("number", Kind::Number),
    ("count", Kind::Count),
    ("bool", Kind::Bool),
    ("time", Kind::Time),
];

/// A relation that sources can feed.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) kind: RelationKind,
    pub(super) schema: Arc<Schema>,
    pub(super) columns: Arc<[InputColumn]>,
    /// Indices of `columns` that make identity and key.
    pub(super) key_columns: Vec<usize>,
}

/// All relations that sources can feed: the built-in ones first, then as declared.
pub(super) struct Relations {
    pub(super) known: Vec<Known>,
    /// Declared ones that have problems; whoever names them isn't to blame.
    pub(super) broken: BTreeSet<String>,
}

impl Known {
    fn new(name: &str, kind: RelationKind, schema: Schema) -> Self {
        let columns: Arc<[InputColumn]> = kind.input_columns(&schema).into();
        let index = |column: &Column| columns.iter().position(|c| c.name == column.name);
        let key_columns = schema.key().iter().filter_map(index).collect();
        let schema = schema.shared();
        Self { name: name.to_owned(), kind, schema, columns, key_columns }
    }

    /// The columns that a config can name.
    pub(super) fn mappable(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().filter(|c| !c.internal).map(|c| c.name.as_ref())
    }

    /// The index of a column that a config can name.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name && !c.internal)
    }
}

impl Relations {
    /// Finds a relation; an unknown one is told, one with problems of its own isn't.
    pub(super) fn find(
        &self,
        name: &str,
        place: types::options::Place,
        problems: &mut Vec<Problem>,
    ) -> Option<&Known> {
        let known = self.known.iter().find(|known| known.name == name);
        if known.is_none() && !self.broken.contains(name) {
            let message = format!("no relation is named `{name}`");
            let mut problem = Problem::new(place, "unknown_relation", message);
            problem.hint = did_you_mean(name, self.known.iter().map(|known| known.name.as_str()));
            problems.push(problem);
        }
        known
    }

    /// Whether a name is taken by a relation.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.iter().any(|known| known.name == name) || self.broken.contains(name)
    }
}

/// Reads the declared relations.
pub(super) fn relations(parts: &[Part], problems: &mut Vec<Problem>) -> Relations {
    let built_in = |name: &&str| {
        let kind = RelationKind::input(name)?;
        Some(Known::new(name, kind, kind.schema()?))
    };
    let known = RelationKind::INPUTS.iter().filter_map(built_in).collect();
    let mut relations = Relations { known, broken: BTreeSet::new() };
    for part in parts {
        if RelationKind::input(&part.name).is_some() {
            let message = format!("`{}` is a built-in relation", part.name);
            let problem = Problem::new(part.place.clone(), "name_taken", message);
            problems.push(problem.hint("sources can feed it without a declaration"));
            continue;
        }
        let n_problems = problems.len();
        check_name(&part.name, &part.place, problems);
        if part.name == ALERTS {
            let message = format!("`{ALERTS}` is the view of what the alerts find");
            let problem = Problem::new(part.place.clone(), "name_taken", message);
            problems.push(problem.hint("name the relation otherwise"));
        }
        let schema = declared_schema(part, problems);
        match schema {
            Some(schema) if problems.len() == n_problems => {
                relations.known.push(Known::new(&part.name, RelationKind::Rows, schema));
            }
            _ => {
                relations.broken.insert(part.name.clone());
            }
        }
    }
    relations
}

/// Reads the columns of a declared relation; the key's come first, in the order of `key`.
fn declared_schema(part: &Part, problems: &mut Vec<Problem>) -> Option<Schema> {
    let what = format!("relation `{}`", part.name);
    let read = settings(part, &what, &[RELATION], &["columns"], problems);
    let Some(Item { data: Data::Table(entries), .. }) = part.get("columns") else {
        let place = part.get("columns").map_or(part.place.clone(), |item| item.place.clone());
        let problem = Problem::new(place, "missing_option", format!("{what} needs `columns`"));
        problems.push(problem.hint("columns = { wallet = \"text\", weight = \"number\" }"));
        return None;
    };
    let mut columns = Vec::new();
    for entry in entries {
        check_name(&entry.key, &entry.key_place, problems);
        if entry.key == "op" {
            let message = "`op` can't be a column: it says what an event does";
            let problem = Problem::new(entry.key_place.clone(), "bad_name", message);
            problems.push(problem.hint("choose another name"));
        }
        let column = declared_column(&entry.key, &entry.item, problems);
        if column.as_ref().is_some_and(|c| c.name == "revision" && c.kind != Kind::Count) {
            let message = "`revision` must be a count: it says which of several states this is";
            let problem = Problem::new(entry.item.place.clone(), "wrong_kind", message);
            problems.push(problem.hint("write \"count\", or \"count?\""));
        }
        columns.extend(column);
    }
    let mut key = Vec::new();
    for (name, place) in read.list("key") {
        match columns.iter().position(|column| column.name == name.as_str()) {
            Some(index) => {
                let column = columns.remove(index);
                if column.nullable {
                    let message = format!("`{name}` is part of the key, so it can't be null");
                    let problem = Problem::new(place.clone(), "null_in_key", message);
                    problems.push(problem.hint("leave out the `?` of its kind"));
                }
                key.push(column);
            }
            None if entries.iter().any(|entry| entry.key == *name) => {}
            None => {
                let message = format!("{what} has no column `{name}`");
                let mut problem = Problem::new(place.clone(), "unknown_column", message);
                problem.hint = did_you_mean(name, entries.iter().map(|e| e.key.as_str()));
                problems.push(problem);
            }
        }
    }
    let n_key = key.len();
    key.append(&mut columns);
    let is_time = |column: &Column| column.name == "event_time" && column.kind == Kind::Time;
    let time = key.iter().position(is_time);
    Some(Schema { columns: key, n_key, time })
}

fn declared_column(name: &str, item: &Item, problems: &mut Vec<Problem>) -> Option<Column> {
    let written = item.scalar().unwrap_or_default();
    let (word, nullable) = match written.strip_suffix('?') {
        Some(word) => (word, true),
        None => (written.as_str(), false),
    };
    let kind = KINDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind);
    if let Some(kind) = kind {
        return Some(Column { name: Cow::Owned(name.to_owned()), kind, nullable });
    }
    let message = format!("`{written}` isn't a kind of column");
    let mut problem = Problem::new(item.place.clone(), "unknown_kind", message);
    problem.hint = did_you_mean(word, KINDS.iter().map(|(known, _)| *known));
    problems.push(problem);
    None
}
