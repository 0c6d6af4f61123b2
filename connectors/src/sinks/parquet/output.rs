//! A file under way: rows become columns, columns become the file's bytes.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use types::Names;
use types::relations::{Relation, TakeColumn as _};

use super::columns::Columns;
use crate::error::ConnectError;
use crate::sink::SinkView;
use crate::sinks::fold::{self, spool_error};
use crate::sinks::shown::Shown;
use crate::sinks::{Mode, cells};

/// Rows of a batch of columns.
pub(super) const BATCH_ROWS: usize = 8192;
/// Rows and bytes of a row group, which is held in memory until it is full.
const GROUP_ROWS: usize = 512 << 10;
const GROUP_BYTES: usize = 32 << 20;

/// A file under way.
pub(super) struct Output<W: Write + Send> {
    /// What it is called in messages.
    path: PathBuf,
    view: String,
    names: Arc<Names>,
    columns: Columns,
    writer: ArrowWriter<W>,
    n_rows: u64,
}

impl<W: Write + Send> Output<W> {
    /// Begins to write into a file.
    pub(super) fn new(
        file: W,
        path: PathBuf,
        (view, names): (&SinkView, &Arc<Names>),
        mode: Mode,
    ) -> Result<Self, ConnectError> {
        let columns = Columns::new(&view.schema, mode == Mode::Changes);
        let writer = properties()
            .and_then(|properties| ArrowWriter::try_new(file, columns.schema(), Some(properties)));
        let writer = writer.map_err(|error| {
            ConnectError::broken(format!("making {}", path.display())).because(error)
        })?;
        let view = view.name.clone();
        Ok(Self { path, view, names: Arc::clone(names), columns, writer, n_rows: 0 })
    }

    /// How many rows it was given.
    pub(super) const fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Takes rows.
    pub(super) fn take<R: Relation>(
        &mut self,
        mut rows: &[Shown<'_, R>],
    ) -> Result<(), ConnectError> {
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

    /// Writes the file's end, and gives the file back.
    pub(super) fn close(mut self) -> Result<W, ConnectError> {
        if self.columns.n_rows() > 0 {
            self.write_batch()?;
        }
        let closed = self.writer.into_inner();
        closed.map_err(|error| ConnectError::broken(writing(&self.path)).because(error))
    }
}

impl<W: Write + Send> fold::Output for Output<W> {
    fn rows(&mut self, mut rows: &mut [&[u8]]) -> Result<(), ConnectError> {
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

fn writing(path: &std::path::Path) -> String {
    format!("writing {}", path.display())
}

/// How files are written.
pub(super) fn properties() -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        // No version: a release that writes the same bytes says so by them.
        .set_created_by("tapeline".to_string())
        .build())
}
