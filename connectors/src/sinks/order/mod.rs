//! The order of keys' bytes, found without writing them where that is possible: each distinct name and
//! time gets its rank once, and the ranks of a row make one number.

mod ranks;
mod texts;

use std::ops::{BitAnd, BitOr, Shl, Shr};

use types::relations::Relation;
use types::{Cell, Column, Names, Schema, VenueTime, json};

use self::ranks::Ranks;
pub(super) use self::texts::Texts;

/// How keys are written by whose bytes rows are ordered. Different keys have different bytes.
pub(crate) trait KeyBytes {
    /// Adds a whole key.
    fn key<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names);

    /// Adds what one column of a key holds. None of a column's cells starts with the bytes of another.
    fn cell(out: &mut Vec<u8>, column: &Column, cell: &Cell<'_>);

    /// A number that orders times as their bytes do.
    fn time(time: VenueTime) -> u64;
}

/// Keys as JSON.
pub(crate) struct JsonKeys;

impl KeyBytes for JsonKeys {
    fn key<R: Relation>(out: &mut Vec<u8>, row: &R, schema: &Schema, names: &Names) {
        json::write_key(out, row, schema, names);
    }

    fn cell(out: &mut Vec<u8>, _column: &Column, cell: &Cell<'_>) {
        cell.write_json(out);
    }

    fn time(time: VenueTime) -> u64 {
        // Texts of times all have one length, so that they order as the times do.
        time.nanos().cast_unsigned() ^ 1 << 63
    }
}

/// The places of the rows in the order of their keys' bytes. Rows come in the order of their places,
/// and no two have one key.
pub(crate) fn by_key<'a, K: KeyBytes, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)> + Clone,
    schema: &Schema,
    names: &'a Names,
) -> Vec<u32> {
    let ranked = by_ranks::<K, R>(rows.clone(), schema, names);
    ranked.unwrap_or_else(|| by_bytes::<K, R>(rows, schema, names))
}

/// Orders by the bytes themselves.
fn by_bytes<'a, K: KeyBytes, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)>,
    schema: &Schema,
    names: &Names,
) -> Vec<u32> {
    let (mut arena, mut keys) = (Vec::new(), Vec::new());
    for (place, row) in rows {
        let start = arena.len();
        K::key(&mut arena, row, schema, names);
        keys.push((start..arena.len(), place));
    }
    let bytes = |range: &std::ops::Range<usize>| arena.get(range.clone()).unwrap_or_default();
    keys.sort_unstable_by(|(a, _), (b, _)| bytes(a).cmp(bytes(b)));
    keys.into_iter().map(|(_, place)| place).collect()
}

/// Orders by ranks; `None` where a key's column holds something else than texts and times, or the
/// ranks take too many bits.
fn by_ranks<'a, K: KeyBytes, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)> + Clone,
    schema: &Schema,
    names: &'a Names,
) -> Option<Vec<u32>> {
    let mut columns: Vec<Ranks<'_>> = Vec::new();
    columns.resize_with(schema.n_key, Ranks::default);
    let mut n_places = 0;
    for (place, row) in rows.clone() {
        for (index, (ranks, column)) in columns.iter_mut().zip(schema.key()).enumerate() {
            ranks.push::<K, R>(row, (index, column), names)?;
        }
        n_places = place.checked_add(1)?;
    }
    columns.iter_mut().for_each(Ranks::sort);
    let n_place_bits = u32::BITS - n_places.saturating_sub(1).leading_zeros();
    let n_bits = n_place_bits + columns.iter().map(Ranks::n_bits).sum::<u32>();
    if n_bits <= u64::BITS {
        return Some(by_numbers::<u64, R>(rows, &columns, n_place_bits));
    }
    (n_bits <= u128::BITS).then(|| by_numbers::<u128, R>(rows, &columns, n_place_bits))
}

/// Orders by the ranks as one number, with the place in its lowest bits.
fn by_numbers<'a, T: Number, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)>,
    columns: &[Ranks<'_>],
    n_place_bits: u32,
) -> Vec<u32> {
    let number = |(nth, (place, _)): (usize, (u32, &'a R))| {
        let ranks = columns
            .iter()
            .fold(T::from(0), |ranks, column| ranks << column.n_bits() | T::from(column.rank(nth)));
        ranks << n_place_bits | T::from(place)
    };
    let mut numbers: Vec<T> = Vec::with_capacity(columns.first().map_or(0, Ranks::len));
    numbers.extend(rows.enumerate().map(number));
    numbers.sort_unstable();
    numbers.into_iter().map(|number| number.place(n_place_bits)).collect()
}

/// Ranks and, in the lowest bits, a place, as one number.
pub(super) trait Number:
    Copy
    + Ord
    + From<u32>
    + TryInto<u32>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
    + BitOr<Output = Self>
    + BitAnd<Output = Self>
{
    /// The place.
    fn place(self, n_place_bits: u32) -> u32 {
        let mask = Self::from(u32::MAX.checked_shr(u32::BITS - n_place_bits).unwrap_or(0));
        (self & mask).try_into().unwrap_or(u32::MAX)
    }
}

impl Number for u64 {}
impl Number for u128 {}

/// A number as an index.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).expect("a usize has at least 32 bits")
}

#[cfg(test)]
mod tests;
