//! `tapeline quarantine replay`: rows that couldn't be used, put right.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::replayed::ReplayedRow;

use super::{environment, put};
use crate::config::{EnginePlan, load};
use crate::data_dir::DataDir;
use crate::env::System;
use crate::error::Error;
use crate::quarantine::{self, Row};
use crate::replayed::{self, Outcome, Trial};

/// Lets rows of sources enter that couldn't be used, with the next start and all that follow.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline quarantine replay c.toml 3 --with '7,ann,buy,0.5,10'  the third, put right\n  \
    tapeline quarantine replay c.toml 4 5 6 --dry-run              can these be used as they are?\n  \
    tapeline quarantine replay c.toml --reason not_a_number        those of this reason that can be used now\n\n\
    Each row is tried at once with the config as it is; one that still can't be used is told, isn't taken, and \
    the exit code is 1. The others are kept in `replayed/` in the data directory, as a file a call. Every run \
    reads them there, behind all files, each as if it stood at its place in its file: what comes out is as if it \
    always had been right there, but for rows that contend for one identity: the first stands, and these come \
    last. That it couldn't be used is told again whenever its file is read.\n\n\
    To take rows back, remove their file in `replayed/` and start with `--fresh`, which keeps the others. A row \
    of a database goes by what refused it, one that crashes the engine by a version that doesn't.")]
#[command(override_usage = "tapeline quarantine replay [OPTIONS] <CONFIG> [NUMBER]...")]
#[command(group = clap::ArgGroup::new("chosen").required(true).multiple(true))]
pub(super) struct Args {
    /// The config of the run.
    config: PathBuf,
    /// Their numbers in the list, from 1. At least one of these, `--reason` and `--source` is needed; a row must
    /// meet all that are given.
    #[arg(group = "chosen", value_name = "NUMBER")]
    numbers: Vec<usize>,
    /// All that were set aside for this reason.
    #[arg(long, group = "chosen")]
    reason: Option<String>,
    /// All of this source.
    #[arg(long, group = "chosen")]
    source: Option<String>,
    /// The one chosen row as it should stand in its file.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    with: Option<String>,
    /// Says what would be taken, and keeps nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Does it.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let plan = load(&arguments.config, &environment)?;
    let folder = &plan.pipeline.data_dir;
    let dir = folder.exists().then(|| DataDir::take(folder, Arc::new(System))).transpose()?;
    let rows = choose(arguments, &folder.join(quarantine::FILE))?;
    if rows.is_empty() {
        return put("no rows in quarantine are of that reason and source\n");
    }
    let tried = attempt(arguments, &plan, &rows)?;
    let n_taken = tried.taken.len();
    if n_taken > 0 && !arguments.dry_run {
        let Some(dir) = &dir else { return Ok(()) };
        let batch = replayed::append(dir, &tried.taken)?;
        put(&format!("{}, in {}\n", enter(n_taken, "enter"), batch.display()))?;
    } else {
        let how = if arguments.dry_run { "would enter" } else { "enter" };
        put(&format!("{}\n", enter(n_taken, how)))?;
    }
    match tried.n_refused {
        0 => Ok(()),
        n => Err(Error::Findings { found: format!("{n} of {} rows aren't taken", rows.len()) }),
    }
}

fn enter(n_rows: usize, how: &str) -> String {
    let (rows, how) = match (n_rows, how) {
        (1, "enter") => ("row", "enters"),
        (1, how) => ("row", how),
        (_, how) => ("rows", how),
    };
    format!("{n_rows} {rows} {how} with the next start")
}

/// The rows that are asked for.
fn choose(arguments: &Args, path: &Path) -> Result<Vec<Row>, Error> {
    let Args { numbers, reason, source, with, .. } = arguments;
    let mut chosen = Vec::new();
    let (mut n_rows, mut n_bytes) = (0, 0usize);
    quarantine::read_all(path, |row| {
        n_rows = row.number;
        let is = |wanted: &Option<String>, found: String| {
            wanted.as_ref().is_none_or(|wanted| *wanted == found)
        };
        let is_chosen = (numbers.is_empty() || numbers.contains(&row.number))
            && is(reason, row.text("reason"))
            && is(source, row.origin());
        if is_chosen {
            n_bytes += row.text("bytes").len() + row.text("bytes_base64").len() + ROW_BYTES;
            if n_bytes <= BATCH_BYTES_MAX {
                chosen.push(row);
            }
        }
    })?;
    let wrong = |doing: String, hint: &str| Error::Usage { doing, hint: Some(hint.to_owned()) };
    if let Some(missing) = numbers.iter().find(|number| **number == 0 || **number > n_rows) {
        let found = format!("there is no row {missing}: {} holds {n_rows}", path.display());
        return Err(Error::Findings { found });
    }
    if n_bytes > BATCH_BYTES_MAX {
        let doing = format!("replaying more than {} MiB at once", BATCH_BYTES_MAX >> 20);
        return Err(wrong(doing, "choose fewer rows, by source, reason or their numbers"));
    }
    if with.is_some() && chosen.len() != 1 {
        let doing = format!("replaying {} rows with one text", chosen.len());
        return Err(wrong(doing, "`--with` is for one row: give its number"));
    }
    Ok(chosen)
}

/// Bytes of chosen rows at most: they are held in memory.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// What a row takes beside its bytes, about.
const ROW_BYTES: usize = 256;

/// What trying rows has come to.
struct Tried {
    /// Those that can be used, in order.
    taken: Vec<ReplayedRow>,
    n_refused: usize,
}

/// Tries rows; tells of each that isn't taken.
fn attempt(arguments: &Args, plan: &EnginePlan, rows: &[Row]) -> Result<Tried, Error> {
    let mut trial = Trial::new(plan, rows)?;
    let (mut taken, mut n_refused) = (Vec::new(), 0);
    for row in rows {
        let why = match trial.judge(row, arguments.with.as_deref())? {
            Outcome::Taken(row) => {
                taken.push(row);
                continue;
            }
            Outcome::Before(batch) => format!("it is replayed already, in {}", batch.display()),
            Outcome::Refused(why) => {
                n_refused += 1;
                why
            }
        };
        put(&format!("row {}, {}: {why}\n", row.number, row.place()))?;
    }
    taken.sort();
    Ok(Tried { taken, n_refused })
}
