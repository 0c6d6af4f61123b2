//! The config as used: nothing left to look up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connectors::SinkKind;
use connectors::quarantine::Quota;
use connectors::source::FileSource;
use types::event::Draft;
use types::options::{Place, Problem, Settings};
use types::{Rate, Value};

use super::text::Texts;
use crate::log::Sync;

/// All that a run needs to know.
pub struct EnginePlan {
    /// The pipeline's own options.
    pub pipeline: Pipeline,
    /// What feeds it, in the order of the file.
    pub sources: Vec<SourcePlan>,
    /// What is computed.
    pub plan: Arc<dataflows::Plan>,
    /// A digest of all that decides what comes out. A run goes on only with what one of the same digest
    /// left.
    pub digest: u128,
    /// What takes the views' changes, in the order of the file.
    pub sinks: Vec<SinkPlan>,
    /// Who may read from outside; `None` without a `[server]`.
    pub server: Option<ServerPlan>,
    /// The config's own tests, in the order of the file.
    pub tests: Vec<TestCase>,
    /// Whether a view shows the texts of ids, so that the dictionary must keep them.
    pub keeps_id_texts: bool,
    /// What works but is likely not meant.
    pub warnings: Vec<Problem>,
    /// The folder of the config file, to which paths are relative.
    pub base: PathBuf,
    /// The config's text, for places of warnings and tests.
    pub texts: Texts,
    /// How many views the config names, alerts not among them.
    pub n_views: usize,
    /// How many alerts the config names.
    pub n_alerts: usize,
}

/// The pipeline's own options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Where it keeps what it must not forget; relative to the folder of the process.
    pub data_dir: PathBuf,
    /// Whether the log keeps events; else it keeps where their rows are, and they are read again.
    pub keeps_events: bool,
    /// When what the log holds counts as kept.
    pub sync: Sync,
    /// How much of the rows that can't be used is kept.
    pub quarantine: Quota,
    /// How many timely workers compute.
    pub workers: usize,
    /// How many rows an epoch holds at most.
    pub max_events: usize,
    /// How checkpoints are made, where events are kept.
    pub(crate) checkpoints: crate::checkpoint::Settings,
    /// How many bytes of old events and identities stay in memory; `None` for all.
    pub history_memory: Option<u64>,
    /// How long a live epoch stays open at most.
    pub max_age: Duration,
}

/// A source.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// What its reader needs.
    pub file: FileSource,
    /// The relation that it feeds, an index of the plan's relations.
    pub relation: usize,
    /// How far its rows may lie behind the greatest event time without being late.
    pub lateness_nanos: i64,
    /// Whether a row that can't be used ends the run.
    pub stops_on_bad_row: bool,
}

/// A sink.
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static SinkKind,
    /// Its options.
    pub settings: Settings,
    /// What it writes, as indices of the plan's `emitted`.
    pub views: Vec<usize>,
    /// The rates of rules that have one of their own.
    pub rates: BTreeMap<String, Rate>,
}

/// The server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Where it listens; a loopback address.
    pub listen: SocketAddr,
    /// How much event time is held of views that are indexed by time.
    pub retain_nanos: i64,
    /// Origins of browsers that may connect, beside none.
    pub origins: Vec<String>,
    /// What it shows, as indices of the plan's `emitted`: all keyed views.
    pub views: Vec<usize>,
}

/// One `[[tests]]`.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What it puts in, in the order of the file.
    pub inserts: Vec<TestInput>,
    /// What must come out.
    pub expect: Vec<TestExpect>,
    /// In which other ways the same must come out.
    pub also: Vec<Also>,
}

/// Rows of a test for one relation. A row's `seq` is its place in the test where it isn't written.
#[derive(Clone, Debug)]
pub struct TestInput {
    /// The relation, an index of the plan's relations.
    pub relation: usize,
    /// The rows in the order of the file, each with its operation.
    pub drafts: Vec<Draft>,
}

/// The rows that a test expects of one view.
#[derive(Clone, Debug)]
pub struct TestExpect {
    /// The view, an index of the plan's views; it is among the emitted ones.
    pub view: usize,
    /// The rows: the columns that are written, by index, and their values.
    pub rows: Vec<Vec<(usize, Value)>>,
    /// Where they stand.
    pub place: Place,
}

/// Another way in which a test must come out the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Also {
    /// With its rows in other orders.
    Shuffled,
    /// With one row an epoch.
    OneEventPerEpoch,
    /// On 1, 2 and 4 workers.
    Workers124,
}

impl Also {
    /// The words of the config.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("shuffled", Self::Shuffled),
        ("one_event_per_epoch", Self::OneEventPerEpoch),
        ("workers_1_2_4", Self::Workers124),
    ];
}
