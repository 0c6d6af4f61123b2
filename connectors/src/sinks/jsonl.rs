//! `jsonl`: a JSON object a line.
//!
//! `final` files hold the rows as they stand at the end, sorted by their key's text; they get their
//! name when the run has ended. `changes` files grow as the run goes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::{Changes, Epoch, Names};

use super::entries::{Entry, Format, ToEntries};
use super::file::Unfinished;
use super::fold::{Fold, HELD_BYTES};
use super::held::visit_changes;
use super::{FILE_OPTIONS, Mode, no_problems, open_folder};
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "jsonl",
    help: "writes a file of JSON lines a view",
    options: FILE_OPTIONS,
    check: no_problems,
    open,
};

#[expect(clippy::needless_pass_by_value, reason = "the contract hands the context over")]
fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let (folder, mode) = open_folder(&context)?;
    let path = |view: &SinkView| folder.join(format!("{}.jsonl", view.name));
    match mode {
        Mode::Final => Ok(Box::new(FinalSink::open(&context, path, HELD_BYTES)?)),
        Mode::Changes => Ok(Box::new(ChangesSink::open(&context, path)?)),
    }
}

/// Writes the rows as they stand at the end.
pub(super) struct FinalSink {
    last: Option<Epoch>,
    views: Vec<(Fold, Unfinished)>,
}

impl FinalSink {
    pub(super) fn open(
        context: &SinkContext,
        path: impl Fn(&SinkView) -> PathBuf,
        held_bytes: usize,
    ) -> Result<Self, ConnectError> {
        let open = |view: &SinkView| {
            let names = Arc::clone(&context.names);
            let fold = Fold::new(view.clone(), names, Format::Json, held_bytes);
            Ok((fold, Unfinished::create(path(view))?))
        };
        let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
        Ok(Self { last: None, views })
    }
}

impl Sink for FinalSink {
    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        for ((fold, _), view) in self.views.iter_mut().zip(&changes.views) {
            fold.take(view, changes.epoch)?;
        }
        self.last = Some(changes.epoch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        let mut report = SinkReport::default();
        let mut files = Vec::new();
        for (fold, mut file) in self.views.drain(..) {
            let n_rows = write_rows(fold, &mut file)?;
            file.sync()?;
            report.lines.push(format!("{}: {n_rows} rows", file.path().display()));
            files.push(file);
        }
        // All are whole before the first is shown, so that files of two runs hardly ever mix.
        files.into_iter().try_for_each(Unfinished::finish)?;
        Ok(report)
    }
}

fn write_rows(fold: Fold, file: &mut Unfinished) -> Result<u64, ConnectError> {
    let (mut rows, mut n_rows) = (fold.finish()?, 0);
    while let Some(mut line) = rows.next()? {
        line.push(b'\n');
        let written = file.write_all(&line);
        written.map_err(|error| ConnectError::file("writing", file.path(), error))?;
        n_rows += 1;
    }
    Ok(n_rows)
}

/// Writes each epoch's changes as they come.
pub(super) struct ChangesSink {
    last: Option<Epoch>,
    names: Arc<Names>,
    views: Vec<ChangesFile>,
}

struct ChangesFile {
    view: SinkView,
    path: PathBuf,
    file: BufWriter<File>,
    n_changes: u64,
}

impl ChangesSink {
    pub(super) fn open(
        context: &SinkContext,
        path: impl Fn(&SinkView) -> PathBuf,
    ) -> Result<Self, ConnectError> {
        let open = |view: &SinkView| {
            let path = path(view);
            let file =
                File::create(&path).map_err(|error| ConnectError::file("making", &path, error))?;
            let file = BufWriter::with_capacity(256 << 10, file);
            Ok(ChangesFile { view: view.clone(), path, file, n_changes: 0 })
        };
        let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
        Ok(Self { last: None, names: Arc::clone(&context.names), views })
    }
}

impl Sink for ChangesSink {
    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        for (file, view) in self.views.iter_mut().zip(&changes.views) {
            file.write(changes.epoch, view, &self.names)?;
        }
        self.last = Some(changes.epoch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.views
            .iter_mut()
            .try_for_each(|view| view.file.flush().map_err(|error| writing(&view.path, error)))
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        self.flush()?;
        let mut report = SinkReport::default();
        for view in &self.views {
            view.file.get_ref().sync_all().map_err(|error| writing(&view.path, error))?;
            report.lines.push(format!("{}: {} changes", view.path.display(), view.n_changes));
        }
        Ok(report)
    }
}

impl ChangesFile {
    fn write(
        &mut self,
        epoch: Epoch,
        changes: &Changes,
        names: &Names,
    ) -> Result<(), ConnectError> {
        let schema = &self.view.schema;
        let mut entries = Vec::new();
        let take = |entry: Entry| {
            entries.push(entry);
            Ok(())
        };
        let mut to_entries = ToEntries { schema, names, format: Format::Json, take };
        visit_changes(changes, schema, epoch, &mut to_entries)?;
        entries.sort_unstable_by(|a: &Entry, b| a.key.cmp(&b.key));
        for entry in &entries {
            let (op, member, text) = if entry.is_deleted {
                ("del", "key", &entry.key)
            } else {
                ("put", "row", &entry.row)
            };
            write!(self.file, "{{\"epoch\":\"{epoch}\",\"op\":\"{op}\",\"{member}\":")
                .and_then(|()| self.file.write_all(text))
                .and_then(|()| self.file.write_all(b"}\n"))
                .map_err(|error| writing(&self.path, error))?;
            self.n_changes += 1;
        }
        Ok(())
    }
}

fn writing(path: &Path, error: std::io::Error) -> ConnectError {
    ConnectError::file("writing", path, error)
}
