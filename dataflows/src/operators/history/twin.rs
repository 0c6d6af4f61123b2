//! The store's slow, obvious twin: revisions by a map, a sorted list of events a key, all of it folded
//! anew whenever something changed.

use std::collections::BTreeMap;
use std::hash::Hash;

use types::{Op, Span, VenueTime};

use super::Fold;
use crate::revisions::Revision;

/// What is known of one identity.
struct Slot<E> {
    /// The insert or correct that wins among those that came.
    best: Option<(u64, Op, E)>,
    /// The greatest revision that was busted.
    busted: Option<u64>,
}

impl<E> Slot<E> {
    fn held(&self) -> Option<&E> {
        let (revision, _, event) = self.best.as_ref()?;
        self.busted.is_none_or(|busted| *revision > busted).then_some(event)
    }
}

/// The history of one key.
pub(super) struct Twin<F: Fold> {
    slots: BTreeMap<u128, Slot<F::Event>>,
    /// Events without revisions.
    others: Vec<F::Event>,
}

/// All that a history says.
pub(super) struct Said<F: Fold> {
    pub(super) state: F::State,
    pub(super) notes: Vec<F::Note>,
    /// For each grid, the state as of each step before which something happened.
    pub(super) steps: Vec<BTreeMap<VenueTime, F::State>>,
}

impl<F: Fold> Default for Twin<F> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), others: Vec::new() }
    }
}

impl<F: Fold> Twin<F>
where
    F::Key: Hash,
{
    pub(super) fn revise(&mut self, revision: &Revision, event: F::Event) {
        let identity = F::identity(&event).expect("revisions have identities");
        let slot = self.slots.entry(identity).or_insert(Slot { best: None, busted: None });
        let Revision { op, number: revision, .. } = *revision;
        match op {
            Op::Bust => slot.busted = slot.busted.max(Some(revision)),
            op if slot.best.as_ref().is_none_or(|best| (revision, op) > (best.0, best.1)) => {
                slot.best = Some((revision, op, event));
            }
            _ => {}
        }
    }

    pub(super) fn change(&mut self, event: &F::Event, diff: isize) {
        for _ in 0..diff {
            self.others.push(event.clone());
        }
        for _ in diff..0 {
            let place = self.others.iter().position(|other| other == event);
            self.others.swap_remove(place.expect("only what is there is removed"));
        }
    }

    /// Whether anything of this identity came.
    pub(super) fn knows(&self, identity: u128) -> bool {
        self.slots.contains_key(&identity)
    }

    pub(super) fn fold(&self, fold: &F, grids: &[Span]) -> Said<F> {
        let held = self.slots.values().filter_map(Slot::held);
        let mut events: Vec<&F::Event> = held.chain(&self.others).collect();
        events.sort_by_key(|event| F::order(event));
        let mut said: Said<F> = Said {
            state: fold.start(),
            notes: Vec::new(),
            steps: grids.iter().map(|_| BTreeMap::new()).collect(),
        };
        for event in events {
            said.notes.extend(fold.step_by_the_rules(&mut said.state, event));
            for (grid, steps) in grids.iter().zip(&mut said.steps) {
                let step = F::time(&F::order(event)).next_step(*grid);
                steps.insert(step, said.state.clone());
            }
        }
        said
    }
}
