//! Checkpoints on disks that lose, tear and change what they hold: whichever is taken holds what it held.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use types::names::NewNames;
use types::relations::{RelationKind, Settlement};
use types::{AssetId, Event, Op, Price, VenueTime};

use super::groups::Groups;
use super::*;
use crate::ingest::Counts;
use crate::journal::{Brought, EpochEntry, Journal, parts};
use crate::log::tests::memory::{Fault, Memory};
use crate::log::{Options, Sync, recover};
use crate::publish::testing::Chance;

const LOG_ID: u128 = 7;
const N_EPOCHS: u64 = 12;

fn relations() -> Vec<RelationSpec> {
    let kind = RelationKind::Settlements;
    let schema = Arc::new(kind.schema().unwrap());
    vec![RelationSpec { name: "settlements".to_owned(), kind, schema, has_corrections: true }]
}

/// What an epoch brings: some settlements, now and then one that replaces another, but not in the first
/// epochs.
fn events(epoch: u64, n_plain: u64, chance: &mut Chance) -> Vec<Event<Settlement>> {
    let n = 1 + chance.below(6);
    let event = |i: u64| {
        let is_first = epoch <= n_plain || chance.below(4) > 0;
        let asset = if is_first { epoch * 100 + i } else { 100 + chance.below(3) };
        let row = Settlement {
            asset: AssetId(u32::try_from(asset).unwrap()),
            payout: Price::ZERO,
            event_time: VenueTime::from_nanos(i64::try_from(epoch * 10 + i).unwrap()),
            revision: epoch,
        };
        let op = if !is_first && chance.below(4) == 0 { Op::Bust } else { Op::Insert };
        Event { op, revision: epoch, is_first, row }
    };
    (0..n).map(event).collect()
}

/// A log, the checkpoints that are made of it, and what stands at each epoch.
struct Rig {
    journal: Arc<Journal>,
    log: Memory,
    files: Memory,
    limit: Arc<AtomicU64>,
    /// Epochs without an event that replaces another.
    n_plain: u64,
    work: Work,
    events: Vec<Event<Settlement>>,
    chance: Chance,
    /// By epoch.
    standing: BTreeMap<u64, Vec<String>>,
}

/// What counts of events: by identity the last state and the last removal, in their order.
fn standing(events: &[Event<Settlement>]) -> Vec<String> {
    let is_last = |i: &usize| {
        let event = &events[*i];
        let same = |later: &Event<Settlement>| {
            later.row.asset == event.row.asset && (later.op == Op::Bust) == (event.op == Op::Bust)
        };
        !events.iter().skip(i + 1).any(same)
    };
    let say = |i: usize| {
        let Event { op, revision, row, .. } = &events[i];
        format!("{op:?} {revision} {row:?}")
    };
    (0..events.len()).filter(is_last).map(say).collect()
}

impl Rig {
    fn new(seed: u64, cuts_log: bool) -> Self {
        Self::of(LOG_ID, seed, cuts_log)
    }

    fn of(log_id: u128, seed: u64, cuts_log: bool) -> Self {
        Self::merging(log_id, seed, (cuts_log, 3), 1 + seed % 3 * 4)
    }

    fn merging(log_id: u128, seed: u64, (cuts_log, fan): (bool, usize), n_plain: u64) -> Self {
        let (log, files) = (Memory::default(), Memory::default());
        let options = Options { sync: Sync::None, segment_bytes: 1 };
        let journal = Arc::new(Journal::over(Arc::new(log.clone()), log_id, options));
        let limit = Arc::new(AtomicU64::new(0));
        let settings = Settings { fan, ..Settings::new(1 << 20, cuts_log) };
        let how = (settings, Limits::new(vec![Arc::clone(&limit)]));
        let store = Arc::new(Store::new(Arc::new(files.clone())));
        let work = Work::new(store, Arc::clone(&journal), (&relations(), 1), how, None);
        let (events, chance, standing) = (Vec::new(), Chance(seed), BTreeMap::new());
        Self { journal, log, files, limit, n_plain, work, events, chance, standing }
    }

    /// Brings an epoch into the log.
    fn epoch(&mut self, epoch: u64) {
        let more = events(epoch, self.n_plain, &mut self.chance);
        self.events.extend(more.clone());
        self.standing.insert(epoch, standing(&self.events));
        let names = NewNames { texts: vec![format!("name {epoch}")], ..NewNames::default() };
        let (watermark, greatest) = (1, vec![1]);
        let brought = Brought { epoch, names, watermark, greatest, refused: Vec::new() };
        let contents = [vec![9; more.len()]];
        let parts: Vec<_> =
            parts(epoch, &relations(), &[Events::Settlements(more)], &contents).collect();
        self.journal.brought(brought, parts.into_iter()).unwrap();
        let (sources, counts) = (Vec::new(), Counts { received: epoch, ..Counts::default() });
        let entry = EpochEntry { epoch, watermark: 5, sources, names: 0, counts };
        self.journal.epoch(entry).unwrap();
        self.journal.wait_for(epoch).unwrap();
        self.limit.store(epoch, Ordering::Release);
    }
}

/// What a checkpoint holds: as [`standing`] says it, and the number of its names.
fn held(store: &Arc<Store>, manifest: &Manifest) -> (Vec<String>, usize) {
    let mut groups = Groups::new(store, &manifest.runs, &relations());
    let (mut events, mut n_names) = (Vec::new(), 0);
    while let Some(group) = groups.next().unwrap() {
        for part in group.events {
            let Events::Settlements(more) = part else { panic!("of another relation") };
            events.extend(more);
        }
        n_names += group.brought.names.texts.len();
    }
    (standing(&events), n_names)
}

/// The newest checkpoint that is whole holds what stood at its epoch.
fn assert_holds(store: &Arc<Store>, rig: &Rig, records: &Range<u64>) -> Option<u64> {
    let manifest = store.newest(LOG_ID, u64::MAX, records).unwrap()?;
    let epoch = manifest.epoch;
    let n_names = usize::try_from(epoch).unwrap();
    assert_eq!(held(store, &manifest), (rig.standing[&epoch].clone(), n_names), "epoch {epoch}");
    assert_eq!(manifest.counts.received, epoch);
    Some(epoch)
}

fn made(mut rig: Rig) -> Rig {
    for epoch in 1..=N_EPOCHS {
        rig.epoch(epoch);
        if rig.chance.below(3) > 0 || epoch + 3 > N_EPOCHS {
            assert!(rig.work.make().unwrap());
        }
    }
    rig
}

#[test]
fn three_are_kept_and_hold_what_stands() {
    for seed in 0..20 {
        let rig = made(Rig::new(seed, seed % 2 == 0));
        let store = Arc::new(Store::new(Arc::new(rig.files.clone())));
        let records = recover(&rig.log, LOG_ID).unwrap().records;
        let found = store.list().unwrap();
        assert_eq!(found.len(), 3);
        for (index, found) in found.into_iter().enumerate() {
            let manifest = found.manifest.unwrap();
            let n_names = usize::try_from(manifest.epoch).unwrap();
            let expected = (rig.standing[&manifest.epoch].clone(), n_names);
            assert_eq!(held(&store, &manifest), expected, "seed {seed}");
            assert_eq!(manifest.n_superseded() + manifest.n_events(), {
                let brought = rig.events.iter();
                let until = i64::try_from(manifest.epoch * 10 + 9).unwrap();
                let n = brought.filter(|event| event.row.event_time.nanos() <= until).count();
                u64::try_from(n).unwrap()
            });
            let is_cut = records.start > 1;
            assert_eq!(is_cut, seed % 2 == 0, "seed {seed}");
            assert!(manifest.next_record >= records.start, "checkpoint {index}");
        }
    }
}

/// Events that replace none are copied as they stand.
#[test]
fn runs_that_revise_nothing_are_not_read() {
    let made_of = |fan: usize, n_plain: u64| {
        let mut rig = Rig::merging(LOG_ID, 5, (false, fan), n_plain);
        for epoch in 1..=N_EPOCHS {
            rig.epoch(epoch);
            assert!(rig.work.make().unwrap());
        }
        let store = Arc::new(Store::new(Arc::new(rig.files.clone())));
        assert_eq!(assert_holds(&store, &rig, &(1..u64::MAX)), Some(N_EPOCHS));
        store.list().unwrap().remove(0).manifest.unwrap()
    };
    let (merged, single) = (made_of(3, N_EPOCHS), made_of(99, N_EPOCHS));
    assert_eq!((merged.runs.len(), single.runs.len()), (2, 12));
    assert_eq!((merged.n_bytes(), merged.n_events()), (single.n_bytes(), single.n_events()));
    assert_eq!(merged.n_superseded(), 0);
    // Epochs that are put together take less.
    let (merged, single) = (made_of(3, 1), made_of(99, 1));
    assert!(merged.n_bytes() < single.n_bytes() && merged.n_superseded() > 0);
}

#[test]
fn a_crash_leaves_the_last_one_that_was_made() {
    let (mut n_crashes, mut n_lost) = (0, 0);
    for seed in 0..400 {
        let mut rig = Rig::new(seed, true);
        let at = Chance(seed ^ 0xabc).below(260);
        let kind = std::io::ErrorKind::Other;
        rig.files.fail(Some(Fault { at, kind, is_for_good: true, share: seed % 1_000 }));
        let mut last = None;
        for epoch in 1..=N_EPOCHS {
            rig.epoch(epoch);
            match rig.work.make() {
                Ok(true) => last = Some(epoch),
                Ok(false) => {}
                Err(_) => break,
            }
        }
        n_crashes += u64::from(rig.files.has_failed());
        let left = rig.files.after_crash(&mut rig.chance);
        left.fail(None);
        let store = Arc::new(Store::new(Arc::new(left)));
        let records = recover(&rig.log, LOG_ID).unwrap().records;
        let held = assert_holds(&store, &rig, &records);
        assert!(held >= last, "seed {seed}: {held:?} is there, {last:?} was made");
        n_lost += u64::from(held.is_none() && records.start > 1);
    }
    assert!(n_crashes > 200, "{n_crashes}");
    assert_eq!(n_lost, 0, "the log was cut, and no checkpoint is there");
    println!(
        "rig: checkpoints: {n_crashes} crashes on a disk that tears and loses: none is missing"
    );
}

fn pick(chance: &mut Chance, n: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(n.max(1)).unwrap())).unwrap()
}

/// Damages a file in some way; says which, unless it is as before.
fn damage(
    files: &mut BTreeMap<String, Vec<u8>>,
    stale: &BTreeMap<String, Vec<u8>>,
    chance: &mut Chance,
) -> Option<String> {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = names[pick(chance, names.len())].clone();
    let other = files[&names[pick(chance, names.len())]].clone();
    let before = files[&name].clone();
    let bytes = files.get_mut(&name).unwrap();
    let at = pick(chance, bytes.len());
    match chance.below(6) {
        0 => bytes.truncate(at),
        1 => {
            let bit = 1 << chance.below(8);
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
        }
        2 => bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0),
        3 => *bytes = other,
        4 => {
            let old: Vec<&Vec<u8>> = stale.values().collect();
            *bytes = old[pick(chance, old.len())].clone();
        }
        _ => drop(files.remove(&name)),
    }
    (files.get(&name) != Some(&before)).then_some(name)
}

#[test]
fn damaged_ones_are_passed_over() {
    let n = std::env::var("TAPELINE_CHECKPOINT_DAMAGES").ok().and_then(|text| text.parse().ok());
    let n: u64 = n.unwrap_or(20_000);
    let (mut n_older, mut n_none) = (0, 0);
    let (mut rig, mut stale) = (Rig::new(0, false), BTreeMap::new());
    for seed in 0..n {
        if seed % 500 == 0 {
            stale = made(Rig::of(LOG_ID + 1, seed, false)).files.files();
            rig = made(Rig::new(seed, false));
        }
        let mut chance = Chance(seed);
        let mut files = rig.files.files();
        let newest = {
            let store = Arc::new(Store::new(Arc::new(Memory::of(&files))));
            store.list().unwrap().remove(0).manifest.unwrap()
        };
        let damaged: Vec<String> =
            (0..=chance.below(3)).filter_map(|_| damage(&mut files, &stale, &mut chance)).collect();
        let store = Arc::new(Store::new(Arc::new(Memory::of(&files))));
        let held = assert_holds(&store, &rig, &(1..u64::MAX));
        let is_hit = |run: &super::manifest::RunRef| damaged.contains(&run.name());
        let of_newest = super::manifest::manifest_name(newest.epoch);
        if damaged.contains(&of_newest) || newest.runs.iter().any(is_hit) {
            // What was put there may be what stood there.
            n_older += u64::from(held.is_some());
            n_none += u64::from(held.is_none());
        } else {
            assert_eq!(held, Some(newest.epoch), "seed {seed}: {damaged:?}");
        }
    }
    assert!(n_older > n / 10 && n_none > 0, "{n_older} older ones taken, {n_none} times none");
    println!(
        "rig: checkpoints: {n} damages, {n_older} times an older one was taken, {n_none} none: 0 wrong"
    );
}
