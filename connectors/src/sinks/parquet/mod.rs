//! `parquet`: a column file a view, of the rows as they stand at the end, or of all changes.
//!
//! Decimals are `Decimal128(38, 9)`, times nanoseconds in UTC. Changes have the columns `_epoch` and
//! `_op` (`put`, `del`); where a key is deleted, all but its own columns are null. A file gets its
//! name when the run has ended: its end holds where everything stands.

mod columns;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use types::relations::Relation;
use types::{Cell, Changes, Epoch, Names, Schema};

use self::columns::Columns;
use super::file::Unfinished;
use super::fold::{Fold, HELD_BYTES, in_parallel, spool_error};
use super::held::{Visit, visit_changes};
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

/// Rows that are turned into columns at once.
const BATCH_ROWS: usize = 8192;
/// Rows and bytes of a row group, which is held in memory until it is full.
const GROUP_ROWS: usize = 512 << 10;
const GROUP_BYTES: usize = 32 << 20;

#[expect(clippy::needless_pass_by_value, reason = "the contract hands the context over")]
fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let (folder, mode) = open_folder(&context)?;
    let names = &context.names;
    let open = |view: &SinkView| {
        let path = folder.join(format!("{}.parquet", view.name));
        let rows = match mode {
            Mode::Final => {
                let names = Arc::clone(names);
                Some(Fold::new(view.clone(), names, HELD_BYTES, 0))
            }
            Mode::Changes => None,
        };
        Ok((rows, Output::create(path, view, names, mode)?))
    };
    let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
    Ok(Box::new(ParquetSink { last: None, views }))
}

struct ParquetSink {
    last: Option<Epoch>,
    /// Rows that wait until the end; changes wait for nothing.
    views: Vec<(Option<Fold>, Output)>,
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
        Ok(SinkReport { lines })
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

    fn push(&mut self, index: usize, cell: &Cell<'_>) -> Result<(), ConnectError> {
        self.columns.push(index, cell).map_err(|problem| {
            ConnectError::broken(format!("writing {}: {problem}", self.path.display()))
        })
    }

    fn end_row(&mut self) -> Result<(), ConnectError> {
        self.n_rows += 1;
        if self.columns.n_rows() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
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
    fn row<R: Relation>(&mut self, row: &R) -> Result<(), ConnectError> {
        let names = Arc::clone(&self.names);
        for index in 0..self.columns.len() {
            self.push(index, &row.cell(index, &names))?;
        }
        self.columns.end_row();
        self.end_row()
    }

    fn spooled(&mut self, mut cells: &[u8]) -> Result<(), ConnectError> {
        for index in 0..self.columns.len() {
            let cell = cells::read(&mut cells);
            self.push(index, &cell.map_err(|error| spool_error(&self.view, error))?)?;
        }
        self.columns.end_row();
        self.end_row()
    }
}

/// Rows of a file of changes.
impl Visit for Output {
    fn row<R: Relation>(
        &mut self,
        row: &R,
        is_deleted: bool,
        epoch: Epoch,
    ) -> Result<(), ConnectError> {
        let names = Arc::clone(&self.names);
        for index in 0..self.columns.len() {
            // A deletion holds but its key.
            let is_shown = !is_deleted || index < self.schema.n_key;
            let cell = if is_shown { row.cell(index, &names) } else { Cell::Null };
            self.push(index, &cell)?;
        }
        self.columns.end_change(epoch, is_deleted);
        self.end_row()
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
