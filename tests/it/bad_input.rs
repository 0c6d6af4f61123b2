//! Bad input, through the program: what becomes of the row, of the run and of what was published.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::program::{Ended, Folder, tapeline};

const CONFIG: &str = r#"
[pipeline]
name = "bad_input"
data_dir = "state"
epoch = { max_events = 4 }

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
op = "op"
id = "id"
venue = { constant = "x" }
event_time = "time"

[views.positions]
op = "avg_cost"
input = "fills"

[sinks.final]
type = "jsonl"
path = "out/"
mode = "final"
views = ["positions", "positions.errors"]

[sinks.changes]
type = "jsonl"
path = "out/changes/"
mode = "changes"
views = ["positions"]
"#;

const HEADER: &str = "wallet,asset,id,op,side,price,size,notional,kind,time\n";

/// A row that can be used.
const GOOD: &str = "ann,B,1,insert,buy,0.5,10,,trade,2026-01-01T00:00:00Z";

/// Rows that can't be used: the row, the column to blame, the reason.
const BAD: [(&str, Option<&str>, &str); 19] = [
    ("ann,B,2,insert,buy", None, "unreadable_row"),
    ("ann,B,2,insert,buy,0.5,1,,trade,2026-01-01T00:00:00Z,more", None, "unreadable_row"),
    ("ann,B,2,insert,buy,half,1,,trade,2026-01-01T00:00:00Z", Some("price"), "not_a_number"),
    ("ann,B,2,insert,buy,0.5,NaN,,trade,2026-01-01T00:00:00Z", Some("size"), "not_a_number"),
    (
        "ann,B,2,insert,buy,0.1234567891,1,,trade,2026-01-01T00:00:00Z",
        Some("price"),
        "too_many_decimals",
    ),
    ("ann,B,2,insert,buy,0.5,0,,trade,2026-01-01T00:00:00Z", Some("size"), "size_not_positive"),
    (
        "ann,B,2,insert,buy,0.5,-1,,liquidation,2026-01-01T00:00:00Z",
        Some("size"),
        "size_not_positive",
    ),
    ("ann,B,2,insert,hold,0.5,1,,trade,2026-01-01T00:00:00Z", Some("side"), "unknown_side"),
    ("ann,B,2,insert,buy,0.5,1,,gift,2026-01-01T00:00:00Z", Some("kind"), "unknown_kind"),
    ("ann,B,2,upsert,buy,0.5,1,,trade,2026-01-01T00:00:00Z", Some("op"), "unknown_value"),
    (
        "ann,B,2,insert,buy,0.5,1,,trade,1989-12-31T23:59:59Z",
        Some("event_time"),
        "time_out_of_range",
    ),
    (
        "ann,B,2,insert,buy,0.5,1,,trade,2100-01-01T00:00:00Z",
        Some("event_time"),
        "time_out_of_range",
    ),
    ("ann,B,2,insert,buy,0.5,1,,trade,yesterday", Some("event_time"), "not_a_time"),
    (",B,2,insert,buy,0.5,1,,trade,2026-01-01T00:00:00Z", Some("wallet"), "missing_value"),
    ("ann,B,2,insert,buy,,1,,trade,2026-01-01T00:00:00Z", Some("price"), "missing_value"),
    ("ann,B,2,insert,buy,1e9,1,,trade,2026-01-01T00:00:00Z", Some("price"), "out_of_range"),
    ("ann,B,2,insert,buy,0.5,1e40,,trade,2026-01-01T00:00:00Z", Some("size"), "out_of_range"),
    (
        "ann,B,2,insert,buy,,1,1e9,trade,2026-01-01T00:00:00Z",
        Some("notional"),
        "price_out_of_range",
    ),
    ("ann,B,1,insert,buy,0.6,10,,trade,2026-01-01T00:00:00Z", None, "identity_conflict"),
];

fn rows(lines: &[&str]) -> String {
    format!("{HEADER}{}\n", lines.join("\n"))
}

/// A folder with the config and some rows.
fn folder(lines: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.write("config.toml", CONFIG);
    folder.write("fills.csv", rows(lines));
    folder
}

/// Many rows that can be used, each of a wallet of its own.
fn many(n: usize) -> String {
    let row = |i| format!("w{i},B,{i},insert,buy,0.5,1,,trade,2026-01-01T00:00:00Z\n");
    format!("{HEADER}{}", (1..=n).map(row).collect::<String>())
}

/// The counts of a run that ended well; they must add up.
fn counts(ended: &Ended) -> Value {
    let counts: Value = serde_json::from_str(&ended.out).unwrap();
    let count = |name: &str| counts[name].as_u64().unwrap();
    let outcomes = count("applied") + count("duplicate") + count("quarantined");
    assert_eq!(count("received"), outcomes, "{counts}");
    counts
}

/// Runs a changed config; the files of the run before must stay as they are.
fn fails(folder: &Folder, from: &str, to: &str, code: i32) -> Ended {
    assert!(CONFIG.contains(from), "{from}");
    folder.write("changed.toml", CONFIG.replace(from, to));
    // Another config than that of a run that was cut short is another run.
    let ended = folder.run(&["run", "changed.toml", "--fresh"]).with(code);
    assert_eq!(ended.out, "", "a run that failed has no summary");
    ended
}

#[test]
fn rows_that_cant_be_used_are_set_aside_with_their_place() {
    let lines: Vec<&str> = [GOOD].into_iter().chain(BAD.map(|bad| bad.0)).chain([GOOD]).collect();
    let folder = folder(&lines);
    let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
    let counts = counts(&ended);
    assert_eq!(counts["quarantined"], BAD.len());
    assert_eq!((&counts["applied"], &counts["duplicate"]), (&1.into(), &1.into()));
    let reasons: u64 =
        counts["reasons"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(reasons, u64::try_from(BAD.len()).unwrap());

    let set_aside = folder.read_json("state/quarantine.jsonl");
    assert_eq!(set_aside.len(), BAD.len());
    for (index, (entry, (row, column, reason))) in set_aside.iter().zip(BAD).enumerate() {
        let said = |name: &str| entry[name].clone();
        assert_eq!((said("source"), said("path")), ("fills".into(), "fills.csv".into()));
        assert_eq!((said("row"), said("line")), ((index + 2).into(), (index + 3).into()), "{row}");
        assert_eq!((said("reason"), said("column")), (reason.into(), column.into()), "{row}");
        assert_eq!(said("bytes"), row);
    }
    let positions = folder.read_json("out/positions.jsonl");
    assert_eq!(positions.len(), 1);
    assert_eq!((&positions[0]["qty"], &positions[0]["n_fills"]), (&"10".into(), &"1".into()));

    let strict = folder.run(&["run", "config.toml", "--strict"]).with(1);
    strict.says(&["19 rows are in quarantine"]);
    let stop = "relation = \"fills\"\non_bad_row = \"stop\"";
    let stopped = fails(&folder, "relation = \"fills\"", stop, 3);
    stopped.says(&["fills.csv, line 3", "unreadable_row"]);
}

#[test]
fn a_full_quarantine_ends_the_run_or_counts() {
    let lines: Vec<&str> = [GOOD].into_iter().chain(BAD.map(|bad| bad.0)).collect();
    let folder = folder(&lines);
    folder.run(&["run", "config.toml"]).with(0);
    let whole = folder.read("state/quarantine.jsonl");
    let n_bytes = whole.lines().take(10).map(|line| line.len() + 1).sum::<usize>();
    let options = |more: &str| {
        let name = "name = \"bad_input\"";
        CONFIG.replace(name, &format!("{name}\nquarantine_bytes = \"{n_bytes}B\"\n{more}"))
    };
    folder.write("config.toml", options("quarantine_full = \"count\""));
    let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
    let told = counts(&ended);
    assert_eq!(told["quarantined"], BAD.len());
    assert_eq!(told["left_out_of_quarantine"], BAD.len() - 10);
    assert!(whole.starts_with(&folder.read("state/quarantine.jsonl")));
    assert_eq!(folder.read("state/quarantine.jsonl").lines().count(), 10);
    folder.write("config.toml", options(""));
    folder
        .run(&["run", "config.toml"])
        .with(3)
        .says(&["state/quarantine.jsonl: it is full", "`quarantine_bytes`"]);
    // With more room it goes on.
    folder.write("config.toml", CONFIG);
    folder.run(&["run", "config.toml"]).with(0).says(&["going on with the run"]);
    assert_eq!(folder.read("state/quarantine.jsonl"), whole);
}

#[test]
fn json_lines_that_cant_be_used_are_set_aside_too() {
    let folder = Folder::new();
    let config = CONFIG.replace("\"csv\"", "\"jsonl\"").replace("fills.csv", "fills.jsonl");
    folder.write("config.toml", config);
    let good = r#"{"wallet":"ann","asset":"B","id":"1","op":"insert","side":"buy","price":0.5,"size":"10","time":"2026-01-01T00:00:00Z"}"#;
    let (cut, _) = good.split_at(40);
    let list = r#"["ann"]"#;
    let exact = good.replace("0.5", "1e-10");
    folder.write("fills.jsonl", format!("{cut}\n{good}\n{list}\n{exact}\n"));
    let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
    assert_eq!(counts(&ended)["quarantined"], 3);
    let told: Vec<(u64, String)> = folder
        .read_json("state/quarantine.jsonl")
        .iter()
        .map(|e| (e["line"].as_u64().unwrap(), e["reason"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [(1, "unreadable_row"), (3, "unreadable_row"), (4, "too_many_decimals")];
    assert_eq!(told, expected.map(|(line, reason)| (line, reason.to_owned())));
}

#[test]
fn what_cant_be_read_at_all_ends_the_run_and_leaves_the_files_before() {
    let folder = folder(&[GOOD]);
    folder.run(&["run", "config.toml"]).with(0);
    let before = folder.read("out/positions.jsonl");
    assert!(before.contains("\"qty\":\"10\""), "{before}");
    fails(&folder, "\"time\"", "\"when\"", 3).says(&["fills.csv", "`when`", "known: wallet"]);
    fails(&folder, "fills.csv", "gone.csv", 3).says(&["gone.csv", "No such file"]);
    fails(&folder, "fills.csv", "gone*.csv", 3).says(&["gone*.csv", "matches nothing"]);
    assert_eq!(folder.read("out/positions.jsonl"), before);
}

#[test]
fn a_damaged_gzip_ends_the_run_there_and_what_was_published_stays() {
    let folder = folder(&[GOOD]);
    folder.run(&["run", "config.toml"]).with(0);
    let before = folder.read("out/positions.jsonl");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(many(40_000).as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    folder.write("cut.csv.gz", &whole[..whole.len() / 2]);
    let cut = fails(&folder, "fills.csv", "cut.csv.gz", 3);
    assert_eq!(folder.read("out/positions.jsonl"), before);
    assert!(!folder.path("out/positions.jsonl.unfinished").exists());

    // Each epoch has four rows of four wallets: all epochs read before the damage are there, whole.
    let (_, place) = cut.err.split_once("cut.csv.gz behind row ").unwrap();
    let n_rows: usize = place.split(',').next().unwrap().parse().unwrap();
    assert!(n_rows > 4_000, "{n_rows}");
    let changes = folder.read_json("out/changes/positions.jsonl");
    assert_eq!(changes.len(), n_rows / 4 * 4);
    assert_eq!(changes.last().unwrap()["epoch"], (n_rows / 4).to_string());

    // A byte that differs shows as a wrong checksum at the latest.
    let mut flipped = whole;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    folder.write("flipped.csv.gz", flipped);
    fails(&folder, "fills.csv", "flipped.csv.gz", 3).says(&["flipped.csv.gz", "damaged"]);
    assert_eq!(folder.read("out/positions.jsonl"), before);
}

#[test]
fn a_removal_of_something_unknown_waits_for_it() {
    let bust = "ann,B,7,bust,,,,,,";
    let late = "ann,B,7,insert,buy,0.5,3,,trade,2026-01-01T00:00:00Z";
    for (lines, pending, applied) in [(vec![GOOD, bust], 1, 2), (vec![bust, GOOD, late], 0, 3)] {
        let folder = folder(&lines);
        let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
        let counts = counts(&ended);
        assert_eq!((&counts["pending"], &counts["applied"]), (&pending.into(), &applied.into()));
        assert_eq!(folder.read_json("out/positions.jsonl")[0]["qty"], "10");
    }
}

#[test]
fn an_overflow_in_the_ledger_is_a_row_of_errors() {
    // Each fits alone; two don't.
    let row = |id| format!("ann,B,{id},insert,buy,,1e12,1e20,trade,2026-01-01T00:00:0{id}Z");
    let lines = [GOOD.to_owned(), row(2), row(3)];
    let folder = folder(&lines.each_ref().map(String::as_str));
    let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
    assert_eq!(counts(&ended)["quarantined"], 0);
    let errors = folder.read_json("out/positions.errors.jsonl");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((&errors[0]["id"], &errors[0]["wallet"]), (&"3".into(), &"ann".into()));
    assert!(errors[0]["reason"].as_str().unwrap().contains("overflow"), "{errors:?}");
    let position = &folder.read_json("out/positions.jsonl")[0];
    assert_eq!(position["cost"], "100000000000000000005");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = folder(&[GOOD]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = format!("[server]\nlisten = \"{address}\"\n\n[sinks.final]");
    let ended = fails(&folder, "[sinks.final]", &server, 3);
    assert_eq!(ended.err.lines().next(), Some(&*format!("error: listening on {address}")));
}

#[test]
fn folders_that_cant_be_made_are_named() {
    // Root may write anywhere but below a file.
    let folder = folder(&[GOOD, "no row"]);
    folder.write("file", "");
    fails(&folder, "\"out/\"", "\"file/out/\"", 3).says(&["sink `final`", "file/out/"]);
    fails(&folder, "\"state\"", "\"file/state\"", 3).says(&["data directory", "file/state"]);
    if cfg!(target_os = "linux") {
        fails(&folder, "\"out/\"", "\"/proc/out/\"", 3).says(&["sink `final`", "/proc/out/"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_the_file_on_it() {
    let folder = folder(&[GOOD]);
    folder.run(&["run", "config.toml"]).with(0);
    let before = folder.read("out/positions.jsonl");
    folder.write("fills.csv", many(3_000));

    // No file may pass 256 KiB; that shows as a disk that is full does, halfway through a write.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 256; exec {} run finals.toml",
        env!("CARGO_BIN_EXE_tapeline")
    );
    let (finals, _) = CONFIG.split_once("[sinks.changes]").unwrap();
    folder.write("finals.toml", finals);
    let ended = folder.end(Command::new("bash").args(["-c", &limited])).with(3);
    ended.says(&["sink `final`", "out/positions.jsonl", "File too large"]);
    assert_eq!(folder.read("out/positions.jsonl"), before);

    // A device that is always full, in the place of the changes and of stdout.
    std::fs::remove_file(folder.path("out/changes/positions.jsonl")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path("out/changes/positions.jsonl")).unwrap();
    let ended = folder.run(&["run", "config.toml"]).with(3);
    ended.says(&["sink `changes`", "out/changes/positions.jsonl", "No space left"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = folder.end(tapeline().args(["run", "finals.toml"]).stdout(full)).with(3);
    ended.says(&["writing to stdout", "No space left"]);
}

#[test]
fn a_clickhouse_that_is_away_is_given_up() {
    let folder = folder(&[GOOD]);
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = format!(
        "[sinks.tables]\ntype = \"clickhouse\"\nurl = \"http://{free}\"\ngive_up = \"1s\"\n\
         views = [\"positions\"]\n\n[sinks.final]"
    );
    let ended = fails(&folder, "[sinks.final]", &sink, 4);
    ended.says(&["sink `tables`", &format!("http://{free}"), "given up after 1s"]);
    assert!(!folder.path("out/positions.jsonl").exists(), "a run that failed publishes nothing");
}
