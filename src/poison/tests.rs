//! Crashes that are counted, kept and forgotten; events that are taken out.

use super::*;
use crate::env::Disk;

fn crash(epochs: (u64, u64), n: u32) -> Crash {
    Crash { epochs, n, what: "it".to_owned() }
}

#[test]
fn crashes_count_where_their_epochs_meet() {
    let mut so_far = None;
    for (epochs, expected) in [
        ((3, 9), crash((3, 9), 1)),
        ((5, 20), crash((5, 9), 2)),
        ((1, 7), crash((5, 7), 3)),
        ((8, 8), crash((8, 8), 1)),
        // One epoch is enough to meet in.
        ((8, 8), crash((8, 8), 2)),
        ((2, 8), crash((8, 8), 3)),
        ((9, 12), crash((9, 12), 1)),
    ] {
        let next = after(so_far.as_ref(), epochs, "it");
        assert_eq!(next, expected);
        so_far = Some(next);
    }
}

#[test]
fn what_is_known_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = |plan| {
        let files: Arc<dyn Files> = Arc::new(Disk::open(folder.path()).unwrap());
        Poisons::open(files, plan, false).unwrap()
    };
    let mut poisons = open(7);
    for n in 1..=CRASHES_MAX {
        assert_eq!(poisons.suspect(), None, "after {} crashes", n - 1);
        poisons.crashed((2, 4), "it").unwrap();
        poisons = open(7);
    }
    assert_eq!(poisons.suspect(), Some(&crash((2, 4), CRASHES_MAX)));
    let row = Poison { relation: 0, digest: hex(5), epoch: 3, line: "{}".to_owned() };
    poisons.add(row.clone()).unwrap();
    poisons.clear().unwrap();
    let mut poisons = open(7);
    assert_eq!((poisons.suspect(), poisons.all()), (None, &[row][..]));
    assert_eq!(open(8).all(), [], "of another plan nothing is known");
    poisons.forget().unwrap();
    assert_eq!(open(7).all(), []);
    poisons.forget().unwrap();
    assert!(!folder.path().join(FILE).exists());
}

/// Rows of some numbers.
fn rows(numbers: &[u32]) -> Events {
    let event = |number: &u32| Event {
        op: types::Op::Insert,
        revision: 0,
        is_first: number.is_multiple_of(2),
        row: types::Row(Arc::from([types::Value::from(u64::from(*number))])),
    };
    Events::Rows(numbers.iter().map(event).collect())
}

#[test]
fn events_are_taken_out_by_their_content() {
    let batch = |numbers: &[u32]| Batch {
        epoch: 1,
        n_rows: numbers.len(),
        events: vec![rows(&[]), rows(numbers)],
        clock: Arc::new(dataflows::Clock {
            watermark: types::VenueTime::MIN,
            greatest: Arc::default(),
        }),
        names: 0,
        kept: None,
    };
    let poison = |relation, number| {
        let digest = digest(&rows(&[number])).unwrap();
        Poison { relation, digest, epoch: 1, line: number.to_string() }
    };
    let mut given = batch(&[1, 2, 3, 4]);
    // One of another relation, one that isn't there.
    let poisons = [poison(0, 1), poison(1, 3), poison(1, 2), poison(1, 9), poison(7, 4)];
    let found = take_out(&mut given, &poisons);
    assert_eq!(found, [&poisons[1], &poisons[2]]);
    assert_eq!(given.events, batch(&[1, 4]).events);
    // Whether it is the first of its identity is no content.
    let Events::Rows(mut only) = rows(&[3]) else { panic!("it gives rows") };
    only[0].is_first = true;
    assert_eq!(digest(&Events::Rows(only)), digest(&rows(&[3])));
}

#[test]
fn an_unreadable_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "{").unwrap();
    let files = || -> Arc<dyn Files> { Arc::new(Disk::open(folder.path()).unwrap()) };
    let error = Poisons::open(files(), 7, false).err().unwrap();
    assert!(error.to_string().contains(FILE), "{error}");
    assert!(error.hint().unwrap().contains("--fresh"));
    // Who starts anew needn't read it.
    Poisons::open(files(), 7, true).unwrap().forget().unwrap();
    assert_eq!(Poisons::open(files(), 7, false).unwrap().all(), []);
}
