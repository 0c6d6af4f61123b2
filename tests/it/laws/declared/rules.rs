//! What rules must find, from all rows of an entity in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{Placed, Row, text, time};

/// A rule of `declared.toml`.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) severity: &'static str,
    pub(super) cooldown_seconds: i64,
    pub(super) when: &'static str,
    /// The columns that `when` reads, in the view's order.
    pub(super) reads: &'static [&'static str],
    pub(super) entity: &'static [&'static str],
    pub(super) has_id: bool,
}

/// When and by what: the time and id of the row that fired.
type FiringKey = (i64, String);

/// What a firing says, and when it was resolved.
struct Firing {
    message: String,
    resolved_at: Option<i64>,
}

impl Rule {
    /// The lines of what the rule finds in rows of which it is true or not.
    pub(super) fn lines(&self, rows: impl IntoIterator<Item = (Placed, bool)>) -> BTreeSet<String> {
        let mut entities: BTreeMap<String, Vec<(Placed, bool)>> = BTreeMap::new();
        for (placed, is_true) in rows.into_iter().filter(|(placed, _)| placed.second.is_some()) {
            entities.entry(self.entity_of(&placed.row)).or_default().push((placed, is_true));
        }
        let mut lines = BTreeSet::new();
        for (entity, mut rows) in entities {
            rows.sort_by_key(|(p, _)| (p.second, p.seq, p.id, p.row.line()));
            for ((second, id), firing) in self.firings(&rows) {
                let state = if firing.resolved_at.is_some() { "resolved" } else { "firing" };
                let row = Row(vec![
                    ("rule", text(self.name)),
                    ("entity", text(&entity)),
                    ("time", time(second)),
                    ("id", text(&id)),
                    ("severity", text(self.severity)),
                    ("state", text(state)),
                    ("resolved_at", firing.resolved_at.map_or("null".to_owned(), time)),
                    ("message", text(&firing.message)),
                ]);
                lines.insert(row.line());
            }
        }
        lines
    }

    /// The firings of one entity's rows.
    fn firings(&self, rows: &[(Placed, bool)]) -> BTreeMap<FiringKey, Firing> {
        let mut firings: BTreeMap<FiringKey, Firing> = BTreeMap::new();
        let (mut open, mut last_fired, mut was_true) = (None::<FiringKey>, None, false);
        for (placed, is_true) in rows {
            let second = placed.second.unwrap();
            let is_cool = last_fired.is_none_or(|last| second - last >= self.cooldown_seconds);
            if *is_true && !was_true && is_cool {
                let id = if self.has_id { plain(placed.row.get("id")) } else { String::new() };
                let key = (second, id);
                let firing = Firing { message: self.message(&placed.row), resolved_at: None };
                firings.insert(key.clone(), firing);
                (open, last_fired) = (Some(key), Some(second));
            }
            if !is_true && let Some(key) = open.take() {
                firings.get_mut(&key).unwrap().resolved_at = Some(second);
            }
            was_true = *is_true;
        }
        firings
    }

    fn entity_of(&self, row: &Row) -> String {
        let text = |json: &str| (json != "null").then(|| plain(json));
        let texts: Vec<Option<String>> =
            self.entity.iter().map(|name| text(row.get(name))).collect();
        match texts.as_slice() {
            [Some(one)] => one.clone(),
            many => serde_json::to_string(many).unwrap(),
        }
    }

    fn message(&self, row: &Row) -> String {
        let value = |name: &&str| format!("{name} = {}", plain(row.get(name)));
        let values: Vec<String> = self.reads.iter().map(value).collect();
        format!("{}: {} ({})", self.name, self.when, values.join(", "))
    }
}

/// A value as people read it: without the quotes that JSON puts around it.
fn plain(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}
