//! Rows at which a worker panics: after three crashes at the same place they stand in quarantine, and all
//! else is as it is without them.

#![cfg(feature = "sabotage")]

use std::collections::BTreeMap;

use types::sabotage::Safeguard;

use super::dice::Dice;
use super::job::{Job, Keeps, any, assert_finds, difference, fills, take_out, wanted};
use crate::program::Ended;

/// The size at which a worker panics; no other fill has it.
const POISON: &str = "777";

/// Crashes until a row is looked for.
const CRASHES: usize = 3;

/// Fills with some of them poisonous, and the same fills with sizes there that can't be used.
fn poisoned(seed: u64, n_poisons: usize) -> (String, String) {
    let fills = fills(seed);
    let mut rows: Vec<Vec<String>> =
        fills.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    // Not the last ones of an epoch of 50: what can't be used doesn't count as its greatest time.
    let may = |nth: &usize, row: &[String]| {
        (5..40).contains(&((nth - 1) % 50)) && row[0] == "insert" && row[7] != "0"
    };
    let places: Vec<usize> = (1..rows.len()).filter(|nth| may(nth, &rows[*nth])).collect();
    let mut dice = Dice(seed);
    let mut chosen = Vec::new();
    while chosen.len() < n_poisons {
        let place = places[any(&mut dice, places.len())];
        if !chosen.contains(&place) {
            chosen.push(place);
        }
    }
    let mut with = |size: &str| {
        for place in &chosen {
            size.clone_into(&mut rows[*place][7]);
        }
        rows.iter().map(|row| row.join(",") + "\n").collect()
    };
    (with(POISON), with("0"))
}

fn run(job: &Job, sabotage: Option<Safeguard>) -> Ended {
    let mut command = job.command();
    take_out(&mut command, sabotage);
    command.args(["--format", "json"]).stdout(std::process::Stdio::piped());
    job.folder.end(command.env("TAPELINE_POISON", POISON))
}

/// What was given, but for what is in quarantine, and that by reason.
fn parted(job: &Job) -> (BTreeMap<String, Vec<u8>>, Vec<String>, Vec<String>) {
    let mut given = job.given(None);
    let quarantine = String::from_utf8(given.remove("quarantine").unwrap_or_default()).unwrap();
    let (poisons, others): (Vec<&str>, Vec<&str>) =
        quarantine.lines().partition(|line| line.contains("\"crashes_engine\""));
    let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
    (given, owned(poisons), owned(others))
}

/// Starts a job until it ends well; how often it crashed.
fn start_over(
    job: &mut Job,
    (keeps, n_max, what): (Keeps, usize, &str),
    sabotage: Option<Safeguard>,
    dice: &mut Dice,
) -> (usize, Ended) {
    for n_crashed in 0..=n_max {
        job.set([1, 2, 4][any(dice, 3)], keeps);
        let ended = run(job, sabotage);
        if ended.code == Some(0) {
            return (n_crashed, ended);
        }
        let is_told = ended.err.contains("a worker crashed: a fill of size 777");
        assert!(ended.code == Some(3) && is_told, "{what}: {ended:?}");
    }
    panic!("{what}: it still crashes after {n_max} times");
}

fn check(seed: u64, n_jobs: u64, sabotage: Option<Safeguard>) -> (usize, usize) {
    let (mut n_all, mut n_crashes) = (0, 0);
    for round in 0..n_jobs {
        let mut dice = Dice(seed + round);
        let n_poisons = 1 + any(&mut dice, 3);
        let (fills, without) = poisoned(seed + round, n_poisons);
        let keeps = Keeps::any(&mut dice);
        let what = format!("seed {seed}, round {round}, {keeps:?}, {n_poisons} poisons");
        let mut whole = Job::new(&without);
        whole.set(2, keeps);
        let expected = whole
            .folder
            .end(whole.command().args(["--format", "json"]).stdout(std::process::Stdio::piped()));
        let mut job = Job::new(&fills);
        let n_max = CRASHES * n_poisons;
        let (n_crashed, ended) = start_over(&mut job, (keeps, n_max, &what), sabotage, &mut dice);
        assert!(n_crashed >= CRASHES, "{what}: {n_crashed} crashes");
        let (given, poisons, others) = parted(&job);
        let (expected_given, none, expected_others) = parted(&whole);
        assert_eq!(difference(&given, &expected_given), None, "{what}");
        assert_eq!((poisons.len(), none.len()), (n_poisons, 0), "{what}: {poisons:?}");
        let read: Vec<serde_json::Value> =
            poisons.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(read.iter().all(|line| line["row"]["size"] == POISON), "{what}: {poisons:?}");
        let is_kept = |line: &&String| others.contains(line);
        assert_eq!(expected_others.iter().filter(is_kept).count(), others.len(), "{what}");
        let counts = |ended: &Ended| {
            let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
            ["received", "applied", "duplicate", "quarantined"].map(|name| told[name].clone())
        };
        assert_eq!(counts(&ended), counts(&expected), "{what}");
        n_all += n_poisons;
        n_crashes += n_crashed;
    }
    (n_all, n_crashes)
}

#[test]
fn a_row_that_crashes_the_engine_goes_to_quarantine() {
    let seed = 20_261_126;
    let n_jobs = u64::try_from(wanted("TAPELINE_POISONS", 10)).unwrap();
    let (n_poisons, n_crashes) = check(seed, n_jobs, None);
    println!(
        "rig: poison: {n_poisons} rows in {n_jobs} jobs, {n_crashes} crashes, seed {seed}: all set aside, no \
         byte of the rest differs"
    );
}

fn is_noticed(sabotage: Safeguard, seed: u64) {
    assert_finds(|| {
        check(seed, 1, Some(sabotage));
    });
}

#[test]
fn a_poison_that_is_not_set_aside_crashes_for_ever() {
    is_noticed(Safeguard::PoisonSetAside, 1);
}

/// The next start finds what was set aside in the quarantine, and what it says of it.
#[test]
fn a_poison_is_listed_and_stays_out() {
    let (fills, _) = poisoned(4, 1);
    let mut job = Job::new(&fills);
    start_over(&mut job, (Keeps::Events, CRASHES, "listed"), None, &mut Dice(4));
    let listed = job.folder.run(&["quarantine", "list", "c.toml"]).with(0).out;
    let words = ["crashes_engine", "fills at epoch", "a fill of size 777"];
    assert!(words.iter().all(|word| listed.contains(word)), "{listed}");
    // What has ended well is done with: the next run is another one, and it may have been mended.
    job.finish();
    let listed = job.folder.run(&["quarantine", "list", "c.toml"]).with(0).out;
    assert!(!listed.contains("crashes_engine"), "{listed}");
}

/// An end in the middle of it loses nothing of what is known.
#[test]
fn an_end_while_a_crash_is_kept_is_gone_on_from() {
    for point in ["crashes.before:1", "crashes.kept:1"] {
        let (fills, without) = poisoned(5, 2);
        let mut job = Job::new(&fills);
        for _ in 0..2 {
            assert_eq!(run(&job, None).code, Some(3));
        }
        let mut command = job.command();
        command.env("TAPELINE_POISON", POISON).env("TAPELINE_FAIL", point);
        assert_eq!(job.folder.end(&mut command).code, None, "{point}");
        start_over(&mut job, (Keeps::Positions, 2 * CRASHES, point), None, &mut Dice(5));
        let mut whole = Job::new(&without);
        whole.set(1, Keeps::Positions);
        whole.finish();
        assert_eq!(difference(&parted(&job).0, &parted(&whole).0), None, "{point}");
    }
}
