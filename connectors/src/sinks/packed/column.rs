//! What a key's column holds: each distinct value has a number, and in the end a rank.

use std::hash::Hasher as _;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::{FxHashMap, FxHasher};
use types::relations::Relation;
use types::{Cell, Names, Sym, VenueTime};

use crate::sinks::hash::{low_bits, spread};
use crate::sinks::order::{Texts, index};

/// Values that are looked up before it is asked whether that is worth it.
const LOOKED_UP_MIN: usize = if cfg!(test) { 16 } else { 64 << 10 };

/// The distinct values of a key's column.
pub(super) struct KeyColumn {
    /// The column, by its index.
    column: usize,
    /// What stands behind a value in a key's text: a comma, or the brace that ends it.
    end: u8,
    /// The row before's value, with its number: venues and snapshots mostly repeat.
    last: Option<(Known, u32)>,
    by_sym: BySym,
    by_time: FxHashMap<VenueTime, u32>,
    /// The low bits of texts' hashes, with their numbers.
    by_text: HashTable<(u32, u32)>,
    /// How many times and texts were looked up, and how many of them were new.
    n_looked_up: usize,
    n_new: usize,
    /// Whether most of them are new: then nothing is looked up any more, each gets a number, and equal
    /// ones meet when they are ranked.
    is_mostly_new: bool,
    /// The values as long as all are times; else none.
    times: Vec<VenueTime>,
    /// The values as JSON, with the byte behind each, so that none is the start of another.
    texts: Texts,
    text: Vec<u8>,
}

/// What tells a value from others without a look at its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Name(Sym),
    Time(VenueTime),
}

impl KeyColumn {
    /// Of a column of keys of so many columns.
    pub(super) fn new(column: usize, n_key: usize) -> Self {
        Self {
            column,
            end: if column + 1 == n_key { b'}' } else { b',' },
            last: None,
            by_sym: BySym::default(),
            by_time: FxHashMap::default(),
            by_text: HashTable::new(),
            n_looked_up: 0,
            n_new: 0,
            is_mostly_new: false,
            times: Vec::new(),
            texts: Texts::default(),
            text: Vec::new(),
        }
    }

    /// The number of what a row holds.
    pub(super) fn number<R: Relation>(&mut self, row: &R, names: &Names) -> u32 {
        let column = self.column;
        if let Some(sym) = row.sym(column, names) {
            return self.known(Known::Name(sym), || row.cell(column, names));
        }
        match row.cell(column, names) {
            Cell::Time(time) => self.known(Known::Time(time), || Cell::Time(time)),
            cell => self.number_of_text(&cell),
        }
    }

    fn known<'a>(&mut self, known: Known, cell: impl FnOnce() -> Cell<'a>) -> u32 {
        if let Some((last, number)) = self.last
            && last == known
        {
            return number;
        }
        let number = match known {
            Known::Name(sym) => self.by_sym.get(sym).unwrap_or_else(|| {
                let number = self.number_of_text(&cell());
                self.by_sym.insert(sym, number);
                number
            }),
            Known::Time(time) if self.texts.len() == 0 => self.number_of_time(time),
            Known::Time(time) => self.number_of_text(&Cell::Time(time)),
        };
        self.last = Some((known, number));
        number
    }

    fn number_of_time(&mut self, time: VenueTime) -> u32 {
        if self.is_mostly_new {
            self.times.push(time);
            return newest(self.times.len());
        }
        let number = self.look_up_time(time);
        self.ask_whether_to_look_up();
        number
    }

    fn look_up_time(&mut self, time: VenueTime) -> u32 {
        self.n_looked_up += 1;
        let next = u32::try_from(self.times.len()).unwrap_or(GONE);
        let number = *self.by_time.entry(time).or_insert(next);
        if number == next {
            self.times.push(time);
            self.n_new += 1;
        }
        number
    }

    fn number_of_text(&mut self, cell: &Cell<'_>) -> u32 {
        // Times keep their numbers, so that each gets one here.
        for time in std::mem::take(&mut self.times) {
            self.push_text(&Cell::Time(time));
        }
        if self.is_mostly_new {
            return self.push_text(cell);
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        cell.write_json(&mut text);
        text.push(self.end);
        let number = self.look_up_text(&text);
        self.text = text;
        self.ask_whether_to_look_up();
        number
    }

    /// The number of a text as it is kept.
    fn look_up_text(&mut self, text: &[u8]) -> u32 {
        self.n_looked_up += 1;
        let texts = &mut self.texts;
        let mut hasher = FxHasher::default();
        hasher.write(text);
        let low = low_bits(hasher.finish());
        let is_it = |(other, number): &(u32, u32)| *other == low && texts.at(*number) == text;
        match self.by_text.entry(spread(low), is_it, |(low, _)| spread(*low)) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                texts.push(|out| out.extend_from_slice(text));
                let number = newest(texts.len());
                entry.insert((low, number));
                self.n_new += 1;
                number
            }
        }
    }

    fn push_text(&mut self, cell: &Cell<'_>) -> u32 {
        self.texts.push(|out| {
            cell.write_json(out);
            out.push(self.end);
        });
        newest(self.texts.len())
    }

    fn ask_whether_to_look_up(&mut self) {
        self.is_mostly_new = self.n_looked_up >= LOOKED_UP_MIN && self.n_new > self.n_looked_up / 2;
        if self.is_mostly_new {
            (self.by_time, self.by_text) = (FxHashMap::default(), HashTable::new());
        }
    }

    /// A column of the values of some of its numbers, and for each of its numbers the one there.
    pub(super) fn keep(&self, numbers: impl Iterator<Item = u32>) -> (Self, Vec<u32>) {
        let mut kept = Self { end: self.end, ..Self::new(self.column, 0) };
        let mut renumbered = vec![GONE; self.times.len() + self.texts.len()];
        for number in numbers {
            let Some(place) = renumbered.get_mut(index(number)) else { continue };
            if *place == GONE {
                *place = match self.times.get(index(number)) {
                    Some(time) => kept.look_up_time(*time),
                    None => kept.look_up_text(self.texts.at(number)),
                };
            }
        }
        for (sym, number) in self.by_sym.iter() {
            if let Some(number) = renumbered.get(index(number)).filter(|number| **number != GONE) {
                kept.by_sym.insert(sym, *number);
            }
        }
        // These were no look-ups of what came.
        (kept.n_looked_up, kept.n_new) = (0, 0);
        (kept, renumbered)
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn n_bytes(&self) -> usize {
        let n_entries = self.by_time.len() + self.by_text.len();
        let times = size_of_val(self.times.as_slice());
        let known = self.by_sym.n_bytes() + n_entries * size_of::<(u64, u32)>();
        known + times + self.texts.n_bytes()
    }

    /// For each number its rank; of equal values the same.
    pub(super) fn ranks(&self) -> Vec<u32> {
        // Texts of times all have one length, so that they order as the times do.
        let mut times: Vec<(VenueTime, u32)> = self.times.iter().copied().zip(0..).collect();
        times.sort_unstable();
        let sorted = times.into_iter().map(|(_, number)| number).chain(self.texts.sorted());
        let mut ranks = vec![0; self.times.len() + self.texts.len()];
        let (mut rank, mut before) = (0, None);
        for number in sorted {
            if before.is_some_and(|before| !self.is_same(before, number)) {
                rank += 1;
            }
            before = Some(number);
            if let Some(place) = ranks.get_mut(index(number)) {
                *place = rank;
            }
        }
        ranks
    }

    /// Whether two numbers stand for one value. Texts that stood apart as times may be equal to later ones.
    fn is_same(&self, a: u32, b: u32) -> bool {
        let time = |number: u32| self.times.get(index(number));
        match (time(a), time(b)) {
            (Some(a), Some(b)) => a == b,
            _ => self.texts.at(a) == self.texts.at(b),
        }
    }

    /// Adds the value of a number, with the byte behind it, to a key's text.
    pub(super) fn write(&self, number: u32, out: &mut Vec<u8>) {
        if let Some(time) = self.times.get(index(number)) {
            Cell::Time(*time).write_json(out);
            out.push(self.end);
        } else {
            out.extend_from_slice(self.texts.at(number));
        }
    }
}

/// Stands for no number.
const GONE: u32 = u32::MAX;

/// The number of the newest of so many values.
fn newest(n_values: usize) -> u32 {
    u32::try_from(n_values - 1).expect("rows are bounded by bytes")
}

/// Numbers of names by the names' own, in pages, since a view holds some of all names.
#[derive(Default)]
struct BySym {
    pages: Vec<Option<Box<Page>>>,
    n_pages: usize,
}

/// One more than the number of each name, or zero.
type Page = [u32; PAGE];
const PAGE: usize = 1024;

impl BySym {
    fn get(&self, sym: Sym) -> Option<u32> {
        let page = self.pages.get(index(sym.index()) / PAGE)?.as_ref()?;
        page.get(index(sym.index()) % PAGE)?.checked_sub(1)
    }

    fn insert(&mut self, sym: Sym, number: u32) {
        let (nth, at) = (index(sym.index()) / PAGE, index(sym.index()) % PAGE);
        if self.pages.len() <= nth {
            self.pages.resize_with(nth + 1, || None);
        }
        let Some(page) = self.pages.get_mut(nth) else { return };
        if page.is_none() {
            self.n_pages += 1;
        }
        if let Some(place) = page.get_or_insert_with(|| Box::new([0; PAGE])).get_mut(at) {
            *place = number + 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Sym, u32)> {
        let all =
            self.pages.iter().enumerate().filter_map(|(nth, page)| Some((nth, page.as_ref()?)));
        all.flat_map(|(nth, page)| {
            let sym = move |at| u32::try_from(nth * PAGE + at).ok().map(Sym::from_index);
            let numbers = page.iter().enumerate();
            numbers.filter_map(move |(at, number)| Some((sym(at)?, number.checked_sub(1)?)))
        })
    }

    const fn n_bytes(&self) -> usize {
        self.pages.len() * size_of::<usize>() + self.n_pages * size_of::<Page>()
    }
}
