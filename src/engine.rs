//! READ FIRST. The way of a fill, as the table in the README tells it: sources are received, decoded
//! and normalised (1-3, `connectors`), sequenced (4), logged (5), fed, computed and drained (6-8,
//! `runtime`), published (9) and delivered (10). Pressure travels upstream through bounded queues.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connectors::quarantine::Quarantine;
use connectors::sink::{SinkContext, SinkReport, SinkView};
use dataflows::Plan;
use dataflows::plan::View;
use types::{Names, Value, VenueTime};

use crate::cold::Spill;
use crate::config::plan::{EnginePlan, SinkPlan, SourcePlan};
use crate::deliver::{self, Delivery};
use crate::env::{self, Stopwatch};
use crate::error::Error;
use crate::ingest::{Counts, Ingest, Merge, MergedStream, Sequencer, SequencerOptions};
use crate::log::MemoryLog;
use crate::publish::Publisher;
use crate::publish::newest::Newest;
use crate::runtime::{self, Quantiles};
use crate::serve::background::Server;

/// How a run is watched and held.
pub struct RunOptions<'a> {
    /// How many of each view's newest rows the summary shows.
    pub n_newest: usize,
    /// Told of the progress after each epoch.
    pub progress: &'a mut dyn FnMut(&Progress),
    /// Told once the server listens, with its address.
    pub listening: &'a mut dyn FnMut(SocketAddr),
    /// Called when all is delivered, before the server stops: returns when it may.
    pub hold: &'a mut dyn FnMut(&Summary),
}

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
    /// Rows by outcome.
    pub counts: Counts,
    /// Removals that wait for what they remove.
    pub n_pending: u64,
    /// Rows in quarantine by reason.
    pub reasons: BTreeMap<&'static str, u64>,
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
    /// Its newest rows, at most [`RunOptions::n_newest`].
    pub newest: Vec<Vec<Value>>,
}

/// Runs a plan until its sources end.
///
/// # Errors
/// Whatever stage fails first, said once.
pub fn run(plan: EnginePlan, mut options: RunOptions<'_>) -> Result<Summary, Error> {
    let watch = Stopwatch::start();
    let EnginePlan { pipeline, sources, plan, sinks, server, keeps_id_texts, base, .. } = plan;
    let plan = Arc::new(plan);

    // 10, 9: who reads comes first, so that what is wrong there is told before a row enters.
    let lateness_nanos = sources.iter().map(|s| s.lateness_nanos).max().unwrap_or(0);
    let sequencing =
        SequencerOptions { max_events: pipeline.max_events, lateness_nanos, keeps_id_texts };
    let spill = pipeline.history_memory.map(|memory| {
        // Old history and identities go where the pipeline keeps its state.
        Spill::new(&pipeline.data_dir.join("cold"), memory)
    });
    let spill = spill.transpose()?;
    let mut sequencer = Sequencer::new(&plan.relations, sequencing).spilling(spill.as_ref());
    let names = Arc::clone(sequencer.names());
    // 1 to 3: receive, decode, normalise.
    let merge = open_sources(&sources)?;
    let opening = Opening {
        pipeline: &pipeline.name,
        base: &base,
        data_dir: &pipeline.data_dir,
        names: &names,
        plan: &plan,
    };
    let deliveries = sinks.into_iter().map(|sink| opening.sink(sink)).collect::<Result<_, _>>()?;
    let server = server.map(|server| Server::start(server, &plan, &names)).transpose()?;
    if let Some(server) = &server {
        (options.listening)(server.address());
    }
    // 6 to 8: feed, compute, drain.
    let (runtime, output) = runtime::start(&plan, &names, pipeline.workers, spill.as_ref())?;
    let readers = server.as_ref().map(Server::readers);
    let keep = |view: &View| Newest::new(&view.schema, options.n_newest);
    let newest = plan.emitted_views().map(keep).collect();
    let publisher = Publisher::start(output, deliveries, readers, newest, &names)?;
    if let Some(server) = &server {
        server.set_ready();
    }
    // 4 and 5: sequence, log.
    let quarantine = Quarantine::create(&pipeline.data_dir.join("quarantine.jsonl"))?;
    let mut ingest = Ingest::new(&sources, MemoryLog::default(), quarantine, runtime);
    let read = ingest.read(merge, &mut sequencer, &mut options);
    let (set_aside, computed) = ingest.finish();
    let is_whole = read.is_ok() && computed.is_ok() && set_aside.is_ok();
    let published = publisher.finish(is_whole);
    let published = first_cause(read, computed, published)?;
    let set_aside = set_aside?;

    let shown = published.n_rows.into_iter().zip(published.newest);
    let view = |(view, (n_rows, newest)): (&View, (u64, Newest))| {
        let (columns, newest) = newest.into_table();
        ViewSummary { name: view.name.clone(), n_rows, columns, newest }
    };
    let summary = Summary {
        name: pipeline.name,
        counts: sequencer.counts(),
        n_pending: sequencer.n_pending(),
        reasons: set_aside.reasons,
        quarantine: set_aside.path,
        n_epochs: published.n_epochs,
        latency: published.latency,
        views: plan.emitted_views().zip(shown).map(view).collect(),
        sinks: published.sinks,
        n_spilled: spill.as_ref().map(Spill::n_written),
        elapsed: watch.elapsed(),
        peak_memory: env::peak_memory(),
    };
    if let Some(server) = &server {
        server.end();
    }
    (options.hold)(&summary);
    server.map_or(Ok(()), Server::stop)?;
    Ok(summary)
}

/// Of several stages that failed, the one that is the cause: a stage that only found another gone
/// isn't.
fn first_cause<T>(
    read: Result<(), Error>,
    computed: Result<(), Error>,
    published: Result<T, Error>,
) -> Result<T, Error> {
    let is_stopped = |result: &Result<(), Error>| matches!(result, Err(Error::Stopped(_)));
    match (read, computed) {
        (Ok(()), Ok(())) => published,
        (read, computed) if is_stopped(&read) && !is_stopped(&computed) && computed.is_err() => {
            computed.and(published)
        }
        (read, computed) if is_stopped(&read) || is_stopped(&computed) => {
            published.and_then(|published| read.and(computed).map(|()| published))
        }
        (read, computed) => read.and(computed).and(published),
    }
}

/// Opens all streams of all sources.
fn open_sources(sources: &[SourcePlan]) -> Result<Merge, Error> {
    let mut streams = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for rows in connectors::source::open(&source.file)? {
            let name = source.file.name.clone();
            streams.push(MergedStream { rows, source: index, name });
        }
    }
    Ok(Merge::new(streams)?)
}

/// What sinks are opened with.
struct Opening<'a> {
    pipeline: &'a str,
    base: &'a Path,
    data_dir: &'a Path,
    names: &'a Arc<Names>,
    plan: &'a Plan,
}

impl Opening<'_> {
    /// Opens a sink and starts its thread.
    fn sink(&self, sink: SinkPlan) -> Result<Delivery, Error> {
        let emitted: Vec<_> = self.plan.emitted_views().collect();
        let view = |index: &usize| {
            let view = emitted.get(*index)?;
            let (name, schema) = (view.name.clone(), Arc::clone(&view.schema));
            Some(SinkView { name, kind: view.kind, schema })
        };
        let context = SinkContext {
            name: sink.name.clone(),
            pipeline: self.pipeline.to_owned(),
            settings: sink.settings,
            base: self.base.to_path_buf(),
            views: sink.views.iter().filter_map(view).collect(),
            names: Arc::clone(self.names),
            is_finite: true,
            state_dir: self.data_dir.join("sinks").join(&sink.name),
            is_resumed: false,
        };
        let opened = (sink.kind.open)(context).map_err(|error| Error::sink(&sink.name, error))?;
        deliver::start(&sink.name, opened, sink.views)
    }
}
