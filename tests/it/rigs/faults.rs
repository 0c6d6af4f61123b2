//! Disks that are full, turn read-only, or fail at one call: the run ends by itself and says why, and once
//! the fault is gone the next one goes on with it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use tapeline::env::Stopwatch;
use types::sabotage::Safeguard;

use super::dice::Dice;
use super::disk::{Disk, EXT4, What, may_mount};
use super::job::{Job, Keeps, Running, any, assert_finds, difference, fills, take_out, wanted};
use super::strace::{Call, Failing, trace};

/// What is wrong with a disk.
#[derive(Clone, Debug)]
enum Fault {
    /// It has so many bytes left.
    Bytes(u64),
    /// It has room for so many files.
    Files(u64),
    /// It turns read-only after a while.
    ReadOnly(Duration),
    /// A call fails.
    Call(Failing),
}

/// How often each kind of fault ended a run.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "all are counts")]
struct Faults {
    n_bytes: usize,
    n_files: usize,
    n_read_only: usize,
    n_calls: usize,
    n_jobs: u64,
    /// Those that a run didn't meet, or didn't mind.
    n_passed_over: usize,
}

impl Faults {
    const fn n(&self) -> usize {
        self.n_bytes + self.n_files + self.n_read_only + self.n_calls
    }
}

/// What an undisturbed run is like, so that faults can be chosen in the midst of it.
struct Usual {
    /// The calls of a run, and those of one that goes on with another.
    calls: [Vec<Call>; 2],
    takes: u64,
    /// What it takes of a disk.
    n_bytes: u64,
    n_files: u64,
}

/// Longer than any run of it takes.
const PATIENCE: Duration = Duration::from_mins(1);

const TMPFS: What = What::Tmpfs { mount: "size=64m" };

impl Usual {
    /// Runs a job on a disk; the calls are those that use files below a folder.
    fn of(disk: &Disk, fills: &str, below: &str) -> Self {
        let mut job = Job::on(&disk.path(), fills);
        job.set(2, Keeps::Positions);
        let (n_bytes, n_files) = disk.used();
        let watch = Stopwatch::start();
        job.finish();
        let takes = u64::try_from(watch.elapsed().as_micros()).unwrap();
        let (n_bytes, n_files) = (disk.used().0 - n_bytes, disk.used().1 - n_files);
        let begins = trace(&job);
        let mut command = job.command();
        let ended = job.folder.end(command.env("TAPELINE_FAIL", "changes.kept:5"));
        assert_eq!(ended.code, None, "{ended:?}");
        let goes_on = trace(&job);
        assert!(begins.len() > 400 && goes_on.len() > 100, "{} calls", begins.len());
        let mut calls = [begins, goes_on];
        for calls in &mut calls {
            calls.retain(|call| call.path != "c.toml" && call.path.starts_with(below));
        }
        Self { calls, takes, n_bytes, n_files }
    }

    /// A fault of a kind for a run that begins or goes on.
    fn fault(&self, kind: u64, what: What, goes_on: bool, dice: &mut Dice) -> Fault {
        match (kind, what) {
            (0, What::Tmpfs { .. }) => Fault::Files(dice.below(self.n_files)),
            (0, What::Ext4 { .. }) => {
                Fault::ReadOnly(Duration::from_micros(dice.below(self.takes)))
            }
            (1, _) => Fault::Bytes(dice.below(self.n_bytes)),
            _ => Fault::Call(any_failing(&self.calls[usize::from(goes_on)], dice)),
        }
    }
}

/// A call that fails: any, or any of those of some name with some file, which may be few.
fn any_failing(calls: &[Call], dice: &mut Dice) -> Failing {
    let kind_of = |call: &Call| (call.name.clone(), call.path.clone());
    let mut calls: Vec<&Call> = calls.iter().collect();
    if dice.below(2) == 0 {
        let kinds: BTreeSet<_> = calls.iter().map(|call| kind_of(call)).collect();
        let kind = kinds.iter().nth(any(dice, kinds.len())).unwrap();
        calls.retain(|call| kind_of(call) == *kind);
    }
    let call = calls[any(dice, calls.len())].clone();
    let is_read = call.name.contains("read") || call.name == "unlink";
    let error = if is_read || dice.below(2) == 0 { "EIO" } else { "ENOSPC" };
    Failing { call, error, for_good: dice.below(2) == 0 }
}

/// Runs a job while its disk has a fault, and takes the fault away; whether the run ended by it.
fn run(disk: &Disk, job: &Job, fault: &Fault, sabotage: Option<Safeguard>, what: &str) -> bool {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = match fault {
        Fault::Call(failing) => failing.command(job, log.path()),
        _ => job.command(),
    };
    take_out(&mut command, sabotage);
    match fault {
        Fault::Bytes(n) => disk.fill(Some(*n)),
        Fault::Files(n) => disk.limit_files(Some(*n)),
        Fault::ReadOnly(_) | Fault::Call(_) => {}
    }
    let mut run = Running(command.spawn().unwrap());
    if let Fault::ReadOnly(after) = fault {
        std::thread::sleep(*after);
        disk.remount("abort").unwrap();
    }
    let (status, said) = run.end(PATIENCE, what);
    let code = status.code();
    match fault {
        Fault::Bytes(_) => disk.fill(None),
        Fault::Files(_) => disk.limit_files(None),
        Fault::ReadOnly(_) => disk.start_again().unwrap(),
        Fault::Call(_) => {}
    }
    if code == Some(0) {
        if let Fault::Call(failing) = fault {
            let is_bad = Failing::has_failed(log.path()) && !failing.may_be_passed_over();
            assert!(!is_bad, "{what}: it failed, and the run ended well: {said}");
        }
        return false;
    }
    assert_eq!(code, Some(3), "{what}: {said}");
    assert_told(fault, &said, what);
    true
}

/// Asserts that a run has said what it was doing, to which file, and what the system said.
fn assert_told(fault: &Fault, said: &str, what: &str) {
    let texts = match fault {
        Fault::Bytes(_) | Fault::Files(_) => ["No space left on device"; 2],
        Fault::ReadOnly(_) => ["Read-only file system", "Input/output error"],
        Fault::Call(failing) if failing.error == "EIO" => ["Input/output error"; 2],
        Fault::Call(_) => ["No space left on device"; 2],
    };
    let names = |file: &str| said.contains(file);
    let is_named = match fault {
        Fault::Call(failing) => {
            let path = failing.call.path.trim_end_matches('/');
            let file = path.rsplit('/').next().unwrap().trim_end_matches(".unfinished");
            // What every data directory has in it goes by the name of that.
            let is_of_all = ["state/lock", "state/log.new", "state/log.old"];
            let is_of_all = is_of_all.iter().any(|of_all| path.starts_with(of_all));
            names(file) || is_of_all && names("/state")
        }
        Fault::Bytes(_) | Fault::Files(_) | Fault::ReadOnly(_) => names("/state") || names("/out"),
    };
    let is_told = said.contains("error: ") && texts.iter().any(|text| said.contains(text));
    assert!(is_told && is_named && !names("panicked"), "{what}: it says only: {said}");
}

/// What a check takes out, and how many faults it makes.
struct Plan {
    seed: u64,
    n_faults: usize,
    /// Calls that fail use files below this folder.
    below: &'static str,
    sabotage: Option<Safeguard>,
}

/// Makes faults until so many runs ended by one; each job in the end gives what an undisturbed one gives.
fn check(plan: &Plan) -> Faults {
    let (mut dice, mut faults) = (Dice(plan.seed), Faults::default());
    let disks = [(EXT4, Disk::make(EXT4).unwrap()), (TMPFS, Disk::make(TMPFS).unwrap())];
    let usual = Usual::of(&disks[1].1, &fills(plan.seed), plan.below);
    while faults.n() < plan.n_faults {
        let round = faults.n_jobs;
        faults.n_jobs += 1;
        // The first fault of a job is of each kind in turn, and of the two that one disk alone has.
        let kind = round / 2 % 4;
        let (what_disk, disk) = &disks[usize::try_from(round % 2).unwrap()];
        let fills = fills(plan.seed + round);
        let mut whole = Job::on(&disk.path(), &fills);
        let keeps = Keeps::any(&mut dice);
        whole.set(2, keeps);
        whole.finish();
        let expected = whole.given(None);
        drop(whole);
        let mut job = Job::on(&disk.path(), &fills);
        let mut is_done = false;
        for part in 0..4 {
            job.set([1, 2, 4][any(&mut dice, 3)], keeps);
            disk.write_out();
            let kind = if part == 0 { kind } else { dice.below(4) };
            let fault = usual.fault(kind, *what_disk, part > 0, &mut dice);
            let what = format!("seed {}, round {round}, part {part}, {fault:?}", plan.seed);
            if !run(disk, &job, &fault, plan.sabotage, &what) {
                faults.n_passed_over += 1;
                is_done = true;
                break;
            }
            match fault {
                Fault::Bytes(_) => faults.n_bytes += 1,
                Fault::Files(_) => faults.n_files += 1,
                Fault::ReadOnly(_) => faults.n_read_only += 1,
                Fault::Call(_) => faults.n_calls += 1,
            }
        }
        if !is_done {
            let ended = job.folder.end(&mut job.command());
            assert_eq!(ended.code, Some(0), "seed {}, round {round}: {ended:?}", plan.seed);
        }
        let differs = difference(&job.given(None), &expected);
        assert_eq!(differs, None, "seed {}, round {round}, {keeps:?}", plan.seed);
    }
    faults
}

/// Whether the rig can be run here. In CI it must.
fn may_run() -> bool {
    if Command::new("strace").arg("--version").output().is_ok() {
        return may_mount("disk faults");
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "disk faults: CI needs strace");
    eprintln!("disk faults: left out, there is no strace");
    false
}

#[test]
fn a_disk_that_fails_is_told_and_gone_on_from() {
    if !may_run() {
        return;
    }
    let n_faults = wanted("TAPELINE_DISK_FAULTS", 50);
    let plan = Plan { seed: 20_261_123, n_faults, below: "", sabotage: None };
    let faults = check(&plan);
    let Faults { n_bytes, n_files, n_read_only, n_calls, n_jobs, n_passed_over } = faults;
    println!(
        "rig: disk faults: {} in {n_jobs} jobs ({n_bytes} full, {n_files} out of inodes, {n_read_only} \
         read-only, {n_calls} by a call that fails), and {n_passed_over} passed over, seed {}: all told, \
         no byte differs",
        faults.n(),
        plan.seed,
    );
    let each = [n_bytes, n_files, n_read_only, n_calls];
    assert!(each.iter().all(|n| *n > 0), "a kind of fault never ended a run");
}

/// With a protection out, something must differ or go untold within some faults.
fn is_noticed(sabotage: Safeguard, seed: u64, below: &'static str) {
    if !may_run() {
        return;
    }
    let plan = Plan { seed, n_faults: 50, below, sabotage: Some(sabotage) };
    assert_finds(move || {
        check(&plan);
    });
}

#[test]
fn failures_of_the_log_are_told() {
    is_noticed(Safeguard::LogFailureTold, 1, "state/log/");
}

#[test]
fn what_a_fault_left_is_cut() {
    is_noticed(Safeguard::ChangesCut, 2, "");
}
