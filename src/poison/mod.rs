//! Rows that crash the engine: events at which a worker panics, each time that they are fed.
//!
//! A panic is a bug, but one bug must not keep all else from being computed. So each crash of a worker is
//! kept with the epochs that it was in ([`Poisons::crashed`]). Where it has crashed [`CRASHES_MAX`] times
//! at the same place the next start looks for the event that does it, and keeps which one it is
//! ([`crate::engine`]'s rehearsal): from then on that event is taken out of what is fed, by its content,
//! and stands in quarantine. The sequencer and the log hold it as any other, so that a repeat of it is one
//! and the log needn't be written again.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use dataflows::inputs::Events;
use serde::{Deserialize, Serialize};
use types::Event;
use types::digest::digest128;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use crate::env::Files;
use crate::error::Error;
use crate::ingest::Batch;

/// Crashes at one place until a row is looked for that does it.
pub(crate) const CRASHES_MAX: u32 = 3;

/// The file in the data directory, and its name while it is written.
const FILE: &str = "crashes.json";
const UNFINISHED: &str = "crashes.json.unfinished";

/// Where workers have crashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crash {
    /// The first and the last epoch that it may have been.
    pub(crate) epochs: (u64, u64),
    /// How often.
    pub(crate) n: u32,
    /// What the worker said, the last time.
    pub(crate) what: String,
}

/// An event that crashes the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Poison {
    /// Which relation of the plan.
    pub(crate) relation: usize,
    /// The digest of its content, as hexadecimal digits.
    pub(crate) digest: String,
    /// The epoch that it was found in.
    pub(crate) epoch: u64,
    /// Its line in the quarantine file.
    pub(crate) line: String,
}

/// What is kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The digest of the plan that crashed, as hexadecimal digits: of another one nothing is known.
    plan: String,
    crash: Option<Crash>,
    poisons: Vec<Poison>,
}

/// What is known of a pipeline's crashes, and the file that keeps it.
pub(crate) struct Poisons {
    files: Arc<dyn Files>,
    kept: Kept,
}

impl Poisons {
    /// Reads what is kept of a plan's crashes, unless the run is to start anew.
    ///
    /// # Errors
    /// If the file can't be read, or holds something else.
    pub(crate) fn open(files: Arc<dyn Files>, plan: u128, is_fresh: bool) -> Result<Self, Error> {
        let plan = hex(plan);
        let found = if is_fresh { None } else { read(&*files)? };
        let kept = found.filter(|kept: &Kept| kept.plan == plan);
        let kept = kept.unwrap_or_else(|| Kept { plan, ..Kept::default() });
        Ok(Self { files, kept })
    }

    /// Forgets all: what starts now is another run.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub(crate) fn forget(&mut self) -> Result<(), Error> {
        (self.kept.crash, self.kept.poisons) = (None, Vec::new());
        let failed =
            |error| Error::io(format!("removing {}", self.files.path(FILE).display()), error);
        if !self.files.list().map_err(failed)?.iter().any(|name| name == FILE) {
            return Ok(());
        }
        self.files.remove(FILE).and_then(|()| self.files.sync()).map_err(failed)
    }

    /// Notes that a worker crashed between two epochs.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn crashed(&mut self, epochs: (u64, u64), what: &str) -> Result<(), Error> {
        let before = self.kept.crash.take();
        self.kept.crash = Some(after(before.as_ref(), epochs, what));
        self.write()
    }

    /// Where it has crashed often enough that a row is to be looked for.
    pub(crate) fn suspect(&self) -> Option<&Crash> {
        let is_suspect =
            |crash: &&Crash| crash.n >= CRASHES_MAX && !is_out(Safeguard::PoisonSetAside);
        self.kept.crash.as_ref().filter(is_suspect)
    }

    /// Notes that nothing is left to look for.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.kept.crash = None;
        self.write()
    }

    /// Keeps an event that crashes the engine.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn add(&mut self, poison: Poison) -> Result<(), Error> {
        self.kept.poisons.push(poison);
        self.write()
    }

    /// The events that are known to crash it.
    pub(crate) fn all(&self) -> &[Poison] {
        &self.kept.poisons
    }

    fn write(&self) -> Result<(), Error> {
        let Self { files, kept } = self;
        let failed = |error| Error::io(format!("writing {}", files.path(FILE).display()), error);
        let text = serde_json::to_vec(kept).map_err(|error| failed(error.into()))?;
        point("crashes.before");
        replace(&**files, &text).map_err(failed)?;
        point("crashes.kept");
        Ok(())
    }
}

/// Crashes at one place so far, with one more.
fn after(before: Option<&Crash>, epochs: (u64, u64), what: &str) -> Crash {
    let (first, last) = epochs;
    let both = before.map(|crash| (crash.epochs.0.max(first), crash.epochs.1.min(last), crash.n));
    let (epochs, n) = match both {
        // The one epoch that does it is among those of each crash.
        Some((first, last, n)) if first <= last => ((first, last), n.saturating_add(1)),
        _ => (epochs, 1),
    };
    Crash { epochs, n, what: what.to_owned() }
}

/// Takes events out of a batch that crash the engine; gives those that were in it.
pub(crate) fn take_out<'a>(batch: &mut Batch, poisons: &'a [Poison]) -> Vec<&'a Poison> {
    let mut found = Vec::new();
    for poison in poisons {
        let Some(events) = batch.events.get_mut(poison.relation) else { continue };
        let before = events.len();
        retain(events, |digest| hex(digest) != poison.digest);
        found.extend((events.len()..before).map(|_| poison));
    }
    found
}

macro_rules! by_kind {
    ($($variant:ident($row:ty),)*) => {
        fn retain(events: &mut Events, mut keeps: impl FnMut(u128) -> bool) {
            match events {
                $(Events::$variant(events) => events.retain(|event| keeps(content(event))),)*
            }
        }

        /// The digest of the first event; `None` where there is none.
        pub(crate) fn digest(events: &Events) -> Option<String> {
            match events {
                $(Events::$variant(events) => events.first().map(content).map(hex),)*
            }
        }
    };
}
types::for_inputs!(by_kind);

/// What an event says, wherever and however often it is fed.
fn content<R: Clone + Serialize>(event: &Event<R>) -> u128 {
    let event = Event { is_first: false, ..event.clone() };
    digest128(&postcard::to_stdvec(&event).expect("numbers and texts always encode"))
}

fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

/// Reads what is kept; `None` without a file.
fn read(files: &dyn Files) -> Result<Option<Kept>, Error> {
    let failed = |error| Error::io(format!("reading {}", files.path(FILE).display()), error);
    if !files.list().map_err(failed)?.iter().any(|name| name == FILE) {
        return Ok(None);
    }
    let bytes = files.read(FILE).map_err(failed)?;
    let other = |error| Error::OtherRun {
        what: format!(
            "kept its crashes in {}, which can't be read ({error})",
            files.path(FILE).display()
        ),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(other)
}

/// Puts a new file in the place of the old one.
fn replace(files: &dyn Files, text: &[u8]) -> std::io::Result<()> {
    if files.list()?.iter().any(|name| name == UNFINISHED) {
        files.remove(UNFINISHED)?;
    }
    let mut file = files.create(UNFINISHED)?;
    file.append(text)?;
    file.sync_data()?;
    files.rename(UNFINISHED, FILE)?;
    files.sync()
}
