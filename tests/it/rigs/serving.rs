//! What readers see of a run that goes on: nothing older than what they have seen before it was
//! interrupted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tapeline::env::Stopwatch;
use types::sabotage::Safeguard;

use super::job::{Job, Keeps, Running, rows, take_out};
use crate::program::{get, tapeline, try_get};

/// The epoch in which a run is killed: by then its sinks have those before.
const KILLED: usize = 120;

/// A run that goes on where one was killed.
struct GoesOn {
    _job: Job,
    running: Running,
    /// Of its server.
    address: String,
    /// Gets the first epoch that no run before it has confirmed.
    first_new: Receiver<u64>,
}

fn going_on(seed: u64, keeps: Keeps, out: Option<Safeguard>) -> GoesOn {
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
    let (tell, first_new) = channel();
    std::thread::spawn(move || {
        // All is read, so that it never waits for us.
        for line in said.filter(|line| line.contains("caught up")) {
            let epoch = line.rsplit_once("epoch=").and_then(|(_, epoch)| epoch.trim().parse().ok());
            tell.send(epoch.expect("an epoch")).unwrap_or_default();
        }
    });
    let address = address.expect("an address");
    GoesOn { _job: job, running, address, first_new }
}

/// Asks a run that goes on for its rows from the first moment on until they are there. Whether none was
/// older than what its sinks and readers may have had, and how often it said that it was catching up.
fn shown(seed: u64, keeps: Keeps, out: Option<Safeguard>) -> (bool, usize) {
    let run = going_on(seed, keeps, out);
    let address = &run.address;
    let (mut epochs, mut n_waits, watch) = (Vec::new(), 0, Stopwatch::start());
    while epochs.len() < 20 {
        assert!(watch.elapsed() < Duration::from_secs(90), "seed {seed}: it doesn't catch up");
        let (status, answer) = get(address, "/v1/views/positions?limit=1");
        match status.as_str() {
            "200" => epochs.push(answer["epoch"].as_str().unwrap().parse().unwrap()),
            "503" => {
                assert_eq!(answer["code"], "catching_up");
                n_waits += 1;
            }
            other => panic!("{other}: {answer}"),
        }
    }
    if out.is_none() {
        assert_eq!(get(address, "/health/ready").0, "200", "seed {seed}: rows, and not ready");
    }
    let first_new = run.first_new.recv_timeout(Duration::from_secs(90)).expect("it catches up");
    (is_new(&epochs, first_new), n_waits)
}

/// Whether all that was shown is at least as new as the last epoch that the killed run had confirmed.
fn is_new(epochs: &[u64], first_new: u64) -> bool {
    epochs.iter().all(|epoch| epoch + 1 >= first_new)
}

#[test]
fn a_run_that_goes_on_shows_nothing_older() {
    let mut n_waits = 0;
    for (seed, keeps) in [(1, Keeps::Positions), (2, Keeps::Events), (3, Keeps::Checkpoints)] {
        let (is_new, waits) = shown(seed, keeps, None);
        assert!(is_new, "seed {seed}, {keeps:?}");
        n_waits += waits;
    }
    println!(
        "rig: serving: 3 runs went on, {n_waits} requests came too early, nothing older was shown"
    );
}

/// Stops a run that is catching up; whether it still was when it ended. Until then it must show nothing,
/// not even to who waits for it.
fn is_silent_to_the_last(seed: u64, keeps: Keeps) -> bool {
    let GoesOn { _job, mut running, address, first_new } = going_on(seed, keeps, None);
    let mut waits = tapeline();
    waits.args(["subscribe", &address, "positions"]);
    let waits = waits.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let ask = || try_get(&address, "/v1/views/positions?limit=1");
    let (mut epochs, mut n_asked) = (Vec::new(), 0);
    while let Some((status, answer)) = ask() {
        n_asked += 1;
        if status == "200" {
            epochs.push(answer["epoch"].as_str().unwrap().parse().unwrap());
        }
        if n_asked == 15 {
            let mut kill = Command::new("kill");
            assert!(kill.args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
        }
    }
    assert!(running.0.wait().unwrap().success(), "seed {seed}, {keeps:?}");
    let heard = waits.wait_with_output().unwrap().stdout;
    // One that was stopped with the last epoch of the log says nothing of a new one.
    let first_new = first_new.recv().unwrap_or_else(|_| u64::try_from(KILLED).unwrap() - 20);
    assert!(is_new(&epochs, first_new), "seed {seed}, {keeps:?}, {first_new}: {epochs:?}");
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.is_empty() || !epochs.is_empty(), "seed {seed}, {keeps:?}: {heard}");
    epochs.is_empty()
}

#[test]
fn a_run_that_is_stopped_meanwhile_shows_nothing_older() {
    let runs = (10..16).map(|seed| (seed, Keeps::ALL[usize::try_from(seed % 3).unwrap()]));
    let n_silent = runs.filter(|(seed, keeps)| is_silent_to_the_last(*seed, *keeps)).count();
    assert!(n_silent > 0, "all runs had caught up before they were stopped");
    println!(
        "rig: serving: of 6 runs that were stopped {n_silent} hadn't caught up, and showed nothing"
    );
}

/// The control: without the wait readers see the run grow again from nothing.
fn is_noticed(sabotage: Safeguard, seed: u64) {
    let (is_new, _) = shown(seed, Keeps::Positions, Some(sabotage));
    assert!(!is_new, "{sabotage:?} is out, and nothing older is shown");
}

#[test]
fn what_is_shown_too_early_is_noticed() {
    is_noticed(Safeguard::CaughtUpFirst, 1);
}
