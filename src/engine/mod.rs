//! READ FIRST. The way of a fill, as the table in the README tells it: sources are received, decoded
//! and normalised (1-3, `connectors`), sequenced (4), logged (5), fed, computed and drained (6-8,
//! `runtime`), published (9) and delivered (10). Pressure travels upstream through bounded queues.

mod begin;
mod open;
mod outcome;
mod rehearsal;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use connectors::quarantine::Quarantine;
use dataflows::plan::View;
use types::Epoch;

pub use self::begin::Begin;
use self::begin::{Begun, begin, interrupted};
use self::open::{Opening, open_sources, sequencer, spill};
use self::outcome::Done;
pub use self::outcome::{Progress, Summary, ViewSummary};
use self::rehearsal::Rehearsal;
use crate::checkpoint;
use crate::config::plan::EnginePlan;
use crate::data_dir::DataDir;
use crate::deliver::End;
use crate::env::{Env, Stopwatch};
use crate::error::Error;
use crate::ingest::{Bulk, Ingest, ReadTo};
use crate::journal::{Confirmer, Interrupted, Recorder};
use crate::poison::{Poison, Poisons};
use crate::publish::Publisher;
use crate::publish::newest::Newest;
use crate::runtime;
use crate::serve::background::Server;
use crate::stop::Stop;

/// How a run is watched and held.
pub struct RunOptions<'a> {
    /// The clock, chance and files.
    pub env: Arc<dyn Env>,
    /// Asks the run to stop: it reads no more, delivers what it has read, and ends well.
    pub stop: Stop,
    /// What becomes of a run that was interrupted.
    pub begin: Begin,
    /// How many of each view's newest rows the summary shows.
    pub n_newest: usize,
    /// Told of the progress after each epoch.
    pub progress: &'a mut dyn FnMut(&Progress),
    /// Told once the server listens, with its address.
    pub listening: &'a mut dyn FnMut(SocketAddr),
    /// Called when all is delivered, before the server stops: returns when it may.
    pub hold: &'a mut dyn FnMut(&Summary),
}

/// Runs a plan until its sources end.
///
/// # Errors
/// Whatever stage fails first, said once.
pub fn run(plan: EnginePlan, options: RunOptions<'_>) -> Result<Summary, Error> {
    let watch = Stopwatch::start();
    let dir = DataDir::take(&plan.pipeline.data_dir, Arc::clone(&options.env))?;
    let mut poisons =
        Poisons::open(dir.files(dir.path())?, plan.digest, options.begin == Begin::Fresh)?;
    let interrupted = interrupted(&dir, plan.digest, options.begin, &mut poisons)?;
    let stop = &options.stop;
    Rehearsal { plan: &plan, dir: &dir, interrupted: interrupted.as_ref(), stop }
        .run(&mut poisons)?;
    let from = From { dir: &dir, interrupted, poisons: poisons.all() };
    let outcome = run_from(from, plan, options, watch);
    if let Err(Error::Crashed { first, last, what }) = &outcome {
        note(&mut poisons, (*first, *last), what);
    }
    outcome
}

/// What a run begins with.
struct From<'a> {
    dir: &'a DataDir,
    /// The run that it goes on with.
    interrupted: Option<Interrupted>,
    /// Events that crash it.
    poisons: &'a [Poison],
}

fn run_from(
    from: From<'_>,
    plan: EnginePlan,
    mut options: RunOptions<'_>,
    watch: Stopwatch,
) -> Result<Summary, Error> {
    let From { dir, interrupted, poisons } = from;
    let EnginePlan { pipeline, sources, plan, sinks, server, keeps_id_texts, base, digest, .. } =
        plan;
    // 10, 9: who reads comes first, so that what is wrong there is told before a row enters.
    let spill = spill(dir, pipeline.history_memory)?;
    let mut sequencer =
        sequencer(&pipeline, &sources, &plan, keeps_id_texts).spilling(spill.as_ref());
    let names = Arc::clone(sequencer.names());
    // 1 to 3: receive, decode, normalise.
    let merge = open_sources(dir, &sources)?;
    let is_resumed = interrupted.is_some();
    let opening = Opening { pipeline: &pipeline, base: &base, dir, names: &names, is_resumed };
    let delivered: BTreeSet<usize> =
        sinks.iter().flat_map(|sink| sink.views.iter().copied()).collect();
    let deliveries = opening.sinks(sinks, &plan)?;
    let server = server.map(|server| opening.server(server, &plan, &options.env)).transpose()?;
    if let Some(server) = &server {
        (options.listening)(server.address());
    }
    // 6 to 8: feed, compute, drain.
    let (runtime, output) = runtime::start(&plan, &names, pipeline.workers, spill.as_ref())?;
    let readers = server.as_ref().map(Server::readers);
    let keep = |view: &View| Newest::new(&view.schema, options.n_newest);
    let newest = plan.emitted_views().map(keep).collect();
    let what = (plan.relations.as_slice(), digest);
    let begun = begin(dir, interrupted, &pipeline, what, &deliveries)?;
    let confirmed = Arc::default();
    let keeps_epochs = plan.depends_on_arrival();
    let checkpoints = checkpoint::Settings { keeps_epochs, ..pipeline.checkpoints };
    let checkpoints = begun.checkpointer(what, checkpoints, &deliveries, Arc::clone(&confirmed))?;
    let Begun { journal, read, given, restored, bulk_until, shown_until, .. } = begun;
    let delivered = delivered.into_iter().collect();
    let confirmer =
        Confirmer::new(Arc::clone(&journal), given, delivered, confirmed).from(bulk_until);
    let publisher = Publisher::start((output, confirmer), deliveries, readers, newest, &names)?;
    if let Some(server) = &server {
        server.set_ready(Epoch(shown_until));
    }
    // 4 and 5: sequence, log.
    let quarantine = Quarantine::create(dir.files(dir.path())?, pipeline.quarantine)?;
    let mut recorder = Recorder::new(Arc::clone(&journal), read, &sources);
    if pipeline.keeps_events {
        recorder = recorder.keeping_events(&plan.relations);
    }
    let bulk = Bulk::until(bulk_until, &plan);
    let mut ingest = Ingest::new(&sources, recorder, quarantine, runtime, bulk).without(poisons);
    let restored = restored.map_or(Ok(()), |from| ingest.restore(from, &mut sequencer));
    let read = restored.and_then(|()| ingest.read(merge, &mut sequencer, &mut options));
    let (set_aside, computed) = ingest.finish();
    let is_well = read.is_ok() && computed.is_ok() && set_aside.is_ok();
    let is_stopped = matches!(read, Ok(ReadTo::Stop));
    let published = publisher.finish(End::of(is_well, is_stopped));
    let read = read.map(drop);
    let published = first_cause(read, computed, published);
    if let Some(checkpoints) = checkpoints {
        // What has ended needs none.
        checkpoints.finish(is_stopped && published.is_ok());
    }
    let (published, set_aside) = (published?, set_aside?);
    if is_stopped { journal.close() } else { journal.end() }?;
    let done = Done { name: pipeline.name, is_stopped, published, set_aside };
    let summary = done.summary(&plan, &sequencer, spill.as_ref(), watch);
    if let Some(server) = &server
        && !is_stopped
    {
        server.end();
    }
    (options.hold)(&summary);
    server.map_or(Ok(()), Server::stop)?;
    Ok(summary)
}

/// Keeps where a worker has crashed. That it can't be kept mustn't hide the crash.
fn note(poisons: &mut Poisons, epochs: (u64, u64), what: &str) {
    if let Err(error) = poisons.crashed(epochs, what) {
        let error = error.in_full();
        tracing::error!(error, "the crash can't be kept: it doesn't count as one");
    }
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
