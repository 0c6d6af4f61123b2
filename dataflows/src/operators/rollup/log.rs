//! All ticks of a worker in the order in which they came: a log of narrow records in pieces that
//! don't move. The ticks of a cell (an asset's bucket of the smallest size) are linked backwards, so
//! that taking one in writes one record and touches no other.

use types::{Sym, VenueTime};

use super::tick::{PRICE_BITS, Plain, Tick};

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TickRef(u32);

impl TickRef {
    /// The end of a chain.
    pub(super) const NONE: Self = Self(u32::MAX);
    /// Set in places among the wide records.
    const WIDE: u32 = 1 << 31;

    fn of(index: usize) -> Self {
        let index = u32::try_from(index).ok().filter(|index| index + 1 < Self::WIDE);
        Self(index.expect("fewer than 2^31 ticks on a worker"))
    }
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

/// Bits of a narrow offset, in nanoseconds: 73 minutes.
const OFFSET_BITS: u32 = 42;

impl Narrow {
    /// Packs a tick; `None` where it is too far behind its cell's start.
    #[inline]
    fn new(tick: &Plain, cell: VenueTime, previous: TickRef) -> Option<Self> {
        let offset = tick.time.nanos().wrapping_sub(cell.nanos()).cast_unsigned();
        (offset >> OFFSET_BITS == 0).then_some(Self {
            size: tick.size,
            id: tick.id,
            offset_seq: (offset & u64::from(u32::MAX)) | (u64::from(tick.seq) << 32),
            price_offset: tick.price | ((offset >> 32) << PRICE_BITS),
            previous,
            wallet: tick.wallet,
        })
    }

    fn plain(&self, cell: VenueTime) -> Plain {
        let low = self.offset_seq & u64::from(u32::MAX);
        let offset = low | (self.price_offset >> PRICE_BITS << 32);
        Plain {
            time: VenueTime::from_nanos(cell.nanos().wrapping_add(offset.cast_signed())),
            price: self.price_offset & ((1 << PRICE_BITS) - 1),
            size: self.size,
            id: self.id,
            seq: u32::try_from(self.offset_seq >> 32).unwrap_or_default(),
            wallet: self.wallet,
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
        if let Some(plain) = tick.plain() {
            return self.push_plain(&plain, cell, previous);
        }
        self.push_wide(*tick, previous)
    }

    /// As [`TickLog::push`].
    #[inline]
    pub(super) fn push_plain(
        &mut self,
        tick: &Plain,
        cell: VenueTime,
        previous: TickRef,
    ) -> TickRef {
        match Narrow::new(tick, cell, previous) {
            Some(narrow) => TickRef::of(self.narrow.push(narrow)),
            None => self.push_wide(tick.tick(), previous),
        }
    }

    #[cold]
    fn push_wide(&mut self, tick: Tick, previous: TickRef) -> TickRef {
        TickRef(TickRef::of(self.wide.push(Wide { tick, previous })).0 | TickRef::WIDE)
    }

    /// The tick at a place and the one before it in its chain.
    pub(super) fn get(&self, place: TickRef, cell: VenueTime) -> (Tick, TickRef) {
        if place.0 & TickRef::WIDE == 0 {
            let narrow = self.narrow.get(index(place));
            (narrow.plain(cell).tick(), narrow.previous)
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
