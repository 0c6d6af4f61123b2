//! The rows of one series of a fold, and the states between them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use types::{Row, Value};

use super::Step;
use crate::operators::ordered::Place;

/// A state is kept behind every so many rows: a late row is folded from the kept state before it.
const EVERY: usize = 32;

/// Where a row stands in its series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) place: Place,
    /// The row's text, where places may tie; else empty.
    pub(super) text: Box<[u8]>,
}

/// A row as the fold takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Seen<I> {
    /// The values that tell series apart.
    pub(super) series: Box<[Value]>,
    pub(super) position: Position,
    /// The row's key, and its time where that isn't part of it.
    pub(super) head: Box<[Value]>,
    /// `None` where the row has no value: its row is null, and the state goes on as it is.
    pub(super) input: Option<I>,
}

struct Entry<S: Step> {
    head: Box<[Value]>,
    input: Option<S::Input>,
    output: S::Output,
}

/// See the module.
pub(super) struct Series<S: Step> {
    rows: BTreeMap<Position, Entry<S>>,
    /// States behind some of the rows.
    states: BTreeMap<Position, S::State>,
    /// The state behind the last row.
    end: Behind<S::State>,
}

/// A state, and how many rows were folded since the kept one before it.
#[derive(Clone)]
struct Behind<T> {
    state: T,
    n_rows: usize,
}

/// What an epoch does to a series.
struct Touched {
    /// Where rows came or went, as far as nothing was folded anew there.
    places: BTreeSet<Position>,
    /// Where rows came.
    fresh: BTreeSet<Position>,
    /// What a key's row was and is.
    told: BTreeMap<Box<[Value]>, (Option<Row>, Option<Row>)>,
    /// How many values of a head are the key.
    n_key: usize,
}

impl<S: Step> Series<S> {
    pub(super) fn new(step: &S) -> Self {
        let end = Behind { state: step.start(), n_rows: 0 };
        Self { rows: BTreeMap::new(), states: BTreeMap::new(), end }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes rows out and in, folds what is behind them anew, and gives the rows that differ: of each
    /// key the old one before the new one. `n_key` values of a head are the key.
    ///
    /// # Panics
    /// If a row is taken out that isn't there: an input never goes below zero.
    pub(super) fn change(
        &mut self,
        step: &S,
        changes: &[(Seen<S::Input>, isize)],
        n_key: usize,
    ) -> impl Iterator<Item = (Row, isize)> + use<S> {
        let (places, fresh, told) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut touched = Touched { places, fresh, told, n_key };
        let last = self.rows.last_key_value().map(|(position, _)| position.clone());
        // What a row replaces may stand at the same place, so it goes first.
        for (seen, _) in changes.iter().filter(|(_, diff)| *diff < 0) {
            let Some(entry) = self.rows.remove(&seen.position) else {
                panic!("a row that isn't held was removed: {seen:?}");
            };
            self.states.remove(&seen.position);
            touched.was(&entry.head, row(step, &entry));
            touched.places.insert(seen.position.clone());
        }
        for (Seen { position, head, input, .. }, _) in changes.iter().filter(|(_, diff)| *diff > 0)
        {
            let (head, input) = (head.clone(), input.clone());
            self.rows.insert(position.clone(), Entry { head, input, output: S::Output::default() });
            touched.places.insert(position.clone());
            touched.fresh.insert(position.clone());
        }
        while let Some(first) = touched.places.pop_first() {
            let is_behind_all = last.as_ref().is_none_or(|last| *last < first);
            self.refold(step, &first, is_behind_all, &mut touched);
        }
        let differing = touched.told.into_values().filter(|(old, new)| old != new);
        differing.flat_map(|(old, new)| {
            let old = old.map(|row| (row, -1));
            old.into_iter().chain(new.map(|row| (row, 1)))
        })
    }

    /// Folds the rows from a place on anew, up to where the state behind them is what it was and no row
    /// changed; what was touched up to there is done.
    fn refold(&mut self, step: &S, first: &Position, is_behind_all: bool, touched: &mut Touched) {
        let (mut behind, start) = self.before(step, first, is_behind_all);
        for (position, entry) in self.rows.range_mut((start, Bound::Unbounded)) {
            let output = behind.pass(step, entry.input.as_ref());
            if touched.fresh.contains(position) {
                entry.output = output;
                touched.is(&entry.head, row(step, entry));
            } else if entry.output != output {
                touched.was(&entry.head, row(step, entry));
                entry.output = output;
                touched.is(&entry.head, row(step, entry));
            }
            match self.states.get_mut(position) {
                // A state before the first change says nothing of what is behind it.
                Some(stood) if position >= first => {
                    while touched.places.first().is_some_and(|place| place <= position) {
                        touched.places.pop_first();
                    }
                    if *stood == behind.state {
                        return;
                    }
                    stood.clone_from(&behind.state);
                    behind.n_rows = 0;
                }
                Some(_) => behind.n_rows = 0,
                None if behind.n_rows >= EVERY => {
                    self.states.insert(position.clone(), behind.state.clone());
                    behind.n_rows = 0;
                }
                None => {}
            }
        }
        self.end = behind;
        touched.places.clear();
    }

    /// The last state that is known before a place, and where the rows behind it start.
    fn before(
        &self,
        step: &S,
        place: &Position,
        is_behind_all: bool,
    ) -> (Behind<S::State>, Bound<Position>) {
        if is_behind_all {
            return (self.end.clone(), Bound::Included(place.clone()));
        }
        match self.states.range(..place).next_back() {
            Some((position, state)) => {
                (Behind { state: state.clone(), n_rows: 0 }, Bound::Excluded(position.clone()))
            }
            None => (Behind { state: step.start(), n_rows: 0 }, Bound::Unbounded),
        }
    }
}

impl<T> Behind<T> {
    /// Goes past a row; what its output is.
    fn pass<S: Step<State = T>>(&mut self, step: &S, input: Option<&S::Input>) -> S::Output {
        self.n_rows += 1;
        let Some(input) = input else { return S::Output::default() };
        step.step(&mut self.state, input).unwrap_or_else(|| {
            self.state = step.start();
            S::Output::default()
        })
    }
}

impl Touched {
    /// What stood for a key before the epoch: the first row that is told of it.
    fn was(&mut self, head: &[Value], row: Row) {
        self.told.entry(self.key(head)).or_default().0.get_or_insert(row);
    }

    /// What stands for a key.
    fn is(&mut self, head: &[Value], row: Row) {
        self.told.entry(self.key(head)).or_default().1 = Some(row);
    }

    fn key(&self, head: &[Value]) -> Box<[Value]> {
        head.iter().take(self.n_key).cloned().collect()
    }
}

/// The row of an entry.
fn row<S: Step>(step: &S, entry: &Entry<S>) -> Row {
    let mut values = entry.head.to_vec();
    step.show(entry.input.as_ref(), &entry.output, &mut values);
    Row(values.into())
}
