//! One bar in memory.

use std::cmp::Ordering;

use ethnum::I256;
use types::sabotage::{Safeguard, is_out};
use types::{Names, Price, Span, VenueTime};

use super::log::{TickLog, TickRef};
use super::tick::{Plain, Tick};

/// One bar: sums, and the ticks that are first and last.
#[repr(align(64))]
pub(super) struct Bar {
    pub(super) start: VenueTime,
    /// Index of its series.
    pub(super) series: u32,
    /// A hint where it stands there.
    pub(super) hint: u32,
    /// The newest tick, where this is the bar of a cell.
    pub(super) newest: TickRef,
    pub(super) n_trades: u64,
    pub(super) prices: Prices,
    volume: i128,
    notional: i128,
    /// Whether the sums are kept elsewhere, because they don't fit.
    pub(super) is_wide: bool,
    /// Whether it changed in this epoch.
    pub(super) is_touched: bool,
    /// Whether a removal may have taken the first, last, highest or lowest tick.
    pub(super) is_stale: bool,
}

const _: () = assert!(size_of::<Bar>() == 128, "two cache lines");

/// The first or last tick of a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) time: VenueTime,
    pub(super) price: Price,
    pub(super) tick: TickRef,
}

/// Sums of a bar that don't fit 128 bits, or whose parts don't.
#[derive(Clone, Copy, Default)]
pub(super) struct WideSums {
    pub(super) volume: I256,
    pub(super) notional: I256,
    /// Ticks whose value doesn't fit.
    pub(super) n_unfit: i64,
}

/// What settles the order of ticks of one time.
#[derive(Clone, Copy)]
pub(super) struct Ties<'a> {
    pub(super) log: &'a TickLog,
    pub(super) names: &'a Names,
    /// The length of cells.
    pub(super) cell: Span,
}

impl Ties<'_> {
    /// The order of two ticks of a bar.
    fn order(self, a: End, b: End) -> Ordering {
        a.time.cmp(&b.time).then_with(|| self.tie(a, b))
    }

    #[cold]
    fn tie(self, a: End, b: End) -> Ordering {
        if a.tick == b.tick {
            return Ordering::Equal;
        }
        let cell = a.time.bucket(self.cell);
        self.log.get(a.tick, cell).0.tie(&self.log.get(b.tick, cell).0, self.names)
    }
}

impl Bar {
    /// A bar without ticks.
    pub(super) const fn new(start: VenueTime, series: u32) -> Self {
        let none = End { time: start, price: Price::ZERO, tick: TickRef::NONE };
        let prices = Prices { first: none, last: none, high: Price::ZERO, low: Price::ZERO };
        Self {
            start,
            series,
            hint: 0,
            newest: TickRef::NONE,
            n_trades: 0,
            prices,
            volume: 0,
            notional: 0,
            is_wide: false,
            is_touched: false,
            is_stale: false,
        }
    }

    /// Adds a plain tick, where it is the first or the newest and all fits. `false` says that nothing
    /// was added.
    #[inline]
    pub(super) fn append(&mut self, tick: &Plain, price: Price, place: TickRef) -> bool {
        let is_first = self.n_trades == 0;
        let is_newest = tick.time > self.prices.last.time || is_out(Safeguard::NewestInOrder);
        if self.is_wide || !(is_first || is_newest) {
            return false;
        }
        let volume = self.volume.checked_add(tick.size.into());
        let notional = self.notional.checked_add(tick.value());
        let (Some(volume), Some(notional), Some(n_trades)) =
            (volume, notional, self.n_trades.checked_add(1))
        else {
            return false;
        };
        (self.volume, self.notional, self.n_trades) = (volume, notional, n_trades);
        let end = End { time: tick.time, price, tick: place };
        if is_first {
            self.prices = Prices { first: end, last: end, high: price, low: price };
            return true;
        }
        self.prices.high = self.prices.high.max(price);
        self.prices.low = self.prices.low.min(price);
        self.prices.last = end;
        true
    }

    /// Counts ticks in or out.
    ///
    /// # Panics
    /// If more are taken out than are held.
    pub(super) fn count(&mut self, times: i64) {
        let n = self.n_trades.checked_add_signed(times);
        self.n_trades = n.expect("removals are of rows that are held");
    }

    /// Adds to the sums; `None` where they, or the tick's value, don't fit.
    #[inline]
    pub(super) fn add(&mut self, tick: &Tick, times: i64) -> Option<()> {
        if self.is_wide {
            return None;
        }
        let (size, value) = (tick.size, tick.value?);
        let (size, value) = match times {
            1 => (size, value),
            _ => (size.checked_mul(times.into())?, value.checked_mul(times.into())?),
        };
        let (volume, notional) =
            (self.volume.checked_add(size)?, self.notional.checked_add(value)?);
        (self.volume, self.notional) = (volume, notional);
        Some(())
    }

    /// The sums, where they are kept here.
    pub(super) const fn sums(&self) -> (i128, i128) {
        (self.volume, self.notional)
    }

    pub(super) const fn clear_sums(&mut self) {
        (self.volume, self.notional, self.is_wide) = (0, 0, false);
    }
}

/// The prices of a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    pub(super) first: End,
    pub(super) last: End,
    pub(super) high: Price,
    pub(super) low: Price,
}

impl Prices {
    /// Those of one tick.
    pub(super) const fn of_tick(tick: &Tick, place: TickRef) -> Self {
        let end = End { time: tick.time, price: tick.price, tick: place };
        Self { first: end, last: end, high: tick.price, low: tick.price }
    }

    /// Takes in the prices of another tick, or of another part of a bar.
    #[inline]
    pub(super) fn widen(&mut self, other: &Self, ties: Ties<'_>) {
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        if ties.order(other.first, self.first).is_lt() {
            self.first = other.first;
        }
        if ties.order(other.last, self.last).is_gt() {
            self.last = other.last;
        }
    }
}

impl WideSums {
    pub(super) fn new(volume: i128, notional: i128) -> Self {
        Self { volume: volume.into(), notional: notional.into(), n_unfit: 0 }
    }

    pub(super) fn add(&mut self, tick: &Tick, times: i64) {
        let wide = |raw: i128| I256::from(raw) * I256::from(times);
        self.volume += wide(tick.size);
        self.notional += wide(tick.value.unwrap_or_default());
        self.n_unfit += if tick.value.is_none() { times } else { 0 };
    }
}
