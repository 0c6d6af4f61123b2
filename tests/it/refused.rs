//! What a ClickHouse refuses, seen from outside: rows in quarantine, a sink that pauses, and an end of the
//! process in the middle of either.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Ended, Folder, tapeline};
use crate::rigs::server::{Server, start};
#[cfg(feature = "sabotage")]
use types::sabotage::Safeguard;

/// What the table lets through.
const CHECK: &str = "toUInt64(substring(wallet, 2)) % 7 != 3";

const CONFIG: &str = r#"
[pipeline]
name = "refused"
data_dir = "state"
epoch = { max_events = 25 }
[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "x" }
event_time = { column = "time", unit = "s" }
[views.positions]
op = "avg_cost"
input = "fills"
[sinks.house]
type = "clickhouse"
views = ["positions"]
max_rows = 30
"#;

/// A job of 300 wallets with a fill each, with a database of its own. So no row depends on where batches
/// are cut.
fn job(house: &Server, database: &str) -> Folder {
    let folder = Folder::new();
    let mut rows = "wallet,asset,id,side,price,size,time\n".to_owned();
    for id in 0..300 {
        writeln!(rows, "w{},a,{id},buy,0.5,1,{}", id * 11 % 300, 1_767_571_200 + id).unwrap();
    }
    folder.write("fills.csv", rows);
    let server = format!("url = \"{}\"\ndatabase = \"{database}\"\n", house.url());
    folder.write("c.toml", format!("{CONFIG}{server}"));
    folder
}

/// Makes the tables as a run of another job made them, with a constraint.
fn make_tables(house: &Server, database: &str) {
    if house.query("EXISTS DATABASE made").trim() == "0" {
        job(house, "made").run(&["run", "c.toml"]).with(0);
    }
    house.query(&format!("CREATE DATABASE {database}"));
    house.query(&format!("CREATE TABLE {database}.positions AS made.positions"));
    house.query(&format!("ALTER TABLE {database}.positions ADD CONSTRAINT c CHECK {CHECK}"));
    house.query(&format!("SYSTEM STOP MERGES {database}.positions"));
}

fn house() -> Option<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), 0)?;
    Some((folder, server))
}

/// All that the table was given, merged or not, and what was set aside.
fn given(house: &Server, database: &str, folder: &Folder) -> [String; 2] {
    let sql = format!("SELECT * FROM {database}.positions ORDER BY ALL FORMAT TSV");
    // The server's words name the table, which has another database in each job.
    let aside = folder.read("state/sinks/house/quarantine.jsonl");
    let line = |line: &str| line.split_once(",\"detail\"").unwrap().0.to_owned();
    [house.query(&sql), aside.lines().map(line).collect::<Vec<_>>().join("\n")]
}

fn run(folder: &Folder) -> Command {
    let mut command = tapeline();
    command.args(["run", "c.toml"]).current_dir(folder.path("."));
    command
}

#[test]
fn refused_rows_are_told_in_the_summary() {
    let Some((_data, house)) = house() else { return };
    make_tables(&house, "own");
    let folder = job(&house, "own");
    let ended = folder.run(&["run", "c.toml", "--strict"]).with(1);
    assert!(ended.out.contains(" by sink house, in "), "{ended:?}");
    let [stored, aside] = given(&house, "own", &folder);
    let n_refused = aside.lines().count();
    assert!(n_refused > 10 && !stored.is_empty(), "{aside}");
    assert!(ended.out.contains(&format!("refused  {n_refused} by")), "{ended:?}");
    assert!(ended.err.contains(&format!("{n_refused} rows are in quarantine")), "{ended:?}");
    let listed = folder.run(&["quarantine", "list", "c.toml"]).with(0).out;
    assert!(listed.contains("house") && listed.contains("violated_constraint"), "{listed}");
    let again = job(&house, "own2");
    make_tables(&house, "own2");
    let ended = again.run(&["run", "c.toml", "--format", "json"]).with(0);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(told["refused_by_sinks"]["house"], n_refused);
}

/// Ends a run at a point, over and over, and lets it go on.
#[cfg(feature = "sabotage")]
fn end_at(folder: &Folder, point: &str, time: usize, out: Option<Safeguard>) -> usize {
    for n_ended in 0..3 {
        let mut command = run(folder);
        if let Some(out) = out {
            command.env("TAPELINE_SABOTAGE", format!("{out:?}"));
        }
        if n_ended < 2 {
            command.env("TAPELINE_FAIL", format!("{point}:{time}"));
        }
        let ended: Ended = command.output().unwrap().into();
        if ended.code == Some(0) {
            return n_ended;
        }
        assert_eq!(ended.code, None, "{point}, time {time}: {ended:?}");
    }
    panic!("{point}, time {time}: it doesn't come to its end");
}

/// Ends runs at points of halving; each job in the end gives what an undisturbed one gives.
#[cfg(feature = "sabotage")]
fn check_ends(points: [&str; 3]) {
    let Some((_data, house)) = house() else { return };
    make_tables(&house, "whole");
    let whole = job(&house, "whole");
    whole.run(&["run", "c.toml"]).with(0);
    let expected = given(&house, "whole", &whole);
    let (mut n_jobs, mut n_ended) = (0, 0);
    for point in points {
        for time in [1, 3, 20, 41] {
            let database = format!("j{n_jobs}");
            make_tables(&house, &database);
            let folder = job(&house, &database);
            n_ended += end_at(&folder, point, time, None);
            n_jobs += 1;
            let given = given(&house, &database, &folder);
            assert_eq!(given, expected, "{point}, time {time}");
        }
    }
    println!("halving: ended {n_ended} times in {n_jobs} jobs: no row is lost or doubled");
    assert!(n_ended > n_jobs, "{n_ended}");
}

#[cfg(feature = "sabotage")]
#[test]
fn an_end_in_the_middle_of_halving_loses_and_doubles_nothing() {
    check_ends(["aside.written", "piece.before", "piece.sent"]);
}

#[cfg(feature = "sabotage")]
#[test]
fn an_end_where_halving_is_kept_loses_and_doubles_nothing() {
    check_ends(["piece.kept", "kept.written", "kept.done"]);
}

/// A run with a protection out must give something else.
#[cfg(feature = "sabotage")]
fn is_noticed(out: Safeguard, point: &str, time: usize) {
    let Some((_data, house)) = house() else { return };
    make_tables(&house, "whole");
    let whole = job(&house, "whole");
    whole.run(&["run", "c.toml"]).with(0);
    let expected = given(&house, "whole", &whole);
    make_tables(&house, "own");
    let folder = job(&house, "own");
    let ended = std::panic::catch_unwind(|| end_at(&folder, point, time, Some(out)));
    let is_noticed = ended.is_err() || given(&house, "own", &folder) != expected;
    assert!(is_noticed, "{out:?} is out, and nothing differs");
}

#[cfg(feature = "sabotage")]
#[test]
fn what_is_set_aside_twice_is_noticed() {
    is_noticed(Safeguard::AsideCut, "aside.written", 7);
}

#[cfg(feature = "sabotage")]
#[test]
fn pieces_that_are_not_kept_are_noticed() {
    // Behind the first batch: what was set aside of it is forgotten then.
    is_noticed(Safeguard::PiecesKept, "piece.kept", 60);
}

#[test]
fn a_paused_sink_says_so_once_and_goes_on_after_a_stop() {
    let Some((_data, house)) = house() else { return };
    make_tables(&house, "whole");
    make_tables(&house, "own");
    let whole = job(&house, "whole");
    whole.run(&["run", "c.toml"]).with(0);
    let folder = job(&house, "own");
    // The table is gone from the second batch on.
    house.query("ALTER TABLE own.positions ADD CONSTRAINT wait CHECK sleepEachRow(0.01) = 0");
    let mut child = run(&folder).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while house.query("SELECT count() FROM own.positions") == "0\n" {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended before a row came");
    }
    house.query("RENAME TABLE own.positions TO own.away");
    std::thread::sleep(Duration::from_secs(4));
    assert!(child.try_wait().unwrap().is_none(), "nothing holds the sink");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = Ended::from(child.wait_with_output().unwrap()).with(0);
    let n_told = ended.err.matches("this sink pauses until that is put right").count();
    assert_eq!(n_told, 1, "{ended:?}");
    let ended = ended.says(&["UNKNOWN_TABLE", "UNDROP TABLE", "is kept for the next start"]);
    drop(ended);
    house.query("RENAME TABLE own.away TO own.positions");
    house.query("ALTER TABLE own.positions DROP CONSTRAINT wait");
    folder.run(&["run", "c.toml"]).with(0);
    assert_eq!(given(&house, "own", &folder), given(&house, "whole", &whole));
}
