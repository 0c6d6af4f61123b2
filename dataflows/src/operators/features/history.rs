//! The ticks of a key in order, kept for ever: a late or removed one must change exactly what it
//! changes. They stand in chunks, so that a late one moves few others.

use std::cmp::Ordering;

use types::sabotage::{Safeguard, is_out};
use types::{Names, VenueTime};

use super::logarithm::log_return;
use super::sums::Sums;
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
    chunks: Vec<Chunk>,
}

/// Ticks side by side.
struct Chunk {
    ticks: Vec<Held>,
    /// Of all of them, once another chunk follows: the last one still grows.
    sums: Option<Box<Sums>>,
}

/// A whole chunk, which windows can take and let go at once.
pub(super) struct Whole<'a> {
    pub(super) sums: &'a Sums,
    /// The place and the time of its last tick.
    pub(super) end: Cursor,
    pub(super) last: VenueTime,
}

impl Chunk {
    const fn of(ticks: Vec<Held>) -> Self {
        Self { ticks, sums: None }
    }

    /// Adds its ticks up.
    fn close(&mut self) {
        let mut sums = Box::<Sums>::default();
        self.ticks.iter().for_each(|held| sums.add(held));
        self.sums = Some(sums);
    }
}

impl History {
    /// The tick at a place; `None` at the end.
    pub(super) fn get(&self, cursor: Cursor) -> Option<&Held> {
        self.chunks.get(cursor.chunk)?.ticks.get(cursor.index)
    }

    /// The last tick's place.
    pub(super) fn last(&self) -> Option<Cursor> {
        let chunk = self.chunks.len().checked_sub(1)?;
        Some(Cursor { chunk, index: self.chunks[chunk].ticks.len() - 1 })
    }

    /// The first tick.
    pub(super) fn oldest(&self) -> Option<&Held> {
        self.chunks.first()?.ticks.first()
    }

    /// The last tick.
    pub(super) fn newest(&self) -> Option<&Held> {
        self.chunks.last()?.ticks.last()
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
        Some(Cursor { chunk, index: self.chunks.get(chunk)?.ticks.len() - 1 })
    }

    /// The chunk that starts at a place, where its sums are known.
    pub(super) fn whole(&self, at: Cursor) -> Option<Whole<'_>> {
        let chunk = self.chunks.get(at.chunk).filter(|_| at.index == 0)?;
        let (sums, last) = (chunk.sums.as_deref()?, chunk.ticks.last()?.tick.time);
        Some(Whole { sums, end: Cursor { index: chunk.ticks.len() - 1, ..at }, last })
    }

    /// The first place of a tick that isn't among the first ones as `is_before` says; it may be the
    /// end.
    pub(super) fn partition_point(&self, is_before: impl Fn(&Tick) -> bool) -> Cursor {
        let is_whole = |chunk: &Chunk| chunk.ticks.last().is_some_and(|held| is_before(&held.tick));
        let chunk = self.chunks.partition_point(is_whole);
        let index = |chunk: &Chunk| chunk.ticks.partition_point(|held| is_before(&held.tick));
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
            Some(chunk) if chunk.ticks.len() < CHUNK => chunk.ticks.push(held),
            // Many keys have one tick: the first chunk grows from there.
            None => self.chunks.push(Chunk::of(vec![held])),
            Some(full) => {
                full.close();
                let mut ticks = Vec::with_capacity(CHUNK);
                ticks.push(held);
                self.chunks.push(Chunk::of(ticks));
            }
        }
        let index = self.chunks.last().map_or(0, |chunk| chunk.ticks.len()) - 1;
        Cursor { chunk: self.chunks.len() - 1, index }
    }

    /// Adds a tick wherever it belongs. Places move.
    pub(super) fn insert(&mut self, tick: Tick, names: &Names) {
        let at = self.partition_point(|held| held.order(&tick, names) == Ordering::Less);
        if at.chunk == self.chunks.len() {
            self.push(tick);
            return;
        }
        let held = Held { tick, log_return: None };
        let chunk = &mut self.chunks[at.chunk];
        chunk.ticks.insert(at.index, held);
        if let Some(sums) = &mut chunk.sums {
            sums.add(&held);
        }
        if chunk.ticks.len() > CHUNK {
            let mut rest = Chunk::of(chunk.ticks.split_off(CHUNK / 2));
            if chunk.sums.is_some() {
                rest.close();
            }
            chunk.close();
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
        let chunk = &mut self.chunks[at.chunk];
        let held = chunk.ticks.remove(at.index);
        if let Some(sums) = &mut chunk.sums {
            sums.subtract(&held);
        }
        if chunk.ticks.is_empty() {
            self.chunks.remove(at.chunk);
        }
        // The last one grows.
        if let Some(last) = self.chunks.last_mut() {
            last.sums = None;
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
        let Chunk { ticks, sums } = &mut self.chunks[at.chunk];
        let held = &mut ticks[at.index];
        let old = *held;
        held.log_return = from.and_then(|from| log_return(from, held.tick.level()));
        if let Some(sums) = sums
            && !is_out(Safeguard::ChunksAddedUp)
        {
            sums.subtract(&old);
            sums.add(held);
        }
    }
}

/// The first place of a chunk.
const fn first_of(chunk: usize) -> Cursor {
    Cursor { chunk, index: 0 }
}
