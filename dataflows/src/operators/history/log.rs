//! The open history of keys with few events: one log a shard, linked from a key's newest event to
//! its oldest, so that a tiny history costs no allocation of its own.

use crate::operators::slab::{NONE, Slab};

/// An event and the one before it.
struct Linked<P> {
    event: P,
    older: u32,
}

/// See the module.
pub(super) struct Log<P> {
    linked: Slab<Linked<P>, 9>,
    /// Places to use again, linked.
    free: u32,
}

impl<P: Copy> Log<P> {
    pub(super) const fn new() -> Self {
        Self { linked: Slab::new(), free: NONE }
    }

    /// Adds an event behind `older`; gives its place.
    pub(super) fn push(&mut self, event: P, older: u32) -> u32 {
        if self.free == NONE {
            return self.linked.push(Linked { event, older });
        }
        let place = self.free;
        let linked = self.linked.get_mut(place);
        self.free = linked.older;
        *linked = Linked { event, older };
        place
    }

    /// The event at a place.
    pub(super) fn get(&self, place: u32) -> &P {
        &self.linked.get(place).event
    }

    /// The events of a key, newest first.
    pub(super) fn newest_first(&self, newest: u32) -> impl Iterator<Item = &P> {
        let mut place = newest;
        std::iter::from_fn(move || {
            let linked = (place != NONE).then(|| self.linked.get(place))?;
            place = linked.older;
            Some(&linked.event)
        })
    }

    /// Takes a key's events out, oldest first, and frees their places.
    pub(super) fn take(&mut self, newest: u32, events: &mut Vec<P>) {
        let start = events.len();
        let mut place = newest;
        while place != NONE {
            let linked = self.linked.get_mut(place);
            events.push(linked.event);
            let older = std::mem::replace(&mut linked.older, self.free);
            self.free = place;
            place = older;
        }
        events[start..].reverse();
    }
}
