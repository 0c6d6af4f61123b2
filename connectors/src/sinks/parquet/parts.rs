//! All changes, in parts: files of some epochs each, in a folder a view.
//!
//! Where parts end depends on epochs and their changes alone, and is the same for all views: so all files
//! have the same bytes whatever was killed when. At an end each view's part gets its name, then the
//! manifests list the parts, then it is kept how far that reaches. What a crash leaves behind that place
//! goes, and comes again.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::digest::Digest128;
use types::fault::point;
use types::relations::Relation;
use types::sabotage::{Safeguard, is_out};
use types::{Changes, Epoch, Names};

use super::manifest::{self, Part};
use super::output::Output;
use crate::env::Files;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkReport, SinkView};
use crate::sinks::Mode;
use crate::sinks::file::{Unfinished, folder};
use crate::sinks::kept::Kept;
use crate::sinks::shown::{Shown, Visit, visit_changes};

/// Changes of a view from which parts end, where nothing else is asked for.
const PART_ROWS: u64 = 1_000_000;

/// Epochs after which parts end, though little was written: until then a run that goes on gives them
/// again, and no checkpoint can be made of them.
pub(super) const PART_EPOCHS: u64 = 4_096;

/// The name of a part before it is known where it ends.
const UNDER_WAY: &str = "next.parquet";

/// What to do about parts that aren't as they were.
const HINT: &str =
    "it was changed since the run was interrupted: put it back, or start anew with `--fresh`";

/// Writes each epoch's changes into the part under way.
pub(super) struct PartsSink {
    last: Option<Epoch>,
    /// The last epoch of the parts that are kept.
    until: Option<Epoch>,
    views: Vec<ViewParts>,
    part_rows: u64,
    part_epochs: u64,
    /// Where it is kept how far they reach.
    kept: Kept,
    /// Whether the folders still hold what another run left: it goes with the first epoch, not before.
    is_others: bool,
}

/// How far the parts of all views reach: the last epoch, and of each view what its manifest lists.
#[derive(Serialize, Deserialize)]
struct KeptParts {
    epoch: u64,
    views: Vec<Listed>,
}

/// How many parts a manifest lists, and its digest.
#[derive(Default, Serialize, Deserialize)]
struct Listed {
    n_parts: usize,
    digest: String,
}

/// The parts of a view.
struct ViewParts {
    view: SinkView,
    names: Arc<Names>,
    files: Arc<dyn Files>,
    parts: Vec<Part>,
    /// There is none before the first change.
    under_way: Option<Output<Measured>>,
}

impl PartsSink {
    /// Opens the folders; in those of an interrupted run goes what lies behind the last epoch that is
    /// kept. Parts end after so many epochs.
    pub(super) fn open(
        context: &SinkContext,
        folder: &Path,
        part_epochs: u64,
    ) -> Result<Self, ConnectError> {
        let kept = Kept::new(context.state()?, "parts");
        let found: Option<KeptParts> = if context.is_resumed { kept.read()? } else { None };
        let mut views = Vec::new();
        for (index, view) in context.views.iter().enumerate() {
            let files = context.files(&folder.join(&view.name))?;
            let mut parts = ViewParts::open(view, &context.names, files);
            if let Some(KeptParts { epoch, views }) = &found {
                let listed = views.get(index);
                parts.reopen(Epoch(*epoch), listed).map_err(|error| error.hint(HINT))?;
            }
            views.push(parts);
        }
        let until = found.map(|found| Epoch(found.epoch));
        for view in &views {
            view.prepare(until)?;
            point("parts.opened");
        }
        let part_rows = context.settings.count("part_rows").unwrap_or(PART_ROWS);
        let last = until.filter(|_| !is_out(Safeguard::EpochsOnce));
        let is_others = until.is_none();
        Ok(Self { last, until, views, part_rows, part_epochs, kept, is_others })
    }

    /// Empties the folders, where they are another run's.
    fn begin(&mut self) -> Result<(), ConnectError> {
        if !std::mem::take(&mut self.is_others) {
            return Ok(());
        }
        self.kept.forget()?;
        for view in &self.views {
            manifest::clear(&*view.files)?;
            point("parts.emptied");
        }
        Ok(())
    }

    /// Ends the parts of all views behind an epoch.
    fn end_parts(&mut self, until: Epoch) -> Result<(), ConnectError> {
        let first = Epoch(self.until.map_or(0, |epoch| epoch.0) + 1);
        point("parts.end.before");
        for view in &mut self.views {
            view.end_part(first, until)?;
        }
        let mut views = Vec::new();
        for view in &self.views {
            views.push(view.list(until)?);
            point("parts.listed");
        }
        self.kept.write(&KeptParts { epoch: until.0, views })?;
        point("parts.kept");
        self.until = Some(until);
        Ok(())
    }
}

impl Sink for PartsSink {
    fn kept_until(&self) -> Option<Epoch> {
        Some(self.until.unwrap_or(Epoch(0)))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        let epoch = changes.epoch;
        if self.last >= Some(epoch) {
            return Ok(());
        }
        self.begin()?;
        for (view, changes) in self.views.iter_mut().zip(&changes.views) {
            view.take(epoch, changes)?;
        }
        self.last = Some(epoch);
        let n_epochs = epoch.0.saturating_sub(self.until.map_or(0, |epoch| epoch.0));
        let is_full = self.views.iter().any(|view| view.n_under_way() >= self.part_rows);
        if is_full || n_epochs >= self.part_epochs { self.end_parts(epoch) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        // A part that ended here would end where the input happened to pause: another run of the same
        // epochs would have other files. What is under way when a run stops comes again.
        match self.last {
            Some(last) if is_out(Safeguard::PartsByEpochs) && self.last > self.until => {
                self.end_parts(last)
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        self.begin()?;
        if self.until.is_none() || self.last > self.until {
            self.end_parts(self.last.unwrap_or(Epoch(0)))?;
        }
        let line = |view: &ViewParts| {
            let (n_parts, n_rows) = (view.parts.len(), view.parts.iter().map(|part| part.rows));
            let (folder, n_rows) = (folder(&*view.files), n_rows.sum::<u64>());
            format!("{}: {n_rows} changes in {n_parts} parts", folder.display())
        };
        Ok(SinkReport { lines: self.views.iter().map(line).collect(), ..SinkReport::default() })
    }
}

impl ViewParts {
    fn open(view: &SinkView, names: &Arc<Names>, files: Arc<dyn Files>) -> Self {
        let (view, names) = (view.clone(), Arc::clone(names));
        Self { view, names, files, parts: Vec::new(), under_way: None }
    }

    /// Takes up the parts that are kept: they must be there as they were. No file is changed yet.
    fn reopen(&mut self, until: Epoch, listed: Option<&Listed>) -> Result<(), ConnectError> {
        let (manifest, _) = manifest::read(&*self.files)?;
        self.parts = manifest.parts;
        if is_out(Safeguard::PartsCut) {
            return Ok(());
        }
        // A crash may have come after the manifest and before it was kept.
        self.parts.truncate(listed.map_or(0, |listed| listed.n_parts));
        let text = manifest::spell(&self.view.name, until, &self.parts)?;
        if listed.is_none_or(|listed| listed.digest != manifest::digest_of(&text)) {
            let path = manifest::path_in(&*self.files);
            let what = format!("going on with {}: it lists other parts", path.display());
            return Err(ConnectError::broken(what));
        }
        for part in &self.parts {
            let path = self.files.path(&part.file);
            let found = self.files.n_bytes(&part.file);
            let found = found.map_err(|error| ConnectError::file("going on with", &path, error))?;
            if found != part.bytes {
                return Err(ConnectError::broken(format!(
                    "going on with {}: it has {found} bytes, and {} were written",
                    path.display(),
                    part.bytes
                )));
            }
        }
        Ok(())
    }

    /// Sees that the folder can be written to, and removes what lies behind the last epoch that is kept, if
    /// one is.
    fn prepare(&self, until: Option<Epoch>) -> Result<(), ConnectError> {
        let files = &self.files;
        // In the place of what a crash left under way.
        Unfinished::create(files, UNDER_WAY)?.discard()?;
        let Some(until) = until.filter(|_| !is_out(Safeguard::PartsCut)) else { return Ok(()) };
        let text = manifest::spell(&self.view.name, until, &self.parts)?;
        if manifest::read(&**files)?.1 != text {
            manifest::write(files, &text)?;
            point("parts.manifest.back");
        }
        // Only now: a manifest never lists a part that is gone.
        manifest::remove_parts(&**files, &self.parts)
    }

    /// Takes an epoch's changes.
    fn take(&mut self, epoch: Epoch, changes: &Changes) -> Result<(), ConnectError> {
        let (schema, names) = (Arc::clone(&self.view.schema), Arc::clone(&self.names));
        visit_changes(changes, &schema, &names, epoch, self)
    }

    /// Changes of the part under way.
    fn n_under_way(&self) -> u64 {
        self.under_way.as_ref().map_or(0, Output::n_rows)
    }

    /// Gives the part under way its name, if there is one; durable when it returns.
    fn end_part(&mut self, first: Epoch, last: Epoch) -> Result<(), ConnectError> {
        let Some(output) = self.under_way.take() else { return Ok(()) };
        let rows = output.n_rows();
        let Measured { mut file, n_bytes, digest } = output.close()?;
        point("parts.written");
        file.sync()?;
        let name = manifest::part_name(first, last);
        file.finish_as(name.clone())?;
        point("parts.named");
        self.parts.push(Part {
            file: name,
            first: first.0,
            last: last.0,
            rows,
            bytes: n_bytes,
            digest: format!("{:032x}", digest.finish()),
        });
        Ok(())
    }

    /// Lists the parts up to an epoch.
    fn list(&self, until: Epoch) -> Result<Listed, ConnectError> {
        let text = manifest::spell(&self.view.name, until, &self.parts)?;
        manifest::write(&self.files, &text)?;
        Ok(Listed { n_parts: self.parts.len(), digest: manifest::digest_of(&text) })
    }
}

impl Visit for ViewParts {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        if rows.is_empty() {
            return Ok(());
        }
        let output = match &mut self.under_way {
            Some(output) => output,
            none => {
                let path = self.files.path(UNDER_WAY);
                let file = Measured::new(Unfinished::create(&self.files, UNDER_WAY)?);
                let what = (&self.view, &self.names);
                none.insert(Output::new(file, path, what, Mode::Changes)?)
            }
        };
        output.take(rows)
    }
}

/// A file whose length and digest are known as it is written.
struct Measured {
    file: Unfinished,
    n_bytes: u64,
    digest: Digest128,
}

impl Measured {
    fn new(file: Unfinished) -> Self {
        Self { file, n_bytes: 0, digest: Digest128::new() }
    }
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.digest.add(bytes.get(..n).unwrap_or(bytes));
        self.n_bytes += u64::try_from(n).unwrap_or(u64::MAX);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
