//! Configs and the messages they get: every folder of `tests/golden/config` holds a `config.toml` and
//! what is told of it. `UPDATE=1` rewrites what is told; read the difference.
//!
//! The operators, sources and sinks are of this test, so that messages don't move with options
//! elsewhere.

mod compiled;
mod damaged;
mod parts;
mod plans;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use tapeline::config::message::{Weight, render};
use tapeline::config::{ConfigError, EnginePlan, Purpose, load_with};

use parts::registry;

/// The environment of all tests here.
pub(crate) fn environment(name: &str) -> Option<String> {
    (name == "TAPES").then(|| "/tapes".to_owned())
}

#[test]
fn every_wrong_config_gets_its_messages() {
    let mut folders: Vec<PathBuf> = fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 15, "{} kinds of mistakes", folders.len());
    let mut different = String::new();
    for folder in folders {
        let told = told(&folder);
        let expected_path = folder.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &told).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if told != expected {
            writeln!(different, "{}:\n{told}", expected_path.display()).unwrap();
        }
    }
    assert!(different.is_empty(), "run with UPDATE=1 and read the difference\n{different}");
}

/// What is told of the config in a folder.
fn told(folder: &Path) -> String {
    let whole = folder.join("config");
    let path = if whole.is_dir() { whole } else { folder.join("config.toml") };
    let text = match load_with(&path, &environment, &registry(), Purpose::Run) {
        Ok(plan) => format!("{}ok\n", warnings(&plan)),
        Err(ConfigError::Problems { texts, problems }) => {
            render(&texts, &problems, Weight::Error, false)
        }
        Err(error) => format!("{error}\n"),
    };
    // What is told mustn't hold the place of this checkout.
    let shown = format!("{}/", folder.display());
    text.replace(&shown, "")
}

fn warnings(plan: &EnginePlan) -> String {
    render(&plan.texts, &plan.warnings, Weight::Warning, false)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config")
}
