//! Signals at random instants, on 1, 2 and 4 workers: kill -9, SIGTERM, SIGTERM twice.

use std::process::{Child, Command};
use std::time::Duration;

use tapeline::env::Stopwatch;

use super::dice::Dice;
use super::house::House;
use super::job::{Job, Keeps, any, difference, fills, wanted};

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Kill,
    Terminate,
    TerminateTwice,
}

/// Lets a run go on for a while and stops it; whether it was still running.
fn stop_after(mut child: Child, wait: Duration, stop: Stop) -> bool {
    let watch = Stopwatch::start();
    while watch.elapsed() < wait {
        if child.try_wait().unwrap().is_some() {
            Job::assert_done(&child.wait_with_output().unwrap());
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    if stop == Stop::Kill {
        child.kill().unwrap();
        child.wait().unwrap();
        return true;
    }
    let terminate = || {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &child.id().to_string()]).status().unwrap().success()
    };
    let was_there = terminate();
    if stop == Stop::TerminateTwice {
        std::thread::sleep(Duration::from_millis(3));
        terminate();
    }
    let watch = Stopwatch::start();
    let output = child.wait_with_output().unwrap();
    assert!(watch.elapsed() < Duration::from_secs(20), "it took {:?} to stop", watch.elapsed());
    let said = String::from_utf8_lossy(&output.stderr);
    // Before it listens, a signal ends it as it ends any process. Where the run before was stopped only
    // after its end, this is another run, which refuses tables that hold rows.
    let is_well =
        matches!(output.status.code(), Some(0 | 130) | None) || said.contains("holds rows");
    assert!(is_well, "it was asked to stop and ended with {:?}: {said}", output.status);
    was_there
}

/// Stops runs until so many were stopped; each job in the end gives what an undisturbed one gives.
fn check(seed: u64, n_wanted: usize, stops: &[Stop], what: &str) {
    let house = House::start();
    let house = house.as_deref();
    let mut dice = Dice(seed);
    let (mut n_stopped, mut round) = (0, 0);
    while n_stopped < n_wanted {
        let fills = fills(seed + round);
        // Scores that depend on when rows came are gone on with in another way, which takes longer.
        let job = |fills: &str| {
            if round % 4 == 1 { Job::new(fills).scored() } else { Job::new(fills) }
        };
        let undisturbed = job(&fills).tables(house, &format!("whole{round}"));
        let watch = Stopwatch::start();
        undisturbed.finish();
        let takes = u64::try_from(watch.elapsed().as_micros()).unwrap();
        let expected = undisturbed.given(house);
        let keeps = Keeps::ALL[usize::try_from(round % 3).unwrap()];
        let mut stopped = job(&fills).tables(house, &format!("stopped{round}"));
        let mut is_done = false;
        for _ in 0..12 {
            let wait = Duration::from_micros(dice.below(takes));
            let stop = stops[any(&mut dice, stops.len())];
            // Each part of a run may have other workers.
            stopped.set([1, 2, 4][any(&mut dice, 3)], keeps);
            if !stop_after(stopped.spawn(), wait, stop) {
                is_done = true;
                break;
            }
            n_stopped += 1;
        }
        if !is_done {
            Job::assert_done(&stopped.command().output().unwrap());
        }
        let differs = difference(&stopped.given(house), &expected);
        assert_eq!(differs, None, "seed {seed}, round {round}");
        undisturbed.drop_tables(house);
        stopped.drop_tables(house);
        round += 1;
    }
    println!(
        "rig: {what}: {n_stopped} in {round} jobs on 1, 2 and 4 workers, seed {seed}: no byte differs"
    );
}

#[test]
fn killed_runs_give_what_undisturbed_ones_give() {
    check(20_261_121, wanted("TAPELINE_KILLS", 100), &[Stop::Kill], "kill -9");
}

#[test]
fn terminated_runs_give_what_undisturbed_ones_give() {
    let stops = [Stop::Terminate, Stop::TerminateTwice, Stop::Kill];
    check(20_261_122, wanted("TAPELINE_TERMS", 40), &stops, "SIGTERM, twice, kill -9");
}
