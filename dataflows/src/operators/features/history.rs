//! The ticks of a key in order, kept for ever: a late or removed one must change exactly what it
//! changes. They stand in chunks, so that a late one moves few others.

use std::cmp::Ordering;

use types::sabotage::{Safeguard, is_out};
use types::{Names, VenueTime};

use super::logarithm::log_return;
use super::tick::Tick;

/// A tick and its return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) tick: Tick,
    /// Since the tick before, in units of 2^-56; `None` at the first, and where one of the prices
    /// isn't above zero.
    pub(super) log_return: Option<i64>,
}

/// The place of a tick. Appending moves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    chunk: usize,
    index: usize,
}

/// The most ticks of a chunk.
const CHUNK: usize = if cfg!(test) { 4 } else { 256 };

/// Ticks in order, in chunks of which none is empty.
#[derive(Default)]
pub(super) struct History {
    chunks: Vec<Vec<Held>>,
}

impl History {
    /// The tick at a place; `None` at the end.
    pub(super) fn get(&self, cursor: Cursor) -> Option<&Held> {
        self.chunks.get(cursor.chunk)?.get(cursor.index)
    }

    /// The last tick's place.
    pub(super) fn last(&self) -> Option<Cursor> {
        let chunk = self.chunks.len().checked_sub(1)?;
        Some(Cursor { chunk, index: self.chunks[chunk].len() - 1 })
    }

    /// The last tick.
    pub(super) fn newest(&self) -> Option<&Held> {
        self.chunks.last()?.last()
    }

    /// The place behind one, where there is a tick.
    pub(super) fn next(&self, cursor: Cursor) -> Option<Cursor> {
        let index = cursor.index + 1;
        let next = Cursor { index, ..cursor };
        let next = if self.get(next).is_some() { next } else { first_of(cursor.chunk + 1) };
        self.get(next).map(|_| next)
    }

    /// The place behind one, or the first without one.
    pub(super) fn after(&self, cursor: Option<Cursor>) -> Option<Cursor> {
        match cursor {
            Some(cursor) => self.next(cursor),
            None => self.get(first_of(0)).map(|_| first_of(0)),
        }
    }

    /// The place before one, which may be the end.
    pub(super) fn before(&self, cursor: Cursor) -> Option<Cursor> {
        if let Some(index) = cursor.index.checked_sub(1) {
            return Some(Cursor { index, ..cursor });
        }
        let chunk = cursor.chunk.checked_sub(1)?;
        Some(Cursor { chunk, index: self.chunks.get(chunk)?.len() - 1 })
    }

    /// The first place of a tick that isn't among the first ones as `is_before` says; it may be the
    /// end.
    pub(super) fn partition_point(&self, is_before: impl Fn(&Tick) -> bool) -> Cursor {
        let is_whole = |chunk: &Vec<Held>| chunk.last().is_some_and(|held| is_before(&held.tick));
        let chunk = self.chunks.partition_point(is_whole);
        let index = |chunk: &Vec<Held>| chunk.partition_point(|held| is_before(&held.tick));
        Cursor { chunk, index: self.chunks.get(chunk).map_or(0, index) }
    }

    /// The first place at or behind a time; it may be the end.
    pub(super) fn first_at(&self, time: VenueTime) -> Cursor {
        self.partition_point(|tick| tick.time < time)
    }

    /// The first tick behind another, which needn't be held.
    pub(super) fn following(&self, tick: &Tick, names: &Names) -> Option<&Held> {
        self.get(self.partition_point(|held| held.order(tick, names) != Ordering::Greater))
    }

    /// Adds the newest tick.
    pub(super) fn push(&mut self, tick: Tick) -> Cursor {
        let before = self.newest().map(|held| held.tick.level());
        let held =
            Held { tick, log_return: before.and_then(|from| log_return(from, tick.level())) };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(held),
            // Many keys have one tick: the first chunk grows from there.
            None => self.chunks.push(vec![held]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(held);
                self.chunks.push(chunk);
            }
        }
        Cursor { chunk: self.chunks.len() - 1, index: self.chunks.last().map_or(0, Vec::len) - 1 }
    }

    /// Adds a tick wherever it belongs. Places move.
    pub(super) fn insert(&mut self, tick: Tick, names: &Names) {
        let at = self.partition_point(|held| held.order(&tick, names) == Ordering::Less);
        if at.chunk == self.chunks.len() {
            self.push(tick);
            return;
        }
        let chunk = &mut self.chunks[at.chunk];
        chunk.insert(at.index, Held { tick, log_return: None });
        let rest = (chunk.len() > CHUNK).then(|| chunk.split_off(CHUNK / 2));
        if let Some(rest) = rest {
            self.chunks.insert(at.chunk + 1, rest);
        }
        let at = self.partition_point(|held| held.order(&tick, names) == Ordering::Less);
        self.renew(at);
        if let Some(next) = self.next(at) {
            self.renew(next);
        }
    }

    /// Takes a tick out. Places move.
    ///
    /// # Panics
    /// If it isn't held: an input never goes below zero.
    pub(super) fn remove(&mut self, tick: &Tick, names: &Names) {
        let at = self.partition_point(|held| held.order(tick, names) == Ordering::Less);
        let is_held = self.get(at).is_some_and(|held| held.tick == *tick);
        assert!(is_held, "a tick that isn't held was removed: {tick:?}");
        self.chunks[at.chunk].remove(at.index);
        if self.chunks[at.chunk].is_empty() {
            self.chunks.remove(at.chunk);
        }
        // At the end of a chunk the next tick starts another.
        let next = if self.get(at).is_some() { at } else { first_of(at.chunk + 1) };
        if self.get(next).is_some() && !is_out(Safeguard::ReturnsRenewed) {
            self.renew(next);
        }
    }

    /// Finds the return of a tick anew.
    fn renew(&mut self, at: Cursor) {
        let from = self.before(at).and_then(|before| self.get(before));
        let from = from.map(|held| held.tick.level());
        let held = &mut self.chunks[at.chunk][at.index];
        held.log_return = from.and_then(|from| log_return(from, held.tick.level()));
    }
}

/// The first place of a chunk.
const fn first_of(chunk: usize) -> Cursor {
    Cursor { chunk, index: 0 }
}
