//! Files with rows that can't be used, the same with some of them put right, and runs over either.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;

use connectors::replayed::{ReplayedRow, write};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::program::{Ended, Folder, tapeline};

/// Two CSV files by a pattern, one of them gzip, whose ids are places and whose venues are their names; a
/// third whose ids are mapped, and JSON lines.
const CONFIG: &str = r#"
[pipeline]
name = "replayed"
data_dir = "state"
workers = WORKERS
journal = "JOURNAL"
epoch = { max_events = 4 }

[sources.places]
type = "csv"
path = "in/p*.csv*"
relation = "fills"
order = "ORDER"
[sources.places.columns]
venue = { file = "stem" }
event_time = "time"

[sources.ids]
type = "csv"
path = "in/ids.csv"
relation = "fills"
[sources.ids.columns]
venue = { constant = "v" }
id = "id"
event_time = "time"

[sources.lines]
type = "jsonl"
path = "in/lines.jsonl"
relation = "fills"
[sources.lines.columns]
venue = { constant = "w" }
id = "id"
event_time = "time"

[views.positions]
op = "avg_cost"
input = "fills"

[views.all]
op = "filter"
input = "fills"
where = "size > 0"

[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h"]

[sinks.final]
type = "jsonl"
path = "out/"
mode = "final"

[sinks.changes]
type = "jsonl"
path = "changes/"
mode = "changes"
sync_bytes = "100B"
views = ["positions"]
"#;

/// A row of a file: as it should stand there, and how it stands there instead.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) right: String,
    pub(super) wrong: Option<String>,
}

/// The files of a test: source, path and rows of each.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) Vec<(&'static str, &'static str, Vec<Line>)>);

/// How a config runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) workers: usize,
    pub(super) journal: &'static str,
    pub(super) order: &'static str,
}

pub(super) const PLAIN: How = How { workers: 1, journal: "positions", order: "arrival" };

/// The files, and the header of each CSV.
pub(super) const PATHS: [(&str, &str, &str); 4] = [
    ("places", "in/p1.csv", "wallet,asset,side,price,size,time\n"),
    ("places", "in/p2.csv.gz", "time,size,price,side,asset,wallet\n"),
    ("ids", "in/ids.csv", "id,wallet,asset,side,price,size,time\n"),
    ("lines", "in/lines.jsonl", ""),
];

impl Line {
    pub(super) fn right(right: &str) -> Self {
        Self { right: right.to_owned(), wrong: None }
    }

    pub(super) fn wrong(wrong: &str, right: &str) -> Self {
        Self { right: right.to_owned(), wrong: Some(wrong.to_owned()) }
    }
}

impl Files {
    /// The rows that stand there wrong: which file, and which of its rows, from 0.
    pub(super) fn wrong(&self) -> Vec<(usize, usize)> {
        let of_file = |(file, (.., lines)): (usize, &(_, _, Vec<Line>))| {
            let is_wrong = |row: &usize| lines[*row].wrong.is_some();
            (0..lines.len()).filter(is_wrong).map(move |row| (file, row)).collect::<Vec<_>>()
        };
        self.0.iter().enumerate().flat_map(of_file).collect()
    }

    /// The files with some of their rows put right.
    pub(super) fn repaired(&self, which: &[(usize, usize)]) -> Self {
        let mut repaired = self.clone();
        for (file, row) in which {
            repaired.0[*file].2[*row].wrong = None;
        }
        repaired
    }

    /// Writes files and config into a folder.
    pub(super) fn write(&self, folder: &Folder, how: How) {
        let config = CONFIG
            .replace("WORKERS", &how.workers.to_string())
            .replace("JOURNAL", how.journal)
            .replace("ORDER", how.order);
        folder.write("c.toml", config);
        for (_, path, lines) in &self.0 {
            let (.., header) = PATHS.iter().find(|(_, known, _)| known == path).unwrap();
            let mut text = (*header).to_owned();
            for line in lines {
                text.extend([line.wrong.as_ref().unwrap_or(&line.right), "\n"]);
            }
            if *path == "in/p2.csv.gz" {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text.as_bytes()).unwrap();
                folder.write(path, encoder.finish().unwrap());
            } else {
                folder.write(path, text);
            }
        }
    }

    /// A folder with them.
    pub(super) fn folder(&self, how: How) -> Folder {
        let folder = Folder::new();
        self.write(&folder, how);
        folder
    }

    /// What a run over them writes.
    pub(super) fn given(&self, how: How) -> BTreeMap<String, String> {
        let folder = self.folder(how);
        folder.run(&["run", "c.toml"]).with(0);
        given(&folder)
    }

    /// Adds rows put right as one batch, as `quarantine replay` does.
    pub(super) fn replay(&self, folder: &Folder, which: &[(usize, usize)], number: usize) {
        let row = |(file, row): &(usize, usize)| {
            let (source, path, lines) = &self.0[*file];
            let number = u64::try_from(row + 1).unwrap();
            ReplayedRow {
                source: (*source).to_owned(),
                path: (*path).to_owned(),
                row: number,
                line: number,
                bytes: lines[*row].right.clone().into_bytes(),
            }
        };
        let mut rows: Vec<ReplayedRow> = which.iter().map(row).collect();
        rows.sort();
        folder.write(&format!("state/replayed/{number:06}.jsonl"), write(&rows));
    }
}

/// The final files of a folder.
pub(super) fn given(folder: &Folder) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder.path("out")).unwrap();
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let files: BTreeMap<String, String> = entries.map(file).collect();
    assert!(files.len() >= 5 && !files["all.jsonl"].is_empty(), "{:?}", files.keys());
    files
}

/// Starts the program, to end at a fail point if there is one, with a safeguard out if one is to be.
pub(super) fn start(folder: &Folder, fail: Option<&str>, out: Option<&str>) -> Ended {
    let mut command: Command = tapeline();
    command.args(["run", "c.toml", "--format", "json"]);
    command.envs(fail.map(|point| ("TAPELINE_FAIL", point)));
    command.envs(out.map(|name| ("TAPELINE_SABOTAGE", name)));
    folder.end(&mut command)
}

/// Whether a start went on with a run that was interrupted.
pub(super) fn went_on(ended: &Ended) -> bool {
    ended.err.contains("going on with the run that was interrupted")
}

/// Starts it until all has entered that was replayed; gives what the last start said.
pub(super) fn finish(folder: &Folder, out: Option<&str>) -> Ended {
    let ended = start(folder, None, out).with(0);
    if ended.err.contains("enters with the next start") {
        return start(folder, None, out).with(0);
    }
    ended
}
