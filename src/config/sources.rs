//! `[sources.NAME]`: what is read, into which relation, and how its columns are mapped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use connectors::SourceKind;
use connectors::source::{FileSource, From, Mapping, Order};
use types::options::{OptionSpec, Problem, Settings, did_you_mean};
use types::relations::RelationKind;

use super::columns::{OP, mapping};
use super::file::{Data, Entry, Part};
use super::options::{check_label, settings};
use super::relations::{Known, Relations};
use super::sections::SOURCE;

/// A source whose relation isn't an index of the plan yet.
pub(super) struct Source {
    /// `None` where too much is wrong.
    pub(super) file: Option<FileSource>,
    pub(super) relation: String,
    pub(super) lateness_nanos: i64,
    pub(super) stops_on_bad_row: bool,
    /// Whether its rows can replace or remove others. Only what is listed counts: `op` and
    /// `revision` are never taken from a source's column of that name, since a plan must know
    /// before it sees a header whether rows can change.
    pub(super) has_corrections: bool,
}

/// Reads a source; `None` where it names no relation.
pub(super) fn source(
    part: &Part,
    base: &Path,
    kinds: &'static [SourceKind],
    relations: &Relations,
    problems: &mut Vec<Problem>,
) -> Option<Source> {
    let what = format!("source `{}`", part.name);
    check_label(&part.name, &part.place, problems);
    let kind = kind(part, kinds, problems);
    let mut tables: Vec<&'static [OptionSpec]> = vec![SOURCE];
    let mut extras = vec!["columns"];
    match kind {
        Some(kind) => tables.push(kind.options),
        // Which options it has isn't known, so those of any kind pass.
        None => extras.extend(kinds.iter().flat_map(|k| k.options).map(|spec| spec.name)),
    }
    let read = settings(part, &what, &tables, &extras, problems);
    let relation = read.text("relation")?;
    let known = relations.find(relation, read.place("relation"), problems)?;
    let (mut mapped, op) = columns(part, known, kind, problems);
    check_operations(part, &read, known, &mapped, problems);
    // A declared relation has a `revision` only if its config wants one.
    let is_declared = known.kind == RelationKind::Rows;
    let has_revision = if is_declared {
        known.column("revision").is_some()
    } else {
        has(known, &mapped, "revision")
    };
    let has_corrections = op.is_some() || has_revision;
    let mut unlisted = Vec::new();
    if known.kind.has_corrections() && !is_declared {
        unlisted.extend((!has(known, &mapped, "revision")).then_some("revision"));
        unlisted.extend(op.is_none().then_some("op"));
    }
    if !is_declared {
        hide_revision(known, &mut mapped);
    }
    let delimiter = delimiter(&read, problems);
    check_quote_asset(&read, known, problems);
    Some(Source {
        relation: known.name.clone(),
        lateness_nanos: read.nanos("lateness").unwrap_or(0),
        stops_on_bad_row: read.text("on_bad_row") == Some("stop"),
        has_corrections,
        file: kind.zip(read.text("path")).map(|(kind, path)| FileSource {
            name: part.name.clone(),
            format: kind.format,
            base: base.to_owned(),
            path: path.to_owned(),
            order: match read.text("order") {
                Some("newest_first") => Order::NewestFirst,
                Some("unsorted") => Order::Unsorted,
                _ => Order::Arrival,
            },
            columns: Arc::clone(&known.columns),
            key_columns: known.key_columns.clone(),
            mapping: mapped,
            op: Some(op.unwrap_or_else(|| Mapping::plain(From::Constant("insert".to_owned())))),
            delimiter,
            unlisted,
            identity: read.list("identity").iter().map(|(column, _)| column.clone()).collect(),
            quote_asset: read.text("quote_asset").map(str::to_owned),
        }),
    })
}

fn kind(
    part: &Part,
    kinds: &'static [SourceKind],
    problems: &mut Vec<Problem>,
) -> Option<&'static SourceKind> {
    let item = part.get("type")?;
    let Data::Text(name) = &item.data else { return None };
    let found = kinds.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let message = format!("no kind of source is named `{name}`");
        let mut problem = Problem::new(item.place.clone(), "unknown_type", message);
        problem.hint = did_you_mean(name, kinds.iter().map(|kind| kind.name));
        problems.push(problem);
    }
    found
}

/// Reads the table of columns: the mapping by column, and how the operation is read.
fn columns(
    part: &Part,
    known: &Known,
    kind: Option<&SourceKind>,
    problems: &mut Vec<Problem>,
) -> (BTreeMap<usize, Mapping>, Option<Mapping>) {
    let (mut mapped, mut op) = (BTreeMap::new(), None);
    let Some(item) = part.get("columns") else { return (mapped, op) };
    let Data::Table(entries) = &item.data else {
        let message = format!("`columns` must be a table, not {}", item.data.describe());
        let problem = Problem::new(item.place.clone(), "wrong_type", message);
        problems.push(problem.hint(format!("write `[sources.{}.columns]`", part.name)));
        return (mapped, op);
    };
    let format = kind.map(|kind| kind.format);
    for Entry { key, key_place, item } in entries {
        if key == OP.name.as_ref() {
            op = mapping(item, &OP, format, problems);
            continue;
        }
        let column = known.column(key).and_then(|i| Some((i, known.columns.get(i)?)));
        let Some((index, column)) = column else {
            let message = format!("relation `{}` has no column `{key}`", known.name);
            let mut problem = Problem::new(key_place.clone(), "unknown_column", message);
            let candidates = known.mappable().chain(std::iter::once("op"));
            problem.hint = did_you_mean(key, candidates);
            problems.push(problem);
            continue;
        };
        if let Some(mapping) = mapping(item, column, format, problems) {
            mapped.insert(index, mapping);
        }
    }
    (mapped, op)
}

/// Whether a column is listed.
fn has(known: &Known, mapped: &BTreeMap<usize, Mapping>, column: &str) -> bool {
    known.column(column).is_some_and(|index| mapped.contains_key(&index))
}

/// Checks that rows which replace or remove others say which.
fn check_operations(
    part: &Part,
    read: &Settings,
    known: &Known,
    mapped: &BTreeMap<usize, Mapping>,
    problems: &mut Vec<Problem>,
) {
    let has_id = known.column("id").is_some();
    if read.has("identity") {
        let place = read.place("identity");
        if !has_id {
            let message = format!("relation `{}` has no `id` to stand for", known.name);
            let problem = Problem::new(place, "identity_without_id", message);
            let key = known.schema.key().iter().map(|column| column.name.as_ref());
            let key: Vec<&str> = key.collect();
            problems.push(problem.hint(format!("its rows are told apart by {}", key.join(", "))));
        } else if has(known, mapped, "id") {
            let message = "`identity` stands for `id`, but `id` is mapped as well";
            let problem = Problem::new(place, "two_identities", message);
            problems.push(problem.hint("keep one of them"));
        }
    }
    let columns = part.get("columns").map(|item| &item.data);
    let Some(Data::Table(entries)) = columns else { return };
    let Some(op) = entries.iter().find(|entry| entry.key == OP.name.as_ref()) else { return };
    if !known.kind.has_corrections() {
        let message = format!("rows of `{}` can't be corrected or removed", known.name);
        let problem = Problem::new(op.key_place.clone(), "no_corrections", message);
        problems.push(problem.hint("remove `op`"));
        return;
    }
    let has_identity = read.has("identity") || entries.iter().any(|entry| entry.key == "id");
    if has_id && !has_identity {
        let message = "`op` needs to know which row it is about";
        let problem = Problem::new(op.key_place.clone(), "operation_without_identity", message);
        problems.push(problem.hint("map `id`, or say `identity = [columns]` in the source"));
    }
    let corrects = match &op.item.data {
        Data::Table(options) => {
            options.iter().find(|entry| entry.key == "values").and_then(|values| {
                match &values.item.data {
                    Data::Table(words) => words.iter().find(
                        |word| matches!(&word.item.data, Data::Text(text) if text == "correct"),
                    ),
                    _ => None,
                }
            })
        }
        _ => None,
    };
    let has_revision = entries.iter().any(|entry| entry.key == "revision");
    if let (Some(word), false) = (corrects, has_revision) {
        let message = "`correct` needs a mapped `revision`";
        let place = word.item.place.clone();
        let problem = Problem::new(place, "correct_without_revision", message);
        problems.push(problem.hint("map `revision` to what grows with each state of a row"));
    }
}

/// Keeps a reader from taking `revision` from a source's column of that name. (`op` is kept from it
/// by a constant.)
fn hide_revision(known: &Known, mapped: &mut BTreeMap<usize, Mapping>) {
    if let Some(revision) = known.column("revision") {
        let nothing = From::Constant(String::new());
        let null = Mapping { optional: true, ..Mapping::plain(nothing) };
        mapped.entry(revision).or_insert(null);
    }
}

fn delimiter(read: &Settings, problems: &mut Vec<Problem>) -> u8 {
    let Some(text) = read.text("delimiter") else { return b',' };
    connectors::source::delimiter(text).unwrap_or_else(|| {
        let message = format!("`{text}` can't stand between fields");
        let problem = Problem::new(read.place("delimiter"), "wrong_value", message);
        problems.push(problem.hint("write one character like \";\", or \"tab\""));
        b','
    })
}

fn check_quote_asset(read: &Settings, known: &Known, problems: &mut Vec<Problem>) {
    if read.has("quote_asset") && known.kind != RelationKind::Fills {
        let message = format!("`quote_asset` is for fees, and `{}` has none", known.name);
        let problem = Problem::new(read.place("quote_asset"), "wrong_option", message);
        problems.push(problem.hint("remove it; only `fills` have fees"));
    }
}
