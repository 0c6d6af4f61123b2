use proptest::prelude::*;
use types::schema::Kind;

use super::*;
use crate::operators::testing::{no_names, schema};

/// A row of one of few times, ids and values, so that many tie.
fn row((time, id, x): (i64, u8, u8)) -> Row {
    let id = Value::Text(format!("e{id}").as_str().into());
    let x = Value::Number(types::Decimal::new(x.into(), 0));
    Row([Value::Time(VenueTime::from_nanos(time)), id, x].into())
}

/// All rows by place and text, sorted anew for each question.
fn sorted(order: &Order, rows: &[Row]) -> Vec<(Place, Vec<u8>, Row)> {
    let place =
        |row: &Row| (order.place(row, order.time(row).unwrap()), order.text(row), row.clone());
    let mut all: Vec<_> = rows.iter().map(place).collect();
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    all
}

proptest! {
    #[test]
    fn rows_stand_as_in_a_list_that_is_sorted(
        changes in prop::collection::vec((0_i64..5, 0_u8..2, 0_u8..2, 0_u8..8), 1..60),
    ) {
        let columns = [("time", Kind::Time), ("id", Kind::Text), ("x", Kind::Number)];
        let schema = Schema { time: Some(0), ..schema(&columns, 2) }.shared();
        let order = Order::new(&schema, &no_names());
        let (mut ordered, mut twin) = (Ordered::new(), Vec::<Row>::new());
        for (time, id, x, what) in changes {
            let row = row((time, id, x));
            let place = order.place(&row, VenueTime::from_nanos(time));
            match (what, twin.iter().position(|held| *held == row)) {
                (0, _) => {
                    ordered.keep_last();
                    let last = sorted(&order, &twin).pop();
                    twin = last.into_iter().map(|(.., row)| row).collect();
                }
                (1..4, Some(at)) => {
                    ordered.remove(&order, &place, &row);
                    twin.remove(at);
                }
                _ => {
                    ordered.insert(&order, place.clone(), row.clone());
                    twin.push(row);
                }
            }
            let all = sorted(&order, &twin);
            prop_assert_eq!(ordered.is_empty(), all.is_empty());
            prop_assert_eq!(ordered.last(), all.last().map(|(.., row)| row));
            let from: Vec<&Row> = ordered.from(&place).map(|(_, row)| row).collect();
            let expected = all.iter().filter(|(at, ..)| *at >= place);
            prop_assert!(from.into_iter().eq(expected.map(|(.., row)| row)));
            let back: Vec<&Row> = ordered.back_from(&place).map(|(_, row)| row).collect();
            let expected = all.iter().rev().filter(|(at, ..)| *at < place);
            prop_assert!(back.into_iter().eq(expected.map(|(.., row)| row)));
        }
    }
}
