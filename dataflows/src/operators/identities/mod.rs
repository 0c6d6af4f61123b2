//! Trades of identities, read from events as they come: which of them stand is settled where their
//! ticks are held, so that nothing has to keep their rows beside those (SEMANTICS section 2).
//!
//! The first event of an identity, which most are, is taken in at once. All others wait for the
//! epoch's end, and are settled identity by identity against the tick that is held.

#[cfg(test)]
pub(crate) mod testing;
mod times;

use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;
use types::relations::Identity;
use types::{AssetId, Op, VenueTime};

use crate::revisions::{Known, Resolving, Revision, Revisions};
use times::Times;

/// What is held of a trade.
pub(crate) trait Held: Copy + PartialEq {
    /// When it was.
    fn time(&self) -> VenueTime;
}

/// Where ticks are held.
pub(crate) trait Holder {
    /// What is held of a trade.
    type Tick: Held;

    /// Takes a tick in or out, which is held then.
    fn change(&mut self, asset: AssetId, tick: &Self::Tick, diff: isize);

    /// The tick of an identity, if it is held and was in these times, from the first to before the
    /// second.
    fn find(&self, identity: Identity, times: (VenueTime, VenueTime)) -> Option<Self::Tick>;
}

/// What is known of identities.
pub(crate) struct Identities<T> {
    /// Of those that aren't plain.
    revisions: Revisions<Identity>,
    /// When the ticks that are held happened.
    times: Times,
    /// Those whose row stands and is no tick.
    without: HashSet<Identity, FxBuildHasher>,
    /// The epoch's events that may count against others.
    later: Vec<(Identity, Revision, Traded<T>)>,
}

/// What is read of a row: its tick, if it is one.
#[derive(Clone, Copy, PartialEq)]
struct Traded<T>(Option<T>);

impl<T: Held> Identities<T> {
    pub(crate) const fn new() -> Self {
        let without = HashSet::with_hasher(FxBuildHasher);
        Self { revisions: Revisions::new(), times: Times::new(), without, later: Vec::new() }
    }

    /// Notes a tick that the holder takes in itself: of a first event that is one plain insert, as
    /// nearly all are.
    #[inline]
    pub(crate) fn enter_plain(&mut self, identity: Identity, time: VenueTime) {
        self.times.add(identity, time);
    }

    /// Takes an event of the epoch, with the tick that its row is.
    pub(crate) fn revise(
        &mut self,
        identity: Identity,
        revision: Revision,
        tick: Option<T>,
        holder: &mut impl Holder<Tick = T>,
    ) {
        if !revision.is_first {
            self.later.push((identity, revision, Traded(tick)));
            return;
        }
        if !revision.is_plain() {
            self.revisions.set_first(identity, revision);
            if revision.op == Op::Bust {
                return;
            }
        }
        self.enter(identity, tick, holder);
    }

    /// Settles the epoch's events that weren't first.
    pub(crate) fn settle(&mut self, holder: &mut impl Holder<Tick = T>) {
        if self.later.is_empty() {
            return;
        }
        let mut later = std::mem::take(&mut self.later);
        // Stable: events of one identity stay as they came.
        later.sort_by_key(|(identity, ..)| *identity);
        for same in later.chunk_by(|a, b| a.0 == b.0) {
            let identity = same[0].0;
            let remembered = self.revisions.get(identity);
            let may_stand = remembered.is_none_or(Known::stands);
            let held = if may_stand { self.standing(identity, holder) } else { None };
            let mut resolving = Resolving::new(remembered, held);
            for (_, revision, tick) in same {
                resolving.take(*revision, *tick);
            }
            let (known, leaves, enters) = resolving.finish();
            self.revisions.set(identity, known);
            if let Some(Traded(tick)) = leaves {
                self.leave(identity, tick, holder);
            }
            if let Some(Traded(tick)) = enters {
                self.enter(identity, tick, holder);
            }
        }
        later.clear();
        self.later = later;
    }

    /// Puts an identity's row among those that stand.
    fn enter(&mut self, identity: Identity, tick: Option<T>, holder: &mut impl Holder<Tick = T>) {
        match (tick, identity.asset) {
            (Some(tick), Some(asset)) => {
                self.times.add(identity, tick.time());
                holder.change(asset, &tick, 1);
            }
            _ => {
                self.without.insert(identity);
            }
        }
    }

    /// Takes it out.
    fn leave(&mut self, identity: Identity, tick: Option<T>, holder: &mut impl Holder<Tick = T>) {
        match (tick, identity.asset) {
            (Some(tick), Some(asset)) => {
                self.times.remove(identity, tick.time());
                holder.change(asset, &tick, -1);
            }
            _ => {
                self.without.remove(&identity);
            }
        }
    }

    /// What stands of an identity: nothing, a row that is no tick, or a tick.
    fn standing(&self, identity: Identity, holder: &impl Holder<Tick = T>) -> Option<Traded<T>> {
        if self.without.contains(&identity) {
            return Some(Traded(None));
        }
        let tick = self.times.find(identity, |times| holder.find(identity, times));
        tick.map(|tick| Traded(Some(tick)))
    }
}
