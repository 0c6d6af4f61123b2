//! What the engine writes to its [`crate::log`], and reads from it when it goes on with a run that was
//! interrupted.
//!
//! An epoch is in the log before anything of it leaves the engine, so that a run which goes on cuts the
//! same epochs, and everybody outside sees one run. Rows that can be read again are logged as position,
//! count and digest; that they are the same is checked, not believed. With `journal = "events"` the
//! events themselves are logged, and a run that goes on feeds them as they were.

mod brought;
mod entry;
mod past;
mod recorder;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::brought::Refused;
use self::brought::{Brought, EventsPart};
use self::entry::{Entry, FORMAT, Start};
pub(crate) use self::entry::{EpochEntry, OutputsEntry, SourceRows};
pub(crate) use self::past::Past;
pub(crate) use self::recorder::{Confirmer, Recorder};
use types::fault::point;

use crate::data_dir::DataDir;
use crate::error::Error;
use crate::log::recover;
use crate::log::{Disk, Files};
use crate::log::{Durable, Options, Writer};

/// Writes entries. Shared by the stages.
pub(crate) struct Journal {
    writer: Mutex<Option<Writer>>,
    durable: Durable,
    /// Epochs that were appended, with the numbers of their records, until somebody has waited for them.
    epochs: Mutex<VecDeque<(u64, u64)>>,
}

/// What was found in a data directory.
pub(crate) enum Found {
    /// Nothing, or a run that has come to its end.
    Nothing,
    /// A run that was interrupted.
    Interrupted(Box<Interrupted>),
}

/// A run that was interrupted.
pub(crate) struct Interrupted {
    files: Arc<dyn Files>,
    log_id: u128,
    recovered: crate::log::Recovered,
    start: Start,
}

/// Looks for a run to go on with.
///
/// # Errors
/// If its log is damaged or can't be read.
pub(crate) fn find(dir: &DataDir) -> Result<Found, Error> {
    let Some(log_id) = dir.log_id()? else { return Ok(Found::Nothing) };
    let files = open(dir)?;
    let recovered = recover(files.as_ref(), log_id)?;
    if let Some(torn) = &recovered.torn {
        tracing::info!(path = %torn.path.display(), bytes = torn.n_bytes, "cut what a crash left of a write");
    }
    let mut past = Past::open(&files, log_id, &recovered)?;
    let Some(Entry::Start(start)) = past.next()? else { return Ok(Found::Nothing) };
    if past.has_ended()? {
        return Ok(Found::Nothing);
    }
    Ok(Found::Interrupted(Box::new(Interrupted { files, log_id, recovered, start })))
}

fn open(dir: &DataDir) -> Result<Arc<dyn Files>, Error> {
    let folder = dir.log();
    let disk = Disk::open(&folder);
    let disk = disk.map_err(|e| Error::io(format!("opening {}", folder.display()), e))?;
    Ok(Arc::new(disk))
}

impl Interrupted {
    /// Says whether it can be gone on with.
    ///
    /// # Errors
    /// If it computed something else, or was kept by a version that this one can't read.
    pub(crate) fn check(&self, plan: u128) -> Result<(), Error> {
        if self.start.format != FORMAT {
            let what = format!("was kept by Tapeline {}", self.start.engine);
            return Err(Error::OtherRun { what });
        }
        if self.start.plan != plan {
            let what = "computed something else: the config has changed".to_owned();
            return Err(Error::OtherRun { what });
        }
        Ok(())
    }

    /// Goes on with it: the journal, and twice what it holds.
    ///
    /// # Errors
    /// If the log can't be opened.
    pub(crate) fn resume(self, options: Options) -> Result<(Journal, Past, Past), Error> {
        let Self { files, log_id, recovered, .. } = self;
        let pasts = [(); 2].map(|()| Past::open(&files, log_id, &recovered));
        let [epochs, outputs] = pasts;
        let writer = Writer::start(files, log_id, &recovered, options)?;
        Ok((Journal::new(writer), epochs?, outputs?))
    }
}

/// Starts anew: the log of whatever run was there is gone.
///
/// # Errors
/// If the log can't be made.
pub(crate) fn start(dir: &DataDir, plan: u128, options: Options) -> Result<Journal, Error> {
    let log_id = dir.new_log()?;
    let files = open(dir)?;
    let recovered = recover(files.as_ref(), log_id)?;
    let journal = Journal::new(Writer::start(files, log_id, &recovered, options)?);
    let engine = env!("CARGO_PKG_VERSION").to_owned();
    let number = journal.append(&Entry::Start(Start { format: FORMAT, engine, plan }))?;
    point("journal.start.before");
    journal.durable.wait_for(number)?;
    point("journal.start.after");
    Ok(journal)
}

impl Journal {
    fn new(writer: Writer) -> Self {
        let durable = writer.durable();
        Self { writer: Mutex::new(Some(writer)), durable, epochs: Mutex::default() }
    }

    /// Appends what an epoch brought, before the epoch itself.
    ///
    /// # Errors
    /// If the log has failed.
    fn brought(
        &self,
        brought: Brought,
        parts: impl Iterator<Item = EventsPart>,
    ) -> Result<(), Error> {
        point("journal.brought.before");
        self.append(&Entry::Brought(brought))?;
        for part in parts {
            point("journal.events.before");
            self.append(&Entry::Events(part))?;
        }
        Ok(())
    }

    /// Appends an epoch; doesn't wait until it is kept.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn epoch(&self, entry: EpochEntry) -> Result<(), Error> {
        let epoch = entry.epoch;
        point("journal.epoch.before");
        let number = self.append(&Entry::Epoch(entry))?;
        point("journal.epoch.after");
        locked(&self.epochs).push_back((epoch, number));
        Ok(())
    }

    /// Appends what an epoch changed; nobody waits for it.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn outputs(&self, entry: OutputsEntry) -> Result<(), Error> {
        self.append(&Entry::Outputs(entry))?;
        point("journal.outputs");
        Ok(())
    }

    /// Waits until an epoch is kept.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn wait_for(&self, epoch: u64) -> Result<(), Error> {
        let mut last = None;
        let mut epochs = locked(&self.epochs);
        while let Some((_, number)) = epochs.pop_front_if(|(appended, _)| *appended <= epoch) {
            last = Some(number);
        }
        drop(epochs);
        last.map_or(Ok(()), |number| Ok(self.durable.wait_for(number)?))
    }

    /// Says that all was delivered: there is nothing to go on with.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn end(&self) -> Result<(), Error> {
        point("journal.end.before");
        self.append(&Entry::End)?;
        point("journal.end.appended");
        self.close()?;
        point("journal.end.after");
        Ok(())
    }

    /// Keeps all that was appended, and ends the log's thread.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let writer = locked(&self.writer).take();
        writer.map_or(Ok(()), |writer| Ok(writer.finish()?))
    }

    fn append(&self, entry: &Entry) -> Result<u64, Error> {
        let (kind, payload) = entry.encode();
        match locked(&self.writer).as_mut() {
            Some(writer) => Ok(writer.append(kind, &payload)?),
            None => Err(Error::Stopped("appending to the log")),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // It is whole after each statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
