//! Rows of declared relations and of views over them, column by column, as the twin sees them.

use std::collections::BTreeSet;

use types::EventId;

use super::history::{Holding, Tag, Visit};
use crate::exact::{self, Exact};
use crate::laws::history::{Change, kept_wallet};

/// A row in its view's order: each column and its value in JSON.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<(&'static str, String)>);

/// A row with its place in the order of SEMANTICS section 3, but for its text.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) row: Row,
    pub(super) second: Option<i64>,
    pub(super) seq: Option<u64>,
    pub(super) id: Option<EventId>,
}

impl Row {
    /// The value of a column.
    pub(super) fn get(&self, name: &str) -> &str {
        let column = self.0.iter().find(|(column, _)| *column == name);
        column.map(|(_, value)| value.as_str()).unwrap()
    }

    /// The number of a column; `None` where it is null.
    pub(super) fn number(&self, name: &str) -> Option<Exact> {
        serde_json::from_str(self.get(name)).ok().map(|text: String| exact::parse(&text))
    }

    pub(super) fn line(&self) -> String {
        let column = |(name, value): &(&str, String)| format!("\"{name}\":{value}");
        format!("{{{}}}", self.0.iter().map(column).collect::<Vec<_>>().join(","))
    }

    /// Some columns, in this order.
    pub(super) fn only(&self, names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, self.get(name).to_owned())).collect())
    }

    /// The row with some of its columns first.
    fn keyed_by(&self, by: &[&'static str]) -> Self {
        let rest = self.0.iter().map(|(name, _)| *name).filter(|name| !by.contains(name));
        self.only(&by.iter().copied().chain(rest).collect::<Vec<_>>())
    }
}

impl Placed {
    /// A row of a view without `seq` and `id`.
    pub(super) fn at(second: Option<i64>, row: Row) -> Self {
        Self { row, second, seq: None, id: None }
    }
}

/// The last row of each key, as `latest` must give them.
pub(super) fn latest(rows: &[Placed], by: &[&'static str]) -> Vec<Placed> {
    let mut keys = BTreeSet::new();
    for placed in rows.iter().filter(|placed| placed.second.is_some()) {
        let key = placed.row.only(by).line();
        if by.iter().all(|name| placed.row.get(name) != "null") {
            keys.insert(key);
        }
    }
    let last = |key: String| {
        let of_key = rows.iter().filter(|placed| placed.row.only(by).line() == key);
        let timed = of_key.filter(|placed| placed.second.is_some());
        let place = |placed: &&Placed| (placed.second, placed.seq, placed.id, placed.row.line());
        let last = timed.max_by_key(place).unwrap();
        Placed { row: last.row.keyed_by(by), ..last.clone() }
    };
    keys.into_iter().map(last).collect()
}

/// The lines of the values of some columns, each once, and how many rows have them, as `distinct` must
/// give them.
pub(super) fn counted(rows: &[Placed], columns: &[&'static str]) -> BTreeSet<String> {
    let all: Vec<Row> = rows.iter().map(|placed| placed.row.only(columns)).collect();
    let whole = all.iter().filter(|row| row.0.iter().all(|(_, value)| value != "null"));
    let counted = |row: &Row| {
        let n = all.iter().filter(|other| other.0 == row.0).count();
        let n = ("n", text(&n.to_string()));
        Row(row.0.iter().cloned().chain([n]).collect()).line()
    };
    whole.map(counted).collect()
}

/// The lines of rows.
pub(super) fn lines<'r>(rows: impl IntoIterator<Item = &'r Placed>) -> BTreeSet<String> {
    rows.into_iter().map(|placed| placed.row.line()).collect()
}

pub(super) fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

pub(super) fn number(number: &Exact) -> String {
    text(&exact::text(number))
}

pub(super) fn count(count: u64) -> String {
    text(&count.to_string())
}

pub(super) fn time(second: i64) -> String {
    text(&format!("2026-01-05T00:{:02}:{:02}.000000000Z", second / 60, second % 60))
}

/// A value, or null.
pub(super) fn maybe<T>(value: Option<T>, json: impl Fn(T) -> String) -> String {
    value.map_or("null".to_owned(), json)
}

fn nano(units: i128) -> String {
    number(&exact::nano(units))
}

/// The row of a holding, the key first.
pub(super) fn holding(change: &Change<Holding>) -> Placed {
    let held = &change.row;
    let row = Row(vec![
        ("slot", count(held.slot)),
        ("account", text(held.account)),
        ("weight", maybe(held.weight, nano)),
        ("cap", nano(held.cap)),
        ("label", maybe(held.label, text)),
        ("flag", maybe(held.flag, |flag| flag.to_string())),
        ("seen", maybe(held.seen, time)),
        ("lots", maybe(held.lots, count)),
        ("event_time", maybe(held.second, time)),
        ("seq", maybe(held.seq, count)),
        ("id", maybe(held.id, text)),
        ("revision", maybe(change.revision, count)),
    ]);
    Placed { row, second: held.second, seq: held.seq, id: held.id.map(EventId::new) }
}

/// The row of a visit.
pub(super) fn visit(change: &Change<Visit>) -> Placed {
    let visit = &change.row;
    let row = Row(vec![
        ("wallet", text(&kept_wallet(visit.wallet))),
        ("event_time", time(visit.second)),
        ("level", nano(visit.level)),
        ("open", visit.is_open.to_string()),
        ("desk", text(visit.desk)),
        ("fee", maybe(visit.fee, nano)),
        ("host_wallet", maybe(visit.host, |host| text(&kept_wallet(host)))),
        ("revision", maybe(change.revision, count)),
    ]);
    Placed::at(Some(visit.second), row)
}

/// The row of a tag.
pub(super) fn tag(tag: &Tag) -> Placed {
    let row = Row(vec![
        ("label", text(tag.label)),
        ("rank", count(tag.rank)),
        ("hue", maybe(tag.hue, text)),
        ("share", nano(tag.share)),
        ("event_time", time(tag.second)),
    ]);
    Placed::at(Some(tag.second), row)
}
