//! Rows that are replayed: rows in quarantine that were put right, which every run reads behind all files.
//!
//! They stand in batches (`replayed/000001.jsonl` and so on), each with the place that it has in its file, so
//! that a run comes to the same as one over files in which they always were right. A batch is never changed
//! and others come behind it, and a run reads them behind all files and one after the other: so whatever was
//! read before a batch was added comes again as it was, and a run that was interrupted goes on.

mod trial;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use connectors::ConnectError;
use connectors::replayed::{ReplayedRow, Section, check, write};
use types::fault::point;

pub(crate) use self::trial::{Outcome, Trial};
use crate::config::plan::SourcePlan;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::ingest::MergedStream;

/// The folder in a data directory.
const FOLDER: &str = "replayed";
/// What a batch's name ends with.
const EXTENSION: &str = ".jsonl";
/// A batch's name while it is written.
const UNFINISHED: &str = "batch.unfinished";

/// All batches of a data directory, in their order, each with its number.
///
/// # Errors
/// If the folder can't be read.
pub(crate) fn batches(data_dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let folder = data_dir.join(FOLDER);
    let failed = |error| Error::io(format!("reading {}", folder.display()), error);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        found.extend(number(&path).map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// The number of a batch; `None` of another file.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(EXTENSION)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Opens all that is replayed; the streams of a batch come behind those of the batches before, by source
/// and path.
///
/// # Errors
/// Where a batch isn't as it was written, or names a source or a file that isn't there any more.
pub(crate) fn streams(data_dir: &Path, sources: &[SourcePlan]) -> Result<Vec<MergedStream>, Error> {
    let (mut streams, mut n_rows, batches) = (Vec::new(), 0, batches(data_dir)?);
    let mut of_source: Vec<Vec<(usize, Section)>> = sources.iter().map(|_| Vec::new()).collect();
    let mut rank = 0;
    for (_, batch) in &batches {
        for section in check(batch, |_| n_rows += 1)? {
            rank += 1;
            let index = sources.iter().position(|source| source.file.name == section.source);
            let place = index.and_then(|index| of_source.get_mut(index));
            place.ok_or_else(|| gone(&section))?.push((rank, section));
        }
    }
    for (index, (source, sections)) in sources.iter().zip(of_source).enumerate() {
        let (ranks, sections): (Vec<usize>, Vec<Section>) = sections.into_iter().unzip();
        let opened = connectors::source::open_replayed(&source.file, sections)?;
        streams.extend(opened.into_iter().zip(ranks).map(|(rows, rank)| {
            let name = source.file.name.clone();
            MergedStream { rows, source: index, name, rank }
        }));
    }
    if n_rows > 0 {
        let n_batches = batches.len();
        tracing::info!(n_rows, n_batches, "rows are replayed, behind those of files");
    }
    Ok(streams)
}

/// A batch with rows of a source that the config doesn't have.
fn gone(section: &Section) -> ConnectError {
    let (batch, line) = (section.batch.display(), section.line);
    let doing =
        format!("replaying {batch}, line {line}: the config has no source `{}`", section.source);
    ConnectError::broken(doing).hint(
        "put the source back, or take the rows back that are replayed: remove that file of them and start \
         with `--fresh`",
    )
}

/// Adds a batch, durably: it is there as a whole or not at all. The rows must be in order, one at a place.
/// Gives its path.
///
/// # Errors
/// If it can't be written.
pub(crate) fn append(dir: &DataDir, rows: &[ReplayedRow]) -> Result<PathBuf, Error> {
    let last = batches(dir.path())?.last().map_or(0, |(number, _)| *number);
    let name = format!("{:06}{EXTENSION}", last + 1);
    let folder = dir.path().join(FOLDER);
    let files = dir.files(&folder)?;
    let written = || -> io::Result<()> {
        if files.list()?.iter().any(|name| name == UNFINISHED) {
            files.remove(UNFINISHED)?;
        }
        let mut file = files.create(UNFINISHED)?;
        file.append(&write(rows))?;
        point("replay.written");
        file.sync_data()?;
        point("replay.synced");
        files.rename(UNFINISHED, &name)?;
        point("replay.named");
        files.sync()
    };
    let path = files.path(&name);
    written().map_err(|error| Error::io(format!("writing {}", path.display()), error))?;
    Ok(path)
}
