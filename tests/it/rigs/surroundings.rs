//! The engine in other surroundings: a clock that jumps, no chance at all, and files of the log and the
//! checkpoints that fail at any call.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tapeline::config;
use tapeline::engine::{self, Begin, RunOptions};
use tapeline::env::Env;
use tapeline::error::Error;
use tapeline::log::{Disk, Files, LogFile};
use tapeline::stop::Stop;
use types::time::ReceiveTime;

use super::dice::Dice;
use super::job::{Job, Keeps, difference, rows};

/// Calls so far, and the one from which on all fail.
#[derive(Debug, Default)]
struct Calls {
    n: AtomicU64,
    fails_from: u64,
    /// Whether later ones succeed again.
    is_once: bool,
}

impl Calls {
    fn pass(&self) -> io::Result<()> {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = n == self.fails_from || (n > self.fails_from && !self.is_once);
        if fails && self.fails_from > 0 { Err(io::Error::other("it fails")) } else { Ok(()) }
    }
}

/// Surroundings made of one seed.
#[derive(Debug)]
struct Made {
    clock: AtomicU64,
    calls: Arc<Calls>,
}

impl Made {
    fn new(seed: u64, fails_from: u64, is_once: bool) -> Self {
        let calls = Calls { fails_from, is_once, ..Calls::default() };
        Self { clock: AtomicU64::new(seed), calls: Arc::new(calls) }
    }
}

impl Env for Made {
    fn now(&self) -> ReceiveTime {
        // An hour before or after the last one.
        let seed = self.clock.fetch_add(1, Ordering::Relaxed);
        ReceiveTime(i64::try_from(Dice(seed).below(7_200_000_000_000)).unwrap())
    }

    fn chance(&self) -> u128 {
        7
    }

    fn files(&self, folder: &Path) -> io::Result<Arc<dyn Files>> {
        self.calls.pass()?;
        Ok(Arc::new(Failing { disk: Disk::open(folder)?, calls: Arc::clone(&self.calls) }))
    }
}

struct Failing {
    disk: Disk,
    calls: Arc<Calls>,
}

impl Failing {
    fn wrap(&self, file: io::Result<Box<dyn LogFile>>) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(FailingFile { file: file?, calls: Arc::clone(&self.calls) }))
    }
}

impl Files for Failing {
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.calls.pass()?;
        self.wrap(self.disk.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.wrap(self.disk.open(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.sync()
    }
}

struct FailingFile {
    file: Box<dyn LogFile>,
    calls: Arc<Calls>,
}

impl LogFile for FailingFile {
    fn n_bytes(&self) -> io::Result<u64> {
        self.file.n_bytes()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.calls.pass() {
            // A write that fails may have done half of its work.
            self.file.append(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        self.file.append(bytes)
    }

    fn set_len(&mut self, n_bytes: u64) -> io::Result<()> {
        self.calls.pass()?;
        self.file.set_len(n_bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.calls.pass()?;
        self.file.sync_data()
    }
}

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
fn any_call_of_the_log_or_a_checkpoint_may_fail() {
    let fills = rows(21, 4_000);
    let mut whole = Job::new(&fills);
    whole.set(1, Keeps::Checkpoints);
    let all = Arc::new(Made::new(1, 0, false));
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
            let failing = Arc::new(Made::new(seed, 1 + dice.below(n_calls), dice.below(2) == 0));
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
