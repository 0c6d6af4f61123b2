//! The dataflow side of `avg_cost`: epochs in, old and new rows out.

use differential_dataflow::AsCollection;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Broadcast;
use types::relations::{Break, Fill, FoldError, Position, PositionStep, Settlement};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Event, Span, Sym, Text};

use super::keys::{Key, Keys};
use super::ledger::{Finding, Ledger, Note, State};
use crate::edge::Edge;
use crate::operators::history::{BLOCK, Sink, Step};
use crate::plan::Context;
use crate::revisions::Revision;
use crate::route::route;

/// The places of outputs among those of the view.
const ERRORS: usize = 1;
const BREAKS: usize = 2;

/// A row, its epoch and its change of multiplicity.
pub(super) type Update<R> = (R, u64, isize);

/// Rows for which room is asked for at once are a multiple of this, unless they are fewer.
const ROWS_STEP: usize = 1024;

/// What one epoch changes, by output. Rows of one key stand together, the old one first.
pub(super) struct Changes {
    epoch: u64,
    positions: Vec<Update<Position>>,
    errors: Vec<Update<FoldError>>,
    breaks: Vec<Update<Break>>,
    steps: Vec<Vec<Update<PositionStep>>>,
}

/// What the operator may read its fills from.
trait Incoming: ExchangeData {
    fn fill(&self) -> &Fill;

    /// Puts the fill into the histories.
    fn enter(&self, keys: &mut Keys, key: Key);
}

/// Events as they come: which of them stand is settled here.
impl Incoming for Event<Fill> {
    fn fill(&self) -> &Fill {
        &self.row
    }

    fn enter(&self, keys: &mut Keys, key: Key) {
        types::fault::poison(self.row.size);
        keys.revise(key, Revision::of(self), &self.row);
    }
}

/// Rows of a view.
impl Incoming for Update<Fill> {
    fn fill(&self) -> &Fill {
        &self.0
    }

    fn enter(&self, keys: &mut Keys, key: Key) {
        keys.change(key, &self.0, self.2);
    }
}

/// Adds the operator to the dataflow.
pub(super) fn build<'s>(
    ledger: Ledger,
    grids: &[Span],
    context: &Context<'s, '_>,
    inputs: &[Edge<'s>],
) -> Vec<Edge<'s>> {
    let settlements = inputs.get(1).map(|edge| edge.settlements().inner);
    match inputs.first().expect("avg_cost is planned with its fills") {
        Edge::FillEvents(events) => {
            Builder { ledger, grids, context }.build(events.clone(), settlements)
        }
        edge => Builder { ledger, grids, context }.build(edge.fills().inner, settlements),
    }
}

/// What building takes beside the inputs.
struct Builder<'a, 's, 'p> {
    ledger: Ledger,
    grids: &'a [Span],
    context: &'a Context<'s, 'p>,
}

impl<'s> Builder<'_, 's, '_> {
    fn build<I: Incoming>(
        self,
        fills: StreamVec<'s, u64, I>,
        settlements: Option<StreamVec<'s, u64, Update<Settlement>>>,
    ) -> Vec<Edge<'s>> {
        let Self { ledger, grids, context } = self;
        let name = format!("view {}: avg_cost", context.view);
        let mut builder = OperatorBuilder::new(name, context.scope);
        let by_key = Exchange::new(|input: &I| {
            let Fill { wallet, asset, seq, .. } = input.fill();
            if is_out(Safeguard::OneWorkerAKey) { *seq } else { route(*wallet, *asset) }
        });
        let mut fills = builder.new_input(fills, by_key);
        // Any worker may hold positions of the asset.
        let mut settlements = settlements.map(|rows| builder.new_input(rows.broadcast(), Pipeline));

        let (mut outputs, edges) = Outputs::new(&mut builder, grids.len(), context);

        let mut keys = Keys::new(ledger, grids, settlements.is_some(), &context.cold);
        let mut changes = Changes::new(grids.len());
        let n_outputs = outputs.len();
        builder.build(move |_| {
            let mut stash: Vec<Stashed<I>> = Vec::new();
            move |frontiers| {
                fills.for_each_time(|time, containers| {
                    let retain = || (0..n_outputs).map(|output| time.retain(output)).collect();
                    let stashed = Stashed::of(&mut stash, *time.time(), retain);
                    stashed.fills.extend(containers.map(std::mem::take));
                });
                if let Some(settlements) = &mut settlements {
                    settlements.for_each_time(|time, containers| {
                        let retain = || (0..n_outputs).map(|output| time.retain(output)).collect();
                        let stashed = Stashed::of(&mut stash, *time.time(), retain);
                        containers.for_each(|container| stashed.settlements.append(container));
                    });
                }
                while let Some(first) = stash.first() {
                    if frontiers.iter().any(|frontier| frontier.less_equal(&first.epoch)) {
                        break;
                    }
                    let Stashed { epoch, capabilities, fills, settlements } = stash.remove(0);
                    changes.epoch = epoch;
                    apply(&mut keys, &fills, &settlements, &mut changes);
                    outputs.send(&capabilities, &mut changes);
                }
            }
        });
        edges
    }
}

/// Applies an epoch: every touched key is folded once, and its old and new rows leave.
fn apply<I: Incoming>(
    keys: &mut Keys,
    fills: &[Vec<I>],
    settlements: &[Update<Settlement>],
    changes: &mut Changes,
) {
    keys.settle(settlements);
    let mut places = Vec::with_capacity(BLOCK);
    for block in fills.iter().flat_map(|fills| fills.chunks(BLOCK)) {
        let key = |input: &I| (input.fill().wallet, input.fill().asset);
        keys.find_all(block.iter().map(key), &mut places);
        for (input, place) in block.iter().zip(&places) {
            input.enter(keys, Key { key: key(input), place: *place });
        }
    }
    keys.finish(changes);
}

type Out<R> = OutputBuilder<u64, CapacityContainerBuilder<Vec<Update<R>>>>;

fn new_output<'s, R: Clone + 'static>(
    builder: &mut OperatorBuilder<'s, u64>,
) -> (Out<R>, StreamVec<'s, u64, Update<R>>) {
    let (output, stream) = builder.new_output::<Vec<Update<R>>>();
    (OutputBuilder::from(output), stream)
}

/// The outputs. Those that nothing reads aren't there: each costs every epoch its share of timely's
/// accounts, which is most of what an epoch of one event costs.
struct Outputs {
    positions: Out<Position>,
    errors: Option<Out<FoldError>>,
    breaks: Option<Out<Break>>,
    steps: Vec<Out<PositionStep>>,
}

impl Outputs {
    /// Adds them, and gives their edges in the order of the view's outputs.
    fn new<'s>(
        builder: &mut OperatorBuilder<'s, u64>,
        n_grids: usize,
        context: &Context<'s, '_>,
    ) -> (Self, Vec<Edge<'s>>) {
        let is_read = |output: usize| context.is_read.get(output).copied().unwrap_or(true);
        let (positions, stream) = new_output::<Position>(builder);
        let mut edges = vec![Edge::Positions(stream.as_collection())];
        let (errors, stream) = is_read(ERRORS).then(|| new_output::<FoldError>(builder)).unzip();
        let stream = stream.unwrap_or_else(|| empty(context.scope));
        edges.push(Edge::Errors(stream.as_collection()));
        let (breaks, stream) = is_read(BREAKS).then(|| new_output::<Break>(builder)).unzip();
        let stream = stream.unwrap_or_else(|| empty(context.scope));
        edges.push(Edge::Breaks(stream.as_collection()));
        let new_step = |_| {
            let (output, stream) = new_output::<PositionStep>(builder);
            edges.push(Edge::Steps(stream.as_collection()));
            output
        };
        let steps = (0..n_grids).map(new_step).collect();
        (Self { positions, errors, breaks, steps }, edges)
    }

    fn len(&self) -> usize {
        1 + self.errors.iter().len() + self.breaks.iter().len() + self.steps.len()
    }

    /// Hands on an epoch's changes.
    fn send(&mut self, capabilities: &[Capability<u64>], changes: &mut Changes) {
        let mut capabilities = capabilities.iter();
        send(&mut self.positions, capabilities.next(), &mut changes.positions);
        if let Some(errors) = &mut self.errors {
            send(errors, capabilities.next(), &mut changes.errors);
        }
        if let Some(breaks) = &mut self.breaks {
            send(breaks, capabilities.next(), &mut changes.breaks);
        }
        changes.errors.clear();
        changes.breaks.clear();
        for (output, rows) in self.steps.iter_mut().zip(&mut changes.steps) {
            send(output, capabilities.next(), rows);
        }
    }
}

/// Hands on all rows of an epoch in one container.
fn send<R: Clone + 'static>(
    output: &mut Out<R>,
    capability: Option<&Capability<u64>>,
    rows: &mut Vec<Update<R>>,
) {
    if let Some(capability) = capability.filter(|_| !rows.is_empty()) {
        output.activate().session(capability).give_container(rows);
        rows.clear();
    }
}

/// The input of an epoch that isn't complete yet, with the right to answer it on each output.
struct Stashed<I> {
    epoch: u64,
    capabilities: Vec<Capability<u64>>,
    fills: Vec<Vec<I>>,
    settlements: Vec<Update<Settlement>>,
}

impl<I> Stashed<I> {
    /// The place for an epoch's input; they are few, and stand in order.
    fn of(
        stash: &mut Vec<Self>,
        epoch: u64,
        retain: impl FnOnce() -> Vec<Capability<u64>>,
    ) -> &mut Self {
        let index = match stash.binary_search_by_key(&epoch, |stashed| stashed.epoch) {
            Ok(index) => index,
            Err(index) => {
                let (fills, settlements) = (Vec::new(), Vec::new());
                stash.insert(index, Self { epoch, capabilities: retain(), fills, settlements });
                index
            }
        };
        &mut stash[index]
    }
}

impl Changes {
    fn new(n_grids: usize) -> Self {
        Self {
            epoch: 0,
            positions: Vec::new(),
            errors: Vec::new(),
            breaks: Vec::new(),
            steps: (0..n_grids).map(|_| Vec::new()).collect(),
        }
    }

    fn note(&mut self, (wallet, asset): (Sym, AssetId), note: &Note, diff: isize) {
        let Note { id, time: event_time, ref finding } = *note;
        match *finding {
            Finding::LeftOut(reason) => {
                let reason = Text::Word(reason);
                let row = FoldError { wallet, asset, id, reason, event_time };
                self.errors.push((row, self.epoch, diff));
            }
            Finding::Break { expected, stated } => {
                let row = Break { wallet, asset, id, expected, stated, event_time };
                self.breaks.push((row, self.epoch, diff));
            }
        }
    }
}

impl Sink<Ledger> for Changes {
    fn expect(&mut self, n_keys: usize) {
        // Mostly an old and a new row a key. Growing by doubling would touch four times the memory;
        // sizes in steps find what was freed before.
        let n_rows =
            if n_keys < ROWS_STEP { 2 * n_keys } else { (2 * n_keys).next_multiple_of(ROWS_STEP) };
        self.positions.reserve_exact(n_rows);
    }

    fn state(&mut self, (wallet, asset): (Sym, AssetId), old: &State, new: &State) {
        if old.shows_as(new) {
            return;
        }
        let epoch = self.epoch;
        self.positions.extend(old.position(wallet, asset).map(|row| (row, epoch, -1)));
        self.positions.extend(new.position(wallet, asset).map(|row| (row, epoch, 1)));
    }

    fn note(&mut self, key: (Sym, AssetId), old: Option<&Note>, new: Option<&Note>) {
        if let Some(old) = old {
            self.note(key, old, -1);
        }
        if let Some(new) = new {
            self.note(key, new, 1);
        }
    }

    fn step(&mut self, (wallet, asset): (Sym, AssetId), grid: usize, step: Step<'_, Ledger>) {
        let row = |state: &State| {
            let position = state.position(wallet, asset)?;
            Some(PositionStep { step: step.at, position })
        };
        let (old, new) = (step.old.and_then(row), step.new.and_then(row));
        if old == new {
            return;
        }
        let Some(out) = self.steps.get_mut(grid) else { return };
        out.extend(old.map(|row| (row, self.epoch, -1)));
        out.extend(new.map(|row| (row, self.epoch, 1)));
    }
}
