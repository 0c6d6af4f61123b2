//! Adjoined changes against sorted ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::row::Row;
use crate::schema::{Column, Kind};

/// A key of two columns, which start alike, and a number.
fn schema() -> Schema {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let columns =
        vec![column("a", Kind::Count), column("b", Kind::Count), column("n", Kind::Count)];
    Schema { columns, n_key: 2, time: None }
}

fn row(key: u64, n: u64) -> Row {
    Row(Arc::new([Value::from(key / 3), Value::from(key % 3), Value::from(n)]))
}

/// What an operator with the contract tells of keys that went from one number to another; zero is
/// none.
fn told(changed: &BTreeMap<u64, (u64, u64)>) -> Vec<(Row, isize)> {
    let mut rows = Vec::new();
    for (key, (old, new)) in changed {
        rows.extend((*old > 0).then(|| (row(*key, *old), -1)));
        rows.extend((*new > 0).then(|| (row(*key, *new), 1)));
    }
    rows
}

fn keys() -> impl Strategy<Value = BTreeMap<u64, (u64, u64)>> {
    prop::collection::btree_map(0u64..30, (0u64..4, 0u64..4), 0..20)
}

/// What became of each key, by its text.
fn read(rows: &[(Row, isize)]) -> BTreeMap<Box<[Value]>, Option<Row>> {
    let schema = schema();
    let mut found = BTreeMap::new();
    for change in by_key(rows, &schema) {
        let (row, new) = match change {
            Change::Put(row) => (row, Some(row.clone())),
            Change::Del(row) => (row, None),
        };
        assert_eq!(found.insert(row.key(&schema), new), None, "a key comes once");
    }
    found
}

fn sorted(mut rows: Vec<(Row, isize)>) -> Vec<(Row, isize)> {
    consolidate(&mut rows);
    rows
}

/// What is told, with noise that adds up to nothing, in any order.
fn check_any_order(changed: &BTreeMap<u64, (u64, u64)>, noise: &[(u64, u64)], order: u64) {
    let mut rows = told(changed);
    rows.extend(noise.iter().map(|(key, n)| (row(*key, *n), 1)));
    rows.extend(noise.iter().map(|(key, n)| (row(*key, *n), -1)));
    let mut chance = order;
    rows.sort_by_cached_key(|_| {
        chance = chance.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        chance >> 32
    });
    let sum = sorted(rows.clone());
    adjoin(&mut rows, &schema());
    let expected: BTreeMap<Box<[Value]>, Option<Row>> = changed
        .iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(key, (_, new))| (row(*key, 0).key(&schema()), (*new > 0).then(|| row(*key, *new))))
        .collect();
    assert_eq!(read(&rows), expected);
    assert_eq!(sorted(rows), sum);
}

/// What is told, some pairs the wrong way round.
fn check_pairs(changed: BTreeMap<u64, (u64, u64)>, turned: u64) {
    let mut rows = Vec::new();
    for (place, (key, change)) in changed.iter().enumerate() {
        let mut pair = told(&BTreeMap::from([(*key, *change)]));
        if turned >> place & 1 == 1 {
            pair.reverse();
        }
        rows.extend(pair);
    }
    assert_ne!(found(&rows, &schema()), Found::Apart);
    adjoin(&mut rows, &schema());
    let expected = changed.into_iter().filter(|(_, (old, new))| old != new).collect();
    assert_eq!(rows, told(&expected));
}

fn noise() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0u64..90, 1u64..9), 0..6)
}

proptest! {
    #[test]
    fn changes_in_any_order_become_one_a_key(
        changed in keys(), noise in noise(), order in any::<u64>(),
    ) {
        check_any_order(&changed, &noise, order);
    }

    #[test]
    fn pairs_are_put_right_where_they_stand(changed in keys(), turned in any::<u64>()) {
        check_pairs(changed, turned);
    }

    #[test]
    fn what_holds_the_contract_stays_as_it_is(changed in keys()) {
        let rows = told(&changed.into_iter().filter(|(_, (old, new))| old != new).collect());
        prop_assert_eq!(found(&rows, &schema()), Found::Adjoined);
        let mut adjoined = rows.clone();
        adjoin(&mut adjoined, &schema());
        prop_assert_eq!(adjoined, rows);
    }
}

#[test]
fn what_breaks_the_contract_is_seen() {
    let (a, b) = (row(1, 1), row(2, 1));
    let c = row(1, 2);
    for (rows, expected) in [
        (vec![(a.clone(), -1), (c.clone(), 1), (b.clone(), 1)], Found::Adjoined),
        (vec![(c.clone(), 1), (a.clone(), -1)], Found::Pairs),
        (vec![(a.clone(), -1), (a.clone(), 1)], Found::Pairs),
        (vec![(a.clone(), -1), (b.clone(), 1), (c.clone(), 1)], Found::Apart),
        (vec![(a.clone(), -1), (c.clone(), 1), (c.clone(), -1)], Found::Apart),
        (vec![(a.clone(), 1), (a.clone(), 1)], Found::Apart),
        (vec![(a.clone(), 2)], Found::Apart),
        (vec![(a.clone(), 0)], Found::Apart),
    ] {
        assert_eq!(found(&rows, &schema()), expected, "{rows:?}");
    }
}

#[test]
#[should_panic(expected = "more than one row of a key in an epoch")]
fn two_rows_of_a_key_are_a_bug_of_an_operator() {
    let mut rows = vec![(row(1, 1), 1), (row(1, 2), 1)];
    adjoin(&mut rows, &schema());
    read(&rows);
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;
    use crate::sabotage::assert_noticed;

    fn sample<S: Strategy>(strategy: &S, seed: u64) -> S::Value {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        strategy.new_tree(&mut runner).unwrap().current()
    }

    #[test]
    fn changes_of_a_key_that_stand_apart() {
        assert_noticed(Safeguard::AdjoinsApart, 50, |seed| {
            let (changed, noise, order) = sample(&(keys(), noise(), any::<u64>()), seed);
            check_any_order(&changed, &noise, order);
        });
    }

    #[test]
    fn pairs_the_wrong_way_round() {
        assert_noticed(Safeguard::AdjoinsPairs, 50, |seed| {
            let (changed, turned) = sample(&(keys(), any::<u64>()), seed);
            check_pairs(changed, turned);
        });
    }
}

#[test]
fn a_digest_tells_changes_apart_and_not_their_order() {
    let row = |name: &str, size: i64| {
        let number = crate::Decimal::from(size);
        crate::Row(std::sync::Arc::new([Value::Text(name.into()), Value::Number(number)]))
    };
    let digest = |rows: &[(&str, i64, isize)]| {
        let rows = rows.iter().map(|(name, size, diff)| (row(name, *size), *diff));
        Changes::Rows(rows.collect()).digest()
    };
    let some = [("a", 1, 1), ("b", 2, -1), ("ab", 1, 1)];
    let mut turned = some;
    turned.reverse();
    assert_eq!(digest(&some), digest(&turned));
    let mut seen = std::collections::BTreeSet::new();
    for name in ["", "a", "b", "ab", "a\0", "a long name that has more than one word"] {
        for size in [-1, 0, 1, i64::MAX] {
            for diff in [-1, 1, 2] {
                assert!(seen.insert(digest(&[(name, size, diff)])), "{name:?} {size} {diff}");
            }
        }
    }
}
