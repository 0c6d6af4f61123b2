//! The order of keys' texts, found without writing them where that is possible: each distinct name and
//! time gets its rank once, and the ranks of a row make one number.

mod ranks;

use std::ops::{BitAnd, BitOr, Shl};

use types::relations::Relation;
use types::{Names, Schema, json};

use self::ranks::Ranks;

/// The places of the rows in the order of their keys' texts. Rows come in the order of their places,
/// and no two have one key.
pub(crate) fn by_key_text<'a, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)> + Clone,
    schema: &Schema,
    names: &'a Names,
) -> Vec<u32> {
    by_ranks(rows.clone(), schema, names).unwrap_or_else(|| by_texts(rows, schema, names))
}

/// Orders by the texts themselves.
fn by_texts<'a, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)>,
    schema: &Schema,
    names: &Names,
) -> Vec<u32> {
    let (mut arena, mut texts) = (Vec::new(), Vec::new());
    for (place, row) in rows {
        let start = arena.len();
        json::write_key(&mut arena, row, schema, names);
        texts.push((start..arena.len(), place));
    }
    let text = |range: &std::ops::Range<usize>| arena.get(range.clone()).unwrap_or_default();
    texts.sort_unstable_by(|(a, _), (b, _)| text(a).cmp(text(b)));
    texts.into_iter().map(|(_, place)| place).collect()
}

/// Orders by ranks; `None` where a key's column holds something else than texts and times, or the
/// ranks take too many bits.
fn by_ranks<'a, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)> + Clone,
    schema: &Schema,
    names: &'a Names,
) -> Option<Vec<u32>> {
    let mut columns: Vec<Ranks<'_>> = Vec::new();
    columns.resize_with(schema.n_key, Ranks::default);
    let mut n_places = 0;
    for (place, row) in rows.clone() {
        for (index, column) in columns.iter_mut().enumerate() {
            column.push(row, index, names)?;
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
fn by_numbers<'a, T, R: Relation>(
    rows: impl Iterator<Item = (u32, &'a R)>,
    columns: &[Ranks<'_>],
    n_place_bits: u32,
) -> Vec<u32>
where
    T: Copy + Ord + From<u32> + TryInto<u32>,
    T: Shl<u32, Output = T> + BitOr<Output = T> + BitAnd<Output = T>,
{
    let number = |(nth, (place, _)): (usize, (u32, &'a R))| {
        let ranks = columns
            .iter()
            .fold(T::from(0), |ranks, column| ranks << column.n_bits() | T::from(column.rank(nth)));
        ranks << n_place_bits | T::from(place)
    };
    let mut numbers: Vec<T> = Vec::with_capacity(columns.first().map_or(0, Ranks::len));
    numbers.extend(rows.enumerate().map(number));
    numbers.sort_unstable();
    let mask = T::from(u32::MAX.checked_shr(u32::BITS - n_place_bits).unwrap_or(0));
    numbers.into_iter().map(|number| (number & mask).try_into().unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests;
