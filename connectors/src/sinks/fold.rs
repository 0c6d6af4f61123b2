//! A view's rows as they stand at the end, sorted by their key's text, with bounded memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use types::{Changes, Names};

use super::packed::{DELETED, Packed, ROW};
use super::turns::in_turns;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::spool::{Equal, Merged, Runs};

/// Bytes that a view reads ahead of its spooled runs.
const MERGE_BYTES: usize = 16 << 20;
/// Rows that are spelled together.
const PIECE_ROWS: usize = 512;
/// The part of what a sink may hold from which on a view is looked through for what is outdated.
const COMPACT_PART: usize = 4;

/// What takes the rows that stand at the end, some at a time.
pub(crate) trait Output {
    /// Takes the cells of rows from the first one wanted on, which [`cells::read`] reads.
    ///
    /// [`cells::read`]: super::cells::read
    fn rows(&mut self, rows: &mut [&[u8]]) -> Result<(), ConnectError>;
}

/// Spells the rows that stand at the end, on any thread.
pub(crate) trait Spell: Sync {
    /// Adds what a row's text has behind its key's text, with which `text` ends: its cells from the
    /// first one wanted on, which [`cells::read`] reads.
    ///
    /// [`cells::read`]: super::cells::read
    fn spell(&self, cells: &[u8], text: &mut Vec<u8>) -> io::Result<()>;
}

/// Keeps the last change of each key: in memory, and what is too much in sorted runs.
pub(crate) struct Fold {
    view: String,
    held: Packed,
    runs: Runs,
    /// Entries of the runs.
    n_spooled: usize,
}

impl Fold {
    /// Starts without rows; spools the cells from the column `first_spooled` on. Of the `held_bytes` of its
    /// sink it may hold all, until [`bound`] says otherwise; from a part of them on it is looked through.
    pub(crate) fn new(
        view: &SinkView,
        names: &Arc<Names>,
        held_bytes: usize,
        first_spooled: usize,
    ) -> Self {
        let held = Packed::new(&view.schema, names, first_spooled, held_bytes / COMPACT_PART);
        Self { view: view.name.clone(), held, runs: Runs::default(), n_spooled: 0 }
    }

    /// How many rows it holds, those of keys that are there several times each time.
    pub(crate) const fn n_rows(&self) -> usize {
        self.n_spooled + self.held.len()
    }

    /// Takes an epoch's changes.
    pub(crate) fn take(&mut self, changes: &Changes) {
        self.held.take(changes, self.runs.is_empty());
    }

    /// Writes what is held at those places as a run, and forgets all; of equal keys the later run's
    /// counts.
    fn spool(&mut self, places: &[u32]) -> Result<(), ConnectError> {
        let has_earlier = !self.runs.is_empty();
        let mut key = Vec::new();
        let mut written = self.runs.start();
        self.held.show(places, |numbers, change| {
            if written.is_ok() && (has_earlier || change.first() != Some(&DELETED)) {
                key.clear();
                self.held.write_key(numbers, &mut key);
                written = self.runs.push(&key, change);
            }
        });
        written.map_err(|error| spool_error(&self.view, error))?;
        self.n_spooled += places.len();
        self.held.clear();
        Ok(())
    }

    /// Spells the rows in the order of their keys' texts; gives how many.
    pub(crate) fn spell(
        self,
        spell: &impl Spell,
        hand_over: impl FnMut(&[u8]) -> Result<(), ConnectError>,
    ) -> Result<u64, ConnectError> {
        let view = self.view.clone();
        let error = |error| spool_error(&view, error);
        if self.runs.is_empty() {
            let places = self.standing();
            let spell = |piece: &Range<usize>, text: &mut Vec<u8>| {
                let places = places.get(piece.clone()).unwrap_or_default();
                spell_held(&self.held, places, spell, text).map_err(error)
            };
            in_turns(next_places(places.len()), spell, hand_over)?;
            return Ok(u64::try_from(places.len()).unwrap_or(u64::MAX));
        }
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
            let mut rows: Vec<&[u8]> = Vec::with_capacity(PIECE_ROWS);
            return self.standing().chunks(PIECE_ROWS).try_for_each(|places| {
                rows.clear();
                self.held.show(places, |_, change| rows.extend(change.get(1..)));
                output.rows(&mut rows)
            });
        }
        let view = self.view.clone();
        let (mut merged, mut piece) = (self.merge()?, Piece::default());
        while piece.fill(&mut merged).map_err(|error| spool_error(&view, error))? > 0 {
            let mut rows: Vec<&[u8]> = piece.rows().map(|(_, cells)| cells).collect();
            output.rows(&mut rows)?;
        }
        Ok(())
    }

    /// The places of the rows that stand, where none was spooled.
    fn standing(&self) -> Vec<u32> {
        let mut places = self.held.last_of_keys();
        self.held.retain_standing(&mut places);
        places
    }

    /// Merges what was spooled with what is held.
    fn merge(mut self) -> Result<Merged, ConnectError> {
        self.spool(&self.held.last_of_keys())?;
        let merged = self.runs.merge(MERGE_BYTES, Equal::Last);
        merged.map_err(|error| spool_error(&self.view, error))
    }
}

/// Spools the largest of a sink's views until all hold no more than so many bytes; one that is mostly
/// outdated need not be.
pub(crate) fn bound<'a>(
    folds: impl Iterator<Item = &'a mut Fold>,
    held_bytes: usize,
) -> Result<(), ConnectError> {
    let mut folds: Vec<(usize, &mut Fold)> =
        folds.map(|fold| (fold.held.n_bytes(), fold)).collect();
    let mut n_bytes: usize = folds.iter().map(|(n_bytes, _)| n_bytes).sum();
    folds.sort_by_key(|(n_bytes, _)| *n_bytes);
    while n_bytes > held_bytes
        && let Some((n_before, fold)) = folds.pop()
    {
        let places = fold.held.compact(fold.runs.is_empty());
        if fold.held.n_bytes() > n_before / 2 {
            fold.spool(&places)?;
        }
        n_bytes = n_bytes - n_before + fold.held.n_bytes();
    }
    Ok(())
}

/// Gives one range of some hundred places after the other.
fn next_places(n: usize) -> impl FnMut(&mut Range<usize>) -> Result<bool, ConnectError> {
    let mut end = 0;
    move |piece| {
        *piece = end..n.min(end + PIECE_ROWS);
        end = piece.end;
        Ok(piece.start < piece.end)
    }
}

fn spell_held(
    held: &Packed,
    places: &[u32],
    spell: &impl Spell,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    let mut spelled = Ok(());
    held.show(places, |numbers, change| {
        if spelled.is_ok() {
            held.write_key(numbers, text);
            spelled = spell.spell(change.get(1..).unwrap_or_default(), text);
        }
    });
    spelled
}

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

    fn spell(&self, spell: &impl Spell, text: &mut Vec<u8>) -> io::Result<()> {
        self.rows().try_for_each(|(key, cells)| {
            text.extend_from_slice(key);
            spell.spell(cells, text)
        })
    }
}

/// Tells that the spool failed.
pub(crate) fn spool_error(view: &str, error: io::Error) -> ConnectError {
    ConnectError::broken(format!("sorting the rows of view {view} in a temporary file"))
        .because(error)
        .hint("is there room where temporary files go (TMPDIR)?")
}
