//! `tapeline test CONFIG...`

use std::path::PathBuf;

use super::{Format, environment, put, say};
use crate::config::load_for_test;
use crate::error::Error;
use crate::testing::{self, Tested, counted, named};

/// Runs the tests that configs carry. Opens no data and no connection.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline test configs/demo.toml\n  \
    tapeline test configs/*.toml             several, each on its own\n  \
    tapeline test pipelines/hyperliquid      a folder: all its .toml files are one config")]
pub(super) struct Args {
    /// Config files, or folders whose .toml files are one config.
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// How the results are written: lines for people, or a JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints a line for each test that holds, and what is wrong with each that doesn't.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let mut broken = Vec::new();
    let (mut n_tests, mut n_failed) = (0_u64, 0_u64);
    for path in &arguments.configs {
        let plan = match load_for_test(path, &environment) {
            Ok(plan) => plan,
            Err(error) => {
                broken.push(error);
                continue;
            }
        };
        if plan.tests.is_empty() {
            say(&format!("{}: no tests\n", path.display()));
        }
        for tested in testing::run(plan) {
            n_tests += 1;
            n_failed += u64::from(!tested.failures.is_empty());
            put(&match arguments.format {
                Format::Text => text(&tested),
                Format::Json => json(&tested),
            })?;
        }
    }
    let summary = match arguments.format {
        Format::Text => format!("{n_tests} tests: {} ok, {n_failed} failed\n", n_tests - n_failed),
        Format::Json => {
            let summary = serde_json::json!({ "tests": n_tests, "failed": n_failed });
            format!("{summary}\n")
        }
    };
    // Where no config could be read there is nothing to sum up.
    if broken.len() < arguments.configs.len() {
        put(&summary)?;
    }
    // All but the last are told here, the last by whoever called.
    if let Some(last) = broken.pop() {
        for error in broken {
            say(&super::told(&Error::Config(error)));
        }
        return Err(Error::Config(last));
    }
    if n_failed > 0 {
        return Err(Error::Findings { found: format!("{n_failed} of {n_tests} tests failed") });
    }
    Ok(())
}

/// A line if the test holds; else its place and what is wrong.
fn text(tested: &Tested) -> String {
    let Tested { name, path, line, ways, failures } = tested;
    if failures.is_empty() {
        return format!("ok   {path}: {name} ({})\n", counted(ways));
    }
    let mut lines = vec![format!("FAIL {path}:{line}: {name}")];
    for failure in failures {
        lines.push(format!("     {}:", named(&failure.ways)));
        lines.extend(failure.lines.iter().map(|line| format!("       {line}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn json(tested: &Tested) -> String {
    let failure = |failure: &testing::Failure| serde_json::json!({ "ways": named(&failure.ways), "lines": failure.lines });
    let value = serde_json::json!({
        "config": tested.path,
        "line": tested.line,
        "name": tested.name,
        "ok": tested.failures.is_empty(),
        "ways": counted(&tested.ways),
        "failures": tested.failures.iter().map(failure).collect::<Vec<_>>(),
    });
    format!("{value}\n")
}
