//! `tapeline quarantine`: the rows of a run that couldn't be used.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::{Format, environment, put};
use crate::config::load;
use crate::data_dir::DataDir;
use crate::env::System;
use crate::error::Error;
use crate::quarantine::{self, Found, Row, Wanted};

/// Shows the rows that the last run of a config set aside, and why; replays or drops them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline quarantine list configs/demo.toml                        how many, by source and reason\n  \
    tapeline quarantine list configs/demo.toml --reason not_a_number  each of them\n  \
    tapeline quarantine show configs/demo.toml 3                      all that is known of the third\n  \
    tapeline quarantine replay configs/demo.toml 3 --with '..'        lets it enter, put right\n  \
    tapeline quarantine drop configs/demo.toml                        forgets all of them\n\n\
    A row that is put right, in its file, by the config or by `replay`, enters with the next start. Rows that \
    a database refused stand behind those of sources; they are kept as long as their run can be gone on with.")]
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
    Replay(super::replay::Args),
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
            let (reason, source, limit) = (reason.clone(), source.clone(), *limit);
            let found = quarantine::list(&file(config)?, &Wanted { reason, source, limit })?;
            put(&match format {
                Format::Text => text(&found),
                Format::Json => {
                    let lines: Vec<String> =
                        found.rows.into_iter().map(|row| row.json().to_string() + "\n").collect();
                    lines.concat()
                }
            })
        }
        Verb::Show { config, number } => {
            let path = file(config)?;
            let row = quarantine::find(&path, *number)?.map_err(|n_rows| Error::Findings {
                found: format!("there is no row {number}: {} holds {n_rows}", path.display()),
            })?;
            put(&whole(&row))
        }
        Verb::Replay(arguments) => super::replay::run(arguments),
        Verb::Drop { config } => {
            let path = file(config)?;
            // Whoever runs there is still writing it.
            let folder = path.parent().filter(|folder| folder.exists());
            let take = |folder| DataDir::take(folder, Arc::new(System));
            let _held = folder.map(take).transpose()?;
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
    Ok(load(config, &environment)?.pipeline.data_dir.join(quarantine::FILE))
}

/// All that is known of a row.
fn whole(row: &Row) -> String {
    let width = row.fields.keys().map(String::len).max().unwrap_or(0);
    let line = |(key, _): (&String, &Value)| format!("{key:width$}  {}\n", row.text(key));
    row.fields.iter().filter(|(_, value)| !value.is_null()).map(line).collect()
}

/// A table of the counts, and one of the rows.
fn text(found: &Found) -> String {
    if found.rows.is_empty() && found.counts.is_empty() {
        return "no rows in quarantine\n".to_owned();
    }
    let mut counts = table(&["source", "reason", "rows"]);
    for ((source, reason), n) in &found.counts {
        counts.add_row([source, reason, &n.to_string()]);
    }
    let mut rows = table(&["number", "place", "reason", "column", "detail"]);
    for row in &found.rows {
        let (reason, column) = (row.text("reason"), row.text("column"));
        rows.add_row([row.number.to_string(), row.place(), reason, column, row.text("detail")]);
    }
    let n_rows: u64 = found.counts.values().sum();
    let n_more = n_rows.saturating_sub(u64::try_from(found.rows.len()).unwrap_or(u64::MAX));
    let more = if n_more == 0 { String::new() } else { format!("and {n_more} more\n") };
    format!("{}\n\n{}\n{more}", counts.trim_fmt(), rows.trim_fmt())
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(header);
    table
}
