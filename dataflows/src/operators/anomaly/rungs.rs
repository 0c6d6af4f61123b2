//! States that are kept so that a change in the past needn't be folded from the beginning.
//!
//! A rung is a model as it was behind some row. What keys' usual numbers were there isn't copied: each
//! rung notes what those that were touched since had been, so going back takes the notes of all rungs
//! behind. Rungs are fewer the older they are: one goes when the gap that it leaves is at most so many
//! times as long as the way from there to the newest row. So the rows that are folded once more are a
//! constant times those behind the change. Where no change can go back any more none is kept: then there
//! is the newest state alone, and the next row begins with a rung of it. Where that row will find its key
//! forgotten, wherever it comes to lie, there is no state at all.

use std::collections::BTreeMap;
use std::rc::Rc;

use detectors::{Model, Normaliser};
use types::sabotage::{Safeguard, is_out};
use types::{Span, Value, VenueTime};

use super::line::{Place, is_stale};
use super::refits::Refits;
use super::usual::{Known, Usual, is_forgotten, is_settled};

/// Rows between two rungs at least.
pub(super) const STEP: u64 = 256;

/// How states are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// How often as long a gap between two may be as the way from there to the newest row.
    pub(super) slack: u64,
    /// How long a key may rest before it is forgotten.
    pub(super) forget_after: Option<Span>,
    /// Whether the model is a key's, so that it is forgotten with it; else what is usual of its keys is.
    pub(super) is_of_key: bool,
}

/// One state that is kept.
#[derive(Debug)]
struct Rung {
    /// The last row that it has learnt; `None` at the beginning.
    last: Option<Place>,
    n_rows: u64,
    /// `None` where it has learnt nothing.
    model: Option<Model>,
    refits: Refits,
    /// What was known of the keys touched since, before they were.
    before: BTreeMap<u32, Option<Known>>,
}

/// The newest state, and those that are kept.
#[derive(Debug)]
pub(super) struct Rungs {
    /// The oldest first; empty where no row before the newest state can change.
    kept: Vec<Rung>,
    keeping: Keeping,
    /// A model that has learnt nothing.
    empty: Rc<Model>,
    last: Option<Place>,
    n_rows: u64,
    /// `None` where it has learnt nothing.
    model: Option<Model>,
    refits: Refits,
    usual: Usual,
}

impl Rungs {
    /// Starts with nothing learnt; `empty` is such a model.
    pub(super) fn new(empty: Rc<Model>, keeping: Keeping) -> Self {
        Self {
            kept: Vec::new(),
            keeping,
            empty,
            last: None,
            n_rows: 0,
            model: None,
            refits: Refits::default(),
            usual: Usual::new(keeping.forget_after),
        }
    }

    /// The last row that was learnt.
    pub(super) const fn last(&self) -> Option<&Place> {
        self.last.as_ref()
    }

    /// The last row that the oldest state has learnt: no row up to there is learnt again.
    pub(super) fn first(&self) -> Option<&Place> {
        self.kept.first().map_or(self.last.as_ref(), |rung| rung.last.as_ref())
    }

    /// Goes back to the newest state before a place; stays where none is kept.
    pub(super) fn go_back(&mut self, place: &Place) {
        let is_before = |rung: &Rung| rung.last.as_ref().is_none_or(|last| last < place);
        while let Some(rung) = self.kept.last_mut() {
            for (key, before) in std::mem::take(&mut rung.before) {
                if !is_out(Safeguard::UsualGoesBack) {
                    self.usual.put_back(key, before);
                }
            }
            if is_before(rung) || self.kept.len() == 1 {
                break;
            }
            self.kept.pop();
        }
        let Some(rung) = self.kept.last() else { return };
        self.model.clone_from(&rung.model);
        if !is_out(Safeguard::FitsGoBack) {
            self.refits.clone_from(&rung.refits);
        }
        (self.last, self.n_rows) = (rung.last.clone(), rung.n_rows);
    }

    /// Passes a row through the model; `pass` gets what is usual of the row's key where it is in units of
    /// its own, and whether the model is fitted before, as of `said` ([`Refits::hear`]); `numbers` is what
    /// the key learns then. A key that has rested for too long since its last row is forgotten first.
    pub(super) fn pass<T>(
        &mut self,
        place: &Place,
        (key, numbers): (Option<u32>, &[f64]),
        said: Option<&Value>,
        pass: impl FnOnce(&mut Model, Option<&Normaliser>, bool) -> T,
    ) -> T {
        if self.kept.is_empty() {
            self.keep();
        }
        // Behind what was kept, which is the state before the row.
        let forget_after = self.keeping.forget_after.filter(|_| self.keeping.is_of_key);
        if self.last.as_ref().is_some_and(|last| is_forgotten(last.0, forget_after, place.0)) {
            self.forget();
        }
        let is_fitted = self.refits.hear(said);
        let model = self.model.get_or_insert_with(|| Model::clone(&self.empty));
        let said = match key {
            None => pass(model, None, is_fitted),
            Some(key) => {
                if let Some(rung) = self.kept.last_mut() {
                    let known = self.usual.known(key);
                    rung.before.entry(key).or_insert_with(|| known.cloned());
                }
                let usual = self.usual.meet(key, place.0, numbers.len());
                let said = pass(model, Some(usual), is_fitted);
                usual.learn(numbers);
                said
            }
        };
        self.last = Some(place.clone());
        self.n_rows += 1;
        if self.kept.last().is_some_and(|rung| rung.n_rows + STEP <= self.n_rows) {
            self.keep();
        }
        said
    }

    /// Begins anew, as if nothing had been learnt.
    fn forget(&mut self) {
        self.model = None;
        self.refits = Refits::default();
    }

    /// Keeps the state as it is now, and drops what is too close to another.
    fn keep(&mut self) {
        self.kept.push(Rung {
            last: self.last.clone(),
            n_rows: self.n_rows,
            model: self.model.clone(),
            refits: self.refits.clone(),
            before: BTreeMap::new(),
        });
        // The first and the newest two stay.
        for index in (1..self.kept.len().saturating_sub(2)).rev() {
            let gap = self.kept[index + 1].n_rows - self.kept[index - 1].n_rows;
            let behind = self.n_rows - self.kept[index + 1].n_rows;
            if gap <= behind.saturating_mul(self.keeping.slack) {
                let gone = self.kept.remove(index);
                let older = &mut self.kept[index - 1].before;
                for (key, usual) in gone.before {
                    older.entry(key).or_insert(usual);
                }
            }
        }
    }

    /// Lets go of states that no change at the horizon or behind it needs any more: those before the last
    /// one that has learnt nothing from there on, all kept ones where the newest state is that one, and what
    /// is known of keys that have rested for too long by then.
    pub(super) fn close(&mut self, horizon: VenueTime) {
        self.usual.close(horizon);
        let is_closed =
            |last: &Option<Place>| last.as_ref().is_none_or(|last| is_stale(last, horizon));
        if !is_closed(&self.last) {
            let n_closed = self.kept.iter().take_while(|rung| is_closed(&rung.last)).count();
            self.kept.drain(..n_closed.saturating_sub(1));
            return;
        }
        self.kept.clear();
        let Keeping { forget_after: Some(after), is_of_key: true, .. } = self.keeping else {
            return;
        };
        if self.last.as_ref().is_some_and(|last| is_settled(last.0, after, horizon)) {
            self.forget();
            self.kept = Vec::new();
        }
    }

    /// The time that the horizon must pass before [`Rungs::close`] has anything to let go of; `None` where
    /// nothing will be.
    pub(super) fn due(&self) -> Option<VenueTime> {
        let last = self.last.as_ref().map(|last| last.0);
        let resting = if self.keeping.is_of_key {
            let model = last.filter(|_| self.model.is_some());
            model.zip(self.keeping.forget_after).map(|(last, after)| last.plus(after))
        } else {
            self.usual.due()
        };
        last.filter(|_| !self.kept.is_empty()).into_iter().chain(resting).min()
    }

    /// How many states are kept beside the newest.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many keys anything is known of.
    #[cfg(test)]
    pub(super) fn n_known(&self) -> usize {
        let is_model = self.keeping.is_of_key && self.model.is_some();
        usize::from(is_model) + self.usual.len()
    }

    /// What all states take, the newest among them.
    #[cfg(test)]
    pub(super) fn state_bytes(&self) -> usize {
        use detectors::Detector as _;
        let before = self.kept.iter().flat_map(|rung| rung.before.values().flatten());
        let models = self.kept.iter().map(|rung| &rung.model).chain([&self.model]);
        models.flatten().map(Model::state_bytes).sum::<usize>()
            + before.map(Known::state_bytes).sum::<usize>()
            + self.usual.state_bytes()
    }
}
