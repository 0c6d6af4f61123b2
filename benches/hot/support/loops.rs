//! The loops that one would write by hand instead of using an engine: hash maps and 128-bit integers
//! over events that are parsed and in memory. Nothing is kept, so nothing can be corrected: a late
//! fill is folded where it comes, a cancellation is passed over. Over the events in order and without
//! those that are cancelled they give the rows that an engine must end with.
//!
//! Arithmetic is checked (the profile's `overflow-checks`), shares are rounded half-even.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use super::stream::Fill;

/// A hash map with one multiplication a key.
pub(crate) type Map<V> = HashMap<u64, V, BuildHasherDefault<Mix>>;

/// Hashes a number: both halves of its product with an odd constant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        let wide = u128::from(number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = low(wide) ^ low(wide >> 64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) fn low(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or_default()
}

/// What a wallet holds of an asset. Size in units of 1e-9, money of 1e-18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) qty: i128,
    pub(crate) cost: i128,
    pub(crate) realized: i128,
    pub(crate) fees: i128,
}

impl Position {
    /// Average cost: what adds to the position adds its value; what closes takes its share of the
    /// cost off; what is left of a fill that crosses zero opens the other way.
    #[inline]
    pub(crate) fn take(&mut self, fill: &Fill) {
        let (size, value) = (i128::from(fill.size), i128::from(fill.price) * i128::from(fill.size));
        let (delta, signed) = if fill.is_buy { (size, value) } else { (-size, -value) };
        self.fees += i128::from(fill.fee) * 1_000_000_000;
        if self.qty == 0 || (self.qty < 0) == (delta < 0) {
            self.qty += delta;
            self.cost += signed;
            return;
        }
        let held = self.qty.abs();
        let closed = held.min(size);
        let fetched = share(signed, closed, size);
        let removed = share(self.cost, closed, held);
        self.realized -= fetched + removed;
        self.cost -= removed;
        if size > held {
            self.cost += signed - fetched;
        }
        self.qty += delta;
    }
}

/// `amount x part / whole`, half-even; `part` isn't above `whole`.
#[inline]
fn share(amount: i128, part: i128, whole: i128) -> i128 {
    if part == whole {
        return amount;
    }
    let magnitude = amount.unsigned_abs();
    let (part, whole) = (u64::try_from(part), u64::try_from(whole));
    let (Ok(part), Ok(whole)) = (part, whole) else {
        return wide_share(amount, part.is_ok(), whole.is_ok());
    };
    // 192 bits over 64 in two steps; the quotient isn't above the amount, so it fits.
    let (part, whole) = (u128::from(part), u128::from(whole));
    let lower = u128::from(low(magnitude)) * part;
    let upper = (magnitude >> 64) * part + (lower >> 64);
    let (first, rest) = match (u64::try_from(upper), u64::try_from(whole)) {
        (Ok(upper), Ok(whole)) => (u128::from(upper / whole), u128::from(upper % whole)),
        _ => (upper / whole, upper % whole),
    };
    let rest = (rest << 64) | u128::from(low(lower));
    let second = rest / whole;
    let rest = rest - second * whole;
    let mut quotient = (first << 64) + second;
    let twice = rest * 2;
    if twice > whole || (twice == whole && quotient % 2 == 1) {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).expect("a share isn't above the whole");
    if amount < 0 { -quotient } else { quotient }
}

/// A position of more than 1.8e10 units: these events have none.
#[cold]
fn wide_share(amount: i128, part_fits: bool, whole_fits: bool) -> i128 {
    panic!("a share of {amount}: part fits {part_fits}, whole fits {whole_fits}")
}

/// Average cost by wallet and asset.
#[derive(Default)]
pub(crate) struct Positions(Map<Position>);

impl Positions {
    #[inline]
    pub(crate) fn take(&mut self, fill: &Fill) {
        let key = (u64::from(fill.wallet) << 32) | u64::from(fill.asset);
        self.0.entry(key).or_default().take(fill);
    }

    /// Rows by (wallet, asset).
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, u32, &Position)> {
        self.0.iter().map(|(key, position)| {
            let (wallet, asset) = halves(*key);
            (wallet, asset, position)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The upper and the lower 32 bits.
fn halves(key: u64) -> (u32, u32) {
    let upper = u32::try_from(key >> 32).expect("32 bits");
    (upper, u32::try_from(key & u64::from(u32::MAX)).expect("32 bits"))
}

/// The lengths of the bars, in nanoseconds: a minute, an hour, a day.
pub(crate) const BAR_SIZES: [i64; 3] = [60_000_000_000, 3_600_000_000_000, 86_400_000_000_000];

/// A bar. Prices and volume in units of 1e-9, notional of 1e-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i128,
    pub(crate) notional: i128,
    pub(crate) n_trades: u64,
}

/// Bars of all lengths by asset and bucket.
#[derive(Default)]
pub(crate) struct Bars(Map<Bar>);

impl Bars {
    #[inline]
    pub(crate) fn take(&mut self, fill: &Fill) {
        let (price, volume) = (fill.price, i128::from(fill.size));
        let notional = i128::from(price) * volume;
        for (level, size) in (0_u64..).zip(BAR_SIZES) {
            let key = bar_key(fill.asset, level, fill.time / size);
            let bar = self.0.entry(key).or_insert(Bar {
                open: price,
                high: price,
                low: price,
                close: price,
                volume: 0,
                notional: 0,
                n_trades: 0,
            });
            bar.high = bar.high.max(price);
            bar.low = bar.low.min(price);
            bar.close = price;
            bar.volume += volume;
            bar.notional += notional;
            bar.n_trades += 1;
        }
    }

    /// Rows by (asset, level, start).
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, usize, i64, &Bar)> {
        self.0.iter().map(|(key, bar)| {
            let (upper, bucket) = halves(*key);
            let level = usize::try_from(upper & 3).expect("two bits");
            (upper >> 2, level, i64::from(bucket) * BAR_SIZES[level], bar)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Asset, level and number of the bucket since 1970 in one word.
#[inline]
fn bar_key(asset: u32, level: u64, bucket: i64) -> u64 {
    let bucket = u32::try_from(bucket).expect("minutes since 1970 fit 32 bits");
    (((u64::from(asset) << 2) | level) << 32) | u64::from(bucket)
}

/// The bare loop of positions over events in the order of their arrival.
pub(crate) fn positions(fills: &[Fill]) -> Positions {
    let mut positions = Positions::default();
    for fill in fills.iter().filter(|fill| !fill.is_bust) {
        positions.take(fill);
    }
    positions
}

/// The loop of bars.
pub(crate) fn bars(fills: &[Fill]) -> Bars {
    let mut bars = Bars::default();
    for fill in fills.iter().filter(|fill| !fill.is_bust) {
        bars.take(fill);
    }
    bars
}

/// The loop that does both.
pub(crate) fn positions_and_bars(fills: &[Fill]) -> (Positions, Bars) {
    let (mut positions, mut bars) = (Positions::default(), Bars::default());
    for fill in fills.iter().filter(|fill| !fill.is_bust) {
        positions.take(fill);
        bars.take(fill);
    }
    (positions, bars)
}

/// Cuts events into parts by a hash, each in the order of arrival: what two threads are given.
pub(crate) fn parts(fills: &[Fill], n: u64, hash: impl Fn(&Fill) -> u64) -> Vec<Vec<Fill>> {
    let of = |part: u64| fills.iter().filter(|fill| hash(fill) % n == part).copied().collect();
    (0..n).map(of).collect()
}
