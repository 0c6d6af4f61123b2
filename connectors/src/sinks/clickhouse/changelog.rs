//! A table of each row that came (`_diff` 1) and each that went (-1), in the order of the files of changes.
//!
//! Added up by their `_diff`, equal rows give those that stand: after any epoch, or now. A key whose row
//! changes has its old row taken back and the new one added, so that sums over the table follow too, with no
//! look at what stood before. Which rows a table holds doesn't depend on where batches are cut: `_epoch`
//! and `_seq`, the place among the changes of an epoch, name a row for ever.
//!
//! Nothing here replaces anything, so that what comes twice counts twice. Tokens keep repeats away while the
//! server remembers them. Beyond that, rows that may have been sent are counted before they are sent again,
//! and a batch of which the table of commits speaks isn't sent at all: its rows may have been removed since.

use std::sync::Arc;

use types::relations::Relation;
use types::sabotage::{Safeguard, is_out};
use types::{Changes, Epoch, Names, Schema};

use super::ClickHouse;
use super::layout::{COMMITS, Mode, literal, qualified};
use super::outbox::Batch;
use crate::error::ConnectError;
use crate::sinks::order::{JsonKeys, by_key};
use crate::sinks::patience::Stage;
use crate::sinks::shown::{Shown, Visit, in_blocks};

/// Changes that aren't sent yet.
#[derive(Default)]
pub(super) struct Log {
    epochs: Vec<(Epoch, Arc<Changes>)>,
    n_rows: usize,
}

impl Log {
    /// How many rows came and went.
    pub(super) const fn len(&self) -> usize {
        self.n_rows
    }

    /// Takes an epoch's changes.
    pub(super) fn take(&mut self, changes: &Arc<Changes>, epoch: Epoch) {
        if !changes.is_empty() {
            self.n_rows += changes.len();
            self.epochs.push((epoch, Arc::clone(changes)));
        }
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.epochs.clear();
        self.n_rows = 0;
    }

    /// Shows them epoch by epoch, in the order of the keys' texts, of each key the old row first.
    pub(super) fn visit(
        &self,
        schema: &Schema,
        names: &Names,
        visitor: &mut impl Visit,
    ) -> Result<(), ConnectError> {
        self.epochs.iter().try_for_each(|(epoch, changes)| {
            types::with_changes!(&**changes, rows => {
                visit_rows(rows, (schema, names), *epoch, visitor)
            })
        })
    }
}

fn visit_rows<R: Relation>(
    rows: &[(R, isize)],
    (schema, names): (&Schema, &Names),
    epoch: Epoch,
    visitor: &mut impl Visit,
) -> Result<(), ConnectError> {
    // Changes are adjoined: those of a key stand together, the old row first.
    let of_keys: Vec<&[(R, isize)]> = rows.chunk_by(|a, b| a.0.has_key_of(&b.0, schema)).collect();
    let firsts = of_keys.iter().filter_map(|changes| Some(&changes.first()?.0));
    let places = by_key::<JsonKeys, R>((0..).zip(firsts), schema, names);
    let in_order = places.iter().filter_map(|place| of_keys.get(usize::try_from(*place).ok()?));
    let shown = in_order.flat_map(|changes| changes.iter()).map(|(row, diff)| {
        assert!(matches!(diff, 1 | -1), "a row changes by {diff} in epoch {epoch}: {row:?}");
        Shown { row, is_deleted: *diff < 0, epoch }
    });
    in_blocks(shown, visitor)
}

impl ClickHouse {
    /// Whether the table of commits says that all of a batch was stored once. Rows that take the place of
    /// equal ones may come again for all that.
    pub(super) fn has_committed(&self, batch: &Batch) -> Result<bool, ConnectError> {
        if self.mode == Mode::Rows || is_out(Safeguard::CommitsRead) {
            return Ok(false);
        }
        let commits = qualified(&self.database, COMMITS);
        let (first, last) = batch.range;
        let sql = format!(
            "SELECT '1' FROM {commits} WHERE pipeline = {} AND sink = {} AND generation = {} \
             AND first_epoch = {first} AND last_epoch = {last} LIMIT 1",
            literal(&self.pipeline),
            literal(&self.name),
            batch.generation,
        );
        let doing = format!("looking for epochs {first} to {last} in table {commits}");
        Ok(!self.server.rows(Stage::Running, &doing, &sql)?.is_empty())
    }
}
