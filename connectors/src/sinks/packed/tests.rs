//! Packed rows against a map of texts.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use types::value::Float;
use types::{Column, Decimal, Kind, Row, Text, Value, VenueTime, json};

use super::*;

/// A key's text by which it is sorted, and what is held of it: nothing where it is gone.
type Twin = BTreeMap<Vec<u8>, Option<Value>>;

fn schema(kinds: &[Kind]) -> Arc<Schema> {
    const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];
    let column = |(name, kind): (&&'static str, &Kind)| Column {
        name: (*name).into(),
        kind: *kind,
        nullable: true,
    };
    let mut columns: Vec<Column> = NAMES.iter().zip(kinds).map(column).collect();
    columns.push(Column { name: "last".into(), kind: Kind::Number, nullable: false });
    Schema { columns, n_key: kinds.len(), time: None }.shared()
}

/// Texts that meet at what is escaped, at quotes and at what sorts before a quote, behind starts of all
/// lengths up to beyond two words.
fn text() -> impl Strategy<Value = Value> {
    let start = prop_oneof![Just(0), 0usize..18];
    (start, "[a!\"\\\\ \u{1}\u{e9}]{0,2}")
        .prop_map(|(n, end)| Value::from(Text::from("a".repeat(n) + &end)))
}

fn time() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i64>(), 0i64..3].prop_map(|nanos| Value::Time(VenueTime::from_nanos(nanos)))
}

/// Times among which are nulls; and numbers, of which one's text is the start of another's.
fn other() -> impl Strategy<Value = Value> {
    let float =
        (-30i32..30).prop_map(|n| Float::new(f64::from(n) / 8.0).map_or(Value::Null, Value::Float));
    prop_oneof![1 => Just(Value::Null), 3 => time(), 3 => float, 1 => any::<bool>().prop_map(Value::Bool)]
}

/// Epochs of changes: keys that are put, or gone.
fn epochs() -> impl Strategy<Value = Vec<Vec<([Value; 3], bool)>>> {
    let change = ((text(), time(), other()), prop::bool::weighted(0.8));
    let change = change.prop_map(|((a, b, c), is_put)| ([a, b, c], is_put));
    let some = prop::collection::vec(change, 1..40);
    // Some of the keys come back, epoch after epoch.
    (some, prop::collection::vec(prop::collection::vec((0usize..40, any::<bool>()), 0..20), 1..12))
        .prop_map(|(keys, epochs)| {
            let pick = |(nth, is_put): &(usize, bool)| {
                let (key, put) = keys[nth % keys.len()].clone();
                (key, put || *is_put)
            };
            epochs.iter().map(|epoch| epoch.iter().map(pick).collect()).collect()
        })
}

/// Takes epochs and compares what is held with the twin; gives how many changes are held in the end, and their bytes.
fn check(
    schema: &Arc<Schema>,
    epochs: &[Vec<(Vec<Value>, bool)>],
    compacts_min: usize,
    is_all: bool,
) -> (usize, usize) {
    let names = Arc::new(Names::default());
    let mut packed = Packed::new(schema, &names, schema.n_key, compacts_min);
    let (mut twin, mut standing, mut n) = (Twin::new(), Twin::new(), 0u64);
    for epoch in epochs {
        let mut changes: BTreeMap<Row, isize> = BTreeMap::new();
        for (key, is_put) in epoch {
            let row = |value: Value| Row(key.iter().cloned().chain([value]).collect());
            let mut text = Vec::new();
            n += 1;
            let new = is_put.then(|| Value::Number(Decimal::new(n.into(), 3)));
            json::write_key(&mut text, &row(Value::Null), schema, &names);
            for (value, diff) in [(standing.remove(&text).flatten(), -1), (new.clone(), 1)] {
                if let Some(value) = value {
                    *changes.entry(row(value)).or_default() += diff;
                }
            }
            if is_put.to_owned() || twin.contains_key(&text) {
                twin.insert(text.clone(), new.clone());
            }
            standing.insert(text, new);
        }
        let changes = changes.into_iter().filter(|(_, diff)| *diff != 0).collect();
        packed.take(&Changes::Rows(changes), is_all);
    }
    let held = |places: &[u32]| {
        let mut held = Vec::new();
        packed.show(places, |key, change| {
            let mut text = Vec::new();
            packed.write_key(key, &mut text);
            let (mark, mut cells) = change.split_first().unwrap();
            let value = (*mark == ROW).then(|| Value::from(cells::read(&mut cells).unwrap()));
            held.push((text, value));
        });
        held
    };
    let mut places = packed.last_of_keys();
    let of_twin = |(text, value): (&Vec<u8>, &Option<Value>)| (text.clone(), value.clone());
    if !is_all {
        assert!(held(&places).iter().all(|(text, value)| twin.get(text) == Some(value)));
    }
    packed.retain_standing(&mut places);
    let stands = |(_, value): &(&Vec<u8>, &Option<Value>)| value.is_some();
    assert_eq!(held(&places), twin.iter().filter(stands).map(of_twin).collect::<Vec<_>>());
    (packed.len(), packed.n_bytes())
}

proptest! {
    #[test]
    fn what_is_held_is_the_last_of_each_key(
        epochs in epochs(),
        compacts_min in prop_oneof![Just(0usize), 0usize..4_000, Just(1 << 20)],
        is_all: bool,
    ) {
        // Kinds aren't looked at.
        let schema = schema(&[Kind::Text, Kind::Time, Kind::Time]);
        let whole = |(key, is_put): ([Value; 3], bool)| (key.to_vec(), is_put);
        let epochs: Vec<_> = epochs.into_iter().map(|epoch| epoch.into_iter().map(whole).collect()).collect();
        check(&schema, &epochs, compacts_min, is_all);
    }
}

proptest! {
    #[test]
    fn rows_are_found_where_they_were_put(lengths in prop::collection::vec(1usize..80, 0..2_500)) {
        // Those of more than 32 bytes stand apart, here.
        let row = |(nth, length): (usize, &usize)| vec![nth.to_le_bytes()[0]; *length];
        let rows: Vec<Vec<u8>> = lengths.iter().enumerate().map(row).collect();
        let mut arena = Arena::default();
        for row in &rows {
            arena.push(|out| out.extend_from_slice(row));
        }
        prop_assert_eq!(arena.len(), rows.len());
        prop_assert!((0..).zip(&rows).all(|(place, row)| arena.at(place) == row));
        prop_assert!(arena.n_bytes() >= lengths.iter().sum());
    }
}

#[test]
fn keys_that_take_more_than_128_bits_are_ordered_as_well() {
    // Eight columns of 2,000 texts are 88 bits with 11 of the place; of 40,000, 144.
    for n in [2_000u64, 40_000] {
        let schema = schema(&[Kind::Text; 8]);
        let row = |nth: u64| {
            let text = |factor: u64| Value::from(Text::from((nth * factor % 40_009).to_string()));
            ([1, 7, 11, 13, 17, 19, 23, 29].map(text).to_vec(), true)
        };
        // Half of the keys twice.
        let epochs = [(0..n).map(row).collect::<Vec<_>>(), (0..n / 2).map(row).collect()];
        let (n_held, _) = check(&schema, &epochs, usize::MAX, true);
        assert_eq!(n_held, usize::try_from(n + n / 2).unwrap());
    }
}

#[test]
fn keys_that_change_all_the_time_are_held_a_few_times() {
    // All are new at first, so that they aren't looked up; what is kept of them is looked through later.
    let key = |n: u64| (vec![Value::from(Text::from(format!("a key that is long: {n}")))], true);
    let schema = schema(&[Kind::Text]);
    for (n_keys, n_epochs) in [(10, 1_000), (300, 300)] {
        let epochs: Vec<_> = (0..n_epochs).map(|_| (0..n_keys).map(key).collect()).collect();
        let (n_held, n_bytes) = check(&schema, &epochs, 1_000, true);
        assert!(n_held < 100 * 30, "{n_held} changes of {n_keys} keys");
        assert!(n_bytes < 200 * 300 * 8, "{n_bytes} bytes of {n_keys} keys");
    }
}
