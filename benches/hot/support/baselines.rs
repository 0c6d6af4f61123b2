//! What else one could do with the substrate: nothing at all (an exchange and a probe: what timely
//! costs by itself), and differential's own `reduce`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::input::InputSession;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::operators::{Exchange, Input, Probe};
use timely::worker::Worker;

use super::digest::{self, Digest};
use super::harness::{Epoch, Flow, Setup};
use super::loops::Position;
use super::stream::Fill;

/// A fill's words: (wallet, asset), then in event order (time, id), price, size, fee, side; and
/// whether it adds or removes.
type Record = ((u32, u32), Value, isize);
type Value = (i64, u32, i64, i64, i64, bool);

/// A share: the epoch's number and its records.
type Records = (u64, Vec<Record>);

fn record(fill: &Fill) -> Record {
    let value = (fill.time, fill.id, fill.price, fill.size, fill.fee, fill.is_buy);
    ((fill.wallet, fill.asset), value, if fill.is_bust { -1 } else { 1 })
}

fn route((wallet, asset): (u32, u32)) -> u64 {
    dataflows::route::mix((u64::from(wallet) << 32) | u64::from(asset))
}

fn cut(epoch: Epoch<'_>, n_workers: usize) -> Vec<Records> {
    let n = u64::try_from(n_workers).expect("a few workers");
    let part = |worker: u64| {
        let records = epoch.fills.iter().map(record);
        (epoch.number, records.filter(|record| route(record.0) % n == worker).collect())
    };
    (0..n).map(part).collect()
}

/// An exchange and a probe.
pub(crate) struct Empty;

/// A worker's end of it.
pub(crate) struct EmptyFlow {
    input: Handle<u64, CapacityContainerBuilder<Vec<Record>>>,
    probe: ProbeHandle<u64>,
}

impl Setup for Empty {
    type Share = Records;
    type Flow = EmptyFlow;

    fn build(&self, worker: &mut Worker) -> EmptyFlow {
        let probe = ProbeHandle::new();
        let input = worker.dataflow(|scope| {
            let (input, stream) = scope.new_input::<Vec<Record>>();
            stream.exchange(|record: &Record| route(record.0)).probe_with(&probe);
            input
        });
        EmptyFlow { input, probe }
    }

    fn cut(&self, epoch: Epoch<'_>, n_workers: usize) -> Vec<Records> {
        cut(epoch, n_workers)
    }
}

impl Flow for EmptyFlow {
    type Share = Records;
    type Output = ();

    fn feed(&mut self, (epoch, mut records): Records) {
        self.input.advance_to(epoch);
        self.input.send_batch(&mut records);
        self.input.advance_to(epoch + 1);
    }

    fn is_complete(&self, epoch: u64) -> bool {
        !self.probe.less_equal(&epoch)
    }

    fn take(&mut self, _epoch: u64) {}

    fn digest((): &(), _digest: &mut Digest) {}
}

/// Positions by differential's `reduce`, which gives a key's values in order.
pub(crate) struct Reduce;

/// Changed rows, by epoch.
type Rows = BTreeMap<u64, Vec<((u32, u32), [i128; 4], isize)>>;

/// A worker's end of it.
pub(crate) struct ReduceFlow {
    input: InputSession<u64, ((u32, u32), Value), isize>,
    probe: ProbeHandle<u64>,
    rows: Rc<RefCell<Rows>>,
}

impl Setup for Reduce {
    type Share = Records;
    type Flow = ReduceFlow;

    fn build(&self, worker: &mut Worker) -> ReduceFlow {
        let (probe, rows) = (ProbeHandle::new(), Rc::new(RefCell::new(Rows::new())));
        let captured = Rc::clone(&rows);
        let mut input = InputSession::new();
        worker.dataflow(|scope| {
            let positions = input.to_collection(scope).reduce(|_, values, output| {
                let mut position = Position::default();
                for ((time, id, price, size, fee, is_buy), _) in values {
                    position.take(&Fill {
                        time: *time,
                        price: *price,
                        size: *size,
                        fee: *fee,
                        id: *id,
                        wallet: 0,
                        asset: 0,
                        is_buy: *is_buy,
                        is_bust: false,
                    });
                }
                let Position { qty, cost, realized, fees } = position;
                output.push(([qty, cost, realized, fees], 1));
            });
            let positions = positions.inspect(move |((key, row), epoch, diff)| {
                captured.borrow_mut().entry(*epoch).or_default().push((*key, *row, *diff));
            });
            positions.inner.probe_with(&probe);
        });
        ReduceFlow { input, probe, rows }
    }

    fn cut(&self, epoch: Epoch<'_>, n_workers: usize) -> Vec<Records> {
        cut(epoch, n_workers)
    }
}

impl Flow for ReduceFlow {
    type Share = Records;
    type Output = Vec<((u32, u32), [i128; 4], isize)>;

    fn feed(&mut self, (epoch, records): Records) {
        self.input.advance_to(epoch);
        for (key, value, diff) in records {
            self.input.update((key, value), diff);
        }
        self.input.advance_to(epoch + 1);
        self.input.flush();
    }

    fn is_complete(&self, epoch: u64) -> bool {
        !self.probe.less_equal(&epoch)
    }

    fn take(&mut self, epoch: u64) -> Self::Output {
        self.rows.borrow_mut().remove(&epoch).unwrap_or_default()
    }

    fn digest(output: &Self::Output, digest: &mut Digest) {
        for ((wallet, asset), [qty, cost, realized, fees], diff) in output {
            let (qty, cost, realized, fees) = (*qty, *cost, *realized, *fees);
            let hash = digest::position(*wallet, *asset, &Position { qty, cost, realized, fees });
            digest.positions.add(hash, i64::try_from(*diff).expect("small"));
            digest.n_changes += 1;
        }
    }
}
