//! The plain way to encode: row by row as `RowBinary`, sorted by all of a row's bytes. Blocks of columns
//! hold the same rows in the same order.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::sync::Arc;

use proptest::prelude::*;
use types::relations::{Relation, RelationKind};
use types::{Cell, Changes, Column, Decimal, Epoch, Kind, Names, Row, Schema, Value, VenueTime};

use super::batch::{self, Limits, PART, Part};
use super::encode;
use super::layout::{VERSION_COLUMNS, partition_column, sent_type};
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::sinks::held::Held;
use crate::sinks::many;
use crate::sinks::shown::{Shown, Visit};
use crate::sinks::tests::{history, views};

/// Each row with its partition.
struct Twin<'a> {
    schema: &'a Schema,
    names: &'a Names,
    bytes: Vec<u8>,
    rows: Vec<(u32, usize, usize)>,
}

impl Visit for Twin<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        for Shown { row, is_deleted, epoch } in rows {
            let (mut partition, start) = (0, self.bytes.len());
            for (index, column) in self.schema.columns.iter().enumerate() {
                let cell = row.cell(index, self.names);
                encode::column(&mut self.bytes, column, &cell).unwrap();
                if let (true, Cell::Time(time)) =
                    (partition_column(self.schema) == Some(index), cell)
                {
                    partition = encode::month(time);
                }
            }
            self.bytes.extend_from_slice(&((3u64 << 40) + epoch.0).to_le_bytes());
            self.bytes.push(u8::from(*is_deleted));
            self.rows.push((partition, start, self.bytes.len()));
        }
        Ok(())
    }
}

impl<'a> Twin<'a> {
    fn new(schema: &'a Schema, names: &'a Names) -> Self {
        Self { schema, names, bytes: Vec::new(), rows: Vec::new() }
    }

    /// The rows of each partition, one behind the other.
    fn parts(mut self) -> Vec<Vec<u8>> {
        let row = |(_, start, end): &(u32, usize, usize)| &self.bytes[*start..*end];
        self.rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| row(a).cmp(row(b))));
        let parts = self.rows.chunk_by(|a, b| a.0 == b.0);
        parts.map(|rows| rows.iter().map(row).collect::<Vec<_>>().concat()).collect()
    }
}

/// Reads a block as ClickHouse documents it.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// A length in groups of 7 bits, with the bytes that it takes.
    fn length(&mut self) -> usize {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let [group] = *self.bytes(1) else { unreachable!("it is one") };
            length |= usize::from(group & 0x7f) << shift;
            if group < 0x80 {
                break;
            }
        }
        length
    }

    fn text(&mut self) -> &'a [u8] {
        let length = self.length();
        self.bytes(length)
    }

    /// A cell as `RowBinary` has it too.
    fn cell(&mut self, kind: Kind) -> &'a [u8] {
        let whole = self.0;
        match kind {
            Kind::Bool | Kind::Word(_) => self.bytes(1),
            Kind::Count | Kind::Price | Kind::Float | Kind::Time => self.bytes(8),
            Kind::Size | Kind::Money | Kind::Number => self.bytes(16),
            Kind::Text | Kind::Name => self.text(),
        };
        &whole[..whole.len() - self.0.len()]
    }
}

/// The rows of a block as `RowBinary` has them.
fn by_row(schema: &Schema, part: &Part) -> Vec<Vec<u8>> {
    let mut reader = Reader(&part.bytes);
    assert_eq!(reader.length(), schema.columns.len() + VERSION_COLUMNS.len());
    assert_eq!(reader.length(), part.n_rows);
    let mut rows = vec![Vec::new(); part.n_rows];
    let mut read = |column: &Column, kind: &str| {
        assert_eq!(reader.text(), column.name.as_bytes());
        assert_eq!(reader.text(), kind.as_bytes());
        let nulls = if column.nullable { reader.bytes(part.n_rows) } else { &[] };
        for (nth, row) in rows.iter_mut().enumerate() {
            let cell = reader.cell(column.kind);
            row.extend(nulls.get(nth));
            if nulls.get(nth) != Some(&1) {
                row.extend_from_slice(cell);
            }
        }
    };
    schema.columns.iter().for_each(|column| read(column, &sent_type(column)));
    for ((name, kind, _), is) in VERSION_COLUMNS.iter().zip([Kind::Count, Kind::Bool]) {
        read(&Column { name: (*name).into(), kind: is, nullable: false }, kind);
    }
    assert!(reader.0.is_empty(), "{} bytes are left", reader.0.len());
    rows
}

fn held(view: &SinkView, epochs: &[(Epoch, &Changes)]) -> Held {
    let mut held = Held::new(view.kind);
    for (epoch, changes) in epochs {
        held.take(changes, &view.schema, *epoch);
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn blocks_hold_the_rows_of_a_row_at_a_time(
        seed: u64,
        n_epochs in 0u64..20,
        n_keys in prop_oneof![1u64..40, 200u64..300],
    ) {
        let history = history(seed, n_epochs, n_keys);
        for (index, (name, kind, schema)) in views().into_iter().enumerate() {
            let view = SinkView { name: name.into(), kind, schema };
            let changes = |(epoch, views): &'_ (Epoch, Vec<_>)| (*epoch, Arc::clone(&views[index]));
            let epochs: Vec<(Epoch, Arc<Changes>)> =
                history.epochs.iter().map(changes).collect();
            let epochs: Vec<(Epoch, &Changes)> = epochs.iter().map(|(e, c)| (*e, &**c)).collect();
            let held = held(&view, &epochs);
            let mut twin = Twin::new(&view.schema, &history.names);
            held.visit(&mut twin).unwrap();
            let n_deleted = twin.rows.iter().filter(|row| twin.bytes.get(row.2 - 1) == Some(&1)).count();
            let encoded = batch::encode(&view, &history.names, 3, &held, PART).unwrap();
            prop_assert_eq!(encoded.n_deleted, u64::try_from(n_deleted).unwrap());
            let found: Vec<Vec<u8>> =
                encoded.parts.iter().map(|part| by_row(&view.schema, part).concat()).collect();
            prop_assert_eq!(found, twin.parts());
        }
    }

    #[test]
    fn parts_are_cut_where_they_are_full(
        seed: u64,
        n_keys in 1u64..2_000,
        n_rows in prop_oneof![1usize..9, 1usize..200, Just(PART.n_rows)],
        n_bytes in prop_oneof![1usize..9, 1usize..60_000],
    ) {
        let history = history(seed, 4, n_keys);
        for (index, (name, kind, schema)) in views().into_iter().enumerate() {
            let view = SinkView { name: name.into(), kind, schema };
            let (epoch, changes) = history.epochs.first().unwrap();
            let held = held(&view, &[(*epoch, &changes[index])]);
            let encode = |limits| batch::encode(&view, &history.names, 3, &held, limits).unwrap();
            let whole = encode(PART).parts;
            let mut cut = encode(Limits { n_rows, n_bytes }).parts.into_iter();
            for whole in whole {
                let (whole, mut rows) = (by_row(&view.schema, &whole), Vec::new());
                while rows.len() < whole.len() {
                    let part = cut.next().unwrap();
                    prop_assert!(part.n_rows <= n_rows);
                    let of_part = by_row(&view.schema, &part);
                    // Rows come in blocks; without its last one a part isn't full.
                    let before = part.n_rows.saturating_sub(64);
                    prop_assert!(before == 0 || of_part[..before].concat().len() < n_bytes);
                    rows.extend(of_part);
                    let is_full = part.n_rows == n_rows || part.bytes.len() >= n_bytes;
                    prop_assert!(is_full || rows.len() == whole.len(), "{} rows", part.n_rows);
                }
                prop_assert_eq!(rows, whole);
            }
            prop_assert!(cut.next().is_none());
        }
    }

    #[test]
    fn odd_names_are_ordered_by_all_of_their_bytes(
        keys in prop::collection::btree_set((odd(), odd(), 0usize..3, any::<i32>()), 1..60),
    ) {
        let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
        let columns = vec![
            column("a", Kind::Text),
            Column { nullable: true, ..column("b", Kind::Name) },
            column("w", Kind::Word(WORDS)),
            column("t", Kind::Time),
        ];
        let schema = Schema { columns, n_key: 4, time: None }.shared();
        let view = SinkView { name: "odd".into(), kind: RelationKind::Rows, schema };
        let row = |(a, b, word, time): (String, String, usize, i32)| {
            let text = |text: String| Value::Text(types::Text::from(text));
            let time = VenueTime::from_nanos(i64::from(time) * (1 << 29));
            (Row([text(a), text(b), Value::word(WORDS[word]), Value::Time(time)].into()), 1)
        };
        let changes = Changes::Rows(keys.into_iter().map(row).collect());
        let held = held(&view, &[(Epoch(1), &changes)]);
        let names = Names::default();
        let mut twin = Twin::new(&view.schema, &names);
        held.visit(&mut twin).unwrap();
        let encoded = batch::encode(&view, &names, 3, &held, PART).unwrap();
        let found: Vec<Vec<u8>> =
            encoded.parts.iter().map(|part| by_row(&view.schema, part).concat()).collect();
        prop_assert_eq!(found, twin.parts());
    }
}

/// In another order than by their numbers.
const WORDS: &[&str] = &["z", "b", "aa"];

/// Names that share starts of all lengths, also where a length takes two bytes.
fn odd() -> impl Strategy<Value = String> {
    let start = prop_oneof![Just(0), 0usize..18, 120usize..135];
    (start, "[a!\u{e9}]{0,4}").prop_map(|(n, end)| "a".repeat(n) + &end)
}

#[test]
fn keys_that_differ_behind_the_ninth_decimal_have_an_order() {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let columns = vec![column("number", Kind::Number), column("n", Kind::Count)];
    let schema = Schema { columns, n_key: 1, time: None }.shared();
    let view = SinkView { name: "numbers".into(), kind: RelationKind::Rows, schema };
    let row = |n: u64| {
        let number = Decimal::new(10i128.pow(11) + i128::from(n % 7), 11);
        (Row([Value::Number(number), Value::from(n)].into()), 1)
    };
    let parts = |order: &[u64]| {
        let changes = Changes::Rows(order.iter().copied().map(row).collect());
        let held = held(&view, &[(Epoch(1), &changes)]);
        let encoded = batch::encode(&view, &Names::default(), 3, &held, PART).unwrap();
        encoded.parts.into_iter().map(|part| part.bytes).collect::<Vec<_>>()
    };
    assert_eq!(parts(&[0, 8, 2, 3]), parts(&[3, 2, 0, 8]));
    assert_ne!(parts(&[0, 8, 2, 3]), parts(&[0, 8, 2, 4]));
}

fn cost<T>(work: impl FnOnce() -> T) -> u64 {
    let start = many::cpu_us();
    drop(work());
    many::cpu_us() - start
}

#[test]
#[ignore = "prints what encoding costs: run it alone, in a release build"]
fn what_encoding_costs() {
    for n_rows in [100_000, 1_000_000] {
        let (names, changes) = many::positions(n_rows);
        let kind = RelationKind::Positions;
        let view = SinkView { name: "p".into(), kind, schema: kind.schema().unwrap().shared() };
        let held = held(&view, &[(Epoch(1), &changes)]);
        drop(changes);
        let (mut by_row, mut by_column) = (u64::MAX, u64::MAX);
        for _ in 0..9 {
            by_row = by_row.min(cost(|| {
                let mut twin = Twin::new(&view.schema, &names);
                held.visit(&mut twin).unwrap();
                twin.parts()
            }));
            by_column =
                by_column.min(cost(|| batch::encode(&view, &names, 3, &held, PART).unwrap().parts));
        }
        println!(
            "{n_rows} positions, CPU us: by row {by_row}, by column {by_column} ({} %)",
            by_column * 100 / by_row,
        );
    }
}
