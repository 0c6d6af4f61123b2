//! The rows that stand for bars.

use std::sync::Arc;

use types::relations::Bar as BarRow;
use types::{Money, Price, Row, ShortText, Size, Value, VenueTime};

use super::bar::Bar;
use super::bars::{Bars, index};
use super::series::Slot;

/// A bar, or what stands in `errors` in its place.
pub(super) type Shown = Result<BarRow, Row>;

impl Bars {
    /// What stands for a bar at a watermark: nothing for an empty one, and for a cell that only
    /// divides ticks.
    #[inline]
    pub(super) fn shown(&self, slot: Slot, level: usize, watermark: VenueTime) -> Option<Shown> {
        let size = self.levels[level].size?;
        let bar = &self.slots[index(slot)];
        if bar.n_trades == 0 {
            return None;
        }
        let (volume, notional) = self.sums(slot, bar);
        let (Some(volume), Some(notional)) = (volume, notional) else {
            let reason =
                if volume.is_none() { "overflow of volume" } else { "overflow of notional" };
            return Some(Err(self.error(bar, size, reason)));
        };
        Some(Ok(BarRow {
            asset: self.assets[index(bar.series)],
            size,
            bucket: bar.start,
            open: price(bar.prices.first.price),
            high: price(bar.prices.high),
            low: price(bar.prices.low),
            close: price(bar.prices.last.price),
            volume,
            notional,
            n_trades: bar.n_trades,
            is_final: self.levels[level].end(bar.start) <= watermark,
        }))
    }

    /// Volume and notional, where they fit.
    fn sums(&self, slot: Slot, bar: &Bar) -> (Option<Size>, Option<Money>) {
        if !bar.is_wide {
            let (volume, notional) = bar.sums();
            return (Size::from_nano(volume), Some(Money::from_raw(notional)));
        }
        let wide = self.wide.get(&slot).copied().unwrap_or_default();
        let volume = i128::try_from(wide.volume).ok().and_then(Size::from_nano);
        let notional = i128::try_from(wide.notional).ok().filter(|_| wide.n_unfit == 0);
        (volume, notional.map(Money::from_raw))
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

/// A price that came from one.
fn price(raw: i64) -> Price {
    Price::from_nano(raw.into()).unwrap_or_default()
}
