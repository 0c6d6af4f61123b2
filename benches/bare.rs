//! The bare loops: a hash map and plain integers over the same events, with nothing kept, so that
//! nothing could be corrected.

use std::hint::black_box;

use dataflows::inputs::Events;
use rustc_hash::FxHashMap;
use tapeline::ingest::Batch;
use types::relations::{Fill, Side};
use types::{AssetId, Span, Sym};

/// How long bars are: those of the bench's config.
const BAR_SIZES: [&str; 3] = ["1m", "1h", "1d"];

/// The fills of all epochs, in order.
fn fills(batches: &[Batch]) -> impl Iterator<Item = &Fill> {
    let events = batches.iter().flat_map(|batch| batch.events.iter());
    let fills = events.filter_map(|events| match events {
        Events::Fills(fills) => Some(fills),
        _ => None,
    });
    fills.flatten().map(|event| &event.row)
}

/// Average cost as a newcomer would write it; gives the number of positions.
pub(crate) fn positions(batches: &[Batch]) -> usize {
    #[derive(Default)]
    struct Position {
        qty: i128,
        cost: i128,
        realized: i128,
    }
    let mut positions: FxHashMap<(Sym, AssetId), Position> = FxHashMap::default();
    for fill in fills(batches) {
        let position = positions.entry((fill.wallet, fill.asset)).or_default();
        let size = fill.size.raw();
        let notional = fill.price.map_or(0, |price| i128::from(price.raw()) * size);
        let sign = if fill.side == Side::Buy { 1 } else { -1 };
        let held = position.qty * sign;
        let closed = size.min((-held).max(0));
        if closed > 0 {
            let removed = position.cost * closed / position.qty.abs();
            position.realized -= notional * closed / size * sign + removed;
            position.cost -= removed;
        }
        position.cost += notional * (size - closed) / size * sign;
        position.qty += size * sign;
    }
    black_box(&positions).len()
}

/// Bars of all sizes as a newcomer would write them; gives their number.
pub(crate) fn bars(batches: &[Batch]) -> usize {
    #[derive(Default)]
    struct Bar {
        /// Open, high, low, close.
        prices: [i64; 4],
        volume: i128,
        notional: i128,
        n_trades: u64,
    }
    let sizes = BAR_SIZES.map(|size| Span::parse(size).expect("a length"));
    let mut bars: FxHashMap<(AssetId, usize, i64), Bar> = FxHashMap::default();
    for fill in fills(batches) {
        let price = fill.price.map_or(0, types::Price::raw);
        for (level, size) in sizes.iter().enumerate() {
            let bucket = fill.event_time.bucket(*size).nanos();
            let bar = bars.entry((fill.asset, level, bucket)).or_default();
            let [open, high, low, _] = bar.prices;
            bar.prices = match bar.n_trades {
                0 => [price; 4],
                _ => [open, high.max(price), low.min(price), price],
            };
            bar.volume += fill.size.raw();
            bar.notional += i128::from(price) * fill.size.raw();
            bar.n_trades += 1;
        }
    }
    black_box(&bars).len()
}
