//! A view's rows as they stand at the end, sorted by their key's text, with bounded memory.

use std::io;
use std::sync::Arc;

use types::{Changes, Epoch, Names};

use super::entries::{Entry, Format, ToEntries};
use super::held::Held;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::spool::{Sorted, Sorter};

/// Bytes of changes that a view holds before they are sorted and spooled, and that the spool holds
/// before it writes a run: two such buffers a view at most.
pub(crate) const HELD_BYTES: usize = 32 << 20;

/// Marks of a spooled entry's first byte.
const ROW: u8 = 1;
const DELETED: u8 = 0;

/// Keeps the last change of each key: the newest in memory, the rest in sorted runs.
pub(crate) struct Fold {
    view: SinkView,
    names: Arc<Names>,
    format: Format,
    held: Held,
    n_held_max: usize,
    sorter: Sorter,
}

impl Fold {
    /// Starts without rows; keeps about `held_bytes` in memory, twice.
    pub(crate) fn new(
        view: SinkView,
        names: Arc<Names>,
        format: Format,
        held_bytes: usize,
    ) -> Self {
        let held = Held::new(view.kind);
        let n_held_max = (held_bytes / held.entry_bytes(&view.schema)).max(1);
        Self { view, names, format, held, n_held_max, sorter: Sorter::new(held_bytes) }
    }

    /// Takes an epoch's changes.
    pub(crate) fn take(&mut self, changes: &Changes, epoch: Epoch) -> Result<(), ConnectError> {
        self.held.take(changes, &self.view.schema, epoch);
        if self.held.len() >= self.n_held_max { self.spool() } else { Ok(()) }
    }

    /// Moves what is held behind what was spooled before; of equal keys the later one counts.
    fn spool(&mut self) -> Result<(), ConnectError> {
        let (sorter, view) = (&mut self.sorter, &self.view.name);
        let mut value = Vec::new();
        let take = |entry: Entry| {
            value.clear();
            value.push(if entry.is_deleted { DELETED } else { ROW });
            if !entry.is_deleted {
                value.extend_from_slice(&entry.row);
            }
            sorter.push(&entry.key, &value).map_err(|error| spool_error(view, error))
        };
        let (schema, names) = (&self.view.schema, &self.names);
        self.held.drain(&mut ToEntries { schema, names, format: self.format, take })
    }

    /// Gives the rows in the order of their keys' texts.
    pub(crate) fn finish(mut self) -> Result<Rows, ConnectError> {
        self.spool()?;
        let sorted = self.sorter.finish().map_err(|error| spool_error(&self.view.name, error))?;
        Ok(Rows { view: self.view.name, sorted, ahead: None })
    }
}

fn spool_error(view: &str, error: io::Error) -> ConnectError {
    ConnectError::broken(format!("sorting the rows of view {view} in a temporary file"))
        .because(error)
        .hint("is there room where temporary files go (TMPDIR)?")
}

/// The rows in the order of their keys' texts.
pub(crate) struct Rows {
    view: String,
    sorted: Sorted,
    ahead: Option<(Vec<u8>, Vec<u8>)>,
}

impl Rows {
    /// Gives the next row's bytes.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, ConnectError> {
        loop {
            let Some((key, mut newest)) = self.pull()? else { return Ok(None) };
            while let Some((next_key, next)) = self.pull()? {
                if next_key != key {
                    self.ahead = Some((next_key, next));
                    break;
                }
                newest = next;
            }
            if newest.first() == Some(&ROW) {
                newest.remove(0);
                return Ok(Some(newest));
            }
        }
    }

    fn pull(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, ConnectError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        self.sorted.next().transpose().map_err(|error| spool_error(&self.view, error))
    }
}
