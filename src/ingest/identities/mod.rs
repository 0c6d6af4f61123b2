//! What the sequencer remembers of each event: enough to tell a repeat from a revision from a
//! conflict, for ever.
//!
//! An identity is kept as 96 bits of its digest (XXH3-128 of wallet, asset and id). Two identities
//! of n that share them would be taken for one: the odds are n^2 / 2^97, which is 3 in 10^15 for 20
//! million and 6 in 10^10 for ten billion, so no run will see it. Nearly every identity is one
//! insert without a revision: 16 bytes with 32 bits of its content, in [`shard`]. What is busted,
//! corrected or comes with a revision stands in a map beside them, in memory.
//!
//! Runs may leave memory ([`run`]): then two bytes an identity stay, of the filter, and what the
//! filter doesn't rule out (repeats, revisions, one in a hundred others) costs a read of 4 KiB a run.

mod filter;
mod recent;
mod run;
mod shard;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use dataflows::Spilling;
use dataflows::cold::Failure;
use rustc_hash::FxHashMap;
use types::Op;
use types::digest::{digest128, halves};
use types::relations::Identity;
use types::sabotage::{Safeguard, is_out};

pub(crate) use self::recent::RecentRows;
use self::run::Cold;
use self::shard::{N_SHARDS, Shard};

/// What an event is, seen against those of its identity that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
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
    pub const fn enters(self) -> bool {
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
pub struct Identities {
    shards: Vec<Shard>,
    cold: Cold,
    /// The shard that sends out its runs next.
    next_spilled: usize,
    /// What is more than one insert without a revision.
    revised: FxHashMap<Print, Known>,
    n_pending: u64,
}

impl Default for Identities {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Identities {
    /// Starts with none; all that come stay in memory, unless `spilling` says where older ones go.
    pub fn new(spilling: Option<Spilling>) -> Self {
        let cold = Cold::new(spilling);
        let shards = (0..N_SHARDS).map(|index| Shard::new(index, &cold)).collect();
        Self { shards, cold, next_spilled: 0, revised: FxHashMap::default(), n_pending: 0 }
    }

    /// Judges an event and remembers it.
    ///
    /// # Errors
    /// If older ones can't be kept or read back; nothing can be judged any more then.
    pub fn judge(
        &mut self,
        identity: Identity,
        op: Op,
        revision: u64,
        content: u32,
    ) -> Result<Standing, Box<Failure>> {
        let print = Print::of(&identity);
        let Some(shard) = self.shards.get_mut(print.shard()) else {
            unreachable!("as many shards")
        };
        let known = if shard.mark(print) && !is_out(Safeguard::FilterNeverDenies) {
            let known = self.revised.get(&print).copied();
            match known {
                Some(known) => Some(known),
                None if is_out(Safeguard::FilterIsAsked) => Some(inserted(content)),
                None => shard.find(print, &mut self.cold)?.map(inserted),
            }
        } else {
            None
        };
        let Some(mut known) = known else {
            let is_plain = op == Op::Insert && revision == 0;
            let is_run = shard.push(print, content, &mut self.cold)?;
            if !is_plain {
                let (best, busted) = match op {
                    Op::Bust => (None, Some(revision)),
                    Op::Insert | Op::Correct => (Some((revision, op, content)), None),
                };
                self.n_pending += u64::from(op == Op::Bust);
                self.revised.insert(print, Known { best, busted });
            }
            if is_run && self.cold.is_full() {
                self.spill()?;
            }
            return Ok(Standing::First);
        };
        let was_pending = known.is_pending();
        let standing = known.judge(op, revision, content);
        if standing.enters() {
            self.n_pending -= u64::from(was_pending && !known.is_pending());
            self.revised.insert(print, known);
        }
        Ok(standing)
    }

    /// Sends runs out of memory, one shard's after the other's, until they fit.
    #[cold]
    fn spill(&mut self) -> Result<(), Box<Failure>> {
        while self.cold.is_full() {
            if let Some(shard) = self.shards.get_mut(self.next_spilled) {
                shard.spill(&mut self.cold)?;
            }
            self.next_spilled = (self.next_spilled + 1) % N_SHARDS;
        }
        Ok(())
    }

    /// Busts that wait for what they remove.
    pub fn n_pending(&self) -> u64 {
        self.n_pending
    }

    /// Bytes that are held for the identities.
    pub fn n_bytes(&self) -> usize {
        let revised = self.revised.capacity() * (size_of::<(Print, Known)>() + 1);
        revised + self.shards.iter().map(Shard::n_bytes).sum::<usize>()
    }
}

/// An identity of which one insert without a revision came.
fn inserted(content: u32) -> Known {
    Known { best: Some((0, Op::Insert, content)), busted: None }
}
