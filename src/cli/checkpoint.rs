//! `tapeline checkpoint`: what a run can go on from.

use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::{Format, environment, put};
use crate::checkpoint::{Found, Manifest, Store};
use crate::config::load;
use crate::data_dir;
use crate::env::{Env as _, System};
use crate::error::Error;

/// Shows and checks the checkpoints that a config's run has made (`journal = "events"`).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline checkpoint list configs/demo.toml     what there is, the newest first\n  \
    tapeline checkpoint verify configs/demo.toml   reads all of it, and compares checksums\n\n\
    A run that goes on takes the newest one that is whole, by itself. An engine may run meanwhile.")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Lists the checkpoints, the newest first.
    List {
        /// The config of the run.
        config: PathBuf,
        /// How to show them; as JSON, a line each.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Reads all files of all checkpoints. Exit code 1 where one isn't as it was written.
    Verify {
        /// The config of the run.
        config: PathBuf,
        /// How to show them; as JSON, a line each.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Does what is asked.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let (config, format, is_verified) = match &arguments.verb {
        Verb::List { config, format } => (config, *format, false),
        Verb::Verify { config, format } => (config, *format, true),
    };
    let Some(store) = store(config)? else {
        return put(if format == Format::Text { NONE } else { "" });
    };
    let shown: Vec<Shown> =
        store.list()?.into_iter().map(|found| Shown::of(&store, found, is_verified)).collect();
    put(&match format {
        Format::Json => shown.iter().map(Shown::json).collect(),
        Format::Text if shown.is_empty() => NONE.to_owned(),
        Format::Text => text(&shown),
    })?;
    match shown.iter().filter(|shown| shown.flaw.is_some()).count() {
        0 => Ok(()),
        n => {
            let found = format!("{n} of {} checkpoints can't be used", shown.len());
            Err(Error::Findings { found })
        }
    }
}

const NONE: &str = "no checkpoints: a run makes them with journal = \"events\"\n";

/// The checkpoints of a config's run; none where it has made no folder for them.
fn store(config: &Path) -> Result<Option<Store>, Error> {
    let folder = data_dir::checkpoints(&load(config, &environment)?.pipeline.data_dir);
    if !folder.exists() {
        return Ok(None);
    }
    let files = System.files(&folder);
    let files = files.map_err(|e| Error::io(format!("opening {}", folder.display()), e))?;
    Ok(Some(Store::new(files)))
}

/// A checkpoint, and what is wrong with it.
struct Shown {
    path: PathBuf,
    manifest: Option<Manifest>,
    flaw: Option<String>,
}

impl Shown {
    fn of(store: &Store, found: Found, is_verified: bool) -> Self {
        let Found { path, manifest } = found;
        let (manifest, mut flaw) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(what) => (None, Some(what)),
        };
        if let Some(manifest) = manifest.as_ref().filter(|_| is_verified) {
            flaw = store.verify(manifest).err().map(|error| error.in_full());
        }
        Self { path, manifest, flaw }
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn json(&self) -> String {
        let of = |manifest: &Manifest| {
            json!({
                "manifest": self.path.display().to_string(),
                "epoch": manifest.epoch,
                "watermark": manifest.watermark,
                "events": manifest.n_events(),
                "superseded": manifest.n_superseded(),
                "received": manifest.counts.received,
                "runs": manifest.runs.len(),
                "bytes": manifest.n_bytes(),
                "log_from": manifest.next_record,
                "engine": manifest.engine,
                "flaw": self.flaw,
            })
        };
        let unread = || json!({ "manifest": self.path.display().to_string(), "flaw": self.flaw });
        format!("{}\n", self.manifest.as_ref().map_or_else(unread, of))
    }
}

fn text(shown: &[Shown]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["epoch", "rows read", "events", "runs", "bytes", "log from", "state"]);
    for shown in shown {
        let state = shown.flaw.clone().unwrap_or_else(|| "whole".to_owned());
        match &shown.manifest {
            Some(manifest) => table.add_row([
                manifest.epoch.to_string(),
                manifest.counts.received.to_string(),
                manifest.n_events().to_string(),
                manifest.runs.len().to_string(),
                manifest.n_bytes().to_string(),
                format!("record {}", manifest.next_record),
                state,
            ]),
            None => table.add_row([shown.name(), state]),
        };
    }
    format!("{}\n", table.trim_fmt())
}
