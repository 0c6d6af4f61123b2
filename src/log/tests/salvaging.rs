//! Salvage that is itself cut short, again and again.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::bytes::filled;
use super::memory::Fault;
use super::*;
use crate::env::Files as _;

/// Breaks some records of a log of 40; says which.
fn broken(chance: &mut Chance) -> (Memory, BTreeSet<u64>) {
    let mut files = filled(40, 64 + 5 * 31).files();
    let mut broken = BTreeSet::new();
    for (i, bytes) in files.values_mut().enumerate() {
        for _ in 0..chance.below(3) {
            let record = chance.below(5);
            // Not the last one, which would be a torn tail.
            if i < 7 || record < 4 {
                bytes[narrow(64 + record * 31 + 4)] ^= 0x55;
                broken.insert(wide(i) * 5 + record + 1);
            }
        }
    }
    // The same again makes it right.
    let memory = Memory::of(&files);
    let is_broken = |number: &u64| {
        let first = (number - 1) / 5 * 5 + 1;
        let bytes = &files[&format!("{first:020}.seg")];
        let at = narrow(64 + (number - first) * 31);
        let seed = record::seed(LOG_ID, first);
        record::decode(&bytes[at..at + 31], seed).is_err()
    };
    broken.retain(is_broken);
    (memory, broken)
}

#[test]
fn salvage_that_was_cut_short_is_done_again() {
    for seed in 0..1500 {
        let mut chance = Chance(seed);
        let (mut disk, broken) = broken(&mut chance);
        for _ in 0..chance.below(4) {
            let at = disk.n_changes() + 1 + chance.below(40);
            let (is_for_good, share) = (true, chance.below(1001));
            disk.fail(Some(Fault { at, kind: ErrorKind::Other, is_for_good, share }));
            let is_done = salvage(&disk, LOG_ID).is_ok();
            disk.fail(None);
            if !is_done && !broken.is_empty() {
                // It is a log again, or is refused; it never opens with less than all that is whole.
                disk = disk.after_crash(&mut chance);
            }
        }
        salvage(&disk, LOG_ID).unwrap();
        let found = recover(&disk, LOG_ID).unwrap();
        let lost: BTreeSet<u64> = found.gaps.into_iter().flatten().collect();
        assert_eq!(lost, broken, "case {seed}");
        assert_eq!(found.records, 1..41);
        let kept: Vec<u64> = (1..41).filter(|number| !broken.contains(number)).collect();
        let given = read(&disk, 1..41).unwrap();
        let numbers: Vec<u64> = given.iter().map(|record| record.number).collect();
        assert_eq!(numbers, kept);
        let is_right =
            |record: &Given| record.payload == format!("{:010}", record.number).as_bytes();
        assert!(given.iter().all(is_right));
        // And it goes on.
        let (mut writer, mut committer, _) = open(&disk, 64 + 5 * 31).unwrap();
        assert_eq!(writer.append(1, b"more").unwrap(), 41);
        assert!(committer.commit(false));
        assert_eq!(read(&disk, 41..42).unwrap()[0].payload, b"more");
        // A second time it finds nothing.
        let files = disk.files();
        assert_eq!(salvage(&disk, LOG_ID).unwrap(), Salvaged::default());
        assert_eq!(disk.files(), files);
    }
}

#[test]
fn what_follows_a_loss_can_be_put_aside() {
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let (mut disk, broken) = broken(&mut chance);
        salvage(&disk, LOG_ID).unwrap();
        let Some(first) = broken.first().copied() else { continue };
        for _ in 0..chance.below(3) {
            let at = disk.n_changes() + 1 + chance.below(20);
            let (is_for_good, share) = (true, chance.below(1001));
            disk.fail(Some(Fault { at, kind: ErrorKind::Other, is_for_good, share }));
            let is_done = cut_from(&disk, LOG_ID, first).is_ok();
            disk.fail(None);
            if !is_done {
                disk = disk.after_crash(&mut chance);
            }
        }
        cut_from(&disk, LOG_ID, first).unwrap();
        let found = recover(&disk, LOG_ID).unwrap();
        assert_eq!((found.records, found.gaps), (1..first, Vec::new()), "case {seed}");
        let (mut writer, mut committer, _) = open(&disk, 64 + 5 * 31).unwrap();
        assert_eq!(writer.append(1, b"again").unwrap(), first);
        assert!(committer.commit(false));
        assert_eq!(read(&disk, first..first + 1).unwrap()[0].payload, b"again");
    }
}

#[test]
fn missing_and_foreign_segments_are_named() {
    let files = filled(40, 64 + 5 * 31).files();
    let mut missing = files.clone();
    missing.remove("00000000000000000011.seg").unwrap();
    let disk = Memory::of(&missing);
    let told = recover(&disk, LOG_ID).unwrap_err().to_string();
    let expected = "reading /data/log/00000000000000000016.seg, byte 0, where record 11 should be: \
                    the file begins with record 16: records are missing or doubled";
    assert_eq!(told, expected);
    assert_eq!(salvage(&disk, LOG_ID).unwrap().lost, vec![11..16]);
    assert_eq!(recover(&disk, LOG_ID).unwrap().gaps, vec![11..16]);
    assert_eq!(read(&disk, 1..41).unwrap().len(), 35);
    // What is known to be lost doesn't hide what else is missing.
    disk.remove("00000000000000000006.seg").unwrap();
    let told = read(&disk, 1..41).unwrap_err().to_string();
    assert!(told.contains("00000000000000000011.gap, byte 0, where record 6 should be"), "{told}");

    let disk = Memory::of(&files);
    let told = recover(&disk, LOG_ID + 1).unwrap_err().to_string();
    assert!(told.contains("it belongs to another log, 0123456789abcdef0011223344556677"), "{told}");
}
