//! Rows that no column holds, against a real server: each is in quarantine once, and no older row stands in
//! its place, wherever the process ends. No operator gives such rows today, so that the sink is driven here
//! by a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use connectors::error::ConnectError;
use connectors::sink::{EpochChanges, SinkContext, SinkReport, SinkView};
use types::relations::RelationKind;
#[cfg(feature = "sabotage")]
use types::sabotage::Safeguard;
use types::{Changes, Column, Decimal, Epoch, Kind, Row, Schema, Text, Value};

use crate::support::Server;
use crate::support::house::{context, open, server, settings, state_dir};

/// Rows of each of three kinds: such whose price fits, such whose price never did, and such whose price
/// doesn't any more at the end.
const N_ROWS: usize = 100;
/// Rows of an epoch.
const OF_EPOCH: usize = 25;
/// A price that `Decimal(18, 9)` doesn't hold.
const TOO_MUCH: i64 = 1_000_000_000;

fn view() -> SinkView {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let columns =
        vec![column("n", Kind::Count), column("name", Kind::Text), column("price", Kind::Price)];
    let schema = Schema { columns, n_key: 1, time: None }.shared();
    SinkView { name: "marks".into(), kind: RelationKind::Rows, schema }
}

/// Each row that doesn't fit comes once, and long after one that does, so that none depends on where
/// batches are cut.
fn epochs() -> Vec<EpochChanges> {
    let row = |n: usize, price: i64| {
        let n = u64::try_from(n).unwrap();
        let name = Value::from(Text::from(format!("name {n}")));
        Row([Value::from(n), name, Value::Number(Decimal::from(price))].into())
    };
    let early = (0..3 * N_ROWS).map(|n| vec![(row(n, if n % 3 == 1 { TOO_MUCH } else { 7 }), 1)]);
    let late = (0..3 * N_ROWS).filter(|n| n % 3 == 2);
    let late = late.map(|n| vec![(row(n, 7), -1), (row(n, TOO_MUCH), 1)]);
    let changes: Vec<_> = early.chain(late).collect();
    let epochs = changes.chunks(OF_EPOCH).zip(1..).map(|(changes, epoch)| EpochChanges {
        epoch: Epoch(epoch),
        views: vec![Arc::new(Changes::Rows(changes.concat()))],
    });
    epochs.collect()
}

/// A job: where it goes, and what it keeps.
struct Job {
    url: String,
    database: String,
    state: PathBuf,
    max_refused: &'static str,
}

impl Job {
    fn new(server: &Server, database: &str) -> Self {
        // Tables that keep all that they are given.
        let job = Self {
            url: server.url(),
            database: database.into(),
            state: state_dir(),
            max_refused: "1000",
        };
        drop(job.open(false).unwrap());
        server.query(&format!("SYSTEM STOP MERGES {database}.marks"));
        job
    }

    fn open(&self, is_resumed: bool) -> Result<Box<dyn connectors::sink::Sink>, ConnectError> {
        let settings = settings(&[
            ("url", &self.url),
            ("database", &self.database),
            ("max_rows", "30"),
            ("max_refused", self.max_refused),
        ]);
        let state_dir = self.state.clone();
        let context = context(&Arc::default(), Path::new(""), settings);
        let context = SinkContext { views: vec![view()], state_dir, is_resumed, ..context };
        open("clickhouse", context)
    }

    fn run(&self, is_resumed: bool) -> Result<SinkReport, ConnectError> {
        let mut sink = self.open(is_resumed)?;
        epochs().iter().try_for_each(|changes| sink.write(changes))?;
        sink.finish()
    }

    /// Runs it in a process of its own.
    fn spawn(&self, is_resumed: bool, more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "unfit::a_run_of_its_own", "--ignored"]);
        let state = self.state.to_str().unwrap();
        command.envs([("RUN_URL", self.url.as_str()), ("RUN_DATABASE", &self.database)]);
        command.envs([("RUN_STATE", state), ("RUN_IS_RESUMED", if is_resumed { "1" } else { "" })]);
        command.envs(more.iter().copied()).output().unwrap()
    }

    /// All that the table was given, and what was set aside.
    fn given(&self, server: &Server) -> [String; 2] {
        let sql = format!("SELECT * FROM {}.marks ORDER BY ALL FORMAT TSV", self.database);
        let aside = std::fs::read_to_string(self.state.join("quarantine.jsonl")).unwrap();
        [server.query(&sql), aside]
    }
}

#[test]
#[ignore = "other tests start it, and end it in its middle"]
fn a_run_of_its_own() {
    #[cfg(feature = "sabotage")]
    types::sabotage::take_out_by_name();
    let variable = |name| std::env::var(name).unwrap();
    let job = Job {
        url: variable("RUN_URL"),
        database: variable("RUN_DATABASE"),
        state: variable("RUN_STATE").into(),
        max_refused: "1000",
    };
    job.run(!variable("RUN_IS_RESUMED").is_empty()).unwrap();
}

/// What a run that nobody disturbs gives: each row that doesn't fit in quarantine, and none in the table.
fn check_whole(server: &Server) -> [String; 2] {
    let job = Job::new(server, "whole");
    let output = job.spawn(false, &[]);
    assert!(output.status.success(), "{output:?}");
    let counts = "SELECT count(), countIf(n % 3 != 0), \
                  (SELECT countIf(_deleted = 0 AND n % 3 = 2) FROM whole.marks) FROM whole.marks FINAL";
    assert_eq!(server.query(counts), format!("{N_ROWS}\t0\t{N_ROWS}\n"));
    let [stored, aside] = job.given(server);
    let mut lines: Vec<&str> = aside.lines().collect();
    let n_unfit = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((n_unfit, lines.len()), (2 * N_ROWS, 2 * N_ROWS));
    let line = "{\"sink\":\"house\",\"view\":\"marks\",\"table\":\"marks\",\"epoch\":\"1\",\"op\":\"put\",\
                \"row\":{\"n\":\"1\",\"name\":\"name 1\",\"price\":\"1000000000\"},\
                \"reason\":\"value_out_of_range\",\
                \"detail\":\"\\\"1000000000\\\" doesn't fit column price (price)\"}";
    assert_eq!(aside.lines().next(), Some(line));
    [stored, aside]
}

#[test]
fn rows_that_fit_no_column_are_set_aside_and_no_older_ones_stay() {
    let Some((_folder, server)) = server() else { return };
    check_whole(&server);
}

#[test]
fn more_of_them_than_may_be_end_the_run_which_can_go_on() {
    let Some((_folder, server)) = server() else { return };
    let expected = check_whole(&server);
    let mut job = Job::new(&server, "own");
    job.max_refused = "50";
    for is_resumed in [false, true, true] {
        // Trying again changes nothing.
        let error = job.run(is_resumed).unwrap_err();
        assert_eq!(error.class, connectors::error::Class::Broken);
        let text = error.to_string();
        assert!(text.contains("rows fit no column of ClickHouse, "), "{text}");
        assert!(text.contains("`max_refused` is 50; the first one is of view marks: "), "{text}");
        assert!(error.hint.unwrap().starts_with("start again with a greater `max_refused`"));
        let n_aside = job.given(&server)[1].lines().count();
        assert!((20..=50).contains(&n_aside), "{n_aside}");
    }
    job.max_refused = "1000";
    let report = job.run(true).unwrap();
    assert_eq!(report.n_refused, u64::try_from(2 * N_ROWS).unwrap());
    assert_eq!(job.given(&server), expected);
}

/// Ends a run at a point, and once more where it goes on; how often that was reached.
#[cfg(feature = "sabotage")]
fn end_at(job: &Job, point: &str, out: &str) -> usize {
    let more = [("TAPELINE_FAIL", point), ("TAPELINE_SABOTAGE", out)];
    // No name is that of no safeguard.
    let more = if out.is_empty() { &more[..1] } else { &more };
    for n_ended in 0..2 {
        let output = job.spawn(n_ended > 0, more);
        if output.status.success() {
            return n_ended;
        }
        assert_eq!(output.status.code(), None, "{point}: {output:?}");
    }
    let output = job.spawn(true, &more[1..]);
    assert!(output.status.success(), "{point}: {output:?}");
    2
}

#[cfg(feature = "sabotage")]
#[test]
fn an_end_where_rows_are_set_aside_sets_none_aside_twice() {
    let Some((_folder, server)) = server() else { return };
    let expected = check_whole(&server);
    let (mut n_jobs, mut n_ended) = (0, 0);
    for (point, times) in [
        ("aside.written", [1, 2, 50, 199]),
        ("unfit.kept", [1, 2, 5, 7]),
        ("outbox.put", [1, 2, 5, 7]),
        ("insert.before", [1, 2, 8, 12]),
        ("kept.written", [1, 2, 3, 8]),
        ("kept.done", [1, 2, 3, 8]),
    ] {
        for time in times {
            let job = Job::new(&server, &format!("j{n_jobs}"));
            n_ended += end_at(&job, &format!("{point}:{time}"), "");
            n_jobs += 1;
            assert_eq!(job.given(&server), expected, "{point}, time {time}");
        }
    }
    println!(
        "rows that don't fit: ended {n_ended} times in {n_jobs} jobs: none is set aside twice"
    );
    assert!(n_ended > n_jobs, "{n_ended} of {n_jobs}");
}

/// A run with a protection out must give something else.
#[cfg(feature = "sabotage")]
fn is_noticed(out: Safeguard, point: &str) {
    let Some((_folder, server)) = server() else { return };
    let expected = check_whole(&server);
    let job = Job::new(&server, "own");
    end_at(&job, point, &format!("{out:?}"));
    assert_ne!(job.given(&server), expected, "{out:?} is out, and nothing differs");
}

#[cfg(feature = "sabotage")]
#[test]
fn older_rows_in_the_place_of_such_are_noticed() {
    is_noticed(Safeguard::StaleTakenBack, "unfit.kept:1");
}

#[cfg(feature = "sabotage")]
#[test]
fn such_rows_set_aside_twice_are_noticed() {
    is_noticed(Safeguard::AsideCut, "aside.written:7");
}
