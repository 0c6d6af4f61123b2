//! Expected rows against found ones: each expected row needs a found row of its own that agrees on
//! the columns it names, and no found row may be left over.

use std::collections::BTreeSet;

use types::{Schema, Value};

/// How many found rows are shown beside an expected one.
const N_CLOSEST: usize = 3;

/// The columns that an expected row names, by index, with their values.
type Expected = Vec<(usize, Value)>;

/// Tells what differs, in lines; nothing where all is as expected.
pub(super) fn differences(
    schema: &Schema,
    expected: &[Expected],
    found: &[Vec<Value>],
) -> Vec<String> {
    let fits: Vec<Vec<bool>> = expected
        .iter()
        .map(|row| found.iter().map(|other| differing(row, other).next().is_none()).collect())
        .collect();
    let holders = pair(&fits, found.len());
    let mut lines = Vec::new();
    let mut shown = BTreeSet::new();
    for (index, row) in expected.iter().enumerate() {
        if holders.contains(&Some(index)) {
            continue;
        }
        lines.push(format!("expected   {}", json(schema, row.iter().map(|(i, v)| (*i, v)))));
        for (index, other) in closest(row, found, &holders) {
            shown.insert(index);
            lines.push(format!("  closest  {}", json(schema, other.iter().enumerate())));
            let told = differing(row, other).map(|(column, wanted, value)| {
                let name = schema.columns.get(column).map_or("?", |c| c.name.as_ref());
                format!("    {name}: expected {}, found {}", text(wanted), text(value))
            });
            lines.extend(told);
        }
    }
    for (index, row) in found.iter().enumerate() {
        let is_left = holders.get(index).is_some_and(Option::is_none);
        if is_left && !shown.contains(&index) {
            lines.push(format!("unexpected {}", json(schema, row.iter().enumerate())));
        }
    }
    lines
}

/// Some columns of a row as JSON, in the order given.
pub(super) fn json<'a>(
    schema: &Schema,
    columns: impl Iterator<Item = (usize, &'a Value)>,
) -> String {
    let column = |(index, value): (usize, &Value)| {
        let name = schema.columns.get(index).map_or("?", |column| column.name.as_ref());
        format!("{}:{}", serde_json::Value::from(name), text(value))
    };
    let columns: Vec<String> = columns.map(column).collect();
    format!("{{{}}}", columns.join(","))
}

/// A value as outputs write it.
fn text(value: &Value) -> String {
    let mut out = Vec::new();
    types::json::write_value(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// The columns where a found row isn't what is expected: index, expected, found.
fn differing<'a>(
    expected: &'a Expected,
    found: &'a [Value],
) -> impl Iterator<Item = (usize, &'a Value, &'a Value)> {
    expected.iter().filter_map(|(column, wanted)| {
        let value = found.get(*column).unwrap_or(&Value::Null);
        (value != wanted).then_some((*column, wanted, value))
    })
}

/// The found rows that differ least, those first that nothing else expected; a few of them.
fn closest<'a>(
    expected: &Expected,
    found: &'a [Vec<Value>],
    holders: &[Option<usize>],
) -> Vec<(usize, &'a Vec<Value>)> {
    let is_left = |index: &usize| holders.get(*index).is_some_and(Option::is_none);
    let any_left = (0..found.len()).any(|index| is_left(&index));
    let rows = found.iter().enumerate().filter(|(index, _)| is_left(index) || !any_left);
    let ranked: Vec<(usize, (usize, &Vec<Value>))> =
        rows.map(|row| (differing(expected, row.1).count(), row)).collect();
    let Some(least) = ranked.iter().map(|(n, _)| *n).min() else { return Vec::new() };
    let closest = ranked.into_iter().filter(|(n, _)| *n == least).map(|(_, row)| row);
    closest.take(N_CLOSEST).collect()
}

/// Gives as many expected rows as can be a found row of their own; for each found row, whose it is.
/// A row that names few columns fits many: the first fit for each would leave others without.
fn pair(fits: &[Vec<bool>], n_found: usize) -> Vec<Option<usize>> {
    let mut holders = vec![None; n_found];
    for expected in 0..fits.len() {
        place(expected, fits, &mut vec![false; n_found], &mut holders);
    }
    holders
}

/// Finds a row for one expected row, moving others on where that helps; whether there is one.
fn place(
    expected: usize,
    fits: &[Vec<bool>],
    tried: &mut [bool],
    holders: &mut [Option<usize>],
) -> bool {
    for found in 0..holders.len() {
        if tried[found] || !fits[expected][found] {
            continue;
        }
        tried[found] = true;
        if holders[found].is_none_or(|other| place(other, fits, tried, holders)) {
            holders[found] = Some(expected);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use types::{Column, Kind};

    use super::*;

    fn schema() -> Schema {
        let column =
            |name: &'static str| Column { name: name.into(), kind: Kind::Count, nullable: true };
        Schema { columns: vec![column("k"), column("a"), column("b")], n_key: 1, time: None }
    }

    fn row(values: [u64; 3]) -> Vec<Value> {
        values.map(Value::from).to_vec()
    }

    fn expects(cells: &[(usize, u64)]) -> Expected {
        cells.iter().map(|(column, value)| (*column, Value::from(*value))).collect()
    }

    fn told(expected: &[Expected], found: &[Vec<Value>]) -> Vec<String> {
        differences(&schema(), expected, found)
    }

    #[test]
    fn each_expected_row_needs_a_row_of_its_own() {
        let found = [row([1, 5, 6]), row([2, 5, 7])];
        // The first fits both rows; only one choice leaves a row for the second.
        for expected in [
            [expects(&[(1, 5)]), expects(&[(2, 6)])],
            [expects(&[(2, 6)]), expects(&[(1, 5)])],
            [expects(&[(1, 5)]), expects(&[(2, 7)])],
        ] {
            assert_eq!(told(&expected, &found), [""; 0]);
        }
        assert_eq!(told(&[], &[]), [""; 0]);
        let both = [expects(&[(2, 6)]), expects(&[(2, 6)])];
        assert_eq!(
            told(&both, &found),
            [
                r#"expected   {"b":"6"}"#,
                r#"  closest  {"k":"2","a":"5","b":"7"}"#,
                r#"    b: expected "6", found "7""#,
            ]
        );
    }

    #[test]
    fn a_row_too_many_and_a_row_too_few_are_told() {
        let one = [row([1, 5, 6])];
        assert_eq!(told(&[], &one), [r#"unexpected {"k":"1","a":"5","b":"6"}"#]);
        assert_eq!(told(&[expects(&[(0, 3)])], &[]), [r#"expected   {"k":"3"}"#]);
    }

    #[test]
    fn the_closest_rows_come_with_what_differs() {
        let found = [row([1, 5, 6]), row([2, 5, 7]), vec![Value::Null; 3]];
        let expected = [expects(&[(0, 1), (1, 5), (2, 9)])];
        assert_eq!(
            told(&expected, &found),
            [
                r#"expected   {"k":"1","a":"5","b":"9"}"#,
                r#"  closest  {"k":"1","a":"5","b":"6"}"#,
                r#"    b: expected "9", found "6""#,
                r#"unexpected {"k":"2","a":"5","b":"7"}"#,
                r#"unexpected {"k":null,"a":null,"b":null}"#,
            ]
        );
    }
}
