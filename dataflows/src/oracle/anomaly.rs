//! The twin of `anomaly`: after each epoch all rows anew, in order, through a model that has learnt
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detectors::{Aspect, Detector as _, Model, Normaliser, Options, Reason};
use types::value::Float;
use types::{Decimal, EventId, Names, Row, Schema, Span, Text, Value, VenueTime};

use super::place;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The input's columns.
    pub schema: Arc<Schema>,
    /// Those that are looked at.
    pub columns: Vec<&'static str>,
    /// Those that tell keys apart.
    pub by: Vec<&'static str>,
    /// The column of a bar's length, where rows are bars: they count at their ends.
    pub length: Option<&'static str>,
    /// Whether each key has a model.
    pub is_by_key: bool,
    /// Whether each key's numbers are in units of its own.
    pub is_normalised: bool,
    /// The column whose new values ask for a fit.
    pub refit_on: Option<&'static str>,
    /// Nanoseconds.
    pub revise_within: i64,
    /// How long a key may rest before it is forgotten; nanoseconds.
    pub forget_after: Option<i64>,
    /// The score from which on a row says why.
    pub explain_from: f64,
    /// The detector's.
    pub options: Options,
}

type Place = (VenueTime, Value, Option<EventId>, Vec<u8>);

/// The rows so far.
pub struct Twin {
    asked: Asked,
    names: Arc<Names>,
    /// What is learnt, and whether it still stands.
    learnt: BTreeMap<Place, (Row, bool)>,
    /// What came too late.
    late: BTreeSet<Row>,
    /// The last change of each key that came too late.
    stale: BTreeMap<Vec<Value>, &'static str>,
    watermark: VenueTime,
}

impl Twin {
    /// Without rows.
    pub fn new(asked: Asked, names: Arc<Names>) -> Self {
        let (learnt, late, stale) = Default::default();
        Self { asked, names, learnt, late, stale, watermark: VenueTime::MIN }
    }

    /// Takes an epoch's changes, each row once, and the watermark at its end.
    ///
    /// # Panics
    /// If a row goes that never came.
    pub fn take(&mut self, changes: &[(Row, isize)], watermark: VenueTime) {
        let within = self.asked.revise_within;
        let horizon = self.watermark.nanos().saturating_sub(within);
        // Whether a row of the key came, and whether one went; and whether one did so too late.
        let mut touched: BTreeMap<Vec<Value>, (bool, bool, bool)> = BTreeMap::new();
        let mut changes = changes.to_vec();
        changes.sort_by_key(|(_, diff)| *diff);
        for (row, diff) in &changes {
            let Some(at) = self.place(row) else { continue };
            let key = row.0.iter().take(self.asked.schema.n_key).cloned().collect();
            let entry = touched.entry(key).or_default();
            if *diff > 0 {
                entry.0 = true;
            } else {
                entry.1 = true;
            }
            if at.0.nanos() >= horizon {
                if *diff > 0 {
                    self.learnt.insert(at, (row.clone(), true));
                } else {
                    self.learnt.remove(&at);
                }
                continue;
            }
            entry.2 = true;
            if *diff > 0 {
                self.late.insert(row.clone());
            } else if !self.late.remove(row) {
                self.learnt.get_mut(&at).expect("it was learnt").1 = false;
            }
        }
        for (key, (came, went, is_late)) in touched {
            if !is_late {
                continue;
            }
            let change = if came && went {
                "replaced"
            } else if came {
                "inserted"
            } else {
                "removed"
            };
            self.stale.insert(key, change);
        }
        self.watermark = self.watermark.max(watermark);
    }

    /// The rows of `<view>.stale`.
    pub fn stale(&self) -> BTreeSet<Row> {
        let row = |(key, change): (&Vec<Value>, &&'static str)| {
            Row(key.iter().cloned().chain([Value::word(change)]).collect())
        };
        self.stale.iter().map(row).collect()
    }

    /// The rows of the view.
    ///
    /// # Panics
    /// If the options aren't those of a detector.
    pub fn rows(&self) -> BTreeSet<Row> {
        let (asked, anew) = (&self.asked, self.anew());
        let mut models: BTreeMap<Vec<Value>, Model> = BTreeMap::new();
        let mut usual: BTreeMap<Vec<Value>, Normaliser> = BTreeMap::new();
        // Of each model what was said last, whether that still asks for a fit, and rows since the last one.
        let mut asked_for: BTreeMap<Vec<Value>, (Value, bool, usize)> = BTreeMap::new();
        let mut rows = BTreeSet::new();
        for (at, (row, stands)) in &self.learnt {
            let (time, key) = (at.0, self.key(row));
            let x: Vec<f64> = asked.columns.iter().map(|n| float(&self.value(row, n))).collect();
            let model_of = if asked.is_by_key { key.clone() } else { Vec::new() };
            if anew.contains(at) {
                usual.remove(&key);
                if asked.is_by_key {
                    models.remove(&key);
                    asked_for.remove(&key);
                }
            }
            let make = if asked.is_normalised { Model::of_units } else { Model::new };
            let new = || make(&asked.options, x.len()).expect("sound options");
            let model = models.entry(model_of.clone()).or_insert_with(new);
            if let Some(name) = asked.refit_on {
                let now = self.value(row, name);
                let known = asked_for.entry(model_of).or_insert((Value::Null, false, 64));
                if !now.is_null() && now != known.0 {
                    *known = (now, true, known.2);
                }
                if known.1 && known.2 >= 64 {
                    (known.1, known.2) = (false, 0);
                    model.refit(Some(time.nanos()));
                }
                known.2 += 1;
            }
            let own = usual.entry(key).or_insert_with(|| Normaliser::new(x.len()));
            let units = if asked.is_normalised { own.normalise(&x) } else { x.clone() };
            let time = Some(time.nanos());
            let mut said = vec![Value::Null, Value::Null, Value::word("warming")];
            said.extend([Value::Null, Value::Null, Value::Null]);
            if units.iter().any(|x| x.is_finite()) {
                let assessed = model.assess(&units, time);
                if let Some(score) = assessed.score {
                    said[0] = Value::from(Float::new(score));
                    said[1] = Value::from(Float::new(assessed.raw));
                    said[2] = Value::word("ok");
                    if score >= asked.explain_from {
                        let reasons = model.explain(&units, time);
                        self.explain((own, &x), reasons, &mut said);
                    }
                }
                model.learn(&units, time, &assessed);
            }
            own.learn(&x);
            if *stands {
                rows.insert(self.row(row, &said));
            }
        }
        let stale = [Value::Null, Value::Null, Value::word("stale"), Value::Null, Value::Null];
        let stale: Vec<Value> = stale.into_iter().chain([Value::Null]).collect();
        rows.extend(self.late.iter().map(|row| self.row(row, &stale)));
        rows
    }

    /// The rows before which their key is forgotten, as the one before lies too far back.
    fn anew(&self) -> BTreeSet<&Place> {
        let mut last: BTreeMap<Vec<Value>, VenueTime> = BTreeMap::new();
        let mut anew = BTreeSet::new();
        for (at, (row, _)) in &self.learnt {
            let before = last.insert(self.key(row), at.0);
            let rested = before.map(|before| at.0.nanos() - before.nanos());
            if rested.zip(self.asked.forget_after).is_some_and(|(rested, after)| rested > after) {
                anew.insert(at);
            }
        }
        anew
    }

    /// Those of them that stand.
    pub fn rows_anew(&self) -> BTreeSet<Row> {
        let rows = self.anew().into_iter().filter_map(|at| self.learnt.get(at));
        rows.filter(|(_, stands)| *stands).map(|(row, _)| row.clone()).collect()
    }

    /// How many keys a row that is learnt later may not find forgotten.
    pub fn n_remembered(&self) -> usize {
        let horizon = self.watermark.nanos().saturating_sub(self.asked.revise_within);
        let last: BTreeMap<Vec<Value>, i64> =
            self.learnt.iter().map(|(at, (row, _))| (self.key(row), at.0.nanos())).collect();
        let is_remembered =
            |last: &&i64| self.asked.forget_after.is_none_or(|after| horizon <= **last + after);
        last.values().filter(is_remembered).count()
    }

    /// What tells its key apart.
    fn key(&self, row: &Row) -> Vec<Value> {
        self.asked.by.iter().map(|name| self.value(row, name)).collect()
    }

    /// Where a row stands in the order.
    fn place(&self, row: &Row) -> Option<Place> {
        let mut at = place(row, &self.asked.schema, &self.names)?;
        if let Some(length) = self.asked.length {
            let Value::Text(length) = self.value(row, length) else { return None };
            let length = Span::parse(length.as_str())?.nanos();
            at.0 = VenueTime::from_nanos(at.0.nanos() + length);
        }
        Some(at)
    }

    fn explain(&self, (own, x): (&Normaliser, &[f64]), reasons: Vec<Reason>, said: &mut [Value]) {
        let mut sentences = Vec::new();
        for mut reason in reasons {
            let name = self.asked.columns[reason.column];
            if sentences.is_empty() {
                said[3] = Value::Text(Text::from(name));
                said[4] = Value::from(Float::new(reason.deviations));
            }
            if self.asked.is_normalised {
                let shown = own.restore(reason.column, reason.value);
                let is_value = reason.aspect == Aspect::Value;
                reason.value = if is_value { x[reason.column] } else { shown };
                reason.usual = own.restore(reason.column, reason.usual);
            }
            sentences.push(reason.sentence(name));
        }
        if !sentences.is_empty() {
            said[5] = Value::Text(Text::from(sentences.join("; ")));
        }
    }

    fn row(&self, row: &Row, said: &[Value]) -> Row {
        let (key, rest) = row.0.split_at(self.asked.schema.n_key);
        Row(key.iter().chain(said).chain(rest).cloned().collect())
    }

    fn value(&self, row: &Row, name: &str) -> Value {
        row.0[self.asked.schema.index(name).expect("a column")].clone()
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => number.get(),
        Value::Number(number) => decimal(*number),
        _ => f64::NAN,
    }
}

/// By way of its text.
fn decimal(number: Decimal) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}
