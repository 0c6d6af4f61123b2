//! Changes that don't come in order: collected while an epoch lasts, applied together at its end.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::walk::Walk;
use super::{Fold, Packable};
use crate::cold::Cold;
use crate::revisions::{Known, Resolving, Revision, Revisions};

/// What an epoch changes of a key beside appending.
pub(super) enum Change<E> {
    /// An event enters or leaves as often as this says.
    Edit(E, isize),
    /// An event counts against others of its identity.
    Revise(Revision, E),
}

/// A change of a history.
pub(super) struct Edit<F: Fold> {
    pub(super) order: F::Order,
    event: F::Event,
    diff: isize,
}

impl<F: Fold> Edit<F> {
    fn new(event: F::Event, diff: isize) -> Self {
        Self { order: F::order(&event), event, diff }
    }
}

/// What reading a key's packed events takes.
pub(super) struct Kept<'a, F: Fold> {
    pub(super) rules: &'a F,
    pub(super) common: &'a mut F::Common,
    pub(super) aside: &'a mut F::Aside,
    pub(super) cold: &'a Cold,
}

impl<F: Fold> Kept<'_, F> {
    fn unpack(&self, event: &F::Packed) -> F::Event {
        F::unpack(event, *self.common, self.aside)
    }

    /// Folds events into a state and walks along.
    pub(super) fn fold<'e>(
        &self,
        events: impl IntoIterator<Item = &'e F::Packed>,
        state: &mut F::State,
        walk: &mut Walk<F>,
    ) where
        F::Packed: 'e,
    {
        for event in events {
            walk.pass(F::packed_time(event), state);
            let note = self.rules.step(state, event, *self.common, self.aside);
            walk.notes.extend(note);
        }
    }
}

/// An event that is looked up by its identity.
pub(super) struct Lookup<F: Fold> {
    identity: u128,
    /// When it may have happened.
    pub(super) hint: Option<VenueTime>,
    found: Option<F::Event>,
}

impl<F: Fold> Lookup<F> {
    /// Looks among some events; whether it is found.
    pub(super) fn search<'e>(
        &mut self,
        mut events: impl Iterator<Item = &'e F::Packed>,
        kept: &Kept<'_, F>,
    ) -> bool
    where
        F::Packed: 'e,
    {
        if self.found.is_none() {
            let found = events.find(|e| F::packed_identity(e, kept.aside) == Some(self.identity));
            self.found = found.map(|event| kept.unpack(event));
        }
        self.found.is_some()
    }
}

/// Looks for all that aren't found yet, in one go along a history.
pub(super) struct Search<'l, F: Fold> {
    /// The only one, so that most searches need no map.
    one: Option<&'l mut Lookup<F>>,
    many: HashMap<u128, &'l mut Lookup<F>, FxBuildHasher>,
}

impl<'l, F: Fold> Search<'l, F> {
    pub(super) fn new(lookups: &'l mut [Lookup<F>]) -> Self {
        let mut missing = lookups.iter_mut().filter(|lookup| lookup.found.is_none());
        let (first, second) = (missing.next(), missing.next());
        let Some(second) = second else {
            return Self { one: first, many: HashMap::default() };
        };
        let all = first.into_iter().chain([second]).chain(missing);
        Self { one: None, many: all.map(|lookup| (lookup.identity, lookup)).collect() }
    }

    /// Whether all are found.
    pub(super) fn is_done(&self) -> bool {
        self.one.is_none() && self.many.is_empty()
    }

    /// Looks among some events.
    pub(super) fn look<'e>(
        &mut self,
        events: impl Iterator<Item = &'e F::Packed>,
        kept: &Kept<'_, F>,
    ) where
        F::Packed: 'e,
    {
        if let Some(lookup) = &mut self.one {
            if lookup.search(events, kept) {
                self.one = None;
            }
            return;
        }
        for event in events {
            if self.many.is_empty() {
                return;
            }
            let identity = F::packed_identity(event, kept.aside);
            if let Some(lookup) = identity.and_then(|identity| self.many.remove(&identity)) {
                lookup.found = Some(kept.unpack(event));
            }
        }
    }
}

/// Settles what an epoch's changes come to, sorted by place. `find` looks events up in the history.
pub(super) fn edits<F: Fold>(
    changes: &mut Vec<Change<F::Event>>,
    key: F::Key,
    revisions: &mut Revisions<(F::Key, u128)>,
    find: impl FnOnce(&mut [Lookup<F>]),
) -> Vec<Edit<F>>
where
    F::Key: std::hash::Hash,
{
    let (mut edits, mut revised) = (Vec::new(), Vec::new());
    for change in changes.drain(..) {
        match change {
            Change::Edit(event, diff) => edits.push(Edit::new(event, diff)),
            Change::Revise(revision, event) => {
                revised.extend(F::identity(&event).map(|identity| (identity, revision, event)));
            }
        }
    }
    // Stable: events of one identity stay as they came.
    revised.sort_by_key(|(identity, ..)| *identity);
    let mut lookups: Vec<Lookup<F>> = Vec::new();
    for same in revised.chunk_by(|a, b| a.0 == b.0) {
        let identity = same[0].0;
        let may_stand = revisions.get((key, identity)).is_none_or(Known::stands);
        if may_stand && !same.iter().any(|(_, revision, _)| revision.is_first) {
            let mut times = same.iter().map(|(.., event)| F::time(&F::order(event)));
            let hint = times.find(|time| *time > VenueTime::MIN);
            lookups.push(Lookup { identity, hint, found: None });
        }
    }
    find(&mut lookups);
    let mut lookups = lookups.into_iter().peekable();
    let mut revised = revised.into_iter().peekable();
    while let Some((identity, revision, event)) = revised.next() {
        let lookup = lookups.next_if(|lookup| lookup.identity == identity);
        let held = lookup.and_then(|lookup| lookup.found);
        let mut resolving = Resolving::new(revisions.get((key, identity)), held);
        resolving.take(revision, event);
        while let Some((_, revision, event)) = revised.next_if(|(next, ..)| *next == identity) {
            resolving.take(revision, event);
        }
        let (known, leaves, enters) = resolving.finish();
        revisions.set((key, identity), known);
        edits.extend(leaves.map(|event| Edit::new(event, -1)));
        edits.extend(enters.map(|event| Edit::new(event, 1)));
    }
    edits.sort_by_key(|edit| edit.order);
    edits
}

/// Merges changes into events; both are sorted.
///
/// # Panics
/// If an event is removed that isn't there: an input never goes below zero.
pub(super) fn merge<F: Fold>(
    events: &[F::Packed],
    edits: &[Edit<F>],
    kept: &mut Kept<'_, F>,
) -> Vec<F::Packed> {
    let mut merged = Vec::with_capacity(events.len() + edits.len());
    let mut rest = events;
    for edits in edits.chunk_by(|a, b| a.order == b.order) {
        let order = edits[0].order;
        let before = rest.partition_point(|e| F::packed_order(e, kept.aside) < order);
        merged.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        let n_ties = rest.iter().take_while(|e| F::packed_order(e, kept.aside) == order).count();
        let mut ties: Vec<F::Packed> = rest[..n_ties].to_vec();
        rest = &rest[n_ties..];
        let added = edits.iter().filter(|edit| edit.diff > 0);
        let removed = edits.iter().filter(|edit| edit.diff < 0);
        let mut all: Vec<&Edit<F>> = added.chain(removed).collect();
        if is_out(Safeguard::HistoryAdditionsFirst) {
            all.reverse();
        }
        for edit in all {
            for _ in 0..edit.diff {
                ties.push(edit.event.pack(kept.common, kept.aside));
            }
            for _ in edit.diff..0 {
                let place = ties.iter().position(|tie| kept.unpack(tie) == edit.event);
                let Some(place) = place else {
                    panic!("an event that isn't there was removed: {:?}", edit.event);
                };
                F::release(&ties.remove(place), kept.aside);
            }
        }
        merged.append(&mut ties);
    }
    merged.extend_from_slice(rest);
    merged
}
