//! Rows of texts through detectors, a detector a key; what `tapeline score` does between its files. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use connectors::ConnectError;
use csv::StringRecord;
use detectors::{Detector as _, Model, Options, State};
use types::Rounding;
use types::number::parse_scaled;
use types::options::did_you_mean;

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
    /// Those that are left out.
    pub drop: &'a [String],
    /// Whose row it is.
    pub key: Option<&'a str>,
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

/// Where the key, the time and the values of a row are.
#[derive(Clone, Debug)]
pub struct Columns {
    key: Option<usize>,
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
        let key = wanted.key.map(place).transpose()?;
        let time = wanted.time.map(place).transpose()?;
        let dropped = wanted.drop.iter().map(|name| place(name)).collect::<Result<Vec<_>, _>>()?;
        let is_value = |at: &usize| Some(*at) != key && Some(*at) != time && !dropped.contains(at);
        let values: Vec<(String, usize)> = header
            .iter()
            .enumerate()
            .filter(|(at, _)| is_value(at))
            .map(|(at, name)| (name.to_owned(), at))
            .collect();
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

/// Detectors by key.
pub struct Scorer {
    columns: Columns,
    options: Options,
    /// The score from which on a row is explained.
    why_from: f64,
    /// Bytes that all detectors may hold.
    max_bytes: u64,
    n_bytes: u64,
    /// Each with the bytes that it held last.
    models: BTreeMap<String, (Model, u64)>,
    row: Vec<f64>,
    n_rows: u64,
    unread: Unread,
}

impl Scorer {
    /// Detectors that have learnt nothing.
    pub const fn new(columns: Columns, options: Options, why_from: f64, max_bytes: u64) -> Self {
        Self {
            columns,
            options,
            why_from,
            max_bytes,
            n_bytes: 0,
            models: BTreeMap::new(),
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
        let text_of = |at: Option<usize>| at.and_then(|at| row.get(at));
        let time = text_of(columns.time).and_then(|text| {
            let time = nanos_of(text.trim(), columns.time_unit);
            if time.is_none() {
                unread.note(line, "the time", text);
            }
            time
        });
        let key = text_of(columns.key).unwrap_or_default();
        if !self.models.contains_key(key) {
            let model = Model::new(&self.options, columns.values.len());
            let model = model.map_err(|error| Wrong { what: error.to_string(), hint: None })?;
            self.models.insert(key.to_owned(), (model, 0));
        }
        let Some((model, held)) = self.models.get_mut(key) else {
            unreachable!("it was just made")
        };
        let assessed = model.assess(&self.row, time);
        let is_explained = assessed.score.is_some_and(|score| score >= self.why_from);
        let reasons = if is_explained { model.explain(&self.row, time) } else { Vec::new() };
        let sentence = |reason: &detectors::Reason| {
            let (name, _) = columns.values.get(reason.column)?;
            Some(reason.sentence(name))
        };
        let why: Vec<String> = reasons.iter().filter_map(sentence).collect();
        model.learn(&self.row, time, &assessed);
        self.n_rows += 1;
        let n_bytes = u64::try_from(model.state_bytes()).unwrap_or(u64::MAX);
        self.n_bytes = self.n_bytes.saturating_sub(*held).saturating_add(n_bytes);
        *held = n_bytes;
        if self.n_bytes > self.max_bytes {
            let n_keys = self.models.len();
            let what = format!("line {line}: the detectors of {n_keys} keys don't fit any more");
            let hint = "raise `--max-memory`, or leave `--key` out for one detector over all rows";
            return Err(Wrong { what, hint: Some(hint.to_owned()) });
        }
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

    /// What it did, in words.
    pub fn summary(&self) -> String {
        let keys = match self.columns.key {
            Some(_) => format!(", of {} keys", self.models.len()),
            None => String::new(),
        };
        let Unread { n_cells, first } = &self.unread;
        let unread = match n_cells {
            0 => String::new(),
            _ => format!(
                "warning: {n_cells} cells can't be read and count as missing; the first is {first}\n"
            ),
        };
        format!("{} rows scored{keys}\n{unread}", self.n_rows)
    }
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
    let local = || {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(local)?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cells: &[&str]) -> StringRecord {
        StringRecord::from(cells)
    }

    fn wanted(drop: &[String]) -> Wanted<'_> {
        Wanted { drop, key: Some("who"), time: Some("at"), time_unit: TimeUnit::S }
    }

    #[test]
    fn columns_are_found_or_told() {
        let header = record(&["at", "who", "x", "y", "label"]);
        let drop = ["label".to_owned()];
        let columns = Columns::new(&header, &wanted(&drop)).unwrap();
        assert_eq!(columns.values, [("x".to_owned(), 2), ("y".to_owned(), 3)]);
        let drop = ["lable".to_owned()];
        let wrong = Columns::new(&header, &wanted(&drop)).unwrap_err();
        assert_eq!(wrong.what, "there is no column `lable`");
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `label`?"));
        let twice = record(&["x", "label", "label"]);
        let none = Wanted { key: None, time: None, ..wanted(&[]) };
        let wrong = Columns::new(&twice, &none).unwrap_err();
        assert_eq!(wrong.what, "two columns are named `label`");
        let drop = ["x", "y", "label"].map(str::to_owned);
        assert!(Columns::new(&header, &wanted(&drop)).is_err());
    }

    #[test]
    fn each_key_has_a_detector_of_its_own() {
        let header = record(&["at", "who", "x"]);
        let columns = Columns::new(&header, &wanted(&[])).unwrap();
        let scorer = |max_bytes| Scorer::new(columns.clone(), Options::default(), 0.999, max_bytes);
        let cells = |who: &str, n: usize| {
            record(&[&n.to_string(), who, &(if who == "b" { n % 7 } else { n % 3 }).to_string()])
        };
        let (mut alone, mut both, mut few) = (scorer(u64::MAX), scorer(u64::MAX), scorer(40_000));
        for n in 0..200 {
            let expected = alone.score(&cells("a", n), 1).unwrap();
            assert_eq!(both.score(&cells("a", n), 1).unwrap(), expected);
            assert_eq!(expected.state, if n < 32 { "warming" } else { "ok" });
            both.score(&cells("b", n), 1).unwrap();
        }
        let wrong = (0..1_000).find_map(|n| few.score(&cells(&format!("k{n}"), 0), 9).err());
        let wrong = wrong.expect("they don't fit");
        assert!(wrong.what.starts_with("line 9: the detectors of "), "{wrong:?}");
        let far = both.score(&record(&["2026-01-31 00:00:00", "a", "1e9"]), 9).unwrap();
        assert!(far.score > 0.999 && far.why.contains('x'), "{far:?}");
    }

    #[test]
    fn what_cant_be_read_is_missing_and_told() {
        let header = record(&["at", "who", "x", "y"]);
        let columns = Columns::new(&header, &wanted(&[])).unwrap();
        let mut scorer = Scorer::new(columns, Options::default(), 0.999, u64::MAX);
        for cells in [["1", "a", "", "2"], ["x", "a", "7", "NaN"], ["2", "a", "seven", "inf"]] {
            let scored = scorer.score(&record(&cells), 4).unwrap();
            assert!(scored.raw.is_finite() && scored.score.is_finite());
        }
        assert_eq!(
            scorer.summary(),
            "3 rows scored, of 1 keys\nwarning: 2 cells can't be read and count as missing; the first is `x` \
             in line 4, the time\n"
        );
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let expected = Some(1_396_310_700_000_000_000);
        for (text, unit) in [
            ("2014-04-01 00:05:00", TimeUnit::S),
            ("2014-04-01T00:05:00Z", TimeUnit::S),
            ("2014-04-01T02:05:00+02:00", TimeUnit::S),
            ("1396310700", TimeUnit::S),
            ("1396310700.0", TimeUnit::S),
            ("1396310700000", TimeUnit::Ms),
            ("1396310700000000", TimeUnit::Us),
            ("1396310700000000000", TimeUnit::Ns),
        ] {
            assert_eq!(nanos_of(text, unit), expected, "{text}");
        }
        assert_eq!(nanos_of("soon", TimeUnit::S), None);
        assert_eq!(nanos_of("9999999999999", TimeUnit::S), None);
    }
}
