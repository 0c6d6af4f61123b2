//! A history of many events: sealed chunks, each with the state before it, and an open rest.
//!
//! A sealed chunk never changes in place. A late or removed event makes a new chunk in its stead, or
//! two, or none: then the state before it passes on to what follows.

use std::sync::Arc;

use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::Fold;
use super::late::{Edit, Kept, Lookup, merge};
use super::walk::Walk;

/// Events of a sealed chunk. Twice as many may stand open: late events mostly find their place
/// among those, and sealed chunks are left alone.
pub(super) const CHUNK: usize = 64;

/// See the module.
#[repr(C)]
pub(super) struct Deep<F: Fold> {
    open: Vec<F::Packed>,
    sealed: Vec<Sealed<F>>,
    /// The state before the open events.
    base: F::State,
    /// The state before open event `CHUNK`, where there are more.
    middle: F::State,
}

/// A sealed chunk. Never empty.
struct Sealed<F: Fold> {
    /// The place of its first event.
    first: F::Order,
    /// The state before it.
    start: F::State,
    events: Arc<[F::Packed]>,
}

/// Where a walk along a history starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    /// The sealed chunk; their number means the open events.
    chunk: usize,
    /// Whether the first `CHUNK` open events are left out.
    is_middle: bool,
}

impl<F: Fold> Deep<F> {
    /// Starts from a history that is folded up to its last event.
    pub(super) fn new(fold: &F, open: Vec<F::Packed>) -> Self {
        Self { sealed: Vec::new(), base: fold.start(), middle: fold.start(), open }
    }

    /// The newest event.
    pub(super) fn newest(&self) -> Option<&F::Packed> {
        self.open.last().or_else(|| self.sealed.last()?.events.last())
    }

    /// Appends an event that comes in order; `before` is the state before it.
    pub(super) fn push(&mut self, event: F::Packed, before: &F::State, aside: &F::Aside) {
        if self.open.len() >= 2 * CHUNK {
            let next = self.middle.clone();
            self.seal(next, aside);
        }
        if self.open.len() == CHUNK {
            self.middle = before.clone();
        }
        if self.open.len() == self.open.capacity() {
            self.open.reserve_exact((self.open.len() / 2).clamp(8, 2 * CHUNK));
        }
        self.open.push(event);
    }

    /// Seals the oldest open events; `next` is the state behind them.
    fn seal(&mut self, next: F::State, aside: &F::Aside) {
        let events: Arc<[F::Packed]> = self.open.drain(..CHUNK).collect();
        let start = std::mem::replace(&mut self.base, next);
        self.sealed.push(Sealed { first: F::packed_order(&events[0], aside), start, events });
    }

    /// Looks events up by identity: where their times say, else from the newest back.
    pub(super) fn find(&self, lookups: &mut [Lookup<F>], kept: &Kept<'_, F>) {
        for lookup in &mut *lookups {
            let Some(time) = lookup.hint else { continue };
            let first = self.sealed.partition_point(|sealed| F::time(&sealed.first) < time);
            let chunks = self.sealed[first.saturating_sub(1)..].iter();
            let chunks = chunks.take_while(|sealed| F::time(&sealed.first) <= time);
            for events in chunks.map(|sealed| &*sealed.events).chain([&self.open[..]]) {
                let start = events.partition_point(|event| F::packed_time(event) < time);
                let ties = events[start..].iter();
                lookup.search(ties.take_while(|event| F::packed_time(event) == time), kept);
            }
        }
        let newest_first = self
            .open
            .iter()
            .rev()
            .chain(self.sealed.iter().rev().flat_map(|s| s.events.iter().rev()));
        if is_out(Safeguard::LooksEverywhere) {
            return;
        }
        Lookup::search_all(lookups, newest_first, kept);
    }

    /// Where a walk starts that sees all changes from a place on.
    pub(super) fn start_before(&self, order: F::Order, aside: &F::Aside) -> Start {
        let order_of = |event: &F::Packed| F::packed_order(event, aside);
        let newest_sealed = self.sealed.last().and_then(|sealed| sealed.events.last());
        let is_open = match (self.open.first(), newest_sealed) {
            (_, None) => true,
            (Some(first), _) => order >= order_of(first),
            (None, Some(newest)) => order > order_of(newest),
        };
        if is_open {
            let is_middle = self.open.len() > CHUNK
                && (order > order_of(&self.open[CHUNK - 1]) || is_out(Safeguard::MiddleIsBehind));
            return Start { chunk: self.sealed.len(), is_middle };
        }
        let chunk = self.sealed.partition_point(|sealed| sealed.first <= order).saturating_sub(1);
        Start { chunk, is_middle: false }
    }

    /// Where a walk starts that sees at least the newest `n` events.
    pub(super) fn start_of_newest(&self, n: usize) -> Start {
        let mut chunk = self.sealed.len();
        if let Some(n_before) = self.open.len().checked_sub(n) {
            let is_middle = self.open.len() > CHUNK && n_before >= CHUNK;
            return Start { chunk, is_middle };
        }
        let mut missing = n - self.open.len();
        while missing > 0 && chunk > 0 {
            chunk -= 1;
            missing = missing.saturating_sub(self.sealed[chunk].events.len());
        }
        Start { chunk, is_middle: false }
    }

    /// The time of the event before a start.
    pub(super) fn time_before(&self, start: Start) -> Option<VenueTime> {
        let before = if start.is_middle {
            self.open.get(CHUNK - 1)
        } else {
            self.sealed.get(start.chunk.checked_sub(1)?)?.events.last()
        };
        before.map(F::packed_time)
    }

    /// Walks the history as it stands, without the newest `n_left_out` events.
    pub(super) fn walk(
        &self,
        start: Start,
        n_left_out: usize,
        kept: &Kept<'_, F>,
        walk: &mut Walk<F>,
    ) {
        let sealed = self.sealed.get(start.chunk..).unwrap_or_default();
        let open = if start.is_middle { &self.open[CHUNK..] } else { &self.open[..] };
        let n: usize = sealed.iter().map(|s| s.events.len()).sum::<usize>() + open.len();
        let mut state = self.state_at(start);
        let events = sealed.iter().flat_map(|s| s.events.iter()).chain(open);
        kept.fold(events.take(n.saturating_sub(n_left_out)), &mut state, walk);
        walk.end(&state);
    }

    fn state_at(&self, start: Start) -> F::State {
        match self.sealed.get(start.chunk) {
            Some(sealed) => sealed.start.clone(),
            None if start.is_middle => self.middle.clone(),
            None => self.base.clone(),
        }
    }

    /// Makes changes, sorted by place. Starts found before stay good.
    pub(super) fn change(&mut self, edits: &[Edit<F>], kept: &mut Kept<'_, F>) {
        let mut rest = edits;
        let n_sealed = rest.partition_point(|edit| {
            self.start_before(edit.order, kept.aside).chunk < self.sealed.len()
        });
        if n_sealed < rest.len() {
            self.open = merge(&self.open, &rest[n_sealed..], kept);
        }
        rest = &rest[..n_sealed];
        while let Some(last) = rest.last() {
            let behind = self.sealed.partition_point(|sealed| sealed.first <= last.order);
            let chunk = behind.saturating_sub(1);
            let first = self.sealed[chunk].first;
            let cut = if chunk == 0 { 0 } else { rest.partition_point(|e| e.order < first) };
            self.rebuild(chunk, &rest[cut..], kept);
            rest = &rest[..cut];
        }
    }

    /// Puts changed chunks in the place of one.
    fn rebuild(&mut self, chunk: usize, edits: &[Edit<F>], kept: &mut Kept<'_, F>) {
        let events = merge(&self.sealed[chunk].events, edits, kept);
        let start = self.sealed[chunk].start.clone();
        if events.is_empty() {
            self.sealed.remove(chunk);
            match self.sealed.get_mut(chunk) {
                _ if is_out(Safeguard::EmptyPassesOn) => {}
                Some(next) => next.start = start,
                None => self.base = start,
            }
            return;
        }
        let size = if events.len() > 2 * CHUNK { CHUNK } else { events.len() };
        let pieces = events.chunks(size).map(|events| Sealed {
            first: F::packed_order(&events[0], kept.aside),
            start: start.clone(),
            events: Arc::from(events),
        });
        self.sealed.splice(chunk..=chunk, pieces);
    }

    /// Folds anew from a start on; gives the state behind all events.
    pub(super) fn fold(
        &mut self,
        mut start: Start,
        kept: &Kept<'_, F>,
        walk: &mut Walk<F>,
    ) -> F::State {
        let mut state = self.state_at(start);
        while self.open.len() > 2 * CHUNK {
            let next = self.middle.clone();
            self.seal(next, kept.aside);
            if start.is_middle {
                start = Start { chunk: self.sealed.len(), is_middle: false };
            }
        }
        for sealed in self.sealed.iter_mut().skip(start.chunk) {
            if !is_out(Safeguard::StartsRenewed) {
                sealed.start = state.clone();
            }
            kept.fold(sealed.events.iter(), &mut state, walk);
        }
        let (first, second) = self.open.split_at(self.open.len().min(CHUNK));
        if !start.is_middle {
            self.base = state.clone();
            kept.fold(first, &mut state, walk);
        }
        self.middle = state.clone();
        kept.fold(second, &mut state, walk);
        walk.end(&state);
        state
    }
}
