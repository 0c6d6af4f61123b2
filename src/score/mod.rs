//! Rows of texts through detectors, a detector a key; what `tapeline score` does between its files. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use connectors::ConnectError;
use csv::StringRecord;
use detectors::{Assessed, Detector as _, Model, Normaliser, Options, Reason, State};
use types::number::parse_scaled;
use types::options::did_you_mean;
use types::{Rounding, Span};

use crate::error::Error;

/// What a time counts that is a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    S,
    /// Thousandths of them.
    Ms,
    /// Millionths.
    Us,
    /// Billionths.
    Ns,
}

impl TimeUnit {
    /// Digits behind the point of a time that is told to the nanosecond.
    const fn digits(self) -> u8 {
        match self {
            Self::S => 9,
            Self::Ms => 6,
            Self::Us => 3,
            Self::Ns => 0,
        }
    }
}

/// What is asked of the columns, by name.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Those that are scored, in this order; all that nothing else names where not given.
    pub columns: Option<&'a [String]>,
    /// Those that are left out.
    pub drop: &'a [String],
    /// Whose row it is, all of them together.
    pub key: &'a [String],
    /// When it happened.
    pub time: Option<&'a str>,
    /// What a time counts that is a number.
    pub time_unit: TimeUnit,
}

/// What is wrong with the rows, or with what is asked of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where and what.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Wrong {
    /// The error, of a file.
    pub fn of(self, path: &Path) -> Error {
        let error = ConnectError::broken(format!("scoring {}: {}", path.display(), self.what));
        match self.hint {
            Some(hint) => error.hint(hint).into(),
            None => error.into(),
        }
    }
}

/// What keys have of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// A model; else one serves all keys.
    pub is_by_key: bool,
    /// Units, in which the model sees their numbers.
    pub is_normalised: bool,
    /// Whether a row that holds no number is passed over: `warming`, and not learnt.
    pub passes_over: bool,
    /// How long a key may rest, from row to row as they come, before that is forgotten.
    pub forget_after: Option<Span>,
}

/// A model each, which learns all rows.
impl Default for Scope {
    fn default() -> Self {
        Self { is_by_key: true, is_normalised: false, passes_over: false, forget_after: None }
    }
}

/// Where the key, the time and the values of a row are.
#[derive(Clone, Debug)]
pub struct Columns {
    key: Vec<usize>,
    time: Option<usize>,
    time_unit: TimeUnit,
    /// Names and places of those that the detector sees.
    values: Vec<(String, usize)>,
}

impl Columns {
    /// Finds the columns in a header.
    ///
    /// # Errors
    /// If one isn't there, two have one name, or none is left for the detector.
    pub fn new(header: &StringRecord, wanted: &Wanted<'_>) -> Result<Self, Wrong> {
        if let Some(name) = header.iter().enumerate().find_map(|(at, name)| {
            let is_twice = header.iter().take(at).any(|before| before == name);
            is_twice.then_some(name)
        }) {
            let what = format!("two columns are named `{name}`");
            return Err(Wrong { what, hint: Some("give each a name of its own".to_owned()) });
        }
        let place = |name: &str| {
            header.iter().position(|column| column == name).ok_or_else(|| Wrong {
                what: format!("there is no column `{name}`"),
                hint: did_you_mean(name, header.iter()),
            })
        };
        let places = |names: &[String]| {
            names.iter().map(|name| Ok((name.clone(), place(name)?))).collect::<Result<Vec<_>, _>>()
        };
        let of = |named: Vec<(String, usize)>| named.into_iter().map(|(_, at)| at);
        let key: Vec<usize> = of(places(wanted.key)?).collect();
        let time = wanted.time.map(place).transpose()?;
        let listed = wanted.columns.unwrap_or_default();
        // What is listed and left out needn't be there.
        let but = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|name| !others.contains(name)).cloned().collect()
        };
        let dropped: Vec<usize> = of(places(&but(wanted.drop, listed))?).collect();
        let mut values = match wanted.columns {
            Some(columns) => places(&but(columns, wanted.drop))?,
            None => header.iter().enumerate().map(|(at, name)| (name.to_owned(), at)).collect(),
        };
        values.retain(|(_, at)| !key.contains(at) && Some(*at) != time && !dropped.contains(at));
        if values.is_empty() {
            let what = "no column is left for the detector".to_owned();
            return Err(Wrong { what, hint: Some("drop fewer columns".to_owned()) });
        }
        Ok(Self { key, time, time_unit: wanted.time_unit, values })
    }
}

/// What is said of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// 1 - p; 0 while warming.
    pub score: f64,
    /// The detector's own measure.
    pub raw: f64,
    /// `warming` or `ok`.
    pub state: &'static str,
    /// What makes the row unusual, in words; empty where nobody asked.
    pub why: String,
}

/// Cells that couldn't be read, and the first of them.
#[derive(Default)]
struct Unread {
    n_cells: u64,
    first: String,
}

/// The detectors, and what is usual of keys.
pub struct Scorer {
    columns: Columns,
    scope: Scope,
    options: Options,
    /// The score from which on a row is explained.
    why_from: f64,
    /// Bytes that all detectors may hold.
    max_bytes: u64,
    n_bytes: u64,
    /// By key, each with the bytes that it held last; one for all where they share it.
    models: BTreeMap<String, (Model, u64)>,
    /// By key, where keys have units of their own.
    usual: BTreeMap<String, Normaliser>,
    /// The time of each key's last row, where keys are forgotten.
    last: BTreeMap<String, i64>,
    /// The row's key and numbers.
    key: String,
    row: Vec<f64>,
    n_rows: u64,
    unread: Unread,
}

impl Scorer {
    /// Detectors that have learnt nothing, with the score from which on a row is explained.
    pub const fn new(
        columns: Columns,
        scope: Scope,
        (options, why_from): (Options, f64),
        max_bytes: u64,
    ) -> Self {
        Self {
            columns,
            scope,
            options,
            why_from,
            max_bytes,
            n_bytes: 0,
            models: BTreeMap::new(),
            usual: BTreeMap::new(),
            last: BTreeMap::new(),
            key: String::new(),
            row: Vec::new(),
            n_rows: 0,
            unread: Unread { n_cells: 0, first: String::new() },
        }
    }

    /// Scores a row, then learns it. A cell that is empty, or no number, is a missing value.
    ///
    /// # Errors
    /// If there are too many columns, or so many keys that their detectors don't fit.
    pub fn score(&mut self, row: &StringRecord, line: u64) -> Result<Scored, Wrong> {
        let time = self.read(row, line);
        if self.has_rested(time) {
            self.forget();
        }
        let passed = self.pass(time)?;
        self.n_rows += 1;
        if self.n_bytes > self.max_bytes {
            let n_keys = self.n_keys();
            let what = format!("line {line}: the detectors of {n_keys} keys don't fit any more");
            let hint = if n_keys > 1 {
                "raise `--max-memory`, or leave `--key` out for one detector over all rows"
            } else {
                "raise `--max-memory`"
            };
            return Err(Wrong { what, hint: Some(hint.to_owned()) });
        }
        let Some((assessed, reasons)) = passed else {
            return Ok(Scored { score: 0.0, raw: 0.0, state: "warming", why: String::new() });
        };
        let sentence = |reason: &Reason| {
            let (name, _) = self.columns.values.get(reason.column)?;
            Some(reason.sentence(name))
        };
        let why: Vec<String> = reasons.iter().filter_map(sentence).collect();
        Ok(Scored {
            score: assessed.score.unwrap_or(0.0),
            raw: assessed.raw,
            state: match assessed.state {
                State::Warming => "warming",
                State::Ok => "ok",
            },
            why: why.join("; "),
        })
    }

    /// Reads a row's key and numbers; its time, where it has one.
    fn read(&mut self, row: &StringRecord, line: u64) -> Option<i64> {
        let Self { columns, unread, .. } = self;
        self.row.clear();
        for (name, at) in &columns.values {
            let text = row.get(*at).unwrap_or_default().trim();
            let number = if text.is_empty() { Some(f64::NAN) } else { text.parse().ok() };
            self.row.push(number.unwrap_or_else(|| {
                unread.note(line, name, text);
                f64::NAN
            }));
        }
        self.key.clear();
        for cell in columns.key.iter().filter_map(|at| row.get(*at)) {
            // With its length, so that no two keys of several columns have one text.
            self.key.push_str(&cell.len().to_string());
            self.key.push(':');
            self.key.push_str(cell);
        }
        let text = row.get(columns.time?)?;
        let time = nanos_of(text.trim(), columns.time_unit);
        if time.is_none() {
            unread.note(line, "the time", text);
        }
        time
    }

    /// Whether the key of the row that was read has rested for too long before it; notes when it was met.
    fn has_rested(&mut self, time: Option<i64>) -> bool {
        let (Some(after), Some(now)) = (self.scope.forget_after, time) else { return false };
        if let Some(last) = self.last.get_mut(&self.key) {
            let rested = now.saturating_sub(std::mem::replace(last, now));
            return rested > after.nanos();
        }
        self.last.insert(self.key.clone(), now);
        false
    }

    /// Forgets the row's key: its model, or what is usual of it.
    fn forget(&mut self) {
        let held = if self.scope.is_by_key {
            self.models.remove(&self.key).map(|(_, held)| held)
        } else {
            self.usual.remove(&self.key).map(|usual| count(usual.state_bytes()))
        };
        self.n_bytes = self.n_bytes.saturating_sub(held.unwrap_or_default());
    }

    /// Passes the row that was read through its model; `None` where it is passed over.
    fn pass(&mut self, time: Option<i64>) -> Result<Option<(Assessed, Vec<Reason>)>, Wrong> {
        let Self { scope, options, why_from, models, usual, key, row, n_bytes, .. } = self;
        let of = if scope.is_by_key { key.as_str() } else { "" };
        if !models.contains_key(of) {
            // Of several keys the values before a row are no past of its own.
            let new = if scope.is_normalised { Model::of_units } else { Model::new };
            let model = new(options, row.len());
            let model = model.map_err(|error| Wrong { what: error.to_string(), hint: None })?;
            models.insert(of.to_owned(), (model, 0));
        }
        if scope.is_normalised && !usual.contains_key(key) {
            let new = Normaliser::new(row.len());
            *n_bytes = n_bytes.saturating_add(count(new.state_bytes()));
            usual.insert(key.clone(), new);
        }
        let Some((model, held)) = models.get_mut(of) else { unreachable!("it was just made") };
        let mut usual = if scope.is_normalised { usual.get_mut(key) } else { None };
        let passed = if scope.passes_over {
            detectors::pass_of_key(model, usual.as_deref(), row, time, *why_from)
        } else {
            Some(detectors::pass(model, row, time, *why_from))
        };
        if let Some(usual) = &mut usual {
            usual.learn(row);
        }
        let now = count(model.state_bytes());
        *n_bytes = n_bytes.saturating_sub(*held).saturating_add(now);
        *held = now;
        Ok(passed)
    }

    /// How many keys there were, as far as they differ in anything.
    fn n_keys(&self) -> usize {
        if self.scope.is_normalised { self.usual.len() } else { self.models.len() }
    }

    /// What it did, in words.
    pub fn summary(&self) -> String {
        // Where keys share all they aren't counted.
        let is_counted = self.scope.is_by_key || self.scope.is_normalised;
        let keys = if is_counted && !self.columns.key.is_empty() {
            format!(", of {}", many(count(self.n_keys()), "key"))
        } else {
            String::new()
        };
        let Unread { n_cells, first } = &self.unread;
        let unread = match n_cells {
            0 => String::new(),
            1 => format!("warning: a cell can't be read and counts as missing: {first}\n"),
            _ => format!(
                "warning: {n_cells} cells can't be read and count as missing; the first is {first}\n"
            ),
        };
        format!("{} scored{keys}\n{unread}", many(self.n_rows, "row"))
    }
}

/// How many there are of something.
fn many(n: u64, what: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {what}{end}")
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Unread {
    fn note(&mut self, line: u64, column: &str, text: &str) {
        self.n_cells += 1;
        if self.first.is_empty() {
            self.first = format!("`{text}` in line {line}, {column}");
        }
    }
}

/// A time in nanoseconds since 1970, UTC; `None` where it can't be read.
fn nanos_of(text: &str, unit: TimeUnit) -> Option<i64> {
    if let Ok(nanos) = parse_scaled(text.as_bytes(), unit.digits(), Rounding::HalfEven) {
        return i64::try_from(nanos).ok();
    }
    // A zone may stand behind it in brackets.
    let zoned = || Some(text.parse::<jiff::Zoned>().ok()?.timestamp());
    let local = || {
        let text = (!text.contains('[')).then_some(text)?;
        let local: jiff::civil::DateTime = text.parse().ok()?;
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(zoned).or_else(local)?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests;
