//! What is remembered of rows without an identity.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashSet;
use types::VenueTime;

/// Recent rows of a relation without identities: equal rows are one where they meet within the
/// horizon.
#[derive(Debug, Default)]
pub(crate) struct RecentRows {
    digests: FxHashSet<u128>,
    /// Rows that came in the order of their times, as nearly all do.
    in_order: VecDeque<(VenueTime, u128)>,
    /// Rows behind those.
    behind: BTreeSet<(VenueTime, u128)>,
}

impl RecentRows {
    /// Remembers a row by the digest of its content; false if an equal one is remembered.
    pub(crate) fn is_new(&mut self, time: VenueTime, digest: u128) -> bool {
        let is_new = self.digests.insert(digest);
        if is_new {
            if self.in_order.back().is_none_or(|(last, _)| *last <= time) {
                self.in_order.push_back((time, digest));
            } else {
                self.behind.insert((time, digest));
            }
        }
        is_new
    }

    /// Forgets rows from before a time.
    pub(crate) fn forget_before(&mut self, time: VenueTime) {
        while let Some((_, digest)) = self.in_order.pop_front_if(|(first, _)| *first < time) {
            self.digests.remove(&digest);
        }
        while let Some((_, digest)) =
            self.behind.first().copied().filter(|(first, _)| *first < time)
        {
            self.behind.pop_first();
            self.digests.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One row or one step of the horizon.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Row(i64, u128),
        Forget(i64),
    }

    proptest! {
        #[test]
        fn equal_rows_are_one_within_the_horizon(
            steps in prop::collection::vec(
                prop_oneof![
                    8 => (0i64..50, 0u128..30).prop_map(|(time, digest)| Step::Row(time, digest)),
                    1 => (0i64..50).prop_map(Step::Forget),
                ],
                0..200,
            ),
        ) {
            let (mut recent, mut twin) = (RecentRows::default(), Vec::<(i64, u128)>::new());
            for step in steps {
                match step {
                    Step::Row(time, digest) => {
                        let is_new = twin.iter().all(|(_, other)| *other != digest);
                        if is_new {
                            twin.push((time, digest));
                        }
                        prop_assert_eq!(recent.is_new(VenueTime::from_nanos(time), digest), is_new);
                    }
                    Step::Forget(time) => {
                        twin.retain(|(other, _)| *other >= time);
                        recent.forget_before(VenueTime::from_nanos(time));
                    }
                }
            }
        }
    }
}
