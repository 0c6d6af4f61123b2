use std::iter;

use proptest::prelude::*;

use super::*;

/// The paper's tree, node by node, grown from the same chance.
enum Twin {
    Split { column: usize, value: f64, low: Box<Twin>, high: Box<Twin> },
    Leaf { rows: usize },
}

impl Twin {
    fn grow(rows: &[Vec<f64>], depth: usize, chance: &mut Chance) -> Self {
        if depth < DEPTH && rows.len() > 1 {
            let differs = |column: &usize| rows.iter().any(|row| row[*column] != rows[0][*column]);
            let differing: Vec<usize> = (0..rows[0].len()).filter(differs).collect();
            let all: Vec<usize> = (0..rows[0].len()).collect();
            let last = usize::from(!differing.is_empty());
            for columns in iter::repeat_n(&all, TRIES).chain(iter::repeat_n(&differing, last)) {
                let column = columns[chance.below(columns.len())];
                let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let value = low + (high - low) * chance.unit();
                let (left, right): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
                    rows.iter().cloned().partition(|row| row[column] < value);
                if !left.is_empty() && !right.is_empty() {
                    let low = Box::new(Self::grow(&left, depth + 1, chance));
                    let high = Box::new(Self::grow(&right, depth + 1, chance));
                    return Self::Split { column, value, low, high };
                }
            }
        }
        Self::Leaf { rows: rows.len() }
    }

    /// The paper's `PathLength`: edges so far, and c(size) for what the leaf was not split into.
    fn path(&self, row: &[f64], edges: f64) -> f64 {
        match self {
            Self::Split { column, value, low, high } => {
                let next = if row[*column] < *value { low } else { high };
                next.path(row, edges + 1.0)
            }
            Self::Leaf { rows } => edges + average_path(*rows),
        }
    }
}

fn path(forest: &Forest, row: &[f64]) -> f64 {
    let mut row_keys = Vec::new();
    keys(row, &mut row_keys);
    forest.path(&row_keys)
}

#[test]
fn keys_have_the_order_of_their_values() {
    let values = [f64::NEG_INFINITY, -1e300, -2.0, -1e-320, 0.0, 1e-320, 0.1, 2.0, f64::INFINITY];
    assert!(values.map(key).is_sorted_by(|a, b| a < b));
    assert_eq!(key(-0.0), key(0.0));
}

fn flat(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.concat()
}

/// Paths of textbook trees over `rows`, for each of `asked`.
fn twin_paths(rows: &[Vec<f64>], trees: usize, seed: u64, asked: &[Vec<f64>]) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let mut sums = vec![0.0; asked.len()];
    for _ in 0..trees {
        let sample = chance.sample(SAMPLE, rows.len());
        let sampled: Vec<Vec<f64>> = sample.iter().map(|at| rows[*at].clone()).collect();
        let twin = Twin::grow(&sampled, 0, &mut chance);
        for (sum, row) in sums.iter_mut().zip(asked) {
            *sum += twin.path(row, 0.0);
        }
    }
    sums.iter().map(|sum| sum / float(trees)).collect()
}

#[test]
fn average_paths_are_those_of_the_paper() {
    assert_eq!([0, 1, 2].map(average_path), [0.0, 0.0, 1.0]);
    // c(256) = 2 (ln 255 + 0.5772156649) - 2 * 255 / 256.
    assert!((average_path(256) - 10.244_770_920_1).abs() < 1e-9, "{}", average_path(256));
}

/// Two rows, one split: by hand.
#[test]
fn a_tree_of_two_rows_has_one_split() {
    let mut forest = Forest::default();
    forest.renew((&[0.0, 10.0], 1), (3, 3), &mut Chance::new(1));
    assert_eq!(forest.trees(), 3);
    assert_eq!([-5.0, 0.0, 10.0, 99.0].map(|x| path(&forest, &[x])), [1.0; 4]);
}

/// A value equal to the split's goes right, as the paper's q < p sends only smaller ones left.
#[test]
fn a_value_at_the_split_goes_right() {
    let mut forest = Forest::default();
    forest.renew((&[0.0, 10.0], 1), (1, 1), &mut Chance::new(1));
    forest.values[1] = key(4.0);
    forest.lengths[0] = 7.0;
    assert_eq!([3.9, 4.0].map(|x| path(&forest, &[x])), [7.0, 1.0]);
}

/// Rows that are all equal can't be split: the path is c(n) alone.
#[test]
fn equal_rows_are_one_leaf() {
    let mut forest = Forest::default();
    forest.renew((&[3.0; 40], 2), (5, 5), &mut Chance::new(1));
    assert!((path(&forest, &[3.0, 3.0]) - average_path(20)).abs() < 1e-6);
    assert!((path(&forest, &[9.0, -9.0]) - average_path(20)).abs() < 1e-6);
}

/// One column of 60 moves: each split finds it.
#[test]
fn a_lone_column_that_moves_is_found() {
    let rows: Vec<f64> = (0..128)
        .flat_map(|at| (0..60).map(move |column| if column == 41 { f64::from(at) } else { 5.0 }))
        .collect();
    let mut forest = Forest::default();
    forest.renew((&rows, 60), (16, 16), &mut Chance::new(3));
    let mut wide = vec![5.0; 60];
    wide[41] = 1e9;
    let mean = rows.chunks(60).map(|row| path(&forest, row)).sum::<f64>() / 128.0;
    assert!(path(&forest, &wide) < mean - 0.5, "{} of {mean}", path(&forest, &wide));
    // The first split, and the second unless a single row is left on its side.
    let splits = |tree: &[u16]| tree[1] == 41 && (tree[2] == 41 || tree[3] == 41);
    assert!(forest.columns.chunks(NODES).all(splits));
}

#[test]
fn the_oldest_trees_give_way() {
    let rows: Vec<f64> = (0..200).map(f64::from).collect();
    let mut chance = Chance::new(2);
    let mut forest = Forest::default();
    forest.renew((&rows, 2), (6, 6), &mut chance);
    let before = forest.clone();
    forest.renew((&rows, 2), (2, 6), &mut chance);
    assert_eq!(forest.trees(), 6);
    assert_eq!(forest.values[..4 * NODES], before.values[2 * NODES..]);
    assert!(forest.is_whole(2) && !forest.is_whole(1));
}

proptest! {
    #[test]
    fn paths_are_those_of_textbook_trees(
        // Some of the columns stand still.
        rows in (1_usize..4, 0_usize..6).prop_flat_map(|(moving, still)| {
            let row = (prop::collection::vec(-5_i32..5, moving), Just(vec![3; still]));
            prop::collection::vec(row.prop_map(|(moving, still)| [still, moving].concat()), 1..200)
        }),
        trees in 1_usize..11,
        seed: u64,
    ) {
        let rows: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|x| f64::from(*x) * 0.7).collect()).collect();
        let mut forest = Forest::default();
        forest.renew((&flat(&rows), rows[0].len()), (trees, trees), &mut Chance::new(seed));
        let twins = twin_paths(&rows, trees, seed, &rows);
        for (row, twin) in rows.iter().zip(twins) {
            let path = path(&forest, row);
            // Lengths are kept in 32 bits.
            prop_assert!((path - twin).abs() < 1e-5, "{path}, textbook {twin}");
        }
    }
}
