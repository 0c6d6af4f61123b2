//! Groups of rows added up, from all rows at once.

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use types::relations::Relation;
use types::{Decimal, Names, Row, Schema, Value};

/// A function of a group's values and what it is of; `None` for a row whose expression overflows.
pub type Asked<'a, R> = (&'a str, &'a dyn Fn(&R) -> Option<Value>);

/// The rows of all groups, and of the groups with a value that doesn't fit the key and the place of
/// the first such value. `whole` is the key where `by` is empty. Sums are of numbers below 1e38 whose
/// sum is below 1e40.
///
/// # Panics
/// If a column or function isn't there.
pub fn aggregate<R: Relation>(
    rows: &[R],
    (by, whole): (&[&str], &str),
    asked: &[Asked<'_, R>],
    (schema, names): (&Schema, &Names),
) -> (BTreeSet<Row>, BTreeSet<(Vec<Value>, usize)>) {
    let mut groups: BTreeMap<Vec<Value>, Vec<&R>> = BTreeMap::new();
    for row in rows {
        let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
        let mut key: Vec<Value> = by.iter().map(value).collect();
        if key.is_empty() {
            key.push(Value::Text(whole.into()));
        }
        if !key.contains(&Value::Null) {
            groups.entry(key).or_default().push(row);
        }
    }
    let (mut shown, mut errors) = (BTreeSet::new(), BTreeSet::new());
    for (key, rows) in groups {
        let mut values = key.clone();
        let mut broken = None;
        for (place, (function, of)) in asked.iter().enumerate() {
            let all: Option<Vec<Value>> = rows.iter().map(|row| of(row)).collect();
            match all.and_then(|all| value(function, all)) {
                Some(value) => values.push(value),
                None => broken = broken.or(Some(place)),
            }
        }
        match broken {
            Some(place) => drop(errors.insert((key, place))),
            None => drop(shown.insert(Row(values.into()))),
        }
    }
    (shown, errors)
}

/// One function of a group's values; `None` where it doesn't fit.
fn value(function: &str, mut all: Vec<Value>) -> Option<Value> {
    all.retain(|value| *value != Value::Null);
    all.sort();
    let n = u64::try_from(all.len()).ok()?;
    let edge = |value: Option<Value>| match value {
        Some(Value::Number(number)) => rounded(units(number), 1).map(Value::Number),
        value => Some(value.unwrap_or(Value::Null)),
    };
    match function {
        "count" => Some(Value::from(n)),
        "min" => edge(all.first().cloned()),
        "max" => edge(all.last().cloned()),
        "distinct" => {
            all.dedup();
            Some(Value::from(u64::try_from(all.len()).ok()?))
        }
        _ if n == 0 => Some(Value::Null),
        _ => {
            let number = |value: &Value| match value {
                Value::Number(number) => units(*number),
                other => panic!("{other:?} isn't a number"),
            };
            let sum = all.iter().map(number).fold(I256::ZERO, |sum, units| sum + units);
            rounded(sum, if function == "avg" { n } else { 1 }).map(Value::Number)
        }
    }
}

/// A number in units of 1e-36.
fn units(number: Decimal) -> I256 {
    I256::from(number.mantissa()) * I256::from(10).pow(36 - u32::from(number.scale()))
}

/// Units over a count, half-even at 1e-9 in 38 digits.
fn rounded(units: I256, n: u64) -> Option<Decimal> {
    let divisor = I256::from(n) * I256::from(10).pow(27);
    let (quotient, rest) = (units.div_euclid(divisor), units.rem_euclid(divisor));
    let behind = divisor - rest;
    let is_up = rest > behind || (rest == behind && quotient.rem_euclid(I256::from(2)) == 1);
    let nano = i128::try_from(quotient + I256::from(i128::from(is_up))).ok()?;
    (nano.unsigned_abs() < 10u128.pow(38)).then(|| Decimal::new(nano, 9))
}
