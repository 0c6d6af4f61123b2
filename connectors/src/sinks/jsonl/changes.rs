//! Files of changes, which grow as the run goes: each epoch's changes, a line each.
//!
//! From time to time they are synced, and how far that reaches is kept. What a crash leaves behind
//! that place is cut off, and comes again.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::fault::point;
use types::relations::{Alert, Relation};
use types::sabotage::{Safeguard, is_out};
use types::spell::write_count;
use types::{Changes, Epoch, Names, json};

use super::writing;
use crate::env::{Files, OpenFile};
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkReport, SinkView};
use crate::sinks::file::{Buffered, buffered, sync_names};
use crate::sinks::kept::Kept;
use crate::sinks::shown::{Shown, Visit, visit_changes};

/// Bytes written from which files are synced, where nothing else is asked for.
const SYNC_BYTES: u64 = 32 << 20;

/// Writes each epoch's changes as they come.
pub(super) struct ChangesSink {
    last: Option<Epoch>,
    /// The last epoch that is synced.
    synced: Option<Epoch>,
    names: Arc<Names>,
    views: Vec<ChangesFile>,
    /// Bytes written since files were synced, and from which they are.
    n_unsynced: u64,
    sync_bytes: u64,
    /// Where it is kept how far they are synced.
    kept: Kept,
    /// Whether the files still hold what another run left: it goes with the first epoch, not before.
    is_others: bool,
}

/// Epochs after which it is kept how far files reach, though little was written: until then a run that
/// goes on gives them again.
const SYNC_EPOCHS: u64 = 4_096;

/// How far all files are synced: the last epoch, and of each its bytes and changes.
#[derive(Serialize, Deserialize)]
struct Synced {
    epoch: u64,
    places: Vec<(u64, u64)>,
}

struct ChangesFile {
    view: SinkView,
    path: PathBuf,
    file: Buffered,
    n_bytes: u64,
    n_changes: u64,
}

impl ChangesSink {
    /// Opens the files: empty ones, or where an interrupted run has synced them last.
    pub(super) fn open(
        context: &SinkContext,
        files: &dyn Files,
        name: impl Fn(&SinkView) -> String,
    ) -> Result<Self, ConnectError> {
        let kept = Kept::new(context.state()?, "synced");
        let synced: Option<Synced> = if context.is_resumed { kept.read()? } else { None };
        let place = |index: usize| {
            let place = synced.as_ref()?.places.get(index).copied();
            Some(place.unwrap_or_default())
        };
        let open = |(index, view)| ChangesFile::open(view, files, &name(view), place(index));
        let views = context.views.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        sync_names(files)?;
        point("changes.opened");
        let is_others = synced.is_none();
        let last = synced.map(|synced| Epoch(synced.epoch));
        let last = last.filter(|_| !is_out(Safeguard::EpochsOnce));
        let sync_bytes = context.settings.count("sync_bytes").unwrap_or(SYNC_BYTES);
        let names = Arc::clone(&context.names);
        Ok(Self { last, synced: last, names, views, n_unsynced: 0, sync_bytes, kept, is_others })
    }

    /// Empties the files, where they are another run's.
    fn begin(&mut self) -> Result<(), ConnectError> {
        if !std::mem::take(&mut self.is_others) {
            return Ok(());
        }
        self.kept.forget()?;
        for view in &mut self.views {
            let file = view.file.get_mut();
            let emptied = file.n_bytes().and_then(|found| match found {
                // A device has no length to be set.
                0 => Ok(()),
                _ => file.set_len(0),
            });
            emptied.map_err(|error| writing(&view.path, error))?;
            point("changes.emptied");
        }
        Ok(())
    }

    /// Makes all that was written durable.
    fn sync(&mut self) -> Result<(), ConnectError> {
        let Some(epoch) = self.last.filter(|_| self.last > self.synced) else { return Ok(()) };
        let mut places = Vec::new();
        point("changes.sync.before");
        for view in &mut self.views {
            let synced = view.file.flush().and_then(|()| {
                if is_out(Safeguard::ChangesSync) {
                    Ok(())
                } else {
                    view.file.get_mut().sync_data()
                }
            });
            synced.map_err(|error| writing(&view.path, error))?;
            places.push((view.n_bytes, view.n_changes));
            point("changes.synced");
        }
        self.kept.write(&Synced { epoch: epoch.0, places })?;
        point("changes.kept");
        self.n_unsynced = 0;
        self.synced = self.last;
        Ok(())
    }
}

impl Sink for ChangesSink {
    fn kept_until(&self) -> Option<Epoch> {
        Some(self.synced.unwrap_or(Epoch(0)))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        self.begin()?;
        for (file, view) in self.views.iter_mut().zip(&changes.views) {
            self.n_unsynced += file.write(changes.epoch, view, &self.names)?;
        }
        self.last = Some(changes.epoch);
        let n_behind = changes.epoch.0 - self.synced.map_or(0, |epoch| epoch.0);
        let is_due = self.n_unsynced >= self.sync_bytes || n_behind >= SYNC_EPOCHS;
        if is_due { self.sync() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.sync()
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        self.begin()?;
        self.sync()?;
        let line =
            |view: &ChangesFile| format!("{}: {} changes", view.path.display(), view.n_changes);
        Ok(SinkReport { lines: self.views.iter().map(line).collect(), ..SinkReport::default() })
    }
}

impl ChangesFile {
    fn open(
        view: &SinkView,
        files: &dyn Files,
        name: &str,
        place: Option<(u64, u64)>,
    ) -> Result<Self, ConnectError> {
        let path = files.path(name);
        let file = match place {
            Some((n_bytes, _)) => reopen(files, name, n_bytes)?,
            None => {
                files.extend(name).map_err(|error| ConnectError::file("making", &path, error))?
            }
        };
        let (n_bytes, n_changes) = place.unwrap_or_default();
        Ok(Self { view: view.clone(), path, file: buffered(file), n_bytes, n_changes })
    }

    /// Writes an epoch's changes; how many bytes they take.
    fn write(
        &mut self,
        epoch: Epoch,
        changes: &Changes,
        names: &Names,
    ) -> Result<u64, ConnectError> {
        let before = self.n_bytes;
        let mut lines = ChangeLines { file: self, names, line: Vec::new() };
        let schema = Arc::clone(&lines.file.view.schema);
        visit_changes(changes, &schema, names, epoch, &mut lines)?;
        Ok(self.n_bytes - before)
    }
}

/// Opens a file of an interrupted run at the place up to which it was synced.
fn reopen(files: &dyn Files, name: &str, n_bytes: u64) -> Result<Box<dyn OpenFile>, ConnectError> {
    let path = files.path(name);
    let opened = files.open(name).and_then(|mut file| {
        let found = file.n_bytes()?;
        if found >= n_bytes && !is_out(Safeguard::ChangesCut) {
            file.set_len(n_bytes)?;
        }
        Ok((file, found))
    });
    let hint =
        "it was changed since the run was interrupted: put it back, or start anew with `--fresh`";
    match opened {
        Ok((file, found)) if found >= n_bytes => Ok(file),
        Ok((_, found)) => Err(ConnectError::broken(format!(
            "going on with {}: it has {found} bytes, and {n_bytes} were written",
            path.display()
        ))
        .hint(hint)),
        Err(error) => Err(ConnectError::file("going on with", &path, error).hint(hint)),
    }
}

/// The lines of a file of changes.
struct ChangeLines<'a> {
    file: &'a mut ChangesFile,
    names: &'a Names,
    line: Vec<u8>,
}

impl Visit for ChangeLines<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        let (schema, line) = (&self.file.view.schema, &mut self.line);
        for Shown { row, is_deleted, epoch } in rows {
            line.clear();
            line.extend_from_slice(b"{\"epoch\":\"");
            write_count(line, epoch.0);
            if *is_deleted {
                line.extend_from_slice(b"\",\"op\":\"del\",\"key\":");
                json::write_key(line, *row, schema, self.names);
                if let Some(alert) = Alert::of(*row) {
                    line.extend_from_slice(b",\"row\":");
                    json::write_retracted(line, alert, schema, self.names);
                }
            } else {
                line.extend_from_slice(b"\",\"op\":\"put\",\"row\":");
                json::write_row(line, *row, schema, self.names);
            }
            line.extend_from_slice(b"}\n");
            let written = self.file.file.write_all(line);
            self.file.n_bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
            self.file.n_changes += 1;
            written.map_err(|error| writing(&self.file.path, error))?;
        }
        Ok(())
    }
}
