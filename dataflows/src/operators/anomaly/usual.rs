//! What is usual of each key that has units of its own, as long as it isn't forgotten.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use detectors::Normaliser;
use rustc_hash::FxHashMap;
use types::sabotage::{Safeguard, is_out};
use types::{Span, VenueTime};

/// What is known of a key.
#[derive(Clone, Debug)]
pub(super) struct Known {
    usual: Normaliser,
    /// The time of its last row.
    last: VenueTime,
}

/// What is known of all keys, by their numbers.
#[derive(Debug)]
pub(super) struct Usual {
    known: FxHashMap<u32, Known>,
    /// How long a key may rest before it is forgotten.
    forget_after: Option<Span>,
    /// The known keys by a time that isn't behind their last row, so that those that rest are found without
    /// looking at all others. Each stands here once; some may not be known any more.
    resting: BTreeSet<(VenueTime, u32)>,
    /// The time by which each key stands there.
    noted: FxHashMap<u32, VenueTime>,
}

/// Whether a key whose last row is of one time is forgotten before its row of another.
pub(super) fn is_forgotten(last: VenueTime, forget_after: Option<Span>, now: VenueTime) -> bool {
    forget_after.is_some_and(|after| last.plus(after) < now)
        && !is_out(Safeguard::RestedKeysForgotten)
}

/// Whether what is known of a key serves no row any more: each that can still be learnt lies at the horizon
/// or behind it, and finds the key forgotten.
pub(super) fn is_settled(last: VenueTime, forget_after: Span, horizon: VenueTime) -> bool {
    if is_out(Safeguard::ForgottenOnceSettled) {
        return last < horizon;
    }
    last.plus(forget_after) < horizon
}

impl Usual {
    /// Knows no key.
    pub(super) fn new(forget_after: Option<Span>) -> Self {
        let (known, resting, noted) = Default::default();
        Self { known, forget_after, resting, noted }
    }

    /// What is known of a key.
    pub(super) fn known(&self, key: u32) -> Option<&Known> {
        self.known.get(&key)
    }

    /// What is usual of a key before its row of this time, of so many columns.
    pub(super) fn meet(&mut self, key: u32, time: VenueTime, n_columns: usize) -> &mut Normaliser {
        if self.forget_after.is_some() && !self.known.contains_key(&key) {
            self.note(key, time);
        }
        let new = || Normaliser::new(n_columns);
        let known = match self.known.entry(key) {
            Entry::Vacant(entry) => entry.insert(Known { usual: new(), last: time }),
            Entry::Occupied(entry) => {
                let known = entry.into_mut();
                if is_forgotten(known.last, self.forget_after, time) {
                    known.usual = new();
                }
                known.last = time;
                known
            }
        };
        &mut known.usual
    }

    /// Puts back what was known of a key before.
    pub(super) fn put_back(&mut self, key: u32, before: Option<Known>) {
        let Some(before) = before else {
            self.known.remove(&key);
            return;
        };
        self.note(key, before.last);
        self.known.insert(key, before);
    }

    /// Notes a key by the time of its last row, or leaves it by an earlier one.
    fn note(&mut self, key: u32, last: VenueTime) {
        if self.forget_after.is_none() {
            return;
        }
        if let Some(noted) = self.noted.get(&key).copied() {
            if noted <= last {
                return;
            }
            self.resting.remove(&(noted, key));
        }
        self.noted.insert(key, last);
        self.resting.insert((last, key));
    }

    /// Lets go of keys that have rested for so long before the horizon that no row asks for what is known
    /// of them.
    pub(super) fn close(&mut self, horizon: VenueTime) {
        let Some(after) = self.forget_after else { return };
        let is_settled = |last| is_settled(last, after, horizon);
        while let Some((time, key)) = self.resting.first().copied()
            && is_settled(time)
        {
            self.resting.remove(&(time, key));
            self.noted.remove(&key);
            let Some(last) = self.known.get(&key).map(|known| known.last) else { continue };
            if is_settled(last) {
                self.known.remove(&key);
            } else {
                self.note(key, last);
            }
        }
    }

    /// The time that the horizon must pass before [`Usual::close`] has anything to do.
    pub(super) fn due(&self) -> Option<VenueTime> {
        let (first, _) = self.resting.first()?;
        Some(first.plus(self.forget_after?))
    }

    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// What they take.
    #[cfg(test)]
    pub(super) fn state_bytes(&self) -> usize {
        self.known.values().map(Known::state_bytes).sum()
    }
}

#[cfg(test)]
impl Known {
    pub(super) fn state_bytes(&self) -> usize {
        self.usual.state_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However often keys are met and put back, each is waited for once, and none once all rest.
    #[test]
    fn each_key_is_noted_once() {
        let at = VenueTime::from_nanos;
        let mut usual = Usual::new(Span::new(100));
        let mut kept: Vec<Vec<(u32, Option<Known>)>> = Vec::new();
        for time in 0..300_i64 {
            let keys = [0, 1, u32::try_from(time / 10).unwrap()];
            kept.push(keys.iter().map(|key| (*key, usual.known(*key).cloned())).collect());
            for key in keys {
                usual.meet(key, at(time), 1).learn(&[1.0]);
            }
            // Now and then some rows are folded again.
            if time % 7 == 6 {
                for before in kept.drain(kept.len() - 5..).rev() {
                    before.into_iter().rev().for_each(|(key, known)| usual.put_back(key, known));
                }
            }
            usual.close(at(time - 50));
            assert!(usual.resting.len() == usual.noted.len() && usual.noted.len() <= 32, "{time}");
            let is_noted = |(key, known): (&u32, &Known)| usual.noted[key] <= known.last;
            assert!(usual.known.iter().all(is_noted), "{time}");
        }
        assert!(usual.len() > 2);
        usual.close(at(1_000));
        assert_eq!((usual.len(), usual.resting.len(), usual.noted.len()), (0, 0, 0));
    }
}
