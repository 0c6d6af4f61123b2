//! The rows of a run that couldn't be used, as its quarantine file holds them: counted, filtered, shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Error;

/// The file in a data directory.
pub(crate) use connectors::quarantine::FILE;

/// A row that was set aside.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its place in the file, from 1.
    pub(crate) number: usize,
    /// What is known of it.
    pub(crate) fields: Map<String, Value>,
}

/// Reads all rows of a file, and behind them those that sinks have set aside.
///
/// # Errors
/// If a file can't be read.
pub(crate) fn read_all(path: &Path, mut take: impl FnMut(Row)) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("sinks");
    let mut paths = vec![path.to_owned()];
    match std::fs::read_dir(&folder) {
        Ok(sinks) => paths.extend(sinks.flatten().map(|sink| sink.path().join(FILE))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(format!("reading {}", folder.display()), error)),
    }
    if let Some((_, of_sinks)) = paths.split_first_mut() {
        of_sinks.sort();
    }
    let mut number = 0;
    paths.iter().try_for_each(|path| read(path, &mut number, &mut take))
}

/// Reads all rows of a file; none where it isn't there.
fn read(path: &Path, number: &mut usize, take: &mut impl FnMut(Row)) -> Result<(), Error> {
    let failed = |error| Error::io(format!("reading {}", path.display()), error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    let (mut lines, mut line) = (BufReader::new(file), String::new());
    for line_number in 1.. {
        line.clear();
        lines.read_line(&mut line).map_err(failed)?;
        if !line.ends_with('\n') {
            // The end, or a row that is being written.
            break;
        }
        let fields = serde_json::from_str(&line).map_err(|error| {
            Error::io(format!("reading {}, line {line_number}", path.display()), error.into())
        })?;
        *number += 1;
        take(Row { number: *number, fields });
    }
    Ok(())
}

impl Row {
    /// A field as text; nothing for null.
    pub(crate) fn text(&self, key: &str) -> String {
        match self.fields.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The source that it came from, the sink that couldn't deliver it, or the relation whose event it is.
    pub(crate) fn origin(&self) -> String {
        let texts = ["source", "sink", "relation"].map(|key| self.text(key));
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// Where it stands in its file, or stood in its view.
    pub(crate) fn place(&self) -> String {
        if self.fields.contains_key("sink") {
            return format!("{} at epoch {}", self.text("view"), self.text("epoch"));
        }
        if self.fields.contains_key("relation") {
            return format!("{} at epoch {}", self.text("relation"), self.text("epoch"));
        }
        format!("{}:{}", self.text("path"), self.text("line"))
    }

    /// The row as it stands, with its number.
    pub(crate) fn json(mut self) -> Value {
        self.fields.insert("number".to_owned(), self.number.into());
        Value::Object(self.fields)
    }
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Those that were set aside for this reason.
    pub(crate) reason: Option<String>,
    /// Those of this source or sink.
    pub(crate) source: Option<String>,
    /// How many are listed at most.
    pub(crate) limit: usize,
}

/// What a list shows.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many, by source and reason.
    pub(crate) counts: BTreeMap<(String, String), u64>,
    /// The first of them.
    pub(crate) rows: Vec<Row>,
}

impl Found {
    fn take(&mut self, row: Row, limit: usize) {
        *self.counts.entry((row.origin(), row.text("reason"))).or_default() += 1;
        if self.rows.len() < limit {
            self.rows.push(row);
        }
    }
}

/// Counts and lists the rows of a file, and those that sinks have set aside, that are wanted.
///
/// # Errors
/// If the file can't be read.
pub(crate) fn list(path: &Path, wanted: &Wanted) -> Result<Found, Error> {
    let is = |wanted: &Option<String>, found: String| {
        wanted.as_ref().is_none_or(|wanted| found == *wanted)
    };
    let mut found = Found::default();
    read_all(path, |row| {
        if is(&wanted.reason, row.text("reason")) && is(&wanted.source, row.origin()) {
            found.take(row, wanted.limit);
        }
    })?;
    Ok(found)
}

/// A row by its number, from 1; else how many there are.
///
/// # Errors
/// If the file can't be read.
pub(crate) fn find(path: &Path, number: usize) -> Result<Result<Row, usize>, Error> {
    let (mut found, mut n_rows) = (None, 0);
    read_all(path, |row| {
        n_rows = row.number;
        if row.number == number {
            found = Some(row);
        }
    })?;
    Ok(found.ok_or(n_rows))
}
