//! A job with all kinds of sinks, what it gives, and the program that runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
#[cfg(feature = "sabotage")]
use std::io::Read as _;
use std::path::{Path, PathBuf};
#[cfg(feature = "sabotage")]
use std::process::ExitStatus;
use std::process::{Child, Command, Output, Stdio};
#[cfg(feature = "sabotage")]
use std::time::Duration;

#[cfg(feature = "sabotage")]
use tapeline::env::Stopwatch;
use types::sabotage::Safeguard;

use super::dice::Dice;
use super::server::Server;
use crate::program::{Folder, tapeline};

/// How often something is done: `n` times, or as often as a variable says.
pub(super) fn wanted(variable: &str, n: usize) -> usize {
    let Ok(text) = std::env::var(variable) else { return n };
    text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number"))
}

/// One of `n`, by its place.
pub(super) fn any(dice: &mut Dice, n: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(n).unwrap())).unwrap()
}

/// Takes a protection out of a command, if one is to be out.
pub(super) fn take_out(command: &mut Command, safeguard: Option<Safeguard>) {
    if let Some(safeguard) = safeguard {
        command.env("TAPELINE_SABOTAGE", format!("{safeguard:?}"));
    }
}

/// Each fail point that a run has passed, and how often.
#[cfg(feature = "sabotage")]
pub(super) fn passed(names: &str) -> Vec<(String, u64)> {
    let mut passed = BTreeMap::new();
    for name in names.lines() {
        *passed.entry(name.to_owned()).or_default() += 1;
    }
    passed.into_iter().collect()
}

/// Asserts that a check finds something wrong with what a job gives, which it says with its seed; what
/// the rig itself stumbles over is no find.
#[cfg(feature = "sabotage")]
pub(super) fn assert_finds(check: impl FnOnce() + std::panic::UnwindSafe) {
    let failed = std::panic::catch_unwind(check).expect_err("a protection is out, and all is well");
    let told = failed.downcast_ref::<String>().map_or("", String::as_str);
    assert!(told.contains("seed "), "the rig itself has failed: {told}");
    println!("found: {told}");
}

/// Rows of a job.
const N_ROWS: u64 = 2_000;

/// Fills of few wallets, some late, some removed or replaced later, some that can't be used.
pub(super) fn fills(seed: u64) -> String {
    rows(seed, N_ROWS)
}

/// As many of them.
pub(super) fn rows(seed: u64, n_rows: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "op,id,revision,wallet,asset,side,price,size,event_time\n".to_owned();
    for id in 0..n_rows {
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

/// What the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Where rows are.
    Positions,
    /// What they said.
    Events,
    /// As little of what they said as checkpoints don't hold.
    Checkpoints,
}

/// A job in a folder of its own. Its config is written anew whenever it changes.
pub(super) struct Job {
    pub(super) folder: Folder,
    /// The database of its tables, where it has some.
    pub(super) database: String,
    /// The config behind its head.
    rest: String,
    workers: usize,
    keeps: Keeps,
}

impl Keeps {
    /// All that it may keep.
    pub(super) const ALL: [Self; 3] = [Self::Positions, Self::Events, Self::Checkpoints];

    /// Any of these.
    #[cfg(feature = "sabotage")]
    pub(super) fn any(dice: &mut Dice) -> Self {
        Self::ALL[any(dice, Self::ALL.len())]
    }
}

impl Job {
    /// A job of files alone, on one worker, whose log keeps positions.
    pub(super) fn new(fills: &str) -> Self {
        Self::within(Folder::new(), fills)
    }

    /// The same, on a disk of the rig's own.
    #[cfg(feature = "sabotage")]
    pub(super) fn on(disk: &Path, fills: &str) -> Self {
        Self::within(Folder::within(disk), fills)
    }

    fn within(folder: Folder, fills: &str) -> Self {
        folder.write("fills.csv", fills);
        let (database, rest) = (String::new(), CONFIG.to_owned());
        let job = Self { folder, database, rest, workers: 1, keeps: Keeps::Positions };
        job.write();
        job
    }

    /// With tables in a database of this name, of rows and of changes, if there is a server.
    pub(super) fn tables(mut self, house: Option<&Server>, database: &str) -> Self {
        if let Some(house) = house {
            for (sink, mode) in [("house", "rows"), ("log", "changelog")] {
                write!(
                    self.rest,
                    "[sinks.{sink}]\ntype = \"clickhouse\"\nurl = \"{}\"\ndatabase = \"{database}\"\n\
                     mode = \"{mode}\"\nmax_rows = 400\ngive_up = \"60s\"\n",
                    house.url()
                )
                .unwrap();
            }
            database.clone_into(&mut self.database);
        }
        self.write();
        self
    }

    /// With features, scores that depend on when rows came, and their alerts.
    pub(super) fn scored(mut self) -> Self {
        self.rest += SCORES;
        self.write();
        self
    }

    /// With something else in its config.
    pub(super) fn with(mut self, what: &str, instead: &str) -> Self {
        assert!(self.rest.contains(what), "{what} isn't in the config");
        self.rest = self.rest.replace(what, instead);
        self.write();
        self
    }

    /// Says how its next run goes.
    pub(super) fn set(&mut self, workers: usize, keeps: Keeps) {
        (self.workers, self.keeps) = (workers, keeps);
        self.write();
    }

    fn write(&self) {
        let workers = self.workers;
        let journal = match self.keeps {
            Keeps::Positions => "positions\"",
            Keeps::Events => "events\"\ncheckpoint_every = \"16KiB\"",
            Keeps::Checkpoints => "events\"\ncheckpoint_every = \"2KiB\"\nretain = \"checkpoints\"",
        };
        let head =
            format!("[pipeline]\nname = \"rig\"\nworkers = {workers}\njournal = \"{journal}\n");
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

    /// Takes its tables away, for many of them slow a server down.
    pub(super) fn drop_tables(&self, house: Option<&Server>) {
        if let Some(house) = house {
            house.query(&format!("DROP DATABASE {}", self.database));
        }
    }

    /// All that it gave: files by name, and the rows of tables.
    pub(super) fn given(&self, house: Option<&Server>) -> BTreeMap<String, Vec<u8>> {
        let mut given = BTreeMap::new();
        let out = self.folder.path("out");
        read_all(&out, &out, &mut given);
        // Without a bad row there is none.
        if let Ok(quarantine) = std::fs::read(self.folder.path("state/quarantine.jsonl")) {
            given.insert("quarantine".into(), quarantine);
        }
        for table in ["positions", "bars", "pnl"] {
            let Some(house) = house else { break };
            // As they are: nothing of a changelog is merged away.
            for table in [format!("{table}_v"), format!("{table}_changes")] {
                let sql =
                    format!("SELECT * FROM {}.{table} ORDER BY ALL FORMAT TSV", self.database);
                given.insert(format!("table {table}"), house.query(&sql).into());
            }
        }
        given
    }
}

/// Reads all files of a folder and those in it, by their paths below `out`.
fn read_all(out: &Path, folder: &Path, given: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(out, &path, given);
        } else {
            let name = path.strip_prefix(out).unwrap().display().to_string();
            given.insert(name, std::fs::read(&path).unwrap());
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

/// A run under way. Where its test fails it doesn't outlive it.
pub(super) struct Running(pub(super) Child);

#[cfg(feature = "sabotage")]
impl Running {
    /// Waits for its end, which must come in time; how it ended, and what it said.
    pub(super) fn end(&mut self, patience: Duration, what: &str) -> (ExitStatus, String) {
        let watch = Stopwatch::start();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(watch.elapsed() < patience, "{what}: the run hasn't ended after {patience:?}");
            std::thread::sleep(Duration::from_millis(1));
        };
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only where it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
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

[sinks.parts]
type = "parquet"
mode = "changes"
path = "out/parts"
part_rows = 400
views = ["positions", "bars", "pnl"]
"#;

/// Rows come up to 200 s late, so that some are too late to be scored.
const SCORES: &str = r#"
[views.flow]
op = "features"
input = "fills"
windows = ["1m", "5m"]
emit = "event"
features = ["count", "volume", "imbalance", "momentum", "last_return"]

[views.scores]
op = "anomaly"
input = "flow"
revise_within = "1m"
explain_from = "0.9"

[alerts.unusual]
view = "scores"
when = "score >= 0.98"
message = "{asset}: {why}"

[sinks.scores]
type = "jsonl"
mode = "final"
path = "out/scores"
views = ["scores", "scores.stale", "alerts"]

[sinks.told]
type = "jsonl"
mode = "changes"
path = "out/told"
sync_bytes = "20KiB"
views = ["scores", "scores.stale", "alerts"]
"#;
