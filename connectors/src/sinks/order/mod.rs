//! The order of keys' texts, found without writing them where that is possible: each distinct name and
//! time gets its rank once, and the ranks of a row make one number.

use rustc_hash::FxHashMap;
use types::relations::Relation;
use types::sabotage::{Safeguard, is_out};
use types::{Cell, Names, Schema, VenueTime, json};

/// The places of the rows in the order of their keys' texts. No two rows have one key.
pub(crate) fn by_key_text<R: Relation>(rows: &[&R], schema: &Schema, names: &Names) -> Vec<usize> {
    match rows {
        [] => Vec::new(),
        [_] => vec![0],
        rows => by_ranks(rows, schema, names).unwrap_or_else(|| by_texts(rows, schema, names)),
    }
}

/// Orders by the texts themselves.
fn by_texts<R: Relation>(rows: &[&R], schema: &Schema, names: &Names) -> Vec<usize> {
    let (mut arena, mut ends) = (Vec::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        json::write_key(&mut arena, *row, schema, names);
        ends.push(arena.len());
    }
    let start = |place: usize| place.checked_sub(1).and_then(|before| ends.get(before));
    let text = |place: usize| {
        let (start, end) = (start(place).copied(), ends.get(place).copied());
        arena.get(start.unwrap_or(0)..end.unwrap_or(0)).unwrap_or_default()
    };
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_unstable_by(|a, b| text(*a).cmp(text(*b)));
    places
}

/// Orders by ranks; `None` where a key's column holds something else than texts and times, or the
/// ranks take too many bits.
fn by_ranks<R: Relation>(rows: &[&R], schema: &Schema, names: &Names) -> Option<Vec<usize>> {
    let columns = (0..schema.n_key).map(|index| Ranks::of(rows, index, names));
    let columns: Vec<Ranks> = columns.collect::<Option<_>>()?;
    let n_place_bits = bits(rows.len());
    let n_bits = n_place_bits + columns.iter().map(|column| column.n_bits).sum::<u32>();
    let number = |place: usize| {
        let ranks = columns.iter().fold(0, |number: u128, column| {
            number << column.n_bits | u128::from(column.rank(place))
        });
        ranks << n_place_bits | u128::try_from(place).unwrap_or(0)
    };
    let places = 0..rows.len();
    // The place stands in the lowest bits.
    if n_bits <= u64::BITS {
        let narrow = |place| u64::try_from(number(place)).unwrap_or(u64::MAX);
        let mut numbers: Vec<u64> = places.map(narrow).collect();
        numbers.sort_unstable();
        let mask = (1 << n_place_bits) - 1;
        let place = |number: u64| usize::try_from(number & mask).unwrap_or(usize::MAX);
        return Some(numbers.into_iter().map(place).collect());
    }
    if n_bits > u128::BITS {
        return None;
    }
    let mut numbers: Vec<u128> = places.map(number).collect();
    numbers.sort_unstable();
    let mask = (1 << n_place_bits) - 1;
    let place = |number: u128| usize::try_from(number & mask).unwrap_or(usize::MAX);
    Some(numbers.into_iter().map(place).collect())
}

/// Bits that hold the numbers below `n`.
const fn bits(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

/// The ranks of a column's texts or times.
struct Ranks {
    /// For each row the number of what it holds.
    numbers: Vec<u32>,
    /// For each number its rank.
    by_number: Vec<u32>,
    n_bits: u32,
}

impl Ranks {
    fn of<R: Relation>(rows: &[&R], index: usize, names: &Names) -> Option<Self> {
        match rows.first()?.cell(index, names) {
            Cell::Time(_) => Self::of_times(rows, index, names),
            Cell::Text(_) | Cell::Word(_) | Cell::Str(_) => Self::of_texts(rows, index, names),
            _ => None,
        }
    }

    fn rank(&self, place: usize) -> u32 {
        let number = self.numbers.get(place).and_then(|number| usize::try_from(*number).ok());
        number.and_then(|number| self.by_number.get(number)).copied().unwrap_or(0)
    }

    /// Of texts that stand in memory once, interned or shared by rows: their address tells them apart,
    /// and equal ones at two addresses get one rank. A text that stands in its row is looked at.
    fn of_texts<R: Relation>(rows: &[&R], index: usize, names: &Names) -> Option<Self> {
        let mut known: FxHashMap<(usize, usize, &str), u32> = FxHashMap::default();
        let (mut arena, mut ends) = (Vec::new(), Vec::new());
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            let cell = row.cell(index, names);
            let at = |text: &str| (text.as_ptr().addr(), text.len(), "");
            let text = match cell {
                Cell::Text(text) => at(text.as_str()),
                Cell::Word(word) => at(word),
                Cell::Str(text) => (0, 0, text),
                _ => return None,
            };
            let next = u32::try_from(known.len()).ok()?;
            let number = *known.entry(text).or_insert(next);
            if number == next {
                cell.write_json(&mut arena);
                ends.push(arena.len());
            }
            numbers.push(number);
        }
        let start = |number: usize| number.checked_sub(1).and_then(|before| ends.get(before));
        // With its quotes, so that none is the start of another.
        let spelled = |number: usize| {
            let (start, end) = (start(number).copied(), ends.get(number).copied());
            arena.get(start.unwrap_or(0)..end.unwrap_or(0)).unwrap_or_default()
        };
        Some(Self::sorted(numbers, ends.len(), spelled))
    }

    /// Of times, whose texts all have one length.
    fn of_times<R: Relation>(rows: &[&R], index: usize, names: &Names) -> Option<Self> {
        let mut known: FxHashMap<VenueTime, u32> = FxHashMap::default();
        let (mut times, mut numbers) = (Vec::new(), Vec::with_capacity(rows.len()));
        for row in rows {
            let Cell::Time(time) = row.cell(index, names) else { return None };
            let next = u32::try_from(known.len()).ok()?;
            let number = *known.entry(time).or_insert(next);
            if number == next {
                times.push(time);
            }
            numbers.push(number);
        }
        Some(Self::sorted(numbers, times.len(), |number| times.get(number)))
    }

    /// Ranks `n` numbers by what they stand for.
    fn sorted<T: Ord>(numbers: Vec<u32>, n: usize, what: impl Fn(usize) -> T) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_unstable_by_key(|number| what(*number));
        let mut ranks = vec![0; n];
        let (mut rank, mut before) = (0u32, None);
        for number in order {
            let now = what(number);
            let is_other = |before: &T| *before != now || is_out(Safeguard::RanksByText);
            if before.as_ref().is_some_and(is_other) {
                rank += 1;
            }
            before = Some(now);
            if let Some(place) = ranks.get_mut(number) {
                *place = rank;
            }
        }
        let n_bits = u32::BITS - rank.leading_zeros();
        Self { numbers, by_number: ranks, n_bits }
    }
}

#[cfg(test)]
mod tests;
