//! The engine in other surroundings: any call that changes a file may fail there, and its
//! connections at any operation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tapeline::config;
use tapeline::engine::{self, Begin, RunOptions};
use tapeline::error::Error;
use tapeline::stop::Stop;

use super::dice::Dice;
use super::house::House;
use super::job::{Job, Keeps, difference, rows};
use super::made::Made;
use super::stored::{amiss, make_unmerged};

/// Runs a job in such surroundings, in this process.
fn run(job: &Job, env: Arc<Made>) -> Result<(), Error> {
    let plan = config::load(&job.folder.path("c.toml"), &|_| None).unwrap();
    let options = RunOptions {
        env,
        stop: Stop::new(),
        begin: Begin::GoOn,
        n_newest: 0,
        progress: &mut |_| {},
        listening: &mut |_| {},
        hold: &mut |_| {},
    };
    engine::run(plan, options).map(drop)
}

#[test]
fn any_call_of_a_file_may_fail() {
    let fills = rows(21, 4_000);
    let mut whole = Job::new(&fills);
    whole.set(1, Keeps::Checkpoints);
    let all = Arc::new(Made::of_files(1, 0, false));
    run(&whole, Arc::clone(&all)).unwrap();
    let (expected, n_calls) = (whole.given(None), all.calls.n.load(Ordering::Relaxed));
    assert!(n_calls > 100, "{n_calls}");
    let (mut n_failed, mut n_runs) = (0, 0);
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let mut job = Job::new(&fills);
        let failing = loop {
            job.set(1 + n_runs % 2, Keeps::Checkpoints);
            n_runs += 1;
            let failing =
                Arc::new(Made::of_files(seed, 1 + dice.below(n_calls), dice.below(2) == 0));
            match run(&job, Arc::clone(&failing)) {
                Ok(()) => break failing,
                Err(error) => {
                    n_failed += 1;
                    let told = format!("{error:?}");
                    assert!(told.contains("it fails"), "{told}");
                }
            }
        };
        // Where a checkpoint alone fails the run does not.
        let differs = difference(&job.given(None), &expected);
        assert_eq!(differs, None, "seed {seed}, {failing:?}");
    }
    assert!(n_failed > 10, "{n_failed}");
    println!(
        "rig: failing files: {n_failed} of {n_runs} runs failed in 30 jobs, {n_calls} calls: no byte differs"
    );
}

#[test]
fn any_connection_may_break_off() {
    let Some(house) = House::start() else { return };
    let fills = rows(22, 4_000);
    let whole = Job::new(&fills).tables(Some(&house), "direct");
    whole.finish();
    let expected = whole.given(Some(&house));
    let mut n_faults = [0; 3];
    let n_jobs = 4;
    for seed in 0..n_jobs {
        let database = format!("broken{seed}");
        make_unmerged(&house, &database);
        let mut job = Job::new(&fills)
            .tables(Some(&house), &database)
            .with("give_up = \"60s\"", "give_up = \"10m\"");
        job.set([1, 2][usize::try_from(seed % 2).unwrap()], Keeps::Checkpoints);
        let failing = Arc::new(Made::of_wires(seed, 50));
        run(&job, Arc::clone(&failing)).unwrap();
        let wrong = difference(&job.given(Some(&house)), &expected);
        assert_eq!(wrong.or_else(|| amiss(&house, &database)), None, "seed {seed}");
        for (n, of_job) in n_faults.iter_mut().zip(&*failing.wires.n_faults) {
            *n += of_job.load(Ordering::Relaxed);
        }
    }
    let [n_refused, n_written, n_read] = n_faults;
    assert!(n_faults.iter().all(|n| *n > 0), "{n_faults:?}");
    println!(
        "rig: failing connections: {n_refused} refused, {n_written} broke off at a write and {n_read} at a \
         read in {n_jobs} jobs: 0 rows missing, 0 doubled"
    );
}
