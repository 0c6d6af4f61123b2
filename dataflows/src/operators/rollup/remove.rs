//! Removals: a tick is sought among those of its cell, whose bar is found anew; longer bars subtract
//! it, and where it was first, last, highest or lowest are rebuilt from shorter ones.

use super::bar::{Prices, Ties};
use super::bars::{Bars, Removal, index};
use super::log::TickRef;
use super::series::{NO_SLOT, Slot};
use super::tick::Tick;
use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

impl Bars {
    /// Takes the epoch's removals out.
    ///
    /// # Panics
    /// If a tick isn't held: an input never goes below zero.
    pub(super) fn remove_all(&mut self) {
        if self.removals.is_empty() {
            return;
        }
        let mut removals = std::mem::take(&mut self.removals);
        let order = |r: &Removal| (r.place, r.cell, key(&r.tick));
        removals.sort_unstable_by_key(order);
        let mut stale = Vec::new();
        for cell in removals.chunk_by_mut(|a, b| (a.place, a.cell) == (b.place, b.cell)) {
            self.remove_from_cell(cell, &mut stale);
        }
        // Shorter bars first, because longer ones are rebuilt from them.
        stale.sort_unstable();
        if is_out(Safeguard::ShorterFirst) {
            stale.reverse();
        }
        for (level, slot) in stale {
            self.refresh(slot, level);
        }
        removals.clear();
        self.removals = removals;
    }

    /// Takes ticks out of one cell, in one walk through it.
    fn remove_from_cell(&mut self, removals: &mut [Removal], stale: &mut Vec<(usize, Slot)>) {
        let [Removal { place, cell, .. }, ..] = *removals else { return };
        let first = self.series_of(place, 0);
        let slot = self.held(first, cell).expect("removals are of rows that are held");
        self.touch(slot, 0);
        let mut later = TickRef::NONE;
        let mut next = self.slots[index(slot)].newest;
        while next != TickRef::NONE {
            let (tick, previous) = self.log.get(next, cell);
            if take_one(removals, &tick) {
                if later == TickRef::NONE {
                    self.slots[index(slot)].newest = previous;
                } else {
                    self.log.relink(later, previous);
                }
                for level in 1..self.levels.len() {
                    self.subtract(first + level, level, (&tick, next), stale);
                }
            } else {
                later = next;
            }
            next = previous;
        }
        assert!(removals.iter().all(|r| r.times == 0), "removals are of rows that are held");
        self.rebuild(slot);
    }

    /// Takes a tick out of a longer bar.
    fn subtract(
        &mut self,
        series: usize,
        level: usize,
        (tick, place): (&Tick, TickRef),
        stale: &mut Vec<(usize, Slot)>,
    ) {
        let start = tick.time.bucket(self.levels[level].span);
        let slot = self.held(series, start).expect("a tick is in a bar of each length");
        self.touch(slot, level);
        let bar = &mut self.slots[index(slot)];
        bar.count(-1);
        let Prices { first, last, high, low } = bar.prices;
        let is_extreme =
            [high, low].contains(&tick.price) || [first.tick, last.tick].contains(&place);
        if is_extreme && !bar.is_stale && !is_out(Safeguard::ExtremesSought) {
            bar.is_stale = true;
            stale.push((level, slot));
        }
        if bar.add(tick, -1).is_none() {
            self.add_wide(slot, tick, -1);
        }
    }

    /// Finds the prices of a longer bar anew.
    fn refresh(&mut self, slot: Slot, level: usize) {
        let bar = &mut self.slots[index(slot)];
        bar.is_stale = false;
        if bar.n_trades == 0 {
            return;
        }
        let (start, series) = (bar.start, index(bar.series));
        let end = self.levels[level].end(start);
        let part = self.levels[level].child.unwrap_or(0);
        let parts = &self.series[series - level + part];
        let mut found: Option<Prices> = None;
        let ties = Ties { log: &self.log, names: &self.names, cell: self.levels[0].span };
        let mut widen = |prices: Prices| found.get_or_insert(prices).widen(&prices, ties);
        // Where nothing shorter nests, the first and the last cell reach beyond the bar.
        let from = start.bucket(self.levels[part].span);
        for entry in parts.range(from, end) {
            if entry.slot != NO_SLOT && self.levels[level].child.is_some() {
                let part = &self.slots[index(entry.slot)];
                if part.n_trades > 0 {
                    widen(part.prices);
                }
                continue;
            }
            let newest = match entry.slot {
                NO_SLOT if is_out(Safeguard::RestingParts) => continue,
                NO_SLOT => entry.newest,
                slot => self.slots[index(slot)].newest,
            };
            for (place, tick) in self.log.chain(newest, entry.start) {
                if start <= tick.time && tick.time < end {
                    widen(Prices::of_tick(&tick, place));
                }
            }
        }
        let found = found.expect("a bar that holds ticks has parts that do");
        self.slots[index(slot)].prices = found;
    }
}

/// Orders removals of a cell, so that each can be found. Any order does.
const fn key(tick: &Tick) -> (VenueTime, u64, u128) {
    (tick.time, tick.seq, tick.id)
}

/// Counts a tick as taken out if it is one of those.
fn take_one(removals: &mut [Removal], tick: &Tick) -> bool {
    let first = removals.partition_point(|r| key(&r.tick) < key(tick));
    let same = removals.iter_mut().skip(first).take_while(|r| key(&r.tick) == key(tick));
    let mut open = same.filter(|r| r.times > 0 && r.tick == *tick);
    open.next().map(|removal| removal.times -= 1).is_some()
}
