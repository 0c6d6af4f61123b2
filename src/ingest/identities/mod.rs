//! What the sequencer remembers of each event: enough to tell a repeat from a revision from a
//! conflict, for ever.
//!
//! An identity is kept as 96 bits of its digest (XXH3-128 of wallet, asset and id). Two identities
//! of n that share them would be taken for one: the odds are n^2 / 2^97, which is 3 in 10^15 for 20
//! million and 6 in 10^10 for ten billion, so no run will see it. Nearly every identity is one
//! insert without a revision: 16 bytes with 32 bits of its content, in [`shard`]. What is busted,
//! corrected or comes with a revision stands in a map beside them.

mod filter;
mod recent;
mod shard;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use rustc_hash::FxHashMap;
use types::Op;
use types::digest::{digest128, halves};
use types::relations::Identity;
use types::sabotage::{Safeguard, is_out};

pub(crate) use self::recent::RecentRows;
use self::shard::{N_SHARDS, Shard};

/// What an event is, seen against those of its identity that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing of its identity came before.
    First,
    /// It changes what stands, or may.
    Applied,
    /// It can't: the same or something greater came before.
    Duplicate,
    /// The same identity, revision and operation came before with other content.
    Conflict,
}

impl Standing {
    /// Whether the event enters.
    pub(crate) const fn enters(self) -> bool {
        matches!(self, Self::First | Self::Applied)
    }
}

/// 96 bits of an identity's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Print {
    high: u64,
    low: u32,
}

impl Print {
    fn of(identity: &Identity) -> Self {
        // All identities of a relation have a wallet or none has, and so with assets.
        let wallet = identity.wallet.map_or(0, types::Sym::index);
        let asset = identity.asset.map_or(0, |asset| asset.0);
        let mut bytes = [0; 24];
        let (names, id) = bytes.split_at_mut(8);
        names.copy_from_slice(&(u64::from(wallet) << 32 | u64::from(asset)).to_le_bytes());
        id.copy_from_slice(&identity.id.to_le_bytes());
        let [low, high] = halves(digest128(&bytes));
        Self { high, low: u32::try_from(low >> 32).unwrap_or_default() }
    }

    /// Which shard it belongs to.
    fn shard(self) -> usize {
        usize::try_from(self.high >> (u64::BITS - N_SHARDS.ilog2())).unwrap_or_default()
    }
}

/// What came of one identity so far.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The greatest insert or correct: revision, operation, content.
    best: Option<(u64, Op, u32)>,
    /// The greatest busted revision.
    busted: Option<u64>,
}

impl Known {
    /// A bust waits for what it removes.
    fn is_pending(&self) -> bool {
        self.best.is_none() && self.busted.is_some()
    }

    /// Judges an event of an identity that isn't new.
    fn judge(&mut self, op: Op, revision: u64, content: u32) -> Standing {
        if op == Op::Bust {
            if self.busted.is_some_and(|busted| revision <= busted) {
                return Standing::Duplicate;
            }
            self.busted = Some(revision);
            return Standing::Applied;
        }
        match self.best {
            Some((r, o, c)) if (r, o) == (revision, op) => {
                if c == content || is_out(Safeguard::ConflictByContent) {
                    Standing::Duplicate
                } else {
                    Standing::Conflict
                }
            }
            Some((r, o, _)) if (r, o) > (revision, op) => Standing::Duplicate,
            _ => {
                self.best = Some((revision, op, content));
                Standing::Applied
            }
        }
    }
}

/// All identities of one relation.
#[derive(Debug)]
pub(crate) struct Identities {
    shards: Vec<Shard>,
    /// What is more than one insert without a revision.
    revised: FxHashMap<Print, Known>,
    n_pending: u64,
}

impl Default for Identities {
    fn default() -> Self {
        let shards = (0..N_SHARDS).map(Shard::new).collect();
        Self { shards, revised: FxHashMap::default(), n_pending: 0 }
    }
}

impl Identities {
    /// Judges an event and remembers it.
    pub(crate) fn judge(
        &mut self,
        identity: Identity,
        op: Op,
        revision: u64,
        content: u32,
    ) -> Standing {
        let print = Print::of(&identity);
        let Some(shard) = self.shards.get_mut(print.shard()) else {
            unreachable!("as many shards")
        };
        let known = if shard.mark(print) && !is_out(Safeguard::FilterNeverDenies) {
            let known = self.revised.get(&print).copied();
            let is_believed = is_out(Safeguard::FilterIsAsked);
            let found = || if is_believed { Some(content) } else { shard.find(print) };
            known.or_else(|| found().map(inserted))
        } else {
            None
        };
        let Some(mut known) = known else {
            let is_plain = op == Op::Insert && revision == 0;
            shard.push(print, content);
            if !is_plain {
                let (best, busted) = match op {
                    Op::Bust => (None, Some(revision)),
                    Op::Insert | Op::Correct => (Some((revision, op, content)), None),
                };
                self.n_pending += u64::from(op == Op::Bust);
                self.revised.insert(print, Known { best, busted });
            }
            return Standing::First;
        };
        let was_pending = known.is_pending();
        let standing = known.judge(op, revision, content);
        if standing.enters() {
            self.n_pending -= u64::from(was_pending && !known.is_pending());
            self.revised.insert(print, known);
        }
        standing
    }

    /// Busts that wait for what they remove.
    pub(crate) fn n_pending(&self) -> u64 {
        self.n_pending
    }

    /// Bytes that are held for the identities.
    #[cfg(test)]
    fn n_bytes(&self) -> usize {
        let revised = self.revised.capacity() * (size_of::<(Print, Known)>() + 1);
        revised + self.shards.iter().map(Shard::n_bytes).sum::<usize>()
    }
}

/// An identity of which one insert without a revision came.
fn inserted(content: u32) -> Known {
    Known { best: Some((0, Op::Insert, content)), busted: None }
}
