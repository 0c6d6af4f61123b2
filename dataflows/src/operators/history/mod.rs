//! The ordered fold: a key's events in event order, its state, and as little re-folding as exact
//! corrections allow.
//!
//! An event that comes in order is appended and folded once. A late, removed or replaced one dirties
//! the history from its place on, and at most one re-fold a key and epoch runs from the last kept
//! state before that place. All history is kept: dropping it would make a correction inexact.

use std::collections::BTreeMap;

use types::{Span, VenueTime};

/// Something that depends on the order of a key's events.
pub(crate) trait Fold {
    /// What is folded.
    type Event: Clone + PartialEq;
    /// What it is folded into.
    type State: Clone + PartialEq;
    /// What a fold has to say of an event beside the state: an error, a break.
    type Note: Clone + PartialEq;
    /// The place of an event in the order. Total over a key's events.
    type Order: Ord + Clone;

    /// The event's place.
    fn order(event: &Self::Event) -> Self::Order;

    /// The event's time.
    fn time(event: &Self::Event) -> VenueTime;

    /// The state before the first event.
    fn start(&self) -> Self::State;

    /// Folds one event in.
    fn step(&self, state: &mut Self::State, event: &Self::Event) -> Option<Self::Note>;
}

/// Events between two kept states. Most keys never see that many, so they keep none.
const CHUNK: usize = 64;

/// The history of one key.
pub(crate) struct History<F: Fold> {
    events: Vec<F::Event>,
    /// The state before event `CHUNK * (i + 1)`.
    kept: Vec<F::State>,
    /// The state after `n_folded` events.
    state: F::State,
    n_folded: usize,
    /// What the fold said of events. Most keys have none.
    notes: BTreeMap<F::Order, F::Note>,
    /// For each grid asked for: the state as of each step before which something happened.
    steps: Vec<Vec<(VenueTime, F::State)>>,
    /// The first change since the last fold.
    dirty: Option<Dirty<F>>,
}

/// The first change since the last fold.
struct Dirty<F: Fold> {
    index: usize,
    order: F::Order,
    time: VenueTime,
}

/// Entries before and after a fold. Equal ones stand in both where they were folded anew.
pub(crate) struct Replaced<T> {
    /// What stood there.
    pub(crate) old: Vec<T>,
    /// What stands there now.
    pub(crate) new: Vec<T>,
}

/// What a fold changed.
pub(crate) struct Folded<F: Fold> {
    /// Notes of the events that were folded anew.
    pub(crate) notes: Replaced<F::Note>,
    /// States as of steps, for each grid.
    pub(crate) steps: Vec<Replaced<(VenueTime, F::State)>>,
}

impl<F: Fold> History<F> {
    /// Starts an empty history that keeps steps of this many grids.
    pub(crate) fn new(fold: &F, n_grids: usize) -> Self {
        Self {
            events: Vec::new(),
            kept: Vec::new(),
            state: fold.start(),
            n_folded: 0,
            notes: BTreeMap::new(),
            steps: vec![Vec::new(); n_grids],
            dirty: None,
        }
    }

    /// The state after all events, as of the last [`History::fold`].
    pub(crate) fn state(&self) -> &F::State {
        &self.state
    }

    /// Adds an event at its place.
    pub(crate) fn insert(&mut self, event: F::Event) {
        let order = F::order(&event);
        let in_order = self.events.last().is_none_or(|last| F::order(last) <= order);
        let index = if in_order {
            self.events.len()
        } else {
            self.events.partition_point(|e| F::order(e) <= order)
        };
        self.soil(index, &event);
        if in_order && self.events.len() == self.events.capacity() {
            // Most keys stay tiny: grow by half, not from a minimum of four.
            self.events.reserve_exact((self.events.len() / 2).max(1));
        }
        self.events.insert(index, event);
    }

    /// Takes an event out; false where it isn't there.
    pub(crate) fn remove(&mut self, event: &F::Event) -> bool {
        let order = F::order(event);
        let start = self.events.partition_point(|e| F::order(e) < order);
        let same = self.events[start..].iter().take_while(|e| F::order(e) == order);
        let Some(offset) = same.into_iter().position(|e| e == event) else { return false };
        self.soil(start + offset, event);
        self.events.remove(start + offset);
        true
    }

    fn soil(&mut self, index: usize, event: &F::Event) {
        let (order, time) = (F::order(event), F::time(event));
        self.dirty = Some(match self.dirty.take() {
            Some(first) => Dirty {
                index: first.index.min(index),
                order: first.order.min(order),
                time: first.time.min(time),
            },
            None => Dirty { index, order, time },
        });
    }

    /// Folds what changed since the last call, once, from the first dirty place on.
    pub(crate) fn fold(&mut self, fold: &F, grids: &[Span]) -> Option<Folded<F>> {
        let dirty = self.dirty.take()?;
        let start = self.rewind(fold, dirty.index);
        let old_notes = self.take_notes(start, dirty.order);
        let mut walks: Vec<StepWalk<F>> = grids
            .iter()
            .zip(&mut self.steps)
            .map(|(grid, steps)| StepWalk::start(*grid, steps, dirty.time))
            .collect();
        for walk in &mut walks {
            walk.reopen(&self.events, start, &self.state);
        }
        let mut new_notes = Vec::new();
        for (index, event) in self.events.iter().enumerate().skip(start) {
            if index % CHUNK == 0 && index / CHUNK == self.kept.len() + 1 {
                self.kept.push(self.state.clone());
            }
            if let Some(note) = fold.step(&mut self.state, event) {
                new_notes.push(note.clone());
                self.notes.insert(F::order(event), note);
            }
            for walk in &mut walks {
                walk.visit(&self.events, index, &self.state);
            }
        }
        self.n_folded = self.events.len();
        let mut steps = Vec::with_capacity(walks.len());
        for (walk, kept) in walks.into_iter().zip(&mut self.steps) {
            kept.extend(walk.changed.new.iter().cloned());
            steps.push(walk.changed);
        }
        Some(Folded { notes: Replaced { old: old_notes, new: new_notes }, steps })
    }

    /// Takes out the notes that a fold from `start` on, with a first change at `order`, makes anew.
    fn take_notes(&mut self, start: usize, order: F::Order) -> Vec<F::Note> {
        if self.notes.is_empty() {
            return Vec::new();
        }
        let from = match self.events.get(start).map(F::order) {
            Some(first) => first.min(order),
            None => order,
        };
        self.notes.split_off(&from).into_values().collect()
    }

    /// Goes back to the last kept state at or before `first`; gives the index to fold from.
    fn rewind(&mut self, fold: &F, first: usize) -> usize {
        if first >= self.n_folded {
            return self.n_folded;
        }
        let n_kept = first / CHUNK;
        self.kept.truncate(n_kept);
        self.state = self.kept.last().cloned().unwrap_or_else(|| fold.start());
        n_kept * CHUNK
    }
}

/// Walks one grid along a fold: closes a step when the next event lies behind it.
struct StepWalk<F: Fold> {
    grid: Span,
    /// Steps from here on are made anew.
    from: VenueTime,
    changed: Replaced<(VenueTime, F::State)>,
}

impl<F: Fold> StepWalk<F> {
    /// Takes the steps that a change at `earliest` may touch out of `steps`.
    fn start(grid: Span, steps: &mut Vec<(VenueTime, F::State)>, earliest: VenueTime) -> Self {
        let from = earliest.next_step(grid);
        let cut = steps.partition_point(|(step, _)| *step < from);
        let old = steps.split_off(cut);
        Self { grid, from, changed: Replaced { old, new: Vec::new() } }
    }

    /// The step whose last event stands just before the fold's start may have been taken out too.
    fn reopen(&mut self, events: &[F::Event], start: usize, state: &F::State) {
        if let Some(last) = start.checked_sub(1) {
            self.visit(events, last, state);
        }
    }

    /// Closes the step of the event at `index` if it is the step's last.
    fn visit(&mut self, events: &[F::Event], index: usize, state: &F::State) {
        let step_of = |index: usize| events.get(index).map(|e| F::time(e).next_step(self.grid));
        let step = step_of(index);
        if step != step_of(index + 1)
            && let Some(step) = step.filter(|step| *step >= self.from)
        {
            self.changed.new.push((step, state.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
