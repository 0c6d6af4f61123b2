//! `parquet`: a column file a view, of the rows as they stand at the end, or of all changes.
//!
//! Decimals are `Decimal128(38, 9)`, times nanoseconds in UTC. Changes have the columns `_epoch` and
//! `_op` (`put`, `del`); where a key is deleted, all but its own columns are null. A file gets its
//! name when the run has ended: its end holds where everything stands.

mod columns;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use std::path::PathBuf;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use types::relations::{Relation, TakeColumn as _};
use types::{Changes, Epoch, Names, Schema};

use self::columns::Columns;
use super::file::Unfinished;
use super::fold::{Fold, HELD_BYTES, in_parallel, spool_error};
use super::held::{Shown, Visit, visit_changes};
use super::{FILE_OPTIONS, Mode, cells, fold, no_problems, open_folder};
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "parquet",
    help: "writes a Parquet file a view",
    options: FILE_OPTIONS,
    check: no_problems,
    open,
};

/// Rows of a batch of columns.
const BATCH_ROWS: usize = 8192;
/// Rows and bytes of a row group, which is held in memory until it is full.
const GROUP_ROWS: usize = 512 << 10;
const GROUP_BYTES: usize = 32 << 20;

#[expect(clippy::needless_pass_by_value, reason = "the contract hands the context over")]
fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    Ok(Box::new(ParquetSink::open(&context, HELD_BYTES)?))
}

struct ParquetSink {
    last: Option<Epoch>,
    /// Rows that wait until the end; changes wait for nothing.
    views: Vec<(Option<Fold>, Output)>,
}

impl ParquetSink {
    /// Opens the files; holds about `held_bytes` of a view's rows in memory.
    fn open(context: &SinkContext, held_bytes: usize) -> Result<Self, ConnectError> {
        let (folder, mode) = open_folder(context)?;
        let names = &context.names;
        let open = |view: &SinkView| {
            let path = folder.join(format!("{}.parquet", view.name));
            let rows = match mode {
                Mode::Final => Some(Fold::new(view.clone(), Arc::clone(names), held_bytes, 0)),
                Mode::Changes => None,
            };
            Ok((rows, Output::create(path, view, names, mode)?))
        };
        let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
        Ok(Self { last: None, views })
    }
}

impl Sink for ParquetSink {
    fn kept_until(&self) -> Option<Epoch> {
        // Files of changes are made anew, of each change.
        self.views.iter().any(|(rows, _)| rows.is_none()).then_some(Epoch(0))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        for ((rows, output), view) in self.views.iter_mut().zip(&changes.views) {
            match rows {
                Some(fold) => fold.take(view, changes.epoch)?,
                None => output.changes(changes.epoch, view)?,
            }
        }
        self.last = Some(changes.epoch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        // Nothing can be read before the file's end is written.
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        let written = in_parallel(std::mem::take(&mut self.views), |(rows, mut output)| {
            let what = match rows {
                None => "changes",
                Some(fold) => {
                    fold.finish(&mut output)?;
                    "rows"
                }
            };
            let n_rows = output.n_rows;
            let file = output.close()?;
            let line = format!("{}: {n_rows} {what}", file.path().display());
            Ok((file, line))
        })?;
        let (files, lines): (Vec<Unfinished>, Vec<String>) = written.into_iter().unzip();
        // All are whole before the first is shown, so that files of two runs hardly ever mix.
        files.into_iter().try_for_each(Unfinished::finish)?;
        Ok(SinkReport { lines, ..SinkReport::default() })
    }
}

/// A file under way.
struct Output {
    path: PathBuf,
    view: String,
    schema: Arc<Schema>,
    names: Arc<Names>,
    columns: Columns,
    writer: ArrowWriter<Unfinished>,
    n_rows: u64,
}

impl Output {
    fn create(
        path: PathBuf,
        view: &SinkView,
        names: &Arc<Names>,
        mode: Mode,
    ) -> Result<Self, ConnectError> {
        let columns = Columns::new(&view.schema, mode == Mode::Changes);
        let file = Unfinished::create(path.clone())?;
        let writer = properties()
            .and_then(|properties| ArrowWriter::try_new(file, columns.schema(), Some(properties)));
        let writer = writer.map_err(|error| {
            ConnectError::broken(format!("making {}", path.display())).because(error)
        })?;
        let (view, schema) = (view.name.clone(), Arc::clone(&view.schema));
        Ok(Self { path, view, schema, names: Arc::clone(names), columns, writer, n_rows: 0 })
    }

    /// Takes an epoch's changes.
    fn changes(&mut self, epoch: Epoch, changes: &Changes) -> Result<(), ConnectError> {
        let (schema, names) = (Arc::clone(&self.schema), Arc::clone(&self.names));
        visit_changes(changes, &schema, &names, epoch, self)
    }

    fn take<R: Relation>(&mut self, mut rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        let names = Arc::clone(&self.names);
        while !rows.is_empty() {
            let (now, later) = rows.split_at(self.n_fitting(rows.len()));
            self.columns.push(now, &names).map_err(|problem| self.unfit(&problem))?;
            self.end_rows(now.len())?;
            rows = later;
        }
        Ok(())
    }

    /// How many of some rows the batch has room for.
    fn n_fitting(&self, n_rows: usize) -> usize {
        n_rows.min(BATCH_ROWS - self.columns.n_rows())
    }

    fn end_rows(&mut self, n_rows: usize) -> Result<(), ConnectError> {
        self.n_rows += u64::try_from(n_rows).unwrap_or(u64::MAX);
        if self.columns.n_rows() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn unfit(&self, problem: &str) -> ConnectError {
        ConnectError::broken(format!("writing {}: {problem}", self.path.display()))
    }

    fn write_batch(&mut self) -> Result<(), ConnectError> {
        let batch = self.columns.batch().map_err(ParquetError::from);
        batch
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|error| ConnectError::broken(writing(&self.path)).because(error))
    }

    /// Writes the file's end and makes it durable.
    fn close(mut self) -> Result<Unfinished, ConnectError> {
        if self.columns.n_rows() > 0 {
            self.write_batch()?;
        }
        let mut file = self
            .writer
            .into_inner()
            .map_err(|error| ConnectError::broken(writing(&self.path)).because(error))?;
        file.sync()?;
        Ok(file)
    }
}

impl fold::Output for Output {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        self.take(rows)
    }

    fn spooled(&mut self, mut rows: &mut [&[u8]]) -> Result<(), ConnectError> {
        while !rows.is_empty() {
            let (now, later) = rows.split_at_mut(self.n_fitting(rows.len()));
            let mut damage = None;
            for index in 0..self.columns.len() {
                let cells = now
                    .iter_mut()
                    .map_while(|row| cells::read(row).map_err(|error| damage = Some(error)).ok());
                let pushed = self.columns.column(index).and_then(|column| column.take(cells));
                pushed.map_err(|problem| self.unfit(&problem))?;
            }
            if let Some(error) = damage {
                return Err(spool_error(&self.view, error));
            }
            self.columns.end_rows(now.len());
            self.end_rows(now.len())?;
            rows = later;
        }
        Ok(())
    }
}

/// Rows of a file of changes.
impl Visit for Output {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        self.take(rows)
    }
}

fn writing(path: &std::path::Path) -> String {
    format!("writing {}", path.display())
}

fn properties() -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        // No version: a release that writes the same bytes says so by them.
        .set_created_by("tapeline".to_string())
        .build())
}
