//! The open history of keys with few events: one log a shard, linked from a key's newest event to
//! its oldest, so that a tiny history costs no allocation of its own.
//!
//! The log stands in blocks of events that came about together. A block may leave memory as one
//! piece: places stay what they are, and a key that goes on needs nothing of its older events. Who
//! reads a history reads its blocks' pieces; a block of which more than half is gone comes back, so
//! that its room is used again.

use std::cell::RefCell;
use std::rc::Rc;

use super::Fold;
use crate::cold::{Cold, Piece};
use crate::operators::slab::{NONE, index};

/// A block holds `1 << SHIFT` events; in the unit tests few, so that their short histories have many.
const SHIFT: u32 = if cfg!(test) { 2 } else { 7 };
const ROOM: usize = 1 << SHIFT;
/// Events of a block that are worth a piece, where it isn't full.
const FEW: usize = ROOM.div_ceil(8);

/// An event and the one before it.
#[derive(Clone, Copy)]
struct Linked<P> {
    event: P,
    older: u32,
}

/// A block of events. What an append needs stands in front.
#[repr(C)]
struct Block<P> {
    /// Empty and without room while the block isn't in memory.
    linked: Vec<Linked<P>>,
    /// Whether it was written to since it was last asked.
    is_warm: bool,
    /// Whether it is on the list of blocks with free places.
    is_listed: bool,
    /// The first place to use again; the next one is in its link.
    free: u32,
    n_free: u32,
    piece: Option<Piece>,
    /// Places that became free while the block isn't in memory.
    gone: Vec<u32>,
    n_places: u32,
}

/// Memory of blocks that left it, for the next ones of all shards: an allocator would keep much of it
/// beside.
type Spare<P> = Rc<RefCell<Vec<Vec<Linked<P>>>>>;

/// See the module.
pub(super) struct Log<F: Fold> {
    blocks: Vec<Block<F::Packed>>,
    /// Blocks with places to use again.
    listed: Vec<u32>,
    spare: Spare<F::Packed>,
    cold: Rc<Cold>,
}

impl<F: Fold> Log<F> {
    const LINKED: usize = size_of::<Linked<F::Packed>>();
    /// Bytes of an event and its link in a piece.
    const BYTES: usize = F::BYTES + 4;

    pub(super) fn new(cold: &Rc<Cold>) -> Self {
        let (spare, cold) = (Rc::default(), Rc::clone(cold));
        Self { blocks: Vec::new(), listed: Vec::new(), spare, cold }
    }

    /// A log of another shard of the same store.
    pub(super) fn beside(&self) -> Self {
        let (spare, cold) = (Rc::clone(&self.spare), Rc::clone(&self.cold));
        Self { blocks: Vec::new(), listed: Vec::new(), spare, cold }
    }

    /// Adds an event behind `older`; gives its place.
    #[inline]
    pub(super) fn push(&mut self, event: F::Packed, older: u32) -> u32 {
        let linked = Linked { event, older };
        if !self.listed.is_empty()
            && let Some(place) = self.reuse(linked)
        {
            return place;
        }
        let has_room = |block: &Block<_>| block.linked.len() < block.linked.capacity();
        if !self.blocks.last().is_some_and(has_room) {
            self.grow();
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        block.linked.push(linked);
        block.is_warm = true;
        let place = (number << SHIFT) + block.linked.len() - 1;
        u32::try_from(place).unwrap_or(NONE)
    }

    /// Puts an event where another was.
    #[inline(never)]
    fn reuse(&mut self, linked: Linked<F::Packed>) -> Option<u32> {
        while let Some(number) = self.listed.last().copied() {
            let block = &mut self.blocks[index(number)];
            if block.piece.is_none() && block.free != NONE {
                let place = block.free;
                let slot = &mut block.linked[index(place) & (ROOM - 1)];
                block.free = slot.older;
                block.n_free -= 1;
                block.is_warm = true;
                *slot = linked;
                return Some(place);
            }
            block.is_listed = false;
            self.listed.pop();
        }
        None
    }

    /// Makes room for events. The first block grows, so that small stores stay small.
    ///
    /// # Panics
    /// From 2^32 - 1 places on.
    #[cold]
    fn grow(&mut self) {
        let n_blocks = self.blocks.len();
        if let Some(last) = self.blocks.last_mut()
            && last.piece.is_none()
            && last.linked.capacity() < ROOM
        {
            let before = last.linked.capacity();
            last.linked.reserve_exact(before.max(4).min(ROOM - before));
            let after = last.linked.capacity();
            return self.cold.resize(before * Self::LINKED, after * Self::LINKED);
        }
        let first = u32::try_from(n_blocks << SHIFT).unwrap_or(NONE);
        assert!(first < NONE - (1 << SHIFT), "a shard's log has fewer than 2^32 - 1 places");
        let room = if n_blocks == 0 { ROOM.min(4) } else { ROOM };
        let spare = self.spare.borrow_mut().pop();
        let linked = spare.unwrap_or_else(|| Vec::with_capacity(room));
        self.cold.resize(0, linked.capacity() * Self::LINKED);
        self.blocks.push(Block {
            linked,
            free: NONE,
            n_free: 0,
            piece: None,
            gone: Vec::new(),
            n_places: 0,
            is_warm: true,
            is_listed: false,
        });
    }

    /// The event at a place.
    pub(super) fn get(&self, place: u32) -> F::Packed {
        self.newest_first(place).next().expect("a place of the log holds an event").1
    }

    /// The events of a key with their places, newest first.
    pub(super) fn newest_first(&self, newest: u32) -> impl Iterator<Item = (u32, F::Packed)> {
        let mut place = newest;
        // Neighbours are often of one block, which is then read once.
        let (mut bytes, mut held) = (Vec::new(), None);
        std::iter::from_fn(move || {
            if place == NONE {
                return None;
            }
            let here = place;
            let block = &self.blocks[index(place >> SHIFT)];
            let within = index(place) & (ROOM - 1);
            let linked = match block.piece {
                None => block.linked[within],
                Some(piece) => {
                    if held != Some(piece) {
                        self.cold.get(piece, &mut bytes);
                        held = Some(piece);
                    }
                    Self::read(&bytes[within * Self::BYTES..])
                }
            };
            place = linked.older;
            Some((here, linked.event))
        })
    }

    /// Frees the places of a key's events.
    pub(super) fn free(&mut self, places: impl IntoIterator<Item = u32>) {
        for place in places {
            let number = place >> SHIFT;
            let block = &mut self.blocks[index(number)];
            if block.piece.is_some() {
                block.gone.push(place);
                let n_gone = index(block.n_free) + block.gone.len();
                if n_gone * 2 > index(block.n_places) {
                    self.bring_back(number);
                }
                continue;
            }
            block.linked[index(place) & (ROOM - 1)].older =
                std::mem::replace(&mut block.free, place);
            block.n_free += 1;
            if !std::mem::replace(&mut block.is_listed, true) {
                self.listed.push(number);
            }
        }
    }

    /// Brings a block back into memory.
    fn bring_back(&mut self, number: u32) {
        let block = &mut self.blocks[index(number)];
        let Some(piece) = block.piece.take() else { return };
        let mut bytes = Vec::new();
        self.cold.get(piece, &mut bytes);
        self.cold.free(piece);
        block.linked = bytes.chunks_exact(Self::BYTES).map(Self::read).collect();
        self.cold.resize(0, block.linked.capacity() * Self::LINKED);
        block.is_warm = true;
        let gone = std::mem::take(&mut block.gone);
        self.free(gone);
    }

    /// Sends those blocks out of memory that weren't written to since this was last asked.
    pub(super) fn spill(&mut self) {
        let cold = Rc::clone(&self.cold);
        let few = if cold.is_bare() { 1 } else { FEW };
        for block in &mut self.blocks {
            let is_warm = std::mem::take(&mut block.is_warm);
            if block.piece.is_some() || is_warm || block.linked.len() < few {
                continue;
            }
            let mut linked = std::mem::take(&mut block.linked);
            block.n_places = u32::try_from(linked.len()).unwrap_or(NONE);
            block.piece = Some(cold.put(|bytes| {
                for linked in &linked {
                    F::write(&linked.event, bytes);
                    bytes.extend_from_slice(&linked.older.to_le_bytes());
                }
            }));
            cold.resize(linked.capacity() * Self::LINKED, 0);
            if linked.capacity() == ROOM {
                linked.clear();
                self.spare.borrow_mut().push(linked);
            }
        }
    }

    /// Reads an event and its link from where they start.
    fn read(bytes: &[u8]) -> Linked<F::Packed> {
        let (event, rest) = bytes.split_at(F::BYTES);
        let older = rest.first_chunk().map_or(NONE, |bytes| u32::from_le_bytes(*bytes));
        Linked { event: F::read(event), older }
    }

    /// Places that hold events.
    #[cfg(test)]
    pub(super) fn n_events(&self) -> usize {
        let of = |block: &Block<F::Packed>| {
            let n_places = block.piece.map_or(block.linked.len(), |_| index(block.n_places));
            n_places - index(block.n_free) - block.gone.len()
        };
        self.blocks.iter().map(of).sum()
    }

    /// Bytes of its events in memory.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        self.blocks.iter().map(|block| block.linked.capacity() * Self::LINKED).sum()
    }

    /// How many pieces it has.
    #[cfg(test)]
    pub(super) fn n_pieces(&self) -> usize {
        self.blocks.iter().filter(|block| block.piece.is_some()).count()
    }
}
