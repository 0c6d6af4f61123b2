//! Events of identities, read as they come: which of them stand is settled here, so that nothing has
//! to keep their rows beside the ticks (SEMANTICS section 2).
//!
//! The first event of an identity, which most are, is taken in at once. All others wait for the
//! epoch's end, and are settled identity by identity against the tick that is held.

use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;
use types::relations::Identity;
use types::sabotage::{Safeguard, is_out};
use types::{Op, VenueTime};

use super::bars::{Bars, index};
use super::series::NO_SLOT;
use super::tick::{Plain, Tick};
use super::times::Times;
use crate::revisions::{Known, Resolving, Revision, Revisions};

/// What is known of identities.
pub(super) struct Identities {
    /// Of those that aren't plain.
    revisions: Revisions<Identity>,
    /// When the ticks that are held happened.
    times: Times,
    /// Those whose row stands and is no tick.
    without: HashSet<Identity, FxBuildHasher>,
    /// The epoch's events that may count against others.
    later: Vec<(Identity, Revision, Traded)>,
}

/// What bars read of a row: its tick, if it is one.
#[derive(Clone, Copy, PartialEq)]
struct Traded(Option<Tick>);

impl Identities {
    pub(super) fn new() -> Self {
        Self {
            revisions: Revisions::new(),
            times: Times::new(),
            without: HashSet::with_hasher(FxBuildHasher),
            later: Vec::new(),
        }
    }
}

impl Bars {
    /// Takes an event of the epoch, with the tick that its row is. Where events can't replace or
    /// remove one another, each is a row.
    #[inline]
    pub(super) fn revise(&mut self, identity: Identity, revision: Revision, tick: Option<Tick>) {
        let Some(asset) = identity.asset else { return };
        let Some(identities) = &mut self.identities else {
            if let Some(tick) = &tick {
                self.take(asset, tick, 1);
            }
            return;
        };
        if !revision.is_first {
            identities.later.push((identity, revision, Traded(tick)));
            return;
        }
        if !revision.is_plain() {
            identities.revisions.set_first(identity, revision);
            if revision.op == Op::Bust {
                return;
            }
        }
        self.enter(identity, tick);
    }

    /// As [`Bars::revise`], of a first event that is one plain insert, as nearly all are.
    #[inline]
    pub(super) fn enter_plain(&mut self, identity: Identity, tick: &Plain) {
        let Some(asset) = identity.asset else { return };
        if let Some(identities) = &mut self.identities {
            identities.times.add(identity, tick.time);
        }
        self.take_plain(asset, tick);
    }

    /// Puts an identity's row among those that stand.
    fn enter(&mut self, identity: Identity, tick: Option<Tick>) {
        let (Some(identities), Some(asset)) = (&mut self.identities, identity.asset) else {
            return;
        };
        if let Some(tick) = tick {
            identities.times.add(identity, tick.time);
            self.take(asset, &tick, 1);
        } else {
            identities.without.insert(identity);
        }
    }

    /// Takes it out.
    fn leave(&mut self, identity: Identity, tick: Option<Tick>) {
        let (Some(identities), Some(asset)) = (&mut self.identities, identity.asset) else {
            return;
        };
        if let Some(tick) = tick {
            identities.times.remove(identity, tick.time);
            self.take(asset, &tick, -1);
        } else {
            identities.without.remove(&identity);
        }
    }

    /// Settles the epoch's events that weren't first.
    pub(super) fn settle(&mut self) {
        let Some(identities) = &mut self.identities else { return };
        if identities.later.is_empty() {
            return;
        }
        let mut later = std::mem::take(&mut identities.later);
        // Stable: events of one identity stay as they came.
        later.sort_by_key(|(identity, ..)| *identity);
        for same in later.chunk_by(|a, b| a.0 == b.0) {
            let identity = same[0].0;
            let remembered = self.identities.as_ref().and_then(|i| i.revisions.get(identity));
            let may_stand = remembered.is_none_or(Known::stands);
            let held = if may_stand { self.standing(identity) } else { None };
            let mut resolving = Resolving::new(remembered, held);
            for (_, revision, tick) in same {
                resolving.take(*revision, *tick);
            }
            let (known, leaves, enters) = resolving.finish();
            if let Some(identities) = &mut self.identities {
                identities.revisions.set(identity, known);
            }
            if let Some(Traded(tick)) = leaves {
                self.leave(identity, tick);
            }
            if let Some(Traded(tick)) = enters {
                self.enter(identity, tick);
            }
        }
        later.clear();
        if let Some(identities) = &mut self.identities {
            identities.later = later;
        }
    }

    /// What stands of an identity: nothing, a row that is no tick, or a tick.
    fn standing(&self, identity: Identity) -> Option<Traded> {
        let identities = self.identities.as_ref()?;
        if identities.without.contains(&identity) {
            return Some(Traded(None));
        }
        let place = self.place_of(identity.asset?)?;
        let look = |(from, to)| self.tick_between(place, from, to, identity);
        identities.times.find(identity, look).map(|tick| Traded(Some(tick)))
    }

    /// The tick of an identity in the cells of some times.
    fn tick_between(
        &self,
        place: u32,
        from: VenueTime,
        to: VenueTime,
        identity: Identity,
    ) -> Option<Tick> {
        let cells = &self.series[self.series_of(place, 0)];
        let from = from.bucket(self.levels[0].span);
        cells.range(from, to).find_map(|entry| {
            let newest = match entry.slot {
                NO_SLOT => entry.newest,
                slot => self.slots[index(slot)].newest,
            };
            let is_it = |tick: &Tick| {
                let has_id = tick.id == identity.id || is_out(Safeguard::TicksCompared);
                has_id && tick.wallet == identity.wallet
            };
            self.log.chain(newest, entry.start).map(|(_, tick)| tick).find(is_it)
        })
    }
}
