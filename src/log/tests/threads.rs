//! The writer with its thread: group commit, pressure, failures.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::memory::Fault;
use super::*;
use crate::limits;

fn start(memory: &Memory) -> Writer {
    let found = recover(memory, LOG_ID).unwrap();
    Writer::start(Arc::new(memory.clone()), LOG_ID, &found, options(4096)).unwrap()
}

#[test]
fn many_wait_and_all_are_told() {
    let memory = Memory::default();
    let mut writer = start(&memory);
    assert_eq!(writer.durable().reached(), 0);
    let waiters: Vec<_> = (1..=20)
        .map(|n: u64| {
            let durable = writer.durable();
            thread::spawn(move || {
                durable.wait_for(n * 50).unwrap();
                assert!(durable.reached() >= n * 50);
            })
        })
        .collect();
    for number in 1..=1000 {
        assert_eq!(writer.append(0, &[7; 100]).unwrap(), number);
        if number % 100 == 0 {
            writer.durable().wait_for(number).unwrap();
        }
    }
    for waiter in waiters {
        waiter.join().unwrap();
    }
    let durable = writer.durable();
    writer.append(0, b"the last").unwrap();
    writer.finish().unwrap();
    assert_eq!(durable.reached(), 1001);
    assert!(matches!(durable.wait_for(1002), Err(LogError::Ended)));
    // What was confirmed is on the disk.
    let found = recover(&memory.after_crash(&mut Chance(1)), LOG_ID).unwrap();
    assert_eq!(found.records, 1..1002);
}

#[test]
fn one_sync_makes_many_durable() {
    let memory = Memory::default();
    let (mut writer, mut committer, _) = open(&memory, 1 << 20).unwrap();
    let n_syncs = memory.n_syncs();
    for _ in 0..500 {
        writer.append(0, &[7; 100]).unwrap();
    }
    assert!(committer.commit(false));
    assert_eq!(writer.durable().reached(), 500);
    assert_eq!(memory.n_syncs(), n_syncs + 1);
}

#[test]
fn without_syncs_written_is_durable() {
    let memory = Memory::default();
    let found = recover(&memory, LOG_ID).unwrap();
    let options = Options { sync: Sync::None, ..options(200) };
    let mut writer = Writer::start(Arc::new(memory.clone()), LOG_ID, &found, options).unwrap();
    for _ in 0..50 {
        writer.append(0, &[7; 100]).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(memory.n_syncs(), 0);
    assert_eq!(recover(&memory, LOG_ID).unwrap().records, 1..51);
}

#[test]
fn who_appends_waits_while_the_queue_is_full() {
    let memory = Memory::default();
    let (mut writer, mut committer, _) = open(&memory, 64 << 20).unwrap();
    let n_appended = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&n_appended);
    let payload = vec![0; limits::LOG_QUEUE_BYTES / 2 - 100];
    let appending = thread::spawn(move || {
        for _ in 0..5 {
            counter.store(writer.append(0, &payload).unwrap(), Ordering::SeqCst);
        }
        writer
    });
    for may_have in [2, 4, 5] {
        // Time for one more than may pass; and as much as it takes for those that may.
        thread::sleep(Duration::from_millis(30));
        while n_appended.load(Ordering::SeqCst) < may_have {
            thread::yield_now();
        }
        assert_eq!(n_appended.load(Ordering::SeqCst), may_have);
        assert!(committer.commit(false));
    }
    assert_eq!(appending.join().unwrap().durable().reached(), 5);
}

#[test]
fn a_failure_is_told_to_all_and_is_final() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let memory = Memory::default();
        let mut writer = start(&memory);
        let (at, share) = (memory.n_changes() + 20, 500);
        memory.fail(Some(Fault { at, kind, is_for_good: false, share }));
        let durable = writer.durable();
        let waiting = thread::spawn(move || durable.wait_for(u64::MAX).unwrap_err());
        let mut fails = (0..100).filter_map(|_| {
            let appended = writer.append(0, &[7; 100]);
            appended.and_then(|number| writer.durable().wait_for(number)).err()
        });
        let error = fails.next().unwrap();
        let reached = writer.durable().reached();
        let told = error.to_string();
        assert!(told.contains("/data/log/000"), "{told}");
        assert!(told.starts_with("writing to") || told.starts_with("syncing"), "{told}");
        let is_space = kind == ErrorKind::StorageFull;
        assert_eq!(error.hint().starts_with("free space"), is_space, "{}", error.hint());
        assert_eq!(waiting.join().unwrap().to_string(), told);
        // The disk is fine again, but nothing is tried again.
        let n_changes = memory.n_changes();
        assert_eq!(writer.append(0, b"x").unwrap_err().to_string(), told);
        assert_eq!(writer.durable().failure().unwrap().to_string(), told);
        writer.durable().wait_for(reached).unwrap();
        assert_eq!(writer.finish().unwrap_err().to_string(), told);
        assert_eq!(memory.n_changes(), n_changes);
    }
}

/// A log's thread that is gone leaves nobody waiting.
#[test]
fn a_thread_that_ends_early_leaves_nobody_waiting() {
    let (mut writer, committer, _) = open(&Memory::default(), 4096).unwrap();
    let durable = writer.durable();
    let number = writer.append(0, b"x").unwrap();
    let waiting = thread::spawn(move || durable.wait_for(number).unwrap_err());
    drop(committer);
    assert!(matches!(waiting.join().unwrap(), LogError::Ended));
    assert!(matches!(writer.append(0, b"y").unwrap_err(), LogError::Ended));
}
