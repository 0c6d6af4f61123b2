//! The ticks of a key in order, kept for ever: a late or removed one must change exactly what it
//! changes. They stand in chunks, so that a late one moves few others.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Names, VenueTime};

use super::logarithm::log_return;
use super::sums::Sums;
use super::tick::Tick;

/// A tick and its return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) tick: Tick,
    /// Since the tick of its asset before, in units of 2^-56; `None` at the first, and where one of the
    /// prices isn't above zero.
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
    /// What is known of each asset, once there were several: else the newest tick tells it.
    assets: Option<Box<FxHashMap<AssetId, Known>>>,
}

/// Ticks side by side.
struct Chunk {
    ticks: Vec<Held>,
    /// Of all of them, once another chunk follows: the last one still grows.
    sums: Option<Box<Sums>>,
}

/// What is known of an asset, so that none is looked for that isn't there.
#[derive(Clone, Copy)]
struct Known {
    n_ticks: u64,
    /// Of its newest tick.
    level: i64,
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

    /// The first tick behind another, which needn't be held, and the first of the same asset.
    pub(super) fn following(&self, tick: &Tick, names: &Names) -> [Option<&Held>; 2] {
        let at = self.partition_point(|held| held.order(tick, names) != Ordering::Greater);
        let alike = self.alike(at, tick.asset);
        [Some(at), alike].map(|at| self.get(at?))
    }

    /// The first tick of an asset at or behind a place.
    fn alike(&self, at: Cursor, asset: AssetId) -> Option<Cursor> {
        let mut next = Some(at).filter(|_| self.has(asset));
        while let Some(at) = next {
            if self.get(at)?.tick.asset == asset {
                return Some(at);
            }
            next = self.next(at);
        }
        None
    }

    /// The last level of an asset before a place, which may be the end.
    fn level_before(&self, at: Cursor, asset: AssetId) -> Option<i64> {
        let mut before = if self.get(at).is_some() { self.before(at) } else { self.last() };
        while let Some(held) = before.and_then(|at| self.get(at)) {
            if held.tick.asset == asset {
                return Some(held.tick.level());
            }
            before = before.and_then(|at| self.before(at));
        }
        None
    }

    /// Whether there is a tick of an asset.
    fn has(&self, asset: AssetId) -> bool {
        match &self.assets {
            Some(assets) => assets.contains_key(&asset),
            None => self.newest().is_some_and(|held| held.tick.asset == asset),
        }
    }

    /// Notes that a tick of an asset comes: whether there were some.
    fn meet(&mut self, asset: AssetId) -> bool {
        let had = self.has(asset);
        if self.assets.is_none() && !had && !self.chunks.is_empty() {
            let mut assets = Box::<FxHashMap<AssetId, Known>>::default();
            for Held { tick, .. } in self.chunks.iter().flat_map(|chunk| &chunk.ticks) {
                let known = assets.entry(tick.asset).or_insert(Known { n_ticks: 0, level: 0 });
                *known = Known { n_ticks: known.n_ticks + 1, level: tick.level() };
            }
            self.assets = Some(assets);
        }
        if let Some(assets) = &mut self.assets {
            assets.entry(asset).or_insert(Known { n_ticks: 0, level: 0 }).n_ticks += 1;
        }
        had
    }

    /// Notes that a tick of an asset goes: whether there are others.
    fn part(&mut self, asset: AssetId) -> bool {
        let Some(assets) = &mut self.assets else { return self.has(asset) };
        let Some(known) = assets.get_mut(&asset) else { return false };
        known.n_ticks -= 1;
        let has_more = known.n_ticks > 0;
        if !has_more {
            assets.remove(&asset);
        }
        has_more
    }

    /// Notes the newest level of an asset; gives the one before.
    fn set_level(&mut self, asset: AssetId, level: i64) -> Option<i64> {
        let known = self.assets.as_mut()?.get_mut(&asset)?;
        Some(std::mem::replace(&mut known.level, level))
    }

    /// Adds the newest tick.
    pub(super) fn push(&mut self, tick: Tick) -> Cursor {
        let newest = self.newest().map(|held| held.tick.level());
        let had = self.meet(tick.asset);
        let before = self.set_level(tick.asset, tick.level()).or(newest).filter(|_| had);
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
        let had = self.meet(tick.asset);
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
        if had {
            self.renew(at);
        }
        let next = self.next(at).filter(|_| had).and_then(|next| self.alike(next, tick.asset));
        match next {
            Some(next) => self.renew(next),
            None => {
                self.set_level(tick.asset, tick.level());
            }
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
        if !self.part(tick.asset) {
            return;
        }
        if let Some(next) = self.alike(next, tick.asset) {
            if !is_out(Safeguard::ReturnsRenewed) {
                self.renew(next);
            }
        } else if let Some(level) = self.level_before(next, tick.asset) {
            self.set_level(tick.asset, level);
        }
    }

    /// Finds the return of a tick anew.
    fn renew(&mut self, at: Cursor) {
        let from = self.get(at).and_then(|held| self.level_before(at, held.tick.asset));
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
