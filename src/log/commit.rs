//! What the log's thread does: a write, a sync, and again.

use std::sync::Arc;

use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::error::LogError;
use super::parts;
use super::segment::Part;
use super::writer::{Queue, Sync};
use crate::env::{Files, OpenFile};

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The first of them,
    pub(super) first: u64,
    /// and the one behind the last.
    pub(super) end: u64,
    /// All of them, encoded.
    pub(super) bytes: Vec<u8>,
    /// Segments that begin among them, and where in the bytes.
    pub(super) segments: Vec<(usize, Part)>,
}

impl Group {
    /// Empties it; keeps its memory unless one record has made it large.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(crate::limits::LOG_QUEUE_BYTES);
        self.segments.clear();
    }
}

/// Writes groups into the newest segment.
pub(super) struct Committer {
    files: Arc<dyn Files>,
    log_id: u128,
    queue: Arc<Queue>,
    sync: Sync,
    part: Part,
    file: Box<dyn OpenFile>,
    /// The group that is written; swapped with the one that waits.
    group: Group,
}

impl Committer {
    /// Opens a segment, or makes it.
    pub(super) fn open(
        files: Arc<dyn Files>,
        log_id: u128,
        queue: Arc<Queue>,
        sync: Sync,
        (part, is_new): (Part, bool),
    ) -> Result<Self, LogError> {
        let file = if is_new {
            make(&*files, log_id, part, sync)?
        } else {
            let path = files.path(&part.name());
            files.open(&part.name()).map_err(LogError::io("opening", path))?
        };
        let group = Group::default();
        Ok(Self { files, log_id, queue, sync, part, file, group })
    }

    /// Commits until the writer ends or something fails. After a failure nothing is tried again: a second
    /// sync may succeed though what the first was to save is lost.
    pub(super) fn run(mut self) {
        while self.commit(true) {}
    }

    /// Writes all that is queued and makes it durable; `false` if that was nothing, or failed.
    pub(super) fn commit(&mut self, is_patient: bool) -> bool {
        if !self.queue.take(&mut self.group, is_patient) {
            return false;
        }
        let outcome = self.write_group();
        let is_durable = outcome.is_ok();
        self.queue.settle(self.group.end, outcome);
        is_durable
    }

    fn write_group(&mut self) -> Result<(), LogError> {
        let group = std::mem::take(&mut self.group);
        let mut written = 0;
        for (at, part) in &group.segments {
            self.write(group.bytes.get(written..*at).unwrap_or_default())?;
            self.file = make(&*self.files, self.log_id, *part, self.sync)?;
            self.part = *part;
            written = *at;
        }
        self.write(group.bytes.get(written..).unwrap_or_default())?;
        self.group = group;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let written = self.write_and_sync(bytes);
        if is_out(Safeguard::LogFailureTold) { Ok(()) } else { written }
    }

    fn write_and_sync(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = || self.files.path(&self.part.name());
        point("log.write.before");
        self.file.append(bytes).map_err(|error| LogError::io("writing to", path())(error))?;
        point("log.written");
        if must_sync(self.sync) {
            self.file.sync_data().map_err(|error| LogError::io("syncing", path())(error))?;
        }
        point("log.synced");
        Ok(())
    }
}

impl Drop for Committer {
    /// However its thread ends, nobody waits for it any longer.
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Makes a segment. Its header and its name are on the disk before a record follows, so that a record
/// behind a bad header shows damage.
// Not preallocated: on ext4, fdatasync after a small write took 67 us with 64 MiB allocated, 107 without,
// and 103 where the length was kept: not worth a length that no longer says where the log ends.
fn make(
    files: &dyn Files,
    log_id: u128,
    part: Part,
    sync: Sync,
) -> Result<Box<dyn OpenFile>, LogError> {
    let path = || files.path(&part.name());
    let mut file = files.create(&part.name()).map_err(LogError::io("making", path()))?;
    point("log.segment.made");
    let header = part.header(log_id, 0);
    file.append(&header).map_err(LogError::io("writing to", path()))?;
    point("log.segment.begun");
    if must_sync(sync) {
        file.sync_data().map_err(LogError::io("syncing", path()))?;
    }
    if sync == Sync::Data && !is_out(Safeguard::LogFolderSync) {
        parts::sync(files)?;
    }
    point("log.segment.synced");
    Ok(file)
}

fn must_sync(sync: Sync) -> bool {
    match sync {
        Sync::Data => !is_out(Safeguard::LogSync),
        Sync::None => false,
    }
}
