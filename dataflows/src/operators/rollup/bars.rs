//! The bars of a worker's assets at all levels, and the ticks that they are made of.
//!
//! A tick goes into the bar of each level directly: those at hand are in cache. A bar of the
//! smallest level that is final and holds few ticks is put away, and rebuilt from them when a late
//! one or a removal touches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Names, ShortText, Span, VenueTime};

use super::bar::{Bar, Prices, Ties, WideSums};
use super::level::{Level, levels};
use super::log::{TickLog, TickRef};
use super::series::{Entry, NO_SLOT, Series, Slot};
use super::show::{Figures, Told};
use super::tick::{Plain, Tick};
use crate::operators::identities::Identities;

/// All bars of a worker.
pub(super) struct Bars {
    pub(super) levels: Vec<Level>,
    pub(super) names: Arc<Names>,
    /// The watermark before the epoch at hand, and in it.
    pub(super) watermark: VenueTime,
    pub(super) next_watermark: VenueTime,
    /// By asset: its index among this worker's, or [`NO_PLACE`]. Asset numbers have no gaps.
    places: Vec<u32>,
    n_assets: u32,
    /// By index of the asset, then level: the last bucket.
    current: Vec<Current>,
    /// As `current`.
    pub(super) series: Vec<Series>,
    /// As `current`.
    pub(super) assets: Vec<AssetId>,
    pub(super) slots: Vec<Bar>,
    /// Slots without a bar.
    free: Vec<Slot>,
    pub(super) wide: FxHashMap<Slot, WideSums>,
    pub(super) log: TickLog,
    /// By level: the bars that aren't final, by their end. A slot in it may have been freed.
    closing: Vec<BTreeMap<VenueTime, Vec<Slot>>>,
    /// Bars changed in this epoch.
    pub(super) touched: Vec<Touched>,
    pub(super) removals: Vec<Removal>,
    /// Where events can replace and remove one another.
    pub(super) identities: Option<Box<Identities<Tick>>>,
}

const NO_PLACE: u32 = u32::MAX;

/// The most ticks of a cell whose bar is put away: rebuilding it must stay cheap, and what the bar
/// of a larger one takes is little beside its ticks.
const MOST_AT_REST: u64 = if cfg!(test) { 4 } else { 64 };

/// The last bucket that a series ever had, and its slot if its bar is in memory.
#[derive(Clone, Copy)]
struct Current {
    start: VenueTime,
    slot: Slot,
}

/// A bar changed in this epoch.
pub(super) struct Touched {
    pub(super) slot: Slot,
    pub(super) level: usize,
    /// What stood for it before.
    pub(super) old: Figures,
}

/// Ticks to be taken out.
pub(super) struct Removal {
    /// Index of the asset.
    pub(super) place: u32,
    /// Start of the tick's cell.
    pub(super) cell: VenueTime,
    pub(super) tick: Tick,
    pub(super) times: u64,
}

impl Bars {
    pub(super) fn new(
        sizes: &[(Span, ShortText)],
        names: Arc<Names>,
        has_corrections: bool,
    ) -> Self {
        let levels = levels(sizes);
        Self {
            closing: levels.iter().map(|_| BTreeMap::new()).collect(),
            levels,
            names,
            watermark: VenueTime::MIN,
            next_watermark: VenueTime::MIN,
            places: Vec::new(),
            n_assets: 0,
            current: Vec::new(),
            series: Vec::new(),
            assets: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wide: FxHashMap::default(),
            log: TickLog::new(),
            touched: Vec::new(),
            removals: Vec::new(),
            identities: has_corrections.then(|| Box::new(Identities::new())),
        }
    }

    /// Starts an epoch, given the watermark at its end if that is known.
    pub(super) fn start(&mut self, watermark: Option<VenueTime>) {
        self.next_watermark = watermark.map_or(self.watermark, |new| new.max(self.watermark));
    }

    /// Takes a change of the epoch in. Removals wait for the epoch's end: what they remove may
    /// come after them.
    pub(super) fn take(&mut self, asset: AssetId, tick: &Tick, diff: isize) {
        let diff = i64::try_from(diff).expect("a multiplicity fits 64 bits");
        let place = self.place(asset);
        if diff > 0 {
            for _ in 0..diff {
                self.insert(place, tick);
            }
        } else if diff < 0 {
            let cell = tick.time.bucket(self.levels[0].span);
            let removal = Removal { place, cell, tick: *tick, times: diff.unsigned_abs() };
            self.removals.push(removal);
            if is_out(Safeguard::BarsAdditionsFirst) {
                self.remove_all();
            }
        }
    }

    /// The index of an asset.
    #[inline]
    fn place(&mut self, asset: AssetId) -> u32 {
        let index = usize::try_from(asset.0).unwrap_or(usize::MAX);
        match self.places.get(index) {
            Some(place) if *place != NO_PLACE => *place,
            _ => self.add_asset(asset, index),
        }
    }

    /// The index of an asset, if there was any event of it.
    pub(super) fn place_of(&self, asset: AssetId) -> Option<u32> {
        let place = self.places.get(usize::try_from(asset.0).unwrap_or(usize::MAX))?;
        Some(*place).filter(|place| *place != NO_PLACE)
    }

    #[cold]
    fn add_asset(&mut self, asset: AssetId, index: usize) -> u32 {
        if self.places.len() <= index {
            self.places.resize(index + 1, NO_PLACE);
        }
        let place = self.n_assets;
        self.places[index] = place;
        self.n_assets += 1;
        let n_series = self.series.len() + self.levels.len();
        self.assets.resize(n_series, asset);
        let none = Current { start: VenueTime::MIN, slot: NO_SLOT };
        self.current.resize(n_series, none);
        self.series.resize_with(n_series, Series::default);
        place
    }

    /// The index of a series.
    pub(super) fn series_of(&self, place: u32, level: usize) -> usize {
        index(place) * self.levels.len() + level
    }

    fn insert(&mut self, place: u32, tick: &Tick) {
        if let Some(plain) = tick.plain() {
            return self.insert_plain(place, &plain);
        }
        let first = self.series_of(place, 0);
        let slot = self.slot(first, 0, tick.time);
        self.touch(slot, 0);
        let bar = &mut self.slots[index(slot)];
        bar.newest = self.log.push(tick, bar.start, bar.newest);
        let prices = Prices::of_tick(tick, bar.newest);
        self.add(slot, tick, &prices);
        for level in 1..self.levels.len() {
            let slot = self.slot(first + level, level, tick.time);
            self.touch(slot, level);
            self.add(slot, tick, &prices);
        }
    }

    /// Adds a tick as nearly all are. Most are the newest of their asset.
    #[inline]
    fn insert_plain(&mut self, place: u32, tick: &Plain) {
        let (first, price) = (self.series_of(place, 0), tick.price());
        let mut newest = TickRef::NONE;
        for level in 0..self.levels.len() {
            let slot = self.slot(first + level, level, tick.time);
            if !self.slots[index(slot)].is_touched {
                self.touch(slot, level);
            }
            let bar = &mut self.slots[index(slot)];
            if level == 0 {
                newest = self.log.push_plain(tick, bar.start, bar.newest);
                bar.newest = newest;
            }
            if !bar.append(tick, price, newest) {
                let tick = tick.tick();
                self.add(slot, &tick, &Prices::of_tick(&tick, newest));
            }
        }
    }

    /// Adds a plain tick of an asset.
    #[inline]
    pub(super) fn take_plain(&mut self, asset: AssetId, tick: &Plain) {
        let place = self.place(asset);
        self.insert_plain(place, tick);
    }

    /// Adds a tick to a bar.
    pub(super) fn add(&mut self, slot: Slot, tick: &Tick, prices: &Prices) {
        let bar = &mut self.slots[index(slot)];
        if bar.n_trades == 0 {
            bar.prices = *prices;
        } else {
            let ties = Ties { log: &self.log, names: &self.names, cell: self.levels[0].span };
            bar.prices.widen(prices, ties);
        }
        bar.count(1);
        if bar.add(tick, 1).is_none() {
            self.add_wide(slot, tick, 1);
        }
    }

    /// Adds to the sums of a bar where they, or the tick's value, don't fit.
    #[cold]
    pub(super) fn add_wide(&mut self, slot: Slot, tick: &Tick, times: i64) {
        let bar = &mut self.slots[index(slot)];
        let (volume, notional) = bar.sums();
        if !bar.is_wide {
            bar.is_wide = true;
            self.wide.insert(slot, WideSums::new(volume, notional));
        }
        self.wide.entry(slot).or_default().add(tick, times);
    }

    /// The slot of the bucket of a time, whose bar is brought into memory, or started.
    #[inline]
    fn slot(&mut self, series: usize, level: usize, time: VenueTime) -> Slot {
        let Current { start, slot } = self.current[series];
        // Where the time is before the start this wraps to more than any length.
        let offset = time.nanos().wrapping_sub(start.nanos()).cast_unsigned();
        let is_in = slot != NO_SLOT && offset < self.levels[level].span.nanos().cast_unsigned();
        if is_in { slot } else { self.find(series, level, time) }
    }

    #[inline(never)]
    fn find(&mut self, series: usize, level: usize, time: VenueTime) -> Slot {
        let start = time.bucket(self.levels[level].span);
        let newest = self.current[series].start;
        // Most ticks that leave the newest bucket start the next one.
        let held = if start > newest { None } else { self.held(series, start) };
        let slot = held.unwrap_or_else(|| self.open(series, level, start));
        if start >= newest {
            self.current[series] = Current { start, slot };
        }
        slot
    }

    /// The slot of a bucket that holds ticks; brings its bar into memory.
    pub(super) fn held(&mut self, series: usize, start: VenueTime) -> Option<Slot> {
        let entry = *self.series[series].get_mut(start)?;
        if entry.slot != NO_SLOT {
            return Some(entry.slot);
        }
        let slot = self.take_slot(series, start);
        self.slots[index(slot)].newest = entry.newest;
        if !is_out(Safeguard::BarsWake) {
            self.rebuild(slot);
        }
        if let Some(entry) = self.series[series].get_mut(start) {
            entry.slot = slot;
        }
        Some(slot)
    }

    /// Starts a bar.
    fn open(&mut self, series: usize, level: usize, start: VenueTime) -> Slot {
        let slot = self.take_slot(series, start);
        let entry = Entry { start, slot, newest: TickRef::NONE };
        self.slots[index(slot)].hint = self.series[series].insert(entry);
        self.await_end(slot, level, start);
        slot
    }

    fn take_slot(&mut self, series: usize, start: VenueTime) -> Slot {
        let series = u32::try_from(series).expect("fewer than 2^32 series");
        let bar = Bar::new(start, series);
        if let Some(slot) = self.free.pop() {
            self.slots[index(slot)] = bar;
            return slot;
        }
        self.slots.push(bar);
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 bars")
    }

    /// Remembers to tell when a bar is final.
    fn await_end(&mut self, slot: Slot, level: usize, start: VenueTime) {
        let end = self.levels[level].end(start);
        if end > self.next_watermark {
            self.closing[level].entry(end).or_default().push(slot);
        }
    }

    /// Finds the bar of a cell anew from its ticks.
    pub(super) fn rebuild(&mut self, slot: Slot) {
        let bar = &mut self.slots[index(slot)];
        bar.n_trades = 0;
        bar.clear_sums();
        self.wide.remove(&slot);
        let (start, mut next) = (bar.start, bar.newest);
        while next != TickRef::NONE {
            let (tick, previous) = self.log.get(next, start);
            self.add(slot, &tick, &Prices::of_tick(&tick, next));
            next = previous;
        }
    }

    /// Remembers what a bar showed before this epoch.
    #[inline]
    pub(super) fn touch(&mut self, slot: Slot, level: usize) {
        let bar = &self.slots[index(slot)];
        if !bar.is_touched {
            let old = self.figures(slot, bar);
            self.touched.push(Touched { slot, level, old });
            self.slots[index(slot)].is_touched = true;
        }
    }

    /// Ends the epoch: takes removals out, then tells what changed, once for each bar, the old row
    /// before the new one.
    pub(super) fn finish(&mut self, told: &mut Told) {
        self.settle();
        self.remove_all();
        self.close();
        let watermark = std::mem::replace(&mut self.watermark, self.next_watermark);
        let mut touched = std::mem::take(&mut self.touched);
        told.expect(&touched);
        for touched in &touched {
            self.tell(touched, watermark, told);
            let Touched { slot, level, .. } = *touched;
            let bar = &mut self.slots[index(slot)];
            bar.is_touched = false;
            if bar.n_trades == 0 || (level == 0 && bar.n_trades <= MOST_AT_REST) {
                self.rest(slot, level);
            }
        }
        touched.clear();
        self.touched = touched;
    }

    /// Touches the bars that become final.
    fn close(&mut self) {
        for level in 0..self.levels.len() {
            while let Some(entry) = self.closing[level].first_entry() {
                let end = *entry.key();
                if end > self.next_watermark {
                    break;
                }
                for slot in entry.remove() {
                    let bar = &self.slots[index(slot)];
                    // The bar that was meant may be gone, and another one in its place.
                    let is_meant = bar.n_trades > 0 && self.levels[level].end(bar.start) == end;
                    if is_meant && self.level_of(slot) == level {
                        self.touch(slot, level);
                    }
                }
            }
        }
    }

    fn level_of(&self, slot: Slot) -> usize {
        index(self.slots[index(slot)].series) % self.levels.len()
    }

    /// Lets go of an emptied bucket, and of the bar of a cell, soon rebuilt, if that is final.
    fn rest(&mut self, slot: Slot, level: usize) {
        let bar = &self.slots[index(slot)];
        let (start, newest, series, hint) = (bar.start, bar.newest, index(bar.series), bar.hint);
        if bar.n_trades == 0 {
            self.series[series].remove(start);
        } else if self.levels[level].end(start) <= self.watermark {
            if let Some(entry) = self.series[series].hinted(hint, start) {
                (entry.slot, entry.newest) = (NO_SLOT, newest);
            }
        } else {
            return;
        }
        // So that nothing takes the slot for a bar.
        self.slots[index(slot)].n_trades = 0;
        self.wide.remove(&slot);
        if self.current[series].slot == slot {
            self.current[series].slot = NO_SLOT;
        }
        self.free.push(slot);
    }
}

/// An index of 32 bits at the machine's width.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
