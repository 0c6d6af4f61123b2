//! What the engine writes to its [`crate::log`], and reads from it when it goes on with a run that was
//! interrupted.
//!
//! An epoch is in the log before anything of it leaves the engine, so that a run which goes on cuts the
//! same epochs, and everybody outside sees one run. Rows that can be read again are logged as position,
//! count and digest; that they are the same is checked, not believed. With `journal = "events"` the
//! events themselves are logged, and a run that goes on feeds them as they were.

mod brought;
mod codec;
mod entry;
mod mend;
mod past;
mod recorder;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use self::brought::EventsPart;
pub(crate) use self::brought::{Brought, Collector, Group, Refused};
pub(crate) use self::codec::parts;
pub(crate) use self::entry::Start;
pub(crate) use self::entry::{Entry, EpochEntry, FORMAT as ENTRIES, counts_of, kinds};
use self::entry::{OutputsEntry, SourceRows};
pub(crate) use self::past::Past;
pub(crate) use self::recorder::{Confirmer, Recorder};
use crossbeam_channel::Sender;
use types::fault::point;

use crate::checkpoint::Ask;
use crate::data_dir::DataDir;
use crate::env::Files;
use crate::error::Error;
use crate::log::{Durable, Options, Reader, Writer};
use crate::log::{LogError, recover};

/// Writes entries. Shared by the stages.
pub(crate) struct Journal {
    files: Arc<dyn Files>,
    log_id: u128,
    writer: Mutex<Option<Writer>>,
    durable: Durable,
    /// Bytes that this run has appended.
    n_bytes: AtomicU64,
    /// Who makes checkpoints, and after how many bytes he is told that one is due.
    wake: OnceLock<(u64, Sender<Ask>)>,
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
    pub(crate) log_id: u128,
    recovered: crate::log::Recovered,
    /// What it is about. `None` where the log's begin was cut: a checkpoint says it then.
    pub(crate) start: Option<Start>,
    /// Whether what epochs brought is kept.
    pub(crate) keeps_events: bool,
    /// The last epoch that its log holds; zero where it holds none.
    pub(crate) last_epoch: u64,
}

/// Looks for a run to go on with. With `is_salvaged` what is damaged of its log is put aside.
///
/// # Errors
/// If its log is damaged or can't be read.
pub(crate) fn find(dir: &DataDir, is_salvaged: bool) -> Result<Found, Error> {
    let Some(log_id) = dir.log_id()? else { return Ok(Found::Nothing) };
    let files = dir.files(&dir.log())?;
    let recovered = match recover(&*files, log_id) {
        Err(LogError::Damaged(_)) if is_salvaged => mend::put_aside(&*files, log_id)?,
        recovered => recovered?,
    };
    let recovered = mend::mend(recovered, &*files, (log_id, dir), is_salvaged)?;
    if let Some(torn) = &recovered.torn {
        tracing::info!(path = %torn.path.display(), bytes = torn.n_bytes, "cut what a crash left of a write");
    }
    let mut past = Past::open(&files, log_id, recovered.records.clone())?;
    let is_cut = recovered.records.start > 1;
    let start = match past.next()? {
        _ if is_cut => None,
        Some(Entry::Start(start)) => Some(start),
        _ => return Ok(Found::Nothing),
    };
    let rest = past.rest()?;
    if rest.has_ended {
        return Ok(Found::Nothing);
    }
    let (keeps_events, last_epoch) = (rest.keeps_events || is_cut, rest.last_epoch);
    let found = Interrupted { files, log_id, recovered, start, keeps_events, last_epoch };
    Ok(Found::Interrupted(Box::new(found)))
}

impl Interrupted {
    /// Says whether it can be gone on with; `start` is what it is about.
    ///
    /// # Errors
    /// If it computed something else, or was kept by a version that this one can't read.
    pub(crate) fn check(start: &Start, plan: u128) -> Result<(), Error> {
        if start.format != ENTRIES {
            let what = format!("was kept by Tapeline {}", start.engine);
            return Err(Error::OtherRun { what });
        }
        if start.plan != plan {
            let what = "computed something else: the config has changed".to_owned();
            return Err(Error::OtherRun { what });
        }
        Ok(())
    }

    /// The records that its log holds.
    pub(crate) const fn records(&self) -> &Range<u64> {
        &self.recovered.records
    }

    /// What it holds, from a record on.
    ///
    /// # Errors
    /// If the log can't be opened, or doesn't hold that record.
    pub(crate) fn past(&self, from: u64) -> Result<Past, Error> {
        Past::open(&self.files, self.log_id, from..self.recovered.records.end)
    }

    /// Goes on with it: the journal, and twice what it holds, from a record on.
    ///
    /// # Errors
    /// If the log can't be opened, or doesn't hold that record.
    pub(crate) fn resume(
        self,
        from: u64,
        options: Options,
    ) -> Result<(Journal, Past, Past), Error> {
        let Self { files, log_id, recovered, .. } = self;
        let records = from..recovered.records.end;
        let pasts = [(); 2].map(|()| Past::open(&files, log_id, records.clone()));
        let [epochs, outputs] = pasts;
        let writer = Writer::start(Arc::clone(&files), log_id, &recovered, options)?;
        Ok((Journal::new(files, log_id, writer), epochs?, outputs?))
    }
}

/// Starts anew: the log of whatever run was there is gone.
///
/// # Errors
/// If the log can't be made.
pub(crate) fn start(dir: &DataDir, plan: u128, options: Options) -> Result<Journal, Error> {
    let log_id = dir.new_log()?;
    let files = dir.files(&dir.log())?;
    let recovered = recover(files.as_ref(), log_id)?;
    let writer = Writer::start(Arc::clone(&files), log_id, &recovered, options)?;
    let journal = Journal::new(files, log_id, writer);
    let engine = env!("CARGO_PKG_VERSION").to_owned();
    let number = journal.append(&Entry::Start(Start { format: ENTRIES, engine, plan }))?;
    point("journal.start.before");
    journal.durable.wait_for(number)?;
    point("journal.start.after");
    Ok(journal)
}

impl Journal {
    fn new(files: Arc<dyn Files>, log_id: u128, writer: Writer) -> Self {
        let (durable, writer) = (writer.durable(), Mutex::new(Some(writer)));
        let (n_bytes, wake, epochs) = Default::default();
        Self { files, log_id, writer, durable, n_bytes, wake, epochs }
    }

    /// An empty one in other files than a data directory's.
    #[cfg(test)]
    pub(crate) fn over(files: Arc<dyn Files>, log_id: u128, options: Options) -> Self {
        let recovered = recover(&*files, log_id).unwrap();
        let writer = Writer::start(Arc::clone(&files), log_id, &recovered, options).unwrap();
        Self::new(files, log_id, writer)
    }

    /// Which log it is.
    pub(crate) const fn log_id(&self) -> u128 {
        self.log_id
    }

    /// The files of the log.
    pub(crate) fn files(&self) -> &dyn Files {
        &*self.files
    }

    /// Tells somebody each time that so many bytes were appended.
    pub(crate) fn wake(&self, every: u64, asks: Sender<Ask>) {
        self.wake.get_or_init(|| (every.max(1), asks));
    }

    /// What the log holds for good, from a record on.
    ///
    /// # Errors
    /// If it doesn't hold that record.
    pub(crate) fn durable_from(&self, record: u64) -> Result<Reader, Error> {
        let end = self.durable_end().max(record);
        Ok(Reader::open(Arc::clone(&self.files), self.log_id, record..end)?)
    }

    /// The first record that isn't durable yet.
    pub(crate) fn durable_end(&self) -> u64 {
        self.durable.reached() + 1
    }

    /// Appends what an epoch brought, before the epoch itself.
    ///
    /// # Errors
    /// If the log has failed.
    pub(crate) fn brought(
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
        let n_bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let before = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        if let Some((every, asks)) = self.wake.get()
            && before / every < (before + n_bytes) / every
        {
            // Where the word stands already it needn't be said again.
            asks.try_send(Ask::Due).unwrap_or_default();
        }
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
