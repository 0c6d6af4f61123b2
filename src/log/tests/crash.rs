//! Whatever a crash leaves, a log holds a prefix of what was appended, with all that was confirmed.

use std::io::ErrorKind;

use super::bytes::filled;
use super::memory::Fault;
use super::*;
use crate::env::Files as _;
use crate::log::segment::Part;

/// Crashes that cut a tail, over all cases so far: a rig that tears nothing tests nothing.
#[derive(Default)]
struct Met {
    crashes: u64,
    torn: u64,
    failures: u64,
    damaged_opens: u64,
}

/// What a log should hold.
struct Twin {
    /// All that was appended and not lost; the first is record 1.
    given: Vec<Given>,
    /// The last record that was confirmed.
    confirmed: u64,
    /// Records below it may have been cut away.
    cut: u64,
}

impl Twin {
    /// Compares a log that was opened; what it has lost, it has lost for good.
    fn compare(&mut self, disk: &Memory, found: &Recovered) {
        let Range { start, end } = found.records;
        let n_given = wide(self.given.len());
        assert!(end > self.confirmed, "record {} was confirmed; {found:?}", self.confirmed);
        assert!(end <= n_given + 1, "{n_given} were appended; {found:?}");
        assert!(start <= self.cut.max(1), "cut before {}; {found:?}", self.cut);
        self.given.truncate(narrow(end - 1));
        assert_eq!(read(disk, start..end).unwrap(), &self.given[narrow(start - 1)..]);
    }
}

#[cfg(feature = "sabotage")]
fn case(seed: u64) {
    run(seed, &mut Met::default());
}

fn run(seed: u64, met: &mut Met) {
    let mut chance = Chance(seed);
    let segment_bytes = 200 + chance.below(4000);
    let mut disk = Memory::default();
    let mut twin = Twin { given: Vec::new(), confirmed: 0, cut: 1 };
    for _ in 0..=chance.below(5) {
        disk.fail(random_fault(&disk, &mut chance));
        match open(&disk, segment_bytes) {
            Ok((writer, committer, found)) => {
                met.torn += u64::from(found.torn.is_some());
                twin.compare(&disk, &found);
                live((writer, committer), &disk, &mut twin, &mut chance);
            }
            Err(LogError::Io { .. }) => met.damaged_opens += 1,
            Err(error) => panic!("case {seed}: {error}"),
        }
        met.failures += u64::from(disk.has_failed());
        disk.fail(None);
        met.crashes += 1;
        // Killed alone, or with the power gone.
        if chance.below(3) > 0 {
            disk = disk.after_crash(&mut chance);
        }
    }
    let found = recover(&disk, LOG_ID).unwrap_or_else(|error| panic!("case {seed}: {error}"));
    twin.compare(&disk, &found);
    // What was recovered is durable: no other crash takes it away, and there is nothing to repair.
    let again = recover(&disk.after_crash(&mut chance), LOG_ID).unwrap();
    assert_eq!(again, Recovered { torn: None, ..found });
}

fn random_fault(disk: &Memory, chance: &mut Chance) -> Option<Fault> {
    let kind = match chance.below(4) {
        0 | 1 => return None,
        2 => ErrorKind::StorageFull,
        _ => ErrorKind::Other,
    };
    let at = disk.n_changes() + 1 + chance.below(30);
    Some(Fault { at, kind, is_for_good: chance.below(2) == 0, share: chance.below(1001) })
}

/// Appends, commits and cuts, until something fails.
fn live(
    (mut writer, mut committer): (Writer, Committer),
    disk: &Memory,
    twin: &mut Twin,
    chance: &mut Chance,
) {
    let durable = writer.durable();
    for _ in 0..chance.below(50) {
        match chance.below(10) {
            0..7 => {
                let longest = [0, 40, 700][narrow(chance.below(3))];
                let given = random(wide(twin.given.len()) + 1, longest, chance);
                let number = writer.append(given.kind, &given.payload).unwrap();
                assert_eq!(number, given.number);
                twin.given.push(given);
            }
            7..9 => {
                let has_written = committer.commit(false);
                twin.confirmed = durable.reached();
                durable.wait_for(twin.confirmed).unwrap();
                if !has_written && durable.failure().is_some() {
                    return after_failure((writer, committer), &durable);
                }
                assert_eq!(twin.confirmed, wide(twin.given.len()));
            }
            _ => {
                let number = 1 + chance.below(twin.confirmed + 1);
                twin.cut = twin.cut.max(number);
                if cut_before(disk, number).is_err() {
                    return;
                }
            }
        }
    }
}

/// A failure is final: nothing more is written or confirmed.
fn after_failure((mut writer, mut committer): (Writer, Committer), durable: &Durable) {
    let reached = durable.reached();
    let told = durable.failure().unwrap().to_string();
    assert_eq!(writer.append(1, b"more").unwrap_err().to_string(), told);
    assert!(!committer.commit(false));
    assert_eq!(durable.wait_for(reached + 1).unwrap_err().to_string(), told);
    assert_eq!(durable.reached(), reached);
}

#[test]
fn what_was_confirmed_outlives_any_crash() {
    let mut met = Met::default();
    let seed = 0x7a9e_11fe;
    for case in seed..seed + 2000 {
        run(case, &mut met);
    }
    let Met { crashes, torn, failures, damaged_opens } = met;
    println!(
        "rig: log crashes from seed {seed:#x}: {crashes}, {torn} with a torn tail; {failures} lives met \
         a failing disk, {damaged_opens} when opening"
    );
    assert!(torn > 100 && failures > 100 && damaged_opens > 10);
}

/// The writer has just made a segment that isn't on the disk yet, while all before it are cut away.
#[test]
fn a_log_is_never_cut_down_to_nothing() {
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let disk = filled(5, 1 << 20);
        disk.create(&Part::segment(6).name()).unwrap().append(b"a part of its header").unwrap();
        let at = disk.n_changes() + 1 + chance.below(4);
        disk.fail(Some(Fault { at, kind: ErrorKind::Other, is_for_good: true, share: 0 }));
        // Some of it fails, or all of it is done.
        cut_before(&disk, 6).unwrap_or_default();
        let found = recover(&disk.after_crash(&mut chance), LOG_ID).unwrap();
        assert_eq!(found.records.end, 6, "case {seed}");
    }
}

noticed! {
    syncing: LogSync by 300 of case;
    the_folder: LogFolderSync by 300 of case;
    the_last_write: LogTornByWrite by 300 of case;
}
