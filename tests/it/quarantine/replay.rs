//! `tapeline quarantine replay`, through the program.

use std::fs::File;

use serde_json::json;

use super::files::{Files, How, Line, PLAIN, finish, given, start};
use crate::program::{Ended, Folder};

/// Rows of all files; in each some that can't be used.
fn files() -> Files {
    let fill = |id: u32, minute: u32| {
        format!(
            "{{\"id\":{id},\"wallet\":\"ann\",\"asset\":\"A\",\"side\":\"buy\",\"price\":0.5,\"size\":1,\"time\":\"2026-01-01T00:0{minute}:00Z\"}}"
        )
    };
    Files(vec![
        (
            "places",
            "in/p1.csv",
            vec![
                Line::right("ann,A,buy,0.5,3,2026-01-01T00:00:00Z"),
                Line::wrong(
                    "\"a\nnn\",A,buy,much,4,2026-01-01T00:00:00Z",
                    "\"a\nnn\",A,buy,0.6,4,2026-01-01T00:00:00Z",
                ),
                Line::right("ann,A,sell,0.7,1,2026-01-01T00:00:00Z"),
                Line::wrong("bob", "bob,B,buy,0.1,1,2026-01-01T00:04:00Z"),
            ],
        ),
        (
            "places",
            "in/p2.csv.gz",
            vec![
                Line::wrong(
                    "2026-01-01T00:01:00Z,0,0.5,buy,A,ann",
                    "2026-01-01T00:01:00Z,2,0.5,buy,A,ann",
                ),
                Line::right("2026-01-01T00:02:00Z,2,0.25,sell,A,ann"),
            ],
        ),
        (
            "ids",
            "in/ids.csv",
            vec![
                Line::right("1,ann,A,buy,0.5,1,2026-01-01T00:00:00Z"),
                Line::wrong(
                    "2,\"ann,A,sell,0.5,1,2026-01-01T00:00:00Z",
                    "2,ann,A,sell,0.5,1,2026-01-01T00:00:00Z",
                ),
                Line::right("3,ann,A,buy,0.9,2,2026-01-01T00:00:00Z"),
            ],
        ),
        (
            "lines",
            "in/lines.jsonl",
            vec![
                Line::right(&fill(1, 3)),
                Line::wrong("{\"id\":2", &fill(2, 3)),
                Line::right(&fill(3, 3)),
            ],
        ),
    ])
}

fn replay(folder: &Folder, more: &[&str]) -> Ended {
    folder.run(&[&["quarantine", "replay", "c.toml"], more].concat())
}

fn n_batches(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path("state/replayed")).map_or(0, Iterator::count)
}

/// Replays all wrong rows by their numbers, from the last to the first.
fn replay_all(files: &Files, folder: &Folder) {
    let rows = folder.read_json("state/quarantine.jsonl");
    for (file, row) in files.wrong() {
        let (source, path, lines) = &files.0[file];
        let is_it = |r: &serde_json::Value| {
            r["source"] == *source && r["path"] == *path && r["row"] == row + 1
        };
        let number = 1 + rows.iter().position(is_it).unwrap();
        let ended = replay(folder, &[&number.to_string(), "--with", &lines[row].right]).with(0);
        assert!(ended.out.starts_with("1 row enters with the next start, in ./state"), "{ended:?}");
    }
}

#[test]
fn rows_put_right_are_as_if_they_stood_in_their_files() {
    let files = files();
    for order in ["arrival", "newest_first"] {
        let expected = files.repaired(&files.wrong()).given(How { order, ..PLAIN });
        for (workers, journal) in [(1, "positions"), (2, "events"), (4, "positions")] {
            let how = How { workers, journal, order };
            let folder = files.folder(how);
            start(&folder, None, None).with(0);
            assert_eq!(folder.read_json("state/quarantine.jsonl").len(), 5);
            replay_all(&files, &folder);
            let ended = start(&folder, None, None).with(0).says(&["rows are replayed", "n_rows=5"]);
            let counts: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
            let told = ["received", "applied", "duplicate", "quarantined"].map(|n| &counts[n]);
            assert_eq!(told, [&json!(17), &json!(12), &json!(0), &json!(5)]);
            assert_eq!(given(&folder), expected, "{how:?}");
            // As often as one likes.
            replay_all_again(&files, &folder);
            start(&folder, None, None).with(0);
            assert_eq!(given(&folder), expected, "{how:?}");
        }
    }
}

/// Replays what is replayed: nothing is kept.
fn replay_all_again(files: &Files, folder: &Folder) {
    let before = n_batches(folder);
    let (file, row) = files.wrong()[0];
    let right = &files.0[file].2[row].right;
    let number = 1 + folder
        .read_json("state/quarantine.jsonl")
        .iter()
        .position(|r| r["path"] == files.0[file].1 && r["row"] == row + 1)
        .unwrap();
    let again = replay(folder, &[&number.to_string(), "--with", right]).with(0);
    assert!(again.out.contains("it is replayed already, in ./state/replayed/000001.jsonl"));
    assert!(again.out.contains("\n0 rows enter with the next start\n"), "{again:?}");
    let other = right.replace("0.6", "0.8");
    let otherwise = replay(folder, &[&number.to_string(), "--with", &other]).with(1);
    assert!(otherwise.out.contains("it is replayed otherwise in ./state/replayed/000001.jsonl"));
    assert_eq!(n_batches(folder), before);
}

#[test]
fn sorted_files_take_rows_of_their_own_time() {
    let files = files();
    let how = How { order: "unsorted", ..PLAIN };
    // Which place a row has among those of its time, and the number that shows it, a sorted file can't say.
    let which = [(0, 3), (1, 0), (2, 1), (3, 1)];
    let rest = |mut files: std::collections::BTreeMap<String, String>| {
        files.remove("all.jsonl");
        files
    };
    let expected = rest(files.repaired(&which).given(how));
    let folder = files.folder(how);
    files.replay(&folder, &which, 1);
    start(&folder, None, None).with(0);
    assert_eq!(rest(given(&folder)), expected);
}

#[test]
fn rows_that_cant_be_used_are_told_and_the_others_enter() {
    let files = files();
    let folder = files.folder(PLAIN);
    start(&folder, None, None).with(0);
    let all = replay(&folder, &["--source", "places"]).with(1);
    for words in [
        "in/p1.csv:3: not_a_number in `price`: `much`",
        "in/p1.csv:6: unreadable_row: 1 fields, the header has 6",
        "in/p2.csv.gz:2: size_not_positive in `size`",
        "0 rows enter with the next start",
    ] {
        assert!(all.out.contains(words), "{words}: {all:?}");
    }
    all.says(&["error: 3 of 3 rows aren't taken"]);
    let open = replay(&folder, &["--source", "ids"]).with(1);
    assert!(open.out.contains("unreadable_row: a quote that isn't closed"), "{open:?}");
    assert_eq!(n_batches(&folder), 0);
    for (text, words) in [
        ("", "no row: it is blank"),
        ("a\nb", "more than one row: a line break that isn't quoted"),
        ("\"a", "a quote that isn't closed"),
        ("-1,A,buy,0.5", "4 fields, the header has 6"),
    ] {
        let ended =
            replay(&folder, &["--source", "places", "--reason", "not_a_number", "--with", text]);
        assert!(ended.with(1).out.contains(words), "{text:?}");
    }
    // Two of another config are read, one isn't.
    let config = folder.read("c.toml");
    let more = "[sources.places.columns]\nprice = { column = \"price\", values = { \"much\" = \"9\", \"0.5\" = \"0.5\", \"0.25\" = \"0.25\", \"0.7\" = \"0.7\" } }";
    folder.write("c.toml", config.replace("[sources.places.columns]", more));
    let some = ["--reason", "not_a_number", "--reason", "unreadable_row"];
    replay(&folder, &some).with(2);
    let dry = replay(&folder, &["--source", "places", "--dry-run"]).with(1);
    assert!(dry.out.contains("1 row would enter with the next start"), "{dry:?}");
    assert_eq!(n_batches(&folder), 0);
    let kept = replay(&folder, &["--source", "places"]).with(1);
    assert!(
        kept.out.contains("1 row enters with the next start, in ./state/replayed/000001.jsonl")
    );
    // It stands in its file as well, where it can be used now: it counts once.
    start(&folder, None, None).with(0);
    let once = given(&folder);
    std::fs::remove_file(folder.path("state/replayed/000001.jsonl")).unwrap();
    start(&folder, None, None).with(0);
    assert_eq!(given(&folder), once);
}

#[test]
fn what_isnt_a_sources_row_is_refused_with_what_to_do() {
    let files = files().repaired(&[(2, 1), (0, 3), (3, 1)]);
    let folder = files.folder(PLAIN);
    let long = "x".repeat(70_000);
    let lines = folder.read("in/ids.csv");
    folder.write("in/ids.csv", format!("{lines}1,ann,A,buy,0.6,1,2026-01-01T00:00:00Z\n4,{long},A,buy,1,1,2026-01-01T00:00:00Z\n"));
    start(&folder, None, None).with(0);
    let poison =
        json!({ "relation": "fills", "epoch": "3", "reason": "crashes_engine", "row": {} });
    let rows = folder.read("state/quarantine.jsonl");
    folder.write("state/quarantine.jsonl", format!("{rows}{poison}\n"));
    let refused = json!({ "sink": "db", "view": "positions", "epoch": "2", "reason": "refused" });
    folder.write("state/sinks/db/quarantine.jsonl", format!("{refused}\n"));
    for (reason, words) in [
        ("identity_conflict", "another row of its identity stands"),
        ("unreadable_row", "70033 bytes, of which 65536 are kept: put it right in its file"),
        ("crashes_engine", "it crashes the engine, which is a bug of Tapeline"),
        ("refused", "sink `db` couldn't deliver it"),
    ] {
        let ended = replay(&folder, &["--reason", reason]).with(1);
        assert!(ended.out.contains(words), "{reason}: {ended:?}");
    }
    assert_eq!(n_batches(&folder), 0);
    let whole = "4,joe,A,buy,1,1,2026-01-01T00:00:00Z";
    replay(&folder, &["--reason", "unreadable_row", "--with", whole]).with(0);
    let other = "5,ann,A,buy,0.6,1,2026-01-01T00:00:00Z";
    replay(&folder, &["--reason", "identity_conflict", "--with", other]).with(0);
    start(&folder, None, None).with(0);
    let all = folder.read("out/all.jsonl");
    assert!(all.contains("\"joe\"") && all.contains("\"id\":\"5\""), "{all}");
}

#[test]
fn wrong_usage_is_told() {
    let folder = files().folder(PLAIN);
    replay(&folder, &["1"]).with(1).says(&["there is no row 1", "holds 0"]);
    assert!(!folder.path("state").exists(), "nothing is made where nothing is kept");
    start(&folder, None, None).with(0);
    replay(&folder, &[]).with(2).says(&["<NUMBER"]);
    replay(&folder, &["9"]).with(1).says(&["there is no row 9", "holds 5"]);
    replay(&folder, &["0"]).with(1).says(&["there is no row 0"]);
    let ended = replay(&folder, &["1", "2", "--with", "x"]).with(2);
    ended.says(&["replaying 2 rows with one text", "`--with` is for one row"]);
    let lock = File::options().write(true).open(folder.path("state/lock")).unwrap();
    lock.try_lock().unwrap();
    replay(&folder, &["1"]).with(3).says(&["another engine runs there"]);
}

#[test]
fn what_cant_be_replayed_any_more_stops_the_start() {
    let files = files();
    let folder = files.folder(PLAIN);
    files.replay(&folder, &files.wrong(), 1);
    let (batch, path) = (folder.read("state/replayed/000001.jsonl"), "state/replayed/000001.jsonl");
    folder.write(path, batch.replacen("0.6", "0.7", 1));
    let told = ["000001.jsonl, line 6", "aren't those that were written", "`--fresh`"];
    start(&folder, None, None).with(3).says(&told);
    folder.write(path, batch.trim_end());
    start(&folder, None, None).with(3).says(&["000001.jsonl, line 6"]);
    folder.write(path, &batch);
    // What is beside the batches isn't one.
    folder.write("state/replayed/batch.unfinished", "{");
    folder.write("state/replayed/1.jsonl.old", "{");
    start(&folder, None, None).with(0);
    std::fs::rename(folder.path("in/p2.csv.gz"), folder.path("in/away")).unwrap();
    let told =
        ["000001.jsonl, line 5", "source `places` has no file in/p2.csv.gz", "put the file back"];
    start(&folder, None, None).with(3).says(&told);
    std::fs::rename(folder.path("in/away"), folder.path("in/p2.csv.gz")).unwrap();
    let config = folder.read("c.toml");
    folder.write("c.toml", config.replace("sources.ids", "sources.others"));
    let told = ["000001.jsonl, line 1", "has no source `ids`", "put the source back"];
    start(&folder, None, None).with(3).says(&told);
}

#[test]
fn rows_are_taken_back_by_a_fresh_start_without_their_file() {
    let files = files();
    let folder = files.folder(PLAIN);
    let which = files.wrong();
    files.replay(&folder, &which[..1], 1);
    files.replay(&folder, &which[1..], 2);
    let fresh = || {
        folder.run(&["run", "c.toml", "--fresh"]).with(0);
        given(&folder)
    };
    assert_eq!(fresh(), files.repaired(&which).given(PLAIN));
    std::fs::remove_file(folder.path("state/replayed/000001.jsonl")).unwrap();
    assert_eq!(fresh(), files.repaired(&which[1..]).given(PLAIN));
    std::fs::remove_file(folder.path("state/replayed/000002.jsonl")).unwrap();
    assert_eq!(fresh(), files.given(PLAIN));
}

#[cfg(feature = "sabotage")]
#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all() {
    use crate::program::tapeline;

    let files = files();
    let (file, row) = files.wrong()[0];
    let right = &files.0[file].2[row].right;
    let expected = files.repaired(&[(file, row)]).given(PLAIN);
    for (point, n_after) in [("replay.written:1", 0), ("replay.synced:1", 0), ("replay.named:1", 1)]
    {
        let folder = files.folder(PLAIN);
        start(&folder, None, None).with(0);
        let arguments =
            ["quarantine", "replay", "c.toml", "--reason", "not_a_number", "--with", right];
        let ended = folder.end(tapeline().args(arguments).env("TAPELINE_FAIL", point));
        assert_eq!(ended.code, None, "{point}: {ended:?}");
        start(&folder, None, None).with(0);
        assert_eq!(given(&folder) == expected, n_after == 1, "{point}");
        folder.run(&arguments).with(0);
        start(&folder, None, None).with(0);
        assert_eq!(given(&folder), expected, "{point}");
        assert_eq!(n_batches(&folder), 1, "{point}");
    }
}

#[cfg(feature = "sabotage")]
#[test]
fn a_run_that_had_read_all_ends_as_it_was() {
    let files = files();
    let (before, all) = (vec![files.wrong()[0]], files.wrong());
    for journal in ["positions", "events"] {
        let how = How { journal, ..PLAIN };
        let folder = files.folder(how);
        files.replay(&folder, &before, 1);
        // By then a sink has kept something, whichever of them is first.
        let ended = start(&folder, Some("changes.kept:1"), None);
        assert_eq!(ended.code, None, "{ended:?}");
        files.replay(&folder, &all[1..], 2);
        let told = ["going on with the run", "enters with the next start"];
        start(&folder, None, None).with(0).says(&told);
        assert_eq!(given(&folder), files.repaired(&before).given(how), "{journal}");
        let ended = finish(&folder, None);
        assert!(!ended.err.contains("enters with the next start"), "{ended:?}");
        assert_eq!(given(&folder), files.repaired(&all).given(how), "{journal}");
    }
}
