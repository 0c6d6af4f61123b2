//! The slow, obvious twin of [`super::bars`]: the same rows of each epoch from ordered trees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ethnum::I256;
use rustc_hash::FxHashMap;
use types::changes::consolidate;
use types::relations::Bar;
use types::{AssetId, Money, Names, Price, Row, ShortText, Size, Span, Value, VenueTime};

use self::ticks::{Print, Tick};

pub(super) mod ticks;

/// A bar, or what stands in `errors` in its place.
pub(super) type Shown = Result<Bar, Row>;

/// All bars of a worker.
pub(super) struct Bars {
    sizes: Vec<(Span, ShortText)>,
    names: Arc<Names>,
    /// The watermark of the epoch at hand.
    pub(super) watermark: VenueTime,
    assets: FxHashMap<AssetId, Asset>,
    /// Buckets that aren't final, by their end.
    open: BTreeSet<(VenueTime, Place)>,
    /// What the buckets touched in this epoch showed before it. The smallest sizes come first, so
    /// that larger ones can be rebuilt from them.
    touched: BTreeMap<Place, Option<Shown>>,
}

/// Where a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Index among the sizes, which ascend.
    size: usize,
    asset: AssetId,
    start: VenueTime,
}

/// One asset's ticks, with their multiplicity, and its buckets by size.
struct Asset {
    ticks: BTreeMap<Tick, u64>,
    buckets: Vec<BTreeMap<VenueTime, Bucket>>,
}

/// What is kept of a bucket; first and last price are read from the ticks.
#[derive(Clone, Default)]
struct Bucket {
    high: Price,
    low: Price,
    volume: I256,
    notional: I256,
    n_trades: u64,
    /// Ticks whose value doesn't fit.
    n_unfit: u64,
    is_final: bool,
    /// Whether a tick at the high or low was removed.
    is_stale: bool,
}

impl Bars {
    pub(super) fn new(sizes: Vec<(Span, ShortText)>, names: Arc<Names>) -> Self {
        Self {
            sizes,
            names,
            watermark: VenueTime::MIN,
            assets: FxHashMap::default(),
            open: BTreeSet::new(),
            touched: BTreeMap::new(),
        }
    }

    /// Takes an epoch's changes in.
    pub(super) fn take(&mut self, mut prints: Vec<(Print, isize)>) {
        if prints.iter().any(|(_, diff)| *diff < 0) {
            consolidate(&mut prints);
        }
        for (print, diff) in prints {
            let tick = print.tick(&self.names);
            for size in 0..self.sizes.len() {
                self.change_bucket(size, print.asset, &tick, diff);
            }
            self.asset(print.asset).change(tick, diff);
        }
        self.close();
    }

    fn asset(&mut self, asset: AssetId) -> &mut Asset {
        let n_sizes = self.sizes.len();
        self.assets.entry(asset).or_insert_with(|| Asset {
            ticks: BTreeMap::new(),
            buckets: vec![BTreeMap::new(); n_sizes],
        })
    }

    fn change_bucket(&mut self, size: usize, asset: AssetId, tick: &Tick, diff: isize) {
        let span = self.sizes[size].0;
        let place = Place { size, asset, start: tick.time.bucket(span) };
        self.touch(place);
        let end = place.start.plus(span);
        let is_final = end <= self.watermark;
        let bucket = self.asset(asset).buckets[size].entry(place.start).or_insert_with(|| Bucket {
            high: tick.price,
            low: tick.price,
            is_final,
            ..Bucket::default()
        });
        let opens = bucket.n_trades == 0 && !bucket.is_final;
        bucket.change(tick, diff);
        if opens {
            self.open.insert((end, place));
        }
    }

    /// Remembers what a bucket showed before this epoch.
    fn touch(&mut self, place: Place) {
        if !self.touched.contains_key(&place) {
            let shown = self.shown(place);
            self.touched.insert(place, shown);
        }
    }

    /// Makes buckets final whose end the watermark has reached.
    fn close(&mut self) {
        while let Some((end, place)) = self.open.first().copied() {
            if end > self.watermark {
                break;
            }
            self.open.pop_first();
            self.touch(place);
            if let Some(bucket) = self.asset(place.asset).buckets[place.size].get_mut(&place.start)
            {
                bucket.is_final = true;
            }
        }
    }

    /// Tells what the epoch changed.
    pub(super) fn tell(&mut self, mut tell: impl FnMut(Shown, isize)) {
        for (place, old) in std::mem::take(&mut self.touched) {
            self.refresh(place);
            let new = self.shown(place);
            if old != new {
                if let Some(old) = old {
                    tell(old, -1);
                }
                if let Some(new) = new {
                    tell(new, 1);
                }
            }
        }
    }

    /// Drops an emptied bucket, or finds its high and low anew where a removal hid them.
    fn refresh(&mut self, place: Place) {
        let span = self.sizes[place.size].0;
        let end = place.start.plus(span);
        let smallest = self.sizes[0].0;
        let Some(asset) = self.assets.get_mut(&place.asset) else { return };
        let Some(bucket) = asset.buckets[place.size].get(&place.start) else { return };
        if bucket.n_trades == 0 {
            self.open.remove(&(end, place));
            asset.buckets[place.size].remove(&place.start);
        } else if bucket.is_stale {
            let from_smallest = place.size > 0
                && span.nanos() % smallest.nanos() == 0
                && place.start.bucket(smallest) == place.start;
            let extremes = if from_smallest {
                let parts = asset.buckets[0].range(place.start..end);
                extremes(parts.map(|(_, part)| (part.low, part.high)))
            } else {
                extremes(asset.ticks_in(place.start, end).map(|tick| (tick.price, tick.price)))
            };
            if let (Some(bucket), Some((low, high))) =
                (asset.buckets[place.size].get_mut(&place.start), extremes)
            {
                (bucket.low, bucket.high, bucket.is_stale) = (low, high, false);
            }
        }
    }

    /// What stands for a bucket.
    fn shown(&self, place: Place) -> Option<Shown> {
        let (span, size) = &self.sizes[place.size];
        let asset = self.assets.get(&place.asset)?;
        let bucket = asset.buckets[place.size].get(&place.start)?;
        let end = place.start.plus(*span);
        let mut ticks = asset.ticks_in(place.start, end);
        let first = ticks.next()?;
        let last = ticks.next_back().unwrap_or(first);
        let bar = |volume, notional| Bar {
            asset: place.asset,
            size: *size,
            bucket: place.start,
            open: first.price,
            high: bucket.high,
            low: bucket.low,
            close: last.price,
            volume,
            notional,
            n_trades: bucket.n_trades,
            is_final: bucket.is_final,
        };
        let volume = i128::try_from(bucket.volume).ok().and_then(Size::from_nano);
        let notional = i128::try_from(bucket.notional).ok().filter(|_| bucket.n_unfit == 0);
        Some(match (volume, notional) {
            (Some(volume), Some(notional)) => Ok(bar(volume, Money::from_raw(notional))),
            (None, _) => Err(self.error(place, *size, "overflow of volume")),
            (_, None) => Err(self.error(place, *size, "overflow of notional")),
        })
    }

    fn error(&self, place: Place, size: ShortText, reason: &'static str) -> Row {
        let names = &self.names;
        Row(Arc::from([
            Value::from(names.text(names.venue(place.asset))),
            Value::from(names.text(names.asset(place.asset))),
            Value::from(&size),
            Value::from(place.start),
            Value::word(reason),
        ]))
    }
}

impl Asset {
    fn change(&mut self, tick: Tick, diff: isize) {
        use std::collections::btree_map::Entry;
        let more = |n: u64| {
            n.checked_add_signed(diff_of(diff)).expect("removals are of rows that are held")
        };
        match self.ticks.entry(tick) {
            Entry::Vacant(vacant) => {
                vacant.insert(more(0));
            }
            Entry::Occupied(mut held) => match more(*held.get()) {
                0 => drop(held.remove()),
                n => *held.get_mut() = n,
            },
        }
    }

    fn ticks_in(&self, start: VenueTime, end: VenueTime) -> impl DoubleEndedIterator<Item = &Tick> {
        let bounds = (Bound::Included(Tick::before(start)), Bound::Excluded(Tick::before(end)));
        self.ticks.range(bounds).map(|(tick, _)| tick)
    }
}

impl Bucket {
    fn change(&mut self, tick: &Tick, diff: isize) {
        let times = diff_of(diff);
        let wide = |raw: i128| I256::from(raw) * I256::from(times);
        self.volume += wide(tick.size.raw());
        let n_unfit = if tick.value.is_none() { times } else { 0 };
        self.notional += wide(tick.value.map_or(0, Money::raw));
        let add = |n: u64, more| n.checked_add_signed(more).expect("removals are of rows held");
        self.n_unfit = add(self.n_unfit, n_unfit);
        if diff < 0 {
            self.is_stale |= tick.price == self.high || tick.price == self.low;
        } else if self.n_trades == 0 {
            (self.high, self.low, self.is_stale) = (tick.price, tick.price, false);
        } else {
            self.high = self.high.max(tick.price);
            self.low = self.low.min(tick.price);
        }
        self.n_trades = add(self.n_trades, times);
    }
}

/// The least low and the greatest high.
fn extremes(pairs: impl Iterator<Item = (Price, Price)>) -> Option<(Price, Price)> {
    pairs.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// A multiplicity at 64 bits.
fn diff_of(diff: isize) -> i64 {
    i64::try_from(diff).expect("a multiplicity fits 64 bits")
}
