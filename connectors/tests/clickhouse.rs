//! The sink `clickhouse` against a real server: what stands there equals the final files.
#![cfg(feature = "clickhouse")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails a test")]

mod changelog;
mod refused;
mod support;
mod unfit;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connectors::error::Class;
use connectors::sinks::clickhouse::{Mode, ddl};
use support::dice::Dice;
use support::history::{History, history};
use support::house::{
    assert_equals_files, changes, context, open, open_house, open_house_in, server, settings,
    state_dir,
};
use support::start;
use types::relations::RelationKind;
use types::{Changes, Epoch, Row, Text, Value, VenueTime};

#[test]
fn what_stands_there_equals_the_final_files_however_batches_are_cut() {
    let Some((_folder, server)) = server() else { return };
    for seed in 0..8 {
        let history = history(seed, 12, 30);
        let max_rows = ["1", "7", "40", "100000"][usize::try_from(seed % 4).unwrap()];
        let max_bytes = if seed % 3 == 0 { "500" } else { "16777216" };
        let more = [("max_rows", max_rows), ("max_bytes", max_bytes), ("on_existing", "replace")];
        let mut sink = open_house(&server, &history.names, &more).unwrap();
        let mut dice = Dice(seed);
        for changes in changes(&history) {
            sink.write(&changes).unwrap();
            sink.write(&changes).unwrap();
            if dice.below(4) == 0 {
                sink.flush().unwrap();
            }
        }
        sink.finish().unwrap();
        assert_equals_files(&server, &history, &format!("seed {seed}"));
    }
}

#[test]
fn a_run_that_goes_on_gives_the_tables_of_one_that_was_never_stopped() {
    let Some((_folder, server)) = server() else { return };
    for seed in 0..5 {
        let history = history(seed, 12, 30);
        let mut dice = Dice(seed);
        let state = state_dir();
        // Each time the sink is left as a crash leaves it, and everything is sent again.
        for run in 0..4 {
            let more = [("max_rows", ["7", "40"][run % 2]), ("on_existing", "replace")];
            let state = (state.as_path(), run > 0);
            let mut sink = open_house_in(&server, &history.names, &more, state).unwrap();
            let n_epochs =
                if run == 3 { usize::MAX } else { usize::try_from(dice.below(14)).unwrap() };
            for changes in changes(&history).take(n_epochs) {
                sink.write(&changes).unwrap();
                if dice.below(3) == 0 {
                    sink.flush().unwrap();
                }
            }
            if run == 3 {
                let report = sink.finish().unwrap();
                let stored = server.query("SELECT count() FROM own.positions");
                assert!(stored.trim().parse::<u64>().unwrap() > 0, "{report:?}");
            }
        }
        assert_equals_files(&server, &history, &format!("seed {seed}"));
        let generations = "SELECT uniqExact(generation), count() = uniqExact(first_epoch, table) \
                           FROM own._commits FINAL";
        assert_eq!(server.query(generations), "1\t1\n", "seed {seed}");
    }
}

#[test]
fn an_outbox_kept_before_inserts_were_blocks_is_sent_as_it_is() {
    let Some((_folder, server)) = server() else { return };
    let history = history(1, 4, 9);
    // Where there is an outbox, there are tables.
    drop(open_house(&server, &history.names, &[]).unwrap());
    let state = state_dir();
    let row = [&[3][..], b"old", &9i64.to_le_bytes(), &(1u64 << 40).to_le_bytes(), &[0]].concat();
    let head = format!(
        "{{\"range\":[1,4],\"generation\":1,\"empties_tables\":false,\"totals\":[],\"inserts\":[\
         {{\"doing\":\"writing\",\"sql\":\"INSERT INTO own.declared (name, at, _version, _deleted) \
         FORMAT RowBinary\",\"token\":\"t\",\"n_bytes\":{}}}]}}",
        row.len()
    );
    let length = u64::try_from(head.len()).unwrap().to_le_bytes();
    let kept = [&length[..], head.as_bytes(), &row].concat();
    let digest = format!("{:032x}\n", types::digest::digest128(&kept));
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("outbox"), [digest.as_bytes(), &kept].concat()).unwrap();
    let mut sink = open_house_in(&server, &history.names, &[], (&state, true)).unwrap();
    let rows = "SELECT name, toString(at), number IS NULL FROM own.declared_v ORDER BY name";
    assert_eq!(server.query(rows), "old\t1970-01-01 00:00:00.000000009\t1\n");
    // What the kept batch holds isn't written again, and what follows is.
    for changes in changes(&history) {
        sink.write(&changes).unwrap();
    }
    sink.finish().unwrap();
    let epochs = "SELECT min(_version) - bitShiftLeft(1::UInt64, 40) > 4 FROM own.declared WHERE name != 'old'";
    assert_eq!(server.query(epochs), "1\n");
}

#[test]
fn an_insert_of_many_chunks_arrives() {
    let Some((_folder, server)) = server() else { return };
    let row = |n: i64| {
        let key = [Value::from(Text::from(n.to_string())), Value::Time(VenueTime::from_nanos(n))];
        let note = Value::from(Text::from(n.to_string().repeat(100)));
        let nulls = [const { Value::Null }; 6];
        (Row(key.into_iter().chain(nulls).chain([note, Value::Null]).collect()), 1)
    };
    let rows = Changes::Rows((0..10_000).map(row).collect());
    let empty = |kind| Arc::new(Changes::empty(kind));
    let changed = vec![empty(RelationKind::Positions), empty(RelationKind::Bars), Arc::new(rows)];
    let history =
        History { names: Arc::default(), epochs: vec![(Epoch(1), changed)], state: Vec::new() };
    let mut sink = open_house(&server, &history.names, &[]).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    sink.finish().unwrap();
    let is_large = server.query("SELECT sum(length(note)) > 3000000 FROM own.declared_v");
    assert_eq!(is_large, "1\n", "many chunks of 256 KiB");
    assert_equals_files(&server, &history, "large");
}

#[test]
fn the_same_batch_counts_once_and_replace_counts_again() {
    let Some((_folder, server)) = server() else { return };
    let history = history(5, 6, 30);
    let run = |more: &[(&'static str, &str)]| {
        let mut sink = open_house(&server, &history.names, more)?;
        changes(&history).try_for_each(|changes| sink.write(&changes))?;
        sink.finish()
    };
    let stored = || server.query("SELECT count() FROM own.positions");
    // Merges may drop old versions at any time, so that counts are of parts of one insert each.
    let first = [("on_existing", "replace")];
    // A second sink, opened before the tables hold rows, sends the very same inserts.
    let mut twin = open_house(&server, &history.names, &[]).unwrap();
    run(&[]).unwrap();
    let n_rows = stored();
    changes(&history).for_each(|changes| twin.write(&changes).unwrap());
    twin.finish().unwrap();
    assert_eq!(stored(), n_rows, "the token drops what was sent before");
    assert_equals_files(&server, &history, "sent twice");
    assert_eq!(server.query("SELECT count() FROM own._commits FINAL"), "3\n");

    let error = run(&[]).unwrap_err();
    assert_eq!(error.class, Class::Broken);
    assert_eq!(error.to_string(), "opening sink house: table own.positions holds rows");
    assert!(error.hint.unwrap().contains("on_existing = \"replace\""));

    // Rows that were deleted leave their tokens behind, which must not hold back new ones.
    for table in ["positions", "bars_all", "declared"] {
        server.query(&format!("DELETE FROM own.{table} WHERE true"));
    }
    run(&[]).unwrap();
    assert_equals_files(&server, &history, "after deletes");

    server.query(
        "INSERT INTO own.bars_all (venue, asset, size, bucket) VALUES ('old', 'x', '1m', now())",
    );
    run(&first).unwrap();
    assert_eq!(stored(), n_rows, "emptied tables take the same tokens again");
    assert_equals_files(&server, &history, "replaced");
    assert_eq!(server.query("SELECT count() FROM own._commits FINAL"), "3\n");
}

#[test]
fn replace_empties_only_before_the_first_commit() {
    let Some((_folder, server)) = server() else { return };
    let full = history(5, 6, 30);
    let mut sink = open_house(&server, &full.names, &[]).unwrap();
    changes(&full).for_each(|changes| sink.write(&changes).unwrap());
    sink.finish().unwrap();
    let replace = [("on_existing", "replace")];
    drop(open_house(&server, &full.names, &replace).unwrap());
    assert_equals_files(&server, &full, "opened and given up");
    open_house(&server, &full.names, &replace).unwrap().finish().unwrap();
    for table in ["positions", "bars_all", "declared", "_commits"] {
        assert_eq!(server.query(&format!("SELECT count() FROM own.{table}")), "0\n", "{table}");
    }
}

#[test]
fn a_partition_gets_an_insert_of_its_own() {
    let Some((_folder, server)) = server() else { return };
    let history = history(3, 8, 30);
    let mut sink = open_house(&server, &history.names, &[]).unwrap();
    server.query("SYSTEM STOP MERGES");
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    let report = sink.finish().unwrap();
    let months = "SELECT uniqExact(toYYYYMM(bucket)) FROM own.bars_all";
    let n_months: u32 = server.query(months).trim().parse().unwrap();
    assert!(n_months > 1);
    let inserts = format!("in {n_months} inserts");
    assert!(report.lines[1].ends_with(&inserts), "{report:?}");
    let parts = "SELECT count(), uniqExact(partition) FROM system.parts \
                 WHERE database = 'own' AND table = 'bars_all' AND active";
    assert_eq!(server.query(parts), format!("{n_months}\t{n_months}\n"));
    let commit = "SELECT pipeline, sink, generation, first_epoch, last_epoch, parts, length(hash) \
                  FROM own._commits WHERE table = 'bars_all'";
    let expected = format!("test\thouse\t1\t1\t15\t{n_months}\t32\n");
    assert_eq!(server.query(commit), expected);
    let versions = "SELECT min(_version) > 1099511627776, max(_version) = 1099511627776 + 15 \
                    FROM own.positions";
    assert_eq!(server.query(versions), "1\t1\n");
}

#[test]
fn other_layouts_are_told_line_by_line() {
    let Some((_folder, server)) = server() else { return };
    let names = Arc::default();
    let open_without_create = || open_house(&server, &names, &[("create", "false")]).err().unwrap();
    let error = open_without_create();
    assert_eq!(error.class, Class::Broken);
    assert!(error.to_string().contains("\n  table own.bars_all isn't there"), "{error}");
    let statements = context(&names, Path::new(""), settings(&[])).views;
    let statements = statements.iter().flat_map(|view| ddl(view, "own", Mode::Rows));
    server.query("CREATE DATABASE own");
    statements.for_each(|sql| drop(server.query(&sql)));
    server.query("DROP TABLE own.bars_all");
    server.query("CREATE TABLE own.bars_all (venue String) ENGINE = MergeTree ORDER BY venue");
    server.query("ALTER TABLE own.positions ADD COLUMN mine UInt8 DEFAULT 7");
    server.query("ALTER TABLE own.positions ADD COLUMN extra UInt8");
    let error = open_without_create();
    let lines = error.to_string();
    assert!(!lines.contains("mine") && !lines.contains("declared"), "{lines}");
    for line in [
        "table own.positions: column extra is UInt8, not none",
        "table own.bars_all: its ORDER BY is venue, not venue, asset, size, bucket",
        "table own.bars_all: its PARTITION BY is none, not toYYYYMM(bucket)",
        "table own.bars_all: column venue is String, not LowCardinality(String)",
    ] {
        assert!(lines.contains(line), "{line} isn't in {lines}");
    }
}

#[test]
fn a_server_that_is_away_is_given_up() {
    // Nothing listens on port 1, so that this needs no server.
    let settings = settings(&[("url", "http://127.0.0.1:1"), ("give_up", "1s")]);
    let error =
        open("clickhouse", context(&Arc::default(), Path::new(""), settings)).err().unwrap();
    assert_eq!(error.class, Class::Away);
    let expected =
        "making the tables of database tapeline at http://127.0.0.1:1, given up after 1s";
    assert_eq!(error.to_string(), expected);

    let Some((_folder, mut server)) = server() else { return };
    let history = history(1, 2, 10);
    let mut sink = open_house(&server, &history.names, &[("give_up", "1s")]).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    server.kill();
    let error = sink.finish().unwrap_err();
    assert_eq!(error.class, Class::Away);
    assert!(error.to_string().starts_with("writing epochs 1 to 3 of view "), "{error}");
}

#[test]
fn a_table_dropped_under_way_counts_as_refusing() {
    let Some((_folder, server)) = server() else { return };
    let history = history(1, 3, 10);
    let mut sink = open_house(&server, &history.names, &[("give_up", "1s")]).unwrap();
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    server.query("DROP TABLE own.positions");
    let error = sink.finish().unwrap_err();
    assert_eq!(error.class, Class::Away, "{error}");
    assert!(error.source.unwrap().to_string().contains("Code: 60"), "the server's words are kept");
}

/// Leaves a server as kill -9 does between the note of a token and the rows that it names, and sends the
/// batch again.
fn lose_a_part_and_keep_its_token() {
    let Some((folder, mut server)) = server() else { return };
    let (history, state, one) = (history(5, 6, 20), state_dir(), [("max_rows", "1")]);
    let mut sink = open_house_in(&server, &history.names, &one, (&state, false)).unwrap();
    server.query("SYSTEM STOP MERGES own.positions");
    changes(&history).for_each(|changes| sink.write(&changes).unwrap());
    drop(sink);
    let Epoch(last) = history.epochs.last().unwrap().0;
    let newest = format!(
        "SELECT path FROM system.parts WHERE database = 'own' AND name IN (SELECT _part FROM \
         own.positions WHERE _version = bitShiftLeft(1::UInt64, 40) + {last}) AND table = 'positions'"
    );
    let part = server.query(&newest);
    server.kill();
    std::fs::remove_dir_all(part.trim()).unwrap();
    server = start(&folder.path().join("data"), 0).unwrap();
    let mut sink = open_house_in(&server, &history.names, &one, (&state, true)).unwrap();
    sink.finish().unwrap();
    assert_equals_files(&server, &history, "lost and sent again");
}

#[test]
fn rows_that_their_token_outlived_are_sent_again() {
    lose_a_part_and_keep_its_token();
}

#[test]
#[cfg(feature = "sabotage")]
fn what_is_sent_again_is_counted() {
    use types::sabotage::{Safeguard, assert_noticed};
    assert_noticed(Safeguard::StoredCounted, 1, |_| lose_a_part_and_keep_its_token());
}

#[test]
fn kill_9_loses_and_doubles_nothing() {
    let Some((folder, first)) = server() else { return };
    let history = history(11, 30, 60);
    let data = folder.path().join("data");
    let port = first.port;
    let mut sink =
        open_house(&first, &history.names, &[("max_rows", "50"), ("give_up", "60s")]).unwrap();
    let is_done = AtomicBool::new(false);
    let server = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut server, mut n_kills) = (first, 0);
            while !is_done.load(Ordering::Relaxed) && n_kills < 12 {
                std::thread::sleep(Duration::from_millis(50 + 97 * (n_kills % 5)));
                server.kill();
                n_kills += 1;
                server = start(&data, port).unwrap();
            }
            (server, n_kills)
        });
        for changes in changes(&history) {
            sink.write(&changes).unwrap();
        }
        sink.finish().unwrap();
        is_done.store(true, Ordering::Relaxed);
        killer.join().unwrap()
    });
    let (server, n_kills) = server;
    assert!(n_kills > 0, "the server was killed while rows were under way");
    assert_equals_files(&server, &history, "killed");
    let doubled = "SELECT count() - uniqExact(tuple(*)) FROM own.positions";
    assert_eq!(server.query(doubled), "0\n");
}
