//! The ranks of a column's texts or times among each other.

use rustc_hash::FxHashMap;
use types::relations::Relation;
use types::sabotage::{Safeguard, is_out};
use types::{Cell, Column, Names, Sym, Text, VenueTime};

use super::texts::Texts;
use super::{KeyBytes, index};

/// The ranks of what a column holds.
#[derive(Default)]
pub(super) struct Ranks<'a> {
    /// For each row the number of what it holds.
    numbers: Vec<u32>,
    /// What it was in the row before, with its number: venues and snapshots mostly repeat.
    last: Option<(Known<'a>, u32)>,
    by_sym: FxHashMap<Sym, u32>,
    by_address: FxHashMap<(usize, usize), u32>,
    by_text: FxHashMap<&'a str, u32>,
    /// As in keys; those that were known apart may be equal.
    texts: Texts,
    times: FxHashMap<VenueTime, u32>,
    /// For each number the time that it stands for, as a number in the same order.
    time_words: Vec<u64>,
    /// For each number its rank.
    by_number: Vec<u32>,
    n_bits: u32,
}

/// What tells a cell from others of its column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known<'a> {
    Name(Sym),
    /// Of a text that rows share: its address and length.
    At(usize, usize),
    /// A text that stands in its row.
    Text(&'a str),
    Time(VenueTime),
}

impl<'a> Known<'a> {
    fn of<R: Relation>(row: &'a R, index: usize, names: &'a Names) -> Option<Self> {
        if let Some(sym) = row.sym(index, names) {
            return Some(Self::Name(sym));
        }
        let at = |text: &str| Self::At(text.as_ptr().addr(), text.len());
        match row.cell(index, names) {
            Cell::Text(Text::Short(text)) => Some(Self::Text(text.as_str())),
            Cell::Text(text) => Some(at(text.as_str())),
            Cell::Word(word) => Some(at(word)),
            Cell::Str(text) => Some(Self::Text(text)),
            Cell::Time(time) => Some(Self::Time(time)),
            _ => None,
        }
    }
}

impl<'a> Ranks<'a> {
    /// Takes what a column of the next row holds; `None` where that is no text and no time, or not what
    /// those before hold.
    pub(super) fn push<K: KeyBytes, R: Relation>(
        &mut self,
        row: &'a R,
        (index, column): (usize, &Column),
        names: &'a Names,
    ) -> Option<()> {
        let known = Known::of(row, index, names)?;
        if let Some((last, number)) = self.last
            && last == known
        {
            self.numbers.push(number);
            return Some(());
        }
        let next = u32::try_from(self.texts.len() + self.time_words.len()).ok()?;
        let number = *match known {
            Known::Name(sym) => self.by_sym.entry(sym).or_insert(next),
            Known::At(start, length) => self.by_address.entry((start, length)).or_insert(next),
            Known::Text(text) => self.by_text.entry(text).or_insert(next),
            Known::Time(time) => self.times.entry(time).or_insert(next),
        };
        if number == next {
            if let Known::Time(time) = known {
                self.time_words.push(K::time(time));
            } else {
                self.texts.push(|out| K::cell(out, column, &row.cell(index, names)));
            }
        }
        // A column holds texts or times.
        if self.texts.len() > 0 && !self.time_words.is_empty() {
            return None;
        }
        self.last = Some((known, number));
        self.numbers.push(number);
        Some(())
    }

    /// How many rows were taken.
    pub(super) const fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Ranks what was taken.
    pub(super) fn sort(&mut self) {
        let numbers = 0..;
        let words = self.time_words.iter().copied();
        let mut order: Vec<(u64, u32)> = words.chain(self.texts.words()).zip(numbers).collect();
        let rest = |number: u32| self.texts.rest(number);
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(rest(b.1))));
        self.by_number = vec![0; order.len()];
        let (mut rank, mut before) = (0, None);
        for now in order {
            let is_other = |before: (u64, u32)| {
                before.0 != now.0 || rest(before.1) != rest(now.1) || is_out(Safeguard::RanksByText)
            };
            if before.is_some_and(is_other) {
                rank += 1;
            }
            before = Some(now);
            if let Some(place) = self.by_number.get_mut(index(now.1)) {
                *place = rank;
            }
        }
        self.n_bits = u32::BITS - rank.leading_zeros();
    }

    /// The rank of what the nth row holds.
    pub(super) fn rank(&self, nth: usize) -> u32 {
        let number = self.numbers.get(nth).map_or(usize::MAX, |number| index(*number));
        self.by_number.get(number).copied().unwrap_or(0)
    }

    /// Bits that a rank takes.
    pub(super) const fn n_bits(&self) -> u32 {
        self.n_bits
    }
}
