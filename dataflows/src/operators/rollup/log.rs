//! All ticks of a worker in the order in which they came: a log of narrow records in pieces that
//! don't move. The ticks of a cell (an asset's bucket of the smallest size) are linked backwards, so
//! that taking one in writes one record and touches no other.

use types::sabotage::{Safeguard, is_out};
use types::{Sym, VenueTime};

use super::tick::{Tick, product};

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TickRef(u32);

impl TickRef {
    /// The end of a chain.
    pub(super) const NONE: Self = Self(u32::MAX);
    /// Set in places among the wide records.
    const WIDE: u32 = 1 << 31;
}

/// A tick as nearly all are: in 40 bytes.
struct Narrow {
    size: u64,
    id: u64,
    /// The time after the cell's start in its low bits, `seq` above.
    offset_seq: u64,
    /// 54 bits, and the upper 10 of the offset's 42.
    price_offset: u64,
    previous: TickRef,
    wallet: Option<Sym>,
}

const _: () = assert!(size_of::<Narrow>() == 40, "millions of ticks are kept");

/// A tick with a number that a narrow record can't hold.
struct Wide {
    tick: Tick,
    previous: TickRef,
}

/// Bits of a narrow price.
const PRICE_BITS: u32 = 54;
/// Bits of a narrow offset, in nanoseconds: 73 minutes.
const OFFSET_BITS: u32 = 42;

impl Narrow {
    /// Packs a tick; `None` where a number is too large, or the value isn't price x size.
    fn new(tick: &Tick, cell: VenueTime, previous: TickRef) -> Option<Self> {
        let size = u64::try_from(tick.size).ok()?;
        let id = u64::try_from(tick.id).ok()?;
        let seq = u32::try_from(tick.seq).ok()?;
        let price = u64::try_from(tick.price).ok()?;
        let offset = u64::try_from(tick.time.nanos().checked_sub(cell.nanos())?).ok()?;
        let fits = price >> PRICE_BITS == 0
            && offset >> OFFSET_BITS == 0
            && (tick.value == product(tick.price, tick.size) || is_out(Safeguard::NarrowValue));
        fits.then_some(Self {
            size,
            id,
            offset_seq: (offset & u64::from(u32::MAX)) | (u64::from(seq) << 32),
            price_offset: price | ((offset >> 32) << PRICE_BITS),
            previous,
            wallet: tick.wallet,
        })
    }

    fn tick(&self, cell: VenueTime) -> Tick {
        let signed = |bits: u64| i64::try_from(bits).unwrap_or_default();
        let low = self.offset_seq & u64::from(u32::MAX);
        let offset = signed(low | (self.price_offset >> PRICE_BITS << 32));
        let price = signed(self.price_offset & ((1 << PRICE_BITS) - 1));
        let size = i128::from(self.size);
        Tick {
            time: VenueTime::from_nanos(cell.nanos() + offset),
            seq: self.offset_seq >> 32,
            id: self.id.into(),
            wallet: self.wallet,
            price,
            size,
            value: product(price, size),
        }
    }
}

/// A list in pieces, so that it grows without moving what it holds.
struct Pieces<T> {
    full: Vec<Vec<T>>,
    last: Vec<T>,
}

/// Records in a piece.
const PIECE: usize = 1 << 12;

impl<T> Pieces<T> {
    const fn new() -> Self {
        Self { full: Vec::new(), last: Vec::new() }
    }

    /// Adds a record; gives its index.
    fn push(&mut self, record: T) -> usize {
        if self.last.len() == PIECE {
            self.full.push(std::mem::take(&mut self.last));
        }
        if self.last.capacity() == 0 {
            // The first grows from small, so that a view without much input costs little.
            self.last.reserve_exact(if self.full.is_empty() { 16 } else { PIECE });
        }
        self.last.push(record);
        self.full.len() * PIECE + self.last.len() - 1
    }

    fn get(&self, index: usize) -> &T {
        self.full
            .get(index / PIECE)
            .unwrap_or(&self.last)
            .get(index % PIECE)
            .expect("a place of the log")
    }

    fn get_mut(&mut self, index: usize) -> &mut T {
        let piece = self.full.get_mut(index / PIECE).unwrap_or(&mut self.last);
        piece.get_mut(index % PIECE).expect("a place of the log")
    }
}

/// The ticks of a worker.
pub(super) struct TickLog {
    narrow: Pieces<Narrow>,
    wide: Pieces<Wide>,
}

impl TickLog {
    pub(super) const fn new() -> Self {
        Self { narrow: Pieces::new(), wide: Pieces::new() }
    }

    /// Adds a tick to a cell's chain, whose start and newest tick are given; gives the new newest.
    ///
    /// # Panics
    /// From the 2^31st tick on.
    pub(super) fn push(&mut self, tick: &Tick, cell: VenueTime, previous: TickRef) -> TickRef {
        let (index, kind) = match Narrow::new(tick, cell, previous) {
            Some(narrow) => (self.narrow.push(narrow), 0),
            None => (self.wide.push(Wide { tick: *tick, previous }), TickRef::WIDE),
        };
        let index = u32::try_from(index).ok().filter(|index| index + 1 < TickRef::WIDE);
        TickRef(index.expect("fewer than 2^31 ticks on a worker") | kind)
    }

    /// The tick at a place and the one before it in its chain.
    pub(super) fn get(&self, place: TickRef, cell: VenueTime) -> (Tick, TickRef) {
        if place.0 & TickRef::WIDE == 0 {
            let narrow = self.narrow.get(index(place));
            (narrow.tick(cell), narrow.previous)
        } else {
            let wide = self.wide.get(index(place));
            (wide.tick, wide.previous)
        }
    }

    /// Links a tick to another one before it.
    pub(super) fn relink(&mut self, place: TickRef, previous: TickRef) {
        if place.0 & TickRef::WIDE == 0 {
            self.narrow.get_mut(index(place)).previous = previous;
        } else {
            self.wide.get_mut(index(place)).previous = previous;
        }
    }

    /// The ticks of a chain from its newest on, each with its place.
    pub(super) fn chain(
        &self,
        newest: TickRef,
        cell: VenueTime,
    ) -> impl Iterator<Item = (TickRef, Tick)> {
        let mut place = newest;
        std::iter::from_fn(move || {
            if place == TickRef::NONE {
                return None;
            }
            let (tick, previous) = self.get(place, cell);
            Some((std::mem::replace(&mut place, previous), tick))
        })
    }
}

fn index(place: TickRef) -> usize {
    usize::try_from(place.0 & !TickRef::WIDE).unwrap_or(usize::MAX)
}
