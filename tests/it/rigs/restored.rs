//! A run goes on from the newest checkpoint, the second and the third, on any number of workers; from none
//! where the log is whole, and not at all where it was cut.

#![cfg(feature = "sabotage")]

use std::path::{Path, PathBuf};

use super::job::{Job, Keeps, difference, rows};
use crate::program::tapeline;

/// Rows of a job: enough for some checkpoints.
const N_ROWS: u64 = 8_000;

/// A job whose run has ended when it had made five checkpoints, on so many workers.
fn interrupted(fills: &str, workers: usize, keeps: Keeps) -> Job {
    let mut job = Job::new(fills);
    job.set(workers, keeps);
    let fail = ("TAPELINE_FAIL", "checkpoint.manifest.synced:5");
    let ended = job.folder.end(job.command().env(fail.0, fail.1));
    assert_eq!(ended.code, None, "{ended:?}");
    job
}

/// The manifests, the newest first.
fn manifests(job: &Job) -> Vec<PathBuf> {
    let folder = job.folder.path("state/checkpoints");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut manifests: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "manifest")).collect();
    manifests.sort();
    manifests.reverse();
    manifests
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// What a verb says of the job's checkpoints.
fn told(job: &Job, verb: &str) -> (Option<i32>, String) {
    let ended = job.folder.end(tapeline().args(["checkpoint", verb, "c.toml"]));
    (ended.code, ended.out)
}

#[test]
fn a_run_goes_on_from_each_checkpoint_on_other_workers() {
    let fills = rows(11, N_ROWS);
    let whole = Job::new(&fills);
    whole.finish();
    let expected = whole.given(None);
    for (workers, others) in [(1, 4), (2, 1), (4, 2)] {
        for n_damaged in 0..3 {
            let mut job = interrupted(&fills, workers, Keeps::Checkpoints);
            let found = manifests(&job);
            assert!(found.len() >= 3, "{found:?}");
            assert_eq!(told(&job, "verify").0, Some(0));
            found.iter().take(n_damaged).for_each(|path| flip(path));
            let (code, said) = told(&job, "verify");
            assert_eq!(code, Some(i32::from(n_damaged > 0)), "{said}");
            assert_eq!(said.matches("its checksum differs").count(), n_damaged, "{said}");
            job.set(others, Keeps::Checkpoints);
            let ended = job.folder.end(&mut job.command());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let n_told = ended.err.matches("taking an older one").count();
            assert_eq!(n_told, n_damaged, "{}", ended.err);
            let differs = difference(&job.given(None), &expected);
            assert_eq!(differs, None, "{n_damaged} damaged, {workers} and {others} workers");
        }
    }
    println!(
        "rig: checkpoints: the newest, second and third, from 1, 2, 4 to 4, 1, 2 workers: no byte differs"
    );
}

#[test]
fn without_a_checkpoint_the_log_is_enough_unless_it_was_cut() {
    let fills = rows(12, N_ROWS);
    let whole = Job::new(&fills);
    whole.finish();
    for keeps in [Keeps::Events, Keeps::Checkpoints] {
        let mut job = Job::new(&fills);
        job.set(2, keeps);
        let fail = ("TAPELINE_FAIL", "checkpoint.manifest.synced:5");
        let ended = job.folder.end(job.command().env(fail.0, fail.1));
        assert_eq!(ended.code, None, "{ended:?}");
        assert!(told(&job, "list").1.contains("whole"));
        std::fs::remove_dir_all(job.folder.path("state/checkpoints")).unwrap();
        let (code, said) = told(&job, "list");
        assert!(code == Some(0) && said.contains("no checkpoints"), "{said}");
        let ended = job.folder.end(&mut job.command());
        if keeps == Keeps::Events {
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert_eq!(difference(&job.given(None), &whole.given(None)), None);
        } else {
            assert_eq!(ended.code, Some(3), "{ended:?}");
            assert!(ended.err.contains("has no checkpoint that can be used"), "{ended:?}");
            assert!(ended.err.contains("--fresh"), "{ended:?}");
        }
    }
}
