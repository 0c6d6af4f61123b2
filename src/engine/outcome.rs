//! Where a run stands, and what it did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use connectors::sink::SinkReport;
use dataflows::Plan;
use dataflows::plan::View;
use types::{Value, VenueTime};

use crate::cold::Spill;
use crate::env::{self, Stopwatch};
use crate::ingest::{Counts, Sequencer, SetAside};
use crate::publish::Published;
use crate::publish::newest::Newest;
use crate::runtime::Quantiles;

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Rows read.
    pub n_rows: u64,
    /// Bytes of the files read, and their sum.
    pub bytes: (u64, u64),
    /// The greatest event time so far.
    pub event_time: Option<VenueTime>,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The pipeline's name.
    pub name: String,
    /// Whether it was stopped before its sources ended. The next one goes on where it has come to.
    pub is_stopped: bool,
    /// Rows by outcome.
    pub counts: Counts,
    /// Removals that wait for what they remove.
    pub n_pending: u64,
    /// Rows in quarantine by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Of them, those that the quarantine had no room for.
    pub n_left_out: u64,
    /// Where they are, if there are any.
    pub quarantine: Option<PathBuf>,
    /// Epochs.
    pub n_epochs: u64,
    /// How long epochs took, from when they were fed until readers and sinks had them.
    pub latency: Quantiles,
    /// The views that left the dataflow.
    pub views: Vec<ViewSummary>,
    /// What sinks wrote, by name.
    pub sinks: Vec<(String, SinkReport)>,
    /// Bytes of history and identities that left memory; `None` where none may.
    pub n_spilled: Option<u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// The most memory that the process has held, in bytes.
    pub peak_memory: Option<u64>,
}

/// What a view holds at the end of a run.
#[derive(Clone, Debug)]
pub struct ViewSummary {
    /// Its name.
    pub name: String,
    /// How many rows it holds.
    pub n_rows: u64,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its newest rows, at most [`super::RunOptions::n_newest`].
    pub newest: Vec<Vec<Value>>,
}

/// What the stages of a run have left.
pub(super) struct Done {
    pub(super) name: String,
    pub(super) is_stopped: bool,
    pub(super) published: Published,
    pub(super) set_aside: SetAside,
}

impl Done {
    /// What the run did.
    pub(super) fn summary(
        self,
        plan: &Plan,
        sequencer: &Sequencer,
        spill: Option<&Spill>,
        watch: Stopwatch,
    ) -> Summary {
        let Self { name, is_stopped, published, set_aside } = self;
        let shown = published.n_rows.into_iter().zip(published.newest);
        let view = |(view, (n_rows, newest)): (&View, (u64, Newest))| {
            let (columns, newest) = newest.into_table();
            ViewSummary { name: view.name.clone(), n_rows, columns, newest }
        };
        Summary {
            name,
            is_stopped,
            counts: sequencer.counts().less(set_aside.n_poisons),
            n_pending: sequencer.n_pending(),
            reasons: set_aside.reasons,
            n_left_out: set_aside.n_left_out,
            quarantine: set_aside.path,
            n_epochs: published.n_epochs,
            latency: published.latency,
            views: plan.emitted_views().zip(shown).map(view).collect(),
            sinks: published.sinks,
            n_spilled: spill.map(Spill::n_written),
            elapsed: watch.elapsed(),
            peak_memory: env::peak_memory(),
        }
    }
}
