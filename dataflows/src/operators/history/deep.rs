//! A history of many events: sealed chunks, each with the state before it, and an open rest. Its
//! oldest events stay in the log until a correction asks for them.
//!
//! A sealed chunk never changes in place. A late or removed event makes a new chunk in its stead, or
//! two, or none: then the state before it passes on to what follows. So a chunk can leave memory as a
//! piece ([`crate::cold`]): what a search and a re-fold need of it stays, which is its first and last
//! event's places and the state before it.

use std::sync::Arc;

use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::Fold;
use super::late::{Edit, Kept, Lookup, Search, merge};
use super::log::Log;
use super::walk::Walk;
use crate::cold::{Cold, Piece};
use crate::operators::slab::NONE;

/// Events of a sealed chunk. Twice as many may stand open: late events mostly find their place
/// among those, and sealed chunks are left alone.
pub(super) const CHUNK: usize = 64;

/// Open events that are worth a chunk when their key rests.
const FEW: usize = 16;

/// See the module.
#[repr(C)]
pub(super) struct Deep<F: Fold> {
    open: Vec<F::Packed>,
    /// Bytes of its events in memory.
    pub(super) n_bytes: usize,
    /// The number of its key.
    pub(super) owner: u32,
    /// The newest of its events that are still in the log.
    logged: u32,
    /// Whether it was written to since it was last asked.
    is_warm: bool,
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
    last: F::Packed,
    events: Events<F>,
    /// Whether it is new since it was last asked.
    is_warm: bool,
}

/// The events of a sealed chunk.
enum Events<F: Fold> {
    Here(Arc<[F::Packed]>),
    Away(Piece),
}

impl<F: Fold> Sealed<F> {
    fn new(events: Arc<[F::Packed]>, start: F::State, aside: &F::Aside) -> Self {
        let first = F::packed_order(&events[0], aside);
        let last = events[events.len() - 1];
        Self { first, start, last, events: Events::Here(events), is_warm: true }
    }

    fn len(&self) -> usize {
        match &self.events {
            Events::Here(events) => events.len(),
            Events::Away(piece) => usize::try_from(piece.n_bytes).unwrap_or(usize::MAX) / F::BYTES,
        }
    }

    /// Its events; `room` holds them where they aren't in memory.
    fn read<'a>(&'a self, cold: &Cold, room: &'a mut Room<F>) -> &'a [F::Packed] {
        match &self.events {
            Events::Here(events) => events,
            Events::Away(piece) => {
                cold.get(*piece, &mut room.bytes);
                room.events.clear();
                room.events.extend(room.bytes.chunks_exact(F::BYTES).map(F::read));
                &room.events
            }
        }
    }

    /// Bytes of its events in memory.
    fn n_bytes(&self) -> usize {
        match &self.events {
            Events::Here(events) => size_of_val::<[F::Packed]>(events),
            Events::Away(_) => 0,
        }
    }
}

/// Room for a chunk that is read.
struct Room<F: Fold> {
    bytes: Vec<u8>,
    events: Vec<F::Packed>,
}

impl<F: Fold> Room<F> {
    const fn new() -> Self {
        Self { bytes: Vec::new(), events: Vec::new() }
    }
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
    const EVENT: usize = size_of::<F::Packed>();

    /// Starts from a history that is folded up to its last event.
    pub(super) fn new(fold: &F, open: Vec<F::Packed>, owner: u32) -> Self {
        let n_bytes = open.capacity() * Self::EVENT;
        let (base, middle) = (fold.start(), fold.start());
        let (sealed, logged) = (Vec::new(), NONE);
        Self { sealed, n_bytes, owner, logged, is_warm: true, base, middle, open }
    }

    /// Goes on from events in the log, of which this is the newest; `base` is the state behind them.
    pub(super) fn behind(logged: u32, base: F::State, owner: u32) -> Self {
        let (sealed, open, middle) = (Vec::new(), Vec::new(), base.clone());
        Self { sealed, n_bytes: 0, owner, logged, is_warm: true, base, middle, open }
    }

    /// Whether some of its events are in the log.
    #[cfg(test)]
    pub(super) const fn is_logged(&self) -> bool {
        self.logged != NONE
    }

    /// Takes its events out of the log, where there still are some.
    pub(super) fn settle(&mut self, fold: &F, log: &mut Log<F>, aside: &F::Aside) {
        if self.logged == NONE {
            return;
        }
        let (places, mut events): (Vec<u32>, Vec<F::Packed>) =
            log.newest_first(std::mem::replace(&mut self.logged, NONE)).unzip();
        events.reverse();
        log.free(places);
        let sealed = Sealed::new(Arc::from(events), fold.start(), aside);
        self.n_bytes += sealed.n_bytes();
        self.sealed.insert(0, sealed);
    }

    /// How many events stand open.
    pub(super) const fn n_open(&self) -> usize {
        self.open.len()
    }

    /// The newest event.
    pub(super) fn newest(&self) -> Option<&F::Packed> {
        self.open.last().or_else(|| Some(&self.sealed.last()?.last))
    }

    /// Appends an event that comes in order; `before` is the state before it.
    pub(super) fn push(&mut self, event: F::Packed, before: &F::State, aside: &F::Aside) {
        if self.open.len() >= 2 * CHUNK {
            let next = self.middle.clone();
            self.seal(CHUNK, next, aside);
        }
        if self.open.len() == CHUNK {
            self.middle = before.clone();
        }
        if self.open.len() == self.open.capacity() {
            let room = self.open.capacity();
            self.open.reserve_exact((self.open.len() / 2).clamp(8, 2 * CHUNK));
            self.n_bytes += (self.open.capacity() - room) * Self::EVENT;
        }
        self.open.push(event);
        self.is_warm = true;
    }

    /// Seals the oldest `n` open events; `next` is the state behind them.
    fn seal(&mut self, n: usize, next: F::State, aside: &F::Aside) {
        let events: Arc<[F::Packed]> = self.open.drain(..n).collect();
        let start = std::mem::replace(&mut self.base, next);
        let sealed = Sealed::new(events, start, aside);
        self.n_bytes += sealed.n_bytes();
        if self.sealed.len() == self.sealed.capacity() {
            // States and places stay in memory: a quarter more is enough.
            self.sealed.reserve_exact((self.sealed.len() / 4).max(1));
        }
        self.sealed.push(sealed);
    }

    /// Sends out of memory what wasn't written to since this was last asked; `end` is the state
    /// behind all events.
    pub(super) fn spill(&mut self, end: &F::State, aside: &F::Aside, cold: &Cold) {
        let few = if cold.is_bare() { 1 } else { FEW };
        let is_warm = std::mem::take(&mut self.is_warm);
        if !is_warm && self.open.len() >= few {
            self.send_open(end, aside, cold);
        } else if !is_warm {
            self.n_bytes -= self.open.capacity() * Self::EVENT;
            self.open.shrink_to_fit();
            self.n_bytes += self.open.capacity() * Self::EVENT;
        }
        // The newest lie behind; what stands before a piece mostly is one as well, but a correction
        // brings chunks back anywhere.
        for sealed in &mut self.sealed {
            let stays = std::mem::take(&mut sealed.is_warm) && is_warm;
            let Events::Here(events) = &sealed.events else { continue };
            if stays {
                continue;
            }
            let piece = cold.put(|bytes| events.iter().for_each(|event| F::write(event, bytes)));
            self.n_bytes -= sealed.n_bytes();
            sealed.events = Events::Away(piece);
        }
    }

    /// Sends the open events out of memory, as one chunk or two.
    fn send_open(&mut self, end: &F::State, aside: &F::Aside, cold: &Cold) {
        let open = std::mem::take(&mut self.open);
        self.n_bytes -= open.capacity() * Self::EVENT;
        let has_middle = open.len() > CHUNK;
        let (first, second) = open.split_at(if has_middle { CHUNK } else { 0 });
        for (events, next) in [(first, &self.middle), (second, end)] {
            let (Some(oldest), Some(last)) = (events.first(), events.last()) else { continue };
            let piece = cold.put(|bytes| events.iter().for_each(|event| F::write(event, bytes)));
            if self.sealed.len() == self.sealed.capacity() {
                self.sealed.reserve_exact((self.sealed.len() / 4).max(1));
            }
            self.sealed.push(Sealed {
                first: F::packed_order(oldest, aside),
                start: std::mem::replace(&mut self.base, next.clone()),
                last: *last,
                events: Events::Away(piece),
                is_warm: false,
            });
        }
    }

    /// Looks events up by identity: where their times say, else from the newest back.
    pub(super) fn find(&self, lookups: &mut [Lookup<F>], kept: &Kept<'_, F>) {
        let mut room = Room::new();
        for lookup in &mut *lookups {
            let Some(time) = lookup.hint else { continue };
            let first = self.sealed.partition_point(|sealed| F::time(&sealed.first) < time);
            let chunks = self.sealed[first.saturating_sub(1)..].iter();
            let mut chunks = chunks.take_while(|sealed| F::time(&sealed.first) <= time);
            let mut search = |events: &[F::Packed]| {
                let start = events.partition_point(|event| F::packed_time(event) < time);
                let ties = events[start..].iter();
                lookup.search(ties.take_while(|event| F::packed_time(event) == time), kept)
            };
            let is_found = chunks.any(|sealed| {
                F::packed_time(&sealed.last) >= time && search(sealed.read(kept.cold, &mut room))
            });
            if !is_found {
                search(&self.open);
            }
        }
        if is_out(Safeguard::LooksEverywhere) {
            return;
        }
        let mut search = Search::new(lookups);
        search.look(self.open.iter().rev(), kept);
        for sealed in self.sealed.iter().rev() {
            if search.is_done() {
                return;
            }
            search.look(sealed.read(kept.cold, &mut room).iter().rev(), kept);
        }
    }

    /// Where a walk starts that sees all changes from a place on.
    pub(super) fn start_before(&self, order: F::Order, aside: &F::Aside) -> Start {
        let order_of = |event: &F::Packed| F::packed_order(event, aside);
        let newest_sealed = self.sealed.last().map(|sealed| &sealed.last);
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
            missing = missing.saturating_sub(self.sealed[chunk].len());
        }
        Start { chunk, is_middle: false }
    }

    /// The time of the event before a start.
    pub(super) fn time_before(&self, start: Start) -> Option<VenueTime> {
        let before = if start.is_middle {
            self.open.get(CHUNK - 1)
        } else {
            Some(&self.sealed.get(start.chunk.checked_sub(1)?)?.last)
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
        let n: usize = sealed.iter().map(Sealed::len).sum::<usize>() + open.len();
        let mut n_left = n.saturating_sub(n_left_out);
        let mut state = self.state_at(start);
        let mut room = Room::new();
        for sealed in sealed {
            if n_left == 0 {
                break;
            }
            let events = sealed.read(kept.cold, &mut room);
            kept.fold(events.iter().take(n_left), &mut state, walk);
            n_left = n_left.saturating_sub(events.len());
        }
        kept.fold(open.iter().take(n_left), &mut state, walk);
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
        self.is_warm = true;
        let mut rest = edits;
        let n_sealed = rest.partition_point(|edit| {
            self.start_before(edit.order, kept.aside).chunk < self.sealed.len()
        });
        if n_sealed < rest.len() {
            self.n_bytes -= self.open.capacity() * Self::EVENT;
            self.open = merge(&self.open, &rest[n_sealed..], kept);
            self.n_bytes += self.open.capacity() * Self::EVENT;
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
        let mut room = Room::new();
        let old = &self.sealed[chunk];
        let events = merge(old.read(kept.cold, &mut room), edits, kept);
        let start = old.start.clone();
        self.n_bytes -= old.n_bytes();
        if let Events::Away(piece) = old.events {
            kept.cold.free(piece);
        }
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
        self.n_bytes += events.len() * Self::EVENT;
        let pieces = events
            .chunks(size)
            .map(|events| Sealed::new(Arc::from(events), start.clone(), kept.aside));
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
            self.seal(CHUNK, next, kept.aside);
            if start.is_middle {
                start = Start { chunk: self.sealed.len(), is_middle: false };
            }
        }
        let mut room = Room::new();
        for sealed in self.sealed.iter_mut().skip(start.chunk) {
            if !is_out(Safeguard::StartsRenewed) {
                sealed.start = state.clone();
            }
            kept.fold(sealed.read(kept.cold, &mut room), &mut state, walk);
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

    /// Bytes of its events in memory, counted anew.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        let sealed = self.sealed.iter().map(Sealed::n_bytes);
        self.open.capacity() * Self::EVENT + sealed.sum::<usize>()
    }

    /// How many pieces it has.
    #[cfg(test)]
    pub(super) fn n_pieces(&self) -> usize {
        let is_away = |sealed: &&Sealed<F>| matches!(sealed.events, Events::Away(_));
        self.sealed.iter().filter(is_away).count()
    }
}
