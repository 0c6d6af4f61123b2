//! What readers see of a run that goes on: nothing older than what they have seen before it was
//! interrupted.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use tapeline::env::Stopwatch;
use types::sabotage::Safeguard;

use super::job::{Job, Keeps, Running, rows, take_out};
use crate::program::get;

/// The epoch in which a run is killed: by then its sinks have those before.
const KILLED: usize = 120;

/// Kills a run, goes on with it and asks for its rows from the first moment on until they are there.
/// The epochs that were shown, and how often it said that it was still catching up.
fn shown(seed: u64, keeps: Keeps, out: Option<Safeguard>) -> (Vec<u64>, usize) {
    let server = ("[sources.fills]", "[server]\nlisten = \"127.0.0.1:0\"\n[sources.fills]");
    let mut job = Job::new(&rows(seed, 8_000)).with(server.0, server.1);
    job.set(1, keeps);
    let point = format!("changes.kept:{KILLED}");
    let ended = job.folder.end(job.command().env("TAPELINE_FAIL", point));
    assert_eq!(ended.code, None, "{ended:?}");
    let mut command = job.command();
    take_out(command.arg("--serve"), out);
    let mut running = Running(command.spawn().unwrap());
    let said = BufReader::new(running.0.stderr.take().unwrap());
    let mut said = said.lines().map(Result::unwrap);
    let address = said.find_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned()));
    let address = address.expect("an address");
    // Nobody waits for what it says.
    let reader = std::thread::spawn(move || said.for_each(drop));
    let (mut epochs, mut n_waits, watch) = (Vec::new(), 0, Stopwatch::start());
    while epochs.len() < 20 {
        assert!(watch.elapsed() < Duration::from_secs(90), "seed {seed}: it doesn't catch up");
        let (status, answer) = get(&address, "/v1/views/positions?limit=1");
        let (ready, _) = get(&address, "/health/ready");
        match status.as_str() {
            "200" => {
                epochs.push(answer["epoch"].as_str().unwrap().parse().unwrap());
                assert!(ready == "200" || out.is_some(), "seed {seed}: rows, and not ready");
            }
            "503" => {
                assert_eq!(answer["code"], "catching_up");
                n_waits += 1;
            }
            other => panic!("{other}: {answer}"),
        }
    }
    drop(running);
    reader.join().unwrap();
    (epochs, n_waits)
}

/// Whether all that was shown is at least as new as what sinks have had.
fn is_new(epochs: &[u64]) -> bool {
    // Of the epochs before the kill the sinks have all but those that were on their way.
    epochs.iter().all(|epoch| *epoch + 20 >= u64::try_from(KILLED).unwrap())
}

#[test]
fn a_run_that_goes_on_shows_nothing_older() {
    let mut n_waits = 0;
    for (seed, keeps) in [(1, Keeps::Positions), (2, Keeps::Events), (3, Keeps::Checkpoints)] {
        let (epochs, waits) = shown(seed, keeps, None);
        assert!(is_new(&epochs), "seed {seed}, {keeps:?}: {epochs:?}");
        n_waits += waits;
    }
    println!(
        "rig serving: 3 runs went on, {n_waits} requests came too early, nothing older was shown"
    );
}

/// The control: without the wait readers see the run grow again from nothing.
fn is_noticed(sabotage: Safeguard, seed: u64) {
    let (epochs, _) = shown(seed, Keeps::Positions, Some(sabotage));
    assert!(!is_new(&epochs), "{sabotage:?} is out, and nothing older is shown: {epochs:?}");
}

#[test]
fn what_is_shown_too_early_is_noticed() {
    is_noticed(Safeguard::CaughtUpFirst, 1);
}
