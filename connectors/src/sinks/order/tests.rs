//! The order by ranks against the order by texts.

use std::sync::Arc;

use proptest::prelude::*;
use types::relations::{FoldError, PnlNow};
use types::{EventId, Interner, Kind, Row, Text, Value, VenueTime};

use super::*;
use crate::sinks::tests::{history, views};

/// Orders by both ways; the ranks' is `None` where they refuse.
fn both<R: Relation>(rows: &[R], schema: &Schema, names: &Names) -> (Option<Vec<u32>>, Vec<u32>) {
    let rows = (0..).zip(rows);
    (
        by_ranks::<JsonKeys, R>(rows.clone(), schema, names),
        by_bytes::<JsonKeys, R>(rows, schema, names),
    )
}

/// Names that meet at what is escaped, at quotes and at what sorts before a quote, behind starts of all
/// lengths up to beyond two words.
fn name() -> impl Strategy<Value = String> {
    let start = prop_oneof![Just(0), 0usize..18];
    (start, "[a!\"\\\\ \u{1}\u{e9}]{0,4}").prop_map(|(n, end)| "a".repeat(n) + &end)
}

fn column(name: &'static str, kind: Kind) -> types::Column {
    types::Column { name: name.into(), kind, nullable: false }
}

proptest! {
    #[test]
    fn ranks_order_as_texts_do(seed: u64, n_keys in 2u64..300) {
        let history = history(seed, 6, n_keys);
        let changes = history.epochs.last().unwrap();
        for ((_, _, schema), changes) in views().iter().zip(&changes.1) {
            types::with_changes!(changes.as_ref(), rows => {
                let mut rows: Vec<_> = rows.clone().into_iter().unzip::<_, _, Vec<_>, Vec<_>>().0;
                rows.dedup_by(|a, b| a.has_key_of(b, schema));
                if rows.len() > 1 {
                    let (ranks, texts) = both(&rows, schema, &history.names);
                    prop_assert_eq!(ranks, Some(texts));
                }
            });
        }
    }

    #[test]
    fn odd_names_and_times_order_as_texts_do(
        keys in prop::collection::btree_set((name(), name(), any::<i64>()), 2..40),
    ) {
        check_odd(keys.into_iter().collect());
    }
}

fn check_odd(keys: Vec<(String, String, i64)>) {
    let columns = vec![column("a", Kind::Text), column("b", Kind::Text), column("t", Kind::Time)];
    let schema = Schema { columns, n_key: 3, time: None };
    // Equal texts at different addresses.
    let row = |(a, b, time): (String, String, i64)| {
        let time = Value::Time(VenueTime::from_nanos(time));
        Row(Arc::new([Value::Text(Text::from(a)), Value::Text(Text::from(b)), time]))
    };
    let rows: Vec<Row> = keys.into_iter().map(row).collect();
    let (ranks, texts) = both(&rows, &schema, &Names::default());
    assert_eq!(ranks, Some(texts));
}

#[cfg(feature = "sabotage")]
#[test]
fn equal_texts_at_two_addresses() {
    types::sabotage::assert_noticed(types::sabotage::Safeguard::RanksByText, 1, |_| {
        // Longer than what stands in a row.
        let long = "a text that is too long to stand in its row";
        let keys = [("z", 2), ("y", 1), ("x", 3), ("w", 0)];
        check_odd(keys.map(|(b, time)| (long.to_owned(), b.to_owned(), time)).to_vec());
    });
}

#[test]
fn keys_of_other_kinds_are_ordered_by_their_texts() {
    let schema = Schema { columns: vec![column("n", Kind::Count)], n_key: 1, time: None };
    let rows: Vec<Row> = [9u64, 10, 1].map(|n| Row(Arc::new([Value::from(n)]))).into();
    let (ranks, texts) = both(&rows, &schema, &Names::default());
    assert_eq!((ranks, texts.as_slice()), (None, &[2, 1, 0][..]));
    assert_eq!(by_key::<JsonKeys, _>((0..).zip(&rows), &schema, &Names::default()), texts);

    let mut interner = Interner::new(false);
    let (wallet, asset) = (interner.sym("w"), interner.asset("v", "a"));
    let error = |id: &str| FoldError {
        wallet,
        asset,
        id: EventId::new(id),
        reason: Text::Word("oversell"),
        event_time: VenueTime::MIN,
    };
    let rows = ["10", "9", "x"].map(error);
    // The digest of `x` starts with another digit than 1.
    let order = by_key::<JsonKeys, _>((0..).zip(&rows), &FoldError::schema(), interner.names());
    assert_eq!(order.first(), Some(&0));
}

#[test]
fn ranks_that_take_more_than_64_bits_still_order() {
    // Five columns of 2,000 texts are 55 bits, the place 11.
    let columns = ["a", "b", "c", "d", "e"].map(|name| column(name, Kind::Text)).to_vec();
    let schema = Schema { columns, n_key: 5, time: None };
    let row = |n: u64| {
        let text = |factor: u64| Value::Text(Text::from((n * factor % 2003).to_string()));
        Row([1, 7, 11, 13, 17].map(text).into_iter().collect())
    };
    let rows: Vec<Row> = (0..2000).map(row).collect();
    let (ranks, texts) = both(&rows, &schema, &Names::default());
    assert_eq!(ranks, Some(texts));
    assert_eq!(both::<PnlNow>(&[], &PnlNow::schema(), &Names::default()), (Some(vec![]), vec![]));
}
