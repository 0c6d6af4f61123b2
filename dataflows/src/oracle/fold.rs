//! Ordered folds over one number, from all rows at once: one pass over each sorted series.

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use types::relations::Relation;
use types::{Decimal, EventId, Names, Row, Schema, Value, VenueTime};

use super::place;

/// What is asked of a fold.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// The columns that tell series apart.
    pub by: &'a [&'a str],
    /// The weight of the newest row, in whole 1e-18.
    pub alpha: i128,
    /// How many rows with a value come before the first that is scored.
    pub warmup: u64,
    /// What each row takes off the sums of `cusum`, in whole 1e-18.
    pub drift: i128,
    /// The sum above which `cusum` has an alarm, in whole 1e-18.
    pub threshold: i128,
}

/// A number of whole 1e-18.
const ONE: i128 = 1_000_000_000_000_000_000;

/// The moving averages of some rows. `value` gives a row's number in whole 1e-18.
pub fn ewma<R: Relation>(
    rows: &[R],
    value: impl Fn(&R) -> Option<i128>,
    asked: &Followed<'_>,
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Row> {
    let mut out = BTreeSet::new();
    for series in sorted(rows, asked.by, schema, names) {
        let mut mean: Option<i128> = None;
        for row in series {
            let number = value(row);
            let mut shown = None;
            if let Some(x) = number {
                mean = match mean {
                    None => Some(x),
                    Some(mean) => toward(mean, x, asked.alpha).map(|(_, mean)| mean),
                };
                shown = mean;
            }
            out.insert(with(row, schema, names, &[at_nano(number), at_nano(shown)]));
        }
    }
    out
}

/// The scores of some rows; see [`ewma`].
pub fn zscore<R: Relation>(
    rows: &[R],
    value: impl Fn(&R) -> Option<i128>,
    asked: &Followed<'_>,
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Row> {
    let mut out = BTreeSet::new();
    for series in sorted(rows, asked.by, schema, names) {
        let mut before = Vec::new();
        for row in series {
            let number = value(row);
            let score = number.and_then(|x| scored(&mut before, x, asked));
            let shown = |pick: fn(&Score) -> Option<i128>| at_nano(score.as_ref().and_then(pick));
            let values = [
                at_nano(number),
                shown(|score| Some(score.mean)),
                shown(|score| Some(score.deviation)),
                shown(|score| score.z),
            ];
            out.insert(with(row, schema, names, &values));
        }
    }
    out
}

/// The cumulative sums of some rows; see [`ewma`].
pub fn cusum<R: Relation>(
    rows: &[R],
    value: impl Fn(&R) -> Option<i128>,
    asked: &Followed<'_>,
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Row> {
    let mut out = BTreeSet::new();
    for series in sorted(rows, asked.by, schema, names) {
        let (mut before, mut up, mut down) = (Vec::new(), 0i128, 0i128);
        for row in series {
            let number = value(row);
            let z = number.and_then(|x| scored(&mut before, x, asked)).and_then(|score| score.z);
            if before.is_empty() {
                (up, down) = (0, 0);
            }
            let mut seen = [Value::Null, Value::Null, Value::Null];
            let next =
                |sum: i128, z: i128| Some(sum.checked_add(z)?.checked_sub(asked.drift)?.max(0));
            match z.map(|z| next(up, z).zip(z.checked_neg().and_then(|z| next(down, z)))) {
                None => {}
                Some(None) => {
                    // The series starts anew behind it: the next row is its first, with sums of zero.
                    before.clear();
                    (up, down) = (0, 0);
                }
                Some(Some(sums)) => {
                    let is_alarm = sums.0 > asked.threshold || sums.1 > asked.threshold;
                    seen = [at_nano(Some(sums.0)), at_nano(Some(sums.1)), Value::Bool(is_alarm)];
                    (up, down) = if is_alarm { (0, 0) } else { sums };
                }
            }
            let values: Vec<Value> = std::iter::once(at_nano(number)).chain(seen).collect();
            out.insert(with(row, schema, names, &values));
        }
    }
    out
}

/// A number seen from those before it.
struct Score {
    mean: i128,
    deviation: i128,
    z: Option<i128>,
}

/// Mean and variance behind each number of a series, in whole 1e-18 and 1e-36; empty anew where
/// something doesn't fit.
type Before = Vec<(i128, I256)>;

fn scored(before: &mut Before, x: i128, asked: &Followed<'_>) -> Option<Score> {
    let Some((mean, variance)) = before.last().copied() else {
        before.push((x, I256::ZERO));
        return None;
    };
    let is_warm = u64::try_from(before.len()).unwrap_or(u64::MAX) >= asked.warmup;
    let all = || {
        let deviation = nearest_root(variance)?;
        let above = x.checked_sub(mean)?;
        let z = match deviation {
            // Half of what the ninth decimal counts.
            0..=500_000_000 => Some(None),
            _ => narrow(half_even(wide(above) * wide(ONE), wide(deviation))).map(Some),
        };
        // What isn't looked at needn't fit.
        let z = if is_warm { z? } else { None };
        let (step, next) = toward(mean, x, asked.alpha)?;
        let grown = variance.checked_add(wide(above) * wide(step))?;
        let kept = grown.checked_mul(wide(ONE - asked.alpha))?;
        Some((Score { mean, deviation, z }, (next, half_even(kept, wide(ONE)))))
    };
    let Some((score, behind)) = all() else {
        before.clear();
        return None;
    };
    before.push(behind);
    is_warm.then_some(score)
}

/// A mean's step towards a number, and the mean behind it.
fn toward(mean: i128, x: i128, alpha: i128) -> Option<(i128, i128)> {
    let step = narrow(half_even(wide(x.checked_sub(mean)?) * wide(alpha), wide(ONE)))?;
    Some((step, mean.checked_add(step)?))
}

/// See [`place`].
type Place = (VenueTime, Value, Option<EventId>, Vec<u8>);

/// The series, each in order; rows without a time stand nowhere.
fn sorted<'a, R: Relation>(
    rows: &'a [R],
    by: &[&str],
    schema: &Schema,
    names: &Names,
) -> Vec<Vec<&'a R>> {
    let mut series: BTreeMap<Vec<Value>, Vec<(Place, &R)>> = BTreeMap::new();
    for row in rows {
        let value = |name: &&str| schema.index(name).map(|index| row.column(index, names));
        if let Some(place) = place(row, schema, names) {
            series.entry(by.iter().filter_map(value).collect()).or_default().push((place, row));
        }
    }
    let in_order = |mut rows: Vec<(Place, &'a R)>| {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.into_iter().map(|(_, row)| row).collect()
    };
    series.into_values().map(in_order).collect()
}

/// Key and time of a row, and some values.
fn with<R: Relation>(row: &R, schema: &Schema, names: &Names, values: &[Value]) -> Row {
    let is_head = |index: &usize| *index < schema.n_key || Some(*index) == schema.time;
    let head = (0..schema.columns.len()).filter(is_head).map(|index| row.column(index, names));
    Row(head.chain(values.iter().cloned()).collect())
}

pub(super) fn at_nano(number: Option<i128>) -> Value {
    let nano = number.and_then(|number| narrow(half_even(wide(number), I256::new(1_000_000_000))));
    nano.map(|nano| Decimal::new(nano, 9)).into()
}

pub(super) fn wide(number: i128) -> I256 {
    I256::from(number)
}

pub(super) fn narrow(number: I256) -> Option<i128> {
    i128::try_from(number).ok()
}

/// Rounds n / d to the nearest, a half to the even one; d is above zero.
pub(super) fn half_even(n: I256, d: I256) -> I256 {
    let below = n.div_euclid(d);
    let rest = n.rem_euclid(d);
    let is_odd = below.rem_euclid(I256::new(2)) == I256::ONE;
    let to_next = d - rest;
    if rest > to_next || (rest == to_next && is_odd) { below + I256::ONE } else { below }
}

/// The whole number next to a root, by bisection.
pub(super) fn nearest_root(n: I256) -> Option<i128> {
    let (mut low, mut high) = (0i128, i128::MAX);
    while low < high {
        let middle = high - (high - low) / 2;
        if wide(middle) * wide(middle) <= n { low = middle } else { high = middle - 1 }
    }
    let is_nearer_above = n - wide(low) * wide(low) > wide(low);
    if is_nearer_above { low.checked_add(1) } else { Some(low) }
}
