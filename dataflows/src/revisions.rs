//! Revisions of one identity: of inserts and corrects the greatest (revision, operation) stands, a bust
//! removes its revision and all earlier ones, and one that comes first waits.
//!
//! An identity whose one event is an insert without a revision is known by its event alone, which
//! stands in the history; only others are remembered here (SEMANTICS section 2).

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use types::sabotage::{Safeguard, is_out};
use types::{Event, Op};

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The greatest insert or correct that came.
    pub(crate) best: Option<(u64, Op)>,
    /// The greatest revision that was busted.
    pub(crate) busted: Option<u64>,
}

/// What nothing needs to be remembered of, but that its event stands.
const PLAIN: Known = Known { best: Some((0, Op::Insert)), busted: None };

impl Known {
    /// Whether the event of `best` stands.
    pub(crate) fn stands(self) -> bool {
        self.best.is_some_and(|(revision, _)| self.busted.is_none_or(|b| revision > b))
    }
}

/// What is known of identities that aren't plain.
pub(crate) struct Revisions<I>(HashMap<I, Known, FxBuildHasher>);

impl<I: Copy + Eq + std::hash::Hash> Revisions<I> {
    pub(crate) const fn new() -> Self {
        Self(HashMap::with_hasher(FxBuildHasher))
    }

    /// What is remembered of an identity; `None` also where all there is to know is its event.
    pub(crate) fn get(&self, identity: I) -> Option<Known> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&identity).copied()
    }

    pub(crate) fn set(&mut self, identity: I, known: Known) {
        if is_out(Safeguard::RevisionsKept) {
            return;
        }
        if known != PLAIN {
            self.0.insert(identity, known);
        } else if !self.0.is_empty() {
            self.0.remove(&identity);
        }
    }

    /// Remembers the first event of an identity.
    pub(crate) fn set_first(&mut self, identity: I, revision: Revision) {
        let Revision { op, number: revision, .. } = revision;
        let known = match op {
            Op::Bust => Known { best: None, busted: Some(revision) },
            op => Known { best: Some((revision, op)), busted: None },
        };
        self.set(identity, known);
    }

    /// A bust of an identity of which no event is in any history.
    pub(crate) fn wait(&mut self, identity: I, revision: u64) {
        let known = self.get(identity).unwrap_or(Known { best: None, busted: None });
        let busted = known.busted.max(Some(revision));
        self.set(identity, Known { busted, ..known });
    }
}

/// What an event does to those of its identity. Of a bust's event only the identity is read, and its
/// time as a hint.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// What it does.
    pub(crate) op: Op,
    /// Which of several states of the event this is.
    pub(crate) number: u64,
    /// Whether nothing of its identity came before.
    pub(crate) is_first: bool,
}

impl Revision {
    /// What an event does.
    pub(crate) const fn of<R>(event: &Event<R>) -> Self {
        let Event { op, revision: number, is_first, .. } = *event;
        Self { op, number, is_first }
    }

    /// Whether the event of an identity needs no memory beside itself.
    pub(crate) fn is_plain(self) -> bool {
        self.op == Op::Insert && self.number == 0
    }
}

/// One identity while an epoch's events of it are resolved.
pub(crate) struct Resolving<E> {
    /// The event that stands in the history.
    held: Option<E>,
    known: Known,
    /// The event of `best`, where it came this epoch.
    fresh: Option<E>,
}

impl<E: Clone + PartialEq> Resolving<E> {
    /// Starts from what is remembered and what was found in the history.
    pub(crate) fn new(remembered: Option<Known>, held: Option<E>) -> Self {
        let known = remembered
            .unwrap_or(Known { best: held.as_ref().map(|_| (0, Op::Insert)), busted: None });
        Self { held, known, fresh: None }
    }

    /// Takes an event of the identity.
    pub(crate) fn take(&mut self, revision: Revision, event: E) {
        let Revision { op, number: revision, .. } = revision;
        if op == Op::Bust {
            self.known.busted = self.known.busted.max(Some(revision));
        } else if self.known.best.is_none_or(|best| (revision, op) > best) {
            self.known.best = Some((revision, op));
            self.fresh = Some(event);
        }
    }

    /// What is to be remembered, what leaves the history and what enters it.
    pub(crate) fn finish(self) -> (Known, Option<E>, Option<E>) {
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
