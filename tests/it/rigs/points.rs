//! The process ends at every fail point, at its first, second and tenth time.

#![cfg(feature = "sabotage")]

use std::collections::BTreeSet;

use types::sabotage::Safeguard;

use super::house::House;
use super::job::{Job, Keeps, difference, fills, take_out};

/// What ends a run, and what its control takes out.
#[derive(Clone, Copy)]
struct Fault<'a> {
    point: &'a str,
    time: usize,
    sabotage: Option<Safeguard>,
}

/// Ends a run at a point, and once more where it goes on; how often that was reached.
fn end_at(job: &Job, fault: Fault<'_>) -> usize {
    let mut n_ended = 0;
    for _ in 0..2 {
        let mut command = job.command();
        command.env("TAPELINE_FAIL", format!("{}:{}", fault.point, fault.time));
        take_out(&mut command, fault.sabotage);
        let output = command.output().unwrap();
        if output.status.success() {
            return n_ended;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{}: it ended by itself: {said}", fault.point);
        n_ended += 1;
        if fault.point.starts_with("journal.end.") {
            // All is delivered: what comes now is another run.
            return n_ended;
        }
    }
    let mut command = job.command();
    take_out(&mut command, fault.sabotage);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: going on ended with {said}", fault.point);
    n_ended
}

/// Ends runs at every point the `time`-th time that they come by.
fn end_everywhere(time: usize, keeps: Keeps) {
    let house = House::start();
    let house = house.as_deref();
    let fills = fills(7);
    let mut whole = Job::new(&fills).tables(house, "whole");
    whole.set(1, keeps);
    let output = whole.command().env("TAPELINE_POINTS", "points").output().unwrap();
    assert!(output.status.success());
    let expected = whole.given(house);
    let points: BTreeSet<String> = whole.folder.read("points").lines().map(str::to_owned).collect();
    let (mut n_ended, mut n_jobs) = (0, 0);
    for (index, point) in points.iter().enumerate() {
        let mut job = Job::new(&fills).tables(house, &format!("j{n_jobs}"));
        job.set([1, 2, 4][index % 3], keeps);
        n_ended += end_at(&job, Fault { point, time, sabotage: None });
        let differs = difference(&job.given(house), &expected);
        assert_eq!(differs, None, "{point}, time {time}, {keeps:?}");
        n_jobs += 1;
    }
    println!(
        "fail points, {keeps:?}: {} points, ended {n_ended} times in {n_jobs} runs: no byte differs",
        points.len()
    );
    assert!(points.len() >= if house.is_some() { 40 } else { 30 }, "{points:?}");
}

#[test]
fn a_run_may_end_at_every_point() {
    end_everywhere(1, Keeps::Positions);
}

#[test]
fn a_run_may_end_at_every_point_the_second_time() {
    end_everywhere(2, Keeps::Events);
}

#[test]
fn a_run_may_end_at_every_point_the_tenth_time() {
    end_everywhere(10, Keeps::Positions);
}

#[test]
fn a_run_that_keeps_events_may_end_at_every_point() {
    end_everywhere(10, Keeps::Events);
}

/// A run with a protection out must give something else at one of some points.
fn is_noticed(sabotage: Safeguard, points: &[&str]) {
    let fills = fills(7);
    let whole = Job::new(&fills);
    whole.finish();
    let expected = whole.given(None);
    let notices = points.iter().any(|point| {
        let job = Job::new(&fills);
        let ended = std::panic::catch_unwind(|| {
            end_at(&job, Fault { point, time: 10, sabotage: Some(sabotage) })
        });
        ended.is_err() || difference(&job.given(None), &expected).is_some()
    });
    assert!(notices, "{sabotage:?} is out, and nothing differs");
}

#[test]
fn changes_are_cut_where_they_were_synced() {
    is_noticed(Safeguard::ChangesCut, &["changes.synced"]);
}

#[test]
fn epochs_count_once() {
    is_noticed(Safeguard::EpochsOnce, &["changes.kept"]);
}

#[test]
fn a_batch_is_in_the_outbox_first() {
    let Some(house) = House::start() else { return };
    let job = Job::new(&fills(7)).tables(Some(&house), "without");
    let out = (Safeguard::OutboxFirst, "insert.after");
    let fault = Fault { point: out.1, time: 2, sabotage: Some(out.0) };
    let ended = std::panic::catch_unwind(|| end_at(&job, fault));
    assert!(ended.is_err(), "tables that hold rows are refused where nothing says whose they are");
}
