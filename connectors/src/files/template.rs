//! What is the same for each row of a file: the cells that a row starts with.

use types::event::Cell;

/// Cells of constants, all others null, and the texts that they point into.
pub(super) struct Template {
    of_rows: Vec<Cell>,
    /// Of a bust only some columns are read.
    of_busts: Vec<Cell>,
    texts: String,
}

impl Template {
    /// Nulls.
    pub(super) fn new(n_columns: usize) -> Self {
        let nulls = vec![Cell::Null; n_columns];
        Self { of_rows: nulls.clone(), of_busts: nulls, texts: String::new() }
    }

    /// Sets a column; a cell that points into a text points into this one.
    pub(super) fn set(&mut self, column: usize, (cell, text): (Cell, &str), is_read_of_bust: bool) {
        let shift = u32::try_from(self.texts.len());
        let shift = shift.expect("the constants of a config are far below 4 GiB");
        self.texts.push_str(text);
        let cell = match cell {
            Cell::Text(start, end) => Cell::Text(start + shift, end + shift),
            Cell::Wide(start) => Cell::Wide(start + shift),
            cell => cell,
        };
        let of_busts = self.of_busts.get_mut(column).filter(|_| is_read_of_bust);
        of_busts.into_iter().chain(self.of_rows.get_mut(column)).for_each(|place| *place = cell);
    }

    /// Sets a column that isn't read of a bust to a text.
    pub(super) fn set_text(&mut self, column: usize, text: &str) {
        let length = u32::try_from(text.len()).expect("a config's text is far below 4 GiB");
        self.set(column, (Cell::Text(0, length), text), false);
    }

    /// The cells that a row starts with.
    pub(super) fn cells(&self, is_bust: bool) -> &[Cell] {
        if is_bust { &self.of_busts } else { &self.of_rows }
    }

    /// What each batch of rows starts its texts with.
    pub(super) fn texts(&self) -> &str {
        &self.texts
    }
}
