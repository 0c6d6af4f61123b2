use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use dataflows::cold::{ColdStore, Piece};
use proptest::prelude::*;

use super::file::{ColdFile, slot_of};
use super::*;

fn new(path: &Path) -> ColdFile {
    ColdFile::new(path.to_owned(), Arc::default())
}

/// The piece that a number stands for.
fn bytes(seed: u8, n: usize) -> Vec<u8> {
    (0..n).map(|i| seed.wrapping_add(u8::try_from(i % 251).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pieces come and go; each is read back as it was put, and the file keeps to its bound.
    #[test]
    fn pieces_are_read_back_and_their_places_used_again(
        steps in prop::collection::vec((any::<u8>(), 0..40_000usize, any::<prop::sample::Index>(), 0..3u8), 1..120),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.cold");
        let mut file = new(&path);
        let mut held: Vec<(Piece, Vec<u8>)> = Vec::new();
        let (mut taken, mut most) = (BTreeMap::new(), BTreeMap::new());
        for (seed, n, which, op) in steps {
            if op == 0 && !held.is_empty() {
                let (piece, given) = held.swap_remove(which.index(held.len()));
                *taken.entry(slot_of(given.len())).or_insert(0usize) -= 1;
                file.free(piece);
            } else {
                let given = bytes(seed, n);
                let slot = slot_of(n);
                prop_assert!(slot >= n + 8 && slot <= (n + 8) * 5 / 4 + 64);
                let taken = taken.entry(slot).or_insert(0usize);
                *taken += 1;
                let most = most.entry(slot).or_insert(0usize);
                *most = (*most).max(*taken);
                held.push((file.put(&given).unwrap(), given));
            }
            let mut read = Vec::new();
            for (piece, given) in &held {
                file.get(*piece, &mut read).unwrap();
                prop_assert_eq!(&read, given);
            }
        }
        let bound: usize = most.iter().map(|(slot, n)| slot * n).sum();
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        prop_assert!(length <= u64::try_from(bound).unwrap());
        drop(file);
        prop_assert!(!path.exists());
    }
}

/// A file with a thousand pieces, most of them on disk.
fn filled(path: &Path) -> (ColdFile, Vec<Piece>) {
    let mut file = new(path);
    let pieces = (0..1000).map(|_| file.put(&bytes(1, 1000)).unwrap()).collect();
    (file, pieces)
}

#[test]
fn a_damaged_piece_is_never_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.cold");
    let (mut file, pieces) = filled(&path);
    let mut damaged = fs::read(&path).unwrap();
    let slot = slot_of(1000);
    // One bit of the third piece; and the sixth where the fifth was.
    damaged[2 * slot + 500] ^= 1;
    damaged.copy_within(5 * slot..6 * slot, 4 * slot);
    fs::write(&path, damaged).unwrap();
    let mut read = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        let given = file.get(*piece, &mut read);
        if [2, 4].contains(&n) {
            let failure = given.unwrap_err();
            assert!(failure.doing.contains("history.cold"), "{failure:?}");
            assert!(failure.source.to_string().contains("damaged"), "{failure:?}");
        } else {
            given.unwrap();
            assert_eq!(read, bytes(1, 1000));
        }
    }
    // A file that was cut off.
    fs::write(&path, b"").unwrap();
    assert!(file.get(pieces[0], &mut read).is_err());
}

#[test]
fn a_folder_that_cant_be_written_and_a_full_disk_are_named() {
    let folder = tempfile::tempdir().unwrap();
    // A file stands where the folder should be made.
    fs::write(folder.path().join("state"), "").unwrap();
    let mut file = new(&folder.path().join("state/cold/worker-0.cold"));
    let failure = (0..1000).find_map(|_| file.put(&bytes(1, 1000)).err()).unwrap();
    assert!(failure.doing.contains("state/cold/worker-0.cold"), "{failure:?}");
    if let Ok(full) = fs::OpenOptions::new().read(true).write(true).open("/dev/full") {
        let mut file = ColdFile::with_file(folder.path().join("full.cold"), full);
        let failure = (0..1000).find_map(|_| file.put(&bytes(1, 1000)).err()).unwrap();
        assert!(failure.doing.contains("full.cold"), "{failure:?}");
        assert_eq!(failure.source.kind(), std::io::ErrorKind::StorageFull);
    }
}

#[test]
fn files_of_an_earlier_run_are_removed_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("worker-7.cold"), "old").unwrap();
    fs::write(path("notes.txt"), "mine").unwrap();
    let spill = Spill::new(folder.path(), 4000).unwrap();
    assert!(!path("worker-7.cold").exists() && path("notes.txt").exists());
    let mut part = spill.of_worker(0, 2);
    assert_eq!((part.memory, spill.of_relation(0, 2).memory), (1500, 500));
    // The file is made when something is written, not before.
    assert!(!path("worker-0.cold").exists());
    for _ in 0..1000 {
        part.store.put(&[0; 1000]).unwrap();
    }
    assert!(path("worker-0.cold").exists());
    assert_eq!(spill.n_written(), 1_000_000);
    drop(part);
    assert!(!path("worker-0.cold").exists());
}
