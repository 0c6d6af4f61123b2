//! The ordered fold: keys' events in event order, their states, and as little re-folding as exact
//! corrections allow. One store for everything that depends on order.
//!
//! An event that comes in order is folded and kept, and nothing else is touched. All that an epoch
//! changes elsewhere in a key's history (late, removed, replaced events) is collected, applied at the
//! epoch's end, and folded anew once, from the last kept state before the first change on. All
//! history is kept: dropping it would make a correction inexact. What rests may leave memory ([`crate::cold`]):
//! at an epoch's end, as long as a worker holds more than it may, shard after shard sends out what
//! wasn't written to since its last turn. Reading it back changes nothing of what is told.
//!
//! A key's history is a few records in its shard's [`log`], or, once it grows, [`deep`]: sealed
//! chunks that never change in place, each with the state before it, and an open rest. Shards are
//! ranges of the key's hash: growth pauses one of many, and a chunk can be written away as it is.
//!
//! Identities are resolved here as well ([`crate::revisions`]), by key, so that a fold can read a relation's
//! events as they come (SEMANTICS section 2).

mod deep;
mod late;
mod log;
mod shard;
mod store;
#[cfg(test)]
mod tests;
mod touched;
#[cfg(test)]
mod twin;
mod walk;

use std::fmt::Debug;

use types::VenueTime;

pub(crate) use store::{BLOCK, Place, Store};

/// Something that depends on the order of a key's events.
pub(crate) trait Fold: Sized {
    /// Whose events.
    type Key: Copy + Eq;
    /// What is folded.
    type Event: Clone + PartialEq + Debug + Packable<Self>;
    /// An event as it is kept: small, and all of one size.
    type Packed: Copy;
    /// What most events of a key share, kept once.
    type Common: Copy + Default;
    /// What doesn't fit [`Fold::Packed`], kept once a shard.
    type Aside: Default;
    /// What events are folded into.
    type State: Clone + PartialEq;
    /// What a fold has to say of an event beside the state: an error, a break.
    type Note: Clone + PartialEq;
    /// The place of an event in the order. Total over a key's events.
    type Order: Ord + Copy;

    /// The key's hash, the same on all machines: which worker, which shard.
    fn route(key: Self::Key) -> u64;

    /// The event's place.
    fn order(event: &Self::Event) -> Self::Order;

    /// The time of a place.
    fn time(order: &Self::Order) -> VenueTime;

    /// What is the same for all revisions of the event, among those of its key; `None` for what is
    /// never revised by identity.
    fn identity(event: &Self::Event) -> Option<u128>;

    /// The event that was packed.
    fn unpack(packed: &Self::Packed, common: Self::Common, aside: &Self::Aside) -> Self::Event;

    /// Bytes of a packed event outside memory.
    const BYTES: usize;

    /// Appends the [`Fold::BYTES`] of a packed event. What it keeps aside stays there.
    fn write(packed: &Self::Packed, bytes: &mut Vec<u8>);

    /// The packed event that was written.
    fn read(bytes: &[u8]) -> Self::Packed;

    /// Frees what a packed event keeps aside.
    fn release(packed: &Self::Packed, aside: &mut Self::Aside);

    /// The place of a packed event.
    fn packed_order(packed: &Self::Packed, aside: &Self::Aside) -> Self::Order;

    /// The time of a packed event.
    fn packed_time(packed: &Self::Packed) -> VenueTime;

    /// [`Fold::identity`] of a packed event.
    fn packed_identity(packed: &Self::Packed, aside: &Self::Aside) -> Option<u128>;

    /// The state before the first event.
    fn start(&self) -> Self::State;

    /// Folds an event in.
    #[cfg(test)]
    fn step_by_the_rules(&self, state: &mut Self::State, event: &Self::Event)
    -> Option<Self::Note>;

    /// Folds a packed event in: as the rules say of the event that was packed, without unpacking it
    /// where that isn't needed.
    fn step(
        &self,
        state: &mut Self::State,
        packed: &Self::Packed,
        common: Self::Common,
        aside: &Self::Aside,
    ) -> Option<Self::Note>;

    /// Which event a note is about, as a number.
    fn about(note: &Self::Note) -> u128;
}

/// An event on its way in, in the form in which it comes. Most are packed right out of it.
pub(crate) trait Packable<F: Fold> {
    /// When it happened.
    fn time(&self) -> VenueTime;

    /// The event.
    fn event(&self) -> F::Event;

    /// The event as it is kept.
    fn pack(&self, common: &mut F::Common, aside: &mut F::Aside) -> F::Packed;
}

/// Takes what an epoch changed, key by key. Where something is replaced, both stand in one call.
pub(crate) trait Sink<F: Fold> {
    /// At most so many keys were touched.
    fn expect(&mut self, _n_keys: usize) {}

    /// A key was touched; the states may be equal.
    fn state(&mut self, key: F::Key, old: &F::State, new: &F::State);

    /// A note changed, with the event that it is about.
    fn note(&mut self, key: F::Key, old: Option<&F::Note>, new: Option<&F::Note>);

    /// The state as of a step of a grid changed.
    fn step(&mut self, key: F::Key, grid: usize, step: Step<'_, F>);
}

/// The state as of a step of a grid, before and after an epoch.
pub(crate) struct Step<'a, F: Fold> {
    /// Which step: the state covers what lies before it.
    pub(crate) at: VenueTime,
    /// What stood there; `None` where nothing happened just before it.
    pub(crate) old: Option<&'a F::State>,
    /// What stands there now.
    pub(crate) new: Option<&'a F::State>,
}

/// How many bytes a key takes, without its history.
#[cfg(test)]
pub(crate) const fn size_of_key<F: Fold>() -> usize {
    size_of::<shard::Held<F>>()
}
