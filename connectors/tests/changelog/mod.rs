//! Tables of changes against a real server: read as they are, without `FINAL`, they hold the file of changes,
//! and added up what stands; nothing comes twice.

use std::collections::BTreeMap;
use std::path::Path;

use connectors::sink::SinkView;
#[cfg(feature = "sabotage")]
use types::sabotage::{Safeguard, assert_noticed};

use crate::support::dice::Dice;
use crate::support::history::{History, history};
use crate::support::house::{
    changes, context, final_lines, json, key_text, open, open_house_in, server, settings, spelt,
    state_dir,
};
use crate::support::{Server, start};

/// A line of a file of changes.
type Line = (String, &'static str, serde_json::Value);

fn views(history: &History) -> Vec<SinkView> {
    context(&history.names, Path::new(""), settings(&[])).views
}

/// The rows of a view's table: epoch, place, whether it came or went, and its text.
fn stored(server: &Server, view: &SinkView) -> Vec<(u64, u64, i64, String)> {
    let lead = "toString(_epoch), ' ', toString(_seq), ' ', toString(_diff), ' '";
    let table = format!("own.{}_changes ORDER BY _epoch, _seq", view.name.replace('.', "_"));
    let row = |line: String| {
        let parts: Vec<&str> = line.splitn(4, ' ').collect();
        let place = |nth: usize| parts[nth].parse().unwrap();
        (place(0), place(1), parts[2].parse().unwrap(), parts[3].to_owned())
    };
    spelt(server, view, lead, &table).into_iter().map(row).collect()
}

/// A table read as a file of changes.
fn as_lines(view: &SinkView, rows: &[(u64, u64, i64, String)]) -> Vec<Line> {
    let is_one = |a: &(u64, u64, i64, String), b: &(u64, u64, i64, String)| {
        a.0 == b.0 && key_text(&a.3, view) == key_text(&b.3, view)
    };
    let line = |changes: &[(u64, u64, i64, String)]| {
        let diffs: Vec<i64> = changes.iter().map(|row| row.2).collect();
        let (epoch, _, diff, text) = changes.last().unwrap();
        let parse = |text: &str| serde_json::from_str(text).unwrap();
        assert!([&[1][..], &[-1], &[-1, 1]].contains(&diffs.as_slice()), "{changes:?}");
        match diff {
            1 => (epoch.to_string(), "put", parse(text)),
            _ => (epoch.to_string(), "del", parse(&key_text(text, view))),
        }
    };
    rows.chunk_by(is_one).map(line).collect()
}

/// The file of changes.
fn file_lines(history: &History, view: &SinkView, folder: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(folder.join(format!("out/{}.jsonl", view.name))).unwrap();
    let line = |line: &str| {
        let mut line: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let epoch = line["epoch"].as_str().unwrap().to_owned();
        match line["op"].as_str() {
            Some("put") => (epoch, "put", line.remove("row").unwrap()),
            _ => (epoch, "del", line.remove("key").unwrap()),
        }
    };
    assert!(!history.epochs.is_empty());
    text.lines().map(line).collect()
}

/// Compares tables with the files of changes and, added up, with the final files.
fn assert_equals_changes(server: &Server, history: &History, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let changes_only = settings(&[("mode", "changes")]);
    let context = context(&history.names, folder.path(), changes_only);
    let mut files = open("jsonl", context).unwrap();
    changes(history).for_each(|changes| files.write(&changes).unwrap());
    files.finish().unwrap();
    let lines: Vec<_> =
        views(history).iter().map(|view| file_lines(history, view, folder.path())).collect();
    let other = tempfile::tempdir().unwrap();
    let standing = final_lines(history, other.path());
    for ((view, lines), standing) in views(history).iter().zip(lines).zip(standing) {
        let rows = stored(server, view);
        for epoch in rows.chunk_by(|a, b| a.0 == b.0) {
            let places: Vec<u64> = epoch.iter().map(|row| row.1).collect();
            let expected: Vec<u64> = (0..).take(places.len()).collect();
            assert_eq!(places, expected, "{what}: {}", view.name);
        }
        assert!(as_lines(view, &rows) == lines, "{what}: {} isn't its file", view.name);
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, _, diff, text) in &rows {
            *sums.entry(text).or_default() += diff;
        }
        assert!(sums.values().all(|sum| matches!(sum, 0 | 1)), "{what}: {}", view.name);
        let sums = sums.iter().filter(|(_, sum)| **sum == 1).map(|(text, _)| (*text).to_owned());
        let mut sums: Vec<String> = sums.collect();
        sums.sort_by_key(|line| key_text(line, view));
        assert!(json(&sums) == json(&standing), "{what}: {} added up isn't what stands", view.name);
    }
}

/// With these options, and the mode.
fn with<'a>(more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    more.iter().copied().chain([("mode", "changelog")]).collect()
}

#[test]
fn tables_of_changes_are_files_of_changes_however_batches_are_cut() {
    let Some((_folder, server)) = server() else { return };
    for seed in 0..6 {
        let history = history(seed, 12, 30);
        let max_rows = ["1", "7", "100000"][usize::try_from(seed % 3).unwrap()];
        let more = with(&[("max_rows", max_rows), ("on_existing", "replace")]);
        let mut dice = Dice(seed);
        let state = state_dir();
        // Each time the sink is left as a crash leaves it, and everything is given again.
        for run in 0..4 {
            let state = (state.as_path(), run > 0);
            let mut sink = open_house_in(&server, &history.names, &more, state).unwrap();
            let n_epochs =
                if run == 3 { usize::MAX } else { usize::try_from(dice.below(14)).unwrap() };
            for changes in changes(&history).take(n_epochs) {
                sink.write(&changes).unwrap();
                sink.write(&changes).unwrap();
                if dice.below(3) == 0 {
                    sink.flush().unwrap();
                }
            }
            if run == 3 {
                sink.finish().unwrap();
            }
        }
        assert_equals_changes(&server, &history, &format!("seed {seed}"));
    }
}

/// Delivers a history, forgets what else would tell that the last batch was sent, and sends it again.
fn send_again_behind_the_window() {
    let Some((folder, mut server)) = server() else { return };
    let (history, state, one) = (history(5, 6, 20), state_dir(), with(&[("max_rows", "1")]));
    let mut sink = open_house_in(&server, &history.names, &one, (&state, false)).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    drop(sink);
    server.query("TRUNCATE TABLE own._commits");
    let paths =
        "SELECT data_paths[1] FROM system.tables WHERE database = 'own' AND engine = 'MergeTree'";
    let paths = server.query(paths);
    server.kill();
    assert_eq!(paths.lines().count(), 3);
    for path in paths.lines() {
        std::fs::remove_dir_all(Path::new(path).join("deduplication_logs")).unwrap();
    }
    server = start(&folder.path().join("data"), 0).unwrap();
    let mut sink = open_house_in(&server, &history.names, &one, (&state, true)).unwrap();
    sink.finish().unwrap();
    assert_equals_changes(&server, &history, "sent again");
}

#[test]
fn rows_whose_token_is_forgotten_are_counted_first() {
    send_again_behind_the_window();
}

#[test]
#[cfg(feature = "sabotage")]
fn rows_that_are_not_counted_first_are_noticed() {
    assert_noticed(Safeguard::CountedFirst, 1, |_| send_again_behind_the_window());
}

/// Killed between the note of a token and the rows that it names, a server takes the repeat for what it has.
#[test]
fn changes_that_their_token_outlived_are_sent_again() {
    let Some((folder, mut server)) = server() else { return };
    let (history, state, one) = (history(5, 6, 20), state_dir(), with(&[("max_rows", "1")]));
    let mut sink = open_house_in(&server, &history.names, &one, (&state, false)).unwrap();
    server.query("SYSTEM STOP MERGES own.positions_changes");
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    drop(sink);
    server.query("TRUNCATE TABLE own._commits");
    let last = history.epochs.last().unwrap().0;
    let newest = format!(
        "SELECT path FROM system.parts WHERE database = 'own' AND table = 'positions_changes' \
         AND name IN (SELECT _part FROM own.positions_changes WHERE _epoch = {last})"
    );
    let part = server.query(&newest);
    server.kill();
    std::fs::remove_dir_all(part.trim()).unwrap();
    server = start(&folder.path().join("data"), 0).unwrap();
    let mut sink = open_house_in(&server, &history.names, &one, (&state, true)).unwrap();
    sink.finish().unwrap();
    assert_equals_changes(&server, &history, "lost and sent again");
}

/// Delivers a history whose rows are removed then, as a TTL does it; a run that goes on brings none back.
fn remove_and_go_on() {
    let Some((_folder, server)) = server() else { return };
    let (history, state, all) = (history(5, 6, 20), state_dir(), with(&[]));
    let mut sink = open_house_in(&server, &history.names, &all, (&state, false)).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    sink.finish().unwrap();
    assert_equals_changes(&server, &history, "before");
    for table in ["positions_changes", "bars_all_changes", "declared_changes"] {
        server.query(&format!("TRUNCATE TABLE own.{table}"));
    }
    let mut sink = open_house_in(&server, &history.names, &all, (&state, true)).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    sink.finish().unwrap();
    assert_eq!(server.query("SELECT count() FROM own.positions_changes"), "0\n");
}

#[test]
fn what_was_committed_and_removed_stays_away() {
    remove_and_go_on();
}

#[test]
#[cfg(feature = "sabotage")]
fn what_is_committed_and_sent_again_is_noticed() {
    assert_noticed(Safeguard::CommitsRead, 1, |_| remove_and_go_on());
}

#[test]
fn refused_changes_are_set_aside_and_all_others_delivered() {
    let Some((_folder, server)) = server() else { return };
    let history = history(3, 12, 30);
    let state = state_dir();
    let mut sink =
        open_house_in(&server, &history.names, &with(&[("max_rows", "9")]), (&state, false))
            .unwrap();
    let check = "n_fills % 3 != 0";
    server.query(&format!("ALTER TABLE own.positions_changes ADD CONSTRAINT c CHECK {check}"));
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    let report = sink.finish().unwrap();
    let more = with(&[("database", "plain")]);
    let mut plain = open_house_in(&server, &history.names, &more, (&state_dir(), false)).unwrap();
    changes(&history).for_each(|changes| plain.write(&changes).unwrap());
    plain.finish().unwrap();
    let rows = |table: &str, condition: &str| {
        let sql =
            format!("SELECT * FROM {table} WHERE {condition} ORDER BY _epoch, _seq FORMAT TSV");
        server.query(&sql)
    };
    let kept = rows("plain.positions_changes", check);
    assert_eq!(rows("own.positions_changes", "true"), kept);
    let refused = rows("plain.positions_changes", &format!("NOT ({check})"));
    assert!(report.n_refused > 0);
    assert_eq!(report.n_refused, u64::try_from(refused.lines().count()).unwrap());
}

#[test]
fn a_table_that_is_no_changelog_is_refused() {
    let Some((_folder, server)) = server() else { return };
    let history = history(1, 2, 4);
    let open = |more: &[(&'static str, &str)]| {
        open_house_in(&server, &history.names, more, (&state_dir(), false)).map(drop)
    };
    open(&with(&[])).unwrap();
    server.query(
        "ALTER TABLE own.positions_changes MODIFY SETTING non_replicated_deduplication_window = 0",
    );
    server.query("DROP TABLE own.declared_changes");
    server.query("CREATE TABLE own.declared_changes ENGINE = SummingMergeTree ORDER BY _epoch AS SELECT 1 AS _epoch");
    let error = open(&with(&[])).unwrap_err().to_string();
    for line in [
        "table own.positions_changes: its non_replicated_deduplication_window is 0, not 10000",
        "table own.declared_changes: its engine is SummingMergeTree",
    ] {
        assert!(error.contains(line), "{line} isn't in {error}");
    }
    // Rows as they stand go to tables of other names.
    open(&[]).unwrap();
}
