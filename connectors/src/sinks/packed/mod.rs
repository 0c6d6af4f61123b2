//! The last change of each key of a view, packed: a row is a few dozen bytes, and what is held of its key
//! isn't looked for when it comes. What is outdated goes when it is most of what is held; else at the
//! end, when the keys are sorted.

mod arena;
mod column;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use types::changes::{self, Change};
use types::relations::Relation;
use types::spell::write_text;
use types::{Changes, Names, Schema};

use self::arena::Arena;
use self::column::KeyColumn;
use super::cells;
use super::order::{Number, index};
use super::touch::Touch;

/// Marks of a change's first byte.
pub(super) const ROW: u8 = 1;
pub(super) const DELETED: u8 = 0;

/// Rows that are fetched together.
const BLOCK: usize = 64;
/// How much more is held before it is looked through again where most of it still counted.
const PATIENCE: usize = 8;

/// The changes of a view's keys, packed.
pub(super) struct Packed {
    schema: Arc<Schema>,
    names: Arc<Names>,
    /// The first column whose cells are kept.
    first: usize,
    columns: Vec<KeyColumn>,
    /// What stands before each column's value in a key's text.
    heads: Vec<Vec<u8>>,
    /// For each change the numbers of its key's columns.
    numbers: Vec<u32>,
    /// For each change a mark, and the cells.
    changes: Arena,
    has_deleted: bool,
    /// Bytes from which what is held is looked through.
    compacts_at: usize,
    /// The least of them.
    compacts_min: usize,
}

impl Packed {
    /// Holds nothing. Keeps the cells from the column `first` on, and looks what it holds through from
    /// so many bytes on.
    pub(super) fn new(
        schema: &Arc<Schema>,
        names: &Arc<Names>,
        first: usize,
        compacts_min: usize,
    ) -> Self {
        let head = |(index, column): (usize, &types::Column)| {
            let mut head = Vec::new();
            if index == 0 {
                head.push(b'{');
            }
            write_text(&mut head, &column.name);
            head.push(b':');
            head
        };
        Self {
            schema: Arc::clone(schema),
            names: Arc::clone(names),
            first,
            columns: columns(schema),
            heads: schema.key().iter().enumerate().map(head).collect(),
            numbers: Vec::new(),
            changes: Arena::default(),
            has_deleted: false,
            compacts_at: compacts_min,
            compacts_min,
        }
    }

    /// How many changes are held.
    pub(super) const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Bytes that they take in memory, about.
    pub(super) fn n_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(KeyColumn::n_bytes).sum();
        columns + size_of_val(self.numbers.as_slice()) + self.changes.n_bytes()
    }

    /// Takes an epoch's changes; each takes the place of what is held of its key. `is_all` says that
    /// nothing of the view is held elsewhere, so that a key that is gone can be forgotten.
    pub(super) fn take(&mut self, changes: &Changes, is_all: bool) {
        let schema = Arc::clone(&self.schema);
        types::with_changes!(changes, rows => {
            for (row, is_deleted) in changes::by_key(rows, &schema).map(Change::into_parts) {
                self.push(row, is_deleted);
            }
        });
        if self.n_bytes() >= self.compacts_at {
            self.compact(is_all);
        }
    }

    fn push<R: Relation>(&mut self, row: &R, is_deleted: bool) {
        let Self { names, first, columns, numbers, .. } = self;
        numbers.extend(columns.iter_mut().map(|column| column.number(row, names)));
        self.changes.push(|out| {
            if is_deleted {
                out.push(DELETED);
            } else {
                out.push(ROW);
                cells::write(out, row, *first, names);
            }
        });
        self.has_deleted |= is_deleted;
    }

    /// Forgets what is outdated, where that is most of it. Gives the places of what still counts, in the
    /// order of the keys' texts.
    pub(super) fn compact(&mut self, is_all: bool) -> Vec<u32> {
        let mut places = self.last_of_keys();
        if is_all {
            self.retain_standing(&mut places);
        }
        if places.len() > self.len() / 2 {
            self.compacts_at = self.n_bytes().saturating_mul(PATIENCE);
            return places;
        }
        let keep = |(nth, column): (usize, &KeyColumn)| {
            column.keep(places.iter().filter_map(|place| self.key(*place).get(nth).copied()))
        };
        let (columns, renumbered): (Vec<KeyColumn>, Vec<Vec<u32>>) =
            self.columns.iter().enumerate().map(keep).unzip();
        let (mut numbers, mut changes) = (Vec::new(), Arena::default());
        self.show(&places, |key, change| {
            numbers.extend(renumbered.iter().zip(key).map(|(of, number)| of_number(of, *number)));
            changes.push(|out| out.extend_from_slice(change));
        });
        (self.columns, self.numbers, self.changes) = (columns, numbers, changes);
        self.has_deleted &= !is_all;
        self.compacts_at = self.n_bytes().saturating_mul(2).max(self.compacts_min);
        (0..).take(places.len()).collect()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.columns = columns(&self.schema);
        (self.numbers, self.changes) = (Vec::new(), Arena::default());
        self.has_deleted = false;
        self.compacts_at = self.compacts_min;
    }

    /// The places of each key's last change, in the order of the keys' texts.
    pub(super) fn last_of_keys(&self) -> Vec<u32> {
        let columns: Vec<Vec<u32>> = self.columns.iter().map(KeyColumn::ranks).collect();
        let n_rank_bits: u32 = columns.iter().map(|ranks| n_bits(ranks.len())).sum();
        match n_rank_bits + n_bits(self.len()) {
            ..=64 => self.by_numbers::<u64>(&columns),
            65..=128 => self.by_numbers::<u128>(&columns),
            _ => self.by_ranks(&columns),
        }
    }

    /// By the ranks as one number, with the place in its lowest bits.
    fn by_numbers<T: Number>(&self, columns: &[Vec<u32>]) -> Vec<u32> {
        let n_place_bits = n_bits(self.len());
        let columns: Vec<_> = columns.iter().map(|ranks| (n_bits(ranks.len()), ranks)).collect();
        let number = |(place, key): (u32, &[u32])| {
            let ranks =
                columns.iter().zip(key).fold(T::from(0), |all, ((n_bits, ranks), number)| {
                    all << *n_bits | T::from(of_number(ranks, *number))
                });
            ranks << n_place_bits | T::from(place)
        };
        let mut numbers: Vec<T> = (0..).zip(self.keys()).map(number).collect();
        numbers.sort_unstable();
        let same_key = numbers.chunk_by(|a, b| *a >> n_place_bits == *b >> n_place_bits);
        same_key.filter_map(|same| Some(same.last()?.place(n_place_bits))).collect()
    }

    /// By one rank after the other, where they are too long for a number.
    fn by_ranks(&self, columns: &[Vec<u32>]) -> Vec<u32> {
        let ranks = |place: u32| {
            columns.iter().zip(self.key(place)).map(|(ranks, number)| of_number(ranks, *number))
        };
        let mut places: Vec<u32> = (0..).take(self.len()).collect();
        places.sort_unstable_by(|a, b| ranks(*a).cmp(ranks(*b)).then(a.cmp(b)));
        let same_key = places.chunk_by(|a, b| ranks(*a).eq(ranks(*b)));
        same_key.filter_map(|same| same.last().copied()).collect()
    }

    /// Leaves the places of rows that stand.
    pub(super) fn retain_standing(&self, places: &mut Vec<u32>) {
        if self.has_deleted {
            places.retain(|place| self.changes.at(*place).first() == Some(&ROW));
        }
    }

    /// Shows changes that lie all over the memory, block by block: the numbers of the key's columns, and
    /// the mark with the cells. What one waits for, all wait for together.
    pub(super) fn show<'a>(&'a self, places: &[u32], mut take: impl FnMut(&'a [u32], &'a [u8])) {
        let mut block: Vec<(&[u32], &[u8])> = Vec::with_capacity(BLOCK);
        for places in places.chunks(BLOCK) {
            block.clear();
            block.extend(places.iter().map(|place| (self.key(*place), self.changes.at(*place))));
            let mut touch = Touch::default();
            for (key, change) in &block {
                touch.look(&key.first());
                touch.look(&change.first());
                touch.look(&change.last());
            }
            touch.end();
            for (key, change) in &block {
                take(key, change);
            }
        }
    }

    /// Adds a key's text.
    pub(super) fn write_key(&self, key: &[u32], out: &mut Vec<u8>) {
        for ((head, column), number) in self.heads.iter().zip(&self.columns).zip(key) {
            out.extend_from_slice(head);
            column.write(*number, out);
        }
    }

    /// The numbers of a key's columns.
    fn key(&self, place: u32) -> &[u32] {
        let (start, n_key) = (index(place) * self.columns.len(), self.columns.len());
        self.numbers.get(start..start + n_key).unwrap_or_default()
    }

    fn keys(&self) -> impl Iterator<Item = &[u32]> {
        self.numbers.chunks_exact(self.columns.len())
    }
}

fn columns(schema: &Schema) -> Vec<KeyColumn> {
    (0..schema.n_key).map(|column| KeyColumn::new(column, schema.n_key)).collect()
}

/// What a number stands for, its rank or another number.
fn of_number(of: &[u32], number: u32) -> u32 {
    of.get(index(number)).copied().unwrap_or(0)
}

/// Bits that numbers below `n` take.
fn n_bits(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}
