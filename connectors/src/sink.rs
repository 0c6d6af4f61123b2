//! The contract of sinks.
//!
//! A sink is opened before the first row enters, so that a wrong layout or a missing right is told
//! at once. It gets every epoch's consolidated changes of its views, in epoch order, and is told
//! when a finite run has ended. The same epoch twice counts once. What it hasn't been told to
//! finish must not look finished: files get their names last.
//!
//! A sink whose result grows while the run goes keeps in its `state_dir` how far it has come for good.
//! A run that goes on after a crash gives it all epochs again: it takes back whatever lies behind that
//! place and drops the epochs before it. One whose result comes whole at the end starts over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::options::{OptionSpec, Problem, Settings};
use types::relations::RelationKind;
use types::{Changes, Epoch, Names, Rate, Schema};

use crate::env::{Env, Files};
use crate::error::ConnectError;
use crate::sinks;

/// A kind of sink that configs can name.
pub struct SinkKind {
    /// `type = "jsonl"`.
    pub name: &'static str,
    /// What it writes, in a line.
    pub help: &'static str,
    /// Its options, beside `views`.
    pub options: &'static [OptionSpec],
    /// Finds what is wrong with the options, offline.
    pub check: fn(&Settings) -> Vec<Problem>,
    /// Opens it.
    pub open: fn(SinkContext) -> Result<Box<dyn Sink>, ConnectError>,
}

/// All kinds of sinks.
pub static SINKS: &[SinkKind] = &[
    sinks::jsonl::KIND,
    #[cfg(feature = "parquet")]
    sinks::parquet::KIND,
    #[cfg(feature = "clickhouse")]
    sinks::clickhouse::KIND,
    #[cfg(feature = "webhook")]
    sinks::webhook::KIND,
];

/// A view as a sink sees it. Of each key it holds one row at most: who opens the sink sees to it.
#[derive(Clone, Debug)]
pub struct SinkView {
    /// Its name: `positions`, `positions.errors`.
    pub name: String,
    /// Its rows' type.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: Arc<Schema>,
}

/// What a sink is opened with.
pub struct SinkContext {
    /// The sink's name in the config.
    pub name: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Its options.
    pub settings: Settings,
    /// The folder of the config file.
    pub base: PathBuf,
    /// The views that it writes.
    pub views: Vec<SinkView>,
    /// How many alerts may be told of, by rule: of those that have a rate of their own. It limits
    /// messages, never rows.
    pub rates: BTreeMap<String, Rate>,
    /// The dictionary.
    pub names: Arc<Names>,
    /// Whether all sources end.
    pub is_finite: bool,
    /// A folder for what the sink must not forget; made where it has such a thing.
    pub state_dir: PathBuf,
    /// Whether this goes on with a run that was interrupted. If not, what `state_dir` holds is of no
    /// use any more.
    pub is_resumed: bool,
    /// A number that was drawn for this part of a run, and for no other.
    pub chance: u128,
    /// Where it gets files and connections from.
    pub env: Arc<dyn Env>,
}

impl SinkContext {
    /// The files of a folder, which is made where it isn't there.
    ///
    /// # Errors
    /// If it can't be.
    pub(crate) fn files(&self, folder: &Path) -> Result<Arc<dyn Files>, ConnectError> {
        let files = self.env.files(folder);
        files.map_err(|error| ConnectError::file("making folder", folder, error))
    }

    /// The files that the sink must not forget.
    ///
    /// # Errors
    /// If their folder can't be made.
    pub(crate) fn state(&self) -> Result<Arc<dyn Files>, ConnectError> {
        self.files(&self.state_dir)
    }
}

/// The changes of one epoch.
#[derive(Clone, Debug)]
pub struct EpochChanges {
    /// Which epoch.
    pub epoch: Epoch,
    /// Consolidated changes, one for each view of the sink, in the order of [`SinkContext::views`].
    pub views: Vec<Arc<Changes>>,
}

/// Something that takes changes to the outside.
pub trait Sink: Send {
    /// Takes the changes of one epoch; epochs come in order, each once.
    ///
    /// # Errors
    /// Where the sink can't go on.
    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError>;

    /// The last epoch of which all is kept for good: a run that goes on need not give it, nor those
    /// before it, one by one. `None` for a sink that makes its result of the rows as they stand at the end.
    fn kept_until(&self) -> Option<Epoch> {
        None
    }

    /// Hands over what is held back, now that no epoch follows for a while; called when the input
    /// pauses, and before `finish`.
    ///
    /// # Errors
    /// Where the sink can't go on.
    fn flush(&mut self) -> Result<(), ConnectError>;

    /// Ends a run that has failed elsewhere: what was taken may still be handed over where that
    /// needs no waiting, and nothing gets the name of a result.
    ///
    /// # Errors
    /// Where handing over fails.
    fn abandon(&mut self) -> Result<(), ConnectError> {
        self.flush()
    }

    /// What it did so far, for the summary of a run that is stopped before its end.
    fn report(&self) -> SinkReport {
        SinkReport::default()
    }

    /// Ends a finite run: all epochs were written.
    ///
    /// # Errors
    /// Where the sink can't go on.
    fn finish(&mut self) -> Result<SinkReport, ConnectError>;
}

/// What a sink did, for the run's summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// A line for each thing written: a file or table and its rows.
    pub lines: Vec<String>,
    /// How many rows the other side refused, which were set aside.
    pub n_refused: u64,
    /// Where they are, if there are any.
    pub quarantine: Option<PathBuf>,
}
