//! A folder of a test's own: a config is run in it, and what it wrote is read back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value as Json;
use tapeline::config::{self, ConfigError};
use tapeline::engine::{self, Begin, RunOptions, Summary};
use tapeline::stop::Stop;

/// A row of a CSV file.
pub(crate) type CsvRow = BTreeMap<String, String>;

/// See the module.
pub(crate) struct Work {
    folder: tempfile::TempDir,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the config there and runs it to its end.
    pub(crate) fn run(&self, text: &str) -> Summary {
        let path = self.path().join("config.toml");
        fs::write(&path, text).unwrap();
        self.run_file("config.toml")
    }

    /// Runs a config that stands there.
    pub(crate) fn run_file(&self, name: &str) -> Summary {
        let plan = match config::load(&self.path().join(name), &|_| None) {
            Ok(plan) => plan,
            Err(ConfigError::Problems { problems, .. }) => panic!("{problems:#?}"),
            Err(error) => panic!("{error}"),
        };
        let options = RunOptions {
            env: std::sync::Arc::new(tapeline::env::System),
            stop: Stop::new(),
            begin: Begin::GoOn,
            n_newest: 0,
            progress: &mut |_| {},
            listening: &mut |_| {},
            hold: &mut |_| {},
        };
        let summary = engine::run(plan, options).unwrap();
        let counts = summary.counts;
        assert_eq!(counts.received, counts.applied + counts.duplicate + counts.quarantined);
        summary
    }

    /// A file's text.
    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// The lines of a JSON lines file.
    pub(crate) fn lines(&self, path: &str) -> Vec<Json> {
        self.text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The bytes of a file, unpacked.
pub(crate) fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The rows of a packed CSV file.
pub(crate) fn csv_rows(path: &Path) -> Vec<CsvRow> {
    csv_rows_of(&unpacked(path))
}

/// The rows of a CSV text.
pub(crate) fn csv_rows_of(bytes: &[u8]) -> Vec<CsvRow> {
    csv::Reader::from_reader(bytes).deserialize().map(Result::unwrap).collect()
}

/// A text column of a JSON row.
pub(crate) fn column<'a>(row: &'a Json, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("`{name}` of {row}"))
}
