//! Real logs, damaged at random: each decision is held against the reference scanner's.

use std::collections::{BTreeMap, BTreeSet};

use super::reference::{Decision, FileSet, Original, first_of};
use super::*;
use crate::env::Stopwatch;

/// Damages that are done to one log before the next is written.
const OF_ONE_LOG: u64 = 200;

/// Writes a log of a few small segments, as it would stand after a clean end.
fn write(seed: u64) -> Original {
    let mut chance = Chance(seed);
    let (segment_bytes, n) = (180 + chance.below(300), 5 + chance.below(25));
    let memory = Memory::default();
    let (mut writer, mut committer, _) = open(&memory, segment_bytes).unwrap();
    let (mut given, mut write_began, mut began) = (Vec::new(), Vec::new(), 1);
    let mut stale = FileSet::new();
    for number in 1..=n {
        let record = random(number, 60, &mut chance);
        writer.append(record.kind, &record.payload).unwrap();
        given.push(record);
        write_began.push(began);
        if chance.below(3) == 0 || number == n {
            committer.commit(false);
            began = number + 1;
            if stale.is_empty() || chance.below(4) == 0 {
                stale = memory.files();
            }
        }
    }
    let foreign = write_foreign(&given, segment_bytes);
    Original::new((memory.files(), stale, foreign), given, &write_began)
}

/// The same records in another log.
fn write_foreign(given: &[Given], segment_bytes: u64) -> FileSet {
    let (memory, id) = (Memory::default(), LOG_ID + 1);
    let found = recover(&memory, id).unwrap();
    let (files, options) = (Arc::new(memory.clone()), options(segment_bytes));
    let (mut writer, mut committer) = Writer::without_thread(files, id, &found, options).unwrap();
    for record in given {
        writer.append(record.kind, &record.payload).unwrap();
    }
    committer.commit(false);
    memory.files()
}

fn pick(chance: &mut Chance, n: usize) -> usize {
    narrow(chance.below(wide(n.max(1))))
}

/// A range of a file's bytes.
fn range(bytes: &[u8], chance: &mut Chance) -> Range<usize> {
    let begin = pick(chance, bytes.len() + 1);
    let longest = [4, 40, 400][pick(chance, 3)];
    begin..(begin + 1 + pick(chance, longest)).min(bytes.len())
}

/// Damages a file, more often than not the last one.
fn damage(original: &Original, files: &mut FileSet, chance: &mut Chance) {
    let names: Vec<String> = files.keys().cloned().collect();
    let Some(last) = names.last() else { return };
    let any = &names[pick(chance, names.len())];
    let name = if chance.below(2) == 0 { last } else { any };
    let other = files[any].clone();
    let bytes = files.get_mut(name).unwrap();
    let at = range(bytes, chance);
    match chance.below(16) {
        // Cut the tail, or a piece out of the middle.
        0 | 1 => bytes.truncate(at.start),
        2 => drop(bytes.drain(at)),
        3 | 4 => {
            for _ in 0..=chance.below(4) {
                let bit = chance.below(8);
                let place = pick(chance, bytes.len());
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
        }
        5 => bytes[at].fill(0),
        // Zeros to the end: what a file system may leave of a tail.
        6 => bytes[at.start..].fill(0),
        7 => {
            // Two blocks of one file change places.
            let (low, high) = bytes.split_at_mut(at.end);
            let n = (at.end - at.start).min(high.len());
            low[at.start..at.start + n].swap_with_slice(&mut high[..n]);
        }
        8 => {
            // A block of one file stands in another.
            let n = (at.end - at.start).min(other.len().saturating_sub(at.start));
            let block = &other[at.start.min(other.len())..][..n];
            bytes[at.start..at.start + n].copy_from_slice(block);
        }
        9 => {
            let block = bytes[at.clone()].to_vec();
            drop(bytes.splice(at.end..at.end, block));
        }
        10 => match original.stale.get(name) {
            Some(stale) => *bytes = stale.clone(),
            None => drop(files.remove(name)),
        },
        11 => {
            let to = format!("{:020}.seg", wide(original.given.len()) + 1);
            let to = if chance.below(3) == 0 { to } else { any.clone() };
            let copy = bytes.clone();
            files.insert(to, copy);
        }
        12 => {
            let foreign = original.foreign.get(name).cloned().unwrap_or_default();
            if chance.below(2) == 0 && at.end <= foreign.len() {
                bytes[at.clone()].copy_from_slice(&foreign[at]);
            } else {
                *bytes = foreign;
            }
        }
        13 => {
            // Records go, and nothing else.
            let records = original.places(first_of(name));
            let (from, n) = (pick(chance, records.len()), 1 + pick(chance, 3));
            let gone = records.iter().skip(from).take(n);
            let ends = gone.fold(None, |range: Option<Range<usize>>, at| {
                Some(range.map_or(at.start, |range| range.start)..at.end)
            });
            if let Some(range) = ends.filter(|range| range.end <= bytes.len()) {
                drop(bytes.drain(range));
            }
        }
        _ => {
            let n = pick(chance, 100);
            bytes.extend((0..n).map(|_| u8::try_from(chance.below(256)).unwrap()));
        }
    }
}

/// Which decisions were made.
type Counts = BTreeMap<&'static str, u64>;

/// Damages one log a number of times.
fn run(seed: u64, n: u64, counts: &mut Counts) {
    let original = write(seed);
    let mut chance = Chance(seed ^ 0xda3a_9e00);
    assert_eq!(judge(&original, &original.files), original.decide(&original.files));
    for i in 0..n {
        let mut files = original.files.clone();
        for _ in 0..[1, 1, 1, 2, 3][pick(&mut chance, 5)] {
            damage(&original, &mut files, &mut chance);
        }
        let (judged, expected) = (judge(&original, &files), original.decide(&files));
        assert_eq!(judged, expected, "log {seed:#x}, damage {i}");
        let count = match judged {
            Decision::Whole { .. } if files == original.files => "untouched",
            Decision::Whole { .. } => "whole",
            Decision::Torn { .. } => "torn",
            Decision::Damaged { .. } => "damaged",
        };
        *counts.entry(count).or_default() += 1;
        if count == "damaged" && i % 4 == 0 {
            *counts.entry("salvaged").or_default() += 1;
            save(&original, &files);
        }
    }
}

/// What the log makes of its files; holds what it then gives against what was written.
fn judge(original: &Original, files: &FileSet) -> Decision {
    let memory = Memory::of(files);
    let found = match recover(&memory, LOG_ID) {
        Ok(found) => found,
        Err(LogError::Damaged(damage)) => {
            assert_eq!(&memory.files(), files, "a damaged log is left as it is");
            let name = damage.path.file_name().unwrap().to_str().unwrap().to_owned();
            return Decision::Damaged { name, offset: narrow(damage.offset) };
        }
        Err(error) => panic!("{error}"),
    };
    let (records, torn) = (found.records.clone(), found.torn.clone());
    let Range { start, end } = records;
    let given = read(&memory, records.clone()).unwrap();
    assert_eq!(given, original.given[narrow(start - 1)..narrow(end - 1)]);
    match torn {
        None => Decision::Whole { records },
        Some(torn) => {
            let again = recover(&memory, LOG_ID).unwrap();
            assert_eq!(again, Recovered { torn: None, ..found });
            let name = torn.path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(torn.n_bytes, wide(files[&name].len()) - torn.offset);
            Decision::Torn { records, name, offset: narrow(torn.offset) }
        }
    }
}

/// Salvages a damaged log: what is whole is kept, what isn't is named, and nothing else is given.
fn save(original: &Original, files: &FileSet) {
    let memory = Memory::of(files);
    read_damaged(original, files);
    let salvaged = salvage(&memory, LOG_ID).unwrap();
    let found = recover(&memory, LOG_ID).unwrap();
    let given = read(&memory, found.records.clone()).unwrap();
    for record in &given {
        assert_eq!(record, &original.given[narrow(record.number - 1)]);
    }
    let kept: BTreeSet<u64> = given.iter().map(|record| record.number).collect();
    let lost: BTreeSet<u64> = salvaged.lost.iter().cloned().flatten().collect();
    assert_eq!(salvaged.lost, found.gaps);
    assert_eq!(kept, original.that_survive(files));
    let all: BTreeSet<u64> = kept.union(&lost).copied().collect();
    assert_eq!(all, found.records.clone().collect());
    assert_eq!(found.records.start, first_of(files.keys().next().unwrap()));
    // All that was changed lies in the copies.
    let left = memory.files();
    for (name, bytes) in files {
        let copy = left.get(&format!("{SALVAGED}/{name}"));
        assert!(left.get(name) == Some(bytes) || copy == Some(bytes), "{name} is lost");
    }
}

/// A reader that nobody has warned gives what was written, as far as it comes.
fn read_damaged(original: &Original, files: &FileSet) {
    let start = first_of(files.keys().next().unwrap());
    let end = wide(original.given.len()) + 2;
    let mut reader = Reader::open(Arc::new(Memory::of(files)), LOG_ID, start..end).unwrap();
    let mut next = start;
    while let Ok(Some(record)) = reader.next_record() {
        let Given { number, kind, payload } = &original.given[narrow(next - 1)];
        assert_eq!(record, Record { number: *number, kind: *kind, payload });
        next += 1;
    }
}

#[test]
fn torn_and_damaged_are_told_apart_as_the_reference_does() {
    let n: u64 = std::env::var("TAPELINE_LOG_DAMAGES").map_or(200_000, |n| n.parse().unwrap());
    let (seed, watch) = (0x10c_da3a9e, Stopwatch::start());
    let n_logs = n.div_ceil(OF_ONE_LOG);
    let run_half = |half: u64| {
        let mut counts = Counts::new();
        (half..n_logs).step_by(2).for_each(|log| run(seed + log, OF_ONE_LOG, &mut counts));
        counts
    };
    let (mut counts, more) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_half(1));
        (run_half(0), other.join().unwrap())
    });
    for (decision, n) in more {
        *counts.entry(decision).or_default() += n;
    }
    println!("rig: log damages from seed {seed:#x}: {counts:?} in {:?}", watch.elapsed());
    for decision in ["whole", "torn", "damaged", "salvaged"] {
        assert!(counts.get(decision) > Some(&(n / 100)), "too few are {decision}");
    }
}

#[cfg(feature = "sabotage")]
fn case(seed: u64) {
    run(seed, OF_ONE_LOG, &mut Counts::new());
}

noticed! {
    the_checksum: LogChecksum by 20 of case;
    damage_before_the_tail: LogTornOrDamaged by 20 of case;
}
