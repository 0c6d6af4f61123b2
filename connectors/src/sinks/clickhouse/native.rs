//! Rows as a block of `Native`: a column after the other, as ClickHouse itself holds them, so that it
//! needn't take rows apart.

use types::relations::{Relation, TakeColumn};
use types::{Cell, Column, Epoch, Kind, Names, Schema};

use super::encode::{self, length, text};
use super::layout::{VERSION_COLUMNS, sent_type};
use crate::sinks::held::Shown;
use crate::sinks::misfit;

/// A block under way.
pub(super) struct Block {
    columns: Vec<Filled>,
    /// Of the columns `_version` and `_deleted`.
    versions: Vec<u8>,
    deleted: Vec<u8>,
}

/// What a column holds so far.
struct Filled {
    column: Column,
    /// A byte a row, where the column is nullable: whether it is null.
    nulls: Vec<u8>,
    data: Vec<u8>,
}

/// A cell that doesn't fit: which of the rows given, and what it is.
pub(super) struct Misfit {
    pub(super) nth: usize,
    pub(super) problem: String,
}

impl Block {
    /// A block without rows.
    pub(super) fn new(schema: &Schema) -> Self {
        let fill = |column: &Column| Filled {
            column: column.clone(),
            nulls: Vec::new(),
            data: Vec::new(),
        };
        let columns = schema.columns.iter().map(fill).collect();
        Self { columns, versions: Vec::new(), deleted: Vec::new() }
    }

    /// How many rows it has.
    pub(super) const fn n_rows(&self) -> usize {
        self.deleted.len()
    }

    /// How many bytes they take.
    pub(super) fn n_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|filled| filled.nulls.len() + filled.data.len());
        columns.sum::<usize>() + self.versions.len() + self.deleted.len()
    }

    /// Takes rows, a column after the other.
    pub(super) fn push<R: Relation>(
        &mut self,
        rows: &[Shown<'_, R>],
        names: &Names,
        version: impl Fn(Epoch) -> Option<u64>,
    ) -> Result<(), Misfit> {
        for (index, filled) in self.columns.iter_mut().enumerate() {
            R::take_column(rows.iter().map(|shown| shown.row), index, names, filled)?;
        }
        for (nth, shown) in rows.iter().enumerate() {
            let version = version(shown.epoch).ok_or_else(|| Misfit {
                nth,
                problem: "the epoch is beyond those of a generation".into(),
            })?;
            self.versions.extend_from_slice(&version.to_le_bytes());
            self.deleted.push(u8::from(shown.is_deleted));
        }
        Ok(())
    }

    /// The block's bytes; it has no rows then.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.n_bytes() + 64 * (self.columns.len() + 2));
        let of_version = [&mut self.versions, &mut self.deleted];
        length(&mut out, self.columns.len() + of_version.len());
        length(&mut out, of_version[1].len());
        for Filled { column, nulls, data } in &mut self.columns {
            text(&mut out, &column.name);
            text(&mut out, &sent_type(column));
            out.append(nulls);
            out.append(data);
        }
        for ((name, kind, _), data) in VERSION_COLUMNS.iter().zip(of_version) {
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
        for (nth, cell) in cells.enumerate() {
            let is_null = is_nullable && matches!(cell, Cell::Null);
            let bytes = if is_null { Some(none) } else { encode(&cell) };
            let bytes = bytes.ok_or_else(|| self.misfit(nth, &cell))?;
            self.data.extend_from_slice(&bytes);
            if is_nullable {
                self.nulls.push(u8::from(is_null));
            }
        }
        Ok(())
    }

    fn texts<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), Misfit> {
        let is_nullable = self.column.nullable;
        for (nth, cell) in cells.enumerate() {
            let is_null = is_nullable && matches!(cell, Cell::Null);
            let shown = if is_null { Some("") } else { cell.as_str() };
            let shown = shown.ok_or_else(|| self.misfit(nth, &cell))?;
            text(&mut self.data, shown);
            if is_nullable {
                self.nulls.push(u8::from(is_null));
            }
        }
        Ok(())
    }

    fn misfit(&self, nth: usize, cell: &Cell<'_>) -> Misfit {
        Misfit { nth, problem: misfit(&self.column, cell) }
    }
}
