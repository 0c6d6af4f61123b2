//! What the server refuses under way: rows are set aside one by one, for anything else the sink waits
//! until somebody has put it right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::error::Class;
use connectors::sink::{Sink, SinkReport, SinkView};
#[cfg(feature = "sabotage")]
use types::sabotage::Safeguard;

use crate::support::dice::Dice;
use crate::support::history::{History, history};
use crate::support::house::{
    assert_equals_files, changes, context, open_house, open_house_in, server, settings, spelt,
    state_dir,
};
use crate::support::{Server, start_with};

/// What rows must be, by table.
const CHECKS: [(&str, &str); 3] = [
    ("positions", "cityHash64(wallet) % 7 != 0 OR n_fills % 3 = 0"),
    ("bars_all", "n_trades % 5 != 0"),
    ("declared", "NOT (startsWith(name, 'name 1') AND flag)"),
];

/// A row that was set aside: its table, epoch, `op` and columns.
type Refused = (String, String, String, serde_json::Value);

fn refused(path: &Path) -> Vec<Refused> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let line: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_string();
        assert_eq!((text("sink"), line["code"].as_u64()), ("house".into(), Some(469)));
        assert_eq!(text("reason"), "violated_constraint");
        assert!(text("detail").contains("is violated"), "{line:?}");
        (text("table"), text("epoch"), text("op"), line["row"].clone())
    };
    let mut rows: Vec<Refused> = text.lines().map(line).collect();
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

/// Delivers a history in random batches.
fn deliver(sink: &mut dyn Sink, history: &History, seed: u64) -> SinkReport {
    let mut dice = Dice(seed);
    for changes in changes(history) {
        sink.write(&changes).unwrap();
        if dice.below(3) == 0 {
            sink.flush().unwrap();
        }
    }
    sink.finish().unwrap()
}

/// All rows that a table was given, merged or not.
fn stored(server: &Server, table: &str, condition: &str) -> String {
    server.query(&format!("SELECT * FROM {table} WHERE {condition} ORDER BY ALL FORMAT TSV"))
}

fn views_of(history: &History) -> Vec<SinkView> {
    context(&history.names, Path::new(""), settings(&[])).views
}

/// Delivers a history to tables with constraints and to such without: the former get what the checks let
/// through, the quarantine gets the others, and nothing comes twice.
fn check_constraints(server: &Server, seed: u64) {
    let history = history(seed, 12, 30);
    let max_rows = ["1", "9", "40", "100000"][usize::try_from(seed % 4).unwrap()];
    let more =
        |database| [("database", database), ("max_rows", max_rows), ("on_existing", "replace")];
    server.query("DROP DATABASE IF EXISTS own");
    server.query("DROP DATABASE IF EXISTS plain");
    let state = state_dir();
    let mut sink = open_house_in(server, &history.names, &more("own"), (&state, false)).unwrap();
    let mut plain = open_house(server, &history.names, &more("plain")).unwrap();
    server.query("SYSTEM STOP MERGES");
    for (table, check) in CHECKS {
        server.query(&format!("ALTER TABLE own.{table} ADD CONSTRAINT c CHECK {check}"));
    }
    let report = deliver(sink.as_mut(), &history, seed);
    let all = deliver(plain.as_mut(), &history, seed);
    let found = refused(&state.join("quarantine.jsonl"));
    assert!(!found.is_empty(), "seed {seed}");
    assert_eq!(report.n_refused, u64::try_from(found.len()).unwrap());
    assert_eq!(report.quarantine.is_some(), report.n_refused > 0);
    assert_eq!(all.n_refused, 0);
    let mut expected: Vec<Refused> = Vec::new();
    for (view, (table, check)) in views_of(&history).iter().zip(CHECKS) {
        let (own, plain) = (format!("own.{table}"), format!("plain.{table}"));
        assert_eq!(stored(server, &own, "true"), stored(server, &plain, check), "seed {seed}");
        // ClickHouse takes null for a violation.
        let broken = format!("{plain} WHERE ifNull(NOT ({check}), true)");
        for line in spelt(server, view, LEAD, &broken) {
            let parts: Vec<&str> = line.splitn(3, ' ').collect();
            let row = serde_json::from_str(parts[2]).unwrap();
            expected.push((table.into(), parts[0].into(), parts[1].into(), row));
        }
    }
    expected.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(found, expected, "seed {seed}");
}

/// The epoch of a row, and what it does.
const LEAD: &str =
    "toString(_version % bitShiftLeft(1::UInt64, 40)), if(_deleted = 1, ' del ', ' put ')";

#[test]
fn rows_that_a_constraint_refuses_are_set_aside_and_all_others_delivered() {
    let Some((_folder, server)) = server() else { return };
    (0..4).for_each(|seed| check_constraints(&server, seed));
}

#[cfg(feature = "sabotage")]
#[test]
fn pieces_under_one_token_are_noticed() {
    let Some((_folder, server)) = server() else { return };
    let check = |seed| check_constraints(&server, seed);
    types::sabotage::assert_noticed(Safeguard::PiecesNamed, 4, check);
}

/// So many rows may be set aside and no more: then the sink waits, and takes the next ones once they pass.
#[test]
fn a_sink_pauses_where_as_many_rows_are_set_aside_as_may_be() {
    let Some((_folder, server)) = server() else { return };
    let history = history(3, 12, 30);
    let state = state_dir();
    let more = [("max_refused", "2"), ("max_rows", "40")];
    let mut sink = open_house_in(&server, &history.names, &more, (&state, false)).unwrap();
    server.query("ALTER TABLE own.positions ADD CONSTRAINT c CHECK n_fills = 0");
    let file = state.join("quarantine.jsonl");
    let report = while_held(sink.as_mut(), &history, || {
        assert_eq!(refused(&file).len(), 2);
        server.query("ALTER TABLE own.positions DROP CONSTRAINT c");
    });
    assert_eq!((report.n_refused, refused(&file).len()), (2, 2));
}

/// Delivers a history while something is wrong; `repair` puts it right once the sink stands still.
fn while_held(sink: &mut dyn Sink, history: &History, repair: impl FnOnce()) -> SinkReport {
    std::thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver(sink, history, 7));
        std::thread::sleep(Duration::from_millis(1_500));
        assert!(!delivering.is_finished(), "nothing holds the sink");
        repair();
        delivering.join().unwrap()
    })
}

/// A sink with tables that hold some rows already, and a twin that nobody disturbs.
fn begun(server: &Server, more: &[(&'static str, &str)]) -> (Box<dyn Sink>, History) {
    let history = history(5, 16, 30);
    server.query("DROP DATABASE IF EXISTS own");
    server.query("DROP DATABASE IF EXISTS plain");
    let mut sink = open_house(server, &history.names, more).unwrap();
    let mut plain = open_house(server, &history.names, &[("database", "plain")]).unwrap();
    server.query("SYSTEM STOP MERGES");
    // The same batches, so that the tables must in the end hold the very same rows.
    for changes in changes(&history).take(6) {
        sink.write(&changes).unwrap();
        plain.write(&changes).unwrap();
    }
    sink.flush().unwrap();
    plain.flush().unwrap();
    deliver(plain.as_mut(), &history, 7);
    (sink, history)
}

fn assert_as_undisturbed(server: &Server, what: &str) {
    for (table, _) in CHECKS {
        let [own, plain] = ["own", "plain"].map(|database| format!("{database}.{table}"));
        assert_eq!(stored(server, &own, "true"), stored(server, &plain, "true"), "{what}: {table}");
    }
}

#[test]
fn what_is_wrong_with_a_table_holds_the_sink_until_it_is_put_right() {
    let Some((_folder, server)) = server() else { return };
    for (wrong, right) in [
        ("DROP TABLE own.positions", "UNDROP TABLE own.positions"),
        ("RENAME TABLE own.bars_all TO own.away", "RENAME TABLE own.away TO own.bars_all"),
    ] {
        let (mut sink, history) = begun(&server, &[]);
        server.query(wrong);
        let report = while_held(sink.as_mut(), &history, || drop(server.query(right)));
        assert_eq!(report.n_refused, 0, "{wrong}");
        assert_as_undisturbed(&server, wrong);
    }
}

#[test]
fn a_column_that_is_dropped_holds_the_sink_until_it_is_there_again() {
    let Some((_folder, server)) = server() else { return };
    let history = history(6, 8, 20);
    let mut sink = open_house(&server, &history.names, &[]).unwrap();
    server.query("ALTER TABLE own.positions DROP COLUMN fees");
    while_held(sink.as_mut(), &history, || {
        server.query("ALTER TABLE own.positions ADD COLUMN fees Decimal(38, 9)");
    });
    assert_equals_files(&server, &history, "a dropped column");
}

/// Writes a server's config with the user `writer`, who may do this and has this password.
fn users(folder: &Path, grants: &str, password: &str) -> PathBuf {
    let (users, config) = (folder.join("users.xml"), folder.join("config.xml"));
    let user = |rest: &str| {
        format!(
            "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>{rest}"
        )
    };
    let text = format!(
        "<clickhouse><profiles><default></default></profiles><quotas><default></default></quotas>\
         <users><default><password></password>{}</default>\
         <writer><password>{password}</password>{}</writer></users></clickhouse>",
        user(""),
        user(&format!("<grants><query>{grants}</query></grants>"))
    );
    std::fs::write(&users, text).unwrap();
    let text = format!("<clickhouse><users_config>{}</users_config></clickhouse>", users.display());
    std::fs::write(&config, text).unwrap();
    config
}

/// The server comes back, once with fewer rights for who writes, once with another password, and then as
/// it was.
#[test]
fn lost_rights_hold_the_sink_until_they_are_given_again() {
    const ALL: &str = "GRANT ALL ON *.*";
    const LESS: &str = "GRANT SELECT ON *.*";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(mut server) = start_with(&data, 0, Some(&users(folder.path(), ALL, "w"))) else {
        return;
    };
    let port = server.port;
    let again = |server: &mut Server, grants, password| {
        server.kill();
        *server = start_with(&data, port, Some(&users(folder.path(), grants, password))).unwrap();
    };
    for (grants, password) in [(LESS, "w"), (ALL, "other")] {
        let (mut sink, history) = begun(&server, &[("user", "writer"), ("password", "w")]);
        again(&mut server, grants, password);
        while_held(sink.as_mut(), &history, || again(&mut server, ALL, "w"));
        assert_as_undisturbed(&server, grants);
    }
}

/// Where a table comes back in another shape, no row goes there.
fn check_shape() {
    let Some((_folder, server)) = server() else { return };
    let (mut sink, history) = begun(&server, &[]);
    server.query("RENAME TABLE own.positions TO own.away");
    server.query(
        "CREATE TABLE own.shape AS own.away ENGINE = ReplacingMergeTree(_version, _deleted) \
                  ORDER BY (wallet)",
    );
    while_held(sink.as_mut(), &history, || {
        server.query("RENAME TABLE own.shape TO own.positions");
        std::thread::sleep(Duration::from_millis(2_500));
        assert_eq!(server.query("SELECT count() FROM own.positions"), "0\n");
        server.query("RENAME TABLE own.positions TO own.shape, own.away TO own.positions");
    });
    assert_as_undisturbed(&server, "another shape");
}

#[test]
fn a_table_that_comes_back_in_another_shape_gets_no_rows() {
    check_shape();
}

#[cfg(feature = "sabotage")]
#[test]
fn rows_in_a_table_of_another_shape_are_noticed() {
    if server().is_some() {
        types::sabotage::assert_noticed(Safeguard::LayoutAgain, 1, |_| check_shape());
    }
}

/// What was delivered lay in the table that is gone: a run that goes on doesn't make an empty one.
#[test]
fn a_run_that_goes_on_makes_no_tables() {
    let Some((_folder, server)) = server() else { return };
    let history = history(5, 6, 30);
    let state = state_dir();
    let mut sink = open_house_in(&server, &history.names, &[], (&state, false)).unwrap();
    deliver(sink.as_mut(), &history, 1);
    server.query("DROP TABLE own.positions");
    let error = open_house_in(&server, &history.names, &[], (&state, true)).err().unwrap();
    assert_eq!(error.class, Class::Broken);
    assert!(error.to_string().contains("table own.positions isn't there"), "{error}");
    server.query("UNDROP TABLE own.positions");
    drop(open_house_in(&server, &history.names, &[], (&state, true)).unwrap());
}
