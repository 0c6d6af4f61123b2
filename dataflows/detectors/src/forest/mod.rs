//! Isolation trees (Liu, Ting and Zhou, "Isolation forest", ICDM 2008), laid out for speed.
//!
//! A tree splits a sample of rows by random columns at random values; rows that few splits set
//! apart are unusual. [`grow`] builds a tree as the paper does. Each tree is stored as a complete
//! binary tree of [`DEPTH`] levels in heap order: a walk takes the same number of steps in every
//! tree, with no branch to mispredict, and trees are walked side by side.

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests;

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::{float, narrow};

/// Levels of splits: log2 of the sample.
pub(crate) const DEPTH: usize = 7;
/// Rows that a tree is grown from.
pub(crate) const SAMPLE: usize = 1 << DEPTH;
/// Places for the splits of a tree: the first is at 1, and those below place p at 2 p and 2 p + 1.
const NODES: usize = 1 << DEPTH;
/// Trees that are walked side by side.
const ABREAST: usize = 8;
/// Columns that are tried for a split, before those that differ are looked for.
const TRIES: usize = 4;

/// What an unsuccessful search in a binary search tree of `count` rows costs on average: the
/// paper's c(n) = 2 H(n-1) - 2 (n-1) / n, with H(i) = ln i + 0.5772156649.
pub(crate) fn average_path(count: usize) -> f64 {
    match count {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = float(count);
            2.0 * (libm::log(n - 1.0) + 0.577_215_664_9) - 2.0 * (n - 1.0) / n
        }
    }
}

/// A forest: its trees one behind another, in flat arrays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    /// For each tree [`NODES`] values, as [`keys`]; a row goes right at or above its value.
    values: Vec<i64>,
    /// For each split the column that it looks at.
    columns: Vec<u16>,
    /// For each tree, for each of its [`SAMPLE`] ends: the length of the path there.
    lengths: Vec<f32>,
}

impl Forest {
    /// Trees in it.
    pub(crate) fn trees(&self) -> usize {
        self.lengths.len() / SAMPLE
    }

    /// Grows `count` trees over `rows` (flat, `dimension` values each) and puts them in the place of
    /// the oldest, so that at most `limit` stay.
    pub(crate) fn renew(
        &mut self,
        (rows, dimension): (&[f64], usize),
        (count, limit): (usize, usize),
        chance: &mut Chance,
    ) {
        let surplus = (self.trees() + count).saturating_sub(limit).min(self.trees());
        self.values.drain(..surplus * NODES);
        self.columns.drain(..surplus * NODES);
        self.lengths.drain(..surplus * SAMPLE);
        for _ in 0..count.min(limit) {
            let mut sample = chance.sample(SAMPLE, rows.len() / dimension.max(1));
            let tree = grow((rows, dimension), &mut sample, chance);
            self.values.extend(tree.values.into_iter().map(key));
            self.columns.extend(tree.columns);
            self.lengths.extend(tree.lengths);
        }
    }

    /// The mean length of the paths of a row given as its [`keys`]; 0 without trees.
    pub(crate) fn path(&self, row: &[i64]) -> f64 {
        let trees = self.trees();
        if trees == 0 {
            return 0.0;
        }
        let values = self.values.as_chunks::<NODES>().0;
        let columns = self.columns.as_chunks::<NODES>().0;
        let lengths = self.lengths.as_chunks::<SAMPLE>().0;
        let (values, late_values) = values.as_chunks::<ABREAST>();
        let (columns, late_columns) = columns.as_chunks::<ABREAST>();
        let (lengths, late_lengths) = lengths.as_chunks::<ABREAST>();
        let mut sum = 0.0;
        for ((values, columns), lengths) in values.iter().zip(columns).zip(lengths) {
            sum += walk(row, values, columns, lengths);
        }
        for ((values, columns), lengths) in late_values.iter().zip(late_columns).zip(late_lengths) {
            sum += walk(row, &[*values], &[*columns], &[*lengths]);
        }
        sum / float(trees)
    }

    /// Whether the parts fit together and every split looks at a column that is there.
    pub(crate) fn is_whole(&self, dimension: usize) -> bool {
        self.values.len() == self.trees() * NODES
            && self.columns.len() == self.values.len()
            && self.lengths.len() == self.trees() * SAMPLE
            && self.lengths.iter().all(|length| length.is_finite())
            && self.columns.iter().all(|column| usize::from(*column) < dimension)
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() * 8 + self.columns.len() * 2 + self.lengths.len() * 4
    }
}

/// A finite value as an integer of the same order: comparing these is quicker.
fn key(x: f64) -> i64 {
    // -0 and 0 are equal.
    let bits = (x + 0.0).to_bits().cast_signed();
    // Of negative numbers the larger bits are the smaller number.
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Writes a row's values as integers of the same order, in the place of what `into` held.
pub(crate) fn keys(row: &[f64], into: &mut Vec<i64>) {
    into.clear();
    into.extend(row.iter().map(|x| key(*x)));
}

/// The sum of the paths of `row` in some trees.
fn walk<const N: usize>(
    row: &[i64],
    values: &[[i64; NODES]; N],
    columns: &[[u16; NODES]; N],
    lengths: &[[f32; SAMPLE]; N],
) -> f64 {
    let mut places = [1_usize; N];
    for _ in 0..DEPTH {
        for tree in 0..N {
            // The mask changes nothing; it spares the check of the bounds.
            let place = places[tree] & (NODES - 1);
            let goes_right = row[usize::from(columns[tree][place])] >= values[tree][place];
            places[tree] = 2 * place + usize::from(goes_right);
        }
    }
    let mut sum = 0.0;
    for tree in 0..N {
        sum += f64::from(lengths[tree][places[tree] & (SAMPLE - 1)]);
    }
    sum
}

/// One tree, before it joins the others.
struct Tree {
    values: Vec<f64>,
    columns: Vec<u16>,
    lengths: Vec<f32>,
}

/// Grows a tree over the rows that `sample` names; reorders `sample`.
fn grow(rows: (&[f64], usize), sample: &mut [usize], chance: &mut Chance) -> Tree {
    // Where there is no split every row goes left, so an early leaf's length stands below it on
    // the left.
    let mut tree = Tree {
        values: vec![f64::INFINITY; NODES],
        columns: vec![0; NODES],
        lengths: vec![0.0; SAMPLE],
    };
    split(&mut tree, rows, (1, 0), sample, chance);
    tree
}

/// Splits the node at `place` of the level `depth`, and those below it.
fn split(
    tree: &mut Tree,
    (rows, dimension): (&[f64], usize),
    (place, depth): (usize, usize),
    sample: &mut [usize],
    chance: &mut Chance,
) {
    let cut = if depth < DEPTH && sample.len() > 1 {
        choose((rows, dimension), sample, chance)
    } else {
        None
    };
    let Some((column, value)) = cut else {
        let mut end = place;
        for _ in depth..DEPTH {
            end *= 2;
        }
        tree.lengths[end - NODES] = narrow(float(depth) + average_path(sample.len()));
        return;
    };
    let mut left = 0;
    for at in 0..sample.len() {
        if rows[sample[at] * dimension + column] < value {
            sample.swap(at, left);
            left += 1;
        }
    }
    tree.values[place] = value;
    // Columns are at most `crate::options::COLUMNS_MAX`, which fits.
    tree.columns[place] = u16::try_from(column).unwrap_or(0);
    let (low, high) = sample.split_at_mut(left);
    split(tree, (rows, dimension), (2 * place, depth + 1), low, chance);
    split(tree, (rows, dimension), (2 * place + 1, depth + 1), high, chance);
}

/// A column in which the rows differ and a value that sets some apart from others, if there is one.
fn choose(rows: (&[f64], usize), sample: &[usize], chance: &mut Chance) -> Option<(usize, f64)> {
    for _ in 0..TRIES {
        let column = chance.below(rows.1);
        if let Some(value) = cut(rows, column, sample, chance) {
            return Some((column, value));
        }
    }
    // Most columns stand still: one of the others.
    let differing: Vec<usize> = (0..rows.1).filter(|at| differs(rows, *at, sample)).collect();
    if differing.is_empty() {
        return None;
    }
    let column = differing[chance.below(differing.len())];
    cut(rows, column, sample, chance).map(|value| (column, value))
}

/// Whether the rows of a sample differ in a column.
fn differs((rows, dimension): (&[f64], usize), column: usize, sample: &[usize]) -> bool {
    let mut values = sample.iter().map(|row| rows[row * dimension + column]);
    values.next().is_some_and(|first| values.any(|value| value < first || first < value))
}

/// A random value above the least of a column and up to its largest, unless they are equal.
fn cut(
    (rows, dimension): (&[f64], usize),
    column: usize,
    sample: &[usize],
    chance: &mut Chance,
) -> Option<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for row in sample {
        let value = rows[row * dimension + column];
        low = low.min(value);
        high = high.max(value);
    }
    let value = low + (high - low) * chance.unit();
    // Between neighbouring floats there is nothing.
    let value = if low < value { value } else { high };
    (low < value && value <= high).then_some(value)
}
