//! The process ends at every fail point, at its first, second and tenth time.

#![cfg(feature = "sabotage")]

use types::sabotage::Safeguard;

use super::house::House;
use super::job::{Job, Keeps, assert_finds, difference, fills, passed, take_out, wanted};

/// The seed of the first job.
const SEED: u64 = 7;

/// What ends a run, and what its control takes out.
#[derive(Clone, Copy, Debug)]
struct Fault<'a> {
    point: &'a str,
    time: u64,
    sabotage: Option<Safeguard>,
}

/// Ends a run at a point, and once more where it goes on; how often that was reached.
fn end_at(job: &Job, fault: Fault<'_>, what: &str) -> usize {
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
        assert_eq!(output.status.code(), None, "{what}: it ended by itself: {said}");
        n_ended += 1;
        if ["journal.end.appended", "journal.end.after"].contains(&fault.point) {
            // All is delivered, and the log may say so: then what comes now is another run.
            return n_ended;
        }
    }
    let mut command = job.command();
    take_out(&mut command, fault.sabotage);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: going on ended with {said}");
    n_ended
}

/// Ends runs at every point the `time`-th time that they come by, where they come by so often.
fn end_everywhere(time: u64, keeps: Keeps) {
    let house = House::start();
    let house = house.as_deref();
    let (mut n_ended, mut n_jobs, mut n_points) = (0, 0, 0);
    for round in 0..u64::try_from(wanted("TAPELINE_POINT_ROUNDS", 1)).unwrap() {
        let seed = SEED + round;
        let fills = fills(seed);
        let mut whole = Job::new(&fills).tables(house, &format!("whole{round}"));
        whole.set(1, keeps);
        let output = whole.command().env("TAPELINE_POINTS", "points").output().unwrap();
        assert!(output.status.success());
        let expected = whole.given(house);
        let mut points = passed(&whole.folder.read("points"));
        assert!(points.len() >= if house.is_some() { 40 } else { 30 }, "{points:?}");
        points.retain(|(_, n_passed)| *n_passed >= time);
        n_points = points.len();
        for (index, (point, _)) in points.iter().enumerate() {
            let mut job = Job::new(&fills).tables(house, &format!("j{n_jobs}"));
            job.set([1, 2, 4][index % 3], keeps);
            let what = format!("seed {seed}, {point}, time {time}, {keeps:?}");
            n_ended += end_at(&job, Fault { point, time, sabotage: None }, &what);
            let differs = difference(&job.given(house), &expected);
            assert_eq!(differs, None, "{what}");
            job.drop_tables(house);
            n_jobs += 1;
        }
        whole.drop_tables(house);
    }
    println!(
        "rig: fail points, time {time}, {keeps:?}: {n_points} points, ended {n_ended} times in {n_jobs} \
         jobs: no byte differs"
    );
    assert!(n_ended >= n_jobs, "at many points no run ended");
}

#[test]
fn a_run_may_end_at_every_point() {
    end_everywhere(1, Keeps::Checkpoints);
}

#[test]
fn a_run_may_end_at_every_point_the_second_time() {
    end_everywhere(2, Keeps::Checkpoints);
}

#[test]
fn a_run_may_end_at_every_point_the_tenth_time() {
    end_everywhere(10, Keeps::Checkpoints);
}

#[test]
fn a_run_that_keeps_positions_may_end_at_every_point() {
    end_everywhere(1, Keeps::Positions);
}

/// A run that goes on takes parts of Parquet changes back that weren't kept: no whole run comes by there.
#[test]
fn a_run_may_end_where_it_takes_parts_back() {
    let fills = fills(SEED);
    let whole = Job::new(&fills);
    whole.finish();
    let job = Job::new(&fills);
    for fault in ["parts.listed:10", "parts.manifest.back:1", "parts.removed:1", "parts.removed:2"]
    {
        let ended = job.folder.end(job.command().env("TAPELINE_FAIL", fault));
        assert_eq!(ended.code, None, "{fault}: it ended by itself: {ended:?}");
    }
    job.finish();
    assert_eq!(difference(&job.given(None), &whole.given(None)), None, "seed {SEED}");
}

/// A run with a protection out must give something else when it ends at a point.
fn is_noticed(sabotage: Safeguard, point: &str) {
    let fills = fills(SEED);
    let whole = Job::new(&fills);
    whole.finish();
    let expected = whole.given(None);
    assert_finds(|| {
        let (job, what) = (Job::new(&fills), format!("seed {SEED}, {point}"));
        end_at(&job, Fault { point, time: 10, sabotage: Some(sabotage) }, &what);
        let differs = difference(&job.given(None), &expected);
        assert_eq!(differs, None, "{what}");
    });
}

#[test]
fn changes_are_cut_where_they_were_synced() {
    is_noticed(Safeguard::ChangesCut, "changes.synced");
}

#[test]
fn parts_that_were_not_kept_do_not_count() {
    is_noticed(Safeguard::PartsCut, "parts.listed");
}

#[test]
fn epochs_count_once() {
    is_noticed(Safeguard::EpochsOnce, "changes.kept");
}

#[test]
fn a_batch_is_in_the_outbox_first() {
    let Some(house) = House::start() else { return };
    let job = Job::new(&fills(SEED)).tables(Some(&house), "without");
    let (out, point) = (Safeguard::OutboxFirst, "insert.after");
    // Tables that hold rows are refused where nothing says whose they are.
    assert_finds(|| {
        end_at(
            &job,
            Fault { point, time: 2, sabotage: Some(out) },
            &format!("seed {SEED}, {point}"),
        );
    });
}
