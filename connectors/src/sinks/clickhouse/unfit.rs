//! Rows that no column holds: a price of 1e9 where it has nine digits before the point, a time in a month
//! that ClickHouse hasn't got. They are set aside as rows are that the server refuses.
//!
//! They are found where a batch is encoded, and kept with it: so after a crash the same ones are set aside,
//! and each once. The key of such a row is told as gone, for what stood there before isn't so any more.

use serde::{Deserialize, Serialize};
use types::relations::Relation;
use types::{Names, json};

use super::ClickHouse;
use super::outbox::Batch;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::sinks::shown::Shown;

/// Why they were set aside, as the quarantine file says it.
pub(super) const REASON: &str = "value_out_of_range";

/// Such a row.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfit {
    /// When it came.
    pub(super) epoch: u64,
    /// Its columns, as one JSON object.
    pub(super) row: String,
    /// What doesn't fit, in words.
    pub(super) problem: String,
}

impl Unfit {
    /// A row and what is wrong with it.
    pub(super) fn new<R: Relation>(
        shown: &Shown<'_, R>,
        (view, names): (&SinkView, &Names),
        problem: String,
    ) -> Self {
        let mut row = Vec::new();
        json::write_row(&mut row, shown.row, &view.schema, names);
        Self { epoch: shown.epoch.0, row: String::from_utf8_lossy(&row).into_owned(), problem }
    }
}

impl ClickHouse {
    /// Sets the rows of a batch aside that no column holds, unless they are already.
    ///
    /// # Errors
    /// Where they are more than may be: nobody can put that right at the server, so that to wait for it
    /// would be to wait for ever.
    pub(super) fn set_unfit_aside(&mut self, batch: &Batch) -> Result<(), ConnectError> {
        let Some((table, first)) = batch.unfit.first() else { return Ok(()) };
        if self.halving.has_unfit_of(batch) {
            return Ok(());
        }
        let n_unfit = u64::try_from(batch.unfit.len()).unwrap_or(u64::MAX);
        let n_before = self.halving.n_refused();
        if n_before.saturating_add(n_unfit) > self.max_refused {
            let view = self.tables.get(*table).map_or("", |table| table.view.name.as_str());
            return Err(ConnectError::broken(format!(
                "sink {}: {n_unfit} rows fit no column of ClickHouse, {n_before} are set aside already, \
                 and `max_refused` is {}; the first one is of view {view}: {}, {}",
                self.name, self.max_refused, first.problem, first.row
            ))
            .hint(
                "start again with a greater `max_refused`: what isn't delivered is kept; \
                 or keep such rows out of the view, and start anew with `--fresh`",
            ));
        }
        self.halving.set_aside(batch, &self.tables)
    }
}
