//! When the ticks of identities happened: what finds the tick that a bust or a correction is about,
//! which name it by its identity alone.
//!
//! One word a tick: a part of its identity's hash over the second of its time. Words stand in no order
//! in piles of about [`ROOM`], and a pile is looked through as a whole: adding writes behind the end of
//! one of few piles, whose ends are in cache, and looking up is rare. Words are put there
//! [`TOGETHER`], so that their memory is waited for together. Whenever there are [`ROOM`] words more for
//! each pile, one pile is split (linear hashing, Litwin 1980), so that growth never pauses.

use types::VenueTime;
use types::relations::Identity;

use crate::operators::slab::index;

/// Words of a pile, about.
const ROOM: usize = if cfg!(test) { 2 } else { 1 << 11 };

/// Words that wait to be put on their piles, at most.
const TOGETHER: usize = if cfg!(test) { 3 } else { 1 << 8 };

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// See the module.
pub(super) struct Times {
    /// A pile has the words whose hashes end in its number: in as many of its bits as the highest
    /// number has, or in one bit less where that pile isn't there yet.
    piles: Vec<Vec<u64>>,
    /// As many bits as the highest number of a pile has.
    mask: u32,
    /// Words on piles.
    n_piled: usize,
    /// Words that aren't on their piles yet.
    newest: Vec<u64>,
}

impl Times {
    pub(super) const fn new() -> Self {
        Self { piles: Vec::new(), mask: 0, n_piled: 0, newest: Vec::new() }
    }

    /// Adds a tick.
    #[inline]
    pub(super) fn add(&mut self, identity: Identity, time: VenueTime) {
        self.newest.push(word(hash(identity), second(time)));
        if self.newest.len() == TOGETHER {
            self.put();
        }
    }

    /// Puts the newest words on their piles.
    #[inline(never)]
    fn put(&mut self) {
        while self.n_piled + self.newest.len() > self.piles.len() * ROOM {
            self.split();
        }
        self.n_piled += self.newest.len();
        let newest = std::mem::take(&mut self.newest);
        for word in &newest {
            let pile = self.pile(hash_of(*word));
            push(&mut self.piles[pile], *word);
        }
        self.newest = newest;
        self.newest.clear();
    }

    /// What `look` finds between the starts of two seconds, among all in which a tick of this identity
    /// may have happened.
    pub(super) fn find<T>(
        &self,
        identity: Identity,
        look: impl FnMut((VenueTime, VenueTime)) -> Option<T>,
    ) -> Option<T> {
        let hash = hash(identity);
        let pile = self.piles.get(self.pile(hash)).map_or(&[][..], Vec::as_slice);
        let same = pile.iter().chain(&self.newest).filter(|word| hash_of(**word) == hash);
        same.map(|word| bounds(word & u64::from(u32::MAX))).find_map(look)
    }

    /// Takes a tick out.
    pub(super) fn remove(&mut self, identity: Identity, time: VenueTime) {
        let hash = hash(identity);
        let (pile, word) = (self.pile(hash), word(hash, second(time)));
        if let Some(place) = self.newest.iter().position(|held| *held == word) {
            self.newest.swap_remove(place);
            return;
        }
        let pile = self.piles.get_mut(pile);
        let place = pile.as_ref().and_then(|pile| pile.iter().position(|held| *held == word));
        let (pile, place) = pile.zip(place).expect("a tick that is held has its word");
        pile.swap_remove(place);
        self.n_piled -= 1;
    }

    /// The pile of a hash.
    #[inline]
    fn pile(&self, hash: u32) -> usize {
        let pile = index(hash & self.mask);
        if pile < self.piles.len() { pile } else { index(hash & (self.mask >> 1)) }
    }

    /// Makes one pile more, of what belongs there.
    #[cold]
    fn split(&mut self) {
        let new = self.piles.len();
        self.piles.push(Vec::new());
        if new == 0 {
            return;
        }
        let bit = 1 << new.ilog2();
        self.mask = u32::try_from(2 * bit - 1).unwrap_or(u32::MAX);
        let old = std::mem::take(&mut self.piles[new - bit]);
        let half = grown(old.len() / 2);
        let mut halves = [Vec::with_capacity(half), Vec::with_capacity(half)];
        for word in old {
            // An index and no branch, which would be a guess.
            halves[usize::from(index(hash_of(word)) & bit != 0)].push(word);
        }
        [self.piles[new - bit], self.piles[new]] = halves;
    }
}

/// Adds a word to a pile, which grows in small steps: piles are most of what is held of an identity.
#[inline]
fn push(pile: &mut Vec<u64>, word: u64) {
    if pile.len() == pile.capacity() {
        pile.reserve_exact(grown(pile.len()) - pile.len());
    }
    pile.push(word);
}

/// The room of a pile that has reached a length.
const fn grown(len: usize) -> usize {
    len + len / 8 + 8
}

fn hash(identity: Identity) -> u32 {
    let Identity { wallet, asset, id } = identity;
    let wallet = wallet.map_or(0, |wallet| u64::from(wallet.index()) + 1);
    let asset = asset.map_or(0, |asset| u64::from(asset.0) + 1);
    let key = ((wallet << 32) | asset).rotate_left(29);
    let [low, high] = halves(id);
    let [low, high] = halves((u128::from(low ^ key) * MIX) ^ u128::from(high));
    let [low, high] = halves(u128::from(low ^ high) * MIX);
    hash_of(low ^ high)
}

/// An odd number whose products mix bits well.
const MIX: u128 = 0x9e37_79b9_7f4a_7c15;

/// The lower and the upper half.
#[expect(clippy::as_conversions, reason = "takes both halves")]
#[expect(clippy::cast_possible_truncation, reason = "takes both halves")]
const fn halves(wide: u128) -> [u64; 2] {
    [wide as u64, (wide >> 64) as u64]
}

fn word(hash: u32, second: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(second)
}

#[expect(clippy::as_conversions, reason = "takes the upper half")]
const fn hash_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The second of a time, counted from 1970 to 2106: all times of events lie between.
fn second(time: VenueTime) -> u32 {
    let second = time.nanos().div_euclid(SECOND);
    u32::try_from(second).unwrap_or(if second < 0 { 0 } else { u32::MAX })
}

/// Where the times of a second lie.
fn bounds(second: u64) -> (VenueTime, VenueTime) {
    let second = i64::try_from(second).unwrap_or(0);
    let from = if second == 0 { i64::MIN } else { second * SECOND };
    let is_last = second == i64::from(u32::MAX);
    let to = if is_last { i64::MAX } else { (second + 1) * SECOND };
    (VenueTime::from_nanos(from), VenueTime::from_nanos(to))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use types::AssetId;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_map_finds(
            steps in prop::collection::vec((0..300_u128, prop_oneof![
                6 => 0..4_000_000_000_i64, 1 => Just(-1), 1 => Just(i64::MAX / SECOND),
            ], 0..SECOND), 1..600),
        ) {
            let identity = |id| Identity { wallet: None, asset: Some(AssetId(7)), id };
            let (mut times, mut map) = (Times::new(), BTreeMap::new());
            for (id, second, nanos) in steps {
                let time = VenueTime::from_nanos(second * SECOND + nanos.min(800_000_000));
                if let Some(held) = map.remove(&id) {
                    times.remove(identity(id), held);
                } else {
                    times.add(identity(id), time);
                    map.insert(id, time);
                }
            }
            prop_assert_eq!(times.n_piled + times.newest.len(), map.len());
            for id in 0..300 {
                let mut bounds = Vec::new();
                let none: Option<()> = times.find(identity(id), |pair| {
                    bounds.push(pair);
                    None
                });
                prop_assert!(none.is_none());
                let time = map.get(&id);
                let is_found = time.is_some_and(|t| bounds.iter().any(|(a, b)| a <= t && t < b));
                prop_assert_eq!(is_found, time.is_some());
            }
        }
    }
}
