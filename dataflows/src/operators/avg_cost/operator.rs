//! The dataflow side of `avg_cost`: epochs in, old and new rows out.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use types::relations::{Break, Fill, FoldError, Position, PositionStep, Settlement};
use types::{AssetId, Span, Sym, Text};

use super::ledger::{Entry, Finding, Ledger, Note};
use crate::edge::Edge;
use crate::operators::history::{Fold, Folded, History};
use crate::plan::Context;
use crate::route::route;

/// A row, its epoch and its change of multiplicity.
type Update<R> = (R, u64, isize);

/// What one epoch changes, by output.
#[derive(Default)]
struct Changes {
    positions: Vec<Update<Position>>,
    errors: Vec<Update<FoldError>>,
    breaks: Vec<Update<Break>>,
    steps: Vec<Vec<Update<PositionStep>>>,
}

/// Adds the operator to the dataflow.
pub(super) fn build<'s>(
    ledger: Ledger,
    grids: &[Span],
    context: &Context<'s, '_>,
    inputs: &[Edge<'s>],
) -> Vec<Edge<'s>> {
    let name = format!("view {}: avg_cost", context.view);
    let mut builder = OperatorBuilder::new(name, context.scope);
    let fills = inputs.first().expect("avg_cost is planned with its fills").fills().inner;
    let by_key = Exchange::new(|(fill, _, _): &Update<Fill>| route(fill.wallet, fill.asset));
    let mut fills = builder.new_input(fills, by_key);
    // Any worker may hold positions of the asset.
    let mut settlements =
        inputs.get(1).map(|edge| builder.new_input(edge.settlements().inner.broadcast(), Pipeline));

    let (mut positions, positions_stream) = new_output::<Position>(&mut builder);
    let (mut errors, errors_stream) = new_output::<FoldError>(&mut builder);
    let (mut breaks, breaks_stream) = new_output::<Break>(&mut builder);
    let (mut steps, step_streams): (Vec<_>, Vec<_>) =
        grids.iter().map(|_| new_output::<PositionStep>(&mut builder)).unzip();

    let mut keys = Keys::new(ledger, grids, settlements.is_some());
    let n_outputs = 3 + grids.len();
    builder.build(move |_| {
        let mut stash: BTreeMap<u64, Stashed> = BTreeMap::new();
        move |frontiers| {
            fills.for_each_time(|time, containers| {
                let retain = || (0..n_outputs).map(|output| time.retain(output)).collect();
                let stashed = stash.entry(*time.time()).or_insert_with(|| Stashed::new(retain()));
                containers.for_each(|container| stashed.fills.append(container));
            });
            if let Some(settlements) = &mut settlements {
                settlements.for_each_time(|time, containers| {
                    let retain = || (0..n_outputs).map(|output| time.retain(output)).collect();
                    let stashed =
                        stash.entry(*time.time()).or_insert_with(|| Stashed::new(retain()));
                    containers.for_each(|container| stashed.settlements.append(container));
                });
            }
            while let Some(entry) = stash.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, stashed) = entry.remove_entry();
                let mut changes = keys.apply(epoch, stashed.fills, &stashed.settlements);
                let mut capabilities = stashed.capabilities.iter();
                send(&mut positions, capabilities.next(), &mut changes.positions);
                send(&mut errors, capabilities.next(), &mut changes.errors);
                send(&mut breaks, capabilities.next(), &mut changes.breaks);
                for (output, rows) in steps.iter_mut().zip(&mut changes.steps) {
                    send(output, capabilities.next(), rows);
                }
            }
        }
    });

    let mut edges = vec![
        Edge::Positions(positions_stream.as_collection()),
        Edge::Errors(errors_stream.as_collection()),
        Edge::Breaks(breaks_stream.as_collection()),
    ];
    edges.extend(step_streams.into_iter().map(|stream| Edge::Steps(stream.as_collection())));
    edges
}

type Out<R> = OutputBuilder<u64, CapacityContainerBuilder<Vec<Update<R>>>>;

fn new_output<'s, R: Clone + 'static>(
    builder: &mut OperatorBuilder<'s, u64>,
) -> (Out<R>, StreamVec<'s, u64, Update<R>>) {
    let (output, stream) = builder.new_output::<Vec<Update<R>>>();
    (OutputBuilder::from(output), stream)
}

/// Hands on all rows of an epoch in one container.
fn send<R: Clone + 'static>(
    output: &mut Out<R>,
    capability: Option<&Capability<u64>>,
    rows: &mut Vec<Update<R>>,
) {
    if let Some(capability) = capability.filter(|_| !rows.is_empty()) {
        output.activate().session(capability).give_container(rows);
    }
}

/// The input of an epoch that isn't complete yet, with the right to answer it on each output.
struct Stashed {
    capabilities: Vec<Capability<u64>>,
    fills: Vec<Update<Fill>>,
    settlements: Vec<Update<Settlement>>,
}

impl Stashed {
    fn new(capabilities: Vec<Capability<u64>>) -> Self {
        Self { capabilities, fills: Vec::new(), settlements: Vec::new() }
    }
}

/// What an epoch's settlements change for the ledger, which sees payout and time alone: a revision
/// that states the same again changes nothing.
fn payouts(settlements: &[Update<Settlement>]) -> Vec<((AssetId, Entry), isize)> {
    let mut payouts: BTreeMap<Settlement, isize> = BTreeMap::new();
    for (settlement, _, diff) in settlements {
        let stated = Settlement { revision: 0, ..settlement.clone() };
        *payouts.entry(stated).or_default() += diff;
    }
    let changed = payouts.into_iter().filter(|(_, diff)| *diff != 0);
    changed.map(|(stated, diff)| ((stated.asset, Entry::of_settlement(&stated)), diff)).collect()
}

/// All keys of a worker.
struct Keys {
    ledger: Ledger,
    grids: Vec<Span>,
    index: FxHashMap<(Sym, AssetId), usize>,
    held: Vec<Key>,
    /// Whether settlements close positions.
    settles: bool,
    /// Keys by asset, for settlements; empty without them.
    by_asset: FxHashMap<AssetId, Holders>,
}

/// One key: its history and the row that stands in the view.
struct Key {
    wallet: Sym,
    asset: AssetId,
    history: History<Ledger>,
    row: Option<Position>,
    /// Whether the key is on the epoch's list already.
    is_touched: bool,
}

/// The keys of an asset and its settlement.
#[derive(Default)]
struct Holders {
    keys: Vec<usize>,
    settlement: Option<Entry>,
}

impl Keys {
    fn new(ledger: Ledger, grids: &[Span], settles: bool) -> Self {
        Self {
            ledger,
            settles,
            grids: grids.to_vec(),
            index: FxHashMap::default(),
            held: Vec::new(),
            by_asset: FxHashMap::default(),
        }
    }

    /// Applies an epoch: every touched key is folded once, and its old and new rows leave.
    fn apply(
        &mut self,
        epoch: u64,
        fills: Vec<Update<Fill>>,
        settlements: &[Update<Settlement>],
    ) -> Changes {
        let mut touched = Vec::new();
        let settlements = payouts(settlements);
        // Insertions first: inside an epoch a removal may stand before what it removes.
        for pass in [1, -1] {
            for (fill, _, diff) in fills.iter().filter(|update| update.2.signum() == pass) {
                let key = self.key(fill.wallet, fill.asset);
                self.change(key, &Entry::of_fill(fill), *diff, &mut touched);
            }
            for ((asset, entry), diff) in settlements.iter().filter(|s| s.1.signum() == pass) {
                self.settle(*asset, entry, *diff, &mut touched);
            }
        }
        drop(fills);
        let mut changes = Changes {
            steps: self.grids.iter().map(|_| Vec::new()).collect(),
            ..Changes::default()
        };
        for key in touched {
            if let Some(key) = self.held.get_mut(key) {
                key.fold(self.ledger, &self.grids, epoch, &mut changes);
            }
        }
        changes
    }

    /// The index of a key, made on its first fill.
    fn key(&mut self, wallet: Sym, asset: AssetId) -> usize {
        if let Some(key) = self.index.get(&(wallet, asset)) {
            return *key;
        }
        let key = self.held.len();
        let mut history = History::new(&self.ledger, self.grids.len());
        if self.settles {
            let holders = self.by_asset.entry(asset).or_default();
            holders.keys.push(key);
            if let Some(settlement) = &holders.settlement {
                history.insert(settlement.clone());
            }
        }
        self.held.push(Key { wallet, asset, history, row: None, is_touched: false });
        self.index.insert((wallet, asset), key);
        key
    }

    fn settle(&mut self, asset: AssetId, entry: &Entry, diff: isize, touched: &mut Vec<usize>) {
        let holders = self.by_asset.entry(asset).or_default();
        let keys = holders.keys.clone();
        if diff > 0 {
            holders.settlement = Some(entry.clone());
        } else if holders.settlement.as_ref() == Some(entry) {
            holders.settlement = None;
        }
        for key in keys {
            self.change(key, entry, diff, touched);
        }
    }

    /// Adds or takes out an entry of a key.
    fn change(&mut self, key: usize, entry: &Entry, diff: isize, touched: &mut Vec<usize>) {
        let Some(found) = self.held.get_mut(key) else { return };
        if !found.is_touched {
            found.is_touched = true;
            touched.push(key);
        }
        for _ in 0..diff.unsigned_abs() {
            if diff > 0 {
                found.history.insert(entry.clone());
            } else {
                let removed = found.history.remove(entry);
                assert!(removed, "a fill that isn't there was removed: {entry:?}");
            }
        }
    }
}

impl Key {
    /// Folds what is dirty and tells what changed.
    fn fold(&mut self, ledger: Ledger, grids: &[Span], epoch: u64, changes: &mut Changes) {
        self.is_touched = false;
        let Some(folded) = self.history.fold(&ledger, grids) else { return };
        let row = self.history.state().position(self.wallet, self.asset);
        if row != self.row {
            changes.positions.extend(self.row.take().map(|old| (old, epoch, -1)));
            changes.positions.extend(row.clone().map(|new| (new, epoch, 1)));
            self.row = row;
        }
        self.tell(folded, epoch, changes);
    }

    fn tell(&self, folded: Folded<Ledger>, epoch: u64, changes: &mut Changes) {
        let Folded { notes, steps } = folded;
        if notes.old != notes.new {
            notes.old.iter().for_each(|note| self.note(note, epoch, -1, changes));
            notes.new.iter().for_each(|note| self.note(note, epoch, 1, changes));
        }
        for (replaced, out) in steps.into_iter().zip(&mut changes.steps) {
            let step = |(step, state): &(_, <Ledger as Fold>::State)| {
                let position = state.position(self.wallet, self.asset)?;
                Some(PositionStep { step: *step, position })
            };
            let old: Vec<PositionStep> = replaced.old.iter().filter_map(step).collect();
            let new: Vec<PositionStep> = replaced.new.iter().filter_map(step).collect();
            for row in &old {
                if new.binary_search_by_key(&row.step, |r| r.step).map(|i| &new[i]) != Ok(row) {
                    out.push((row.clone(), epoch, -1));
                }
            }
            for row in new {
                if old.binary_search_by_key(&row.step, |r| r.step).map(|i| &old[i]) != Ok(&row) {
                    out.push((row, epoch, 1));
                }
            }
        }
    }

    fn note(&self, note: &Note, epoch: u64, diff: isize, changes: &mut Changes) {
        let (wallet, asset, id, event_time) = (self.wallet, self.asset, note.id, note.time);
        match note.finding {
            Finding::LeftOut(reason) => {
                let reason = Text::Word(reason);
                let row = FoldError { wallet, asset, id, reason, event_time };
                changes.errors.push((row, epoch, diff));
            }
            Finding::Break { expected, stated } => {
                let row = Break { wallet, asset, id, expected, stated, event_time };
                changes.breaks.push((row, epoch, diff));
            }
        }
    }
}
