//! Positions and marks as of the grid's steps.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use types::relations::Mark;
use types::{AssetId, Sym, VenueTime};

use super::value::{Held, Sums};

/// A position's wallet and asset.
pub(crate) type Pair = (Sym, AssetId);

/// Positions by wallet, and marks; each by the step from which on it holds.
#[derive(Default)]
pub(crate) struct Book {
    wallets: FxHashMap<Sym, BTreeMap<AssetId, BTreeMap<VenueTime, Held>>>,
    marks: FxHashMap<AssetId, BTreeMap<VenueTime, Mark>>,
    /// Who has ever held an asset.
    holders: BTreeSet<(AssetId, Sym)>,
}

impl Book {
    /// The position as of a time.
    pub(crate) fn held(&self, (wallet, asset): Pair, time: VenueTime) -> Option<&Held> {
        let steps = self.wallets.get(&wallet)?.get(&asset)?;
        Some(steps.range(..=time).next_back()?.1)
    }

    /// The mark as of a time.
    pub(crate) fn mark(&self, asset: AssetId, time: VenueTime) -> Option<&Mark> {
        Some(self.marks.get(&asset)?.range(..=time).next_back()?.1)
    }

    /// What a position adds to its wallet's sums as of a time.
    pub(crate) fn part(&self, pair: Pair, time: VenueTime) -> Sums {
        let held = self.held(pair, time);
        held.map(|held| Sums::of(held, self.mark(pair.1, time))).unwrap_or_default()
    }

    /// The assets that a wallet has ever held.
    pub(crate) fn assets(&self, wallet: Sym) -> impl Iterator<Item = AssetId> {
        self.wallets.get(&wallet).into_iter().flat_map(|assets| assets.keys().copied())
    }

    /// Who has ever held an asset.
    pub(crate) fn holders(&self, asset: AssetId) -> impl Iterator<Item = Sym> {
        let first = (asset, Sym::from_index(0));
        let holders = self.holders.range(first..);
        holders.take_while(move |holder| holder.0 == asset).map(|holder| holder.1)
    }

    /// The steps in a range at which a position or its mark changes.
    pub(crate) fn changes(
        &self,
        (wallet, asset): Pair,
        (first, last): (VenueTime, VenueTime),
    ) -> impl Iterator<Item = VenueTime> {
        let steps = self.wallets.get(&wallet).and_then(|assets| assets.get(&asset));
        let marks = self.marks.get(&asset);
        let steps = steps.into_iter().flat_map(move |s| s.range(first..=last).map(|(b, _)| *b));
        steps.chain(marks.into_iter().flat_map(move |m| m.range(first..=last).map(|(b, _)| *b)))
    }

    /// The first step behind `step` at which a position is told anew.
    pub(crate) fn next_step(&self, (wallet, asset): Pair, step: VenueTime) -> Option<VenueTime> {
        next(self.wallets.get(&wallet)?.get(&asset)?, step)
    }

    /// The first step behind `step` at which an asset's mark is told anew.
    pub(crate) fn next_mark(&self, asset: AssetId, step: VenueTime) -> Option<VenueTime> {
        next(self.marks.get(&asset)?, step)
    }

    /// Sets or removes a position as of a step.
    pub(crate) fn set_held(&mut self, (wallet, asset): Pair, step: VenueTime, held: Option<Held>) {
        let assets = self.wallets.entry(wallet).or_default();
        let steps = assets.entry(asset).or_default();
        match held {
            Some(held) => steps.insert(step, held),
            None => steps.remove(&step),
        };
        if !steps.is_empty() {
            self.holders.insert((asset, wallet));
            return;
        }
        self.holders.remove(&(asset, wallet));
        assets.remove(&asset);
        if assets.is_empty() {
            self.wallets.remove(&wallet);
        }
    }

    /// Sets or removes a mark as of a step.
    pub(crate) fn set_mark(&mut self, asset: AssetId, step: VenueTime, mark: Option<Mark>) {
        let steps = self.marks.entry(asset).or_default();
        match mark {
            Some(mark) => steps.insert(step, mark),
            None => steps.remove(&step),
        };
    }
}

/// The first key behind another.
fn next<T>(steps: &BTreeMap<VenueTime, T>, step: VenueTime) -> Option<VenueTime> {
    use std::ops::Bound::{Excluded, Unbounded};
    Some(*steps.range((Excluded(step), Unbounded)).next()?.0)
}
