//! A sink that stands still holds its sender back, by epochs and by bytes.

use std::time::Duration;

use types::relations::{Break, RelationKind};
use types::{Epoch, EventId, Size, Sym, VenueTime};

use super::*;

/// Takes an epoch whenever it is told to.
struct Stuck(Receiver<()>);

impl Sink for Stuck {
    fn write(&mut self, _changes: &EpochChanges) -> Result<(), ConnectError> {
        self.0.recv().map_err(|_| ConnectError::broken("waiting"))
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        Ok(SinkReport::default())
    }
}

/// An epoch with so many changes.
fn epoch(epoch: u64, n_changes: usize) -> EpochOutput {
    let row = Break {
        wallet: Sym::from_index(0),
        asset: types::AssetId(0),
        id: EventId::NONE,
        expected: Size::ZERO,
        stated: Size::ZERO,
        event_time: VenueTime::MIN,
    };
    let changes = vec![Arc::new(Changes::Breaks(vec![(row, 1); n_changes]))];
    EpochOutput { epoch: Epoch(epoch), watermark: VenueTime::MIN, changes }
}

/// How many epochs of `n_changes` a stuck sink lets its sender queue, of 100; all are sent in the end.
fn n_queued(n_changes: usize) -> usize {
    let (go_on, told) = bounded(200);
    let delivery = start("stuck", Box::new(Stuck(told)), vec![0]).unwrap();
    let (sent, n_sent) = bounded(200);
    let sender = std::thread::spawn(move || {
        for number in 1..=100 {
            assert!(delivery.send(&epoch(number, n_changes)));
            sent.send(()).unwrap();
        }
        delivery.end(End::Finished).join().unwrap();
    });
    // Until nothing is sent for a while.
    let mut n_queued = 0;
    while n_sent.recv_timeout(Duration::from_millis(500)).is_ok() {
        n_queued += 1;
    }
    assert!(!sender.is_finished());
    (0..100).for_each(|_| go_on.send(()).unwrap());
    sender.join().unwrap();
    assert_eq!(n_sent.len(), 100 - n_queued);
    n_queued
}

#[test]
fn a_stuck_sink_holds_a_bounded_number_of_epochs() {
    assert_eq!(n_queued(1), limits::SINK_EPOCHS);
}

#[test]
fn a_stuck_sink_holds_bounded_bytes() {
    let row = Changes::Breaks(vec![]).bytes();
    assert_eq!((row, Changes::empty(RelationKind::Breaks).bytes()), (0, 0));
    let n_bytes = epoch(1, 30_000).changes[0].bytes();
    let expected = limits::SINK_BYTES.div_ceil(n_bytes);
    assert!(expected < limits::SINK_EPOCHS, "{expected}");
    assert_eq!(n_queued(30_000), expected);
}

/// Ends when others end.
struct Together(Arc<std::sync::Barrier>);

impl Sink for Together {
    fn write(&mut self, _changes: &EpochChanges) -> Result<(), ConnectError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        self.0.wait();
        Ok(SinkReport::default())
    }
}

#[test]
fn sinks_end_side_by_side() {
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let sink = |_| start("one", Box::new(Together(Arc::clone(&barrier))), vec![0]).unwrap();
    let endings: Vec<Ending> =
        (0..3).map(sink).map(|delivery| delivery.end(End::Finished)).collect();
    for ending in endings {
        drop(ending.join().unwrap());
    }
}

#[test]
fn a_sink_that_failed_lets_its_sender_go() {
    let (go_on, told) = bounded::<()>(1);
    let delivery = start("stuck", Box::new(Stuck(told)), vec![0]).unwrap();
    let sender = std::thread::spawn(move || {
        let n_sent = (1..1_000).take_while(|number| delivery.send(&epoch(*number, 1))).count();
        (n_sent, delivery.end(End::Failed).join().is_err())
    });
    std::thread::sleep(Duration::from_millis(100));
    drop(go_on);
    let (n_sent, is_err) = sender.join().unwrap();
    assert!(n_sent <= limits::SINK_EPOCHS && is_err, "{n_sent}");
}
