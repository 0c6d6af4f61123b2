//! The compact identities against the plain map.

use proptest::prelude::*;
use types::{AssetId, Sym};

use super::twin::Twin;
use super::*;
use crate::cold::Spill;

const ID: Identity = Identity { wallet: None, asset: None, id: 7 };

fn judge_all(events: &[(Op, u64, u32)]) -> (Vec<Standing>, u64) {
    let mut identities = Identities::default();
    let judge = |(op, revision, content): &(Op, u64, u32)| {
        identities.judge(ID, *op, *revision, *content).unwrap()
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
        (vec![(Insert, 0, 1), (Insert, 0, 1), (Insert, 0, 2)], vec![First, Duplicate, Conflict], 0),
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

fn identity(wallet: u32, asset: u32, id: u128) -> Identity {
    Identity { wallet: Some(Sym::from_index(wallet)), asset: Some(AssetId(asset)), id }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![6 => Just(Op::Insert), 1 => Just(Op::Correct), 2 => Just(Op::Bust)]
}

/// Counted ids, ids far apart, the greatest number, and digests.
fn id() -> impl Strategy<Value = u128> {
    let greatest = u128::from(u64::MAX);
    let odd = prop::sample::select(vec![
        1 << 31,
        1 << 33,
        (1 << 40) + 1,
        greatest,
        greatest + 1,
        1 << 127,
    ]);
    prop_oneof![4 => 0u128..12, 1 => odd]
}

proptest! {
    #[test]
    fn few_identities_are_judged_as_by_a_plain_map(
        memory in prop::option::of(Just(0)),
        events in prop::collection::vec(
            ((0u32..3, 0u32..2, id()), op(), prop_oneof![Just(0u64), 0u64..4, Just(u64::MAX)], 0u32..3),
            0..300,
        ),
    ) {
        let (mut identities, mut twin) = (within(memory).0, Twin::default());
        for ((wallet, asset, id), op, revision, content) in events {
            let identity = identity(wallet, asset, id);
            let standing = identities.judge(identity, op, revision, content).unwrap();
            prop_assert_eq!(standing, twin.judge(identity, op, revision, content));
            prop_assert_eq!(identities.n_pending(), twin.n_pending());
        }
    }
}

/// What ids are like.
#[derive(Clone, Copy, Debug)]
enum Ids {
    /// One by one.
    Counted,
    /// So far apart that a block holds half as many.
    Apart,
    /// So far apart that there are no blocks.
    FarApart,
    /// Several identities of one id.
    Shared,
    /// Digests of texts.
    Texts,
    /// All of these by turns, a thousand of each.
    Mixed,
}

const ALL_IDS: [Ids; 6] =
    [Ids::Counted, Ids::Apart, Ids::FarApart, Ids::Shared, Ids::Texts, Ids::Mixed];

impl Ids {
    /// The identity of a number.
    fn identity(self, n: u64) -> Identity {
        let wallet = u32::try_from(n % 1000).unwrap();
        let id: u128 = match self {
            Self::Counted => n.into(),
            Self::Apart => u128::from(n) << 25,
            Self::FarApart => u128::from(n) << 31,
            // More of them than are looked at one after the other.
            Self::Shared => (n / 20).into(),
            Self::Texts => u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 20 | 1 << 127,
            Self::Mixed => {
                let turn = usize::try_from(n / 1000).unwrap() % 5;
                return ALL_IDS[turn].identity(n);
            }
        };
        identity(wallet, wallet % 7, id)
    }
}

/// Many more than a run holds, so that runs are merged and filters widened, with repeats, conflicts,
/// corrects and busts among new ones and old.
#[test]
fn many_identities_are_judged_as_by_a_plain_map() {
    judge_many(within(None).0, Ids::Texts, 400_000);
    for ids in ALL_IDS {
        judge_many(within(None).0, ids, 60_000);
    }
}

/// The same with most or all of them outside memory.
#[test]
fn many_identities_outside_memory_are_judged_as_by_a_plain_map() {
    let small = ALL_IDS.map(|ids| (100_000, ids, 60_000));
    let large = [(100_000, Ids::Texts, 400_000), (2_000_000, Ids::Texts, 400_000)];
    for (memory, ids, n_events) in small.into_iter().chain(large) {
        let (identities, spill) = within(Some(memory));
        let n_bytes = judge_many(identities, ids, n_events);
        let memory = usize::try_from(memory).unwrap();
        // Of 16 bytes an identity; recent ones, filters and revised ones come on top.
        assert!(n_bytes < memory + 3_000_000, "{ids:?}: {n_bytes} bytes");
        assert!(spill.unwrap().n_written() > n_events, "{ids:?}");
    }
}

/// Identities of which some bytes stay in memory.
fn within(memory: Option<u64>) -> (Identities, Option<Spill>) {
    let Some(memory) = memory else { return (Identities::default(), None) };
    let folder = tempfile::tempdir().unwrap();
    let spill = Spill::new(folder.path(), memory * 4).unwrap();
    // Open files outlive their folder; the folder is made when the first is.
    (Identities::new(Some(spill.of_relation(0, 1))), Some(spill))
}

/// Gives how many bytes are in memory at the end.
fn judge_many(mut identities: Identities, ids: Ids, n_events: u64) -> usize {
    let mut twin = Twin::default();
    let mut state = 7u64;
    let mut draw = |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for i in 0..n_events {
        let n = if draw(5) == 0 { draw(i + 1) } else { i };
        let op = match draw(40) {
            0 => Op::Bust,
            1 => Op::Correct,
            _ => Op::Insert,
        };
        let revision = if draw(40) == 0 { draw(3) } else { 0 };
        let content = u32::try_from(n + u64::from(draw(30) == 0)).unwrap();
        let identity = ids.identity(n);
        let standing = identities.judge(identity, op, revision, content).unwrap();
        assert_eq!(
            standing,
            twin.judge(identity, op, revision, content),
            "event {i}: {identity:?}"
        );
        assert_eq!(identities.n_pending(), twin.n_pending());
    }
    assert!(identities.n_pending() > 0);
    identities.n_bytes()
}

#[test]
fn an_identity_costs_at_most_18_bytes_and_a_counted_one_13() {
    for (ids, most) in ALL_IDS.into_iter().zip([13, 17, 18, 18, 18, 18]) {
        let mut identities = Identities::default();
        let n = 200_000u32;
        for i in 0..n {
            identities.judge(ids.identity(i.into()), Op::Insert, 0, i).unwrap();
        }
        let of_all = identities.n_bytes();
        // Beside what waits in each shard to be sorted.
        let most = most * usize::try_from(n).unwrap() + 600_000;
        assert!(of_all <= most, "{ids:?}: {of_all} bytes");
    }
}

/// Identities that agree in all 64 bits by which runs are sorted stay apart.
#[test]
fn prints_of_equal_order_are_told_apart() {
    let spill = within(Some(0)).1.unwrap();
    for spilling in [None, Some(spill.of_relation(0, 1))] {
        assert_prints_are_told_apart(Cold::new(spilling));
    }
}

fn assert_prints_are_told_apart(mut cold: Cold) {
    let mut shard = Shard::new(0, &cold);
    for low in 0..2000u32 {
        let print = Print { high: u64::from(low / 700), low };
        assert_eq!(shard.find(print, &mut cold).unwrap(), None);
        shard.push(print, low, &mut cold).unwrap();
        if cold.is_full() {
            shard.spill(&mut cold).unwrap();
        }
    }
    for low in 0..2000u32 {
        let print = Print { high: u64::from(low / 700), low };
        assert_eq!(shard.find(print, &mut cold).unwrap(), Some(low));
    }
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use types::sabotage::{Safeguard, assert_noticed};

    use super::*;

    #[test]
    fn what_the_filter_thinks_came() {
        for safeguard in [
            Safeguard::AscendingIsAbove,
            Safeguard::AscendingIsSearched,
            Safeguard::FilterIsAsked,
            Safeguard::FilterNeverDenies,
            Safeguard::ConflictByContent,
        ] {
            assert_noticed(safeguard, 1, |_| {
                for ids in [Ids::Counted, Ids::Texts] {
                    judge_many(within(None).0, ids, 20_000);
                }
            });
        }
    }
}
