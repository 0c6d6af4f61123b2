//! Content digests against comparing whole rows.

use proptest::prelude::*;

use super::*;
use crate::event::{Cell, Draft};
use crate::names::Interner;
use crate::relations::{Fill, InputColumn, InputKind, Quote, RelationKind, Settlement, Trade};
use crate::row::Row;
use crate::schema::{Column, Kind};
use crate::{Size, relations};

/// A cell that a column may hold; few values, so that rows are often equal.
fn cell(column: &InputColumn, choice: u8, draft: &mut Draft, index: usize) {
    let choices = [0, 1_000_000_000, i128::from(i64::MAX) + 1];
    let text = ["0xAb", "0xab", "a", "b"];
    let is_null = !column.needed && choice.is_multiple_of(4);
    let choice = usize::from(choice / 4);
    match column.kind {
        _ if is_null => {}
        InputKind::Text => draft.set_text(index, text[choice % text.len()]),
        InputKind::Nano => {
            // Sizes must be above zero.
            let from = usize::from(column.name == "size");
            let number = choices[from + choice % (choices.len() - 1 - from)];
            draft.set_nano(
                index,
                if column.name == "start_qty" { choices[choice % 3] } else { number },
            );
        }
        InputKind::Count => draft.set(index, Cell::Count(u64::from(choice % 2 == 0))),
        InputKind::Time => {
            let second = 1_767_225_600 + i64::from(choice % 2 == 0);
            draft.set(index, Cell::Time(VenueTime::from_nanos(second * 1_000_000_000)));
        }
        InputKind::Bool => draft.set(index, Cell::Bool(choice % 2 == 0)),
        InputKind::Word(words, _) if choice % 3 == 0 => draft.set_text(index, words[choice % 2]),
        InputKind::Word(..) => draft.set(index, Cell::Word(u8::try_from(choice % 2).unwrap())),
    }
}

fn draft(columns: &[InputColumn], choices: &[u8], seq_is_mapped: bool) -> Draft {
    let mut draft = Draft::default();
    draft.reset(columns.len());
    for (index, (column, choice)) in columns.iter().zip(choices).enumerate() {
        cell(column, *choice, &mut draft, index);
    }
    draft.seq_is_mapped = seq_is_mapped;
    draft
}

/// Two drafts of one identity: whether their contents are equal, by digest and by comparing rows.
fn compared<R: Input>(
    schema: &Schema,
    drafts: [&Draft; 2],
    without_seq: impl Fn(R) -> R,
) -> Option<[bool; 2]> {
    let mut names = Interner::new(false);
    let mut read = |draft: &Draft| R::assemble(&draft.view(), schema, &mut names).ok();
    let (a, b) = (read(drafts[0])?, read(drafts[1])?);
    if a.identity(schema) != b.identity(schema) {
        return None;
    }
    let [of_a, of_b] = [(&a, drafts[0]), (&b, drafts[1])]
        .map(|(row, draft)| content32(row, &draft.view(), schema));
    let [wide_a, wide_b] = [(&a, drafts[0]), (&b, drafts[1])]
        .map(|(row, draft)| content128(row, &draft.view(), schema));
    assert_eq!(of_a == of_b, wide_a == wide_b);
    let [a, b] = [(a, drafts[0]), (b, drafts[1])]
        .map(|(row, draft)| if draft.seq_is_mapped { row } else { without_seq(row) });
    Some([of_a == of_b, a == b])
}

fn declared() -> Schema {
    let column = |name: &'static str, kind, nullable| Column { name: name.into(), kind, nullable };
    let columns = vec![
        column("wallet", Kind::Text, false),
        column("amount", Kind::Number, true),
        column("other", Kind::Number, true),
        column("note", Kind::Text, true),
        column("flag", Kind::Bool, true),
        column("word", Kind::Word(relations::Side::WORDS), true),
        column("event_time", Kind::Time, true),
    ];
    Schema { columns, n_key: 1, time: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn content_is_equal_where_rows_are(
        first in prop::collection::vec(any::<u8>(), 19),
        changes in prop::collection::vec((0usize..19, any::<u8>()), 0..3),
        seq_is_mapped: bool,
    ) {
        let mut second = first.clone();
        for (index, choice) in &changes {
            second[*index] = *choice;
        }
        for kind in [
            RelationKind::Fills, RelationKind::Trades, RelationKind::Quotes,
            RelationKind::Settlements, RelationKind::Rows,
        ] {
            let schema = kind.schema().unwrap_or_else(declared);
            let columns = kind.input_columns(&schema);
            let drafts = [&first, &second].map(|c| draft(&columns, c, seq_is_mapped));
            let drafts = [&drafts[0], &drafts[1]];
            let compared = match kind {
                RelationKind::Fills => compared(&schema, drafts, |r| Fill { seq: 0, ..r }),
                RelationKind::Trades => compared(&schema, drafts, |r| Trade { seq: 0, ..r }),
                RelationKind::Quotes => compared(&schema, drafts, |r| Quote { seq: 0, ..r }),
                RelationKind::Settlements => compared::<Settlement>(&schema, drafts, |r| r),
                _ => compared::<Row>(&schema, drafts, |r| r),
            };
            if let Some([by_digest, by_rows]) = compared {
                prop_assert_eq!(by_digest, by_rows, "{:?} {:?}", kind, drafts);
            }
        }
    }
}

/// What is logged by one release is compared by another.
#[test]
fn contents_are_pinned() {
    let columns = RelationKind::Fills.input_columns(&Fill::schema());
    let draft = draft(&columns, &[41; 19], true);
    let mut names = Interner::new(false);
    let row = Fill::assemble(&draft.view(), &Fill::schema(), &mut names).unwrap();
    assert!(row.size > Size::ZERO);
    assert_eq!(content32(&row, &draft.view(), &Fill::schema()), 770_493_356);
}
