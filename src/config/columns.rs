//! How the columns of a source become those of a relation.

use std::collections::BTreeMap;

use connectors::source::{Format, From, Mapping, TimeFormat, check_mapping};
use types::Rounding;
use types::event::Reason;
use types::expr::Expr;
use types::options::{
    Need, OptionKind, OptionSpec, Place, Problem, Settings, did_you_mean, option, within,
};
use types::relations::{InputColumn, InputKind};

use super::file::{Data, Item, Part};
use super::options::settings;

/// `{ .. }` of a column, beside `values` and `constant`.
pub(super) const COLUMN: &[OptionSpec] = &[
    option("column", OptionKind::Text, Need::Optional, "the source's column"),
    option("expr", OptionKind::Expression, Need::Optional, "an expression over source columns"),
    option("pointer", OptionKind::Text, Need::Optional, "a JSON pointer: \"/data/p\""),
    option("file", OptionKind::Choice(&["stem"]), Need::Optional, "the file's name"),
    option("format", OptionKind::Text, Need::Optional, "how times are written, as strftime"),
    option(
        "unit",
        OptionKind::Choice(&["s", "ms", "us", "ns"]),
        Need::Optional,
        "what a time's number counts since 1970",
    ),
    option("zone", OptionKind::Text, Need::Optional, "the zone of `format`: \"+05:30\""),
    option("scale", OptionKind::Count(0, 18), Need::Optional, "decimals of an integer"),
    option(
        "round",
        OptionKind::Choice(&["half_even"]),
        Need::Optional,
        "what becomes of more than 9 decimals",
    ),
    option("optional", OptionKind::Bool, Need::Optional, "whether empty, `NA` and null mean null"),
];

/// Where a column's text can come from; one of these.
const ORIGINS: [&str; 5] = ["column", "constant", "expr", "pointer", "file"];

/// The words of an `op` column.
pub(super) const OPERATIONS: &[&str] = &["insert", "bust", "correct"];

/// The `op` column, which no relation has but each with corrections takes.
pub(super) const OP: InputColumn =
    InputColumn::maybe("op", InputKind::Word(OPERATIONS, Reason::UnknownValue));

/// Reads how one column is mapped; `None` where too much is wrong.
pub(super) fn mapping(
    item: &Item,
    column: &InputColumn,
    format: Option<Format>,
    problems: &mut Vec<Problem>,
) -> Option<Mapping> {
    let entries = match &item.data {
        Data::Text(name) if !name.is_empty() => {
            return Some(Mapping::plain(From::Column(name.clone())));
        }
        Data::Table(entries) => entries.clone(),
        other => {
            let what = if matches!(other, Data::Text(_)) { "empty" } else { other.describe() };
            let message = format!("column `{}` can't be {what}", column.name);
            let hint = "name the source's column, or say { constant = \"..\" }";
            problems.push(Problem::new(item.place.clone(), "wrong_type", message).hint(hint));
            return None;
        }
    };
    let n_problems = problems.len();
    let part = Part { name: column.name.to_string(), place: item.place.clone(), entries };
    let what = format!("column `{}`", column.name);
    let read = settings(&part, &what, &[COLUMN], &["constant", "values"], problems);
    let values = part.get("values").and_then(|item| values(item, column, problems));
    let mapping = Mapping {
        from: origin(&part, &read, format, problems)?,
        values,
        time: time_format(&read, problems),
        rounding: if read.has("round") { Rounding::HalfEven } else { Rounding::Exact },
        scale: read.count("scale").and_then(|scale| u8::try_from(scale).ok()).unwrap_or(0),
        optional: read.flag("optional"),
    };
    check_kind(&read, column, problems);
    if problems.len() == n_problems {
        check_reading(&mapping, column, &part, problems);
    }
    Some(mapping)
}

/// Where the text comes from: the one origin that is written.
fn origin(
    part: &Part,
    read: &Settings,
    format: Option<Format>,
    problems: &mut Vec<Problem>,
) -> Option<From> {
    let written = || part.entries.iter().filter(|entry| ORIGINS.contains(&entry.key.as_str()));
    let Some(first) = written().next() else {
        let message = format!("column `{}` doesn't say where its text comes from", part.name);
        let hint = format!("one of {}", ORIGINS.join(", "));
        problems.push(Problem::new(part.place.clone(), "no_origin", message).hint(hint));
        return None;
    };
    if let Some(second) = written().nth(1) {
        let message = format!("`{}` and `{}` can't stand together", first.key, second.key);
        let problem = Problem::new(second.key_place.clone(), "two_origins", message);
        problems.push(problem.hint("keep the one that the text comes from"));
    }
    let text = || read.text(&first.key).map(str::to_owned);
    match first.key.as_str() {
        "column" => text().map(From::Column),
        "file" => text().map(|_| From::FileStem),
        "expr" => {
            let text = text()?;
            if let Err(error) = Expr::parse(&text) {
                let place = within(&read.place("expr"), &text, &error.at);
                let mut problem = Problem::new(place, "bad_expression", error.message);
                problem.hint = error.hint;
                problems.push(problem);
            }
            Some(From::Expr(text))
        }
        "pointer" => {
            let text = text()?;
            if format == Some(Format::Csv) {
                let message = "a pointer reads JSON, but this source is CSV";
                let problem = Problem::new(read.place("pointer"), "wrong_value", message);
                problems.push(problem.hint("name a `column`"));
            } else if !text.starts_with('/') {
                let message = format!("`{text}` isn't a JSON pointer");
                let problem = Problem::new(read.place("pointer"), "wrong_value", message);
                problems.push(problem.hint("it starts with a slash: \"/data/price\""));
            }
            Some(From::Pointer(text))
        }
        _ => {
            let text = first.item.scalar();
            if text.is_none() {
                let message = format!("a constant can't be {}", first.item.data.describe());
                let place = first.item.place.clone();
                problems.push(Problem::new(place, "wrong_type", message).hint("write a text"));
            }
            text.map(From::Constant)
        }
    }
}

/// Reads `values`: texts of the source and what they mean.
fn values(
    item: &Item,
    column: &InputColumn,
    problems: &mut Vec<Problem>,
) -> Option<BTreeMap<String, String>> {
    let Data::Table(entries) = &item.data else {
        let message = format!("`values` must be a table, not {}", item.data.describe());
        let problem = Problem::new(item.place.clone(), "wrong_type", message);
        problems.push(problem.hint("values = { BUY = \"buy\", SELL = \"sell\" }"));
        return None;
    };
    let mut values = BTreeMap::new();
    for entry in entries {
        let Some(text) = entry.item.scalar() else {
            let message = format!("`{}` must become a text", entry.key);
            problems.push(Problem::new(entry.item.place.clone(), "wrong_type", message));
            continue;
        };
        check_word(&text, column, &entry.item.place, problems);
        values.insert(entry.key.clone(), text);
    }
    Some(values)
}

fn time_format(read: &Settings, problems: &mut Vec<Problem>) -> TimeFormat {
    let nanos = |unit| match unit {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => 1,
    };
    if read.has("zone") && !read.has("format") {
        let problem =
            Problem::new(read.place("zone"), "zone_without_format", "`zone` needs a `format`");
        problems.push(problem.hint("RFC 3339 says its offset, and units count from 1970 in UTC"));
    }
    match (read.text("format"), read.text("unit")) {
        (Some(_), Some(_)) => {
            let message = "`format` and `unit` can't stand together";
            let problem = Problem::new(read.place("unit"), "format_and_unit", message);
            problems.push(problem.hint("`format` reads dates, `unit` numbers; keep one"));
            TimeFormat::Rfc3339
        }
        (Some(format), None) => {
            let zone = read.text("zone").map(str::to_owned);
            let time = TimeFormat::Strftime { format: format.to_owned(), zone };
            if !format.contains('%') {
                let message = format!("`{format}` has no `%`, so it reads no time");
                let problem = Problem::new(read.place("format"), "wrong_value", message);
                problems.push(problem.hint("a format looks like \"%Y-%m-%d %H:%M:%S\""));
            }
            time
        }
        (None, Some(unit)) => TimeFormat::Unit(nanos(unit)),
        (None, None) => TimeFormat::Rfc3339,
    }
}

/// Tells options that say nothing about a column of this kind.
fn check_kind(read: &Settings, column: &InputColumn, problems: &mut Vec<Problem>) {
    let is_time = column.kind == InputKind::Time;
    let is_number = column.kind == InputKind::Nano;
    for (name, fits, what) in [
        ("format", is_time, "times"),
        ("unit", is_time, "times"),
        ("scale", is_number, "numbers"),
        ("round", is_number, "numbers"),
    ] {
        if read.has(name) && !fits {
            let message = format!("`{name}` is for {what}; `{}` isn't one", column.name);
            let problem = Problem::new(read.place(name), "wrong_option", message);
            problems.push(problem.hint(format!("remove `{name}`")));
        }
    }
}

/// Tells what no row could ever be read by, so that not every row goes to quarantine: a constant
/// that the column can't take, a zone that there isn't, a time format that nothing fits.
fn check_reading(
    mapping: &Mapping,
    column: &InputColumn,
    part: &Part,
    problems: &mut Vec<Problem>,
) {
    let keys = ["constant", "zone", "format", "pointer"];
    let place = keys.iter().find_map(|key| part.get(key)).map(|item| item.place.clone());
    let place = place.unwrap_or(part.place.clone());
    let n_problems = problems.len();
    let mut told = check_mapping(column, mapping);
    if let From::Constant(text) = &mapping.from {
        if mapping.values.is_none() {
            check_word(text, column, &place, problems);
        }
        let prefix = format!("the constant `{text}`: ");
        told = told.map(|told| told.strip_prefix(&prefix).unwrap_or(&told).to_owned());
        if text.is_empty() && !mapping.optional {
            told = Some("the constant is empty".to_owned());
        }
    }
    if let Some(told) = told.filter(|_| problems.len() == n_problems) {
        let message = format!("column `{}`: {told}", column.name);
        problems.push(Problem::new(place, "unusable_mapping", message));
    }
}

/// Tells a word that the column doesn't take.
fn check_word(text: &str, column: &InputColumn, place: &Place, problems: &mut Vec<Problem>) {
    let InputKind::Word(words, _) = column.kind else { return };
    if !words.contains(&text) {
        let message = format!("`{}` can't be `{text}`", column.name);
        let mut problem = Problem::new(place.clone(), "wrong_value", message);
        problem.hint = did_you_mean(text, words.iter().copied());
        problems.push(problem);
    }
}
