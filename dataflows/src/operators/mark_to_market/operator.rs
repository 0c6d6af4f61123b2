//! The dataflow side of the sweep: epochs in, rows of the three outputs out, in pieces.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use types::Span;
use types::relations::{Mark, Pnl, PnlNow, PositionPnl, PositionStep};

use super::series::Tell;
use super::sweep::{Input, Sweep};
use crate::edge::Edge;
use crate::plan::Context;
use crate::route::route_wallet;

/// A row, its epoch and its change of multiplicity.
type Update<R> = (R, u64, isize);

/// Rows of a container that leaves.
const FULL: usize = 512;
/// About so many rows are told before other operators have their turn, so that what has left is
/// taken in before more is made.
const PIECE: usize = 16 * FULL;

/// Adds the operator to the dataflow; gives its outputs: rows, the newest rows, errors.
pub(super) fn build<'s>(
    mut sweep: Sweep,
    grid: Span,
    context: &Context<'s, '_>,
    steps: &Edge<'s>,
    marks: StreamVec<'s, u64, Update<Mark>>,
) -> [Edge<'s>; 3] {
    let name = format!("view {}: mark_to_market", context.view);
    let mut builder = OperatorBuilder::new(name, context.scope);
    let activator = context.scope.activator_for(builder.operator_info().address);
    let by_wallet =
        Exchange::new(|(row, _, _): &Update<PositionStep>| route_wallet(row.position.wallet));
    let mut steps = builder.new_input(steps.steps().inner, by_wallet);
    let mut marks = builder.new_input(marks, Pipeline);
    let mut clock = builder.new_input(context.clock.stream(), Pipeline);
    let by_position = sweep.by_position;
    let (wallets, wallets_stream) = Output::<Pnl>::new(&mut builder);
    let (positions, positions_stream) = Output::<PositionPnl>::new(&mut builder);
    let (now, now_stream) = Output::<PnlNow>::new(&mut builder);
    let (errors, errors_stream) = Output::<types::Row>::new(&mut builder);
    let mut outputs = Outputs { wallets, positions, now, errors };
    let reads = context.reads.clone();
    builder.build(move |_| {
        let mut stash: BTreeMap<u64, (Vec<Capability<u64>>, Input)> = BTreeMap::new();
        let mut current: Option<(u64, Vec<Capability<u64>>)> = None;
        move |frontiers| {
            let retain = |time: &timely::dataflow::operators::InputCapability<u64>| {
                let capabilities = (0..N_OUTPUTS).map(|output| time.retain(output)).collect();
                (capabilities, Input::default())
            };
            steps.for_each_time(|time, containers| {
                let (_, input) = stash.entry(*time.time()).or_insert_with(|| retain(&time));
                containers.for_each(|container| input.steps.push(std::mem::take(container)));
            });
            marks.for_each_time(|time, containers| {
                let (_, input) = stash.entry(*time.time()).or_insert_with(|| retain(&time));
                containers.for_each(|container| input.marks.append(container));
            });
            clock.for_each_time(|time, containers| {
                let (_, input) = stash.entry(*time.time()).or_insert_with(|| retain(&time));
                for clock in containers.flat_map(|container| container.drain(..)) {
                    input.until = clock.last_step(grid, &reads);
                }
            });
            loop {
                if current.is_none() {
                    let complete = stash.first_entry().filter(|entry| {
                        !frontiers.iter().any(|frontier| frontier.less_equal(entry.key()))
                    });
                    let Some(entry) = complete else { break };
                    let (epoch, (capabilities, input)) = entry.remove_entry();
                    sweep.start(input);
                    current = Some((epoch, capabilities));
                }
                let Some((epoch, capabilities)) = &current else { break };
                let mut out = outputs.told(*epoch, capabilities);
                let is_done = sweep.work(PIECE, &mut out);
                out.flush();
                if !is_done {
                    activator.activate();
                    break;
                }
                current = None;
            }
        }
    });
    let rows = if by_position {
        Edge::PositionPnl(positions_stream.as_collection())
    } else {
        Edge::Pnl(wallets_stream.as_collection())
    };
    [rows, Edge::PnlNow(now_stream.as_collection()), Edge::Rows(errors_stream.as_collection())]
}

const N_OUTPUTS: usize = 4;

/// An output with the rows that haven't left yet.
struct Output<R: Clone + 'static> {
    output: OutputBuilder<u64, CapacityContainerBuilder<Vec<Update<R>>>>,
    rows: Vec<Update<R>>,
}

impl<R: Clone + 'static> Output<R> {
    fn new<'s>(builder: &mut OperatorBuilder<'s, u64>) -> (Self, StreamVec<'s, u64, Update<R>>) {
        let (output, stream) = builder.new_output::<Vec<Update<R>>>();
        (Self { output: OutputBuilder::from(output), rows: Vec::new() }, stream)
    }

    fn push(&mut self, row: Update<R>, capability: &Capability<u64>) {
        if self.rows.len() == self.rows.capacity() {
            self.flush(capability);
            self.rows.reserve_exact(FULL);
        }
        self.rows.push(row);
    }

    fn flush(&mut self, capability: &Capability<u64>) {
        if !self.rows.is_empty() {
            self.output.activate().session(capability).give_container(&mut self.rows);
            self.rows.clear();
        }
    }
}

/// All outputs.
struct Outputs {
    wallets: Output<Pnl>,
    positions: Output<PositionPnl>,
    now: Output<PnlNow>,
    errors: Output<types::Row>,
}

impl Outputs {
    /// What takes the rows of an epoch.
    fn told<'a>(&'a mut self, epoch: u64, capabilities: &'a [Capability<u64>]) -> Told<'a> {
        let [a, b, c, d] = capabilities else { unreachable!("a capability for each output") };
        Told {
            epoch,
            wallets: (&mut self.wallets, a),
            positions: (&mut self.positions, b),
            now: (&mut self.now, c),
            errors: (&mut self.errors, d),
        }
    }
}

/// Takes the rows of an epoch.
struct Told<'a> {
    epoch: u64,
    wallets: (&'a mut Output<Pnl>, &'a Capability<u64>),
    positions: (&'a mut Output<PositionPnl>, &'a Capability<u64>),
    now: (&'a mut Output<PnlNow>, &'a Capability<u64>),
    errors: (&'a mut Output<types::Row>, &'a Capability<u64>),
}

impl Told<'_> {
    fn flush(&mut self) {
        self.wallets.0.flush(self.wallets.1);
        self.positions.0.flush(self.positions.1);
        self.now.0.flush(self.now.1);
        self.errors.0.flush(self.errors.1);
    }
}

impl Tell for Told<'_> {
    fn wallet(&mut self, row: Pnl, diff: isize) {
        self.wallets.0.push((row, self.epoch, diff), self.wallets.1);
    }

    fn position(&mut self, row: PositionPnl, diff: isize) {
        self.positions.0.push((row, self.epoch, diff), self.positions.1);
    }

    fn now(&mut self, row: PnlNow, diff: isize) {
        self.now.0.push((row, self.epoch, diff), self.now.1);
    }

    fn error(&mut self, row: types::Row, diff: isize) {
        self.errors.0.push((row, self.epoch, diff), self.errors.1);
    }
}
