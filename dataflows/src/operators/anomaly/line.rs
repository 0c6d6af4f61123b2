//! Rows in order with what was said of each: an epoch's changes in, the view's out.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use detectors::Model;
use types::sabotage::{Safeguard, is_out};
use types::{EventId, Row, Value, VenueTime};

use super::judge::{Judge, Measured, Said};
use super::layout::Change;
use super::rungs::{Keeping, Rungs};

/// A row's place in the order: time, `seq`, id, and the text of its key, which tells rows apart that tie.
pub(super) type Place = (VenueTime, Value, Option<EventId>, Arc<[u8]>);

/// A row that changes.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) place: Place,
    /// The number of its key, where the key has units of its own.
    pub(super) key: Option<u32>,
    pub(super) row: Row,
    pub(super) diff: isize,
}

/// What is kept of a row.
#[derive(Debug)]
struct Held {
    row: Row,
    key: Option<u32>,
    /// `None` until it is judged.
    said: Option<Said>,
}

/// What changes in the view.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// A row that comes or goes.
    Row(Row, isize),
    /// A change that came too late.
    Stale(Row, Change),
}

/// The view's rows that change, by key: what stood and what stands.
#[derive(Debug, Default)]
struct Differing {
    keys: BTreeMap<Box<[Value]>, (Option<Row>, Option<Row>)>,
}

/// The rows of one model.
#[derive(Debug)]
pub(super) struct Line {
    rows: BTreeMap<Place, Held>,
    /// Rows that went away too late, so that they stay learnt, as long as they are folded again.
    gone: BTreeMap<Place, Held>,
    rungs: Rungs,
    /// Room for a row's numbers.
    numbers: Vec<f64>,
}

impl Line {
    /// Without rows; `empty` is a model that has learnt nothing.
    pub(super) fn new(empty: Rc<Model>, keeping: Keeping) -> Self {
        let (rows, gone, numbers) = Default::default();
        Self { rows, gone, rungs: Rungs::new(empty, keeping), numbers }
    }

    /// Makes an epoch's changes, of which none cancels another; `horizon` is the time before which they
    /// come too late, and `next_horizon` that of the next epoch.
    pub(super) fn take(
        &mut self,
        judge: &Judge,
        changes: Vec<Changed>,
        (horizon, next_horizon): (VenueTime, VenueTime),
        tell: &mut impl FnMut(Told),
    ) {
        let is_appended = changes.iter().all(|changed| {
            let is_behind = self.rungs.last().is_none_or(|last| *last < changed.place);
            changed.diff > 0 && is_behind && !is_stale(&changed.place, horizon)
        });
        if is_appended {
            self.append(judge, changes, tell);
        } else {
            self.revise(judge, changes, horizon, tell);
        }
        self.close(next_horizon);
    }

    /// Lets go of what only changes before a horizon would need.
    pub(super) fn close(&mut self, horizon: VenueTime) {
        self.rungs.close(horizon);
        if let Some(first) = self.rungs.first().filter(|_| !self.gone.is_empty()) {
            self.gone = self.gone.split_off(first);
            self.gone.remove(first);
        }
    }

    /// The time that the horizon must pass before [`Line::close`] lets go of anything.
    pub(super) fn due(&self) -> Option<VenueTime> {
        self.rungs.due()
    }

    /// Takes rows that come behind all others.
    fn append(&mut self, judge: &Judge, mut changes: Vec<Changed>, tell: &mut impl FnMut(Told)) {
        changes.sort_by(|a, b| a.place.cmp(&b.place));
        for Changed { place, key, row, .. } in changes {
            let said =
                learn(judge, (&mut self.rungs, &mut self.numbers), &place, (&row, key), true);
            tell(Told::Row(judge.layout.row(&row, &said), 1));
            self.rows.insert(place, Held { row, key, said: Some(said) });
        }
    }

    /// Makes any changes.
    fn revise(
        &mut self,
        judge: &Judge,
        mut changes: Vec<Changed>,
        horizon: VenueTime,
        tell: &mut impl FnMut(Told),
    ) {
        // A row that is replaced may stand where it stood.
        changes.sort_by_key(|changed| changed.diff);
        let mut differing = Differing::default();
        let mut late = BTreeMap::new();
        let mut first: Option<Place> = None;
        let are_late = changes.iter().any(|changed| is_stale(&changed.place, horizon));
        for Changed { place, key, row, diff } in changes {
            let is_stale = is_stale(&place, horizon);
            if are_late {
                note(judge, &mut late, (&row, diff), is_stale);
            }
            if !is_stale && first.as_ref().is_none_or(|first| place < *first) {
                first = Some(place.clone());
            }
            if diff > 0 {
                let said = is_stale.then_some(Said::Stale);
                if let Some(said) = &said {
                    differing.comes(judge, &row, said);
                }
                self.rows.insert(place, Held { row, key, said });
            } else if let Some(Held { row, key, said: Some(said) }) = self.rows.remove(&place) {
                differing.goes(judge, &row, &said);
                if is_stale && said != Said::Stale {
                    self.gone.insert(place, Held { row, key, said: None });
                }
            }
        }
        if let Some(first) = first {
            self.refold(judge, &first, &mut differing);
        }
        differing.tell(tell);
        for Late { row, change, .. } in late.into_values().filter(|late| late.is_stale) {
            tell(Told::Stale(row, change));
        }
    }

    /// Judges rows anew from the first that changed.
    fn refold(&mut self, judge: &Judge, first: &Place, differing: &mut Differing) {
        if self.rungs.last().is_some_and(|last| last >= first) && !is_out(Safeguard::ScoresRevised)
        {
            self.rungs.go_back(first);
        }
        let from = match self.rungs.last() {
            Some(last) => (std::ops::Bound::Excluded(last.clone()), std::ops::Bound::Unbounded),
            None => (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
        };
        let mut gone = self.gone.range(from.clone()).peekable();
        for (place, held) in self.rows.range_mut(from) {
            while let Some((place, gone)) = gone.next_if(|(gone, _)| *gone <= place) {
                let state = (&mut self.rungs, &mut self.numbers);
                learn(judge, state, place, (&gone.row, gone.key), false);
            }
            if held.said == Some(Said::Stale) {
                continue;
            }
            let is_told = place >= first;
            let state = (&mut self.rungs, &mut self.numbers);
            let said = learn(judge, state, place, (&held.row, held.key), is_told);
            if is_told && held.said.as_ref() != Some(&said) {
                if let Some(old) = &held.said {
                    differing.goes(judge, &held.row, old);
                }
                differing.comes(judge, &held.row, &said);
                held.said = Some(said);
            }
        }
        // Those behind all rows that stand are before the horizon as well.
        for (place, gone) in gone {
            let state = (&mut self.rungs, &mut self.numbers);
            learn(judge, state, place, (&gone.row, gone.key), false);
        }
    }

    /// How many states are kept beside the newest.
    #[cfg(test)]
    pub(super) const fn n_rungs(&self) -> usize {
        self.rungs.len()
    }

    /// How many keys anything is known of.
    #[cfg(test)]
    pub(super) fn n_known(&self) -> usize {
        self.rungs.n_known()
    }

    /// What all states take.
    #[cfg(test)]
    pub(super) fn state_bytes(&self) -> usize {
        self.rungs.state_bytes()
    }
}

/// What becomes of a key in an epoch; it is told where a row of it comes or goes too late.
struct Late {
    row: Row,
    change: Change,
    is_stale: bool,
}

/// Notes that a row comes or goes. One that comes where another goes replaces it, also where only one of
/// the two is before the horizon.
fn note(
    judge: &Judge,
    late: &mut BTreeMap<Box<[Value]>, Late>,
    (row, diff): (&Row, isize),
    is_stale: bool,
) {
    let change = if diff > 0 { Change::Inserted } else { Change::Removed };
    let both = |known: &mut Late| {
        known.change = Change::Replaced;
        known.is_stale |= is_stale;
    };
    let new = || Late { row: row.clone(), change, is_stale };
    late.entry(differing_key(judge, row)).and_modify(both).or_insert_with(new);
}

/// Whether a place is before the horizon.
pub(super) fn is_stale(place: &Place, horizon: VenueTime) -> bool {
    place.0 < horizon && !is_out(Safeguard::HorizonHolds)
}

/// Judges and learns one row.
fn learn(
    judge: &Judge,
    (rungs, numbers): (&mut Rungs, &mut Vec<f64>),
    place: &Place,
    (row, key): (&Row, Option<u32>),
    is_told: bool,
) -> Said {
    judge.layout.numbers(row, numbers);
    let said = judge.said_of_fit(row);
    rungs.pass(place, (key, numbers), said, |model, usual, is_fitted| {
        judge.pass(model, usual, &Measured { numbers, time: place.0, is_fitted }, is_told)
    })
}

fn differing_key(judge: &Judge, row: &Row) -> Box<[Value]> {
    row.0.iter().take(judge.layout.input.n_key).cloned().collect()
}

impl Differing {
    fn goes(&mut self, judge: &Judge, row: &Row, said: &Said) {
        let entry = self.keys.entry(differing_key(judge, row)).or_default();
        entry.0 = Some(judge.layout.row(row, said));
    }

    fn comes(&mut self, judge: &Judge, row: &Row, said: &Said) {
        let entry = self.keys.entry(differing_key(judge, row)).or_default();
        entry.1 = Some(judge.layout.row(row, said));
    }

    fn tell(self, tell: &mut impl FnMut(Told)) {
        for (old, new) in self.keys.into_values() {
            if old == new {
                continue;
            }
            if let Some(old) = old {
                tell(Told::Row(old, -1));
            }
            if let Some(new) = new {
                tell(Told::Row(new, 1));
            }
        }
    }
}
