//! The rows that stand for bars.

use std::sync::Arc;

use types::relations::Bar as BarRow;
use types::{Money, Price, Row, ShortText, Size, Value, VenueTime};

use super::bar::Bar;
use super::bars::{Bars, Touched, index};
use super::series::Slot;

/// What stands for a bar, beside what names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Figures {
    /// It is empty.
    Nothing,
    Row(Sums),
    /// A row of `errors`.
    Error(&'static str),
}

/// What the row of a bar says. What changes most is compared first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    n_trades: u64,
    volume: Size,
    notional: Money,
    open: Price,
    high: Price,
    low: Price,
    close: Price,
}

/// The changes of an epoch.
pub(super) struct Told {
    pub(super) epoch: u64,
    pub(super) bars: Vec<(BarRow, u64, isize)>,
    /// Of the rows of `errors`.
    pub(super) errors: Vec<(Row, u64, isize)>,
}

impl Told {
    pub(super) const fn new(epoch: u64) -> Self {
        Self { epoch, bars: Vec::new(), errors: Vec::new() }
    }

    /// Asks for room at once: for each bar, and for what stood before.
    pub(super) fn expect(&mut self, touched: &[Touched]) {
        let n_old = touched.iter().filter(|touched| touched.old != Figures::Nothing).count();
        self.bars.reserve_exact(touched.len() + n_old);
    }
}

impl Bars {
    /// What stands for a bar: nothing for a cell that only divides ticks.
    #[inline]
    pub(super) fn figures(&self, slot: Slot, bar: &Bar) -> Figures {
        if bar.n_trades == 0 {
            return Figures::Nothing;
        }
        if bar.is_wide {
            return self.wide_figures(slot, bar);
        }
        let (volume, notional) = bar.sums();
        match Size::from_nano(volume) {
            Some(volume) => Figures::Row(Sums::new(bar, volume, Money::from_raw(notional))),
            None => Figures::Error(VOLUME),
        }
    }

    /// As [`Bars::figures`], of a bar whose sums stand elsewhere.
    #[cold]
    fn wide_figures(&self, slot: Slot, bar: &Bar) -> Figures {
        let wide = self.wide.get(&slot).copied().unwrap_or_default();
        let volume = i128::try_from(wide.volume).ok().and_then(Size::from_nano);
        let notional = i128::try_from(wide.notional).ok().filter(|_| wide.n_unfit == 0);
        match (volume, notional) {
            (None, _) => Figures::Error(VOLUME),
            (_, None) => Figures::Error(NOTIONAL),
            (Some(volume), Some(notional)) => {
                Figures::Row(Sums::new(bar, volume, Money::from_raw(notional)))
            }
        }
    }

    /// Tells what an epoch made of a bar, given the watermark before it.
    #[inline]
    pub(super) fn tell(&self, touched: &Touched, watermark: VenueTime, told: &mut Told) {
        let level = &self.levels[touched.level];
        let Some(size) = level.size else { return };
        let bar = &self.slots[index(touched.slot)];
        let (old, new, end) = (&touched.old, self.figures(touched.slot, bar), level.end(bar.start));
        let (was_final, is_final) = (end <= watermark, end <= self.watermark);
        if *old == new && (was_final == is_final || !matches!(new, Figures::Row(_))) {
            return;
        }
        self.tell_one(bar, size, (old, was_final, -1), told);
        self.tell_one(bar, size, (&new, is_final, 1), told);
    }

    #[inline]
    fn tell_one(
        &self,
        bar: &Bar,
        size: ShortText,
        (figures, is_final, diff): (&Figures, bool, isize),
        told: &mut Told,
    ) {
        match figures {
            Figures::Nothing => {}
            Figures::Row(sums) => {
                let row = BarRow {
                    asset: self.assets[index(bar.series)],
                    size,
                    bucket: bar.start,
                    open: sums.open,
                    high: sums.high,
                    low: sums.low,
                    close: sums.close,
                    volume: sums.volume,
                    notional: sums.notional,
                    n_trades: sums.n_trades,
                    is_final,
                };
                told.bars.push((row, told.epoch, diff));
            }
            Figures::Error(reason) => {
                told.errors.push((self.error(bar, size, reason), told.epoch, diff));
            }
        }
    }

    #[cold]
    fn error(&self, bar: &Bar, size: ShortText, reason: &'static str) -> Row {
        let names = &self.names;
        let asset = self.assets[index(bar.series)];
        Row(Arc::from([
            Value::from(names.text(names.venue(asset))),
            Value::from(names.text(names.asset(asset))),
            Value::from(&size),
            Value::from(bar.start),
            Value::word(reason),
        ]))
    }
}

/// Reasons of `errors`.
const VOLUME: &str = "overflow of volume";
const NOTIONAL: &str = "overflow of notional";

impl Sums {
    #[inline]
    const fn new(bar: &Bar, volume: Size, notional: Money) -> Self {
        let prices = &bar.prices;
        Self {
            n_trades: bar.n_trades,
            volume,
            notional,
            open: prices.first.price,
            high: prices.high,
            low: prices.low,
            close: prices.last.price,
        }
    }
}
