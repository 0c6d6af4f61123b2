//! Rows that are read but not yet interned: cells, and the texts that they point into.

use crate::event::Op;
use crate::id::Sym;
use crate::time::VenueTime;

/// A cell of a row that is read but not yet interned. 16 bytes, so that a batch of rows stays in a
/// core's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// Not mapped, empty or null.
    #[default]
    Null,
    /// A text: a range of the row's texts.
    Text(u32, u32),
    /// One of the words that the column takes, by its place among them.
    Word(u8),
    /// A number x 1e9.
    Nano(i64),
    /// A number x 1e9 that needs more than 64 bits: its upper and lower halves stand as 32 hex
    /// digits in the row's texts, from here on.
    Wide(u32),
    /// A 64-bit integer without sign.
    Count(u64),
    /// A time.
    Time(VenueTime),
    /// True or false.
    Bool(bool),
}

/// Hex digits of a [`Cell::Wide`].
const WIDE_DIGITS: u32 = 32;

impl Cell {
    /// The cell of a number x 1e9. What 64 bits don't hold is given to `push`, which adds it to the
    /// texts; they are `start` bytes long.
    ///
    /// # Panics
    /// If the texts pass 4 GiB.
    #[inline]
    pub fn nano(nano: i128, start: usize, push: impl FnOnce(&str)) -> Self {
        if let Ok(nano) = i64::try_from(nano) {
            return Self::Nano(nano);
        }
        push(&format!("{nano:032x}"));
        Self::Wide(place(start))
    }
}

/// Where the next text starts.
fn place(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes).expect("the texts at hand are far below 4 GiB")
}

/// A row as a reader made it, looked at where it stands: one cell for each input column of its
/// relation, and the operation.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a> {
    /// What the event does.
    pub op: Op,
    /// Whether the column `seq` came from the source, so that it is content.
    pub seq_is_mapped: bool,
    /// One for each of the relation's input columns.
    pub cells: &'a [Cell],
    /// What texts are ranges of.
    pub texts: &'a str,
    /// What the row's main name is called, where that is known already.
    pub main_name: Option<Sym>,
}

impl<'a> Cells<'a> {
    /// The cell of a column; null where there is none.
    #[inline]
    pub fn get(&self, column: usize) -> Cell {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// The text of a cell, `None` where it holds none.
    #[inline]
    pub fn text(&self, column: usize) -> Option<&'a str> {
        match self.get(column) {
            Cell::Text(start, end) => {
                self.texts.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
            }
            _ => None,
        }
    }

    /// The number x 1e9 of a cell, `None` where it holds none.
    #[inline]
    pub fn nano(&self, column: usize) -> Option<i128> {
        match self.get(column) {
            Cell::Nano(nano) => Some(i128::from(nano)),
            Cell::Wide(start) => {
                let end = usize::try_from(start.checked_add(WIDE_DIGITS)?).ok()?;
                let digits = self.texts.get(usize::try_from(start).ok()?..end)?;
                // Hex digits are those of the 128 bits, whatever their sign.
                let bits = u128::from_str_radix(digits, 16).ok()?;
                Some(i128::from_ne_bytes(bits.to_ne_bytes()))
            }
            _ => None,
        }
    }

    /// The count of a cell, `None` where it holds none.
    #[inline]
    pub fn count(&self, column: usize) -> Option<u64> {
        match self.get(column) {
            Cell::Count(count) => Some(count),
            _ => None,
        }
    }
}

/// A row of its own: tests and configs write these, readers write whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What the event does.
    pub op: Op,
    /// One for each of the relation's input columns.
    pub cells: Vec<Cell>,
    /// The texts, one after the other.
    pub text: String,
    /// Whether the column `seq` came from the source, so that it is content.
    pub seq_is_mapped: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self { op: Op::Insert, cells: Vec::new(), text: String::new(), seq_is_mapped: false }
    }
}

impl Draft {
    /// Empties the draft for a relation with this many columns.
    pub fn reset(&mut self, n_columns: usize) {
        self.op = Op::Insert;
        self.cells.clear();
        self.cells.resize(n_columns, Cell::Null);
        self.text.clear();
        self.seq_is_mapped = false;
    }

    /// Sets a cell.
    ///
    /// # Panics
    /// If the column is beyond those of [`Draft::reset`].
    pub fn set(&mut self, column: usize, cell: Cell) {
        self.cells[column] = cell;
    }

    /// Sets a cell to a number x 1e9.
    ///
    /// # Panics
    /// If the column is beyond those of [`Draft::reset`], or the texts pass 4 GiB.
    pub fn set_nano(&mut self, column: usize, nano: i128) {
        let Self { cells, text, .. } = self;
        cells[column] = Cell::nano(nano, text.len(), |digits| text.push_str(digits));
    }

    /// Sets a cell to a text.
    ///
    /// # Panics
    /// If the column is beyond those of [`Draft::reset`], or the texts pass 4 GiB.
    pub fn set_text(&mut self, column: usize, text: &str) {
        let start = place(self.text.len());
        self.text.push_str(text);
        self.cells[column] = Cell::Text(start, place(self.text.len()));
    }

    /// The text of a cell, `None` where it holds none.
    #[inline]
    pub fn text(&self, column: usize) -> Option<&str> {
        self.view().text(column)
    }

    /// The row as a relation reads it.
    #[inline]
    pub fn view(&self) -> Cells<'_> {
        let Self { op, cells, text, seq_is_mapped } = self;
        Cells { op: *op, seq_is_mapped: *seq_is_mapped, cells, texts: text, main_name: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_come_back() {
        assert_eq!(std::mem::size_of::<Cell>(), 16);
        let mut draft = Draft::default();
        draft.reset(1);
        let wide = i128::from(i64::MAX) + 1;
        for nano in [0, -1, i64::MAX.into(), i64::MIN.into(), wide, -wide - 1, i128::MIN] {
            draft.set_nano(0, nano);
            assert_eq!(draft.view().nano(0), Some(nano));
            assert_eq!(matches!(draft.cells[0], Cell::Nano(_)), i64::try_from(nano).is_ok());
        }
    }
}
