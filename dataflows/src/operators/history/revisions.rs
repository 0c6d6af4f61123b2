//! Revisions by key: of inserts and corrects the greatest (revision, operation) stands, a bust
//! removes its revision and all earlier ones, and one that comes first waits.
//!
//! An identity whose one event is an insert without a revision is known by its event alone, which
//! stands in the history; only others are remembered here.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use types::Op;

use super::Revision;

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The greatest insert or correct that came.
    pub(super) best: Option<(u64, Op)>,
    /// The greatest revision that was busted.
    pub(super) busted: Option<u64>,
}

/// What nothing needs to be remembered of, but that its event stands.
const PLAIN: Known = Known { best: Some((0, Op::Insert)), busted: None };

impl Known {
    /// Whether the event of `best` stands.
    pub(super) fn stands(self) -> bool {
        self.best.is_some_and(|(revision, _)| self.busted.is_none_or(|b| revision > b))
    }
}

/// What is known of the identities of a shard, by key and identity.
pub(super) struct Revisions<K>(HashMap<(K, u128), Known, FxBuildHasher>);

impl<K: Copy + Eq + std::hash::Hash> Revisions<K> {
    pub(super) const fn new() -> Self {
        Self(HashMap::with_hasher(FxBuildHasher))
    }

    pub(super) fn get(&self, key: K, identity: u128) -> Option<Known> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(key, identity)).copied()
    }

    pub(super) fn set(&mut self, key: K, identity: u128, known: Known) {
        if known != PLAIN {
            self.0.insert((key, identity), known);
        } else if !self.0.is_empty() {
            self.0.remove(&(key, identity));
        }
    }

    /// Remembers the first event of an identity.
    pub(super) fn set_first(&mut self, key: K, identity: u128, op: Op, revision: u64) {
        let known = match op {
            Op::Bust => Known { best: None, busted: Some(revision) },
            op => Known { best: Some((revision, op)), busted: None },
        };
        self.set(key, identity, known);
    }

    /// A bust of an identity of which no event is in any history.
    pub(super) fn wait(&mut self, key: K, identity: u128, revision: u64) {
        let known = self.get(key, identity).unwrap_or(Known { best: None, busted: None });
        let busted = known.busted.max(Some(revision));
        self.set(key, identity, Known { busted, ..known });
    }
}

/// One identity of a key while an epoch's events of it are resolved.
pub(super) struct Resolving<E> {
    /// The event that stands in the history.
    held: Option<E>,
    known: Known,
    /// The event of `best`, where it came this epoch.
    fresh: Option<E>,
}

impl<E: Clone + PartialEq> Resolving<E> {
    /// Starts from what is remembered and what was found in the history.
    pub(super) fn new(remembered: Option<Known>, held: Option<E>) -> Self {
        let known = remembered
            .unwrap_or(Known { best: held.as_ref().map(|_| (0, Op::Insert)), busted: None });
        Self { held, known, fresh: None }
    }

    /// Takes an event of the identity.
    pub(super) fn take(&mut self, revision: Revision, event: E) {
        let Revision { op, revision, .. } = revision;
        if op == Op::Bust {
            self.known.busted = self.known.busted.max(Some(revision));
        } else if self.known.best.is_none_or(|best| (revision, op) > best) {
            self.known.best = Some((revision, op));
            self.fresh = Some(event);
        }
    }

    /// What is to be remembered, what leaves the history and what enters it.
    pub(super) fn finish(self) -> (Known, Option<E>, Option<E>) {
        if !self.known.stands() {
            return (self.known, self.held, None);
        }
        match self.fresh {
            // What stood still stands.
            None => (self.known, None, None),
            Some(fresh) if self.held.as_ref() == Some(&fresh) => (self.known, None, None),
            Some(fresh) => (self.known, self.held, Some(fresh)),
        }
    }
}
