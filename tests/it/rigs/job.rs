//! A job with all kinds of sinks, what it gives, and the program that runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::server::{Server, start};
use crate::program::{Folder, tapeline};

/// A small generator of numbers: the same seed gives the same job.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Rows of a job.
const N_ROWS: u64 = 2_000;

/// Fills of few wallets, some late, some removed or replaced later, some that can't be used.
pub(super) fn fills(seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "op,id,revision,wallet,asset,side,price,size,event_time\n".to_owned();
    for id in 0..N_ROWS {
        let (op, of) = match dice.below(40) {
            0 if id > 0 => ("bust", dice.below(id)),
            1 if id > 0 => ("correct", dice.below(id)),
            _ => ("insert", id),
        };
        let late = if dice.below(15) == 0 { dice.below(200) } else { 0 };
        let mut of_id = Dice(seed ^ (of << 20));
        let (wallet, asset) = (of_id.below(40), of_id.below(6));
        let side = ["buy", "sell"][usize::try_from(dice.below(2)).unwrap()];
        let size =
            if dice.below(200) == 0 { "0".to_owned() } else { (1 + dice.below(90)).to_string() };
        let time = 1_700_000_000 + id.saturating_sub(late);
        writeln!(
            text,
            "{op},{of},{},w{wallet},a{asset},{side},{}.{},{size},{time}",
            u64::from(op == "correct") * (1 + id),
            1 + dice.below(5),
            dice.below(1000),
        )
        .unwrap();
    }
    text
}

/// How many of something are wanted; the variable sets another number.
pub(super) fn wanted(variable: &str, n: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(n)
}

/// A job in a folder of its own.
pub(super) struct Job {
    pub(super) folder: Folder,
    pub(super) database: String,
    /// The config behind its head.
    rest: String,
}

/// What the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Where rows are.
    Positions,
    /// What they said.
    Events,
}

impl Job {
    /// Writes the job; `house` gets its tables in a database of this name.
    pub(super) fn new(fills: &str, workers: usize, house: Option<&Server>, database: &str) -> Self {
        let folder = Folder::new();
        folder.write("fills.csv", fills);
        let mut rest = CONFIG.to_owned();
        if let Some(house) = house {
            write!(
                rest,
                "[sinks.house]\ntype = \"clickhouse\"\nurl = \"{}\"\ndatabase = \"{database}\"\n\
                 max_rows = 400\ngive_up = \"60s\"\n",
                house.url()
            )
            .unwrap();
        }
        let job = Self { folder, database: database.to_owned(), rest };
        job.set(workers, Keeps::Positions);
        job
    }

    /// The job with something else in its config.
    pub(super) fn with(mut self, what: &str, instead: &str) -> Self {
        assert!(self.rest.contains(what), "{what} isn't in the config");
        self.rest = self.rest.replace(what, instead);
        self.set(1, Keeps::Positions);
        self
    }

    /// Says how the next run of it goes.
    pub(super) fn set(&self, workers: usize, keeps: Keeps) {
        let journal = if keeps == Keeps::Events { "events" } else { "positions" };
        let head =
            format!("[pipeline]\nname = \"rig\"\nworkers = {workers}\njournal = \"{journal}\"\n");
        self.folder.write("c.toml", head + &self.rest);
    }

    /// The program on this job.
    pub(super) fn command(&self) -> Command {
        let mut command = tapeline();
        command.args(["run", "c.toml"]).current_dir(self.folder.path("."));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts it.
    pub(super) fn spawn(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// Runs it to its end, which must be a good one.
    pub(super) fn finish(&self) {
        let output = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the run ended with {:?}: {said}", output.status);
    }

    /// Asserts that a run has ended well, or that the one before was stopped only after its end: then
    /// this one is another run, and refuses tables that hold rows.
    pub(super) fn assert_done(output: &Output) {
        let said = String::from_utf8_lossy(&output.stderr);
        let is_well = output.status.success() || said.contains("holds rows");
        assert!(is_well, "the run ended with {:?}: {said}", output.status);
    }

    /// All that it gave: files by name, and the rows of tables.
    pub(super) fn given(&self, house: Option<&Server>) -> BTreeMap<String, Vec<u8>> {
        let mut given = BTreeMap::new();
        read_all(&self.folder.path("out"), &mut given);
        given.insert("quarantine".into(), self.folder.read("state/quarantine.jsonl").into());
        for table in ["positions", "bars", "pnl"] {
            let Some(house) = house else { break };
            let sql = format!("SELECT * FROM {}.{table}_v ORDER BY ALL FORMAT TSV", self.database);
            given.insert(format!("table {table}"), house.query(&sql).into());
        }
        given
    }
}

fn read_all(folder: &Path, given: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, given);
        } else {
            let name = path.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy());
            let name: Vec<_> = name.collect();
            given.insert(name.join(" in "), std::fs::read(&path).unwrap());
        }
    }
}

/// Says where two runs differ, if they do.
pub(super) fn difference(
    given: &BTreeMap<String, Vec<u8>>,
    expected: &BTreeMap<String, Vec<u8>>,
) -> Option<String> {
    let (given_names, names): (Vec<_>, Vec<_>) =
        (given.keys().collect(), expected.keys().collect());
    if given_names != names {
        return Some(format!("there are {given_names:?}, not {names:?}"));
    }
    let differing = given.iter().zip(expected).find(|(given, expected)| given.1 != expected.1);
    differing.map(|((name, given), (_, expected))| {
        format!("{name} has {} bytes, not the {} expected", given.len(), expected.len())
    })
}

/// A server in a folder, if there can be one.
pub(super) fn house() -> Option<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), 0)?;
    Some((folder, server))
}

/// A run under way. Where its test fails it doesn't outlive it.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only where it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A free port below those that the system gives away, so that it stays free while its server is gone.
pub(super) fn port_to_keep() -> u16 {
    let mut dice = Dice(u64::try_from(tapeline::env::chance() >> 64).unwrap());
    loop {
        let port = 12_000 + u16::try_from(dice.below(20_000)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const CONFIG: &str = r#"
data_dir = "state"
epoch = { max_events = 50 }

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
lateness = "20s"
[sources.fills.columns]
venue = { constant = "v" }
op = "op"
id = "id"
revision = "revision"
event_time = { column = "event_time", unit = "s" }

[views.positions]
op = "avg_cost"
input = "fills"

[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h"]

[views.pnl]
op = "mark_to_market"
positions = "positions"
trades = "fills"
snapshot = "1m"

[sinks.final]
type = "jsonl"
mode = "final"
path = "out/final"
views = ["positions", "bars", "pnl"]

[sinks.columns]
type = "parquet"
mode = "final"
path = "out/columns"
views = ["positions", "pnl"]

[sinks.changes]
type = "jsonl"
mode = "changes"
path = "out/changes"
sync_bytes = "20KiB"
views = ["positions", "bars", "pnl"]
"#;
