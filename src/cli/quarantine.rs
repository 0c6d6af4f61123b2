//! `tapeline quarantine`: the rows of a run that couldn't be used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Map, Value};

use super::{Format, environment, put};
use crate::config::load;
use crate::data_dir::DataDir;
use crate::error::Error;

/// Shows the rows that the last run of a config set aside, and why; drops them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline quarantine list configs/demo.toml                        how many, by source and reason\n  \
    tapeline quarantine list configs/demo.toml --reason not_a_number  each of them\n  \
    tapeline quarantine show configs/demo.toml 3                      all that is known of the third\n  \
    tapeline quarantine drop configs/demo.toml                        forgets all of them\n\n\
    A row that is put right, in its file or by the config, enters with the next run. Rows that a database \
    refused stand behind those of sources; they are kept as long as their run can be gone on with.")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Counts the rows by source and reason, and lists them.
    List {
        /// The config of the run.
        config: PathBuf,
        /// Only rows that were set aside for this reason.
        #[arg(long)]
        reason: Option<String>,
        /// Only rows of this source, or that this sink couldn't deliver.
        #[arg(long)]
        source: Option<String>,
        /// How many are listed at most.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// How to show them; as JSON, a line each.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Shows all that is known of one row.
    Show {
        /// The config of the run.
        config: PathBuf,
        /// Its number in the list, from 1.
        number: usize,
    },
    /// Forgets all rows of sources. No engine may run meanwhile.
    Drop {
        /// The config of the run.
        config: PathBuf,
    },
}

/// Does what is asked.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    match &arguments.verb {
        Verb::List { config, reason, source, limit, format } => {
            let is_wanted = |row: &Row| {
                let is = |wanted: &Option<String>, found: String| {
                    wanted.as_ref().is_none_or(|wanted| found == *wanted)
                };
                is(reason, row.text("reason")) && is(source, row.origin())
            };
            let mut found = Found::default();
            read_all(&file(config)?, |row| {
                if is_wanted(&row) {
                    found.take(row, *limit);
                }
                Ok(())
            })?;
            put(&found.write(*format))
        }
        Verb::Show { config, number } => {
            let path = file(config)?;
            let (mut shown, mut n_rows) = (None, 0);
            read_all(&path, |row| {
                n_rows = row.number;
                if row.number == *number {
                    shown = Some(row);
                }
                Ok(())
            })?;
            let row = shown.ok_or_else(|| Error::Findings {
                found: format!("there is no row {number}: {} holds {n_rows}", path.display()),
            })?;
            put(&row.whole())
        }
        Verb::Drop { config } => {
            let path = file(config)?;
            // Whoever runs there is still writing it.
            let _held =
                path.parent().filter(|folder| folder.exists()).map(DataDir::take).transpose()?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(Error::io(format!("removing {}", path.display()), error))
                }
                _ => Ok(()),
            }
        }
    }
}

/// The quarantine file of a config's runs.
fn file(config: &Path) -> Result<PathBuf, Error> {
    Ok(load(config, &environment)?.pipeline.data_dir.join("quarantine.jsonl"))
}

/// A row that was set aside.
#[derive(Debug)]
struct Row {
    /// Its place in the file, from 1.
    number: usize,
    fields: Map<String, Value>,
}

/// Reads all rows of a file, and behind them those that sinks have set aside.
fn read_all(path: &Path, mut take: impl FnMut(Row) -> Result<(), Error>) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("sinks");
    let mut paths = vec![path.to_owned()];
    match std::fs::read_dir(&folder) {
        Ok(sinks) => {
            paths.extend(sinks.flatten().map(|sink| sink.path().join("quarantine.jsonl")));
        }
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
fn read(
    path: &Path,
    number: &mut usize,
    take: &mut impl FnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error| Error::io(format!("reading {}", path.display()), error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    for (line_number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line: String = line.map_err(failed)?;
        let fields = serde_json::from_str(&line).map_err(|error| {
            Error::io(format!("reading {}, line {line_number}", path.display()), error.into())
        })?;
        *number += 1;
        take(Row { number: *number, fields })?;
    }
    Ok(())
}

impl Row {
    /// A field as text; nothing for null.
    fn text(&self, key: &str) -> String {
        match self.fields.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The source that it came from, or the sink that couldn't deliver it.
    fn origin(&self) -> String {
        let source = self.text("source");
        if source.is_empty() { self.text("sink") } else { source }
    }

    /// Where it stands in its file, or stood in its view.
    fn place(&self) -> String {
        if self.fields.contains_key("sink") {
            return format!("{} at epoch {}", self.text("view"), self.text("epoch"));
        }
        format!("{}:{}", self.text("path"), self.text("line"))
    }

    fn whole(&self) -> String {
        let width = self.fields.keys().map(String::len).max().unwrap_or(0);
        let line = |(key, _): (&String, &Value)| format!("{key:width$}  {}\n", self.text(key));
        self.fields.iter().filter(|(_, value)| !value.is_null()).map(line).collect()
    }
}

/// What a list shows.
#[derive(Debug, Default)]
struct Found {
    counts: BTreeMap<(String, String), u64>,
    rows: Vec<Row>,
}

impl Found {
    fn take(&mut self, row: Row, limit: usize) {
        *self.counts.entry((row.origin(), row.text("reason"))).or_default() += 1;
        if self.rows.len() < limit {
            self.rows.push(row);
        }
    }

    fn write(self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.rows.into_iter().map(json).collect(),
        }
    }

    fn text(&self) -> String {
        if self.rows.is_empty() && self.counts.is_empty() {
            return "no rows in quarantine\n".to_owned();
        }
        let mut counts = table(&["source", "reason", "rows"]);
        for ((source, reason), n) in &self.counts {
            counts.add_row([source, reason, &n.to_string()]);
        }
        let mut rows = table(&["number", "place", "reason", "column", "detail"]);
        for row in &self.rows {
            let place = row.place();
            let (reason, column) = (row.text("reason"), row.text("column"));
            rows.add_row([row.number.to_string(), place, reason, column, row.text("detail")]);
        }
        let n_rows: u64 = self.counts.values().sum();
        let n_more = n_rows.saturating_sub(u64::try_from(self.rows.len()).unwrap_or(u64::MAX));
        let more = if n_more == 0 { String::new() } else { format!("and {n_more} more\n") };
        format!("{}\n\n{}\n{more}", counts.trim_fmt(), rows.trim_fmt())
    }
}

/// A row as it stands, with its number.
fn json(row: Row) -> String {
    let mut fields = row.fields;
    fields.insert("number".to_owned(), row.number.into());
    format!("{}\n", Value::Object(fields))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(header);
    table
}
