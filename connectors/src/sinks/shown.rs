//! Typed rows as writers are shown them, some at a time.

use types::changes::{self, Change};
use types::relations::Relation;
use types::{Changes, Epoch, Names, Schema};

use super::order::{JsonKeys, by_key, index};
use crate::error::ConnectError;

/// Rows that are shown together.
pub(super) const BLOCK: usize = 64;

/// The row that a key holds, or held last where it is deleted, and when it changed.
pub(crate) struct Shown<'a, R> {
    pub(crate) row: &'a R,
    pub(crate) is_deleted: bool,
    pub(crate) epoch: Epoch,
}

/// Takes typed rows, some at a time.
pub(crate) trait Visit {
    /// Takes the rows that follow.
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError>;
}

/// Shows an epoch's changes, one a key, in the order of the keys' texts.
pub(crate) fn visit_changes(
    changes: &Changes,
    schema: &Schema,
    names: &Names,
    epoch: Epoch,
    visitor: &mut impl Visit,
) -> Result<(), ConnectError> {
    types::with_changes!(changes, rows => {
        let changes: Vec<_> = changes::by_key(rows, schema).map(Change::into_parts).collect();
        let rows = (0..).zip(&changes).map(|(place, (row, _))| (place, *row));
        let places = by_key::<JsonKeys, _>(rows, schema, names);
        let shown = places.iter().filter_map(|place| {
            let (row, is_deleted) = *changes.get(index(*place))?;
            Some(Shown { row, is_deleted, epoch })
        });
        in_blocks(shown, visitor)
    })
}

/// Shows rows block by block.
pub(crate) fn in_blocks<'a, R: Relation>(
    mut rows: impl Iterator<Item = Shown<'a, R>>,
    visitor: &mut impl Visit,
) -> Result<(), ConnectError> {
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        block.extend(rows.by_ref().take(BLOCK));
        if block.is_empty() {
            return Ok(());
        }
        visitor.rows(&block)?;
    }
}
