//! A view's rows as they stand at the end, sorted by their key's text, with bounded memory.

use std::io;
use std::sync::Arc;

use types::relations::Relation;
use types::{Changes, Epoch, Names, Schema, json};

use super::cells;
use super::held::{Held, Shown, Spell, Visit};
use super::turns::in_turns;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::spool::{Equal, Merged, Runs};

/// Bytes of rows that a view holds before they are sorted and spooled.
pub(crate) const HELD_BYTES: usize = 64 << 20;
/// Bytes that a view reads ahead of its spooled runs.
const MERGE_BYTES: usize = 16 << 20;

/// Marks of a spooled entry's first byte.
const ROW: u8 = 1;
const DELETED: u8 = 0;

/// What takes the rows that stand at the end, some at a time.
pub(crate) trait Output {
    /// Takes rows that were still in memory.
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError>;

    /// Takes the cells of spooled rows from the first one wanted on, which [`cells::read`] reads.
    fn spooled(&mut self, rows: &mut [&[u8]]) -> Result<(), ConnectError>;
}

/// Spells the rows that stand at the end, on any thread.
pub(crate) trait SpellFinal: Spell {
    /// Adds the text of a spooled row: its key's text, and its cells from the first one wanted on, which
    /// [`cells::read`] reads.
    fn spell_spooled(&self, key: &[u8], cells: &[u8], text: &mut Vec<u8>) -> io::Result<()>;
}

/// Keeps the last change of each key: in memory, and what is too much in sorted runs.
pub(crate) struct Fold {
    view: SinkView,
    names: Arc<Names>,
    first_spooled: usize,
    held: Held,
    n_held_max: usize,
    runs: Runs,
    /// Entries of the runs.
    n_spooled: usize,
}

impl Fold {
    /// Starts without rows; keeps about `held_bytes` in memory, and spools the cells from the column
    /// `first_spooled` on.
    pub(crate) fn new(
        view: SinkView,
        names: Arc<Names>,
        held_bytes: usize,
        first_spooled: usize,
    ) -> Self {
        let held = Held::new(view.kind);
        let n_held_max = (held_bytes / held.entry_bytes(&view.schema)).max(1);
        Self { view, names, first_spooled, held, n_held_max, runs: Runs::default(), n_spooled: 0 }
    }

    /// How many rows it holds, those of keys that are there several times each time.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_spooled + self.held.len()
    }

    /// Takes an epoch's changes.
    pub(crate) fn take(&mut self, changes: &Changes, epoch: Epoch) -> Result<(), ConnectError> {
        self.held.take(changes, &self.view.schema, epoch);
        if self.held.len() >= self.n_held_max { self.spool() } else { Ok(()) }
    }

    /// Writes what is held as a run; of equal keys the later run's counts.
    fn spool(&mut self) -> Result<(), ConnectError> {
        let (schema, names) = (Arc::clone(&self.view.schema), Arc::clone(&self.names));
        let has_earlier = !self.runs.is_empty();
        self.runs.start().map_err(|error| spool_error(&self.view.name, error))?;
        let mut spooling = Spooling {
            schema: &schema,
            names: &names,
            first: self.first_spooled,
            has_earlier,
            runs: &mut self.runs,
            view: &self.view.name,
            key: Vec::new(),
            value: Vec::new(),
        };
        self.held.visit_by_text(&schema, &names, &mut spooling)?;
        self.n_spooled += self.held.len();
        self.held.clear();
        Ok(())
    }

    /// Spells the rows in the order of their keys' texts; gives how many.
    pub(crate) fn spell(
        self,
        spell: &impl SpellFinal,
        hand_over: impl FnMut(&[u8]) -> Result<(), ConnectError>,
    ) -> Result<u64, ConnectError> {
        if self.runs.is_empty() {
            let (schema, names) = (&self.view.schema, &self.names);
            return self.held.spell_by_text(schema, names, spell, hand_over);
        }
        let view = self.view.name.clone();
        let error = |error| spool_error(&view, error);
        let (mut merged, mut n_rows) = (self.merge()?, 0);
        let next = |piece: &mut Piece| {
            n_rows += piece.fill(&mut merged).map_err(error)?;
            Ok(!piece.rows.is_empty())
        };
        let spell = |piece: &Piece, text: &mut Vec<u8>| piece.spell(spell, text).map_err(error);
        in_turns(next, spell, hand_over)?;
        Ok(n_rows)
    }

    /// Gives the rows in the order of their keys' texts.
    pub(crate) fn finish(self, output: &mut impl Output) -> Result<(), ConnectError> {
        if self.runs.is_empty() {
            let (schema, names) = (&self.view.schema, &self.names);
            return self.held.visit_by_text(schema, names, &mut Standing(output));
        }
        let view = self.view.name.clone();
        let (mut merged, mut piece) = (self.merge()?, Piece::default());
        while piece.fill(&mut merged).map_err(|error| spool_error(&view, error))? > 0 {
            let mut rows: Vec<&[u8]> = piece.rows().map(|(_, cells)| cells).collect();
            output.spooled(&mut rows)?;
        }
        Ok(())
    }

    /// Merges what was spooled with what is held.
    fn merge(mut self) -> Result<Merged, ConnectError> {
        self.spool()?;
        let merged = self.runs.merge(MERGE_BYTES, Equal::Last);
        merged.map_err(|error| spool_error(&self.view.name, error))
    }
}

/// Spooled rows that are spelled together.
const PIECE_ROWS: usize = 512;

/// Some spooled rows that stand.
#[derive(Default)]
struct Piece {
    /// Keys and cells, one behind the other.
    bytes: Vec<u8>,
    /// How long each row's key and cells are.
    rows: Vec<(usize, usize)>,
}

impl Piece {
    /// Takes the rows that follow; how many they are.
    fn fill(&mut self, merged: &mut Merged) -> io::Result<u64> {
        self.bytes.clear();
        self.rows.clear();
        let mut n_rows = 0;
        while self.rows.len() < PIECE_ROWS
            && let Some((key, value)) = merged.next()?
        {
            if let Some((&ROW, cells)) = value.split_first() {
                self.bytes.extend_from_slice(key);
                self.bytes.extend_from_slice(cells);
                self.rows.push((key.len(), cells.len()));
                n_rows += 1;
            }
        }
        Ok(n_rows)
    }

    /// The rows' keys and cells.
    fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.rows.iter().map(move |(n_key, n_cells)| {
            let (row, behind) = rest.split_at(n_key + n_cells);
            rest = behind;
            row.split_at(*n_key)
        })
    }

    fn spell(&self, spell: &impl SpellFinal, text: &mut Vec<u8>) -> io::Result<()> {
        self.rows().try_for_each(|(key, cells)| spell.spell_spooled(key, cells, text))
    }
}

/// Tells that the spool failed.
pub(crate) fn spool_error(view: &str, error: io::Error) -> ConnectError {
    ConnectError::broken(format!("sorting the rows of view {view} in a temporary file"))
        .because(error)
        .hint("is there room where temporary files go (TMPDIR)?")
}

/// Hands on the rows that stand.
struct Standing<'a, O>(&'a mut O);

impl<O: Output> Visit for Standing<'_, O> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        let mut alike = rows.chunk_by(|a, b| a.is_deleted == b.is_deleted);
        alike.try_for_each(|rows| match rows.first() {
            Some(Shown { is_deleted: false, .. }) => self.0.rows(rows),
            _ => Ok(()),
        })
    }
}

/// Writes a run.
struct Spooling<'a> {
    schema: &'a Schema,
    names: &'a Names,
    /// The first column that is written.
    first: usize,
    /// Whether an earlier run may hold a key that is gone.
    has_earlier: bool,
    runs: &'a mut Runs,
    view: &'a str,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Visit for Spooling<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        for Shown { row, is_deleted, .. } in rows {
            if *is_deleted && !self.has_earlier {
                continue;
            }
            self.key.clear();
            json::write_key(&mut self.key, *row, self.schema, self.names);
            self.value.clear();
            if *is_deleted {
                self.value.push(DELETED);
            } else {
                self.value.push(ROW);
                cells::write(&mut self.value, *row, self.first, self.names);
            }
            let pushed = self.runs.push(&self.key, &self.value);
            pushed.map_err(|error| spool_error(self.view, error))?;
        }
        Ok(())
    }
}
