//! Bars, from all trades at once.

use std::collections::{BTreeMap, BTreeSet};

use types::relations::{Bar, Relation};
use types::{AssetId, Money, Names, Price, Schema, ShortText, Size, Span, VenueTime};

use super::place;

/// The bars of some rows. `read` gives a row's asset, price, size and value, `None` for what is no
/// trade at a price. A bar that overflows is left out.
///
/// # Panics
/// If a size isn't a length of time.
pub fn rollup<R: Relation>(
    rows: &[R],
    read: impl Fn(&R) -> Option<(AssetId, Price, Size, Option<Money>)>,
    sizes: &[&str],
    watermark: VenueTime,
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Bar> {
    let mut buckets: BTreeMap<(AssetId, &str, VenueTime), Vec<&R>> = BTreeMap::new();
    for row in rows {
        let Some((asset, ..)) = read(row) else { continue };
        let Some((time, ..)) = place(row, schema, names) else { continue };
        for size in sizes {
            let span = Span::parse(size).expect("a length of time");
            buckets.entry((asset, size, time.bucket(span))).or_default().push(row);
        }
    }
    let bar = |((asset, size, bucket), mut rows): ((AssetId, &str, VenueTime), Vec<&R>)| {
        rows.sort_by_key(|row| place(*row, schema, names));
        let trades: Vec<_> = rows.iter().filter_map(|row| read(row)).collect();
        let prices: Vec<Price> = trades.iter().map(|trade| trade.1).collect();
        let volume = exact_sum(trades.iter().map(|trade| Some(trade.2.raw())))?;
        let notional = exact_sum(trades.iter().map(|trade| trade.3.map(Money::raw)))?;
        let end = bucket.nanos() + Span::parse(size)?.nanos();
        Some(Bar {
            asset,
            size: ShortText::new(size)?,
            bucket,
            open: *prices.first()?,
            high: *prices.iter().max()?,
            low: *prices.iter().min()?,
            close: *prices.last()?,
            volume: Size::from_nano(volume)?,
            notional: Money::from_raw(notional),
            n_trades: u64::try_from(prices.len()).ok()?,
            is_final: end <= watermark.nanos(),
        })
    };
    buckets.into_iter().filter_map(bar).collect()
}

/// The sum; `None` where a part is missing or the sum doesn't fit. Halves are summed apart, so that
/// the order of the parts can't matter.
fn exact_sum(parts: impl Iterator<Item = Option<i128>>) -> Option<i128> {
    const HALF: i128 = 1 << 64;
    let (mut high, mut low) = (0i128, 0i128);
    for part in parts {
        let part = part?;
        high += part.div_euclid(HALF);
        low += part.rem_euclid(HALF);
    }
    (high + low.div_euclid(HALF)).checked_mul(HALF)?.checked_add(low.rem_euclid(HALF))
}
