//! An insert that the server refuses for some of its rows is taken apart: halves are sent, and halves of
//! halves, until the rows that it refuses stand alone. These are set aside, all others delivered.
//!
//! Where halves are cut depends on the number of rows alone, and each piece has a token of its own that
//! says which rows of which insert it has. How far this has come is kept after each piece, so that after
//! a crash the piece at hand comes again under its token, and no row is set aside twice.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use types::Names;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::outbox::Batch;
use super::pieces::Whole;
use super::server::{Before, Insert};
use super::trouble::Refusal;
use super::{ClickHouse, Table, unfit};
use crate::env::Files;
use crate::error::ConnectError;
use crate::sinks::aside::{Aside, Length};
use crate::sinks::kept::Kept;

/// How far it has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// The batch that was last taken apart: its generation and last epoch.
    batch: (u64, u64),
    /// Which of its inserts; those before it are through.
    insert: usize,
    /// The ranges of its rows that are left, the next one last.
    left: Vec<(usize, usize)>,
    /// How much of the quarantine file counts.
    aside: Length,
    /// Of each table, how many rows that put something, or say that it is gone, were set aside.
    refused: Vec<(u64, u64)>,
    /// Of each table, how many rows of that batch were.
    #[serde(default)]
    of_batch: Vec<u64>,
    /// The last batch whose rows were set aside that no column holds.
    #[serde(default)]
    unfit: (u64, u64),
}

/// What is kept of it.
pub(super) struct Halving {
    kept: Kept,
    progress: Progress,
    aside: Aside,
}

/// Where an insert stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It is through.
    Behind,
    /// It is being taken apart.
    At,
    /// It wasn't refused so far.
    Ahead,
}

impl Halving {
    /// What an interrupted run has kept, or nothing.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn open(files: Arc<dyn Files>, is_resumed: bool) -> Result<Self, ConnectError> {
        let kept = Kept::new(Arc::clone(&files), "halving");
        let progress = if is_resumed { kept.read()? } else { None };
        let progress: Progress = progress.unwrap_or_default();
        let aside = Aside::open(files, progress.aside)?;
        Ok(Self { kept, progress, aside })
    }

    /// How many rows were set aside.
    pub(super) const fn n_refused(&self) -> u64 {
        self.progress.aside.n_rows
    }

    /// How many rows of a table were: such that put something, and such that say that it is gone.
    pub(super) fn refused(&self, table: usize) -> (u64, u64) {
        self.progress.refused.get(table).copied().unwrap_or_default()
    }

    /// Where they are.
    pub(super) fn path(&self) -> PathBuf {
        self.aside.path()
    }

    /// Forgets how far it has come.
    ///
    /// # Errors
    /// If it can't be removed.
    pub(super) fn forget(&self) -> Result<(), ConnectError> {
        self.kept.forget()
    }

    /// Whether the rows of a batch that no column holds are set aside.
    pub(super) fn has_unfit_of(&self, batch: &Batch) -> bool {
        self.progress.unfit == id(batch)
    }

    /// Sets these rows aside. They count once all of them are there: until then they come again.
    ///
    /// # Errors
    /// If they can't be written.
    pub(super) fn set_aside(
        &mut self,
        batch: &Batch,
        tables: &[Table],
    ) -> Result<(), ConnectError> {
        for (index, unfit) in &batch.unfit {
            let Some(table) = tables.get(*index) else { continue };
            let row = RawValue::from_string(unfit.row.clone());
            let written = Written {
                sink: &table.sink,
                view: &table.view.name,
                table: &table.name,
                epoch: unfit.epoch.to_string(),
                op: "put",
                row: row.map_err(|error| unreadable().because(error))?,
                code: None,
                reason: unfit::REASON,
                detail: &unfit.problem,
            };
            self.progress.aside = self.aside.add(self.progress.aside, &written)?;
            tracing::warn!(
                sink = %table.sink, table = %table.name, epoch = unfit.epoch, problem = %unfit.problem,
                "no column of clickhouse holds a row: it goes to quarantine"
            );
        }
        self.progress.unfit = id(batch);
        self.keep()?;
        point("unfit.kept");
        Ok(())
    }

    fn stands(&self, batch: &Batch, insert: usize) -> Stands {
        if self.progress.batch != id(batch) || insert > self.progress.insert {
            Stands::Ahead
        } else if insert < self.progress.insert {
            Stands::Behind
        } else {
            Stands::At
        }
    }

    /// How many rows of a batch and table were set aside.
    fn refused_of(&self, batch: &Batch, table: usize) -> u64 {
        let of_batch = self.progress.of_batch.get(table).copied();
        of_batch.filter(|_| self.progress.batch == id(batch)).unwrap_or(0)
    }

    fn begin(&mut self, batch: &Batch, insert: usize, n_rows: usize) {
        if self.progress.batch != id(batch) {
            self.progress.of_batch.clear();
        }
        self.progress.batch = id(batch);
        self.progress.insert = insert;
        self.progress.left = vec![(0, n_rows)];
    }

    /// Replaces the next piece by its halves. One row is set aside.
    fn refuse(
        &mut self,
        block: &Whole<'_>,
        (index, table, names): (usize, &Table, &Names),
        refusal: &Refusal,
    ) -> Result<(), ConnectError> {
        let Some((from, to)) = self.progress.left.pop() else { return Ok(()) };
        if to > from + 1 {
            let middle = from + (to - from) / 2;
            self.progress.left.extend([(middle, to), (from, middle)]);
            return Ok(());
        }
        let schema = &table.view.schema;
        let row = block.row(from, schema, names).ok_or_else(unreadable)?;
        let json = RawValue::from_string(row.json).map_err(|error| unreadable().because(error))?;
        let written = Written {
            sink: &table.sink,
            view: &table.view.name,
            table: &table.name,
            epoch: row.epoch.0.to_string(),
            op: if row.is_deleted { "del" } else { "put" },
            row: json,
            code: Some(refusal.code),
            reason: &refusal.reason,
            detail: &refusal.detail,
        };
        self.progress.aside = self.aside.add(self.progress.aside, &written)?;
        if self.progress.refused.len() <= index {
            self.progress.refused.resize(index + 1, (0, 0));
        }
        if self.progress.of_batch.len() <= index {
            self.progress.of_batch.resize(index + 1, 0);
        }
        if let Some(n_rows) = self.progress.of_batch.get_mut(index) {
            *n_rows += 1;
        }
        if let Some((n_put, n_deleted)) = self.progress.refused.get_mut(index) {
            *if row.is_deleted { n_deleted } else { n_put } += 1;
        }
        tracing::warn!(
            sink = %table.sink, table = %table.name, epoch = row.epoch.0, reason = %refusal.reason,
            "clickhouse refuses a row: it goes to quarantine"
        );
        Ok(())
    }

    fn keep(&self) -> Result<(), ConnectError> {
        if is_out(Safeguard::PiecesKept) {
            return Ok(());
        }
        self.kept.write(&self.progress)
    }
}

/// Tells batches of a run apart.
const fn id(batch: &Batch) -> (u64, u64) {
    (batch.generation, batch.range.1)
}

/// A row that was set aside, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    sink: &'a str,
    view: &'a str,
    table: &'a str,
    epoch: String,
    op: &'a str,
    row: Box<RawValue>,
    /// The server's, where it is the server that refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    reason: &'a str,
    detail: &'a str,
}

fn unreadable() -> ConnectError {
    ConnectError::broken("taking an insert apart: its bytes aren't a block of its table")
        .hint("this is a bug of Tapeline: please report it")
}

impl ClickHouse {
    /// Sends an insert of a batch, in pieces where the server refuses some of its rows; says whether the
    /// batch may have been sent before.
    pub(super) fn settle(
        &mut self,
        batch: &Batch,
        nth: usize,
        insert: &Insert,
        was_sent: bool,
    ) -> Result<(), ConnectError> {
        let stands = self.halving.stands(batch, nth);
        if stands == Stands::Behind {
            return Ok(());
        }
        let index = self.tables.iter().position(|table| Some(&table.name) == insert.table.as_ref());
        let n_refused = |halving: &Halving| index.map_or(0, |i| halving.refused_of(batch, i));
        let before = Before { was_sent, n_refused: n_refused(&self.halving) };
        let refusal = if stands == Stands::Ahead { self.insert(insert, before)? } else { None };
        if stands == Stands::Ahead && refusal.is_none() {
            return Ok(());
        }
        let index = index.ok_or_else(unreadable)?;
        let block = Whole::read(&insert.bytes).ok_or_else(unreadable)?;
        if let Some(refusal) = refusal {
            tracing::warn!(sink = %self.name, reason = %refusal.reason, "clickhouse refuses rows: looking for them");
            self.halving.begin(batch, nth, block.n_rows());
            self.refuse(&block, index, &refusal)?;
            self.halving.keep()?;
        }
        let mut was_sent = stands == Stands::At;
        while let Some((from, to)) = self.halving.progress.left.last().copied() {
            let bytes = block.cut(from, to).ok_or_else(unreadable)?;
            point("piece.before");
            let piece = insert.piece((from, to), block.n_rows(), bytes);
            let before = Before { was_sent, n_refused: n_refused(&self.halving) };
            let refusal = self.insert(&piece, before)?;
            was_sent = false;
            point("piece.sent");
            match refusal {
                None => drop(self.halving.progress.left.pop()),
                Some(refusal) => self.refuse(&block, index, &refusal)?,
            }
            self.halving.keep()?;
            point("piece.kept");
        }
        Ok(())
    }

    fn refuse(
        &mut self,
        block: &Whole<'_>,
        index: usize,
        refusal: &Refusal,
    ) -> Result<(), ConnectError> {
        let Some(table) = self.tables.get(index) else { return Ok(()) };
        self.halving.refuse(block, (index, table, &self.names), refusal)
    }
}
