//! Indicators, from all bars at once: column by column over each asset's series.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use types::relations::{Bar, Relation};
use types::{AssetId, Names, Row, Value, VenueTime};

use super::fold::{at_nano, half_even, narrow, nearest_root, wide};

/// One.
const ONE: i128 = 1_000_000_000_000_000_000;

/// A column of a series: nothing where it isn't defined.
type Line = Vec<Option<i128>>;

/// The rows of the final bars of one size. `asked` names the indicators: `rsi_14`; those of the first
/// bars are null where `warmup` is more than their number.
///
/// # Panics
/// If there is no such indicator, or a number doesn't fit.
pub fn indicators(
    bars: &[Bar],
    size: &str,
    (asked, warmup): (&[&str], usize),
    names: &Names,
) -> BTreeSet<Row> {
    let mut series: BTreeMap<AssetId, BTreeMap<VenueTime, &Bar>> = BTreeMap::new();
    for bar in bars.iter().filter(|bar| bar.is_final && bar.size.as_str() == size) {
        series.entry(bar.asset).or_default().insert(bar.bucket, bar);
    }
    let mut rows = BTreeSet::new();
    for bars in series.into_values() {
        let bars: Vec<&Bar> = bars.into_values().collect();
        let lines: Vec<Line> = asked.iter().flat_map(|name| lines(&bars, name)).collect();
        for (index, bar) in bars.iter().enumerate() {
            let mut values: Vec<Value> = (0..4).map(|column| bar.column(column, names)).collect();
            values.push(Value::from(bar.close));
            let is_told = index + 1 >= warmup;
            values.extend(lines.iter().map(|line| at_nano(line[index].filter(|_| is_told))));
            rows.insert(Row(values.into()));
        }
    }
    rows
}

/// The columns of an indicator, in whole 1e-18.
///
/// # Panics
/// As [`indicators`].
pub fn lines(bars: &[&Bar], name: &str) -> Vec<Line> {
    let mut parts = name.split('_');
    let kind = parts.next().unwrap_or_default();
    let lengths: Vec<usize> = parts.map(|part| part.parse().expect("a length")).collect();
    let price = |price: types::Price| i128::from(price.raw()) * 1_000_000_000;
    let close: Line = bars.iter().map(|bar| Some(price(bar.close))).collect();
    match (kind, &lengths[..]) {
        ("sma", [n]) => vec![mean(&close, *n)],
        ("ema", [n]) => vec![recursive(&close, *n, (2, n + 1))],
        ("rsi", [n]) => vec![rsi(&close, *n)],
        ("atr", [n]) => {
            let range = |(index, bar): (usize, &&Bar)| {
                let (high, low) = (price(bar.high), price(bar.low));
                let before = index.checked_sub(1).map(|before| price(bars[before].close));
                Some(match before {
                    None => high - low,
                    Some(before) => high.max(before) - low.min(before),
                })
            };
            let ranges: Line = bars.iter().enumerate().map(range).collect();
            vec![recursive(&ranges, *n, (1, *n))]
        }
        ("bollinger", [n]) => bollinger(&close, *n),
        ("macd", [fast, slow, signal]) => {
            let fast = recursive(&close, *fast, (2, fast + 1));
            let slow = recursive(&close, *slow, (2, slow + 1));
            let line = less(&fast, &slow);
            let signal = recursive(&line, *signal, (2, signal + 1));
            let histogram = less(&line, &signal);
            vec![line, signal, histogram]
        }
        _ => panic!("no indicator {name}"),
    }
}

fn less(a: &Line, b: &Line) -> Line {
    a.iter().zip(b).map(|(a, b)| Some((*a)? - (*b)?)).collect()
}

/// The mean of the last `n`.
fn mean(line: &Line, n: usize) -> Line {
    let of_last = |end: usize| {
        let sum: i128 =
            line.get(end.checked_sub(n)?..end)?.iter().copied().sum::<Option<i128>>()?;
        divided(wide(sum), n)
    };
    (1..=line.len()).map(of_last).collect()
}

/// The mean of the first `n` that are there; then each counts `weight` against what was before.
fn recursive(line: &Line, n: usize, (weight, of): (usize, usize)) -> Line {
    let first = line.iter().position(Option::is_some).unwrap_or(line.len());
    let seed = first + n - 1;
    let mut average = None;
    let mut next = |(index, value): (usize, &Option<i128>)| {
        average = match index.cmp(&seed) {
            Ordering::Less => None,
            Ordering::Equal => {
                divided(wide(line[first..=seed].iter().copied().sum::<Option<i128>>()?), n)
            }
            Ordering::Greater => {
                let before: i128 = average?;
                let step = half_even(wide((*value)? - before) * whole(weight), whole(of));
                Some(before + narrow(step)?)
            }
        };
        average
    };
    line.iter().enumerate().map(&mut next).collect()
}

fn rsi(close: &Line, n: usize) -> Line {
    let change = |index: usize| Some(close[index]? - close[index.checked_sub(1)?]?);
    let line = |of: fn(i128) -> i128| -> Line {
        let changes: Line = (0..close.len()).map(|index| change(index).map(of)).collect();
        recursive(&changes, n, (1, n))
    };
    let (up, down) = (line(|change| change.max(0)), line(|change| (-change).max(0)));
    let strength = |(up, down): (&Option<i128>, &Option<i128>)| {
        let (up, down) = ((*up)?, (*down)?);
        let both = up + down;
        // Half of what the ninth decimal counts.
        (up.max(down) > 500_000_000)
            .then(|| narrow(half_even(wide(100 * ONE) * wide(up), wide(both))))?
    };
    up.iter().zip(&down).map(strength).collect()
}

/// Middle, upper, lower, width.
fn bollinger(close: &Line, n: usize) -> Vec<Line> {
    let middle = mean(close, n);
    let reach = |end: usize| {
        let last = close.get(end.checked_sub(n)?..end)?;
        let sum = wide(last.iter().copied().sum::<Option<i128>>()?);
        // Of n x - sum: n squared times the squares of the distances from the mean.
        let squares = last.iter().map(|x| (*x).map(|x| wide(x) * whole(n) - sum));
        let squares = squares.map(|far| far.map(|far| far * far)).sum::<Option<I256>>()?;
        // n times the deviation.
        let deviations = nearest_root(squares / whole(n))?;
        divided(wide(deviations) * whole(2), n)
    };
    let reach: Line = (1..=close.len()).map(reach).collect();
    let upper = middle.iter().zip(&reach).map(|(middle, reach)| Some((*middle)? + (*reach)?));
    let width = middle.iter().zip(&reach).map(|(middle, reach)| {
        let (middle, reach) = ((*middle)?, (*reach)?);
        (middle != 0)
            .then(|| narrow(half_even(wide(reach) * whole(2) * wide(ONE), wide(middle))))?
    });
    let (upper, width) = (upper.collect(), width.collect());
    let lower = less(&middle, &reach);
    vec![middle, upper, lower, width]
}

fn divided(sum: I256, n: usize) -> Option<i128> {
    narrow(half_even(sum, whole(n)))
}

fn whole(n: usize) -> I256 {
    I256::from(u64::try_from(n).unwrap_or(u64::MAX))
}
