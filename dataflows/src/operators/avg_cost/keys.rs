//! All positions of a worker: the store, and who holds an asset that pays out.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use types::relations::{Fill, Settlement};
use types::{AssetId, Op, Span, Sym};

use super::entry::Entry;
use super::ledger::Ledger;
use super::operator::Update;
use crate::cold::Cold;
use crate::operators::history::{Place, Sink, Store};
use crate::revisions::Revision;

/// See the module.
pub(super) struct Keys {
    store: Store<Ledger>,
    /// By asset; `None` where settlements close nothing.
    holders: Option<FxHashMap<AssetId, Holders>>,
}

/// The keys of an asset and its settlement.
#[derive(Default)]
struct Holders {
    keys: Vec<Place>,
    settlement: Option<Entry>,
}

/// A key that was looked up.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) key: (Sym, AssetId),
    /// `None` where it wasn't there then.
    pub(super) place: Option<Place>,
}

impl Keys {
    pub(super) fn new(ledger: Ledger, grids: &[Span], settles: bool, cold: &Rc<Cold>) -> Self {
        let holders = settles.then(FxHashMap::default);
        Self { store: Store::new(ledger, grids, cold), holders }
    }

    /// Looks keys up.
    pub(super) fn find_all(
        &self,
        keys: impl Iterator<Item = (Sym, AssetId)>,
        places: &mut Vec<Option<Place>>,
    ) {
        self.store.find_all(keys, places);
    }

    /// Takes an event of a fill.
    #[inline]
    pub(super) fn revise(&mut self, key: Key, revision: Revision, fill: &Fill) {
        match key.place.or_else(|| self.store.find(key.key)) {
            Some(place) => self.store.revise(place, revision, fill),
            // A removal alone makes no position.
            None if revision.op == Op::Bust => {
                self.store.wait(key.key, revision, &Entry::of_fill(fill));
            }
            None if self.holders.is_none() => self.store.begin(key.key, revision, fill),
            None => {
                let place = self.place(key);
                self.store.revise(place, revision, fill);
            }
        }
    }

    /// Adds a fill, or takes it out.
    pub(super) fn change(&mut self, key: Key, fill: &Fill, diff: isize) {
        let place = self.place(key);
        self.store.change(place, fill, diff);
    }

    /// The place of a key, made on its first fill.
    fn place(&mut self, key: Key) -> Place {
        if let Some(place) = key.place.or_else(|| self.store.find(key.key)) {
            return place;
        }
        let place = self.store.add(key.key);
        if let Some(holders) = &mut self.holders {
            let holders = holders.entry(key.key.1).or_default();
            holders.keys.push(place);
            if let Some(settlement) = &holders.settlement {
                self.store.change(place, settlement, 1);
            }
        }
        place
    }

    /// Takes an epoch's settlements, before its fills: keys that come with these find them here.
    pub(super) fn settle(&mut self, settlements: &[Update<Settlement>]) {
        let Some(by_asset) = &mut self.holders else { return };
        for ((asset, entry), diff) in payouts(settlements) {
            let holders = by_asset.entry(asset).or_default();
            if diff > 0 {
                holders.settlement = Some(entry.clone());
            } else if holders.settlement.as_ref() == Some(&entry) {
                holders.settlement = None;
            }
            for place in &holders.keys {
                self.store.change(*place, &entry, diff);
            }
        }
    }

    /// Ends the epoch.
    pub(super) fn finish(&mut self, sink: &mut impl Sink<Ledger>) {
        self.store.finish(sink);
    }
}

/// What an epoch's settlements change for the ledger, which sees payout and time alone: a revision
/// that states the same again changes nothing. What enters comes first.
fn payouts(settlements: &[Update<Settlement>]) -> Vec<((AssetId, Entry), isize)> {
    let mut payouts: BTreeMap<Settlement, isize> = BTreeMap::new();
    for (settlement, _, diff) in settlements {
        let stated = Settlement { revision: 0, ..settlement.clone() };
        *payouts.entry(stated).or_default() += diff;
    }
    let changed = payouts.into_iter().filter(|(_, diff)| *diff != 0);
    let mut changed: Vec<_> = changed
        .map(|(stated, diff)| ((stated.asset, Entry::of_settlement(&stated)), diff))
        .collect();
    changed.sort_by_key(|(_, diff)| std::cmp::Reverse(*diff));
    changed
}
