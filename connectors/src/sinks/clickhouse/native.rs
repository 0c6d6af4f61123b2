//! Rows as a block of `Native`: a column after the other, as ClickHouse itself holds them, so that it
//! needn't take rows apart.

use types::relations::{Relation, TakeColumn};
use types::{Cell, Column, Kind, Names, Schema};

use super::encode::{self, length, text};
use super::layout::{Mode, sent_type};
use crate::sinks::misfit;
use crate::sinks::shown::Shown;

/// A block under way.
pub(super) struct Block {
    mode: Mode,
    columns: Vec<Filled>,
    n_key: usize,
    /// Of the columns behind the view's own.
    stamps: Vec<Vec<u8>>,
    n_rows: usize,
}

/// What a column holds so far.
struct Filled {
    column: Column,
    /// A byte a row, where the column is nullable: whether it is null.
    nulls: Vec<u8>,
    data: Vec<u8>,
    /// How much of both belongs to rows that were taken as a whole.
    whole: (usize, usize),
}

/// A cell that doesn't fit, in words.
pub(super) struct Misfit(pub(super) String);

impl Block {
    /// A block without rows.
    pub(super) fn new(schema: &Schema, mode: Mode) -> Self {
        let fill = |column: &Column| Filled {
            column: column.clone(),
            nulls: Vec::new(),
            data: Vec::new(),
            whole: (0, 0),
        };
        let columns = schema.columns.iter().map(fill).collect();
        let stamps = vec![Vec::new(); mode.columns().len()];
        Self { mode, columns, n_key: schema.n_key, stamps, n_rows: 0 }
    }

    /// How many rows it has.
    pub(super) const fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// How many bytes they take.
    pub(super) fn n_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|filled| filled.nulls.len() + filled.data.len());
        columns.sum::<usize>() + self.stamps.iter().map(Vec::len).sum::<usize>()
    }

    /// Takes the view's columns of rows, one after the other; none of the rows where a cell doesn't fit.
    pub(super) fn push<R: Relation>(
        &mut self,
        rows: &[Shown<'_, R>],
        names: &Names,
    ) -> Result<(), Misfit> {
        let n_columns = self.columns.len();
        self.take_columns(rows, names, n_columns)
    }

    /// Takes the key of a row; where another column can't be null it has what stands for nothing.
    pub(super) fn push_key<R: Relation>(
        &mut self,
        row: &Shown<'_, R>,
        names: &Names,
    ) -> Result<(), Misfit> {
        self.take_columns(std::slice::from_ref(row), names, self.n_key)
    }

    fn take_columns<R: Relation>(
        &mut self,
        rows: &[Shown<'_, R>],
        names: &Names,
        n_taken: usize,
    ) -> Result<(), Misfit> {
        let mut fill = |(index, filled): (usize, &mut Filled)| {
            if index < n_taken {
                return R::take_column(rows.iter().map(|shown| shown.row), index, names, filled);
            }
            filled.push_none(rows.len());
            Ok(())
        };
        if let Err(misfit) = self.columns.iter_mut().enumerate().try_for_each(&mut fill) {
            self.columns.iter_mut().for_each(Filled::take_back);
            return Err(misfit);
        }
        for filled in &mut self.columns {
            filled.whole = (filled.nulls.len(), filled.data.len());
        }
        self.n_rows += rows.len();
        Ok(())
    }

    /// Takes what stands behind the view's columns, a value of each column, for the next row that lacks
    /// it.
    pub(super) fn stamp(&mut self, values: &[&[u8]]) {
        for (column, value) in self.stamps.iter_mut().zip(values) {
            column.extend_from_slice(value);
        }
    }

    /// The block's bytes; it has no rows then.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.n_bytes() + 64 * (self.columns.len() + 3));
        length(&mut out, self.columns.len() + self.stamps.len());
        length(&mut out, self.n_rows);
        self.n_rows = 0;
        for Filled { column, nulls, data, whole } in &mut self.columns {
            text(&mut out, &column.name);
            text(&mut out, &sent_type(column));
            out.append(nulls);
            out.append(data);
            *whole = (0, 0);
        }
        for ((name, kind, _), data) in self.mode.columns().iter().zip(&mut self.stamps) {
            text(&mut out, name);
            text(&mut out, kind);
            out.append(data);
        }
        out
    }
}

impl TakeColumn for &mut Filled {
    type Output = Result<(), Misfit>;

    fn take<'a>(self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), Misfit> {
        match self.column.kind {
            Kind::Bool => self.each(cells, [0], encode::bool),
            Kind::Count => self.each(cells, [0; 8], encode::count),
            Kind::Price => self.each(cells, [0; 8], encode::price),
            Kind::Size | Kind::Money | Kind::Number => self.each(cells, [0; 16], encode::decimal),
            Kind::Float => self.each(cells, [0; 8], encode::float),
            Kind::Time => self.each(cells, [0; 8], encode::time),
            // No word is 0.
            Kind::Word(words) => self.each(cells, [1], |cell| encode::word(words, cell)),
            Kind::Text | Kind::Name => self.texts(cells),
        }
    }
}

impl Filled {
    /// Adds cells that take `N` bytes each; where there is none, these stand in its place.
    #[inline]
    fn each<'a, const N: usize>(
        &mut self,
        cells: impl Iterator<Item = Cell<'a>>,
        none: [u8; N],
        encode: impl Fn(&Cell<'a>) -> Option<[u8; N]>,
    ) -> Result<(), Misfit> {
        let is_nullable = self.column.nullable;
        for cell in cells {
            let is_null = is_nullable && matches!(cell, Cell::Null);
            let bytes = if is_null { Some(none) } else { encode(&cell) };
            let bytes = bytes.ok_or_else(|| self.misfit(&cell))?;
            self.data.extend_from_slice(&bytes);
            if is_nullable {
                self.nulls.push(u8::from(is_null));
            }
        }
        Ok(())
    }

    fn texts<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), Misfit> {
        let is_nullable = self.column.nullable;
        for cell in cells {
            let is_null = is_nullable && matches!(cell, Cell::Null);
            let shown = if is_null { Some("") } else { cell.as_str() };
            let shown = shown.ok_or_else(|| self.misfit(&cell))?;
            text(&mut self.data, shown);
            if is_nullable {
                self.nulls.push(u8::from(is_null));
            }
        }
        Ok(())
    }

    /// Adds what stands for nothing, so many times.
    fn push_none(&mut self, n_rows: usize) {
        let (n_bytes, byte) = match self.column.kind {
            // No word is 0.
            Kind::Word(_) => (1, 1),
            // A text without bytes is its length.
            Kind::Bool | Kind::Text | Kind::Name => (1, 0),
            Kind::Count | Kind::Price | Kind::Float | Kind::Time => (8, 0),
            Kind::Size | Kind::Money | Kind::Number => (16, 0),
        };
        self.data.resize(self.data.len() + n_rows * n_bytes, byte);
        if self.column.nullable {
            self.nulls.resize(self.nulls.len() + n_rows, 1);
        }
    }

    /// Forgets what came behind the last whole row.
    fn take_back(&mut self) {
        self.nulls.truncate(self.whole.0);
        self.data.truncate(self.whole.1);
    }

    fn misfit(&self, cell: &Cell<'_>) -> Misfit {
        Misfit(misfit(&self.column, cell))
    }
}
