//! What a rule finds, from all rows at once.

use std::collections::BTreeMap;

use types::json::{write_row, write_value};
use types::relations::{Alert, AlertState, Relation, Severity};
use types::{EventId, Names, Schema, Text, Value, VenueTime};

/// A rule, with its condition as a function.
pub struct Rule<'a, R> {
    /// Its name.
    pub name: &'a str,
    /// How much an alert matters that a row fires.
    pub severity: &'a dyn Fn(&R) -> Severity,
    /// Nanoseconds.
    pub cooldown: i64,
    /// For how long the condition must have been true, in nanoseconds.
    pub hold: i64,
    /// The columns that say whom an alert is about.
    pub entity: &'a [&'a str],
    /// Whether the condition is true.
    pub is_true: &'a dyn Fn(&R) -> bool,
    /// Whether a row ends what fires; where there is nothing, rows do of which the condition isn't true.
    pub resolves: Option<&'a dyn Fn(&R) -> bool>,
    /// The text of an alert that a row fires.
    pub message: &'a dyn Fn(&R) -> String,
}

impl<'a, R> Rule<'a, R> {
    /// A rule of medium severity, without anything that it needn't have.
    pub fn new(
        name: &'a str,
        entity: &'a [&'a str],
        is_true: &'a dyn Fn(&R) -> bool,
        message: &'a dyn Fn(&R) -> String,
    ) -> Self {
        let severity = &|_: &R| Severity::Medium;
        Self { name, severity, cooldown: 0, hold: 0, entity, is_true, resolves: None, message }
    }
}

/// The alerts of some rows, each with the time as of which it counts.
///
/// # Panics
/// If a column isn't there.
pub fn alerts<R: Relation>(
    rows: &[(VenueTime, R)],
    rule: &Rule<'_, R>,
    schema: &Schema,
    names: &Names,
) -> Vec<Alert> {
    let mut entities: BTreeMap<String, Vec<&(VenueTime, R)>> = BTreeMap::new();
    for row in rows {
        entities.entry(entity(&row.1, rule.entity, schema, names)).or_default().push(row);
    }
    let mut found: BTreeMap<(String, VenueTime, String), Alert> = BTreeMap::new();
    for (entity, mut rows) in entities {
        rows.sort_by_key(|(time, row)| {
            let mut text = Vec::new();
            write_row(&mut text, row, schema, names);
            let id = id(row, schema, names).map(|id| EventId::new(&id));
            let seq = schema.index("seq").map(|seq| row.column(seq, names));
            (*time, seq, id, text)
        });
        let (mut open, mut last_fired) = (None, None::<VenueTime>);
        // Since when the condition is true, and whether that has had its turn to fire.
        let mut run: Option<(VenueTime, bool)> = None;
        for (time, row) in rows {
            let is_true = (rule.is_true)(row);
            if rule.resolves.map_or(!is_true, |resolves| resolves(row))
                && let Some(key) = open.take()
            {
                let alert: &mut Alert = found.get_mut(&key).expect("it fired");
                alert.state = AlertState::Resolved;
                alert.resolved_at = Some(*time);
            }
            run = is_true.then(|| run.unwrap_or((*time, false)));
            let Some((since, has_had_turn)) = &mut run else { continue };
            if *has_had_turn || time.nanos() - since.nanos() < rule.hold {
                continue;
            }
            *has_had_turn = true;
            let cooled = |last: VenueTime| time.nanos() - last.nanos() >= rule.cooldown;
            if open.is_none() && last_fired.is_none_or(cooled) {
                let id = id(row, schema, names).unwrap_or_default();
                let key = (entity.clone(), *time, id.clone());
                let alert = Alert {
                    rule: Text::from(rule.name),
                    entity: Text::from(entity.as_str()),
                    time: *time,
                    id: Text::from(id),
                    severity: (rule.severity)(row),
                    state: AlertState::Firing,
                    resolved_at: None,
                    message: Text::from((rule.message)(row)),
                };
                found.insert(key.clone(), alert);
                (open, last_fired) = (Some(key), Some(*time));
            }
        }
    }
    let mut alerts: Vec<Alert> = found.into_values().collect();
    alerts.sort();
    alerts
}

/// The text of a row's id, where it has one.
fn id<R: Relation>(row: &R, schema: &Schema, names: &Names) -> Option<String> {
    match row.column(schema.index("id")?, names) {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Whom an alert is about: a bare text, or a JSON array of texts.
fn entity<R: Relation>(row: &R, columns: &[&str], schema: &Schema, names: &Names) -> String {
    let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
    let values: Vec<Value> = columns.iter().map(value).collect();
    if let [Value::Text(text)] = &values[..] {
        return text.to_string();
    }
    let quoted = |value: &Value| {
        let mut text = Vec::new();
        write_value(&mut text, value);
        String::from_utf8(text).expect("JSON is UTF-8")
    };
    format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(","))
}
