//! What a run is made of, opened from its plan.

use std::path::Path;
use std::sync::Arc;

use connectors::sink::{SinkContext, SinkView};
use dataflows::Plan;
use dataflows::plan::View;
use types::Names;

use crate::cold::Spill;
use crate::config::plan::{Pipeline, ServerPlan, SinkPlan, SourcePlan};
use crate::data_dir::DataDir;
use crate::deliver::{self, Delivery, End};
use crate::env::Env;
use crate::error::Error;
use crate::ingest::{Merge, MergedStream, Sequencer, SequencerOptions};
use crate::replayed;
use crate::serve::background::{About, Server};

/// Where history and identities go that don't fit into memory: where the pipeline keeps its state.
pub(super) fn spill(dir: &DataDir, memory: Option<u64>) -> Result<Option<Spill>, Error> {
    memory.map(|memory| Spill::new(&dir.path().join("cold"), memory)).transpose()
}

/// The sequencer before its first row.
pub(super) fn sequencer(
    pipeline: &Pipeline,
    sources: &[SourcePlan],
    plan: &Plan,
    keeps_id_texts: bool,
) -> Sequencer {
    let lateness_nanos = sources.iter().map(|s| s.lateness_nanos).max().unwrap_or(0);
    let max_events = pipeline.max_events;
    let keeps_events = pipeline.keeps_events;
    let options = SequencerOptions { max_events, lateness_nanos, keeps_id_texts, keeps_events };
    Sequencer::new(&plan.relations, options)
}

/// Opens all streams of all sources, and behind them what is replayed.
pub(super) fn open_sources(dir: &DataDir, sources: &[SourcePlan]) -> Result<Merge, Error> {
    let mut streams = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for rows in connectors::source::open(&source.file)? {
            let name = source.file.name.clone();
            streams.push(MergedStream { rows, source: index, name, rank: 0 });
        }
    }
    streams.append(&mut replayed::streams(dir.path(), sources)?);
    Ok(Merge::new(streams)?)
}

/// What sinks and the server are opened with.
pub(super) struct Opening<'a> {
    pub(super) pipeline: &'a Pipeline,
    /// The folder of the config.
    pub(super) base: &'a Path,
    pub(super) dir: &'a DataDir,
    pub(super) names: &'a Arc<Names>,
    /// Whether the run goes on with an interrupted one.
    pub(super) is_resumed: bool,
}

impl Opening<'_> {
    /// Opens sinks and starts their threads.
    pub(super) fn sinks(&self, sinks: Vec<SinkPlan>, plan: &Plan) -> Result<Vec<Delivery>, Error> {
        let emitted: Vec<&View> = plan.emitted_views().collect();
        let mut deliveries = Vec::new();
        for sink in sinks {
            match self.sink(sink, &emitted) {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => {
                    // Those that were opened clean up before the process ends.
                    let opened = deliveries.into_iter().map(|delivery| delivery.end(End::Failed));
                    opened.for_each(|ending| drop(ending.join()));
                    return Err(error);
                }
            }
        }
        Ok(deliveries)
    }

    /// Binds the server's port and starts to answer.
    pub(super) fn server(
        &self,
        server: ServerPlan,
        plan: &Plan,
        env: &Arc<dyn Env>,
    ) -> Result<Server, Error> {
        let about = About { quarantine: self.dir.quarantine(), is_resumed: self.is_resumed };
        Server::start(server, plan, self.names, env, about)
    }

    fn sink(&self, sink: SinkPlan, emitted: &[&View]) -> Result<Delivery, Error> {
        let view = |index: &usize| {
            let view = emitted.get(*index)?;
            let (name, schema) = (view.name.clone(), Arc::clone(&view.schema));
            Some(SinkView { name, kind: view.kind, schema })
        };
        let context = SinkContext {
            name: sink.name.clone(),
            pipeline: self.pipeline.name.clone(),
            settings: sink.settings,
            base: self.base.to_path_buf(),
            views: sink.views.iter().filter_map(view).collect(),
            rates: sink.rates,
            names: Arc::clone(self.names),
            is_finite: true,
            state_dir: self.dir.sink(&sink.name),
            is_resumed: self.is_resumed,
            chance: self.dir.chance(),
            env: self.dir.env(),
        };
        let opened = (sink.kind.open)(context).map_err(|error| Error::sink(&sink.name, error))?;
        deliver::start(&sink.name, opened, sink.views)
    }
}
