//! `tapeline validate CONFIG...`

use std::path::PathBuf;

use super::{environment, is_colored, put, say};
use crate::config::message::{Weight, render};
use crate::config::{ConfigError, EnginePlan, load};
use crate::error::Error;

/// Finds every mistake in configs. Opens no data and no connection.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline validate configs/demo.toml\n  \
    tapeline validate configs/*.toml         several, each on its own\n  \
    tapeline validate pipelines/hyperliquid  a folder: all its .toml files are one config")]
pub(super) struct Args {
    /// Config files, or folders whose .toml files are one config.
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
}

/// Prints a line for each good config; tells all problems of all others.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let mut failed = Vec::new();
    for path in &arguments.configs {
        match load(path, &environment) {
            Ok(plan) => {
                say(&render(&plan.texts, &plan.warnings, Weight::Warning, is_colored()));
                put(&format!("{}: ok, {}\n", path.display(), summary(&plan)))?;
            }
            Err(error) => failed.push(error),
        }
    }
    // All but the last are told here, the last by whoever called.
    let last = failed.pop();
    for error in failed {
        say(&super::told(&Error::Config(error)));
    }
    last.map_or(Ok(()), |error: ConfigError| Err(Error::Config(error)))
}

/// What a config holds: `3 sources, 4 views, 1 alert, 2 sinks, 2 tests`.
fn summary(plan: &EnginePlan) -> String {
    let counted = [
        (plan.sources.len(), "source"),
        (plan.n_views, "view"),
        (plan.n_alerts, "alert"),
        (plan.sinks.len(), "sink"),
        (plan.tests.len(), "test"),
    ];
    let one = |(n, what): (usize, &str)| match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    counted.map(one).join(", ")
}
