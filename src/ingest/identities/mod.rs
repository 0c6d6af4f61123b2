//! What the sequencer remembers of each event: enough to tell a repeat from a revision from a
//! conflict, for ever.
//!
//! Nearly every identity is one insert without a revision, of which 32 bits of its content are kept.
//! Where ids are numbers that ascend as they come, an identity is kept as it is, in 12 to 16 bytes
//! ([`ascending`]). Any other is kept as 96 bits of its digest (XXH3-128 of wallet, asset and id), in
//! 16 bytes and a filter ([`shard`]). Two of n of these that share their bits would be taken for one:
//! the odds are n^2 / 2^97, which is 3 in 10^15 for 20 million and 6 in 10^10 for ten billion, so no
//! run will see it. What is busted, corrected or comes with a revision stands in a map beside them, in
//! memory.
//!
//! Both may leave memory. Of runs ([`run`]): two bytes an identity stay then, of the filter, and what the
//! filter doesn't rule out (repeats, revisions, one in a hundred others) costs a read of 4 KiB a run;
//! of those that ascended nothing stays, and one that isn't above all others costs one read.

mod ascending;
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

use self::ascending::{Ascending, Numbered};
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
    /// Those whose numbers ascended as they came.
    ascending: Ascending,
    /// All others.
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
        let (ascending, revised) = (Ascending::default(), FxHashMap::default());
        Self { ascending, shards, cold, next_spilled: 0, revised, n_pending: 0 }
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
        let numbered = Numbered::of(&identity);
        if let Some(numbered) = numbered
            && (self.ascending.raise(numbered) || is_out(Safeguard::AscendingIsAbove))
        {
            self.remember(identity, op, revision, content)?;
            return Ok(Standing::First);
        }
        let Some(mut known) = self.find(&identity, numbered, content)? else {
            self.remember(identity, op, revision, content)?;
            return Ok(Standing::First);
        };
        let was_pending = known.is_pending();
        let standing = known.judge(op, revision, content);
        if standing.enters() {
            self.n_pending -= u64::from(was_pending && !known.is_pending());
            self.revised.insert(Print::of(&identity), known);
        }
        Ok(standing)
    }

    /// What came of an identity; `None` if nothing did.
    fn find(
        &mut self,
        identity: &Identity,
        numbered: Option<Numbered>,
        content: u32,
    ) -> Result<Option<Known>, Box<Failure>> {
        let print = Print::of(identity);
        let mut inserted_with = None;
        if let Some(numbered) = numbered
            && !is_out(Safeguard::AscendingIsSearched)
        {
            inserted_with = self.ascending.find(numbered, &mut self.cold)?;
        }
        let Some(shard) = self.shards.get_mut(print.shard()) else {
            unreachable!("as many shards")
        };
        if inserted_with.is_none()
            && (!shard.may_hold(print) || is_out(Safeguard::FilterNeverDenies))
        {
            return Ok(None);
        }
        if let Some(known) = self.revised.get(&print) {
            return Ok(Some(*known));
        }
        if inserted_with.is_none() {
            inserted_with = if is_out(Safeguard::FilterIsAsked) {
                Some(content)
            } else {
                shard.find(print, &mut self.cold)?
            };
        }
        let inserted = |content| Known { best: Some((0, Op::Insert, content)), busted: None };
        Ok(inserted_with.map(inserted))
    }

    /// Remembers the first event of an identity.
    #[inline]
    fn remember(
        &mut self,
        identity: Identity,
        op: Op,
        revision: u64,
        content: u32,
    ) -> Result<(), Box<Failure>> {
        if op != Op::Insert || revision != 0 {
            let (best, busted) = match op {
                Op::Bust => (None, Some(revision)),
                Op::Insert | Op::Correct => (Some((revision, op, content)), None),
            };
            self.n_pending += u64::from(op == Op::Bust);
            self.revised.insert(Print::of(&identity), Known { best, busted });
        }
        let Self { ascending, shards, cold, .. } = self;
        let mut in_shard = |identity: &Identity, content, cold: &mut Cold| {
            let print = Print::of(identity);
            let shard = shards.get_mut(print.shard());
            let Some(shard) = shard else { unreachable!("as many shards") };
            shard.push(print, content, cold)
        };
        let is_ascending = match Numbered::of(&identity) {
            Some(numbered) => ascending.push(numbered, content, cold, &mut in_shard)?,
            None => false,
        };
        if !is_ascending {
            in_shard(&identity, content, cold)?;
        }
        if self.cold.is_full() { self.spill() } else { Ok(()) }
    }

    /// Sends runs out of memory, one shard's after the other's, until they fit.
    #[cold]
    fn spill(&mut self) -> Result<(), Box<Failure>> {
        while self.cold.is_full() {
            if self.ascending.spill(&mut self.cold)? {
                continue;
            }
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
        revised + self.ascending.n_bytes() + self.shards.iter().map(Shard::n_bytes).sum::<usize>()
    }
}
