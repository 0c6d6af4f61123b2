//! What the sequencer remembers of each event: enough to tell a repeat from a revision from a
//! conflict, for ever.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use types::relations::Identity;
use types::{Op, VenueTime};

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

/// What came of one identity so far.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The greatest insert or correct: revision, operation, content.
    best: Option<(u64, Op, u32)>,
    /// The greatest busted revision.
    busted: Option<u64>,
}

/// All identities of one relation.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    known: FxHashMap<Identity, Known>,
    n_pending: u64,
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
        let known = self.known.entry(identity).or_default();
        if op == Op::Bust {
            if known.busted.is_some_and(|busted| revision <= busted) {
                return Standing::Duplicate;
            }
            let is_first = known.best.is_none() && known.busted.is_none();
            self.n_pending += u64::from(is_first);
            known.busted = Some(revision);
            return if is_first { Standing::First } else { Standing::Applied };
        }
        match known.best {
            Some((r, o, c)) if (r, o) == (revision, op) => {
                if c == content {
                    Standing::Duplicate
                } else {
                    Standing::Conflict
                }
            }
            Some((r, o, _)) if (r, o) > (revision, op) => Standing::Duplicate,
            before => {
                let is_first = before.is_none() && known.busted.is_none();
                if before.is_none() && known.busted.is_some() {
                    self.n_pending -= 1;
                }
                known.best = Some((revision, op, content));
                if is_first { Standing::First } else { Standing::Applied }
            }
        }
    }

    /// Busts that wait for what they remove.
    pub(crate) fn n_pending(&self) -> u64 {
        self.n_pending
    }
}

/// Recent rows of a relation without identities: equal rows are one where they meet within the
/// horizon.
#[derive(Debug, Default)]
pub(crate) struct RecentRows {
    digests: FxHashSet<u128>,
    by_time: BTreeSet<(VenueTime, u128)>,
}

impl RecentRows {
    /// Remembers a row by the digest of its content; false if an equal one is remembered.
    pub(crate) fn is_new(&mut self, time: VenueTime, digest: u128) -> bool {
        let is_new = self.digests.insert(digest);
        if is_new {
            self.by_time.insert((time, digest));
        }
        is_new
    }

    /// Forgets rows from before a time.
    pub(crate) fn forget_before(&mut self, time: VenueTime) {
        while let Some((first, digest)) = self.by_time.first().copied() {
            if first >= time {
                return;
            }
            self.by_time.pop_first();
            self.digests.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Identity = Identity { wallet: None, asset: None, id: 7 };

    fn judge_all(events: &[(Op, u64, u32)]) -> (Vec<Standing>, u64) {
        let mut identities = Identities::default();
        let judge = |(op, revision, content): &(Op, u64, u32)| {
            identities.judge(ID, *op, *revision, *content)
        };
        let standings = events.iter().map(judge).collect();
        (standings, identities.n_pending())
    }

    #[test]
    fn the_greatest_revision_stands_and_repeats_are_told() {
        use Op::{Bust, Correct, Insert};
        use Standing::{Applied, Conflict, Duplicate, First};
        let good = types::event::FOR_GOOD;
        for (events, standings, n_pending) in [
            (
                vec![(Insert, 0, 1), (Insert, 0, 1), (Insert, 0, 2)],
                vec![First, Duplicate, Conflict],
                0,
            ),
            (
                vec![(Correct, 2, 1), (Insert, 1, 9), (Insert, 2, 9)],
                vec![First, Duplicate, Duplicate],
                0,
            ),
            (vec![(Insert, 1, 1), (Correct, 1, 2)], vec![First, Applied], 0),
            (
                vec![(Bust, good, 0), (Insert, 0, 1), (Bust, good, 0)],
                vec![First, Applied, Duplicate],
                0,
            ),
            (vec![(Bust, 3, 0), (Bust, 2, 0)], vec![First, Duplicate], 1),
            (vec![(Bust, 2, 0), (Bust, 3, 0)], vec![First, Applied], 1),
        ] {
            assert_eq!(judge_all(&events), (standings, n_pending), "{events:?}");
        }
    }

    #[test]
    fn equal_rows_are_one_within_the_horizon() {
        let mut recent = RecentRows::default();
        let at = VenueTime::from_nanos;
        assert!(recent.is_new(at(1), 5));
        assert!(!recent.is_new(at(1), 5));
        recent.forget_before(at(2));
        assert!(recent.is_new(at(1), 5));
    }
}
