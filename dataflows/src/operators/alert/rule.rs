//! One rule over the rows of its entities.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use differential_dataflow::AsCollection;
use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Exchange;
use types::changes::consolidate;
use types::expr::Compiled;
use types::json::write_value;
use types::relations::{Alert, AlertState, Relation, Severity};
use types::sabotage::{Safeguard, is_out};
use types::{Text, Value, VenueTime};

use super::entity::{Entity, Firing, FiringKey};
use super::template::Template;
use crate::edge::Coll;
use crate::operators::epochs::per_epoch;
use crate::operators::ordered::{HasId, Order, Place};
use crate::route::mix;

/// A rule and all that it needs to look at rows.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) name: Text,
    /// Where none of the conditions of `severities` is true.
    pub(super) severity: Severity,
    /// The first whose condition is true of the row that fires.
    pub(super) severities: Vec<(Severity, Compiled)>,
    /// Nanoseconds.
    pub(super) cooldown: i64,
    /// For how long the condition must have been true; nanoseconds.
    pub(super) hold: i64,
    /// The condition as written.
    pub(super) text: String,
    pub(super) when: Compiled,
    /// What ends a firing; where there is nothing, that `when` isn't true.
    pub(super) resolve_when: Option<Compiled>,
    pub(super) template: Option<Template>,
    /// The columns that say whom an alert is about.
    pub(super) entity: Vec<usize>,
    /// The column of a row's id.
    pub(super) id: Option<usize>,
    /// Rows are kept without what stands behind so many columns: see [`Rule::n_read`].
    pub(super) n_kept: usize,
    /// Whether no two rows of an entity have one place.
    pub(super) is_sole: bool,
    pub(super) order: Order,
}

/// A row on its way to the worker of its entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Seen<R> {
    entity: Text,
    time: VenueTime,
    row: R,
}

/// The first rows of which the condition isn't true, which all others of their kind are kept as.
struct Passed<R> {
    /// It ends what is firing.
    ending: Option<R>,
    /// It doesn't.
    other: Option<R>,
}

impl Rule {
    /// The columns up to the last that is looked at, and the whole key, which breaks ties. All rows are
    /// kept, and most views have many more columns than a rule reads.
    pub(super) fn n_read(&self) -> usize {
        let conditions = [Some(&self.when), self.resolve_when.as_ref()].into_iter().flatten();
        let conditions = conditions.chain(self.severities.iter().map(|(_, when)| when));
        let read = conditions.flat_map(Compiled::columns);
        let shown = self.template.iter().flat_map(Template::columns);
        let places = self.entity.iter().copied().chain(self.id).chain(self.order.columns());
        let last = read.chain(shown).chain(places).max();
        last.map_or(0, |last| last + 1).max(self.order.schema.n_key)
    }

    /// A row that counts as of a time.
    pub(super) fn see<R: HasId>(&self, row: R, time: VenueTime) -> Seen<R> {
        // Of a null there is no text, lest it be one with the text `null`.
        let text = |index: &usize| match row.column(*index, &self.order.names) {
            Value::Null => None,
            value => Some(plain(&value)),
        };
        let mut texts = self.entity.iter().map(text);
        let entity = match (texts.next(), self.entity.len()) {
            // A text that could be taken for an array is in one.
            (Some(Some(text)), 1) if !text.as_str().starts_with('[') => text,
            (first, _) => {
                let texts: Vec<Option<Text>> = first.into_iter().chain(texts).collect();
                let mut array = Vec::from(b"[");
                for (index, text) in texts.into_iter().enumerate() {
                    if index > 0 {
                        array.push(b',');
                    }
                    write_value(&mut array, &text.map_or(Value::Null, Value::Text));
                }
                array.push(b']');
                Text::from(String::from_utf8_lossy(&array).into_owned())
            }
        };
        Seen { entity, time, row }
    }

    /// A row as it is kept. Of one that can't fire no more counts than whether it ends what is firing,
    /// so where places tell rows apart all such rows are kept as the first of them: one copy.
    fn kept<R: HasId>(&self, row: R, passed: &mut Passed<R>) -> R {
        let is_apart = !self.is_sole && !is_out(Safeguard::TiedRowsKept);
        if is_apart || self.is_true(&row) {
            return row.cut(self.n_kept);
        }
        let alike = if self.resolves(&row, false) { &mut passed.ending } else { &mut passed.other };
        alike.get_or_insert_with(|| row.cut(self.n_kept)).clone()
    }

    /// The alerts of some rows.
    pub(super) fn alerts<'s, R: HasId>(
        self,
        rows: Coll<'s, Seen<R>>,
        name: &str,
    ) -> Coll<'s, Alert> {
        let routed = rows.inner.exchange(|(seen, _, _): &(Seen<R>, u64, isize)| {
            let mut hasher = FxHasher::default();
            seen.entity.hash(&mut hasher);
            mix(hasher.finish())
        });
        let mut entities: FxHashMap<Text, Entity<R>> = FxHashMap::default();
        let mut passed = Passed { ending: None, other: None };
        let alerts = per_epoch(routed, name, move |epoch, inputs, out| {
            // As they are kept: of a correction of what isn't looked at nothing is left.
            let mut rows: Vec<((Text, Place, R), isize)> = Vec::with_capacity(inputs.len());
            rows.extend(inputs.drain(..).map(|(Seen { entity, time, row }, _, diff)| {
                let place = self.order.place(&row, time);
                ((entity, place, self.kept(row, &mut passed)), diff)
            }));
            if rows.iter().any(|(_, diff)| *diff < 0) {
                consolidate(&mut rows);
                // A row that takes another's place doesn't tie with it.
                rows.sort_by_key(|(_, diff)| *diff > 0);
            }
            let mut touched: BTreeMap<Text, (VenueTime, VenueTime)> = BTreeMap::new();
            for ((name, place, row), diff) in rows {
                let time = place.0;
                let range = touched.entry(name.clone()).or_insert((time, time));
                *range = (range.0.min(time), range.1.max(time));
                let entity = entities.entry(name).or_insert_with(Entity::new);
                for _ in 0..diff.unsigned_abs() {
                    entity.change(&self.order, &place, &row, diff > 0);
                }
            }
            for (name, range) in touched {
                let Some(entity) = entities.get_mut(&name) else { continue };
                for (key, (old, new)) in entity.refold(&self, range) {
                    let alert = |firing: &Firing| self.alert(&name, &key, firing);
                    out.extend(old.as_ref().map(|old| (alert(old), epoch, -1)));
                    out.extend(new.as_ref().map(|new| (alert(new), epoch, 1)));
                }
                if entity.rows.is_empty() {
                    entities.remove(&name);
                }
            }
        });
        alerts.as_collection()
    }

    /// Whether the condition is true of a row; an overflow is null.
    pub(super) fn is_true<R: Relation>(&self, row: &R) -> bool {
        self.holds(&self.when, row)
    }

    /// Whether a row ends what is firing.
    pub(super) fn resolves<R: Relation>(&self, row: &R, is_true: bool) -> bool {
        self.resolve_when.as_ref().map_or(!is_true, |when| self.holds(when, row))
    }

    /// How much it matters that a row fires.
    pub(super) fn severity<R: Relation>(&self, row: &R) -> Severity {
        let mut severities = self.severities.iter();
        let found = severities.find(|(_, when)| self.holds(when, row));
        found.map_or(self.severity, |(severity, _)| *severity)
    }

    fn holds<R: Relation>(&self, condition: &Compiled, row: &R) -> bool {
        condition.is_true(&|index| row.column_ref(index, &self.order.names)).unwrap_or(false)
    }

    pub(super) fn id<R: Relation>(&self, row: &R) -> Text {
        self.id.map_or(Text::Word(""), |id| plain(&row.column(id, &self.order.names)))
    }

    /// The text of the config; where there is none, what held, with the values of the columns that it is
    /// about.
    pub(super) fn message<R: Relation>(&self, row: &R) -> Text {
        if let Some(template) = &self.template {
            return template.fill(|index| plain(&row.column(index, &self.order.names)));
        }
        let value = |index: usize| {
            let name = self.order.schema.columns.get(index).map_or("", |c| c.name.as_ref());
            format!("{name} = {}", plain(&row.column(index, &self.order.names)))
        };
        let values: Vec<String> = self.when.columns().into_iter().map(value).collect();
        let values =
            if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        Text::from(format!("{}: {}{values}", self.name, self.text))
    }

    fn alert(&self, entity: &Text, (time, id): &FiringKey, firing: &Firing) -> Alert {
        Alert {
            rule: self.name.clone(),
            entity: entity.clone(),
            time: *time,
            id: id.clone(),
            severity: firing.severity,
            state: match firing.resolved_at {
                Some(_) => AlertState::Resolved,
                None => AlertState::Firing,
            },
            resolved_at: firing.resolved_at,
            message: firing.message.clone(),
        }
    }
}

/// A value as people read it: texts bare, all else as in JSON without quotes.
fn plain(value: &Value) -> Text {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => Text::from(number.to_string()),
        Value::Time(time) => Text::from(time.to_string()),
        Value::Null | Value::Bool(_) | Value::Float(_) => {
            let mut text = Vec::new();
            write_value(&mut text, value);
            Text::from(String::from_utf8_lossy(&text).into_owned())
        }
    }
}
