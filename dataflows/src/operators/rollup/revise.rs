//! Events of identities, read as they come: which of them stand is settled beside the ticks.

use types::relations::Identity;
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, VenueTime};

use super::bars::{Bars, index};
use super::series::NO_SLOT;
use super::tick::{Plain, Tick};
use crate::operators::identities::{Held, Holder};
use crate::revisions::Revision;

impl Held for Tick {
    fn time(&self) -> VenueTime {
        self.time
    }
}

impl Bars {
    /// Takes an event of the epoch, with the tick that its row is. Where events can't replace or
    /// remove one another, each is a row.
    #[inline]
    pub(super) fn revise(&mut self, identity: Identity, revision: Revision, tick: Option<Tick>) {
        if let Some(mut identities) = self.identities.take() {
            identities.revise(identity, revision, tick, self);
            self.identities = Some(identities);
        } else if let (Some(tick), Some(asset)) = (tick, identity.asset) {
            self.take(asset, &tick, 1);
        }
    }

    /// As [`Bars::revise`], of a first event that is one plain insert, as nearly all are.
    #[inline]
    pub(super) fn enter_plain(&mut self, identity: Identity, tick: &Plain) {
        let Some(asset) = identity.asset else { return };
        if let Some(identities) = &mut self.identities {
            identities.enter_plain(identity, tick.time);
        }
        self.take_plain(asset, tick);
    }

    /// Settles the epoch's events that weren't first.
    pub(super) fn settle(&mut self) {
        if let Some(mut identities) = self.identities.take() {
            identities.settle(self);
            self.identities = Some(identities);
        }
    }
}

impl Holder for Bars {
    type Tick = Tick;

    fn change(&mut self, asset: AssetId, tick: &Tick, diff: isize) {
        self.take(asset, tick, diff);
    }

    fn find(&self, identity: Identity, (from, to): (VenueTime, VenueTime)) -> Option<Tick> {
        let place = self.place_of(identity.asset?)?;
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
