//! `Hub`: the views' newest rows, for all readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use types::{Changes, Epoch, Names, Schema, VenueTime};

use super::live::{LiveCursor, LiveTable, Moment};
use super::rows::{Chunks, Rows};
use super::table::{AnyTable, table};
use super::{Frontier, MAX_PENDING_KEYS, ViewSpec};
use crate::runtime::EpochOutput;

/// The views' newest rows. One thread publishes, any number read; shared behind an `Arc`.
pub struct Hub {
    views: Vec<ViewSpec>,
    retain_nanos: i64,
    max_pending_keys: usize,
    max_noted: usize,
    /// Held while an epoch is applied, and by a reader only while it takes what it has yet to be
    /// told: rows are written as text outside.
    state: Mutex<State>,
    /// Grows with each change of the state, so that readers needn't ask.
    version: watch::Sender<u64>,
}

struct State {
    /// One for each view.
    tables: Vec<Box<dyn AnyTable>>,
    /// What makes rows as of the current epoch, one for each view that has such.
    live: Vec<Option<LiveTable>>,
    /// The readers of such rows, by number, with their view.
    live_readers: BTreeMap<u64, (usize, LiveCursor)>,
    standing: Standing,
    /// Rows before this have left time-indexed views. Stays where it is once sources have ended.
    horizon: VenueTime,
    is_ready: bool,
    /// What is known of a run that goes on and hasn't caught up yet.
    catching_up: Option<CatchingUp>,
    n_readers: u64,
}

/// A run that goes on where it was interrupted: nobody is told of rows that it has told before.
struct CatchingUp {
    /// The epoch with which it has caught up.
    until: u64,
    /// Changes that aren't applied yet, by view and epoch.
    noted: Vec<Vec<Arc<Changes>>>,
    n_noted: usize,
}

/// Changes that are noted before they are applied. More of them cost memory, about 100 bytes each;
/// fewer, that the rows are gone through more often.
const NOTED_MAX: usize = 1 << 19;

/// Which epoch a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The newest published epoch; zero before the first.
    pub(crate) epoch: Epoch,
    /// How far event time is complete.
    pub(crate) frontier: Frontier,
}

/// A reader's place in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The view's index.
    pub(crate) view: usize,
    reader: u64,
}

/// What a reader has yet to be told.
pub(crate) enum Taken {
    /// Nothing.
    Nothing,
    /// All rows: it is new, or fell behind too far.
    Everything(Box<dyn Chunks>),
    /// What changed.
    Changes(Box<dyn Chunks>),
}

/// What several places have yet to be told, all at one epoch.
pub(crate) struct Cut {
    /// That epoch.
    pub(crate) standing: Standing,
    /// One for each place, in the same order.
    pub(crate) taken: Vec<Taken>,
}

impl Hub {
    /// Starts with no rows. Rows of time-indexed views are held for `retain_nanos` of event time
    /// behind the watermark.
    pub fn new(views: Vec<ViewSpec>, names: &Arc<Names>, retain_nanos: i64) -> Self {
        let live = |spec: &ViewSpec| spec.live.map(|live| LiveTable::new(live, names));
        let state = State {
            tables: views.iter().map(|spec| table(spec, names)).collect(),
            live: views.iter().map(live).collect(),
            live_readers: BTreeMap::new(),
            standing: Standing { epoch: Epoch(0), frontier: Frontier::Unknown },
            horizon: VenueTime::MIN,
            is_ready: false,
            catching_up: None,
            n_readers: 0,
        };
        Self {
            views,
            retain_nanos,
            max_pending_keys: MAX_PENDING_KEYS,
            max_noted: NOTED_MAX,
            state: Mutex::new(state),
            version: watch::Sender::new(0),
        }
    }

    /// Lets readers be behind by another number of keys than [`MAX_PENDING_KEYS`].
    #[must_use]
    pub fn with_max_pending_keys(self, max_pending_keys: usize) -> Self {
        Self { max_pending_keys, ..self }
    }

    /// Applies changes after as many as these, where a run catches up.
    #[cfg(test)]
    pub(super) fn with_max_noted(self, max_noted: usize) -> Self {
        Self { max_noted, ..self }
    }

    /// Makes an epoch visible, whole. Doesn't wait for readers.
    ///
    /// # Panics
    /// If the epoch isn't above the last one (the first is above zero), or its changes aren't
    /// those of the views.
    pub fn publish(&self, output: &EpochOutput) {
        let mut state = self.state();
        let last = state.standing.epoch;
        assert!(
            last < output.epoch,
            "epochs are published in order: {last}, then {}",
            output.epoch
        );
        assert_eq!(output.changes.len(), state.tables.len(), "changes for each view");
        state.standing.epoch = output.epoch;
        match output.watermark {
            VenueTime::END => state.standing.frontier = Frontier::End,
            VenueTime::MIN => {}
            watermark => {
                state.standing.frontier = Frontier::At(watermark);
                state.horizon = state.horizon.max(watermark.less(self.retain_nanos));
            }
        }
        state.take_in(output, self.max_noted);
        let is_catching_up = state.catching_up.is_some();
        drop(state);
        if !is_catching_up {
            self.tell();
        }
    }

    /// Says that the run goes on with one that was interrupted: readers are told nothing before they
    /// can be told of this epoch. Said before the first epoch.
    pub fn catch_up_to(&self, epoch: Epoch) {
        let mut state = self.state();
        let noted = state.tables.iter().map(|_| Vec::new()).collect();
        let is_open = state.standing.epoch < epoch;
        state.catching_up = is_open.then_some(CatchingUp { until: epoch.0, noted, n_noted: 0 });
        drop(state);
        self.tell();
    }

    /// Whether rows aren't those that were told before the run was interrupted.
    pub fn is_catching_up(&self) -> bool {
        self.state().catching_up.is_some()
    }

    /// Says that all sources were finite and have ended.
    pub fn end(&self) {
        self.state().standing.frontier = Frontier::End;
        self.tell();
    }

    /// Says that readers now find what they came for: sources are connected.
    pub fn set_ready(&self) {
        self.state().is_ready = true;
    }

    /// Whether [`Hub::set_ready`] was called, and rows are those of an epoch that is to be told.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        state.is_ready && state.catching_up.is_none()
    }

    /// The views, in the order of an epoch's changes.
    pub fn views(&self) -> &[ViewSpec] {
        &self.views
    }

    /// The index of a view.
    pub(crate) fn view(&self, name: &str) -> Option<usize> {
        self.views.iter().position(|view| view.name == name)
    }

    /// Wakes its holder after each change of the hub.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What a reader sees now.
    pub(crate) fn standing(&self) -> Standing {
        self.state().shown()
    }

    /// The number of rows of each view, at one epoch.
    pub(crate) fn n_rows(&self) -> (Standing, Vec<usize>) {
        let state = self.state();
        (state.standing, state.tables.iter().map(|table| table.n_rows()).collect())
    }

    /// The rows of a view; `None` for an index that no view has.
    pub(crate) fn rows(&self, view: usize) -> Option<(Standing, Box<dyn Rows>)> {
        let state = self.state();
        Some((state.standing, state.tables.get(view)?.rows()))
    }

    /// The columns of a view's rows as of the current epoch, where it has such.
    pub(crate) fn live_schema(&self, view: usize) -> Option<Arc<Schema>> {
        let state = self.state();
        state.live.get(view)?.as_ref().map(|live| Arc::clone(&live.schema))
    }

    /// The rows of a view as of the current epoch; `None` where it has no such rows.
    pub(crate) fn live_rows(&self, view: usize) -> Option<(Standing, Box<dyn Rows>)> {
        let state = self.state();
        let live = state.live.get(view)?.as_ref()?;
        Some((state.standing, live.rows(moment(&state.tables, live)?)))
    }

    /// As [`Hub::attach`], for a view's rows as of the current epoch; `None` where it has no such rows.
    pub(crate) fn attach_live(&self, view: usize, needs_everything: bool) -> Option<Place> {
        let mut state = self.state();
        let State { live, live_readers, n_readers, tables, .. } = &mut *state;
        let live = live.get_mut(view)?.as_mut()?;
        let cursor = live.cursor(moment(tables, live)?, needs_everything);
        *n_readers += 1;
        live_readers.insert(*n_readers, (view, cursor));
        Some(Place { view, reader: *n_readers })
    }

    /// Adds a reader of a view: it gets all rows first, or only what changes from now on.
    pub(crate) fn attach(&self, view: usize, needs_everything: bool) -> Place {
        let mut state = self.state();
        state.n_readers += 1;
        let reader = state.n_readers;
        if let Some(table) = state.tables.get_mut(view) {
            table.attach(reader, needs_everything, self.max_pending_keys);
        }
        Place { view, reader }
    }

    /// Forgets a reader.
    pub(crate) fn detach(&self, place: Place) {
        let mut state = self.state();
        if state.live_readers.remove(&place.reader).is_some() {
            return;
        }
        if let Some(table) = state.tables.get_mut(place.view) {
            table.detach(place.reader);
        }
    }

    /// What some places have yet to be told, at one epoch: so views can be joined by epoch.
    pub(crate) fn take(&self, places: impl Iterator<Item = Place>) -> Cut {
        let mut state = self.state();
        let standing = state.shown();
        let is_open = state.catching_up.is_some();
        let mut take = |place| if is_open { Taken::Nothing } else { state.take(place) };
        let taken = places.map(&mut take).collect();
        Cut { standing, taken }
    }

    fn tell(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while publishing ends the engine; until then readers see the epoch before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Applies an epoch's changes, or notes them for later.
    fn take_in(&mut self, output: &EpochOutput, max_noted: usize) {
        let Some(open) = &mut self.catching_up else {
            for (table, changes) in self.tables.iter_mut().zip(&output.changes) {
                table.apply(changes, self.horizon);
            }
            return;
        };
        let noted = open.noted.iter_mut().zip(&output.changes);
        // Epochs may be many and bring little.
        for (noted, changes) in noted.filter(|(_, changes)| !changes.is_empty()) {
            open.n_noted += changes.len();
            noted.push(Arc::clone(changes));
        }
        if open.until <= output.epoch.0 {
            self.caught_up();
        } else if open.n_noted >= max_noted {
            self.settle();
        }
    }

    /// Which epoch readers see: none while a run that goes on is at one that it has shown before.
    fn shown(&self) -> Standing {
        match self.catching_up {
            None => self.standing,
            Some(_) => Standing { epoch: Epoch(0), frontier: Frontier::Unknown },
        }
    }

    /// Applies what was noted.
    fn settle(&mut self) {
        let Some(open) = &mut self.catching_up else { return };
        open.n_noted = 0;
        for (table, noted) in self.tables.iter_mut().zip(&mut open.noted) {
            table.apply_all(&std::mem::take(noted), self.horizon);
        }
    }

    /// Applies what was noted, and tells of rows from now on.
    fn caught_up(&mut self) {
        self.settle();
        if self.catching_up.take().is_none() {
            return;
        }
        let Self { live, live_readers, tables, .. } = self;
        for (view, cursor) in live_readers.values_mut() {
            let live = live.get(*view).and_then(Option::as_ref);
            if let Some(now) = live.and_then(|live| moment(tables, live)) {
                cursor.begin_at(now);
            }
        }
    }

    /// What a reader has yet to be told.
    fn take(&mut self, place: Place) -> Taken {
        if let Some((_, cursor)) = self.live_readers.get_mut(&place.reader) {
            let live = self.live.get(place.view).and_then(Option::as_ref);
            let now = live.and_then(|live| moment(&self.tables, live));
            return live.zip(now).map_or(Taken::Nothing, |(live, now)| live.take(&now, cursor));
        }
        let table = self.tables.get_mut(place.view);
        table.map_or(Taken::Nothing, |table| table.take(place.reader))
    }
}

/// The newest positions and marks that live rows are made of.
fn moment(tables: &[Box<dyn AnyTable>], live: &LiveTable) -> Option<Moment> {
    let map = |table: usize| tables.get(table).map(|table| table.map());
    let positions = map(live.spec.positions)?.downcast().ok()?;
    let marks = map(live.spec.marks)?.downcast().ok()?;
    Some(Moment { positions: *positions, marks: *marks })
}
