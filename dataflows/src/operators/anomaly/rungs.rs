//! States that are kept so that a change in the past needn't be folded from the beginning.
//!
//! A rung is a model as it was behind some row. What keys' usual numbers were there isn't copied: each
//! rung notes what those that were touched since had been, so going back takes the notes of all rungs
//! behind. Rungs are fewer the older they are: one goes when the gap that it leaves is at most so many
//! times as long as the way from there to the newest row. So the rows that are folded once more are a
//! constant times those behind the change. Where no change can go back any more none is kept: then there
//! is the newest state alone, and the next row begins with a rung of it.

use std::collections::BTreeMap;

use detectors::{Model, Normaliser};
use rustc_hash::FxHashMap;
use types::Value;
use types::sabotage::{Safeguard, is_out};

use super::refits::Refits;

/// Rows between two rungs at least.
pub(super) const STEP: u64 = 256;

/// One state that is kept.
#[derive(Debug)]
struct Rung<P> {
    /// The last row that it has learnt; `None` at the beginning.
    last: Option<P>,
    n_rows: u64,
    model: Model,
    refits: Refits,
    /// What was usual of the keys touched since, before they were.
    before: BTreeMap<u32, Option<Normaliser>>,
}

/// The newest state, and those that are kept; by places `P` of rows.
#[derive(Debug)]
pub(super) struct Rungs<P> {
    /// The oldest first; empty where no row before the newest state can change.
    kept: Vec<Rung<P>>,
    /// How often as long a gap may be as the way from there.
    slack: u64,
    last: Option<P>,
    n_rows: u64,
    model: Model,
    refits: Refits,
    usual: FxHashMap<u32, Normaliser>,
}

impl<P: Ord + Clone> Rungs<P> {
    /// Starts with a model that has learnt nothing.
    pub(super) fn new(model: Model, slack: u64) -> Self {
        let usual = FxHashMap::default();
        Self {
            kept: Vec::new(),
            slack,
            last: None,
            n_rows: 0,
            model,
            refits: Refits::default(),
            usual,
        }
    }

    /// The last row that was learnt.
    pub(super) const fn last(&self) -> Option<&P> {
        self.last.as_ref()
    }

    /// The last row that the oldest state has learnt: no row up to there is learnt again.
    pub(super) fn first(&self) -> Option<&P> {
        self.kept.first().map_or(self.last.as_ref(), |rung| rung.last.as_ref())
    }

    /// Goes back to the newest state before a place; stays where none is kept.
    pub(super) fn go_back(&mut self, place: &P) {
        let is_before = |rung: &Rung<P>| rung.last.as_ref().is_none_or(|last| last < place);
        while let Some(rung) = self.kept.last_mut() {
            for (key, usual) in std::mem::take(&mut rung.before) {
                if is_out(Safeguard::UsualGoesBack) {
                    continue;
                }
                match usual {
                    Some(usual) => self.usual.insert(key, usual),
                    None => self.usual.remove(&key),
                };
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
    /// the key learns then.
    pub(super) fn pass<T>(
        &mut self,
        place: &P,
        (key, numbers): (Option<u32>, &[f64]),
        said: Option<&Value>,
        pass: impl FnOnce(&mut Model, Option<&Normaliser>, bool) -> T,
    ) -> T {
        if self.kept.is_empty() {
            self.keep();
        }
        // Behind what was kept, which is the state before the row.
        let is_fitted = self.refits.hear(said);
        let said = match key {
            None => pass(&mut self.model, None, is_fitted),
            Some(key) => {
                let known = self.usual.get(&key);
                if let Some(rung) = self.kept.last_mut() {
                    rung.before.entry(key).or_insert_with(|| known.cloned());
                }
                let usual = self.usual.entry(key).or_insert_with(|| Normaliser::new(numbers.len()));
                let said = pass(&mut self.model, Some(usual), is_fitted);
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
            if gap <= behind.saturating_mul(self.slack) {
                let gone = self.kept.remove(index);
                let older = &mut self.kept[index - 1].before;
                for (key, usual) in gone.before {
                    older.entry(key).or_insert(usual);
                }
            }
        }
    }

    /// Forgets states that no change needs any more: those before the last one that has learnt nothing
    /// from `is_open` on, and all where the newest state is that one.
    pub(super) fn close(&mut self, is_open: impl Fn(&P) -> bool) {
        if !self.last.as_ref().is_some_and(&is_open) {
            self.kept.clear();
            return;
        }
        let is_closed = |rung: &Rung<P>| !rung.last.as_ref().is_some_and(&is_open);
        let n_closed = self.kept.iter().take_while(|rung| is_closed(rung)).count();
        self.kept.drain(..n_closed.saturating_sub(1));
    }

    /// Whether no state is kept beside the newest.
    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many states are kept beside the newest.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }

    /// What all states take, the newest among them.
    #[cfg(test)]
    pub(super) fn state_bytes(&self) -> usize {
        use detectors::Detector as _;
        let usual = |usual: &Normaliser| usual.state_bytes();
        let before = self.kept.iter().flat_map(|rung| rung.before.values().flatten());
        let models = self.kept.iter().map(|rung| &rung.model).chain([&self.model]);
        models.map(Model::state_bytes).sum::<usize>()
            + self.usual.values().chain(before).map(usual).sum::<usize>()
    }
}
