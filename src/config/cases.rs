//! `[[tests]]`: rows that go in, rows that must come out.
//!
//! Values may stand with or without quotes. In what is expected, an empty text means null in every
//! column that can be null.

use dataflows::PlanBuilder;
use dataflows::plan::View;
use types::event::{Cell, Draft};
use types::number::parse_scaled;
use types::options::{Need, OptionKind, OptionSpec, Place, Problem, did_you_mean, option};
use types::relations::{self, InputColumn, InputKind, RelationKind};
use types::schema::holds_wallets;
use types::value::{Float, Text};
use types::{Decimal, Interner, Kind, Op, Rounding, Value, VenueTime, for_inputs};

use super::file::{Data, Entry, Item, Part};
use super::options::settings;
use super::plan::Also;
use super::relations::{Known, Relations};
use super::sinks::{not_keyed, unknown};

/// `[[tests]]`, beside `insert`, `correct`, `bust` and `expect`.
pub(super) const TEST: &[OptionSpec] = &[
    option("name", OptionKind::Text, Need::Required, "what the test shows"),
    option(
        "also",
        OptionKind::Texts,
        Need::Optional,
        "in which other ways the same must come out: shuffled, one_event_per_epoch, workers_1_2_4",
    ),
];

/// A test whose relations and views aren't indices of the plan yet.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) inserts: Vec<Input>,
    pub(super) expect: Vec<Expect>,
    pub(super) also: Vec<Also>,
}

/// Rows for one relation.
pub(super) struct Input {
    pub(super) relation: String,
    pub(super) drafts: Vec<Draft>,
    /// Whether a row replaces or removes another.
    pub(super) has_corrections: bool,
}

/// What is expected of one view, as written.
pub(super) struct Expect {
    pub(super) view: String,
    pub(super) place: Place,
    rows: Vec<Item>,
}

/// Reads a test but for what it expects, which needs the views' columns.
pub(super) fn case(
    item: &Item,
    relations: &Relations,
    problems: &mut Vec<Problem>,
) -> Option<Case> {
    let Data::Table(entries) = &item.data else {
        let problem = Problem::new(item.place.clone(), "wrong_type", "a test must be a table");
        problems.push(problem.hint("write `[[tests]]` and its options below"));
        return None;
    };
    let place = entries.first().map_or(item.place.clone(), |entry| entry.key_place.clone());
    let part = Part { name: "tests".to_owned(), place, entries: entries.clone() };
    let extras = ["insert", "correct", "bust", "expect"];
    let read = settings(&part, "a test", &[TEST], &extras, problems);
    let mut case = Case {
        name: read.text("name").unwrap_or_default().to_owned(),
        place: if read.has("name") { read.place("name") } else { part.place.clone() },
        inserts: Vec::new(),
        expect: Vec::new(),
        also: Vec::new(),
    };
    for (word, place) in read.list("also") {
        if let Some((_, also)) = Also::WORDS.iter().find(|(known, _)| known == word) {
            case.also.push(*also);
            continue;
        }
        let message = format!("a test can't be `{word}`");
        let mut problem = Problem::new(place.clone(), "wrong_value", message);
        problem.hint = did_you_mean(word, Also::WORDS.iter().map(|(known, _)| *known));
        problems.push(problem);
    }
    let mut row = 0;
    for (op, relation) in inputs(&part, problems) {
        case.inserts.extend(input(op, relation, relations, &mut row, problems));
    }
    if let Some(expect) = part.get("expect") {
        case.expect = expected("", expect, problems);
    } else {
        let message = "a test that expects nothing can't fail";
        let problem = Problem::new(case.place.clone(), "missing_option", message);
        problems.push(problem.hint("write expect.VIEW = [ { .. } ], or [] where it has no rows"));
    }
    Some(case)
}

/// The tables of rows in the order of the file, each with its operation.
fn inputs<'a>(part: &'a Part, problems: &mut Vec<Problem>) -> Vec<(Op, &'a Entry)> {
    let mut tables = Vec::new();
    for (key, op) in [("insert", Op::Insert), ("correct", Op::Correct), ("bust", Op::Bust)] {
        match part.get(key).map(|item| (&item.data, &item.place)) {
            Some((Data::Table(relations), _)) => {
                tables.extend(relations.iter().map(|entry| (op, entry)));
            }
            Some((_, place)) => {
                let message = format!("`{key}` must name a relation");
                let problem = Problem::new(place.clone(), "wrong_type", message);
                problems.push(problem.hint(format!("write {key}.fills = [ {{ .. }} ]")));
            }
            None => {}
        }
    }
    tables.sort_by_key(|(_, entry)| entry.key_place.start);
    tables
}

/// The rows of a list of tables.
fn rows<'a>(
    item: &'a Item,
    what: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(&'a Place, &'a [Entry])> {
    let Data::List(items) = &item.data else {
        let message = format!("`{what}` must be a list of rows, not {}", item.data.describe());
        let problem = Problem::new(item.place.clone(), "wrong_type", message);
        problems.push(problem.hint("write [ { .. }, { .. } ]"));
        return Vec::new();
    };
    let mut rows = Vec::new();
    for item in items {
        match &item.data {
            Data::Table(entries) => rows.push((&item.place, entries.as_slice())),
            other => {
                let message = format!("a row must be a table, not {}", other.describe());
                problems.push(Problem::new(item.place.clone(), "wrong_type", message));
            }
        }
    }
    rows
}

fn input(
    op: Op,
    entry: &Entry,
    relations: &Relations,
    n_row: &mut u64,
    problems: &mut Vec<Problem>,
) -> Option<Input> {
    let known = relations.find(&entry.key, entry.key_place.clone(), problems)?;
    if op != Op::Insert && !known.kind.has_corrections() {
        let message = format!("rows of `{}` can't be corrected or removed", known.name);
        let problem = Problem::new(entry.key_place.clone(), "no_corrections", message);
        problems.push(problem.hint("insert newer ones"));
        return None;
    }
    let mut drafts = Vec::new();
    for (place, cells) in rows(&entry.item, &entry.key, problems) {
        *n_row += 1;
        drafts.extend(draft(op, (place, cells), known, *n_row, problems));
    }
    let revision = known.column("revision");
    let revises = |draft: &Draft| {
        revision.and_then(|column| draft.cells.get(column)).is_some_and(|c| *c != Cell::Null)
    };
    let has_corrections = op != Op::Insert || drafts.iter().any(revises);
    Some(Input { relation: known.name.clone(), drafts, has_corrections })
}

/// Makes the draft of a row. Venue, id and seq have defaults, since most rules don't need them.
fn draft(
    op: Op,
    (place, cells): (&Place, &[Entry]),
    known: &Known,
    n_row: u64,
    problems: &mut Vec<Problem>,
) -> Option<Draft> {
    let n_problems = problems.len();
    let mut draft = Draft::default();
    draft.reset(known.columns.len());
    draft.op = op;
    if known.kind != RelationKind::Rows {
        if let Some(venue) = known.column("venue") {
            draft.set_text(venue, "test");
        }
        if let (Some(id), Op::Insert) = (known.column("id"), op) {
            draft.set_text(id, &n_row.to_string());
        }
        if let Some(seq) = known.column("seq") {
            draft.set(seq, Cell::Count(n_row));
        }
    }
    for Entry { key, key_place, item } in cells {
        let column = known.column(key).and_then(|i| Some((i, known.columns.get(i)?)));
        let Some((index, column)) = column else {
            let message = format!("relation `{}` has no column `{key}`", known.name);
            let mut problem = Problem::new(key_place.clone(), "unknown_column", message);
            problem.hint = did_you_mean(key, known.mappable());
            problems.push(problem);
            continue;
        };
        if let Err(problem) = set_cell(&mut draft, index, column, item) {
            problems.push(problem);
        }
        draft.seq_is_mapped |= column.name == "seq";
    }
    if problems.len() > n_problems {
        return None;
    }
    if let Some(problem) = refused(&draft, known, place) {
        problems.push(problem);
        return None;
    }
    Some(draft)
}

/// Reads a row's value as a source would.
fn set_cell(
    draft: &mut Draft,
    index: usize,
    column: &InputColumn,
    item: &Item,
) -> Result<(), Problem> {
    let fails = |hint: &str| {
        let message = match item.scalar() {
            Some(text) => format!("`{}` can't be `{text}`", column.name),
            None => format!("`{}` can't be {}", column.name, item.data.describe()),
        };
        Problem::new(item.place.clone(), "wrong_value", message).hint(hint)
    };
    let text = item.scalar().ok_or_else(|| fails("write a text or number"))?;
    if text.is_empty() {
        draft.set(index, Cell::Null);
        return Ok(());
    }
    let cell = match column.kind {
        InputKind::Text => {
            draft.set_text(index, &text);
            return Ok(());
        }
        InputKind::Word(words, _) if words.contains(&text.as_str()) => {
            draft.set_text(index, &text);
            return Ok(());
        }
        InputKind::Word(words, _) => {
            return Err(fails(&did_you_mean(&text, words.iter().copied()).unwrap_or_default()));
        }
        InputKind::Nano => {
            let nano = parse_scaled(text.as_bytes(), 9, Rounding::Exact);
            draft.set_nano(index, nano.map_err(|error| fails(&error.to_string()))?);
            return Ok(());
        }
        InputKind::Count => {
            Cell::Count(text.parse().map_err(|_| fails("write a whole number from 0"))?)
        }
        InputKind::Time => VenueTime::parse(&text)
            .map(Cell::Time)
            .ok_or_else(|| fails("write a time like \"2026-01-01T00:00:00Z\""))?,
        InputKind::Bool => Cell::Bool(text.parse().map_err(|_| fails("write true or false"))?),
    };
    draft.set(index, cell);
    Ok(())
}

/// Tells what the relation itself has against a row, so that a test doesn't run on less than it
/// says.
fn refused(draft: &Draft, known: &Known, place: &Place) -> Option<Problem> {
    macro_rules! read {
        ($($variant:ident($row:ty),)*) => {
            match known.kind {
                $(RelationKind::$variant => {
                    let mut names = Interner::new(false);
                    <$row as relations::Input>::assemble(&draft.view(), &known.schema, &mut names)
                        .err()
                })*
                _ => None,
            }
        };
    }
    let reject = for_inputs!(read)?;
    let column = reject.column.as_deref().unwrap_or("row");
    let message = format!("`{}` would refuse this row: {column}: {}", known.name, reject.detail);
    let hint = format!("reason `{}`", reject.reason.code());
    Some(Problem::new(place.clone(), "unusable_row", message).hint(hint))
}

/// The views of which rows are expected: `expect.positions`, `expect.positions.breaks`.
fn expected(prefix: &str, item: &Item, problems: &mut Vec<Problem>) -> Vec<Expect> {
    let Data::Table(views) = &item.data else {
        let problem = Problem::new(item.place.clone(), "wrong_type", "`expect` must name a view");
        problems.push(problem.hint("write expect.positions = [ { .. } ]"));
        return Vec::new();
    };
    let mut expected_views = Vec::new();
    for Entry { key, key_place, item } in views {
        let view = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match &item.data {
            Data::List(rows) => {
                expected_views.push(Expect { view, place: key_place.clone(), rows: rows.clone() });
            }
            _ => expected_views.extend(expected(&view, item, problems)),
        }
    }
    expected_views
}

/// Reads the rows that are expected of a view.
pub(super) fn expected_rows(
    expect: &Expect,
    builder: &PlanBuilder,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Vec<(usize, Value)>>> {
    let Some(view) = builder.view(&expect.view) else {
        if !builder.has(&expect.view) {
            problems.push(unknown(&expect.view, &expect.place, builder));
        }
        return None;
    };
    if let Some(problem) = not_keyed(view, &expect.place) {
        problems.push(problem);
        return None;
    }
    let list = Item { place: expect.place.clone(), data: Data::List(expect.rows.clone()) };
    let rows = rows(&list, &expect.view, problems).into_iter();
    let rows: Vec<_> = rows.map(|(_, cells)| expected_row(cells, view, problems)).collect();
    Some(rows)
}

fn expected_row(cells: &[Entry], view: &View, problems: &mut Vec<Problem>) -> Vec<(usize, Value)> {
    let mut row = Vec::new();
    for Entry { key, key_place, item } in cells {
        let index = view.schema.index(key);
        let Some((index, column)) = index.and_then(|i| Some((i, view.schema.columns.get(i)?)))
        else {
            let message = format!("view `{}` has no column `{key}`", view.name);
            let mut problem = Problem::new(key_place.clone(), "unknown_column", message);
            let columns = view.schema.columns.iter().map(|column| column.name.as_ref());
            problem.hint = did_you_mean(key, columns);
            problems.push(problem);
            continue;
        };
        let written = item.scalar();
        let value = match written.as_deref() {
            Some("") if column.nullable => Some(Value::Null),
            Some(text) => value(text, column.kind, holds_wallets(key)),
            None => None,
        };
        if let Some(value) = value {
            row.push((index, value));
            continue;
        }
        let found = written.map_or(item.data.describe().to_owned(), |w| format!("`{w}`"));
        let message = format!("`{key}` is a {}, never {found}", column.kind.name());
        let mut problem = Problem::new(item.place.clone(), "wrong_value", message);
        problem.hint = match column.kind {
            Kind::Word(words) => Some(format!("known: {}", words.join(", "))),
            Kind::Time => Some("write a time like \"2026-01-01T00:00:00Z\"".to_owned()),
            _ if column.nullable => Some("an empty text means null".to_owned()),
            _ => None,
        };
        problems.push(problem);
    }
    row
}

/// Reads a value of a view's column.
fn value(text: &str, kind: Kind, is_wallet: bool) -> Option<Value> {
    match kind {
        Kind::Bool => text.parse().ok().map(Value::Bool),
        Kind::Count => text.parse::<u64>().ok().map(Value::from),
        Kind::Price | Kind::Size | Kind::Money | Kind::Number => {
            Decimal::parse(text.as_bytes()).ok().map(Value::Number)
        }
        Kind::Float => Float::new(text.parse().ok()?).map(Value::Float),
        Kind::Time => VenueTime::parse(text).map(Value::Time),
        Kind::Word(words) => words.iter().find(|word| **word == text).map(|w| Value::word(w)),
        // Wallets are kept in lower case where they are hex, so a test may write them as it likes.
        Kind::Text | Kind::Name if is_wallet && text.starts_with("0x") => {
            Some(Value::Text(Text::from(text.to_ascii_lowercase())))
        }
        Kind::Text | Kind::Name => Some(Value::Text(Text::from(text))),
    }
}
