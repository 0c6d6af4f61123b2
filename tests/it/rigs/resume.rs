//! What a run that was interrupted tells the next one, and what it asks of it.

#![cfg(feature = "sabotage")]

use std::fs::File;

use super::job::{Job, Keeps, difference, fills, rows};
use crate::program::Ended;

/// A job whose run has ended in the middle, with changes delivered, and its fills.
fn interrupted() -> (Job, String) {
    interrupted_keeping(Keeps::Positions)
}

fn interrupted_keeping(keeps: Keeps) -> (Job, String) {
    let fills = fills(3);
    let mut job = Job::new(&fills);
    job.set(1, keeps);
    let ended = job.folder.end(job.command().env("TAPELINE_FAIL", "changes.kept:3"));
    assert_eq!(ended.code, None, "{ended:?}");
    (job, fills)
}

/// A job whose run has ended once it had delivered so many epochs. When files are kept, and so which point
/// that is, depends on how fast epochs come.
fn interrupted_behind(n_epochs: u64) -> Job {
    let fills = fills(3);
    let last = |job: &Job| {
        let changes = job.folder.read("out/changes/bars.jsonl");
        // The last line may be torn.
        let whole = changes.lines().filter_map(|line| serde_json::from_str(line).ok());
        whole.filter_map(|row: serde_json::Value| row["epoch"].as_str()?.parse::<u64>().ok()).max()
    };
    let ended = |n: u64| {
        let mut job = Job::new(&fills);
        job.set(1, Keeps::Positions);
        let mut command = job.command();
        let ended = job.folder.end(command.env("TAPELINE_FAIL", format!("changes.kept:{n}")));
        (ended.code.is_none() && last(&job) >= Some(n_epochs)).then_some(job)
    };
    (3..60).find_map(ended).expect("no run ended late enough")
}

/// The program's answer to the job as it stands now.
fn run(job: &Job, more: &[&str]) -> Ended {
    let mut command = job.command();
    job.folder.end(command.args(more))
}

fn assert_refused(ended: &Ended, texts: &[&str]) {
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for text in texts {
        assert!(ended.err.contains(text), "{text} isn't in {}", ended.err);
    }
}

#[test]
fn a_run_goes_on_and_the_next_one_starts_anew() {
    let (job, fills) = interrupted();
    let mut whole = Job::new(&fills);
    whole.set(2, Keeps::Positions);
    whole.finish();
    let before = job.folder.read("out/changes/positions.jsonl").len();
    assert!(before > 0);
    let ended = run(&job, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("going on with the run that was interrupted"), "{ended:?}");
    assert_eq!(difference(&job.given(None), &whole.given(None)), None);
    // All is delivered now: the next run is another one.
    job.folder.write("fills.csv", fills.replace("buy", "sell"));
    job.finish();
    assert!(difference(&job.given(None), &whole.given(None)).is_some());
}

#[test]
fn rows_that_changed_are_told_with_their_source() {
    let (job, fills) = interrupted();
    let (head, rest) = fills.split_at(3_000);
    job.folder.write("fills.csv", format!("{}{rest}", head.replacen("buy", "sell", 1)));
    let told = ["source `fills` has other rows in epoch 1", "--fresh"];
    assert_refused(&run(&job, &[]), &told);
    let whole = Job::new(&job.folder.read("fills.csv"));
    whole.finish();
    assert_eq!(run(&job, &["--fresh"]).code, Some(0));
    assert_eq!(difference(&job.given(None), &whole.given(None)), None);
}

#[test]
fn rows_that_are_gone_are_told_with_their_number() {
    let (job, fills) = interrupted();
    let rows: Vec<&str> = fills.lines().take(21).collect();
    job.folder.write("fills.csv", rows.join("\n"));
    assert_refused(&run(&job, &[]), &["source `fills` gives 20 rows to epoch 1, and gave 50"]);
}

#[test]
fn another_config_is_another_run() {
    let (job, fills) = interrupted();
    let config = job.folder.read("c.toml");
    job.folder.write("c.toml", config.replace("\"1m\", \"1h\"", "\"1m\", \"2h\""));
    assert_refused(&run(&job, &[]), &["it computed something else", "--fresh"]);
    // How many workers compute changes nothing of what comes out.
    job.folder.write("c.toml", config.replace("workers = 1", "workers = 4"));
    job.finish();
    let whole = Job::new(&fills);
    whole.finish();
    assert_eq!(difference(&job.given(None), &whole.given(None)), None);
}

#[test]
fn other_results_stop_the_run() {
    // By then a late trade has changed a bar.
    let job = interrupted_behind(10);
    let mut command = job.command();
    let ended = job.folder.end(command.env("TAPELINE_SABOTAGE", "NewestInOrder"));
    assert_refused(&ended, &["gave", "and gives", "this is a bug of Tapeline"]);
}

#[test]
fn a_changed_output_file_is_told() {
    let (job, _) = interrupted();
    job.folder.write("out/changes/positions.jsonl", "");
    assert_refused(&run(&job, &[]), &["positions.jsonl: it has 0 bytes, and", "--fresh"]);
}

#[test]
fn a_damaged_log_is_told_with_its_place() {
    let (job, _) = interrupted();
    let path = "state/log/00000000000000000001.seg";
    let mut bytes = std::fs::read(job.folder.path(path)).unwrap();
    bytes[80] ^= 4;
    job.folder.write(path, bytes);
    assert_refused(&run(&job, &[]), &["00000000000000000001.seg, byte 64", "--fresh"]);
}

/// A log is damaged in its middle: what it held is read again, or a checkpoint holds it.
#[test]
fn a_damaged_log_is_salvaged() {
    let fills = rows(5, 8_000);
    let whole = Job::new(&fills);
    whole.finish();
    for (keeps, fail, told) in [
        (Keeps::Positions, "changes.kept:9", "read again from the sources"),
        (Keeps::Events, "checkpoint.run.named:1", "read again from the sources"),
        (Keeps::Events, "checkpoint.manifest.synced:5", "a checkpoint holds what they brought"),
    ] {
        let mut job = Job::new(&fills);
        job.set(2, keeps);
        let ended = job.folder.end(job.command().env("TAPELINE_FAIL", fail));
        assert_eq!(ended.code, None, "{ended:?}");
        let path = "state/log/00000000000000000001.seg";
        let mut bytes = std::fs::read(job.folder.path(path)).unwrap();
        // Of an early epoch, which any checkpoint holds.
        let place = 1_000;
        bytes[place] ^= 4;
        job.folder.write(path, bytes);
        assert_refused(&run(&job, &[]), &["00000000000000000001.seg, byte ", "--salvage"]);
        // It may be stopped in the middle.
        let mut said = String::new();
        for point in ["log.salvaged:1", "log.cut.behind:1"] {
            let ended = job.folder.end(job.command().arg("--salvage").env("TAPELINE_FAIL", point));
            assert!(ended.code.is_none() || ended.code == Some(0), "{ended:?}");
            said += &ended.err;
        }
        let ended = run(&job, &["--salvage"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        said += &ended.err;
        assert!(said.contains(told), "{told} isn't in {said}");
        assert_eq!(difference(&job.given(None), &whole.given(None)), None, "{keeps:?} {told}");
    }
}

#[test]
fn one_engine_at_a_time_runs_there() {
    let (job, _) = interrupted();
    let lock = File::options().write(true).open(job.folder.path("state/lock")).unwrap();
    lock.lock().unwrap();
    assert_refused(&run(&job, &[]), &["another engine runs there (process ", "data_dir"]);
    drop(lock);
    job.finish();
}

/// Readers see more than sinks have: a server may come and go between the parts of a run.
#[test]
fn a_server_may_be_added() {
    let (job, fills) = interrupted();
    let config = job.folder.read("c.toml");
    job.folder.write("c.toml", format!("{config}\n[server]\nlisten = \"127.0.0.1:0\"\n"));
    let ended = run(&job, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("going on with the run that was interrupted"), "{ended:?}");
    let whole = Job::new(&fills);
    whole.finish();
    assert_eq!(difference(&job.given(None), &whole.given(None)), None);
}

/// Events that are kept are fed as they were, whatever has become of their rows.
#[test]
fn rows_whose_events_are_kept_need_not_be_there() {
    let (mut job, fills) = interrupted_keeping(Keeps::Events);
    let (head, rest) = fills.split_at(3_000);
    let head = head.replace("buy", "sell").replace("insert", "inserd");
    job.folder.write("fills.csv", format!("{head}{rest}"));
    job.set(4, Keeps::Events);
    job.finish();
    let whole = Job::new(&fills);
    whole.finish();
    assert_eq!(difference(&job.given(None), &whole.given(None)), None);
}

#[test]
fn rows_that_were_kept_and_are_gone_are_counted() {
    let (mut job, fills) = interrupted_keeping(Keeps::Events);
    let rows: Vec<&str> = fills.lines().take(21).collect();
    job.folder.write("fills.csv", rows.join("\n"));
    assert_refused(&run(&job, &[]), &["rows less than were read", "--fresh"]);
    job.set(1, Keeps::Positions);
    assert_refused(&run(&job, &[]), &["it computed something else", "--fresh"]);
}
