//! Runs whose history and identities mostly lie outside memory.

use std::fmt::Write;

use crate::program::Folder;

const CONFIG: &str = r#"
[pipeline]
name = "spill"
data_dir = "state"
epoch = { max_events = 500 }
workers = 2
MEMORY

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
op = "op"
id = "id"
event_time = { column = "event_time", unit = "s" }

[views.positions]
op = "avg_cost"
input = "fills"

[views.hourly]
op = "mark_to_market"
positions = "positions"
trades = "fills"
mark = "last"
snapshot = "1h"

[sinks.rows]
type = "jsonl"
path = "out"
mode = "final"
views = ["positions", "hourly"]

[sinks.steps]
type = "jsonl"
path = "steps"
mode = "changes"
views = ["positions"]
"#;

const N_FILLS: u64 = 40_000;

/// A row of the file. Half of the fills are of keys with about thirty, half of keys with few.
fn line(csv: &mut String, op: &str, id: u64, second: u64) {
    let wallet = if id.is_multiple_of(2) { id % 62 } else { 1_000 + id % 9_001 };
    let side = if id.is_multiple_of(3) { "sell" } else { "buy" };
    let (asset, price, size) = (id % 11, 100 + id % 17, 1 + id % 5);
    writeln!(csv, "{op},v,w{wallet},a{asset},{id},{side},{price},{size},{second},{id}").unwrap();
}

/// Fills in order; then, far behind, late ones, removed ones and repeats of all ages.
fn fills() -> String {
    let mut csv = "op,venue,wallet,asset,id,side,price,size,event_time,seq\n".to_owned();
    for id in 0..N_FILLS {
        line(&mut csv, "insert", id, 1_767_571_200 + id);
    }
    for n in 0..400 {
        let old = n * 7_919 % N_FILLS;
        match n % 4 {
            0 => line(&mut csv, "bust", old, 1_767_571_200 + old),
            1 => line(&mut csv, "insert", N_FILLS + old, 1_767_571_200 + old),
            2 => line(&mut csv, "insert", old, 1_767_571_200 + old),
            _ => line(&mut csv, "insert", N_FILLS + n, 1_767_571_200 + N_FILLS),
        }
    }
    csv
}

/// Runs the config; gives what it wrote and how many bytes left memory.
fn run(memory: &str) -> ([String; 3], Option<u64>) {
    let folder = Folder::new();
    folder.write("fills.csv", fills());
    folder.write("config.toml", CONFIG.replace("MEMORY", memory));
    let ended = folder.run(&["run", "config.toml", "--format", "json"]).with(0);
    let summary: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert!(summary["duplicate"].as_u64().unwrap() >= 100, "{summary}");
    // Nothing is left of what was written.
    let left = std::fs::read_dir(folder.path("state/cold")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files in state/cold");
    let files = ["out/positions.jsonl", "out/hourly.jsonl", "steps/positions.jsonl"];
    (files.map(|file| folder.read(file)), summary["spilled_bytes"].as_u64())
}

#[test]
fn a_run_that_spills_gives_the_same_bytes() {
    let (whole, none) = run("");
    let (spilled, some) = run("history_memory = \"1MiB\"");
    assert_eq!(none, None);
    assert!(some.is_some_and(|n_bytes| n_bytes > 1_000_000), "{some:?} bytes left memory");
    for (whole, spilled) in whole.iter().zip(&spilled) {
        assert!(whole.lines().count() > 5_000);
        assert!(whole == spilled, "the rows differ");
    }
}

#[test]
fn a_folder_that_cant_be_made_ends_the_run_with_its_name() {
    let folder = Folder::new();
    folder.write("fills.csv", fills());
    folder.write("config.toml", CONFIG.replace("MEMORY", "history_memory = \"1MiB\""));
    folder.write("state/cold", "in the way");
    let ended = folder.run(&["run", "config.toml"]).with(3);
    let ended = ended.says(&["moving old history to", "state/cold/", "`data_dir`"]);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}
