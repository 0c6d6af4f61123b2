//! `--salvage`: what to do with a log that is damaged in its middle.
//!
//! What is damaged is put aside and told. Where a checkpoint holds all of it, the log goes on behind. Where
//! none does, the log ends before it: the epochs from there on are made again of the sources, which are
//! files, and sinks take of them what they lack.

use std::ops::Range;

use types::fault::point;

use crate::checkpoint::Store;
use crate::data_dir::DataDir;
use crate::env::Files;
use crate::error::Error;
use crate::log::{Recovered, cut_from, recover, salvage};

/// Puts aside what is damaged of a log.
///
/// # Errors
/// If the system refuses something.
pub(super) fn put_aside(files: &dyn Files, log_id: u128) -> Result<Recovered, Error> {
    let salvaged = salvage(files, log_id)?;
    for copy in &salvaged.copies {
        tracing::warn!(path = %copy.display(), "a damaged file of the log was put aside");
    }
    point("log.salvaged");
    Ok(recover(files, log_id)?)
}

/// Sees to it that what was lost of a log is to be had from elsewhere: from a checkpoint, or from the
/// sources once what follows it is put aside.
///
/// # Errors
/// If it isn't, or isn't asked for; if the system refuses something.
pub(super) fn mend(
    recovered: Recovered,
    files: &dyn Files,
    (log_id, dir): (u128, &DataDir),
    is_salvaged: bool,
) -> Result<Recovered, Error> {
    let (Some(first), Some(last)) = (recovered.gaps.first(), recovered.gaps.last()) else {
        return Ok(recovered);
    };
    let Range { start, end } = recovered.records.clone();
    let folder = dir.checkpoints();
    if folder.exists() {
        let holds = Store::new(dir.files(&folder)?).newest(log_id, u64::MAX, &(last.end..end))?;
        if let Some(checkpoint) = holds {
            let epoch = checkpoint.epoch;
            tracing::warn!(
                epoch,
                "records {first:?} are lost; a checkpoint holds what they brought"
            );
            return Ok(recovered);
        }
    }
    if !is_salvaged {
        let what = format!("has lost records {first:?} of its log, which `--salvage` reads again");
        return Err(Error::OtherRun { what });
    }
    if first.start <= start.max(1) {
        let what = "has lost the begin of its log, and no checkpoint holds it".to_owned();
        return Err(Error::OtherRun { what });
    }
    let (first, n_behind) = (first.start, end - first.start);
    tracing::warn!(
        "{n_behind} records of the log are lost, from {first} on: what they brought is read again from \
         the sources, and can't be compared with what it was"
    );
    for copy in cut_from(files, log_id, first)? {
        tracing::warn!(path = %copy.display(), "what followed it was put aside");
    }
    point("log.cut.behind");
    Ok(recover(files, log_id)?)
}
