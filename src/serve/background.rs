//! The server on threads of its own: started before the first row, stopped after the last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dataflows::Plan;
use dataflows::operators::mark_to_market::live::{Live, live};
use dataflows::plan::View;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use types::sabotage::{Safeguard, is_out};
use types::{Epoch, Names};

use super::ServeOptions;
use crate::config::plan::ServerPlan;
use crate::env::Env;
use crate::error::Error;
use crate::publish::live::LiveSpec;
use crate::publish::{Hub, Readers, ViewSpec};

/// What a server must know of the run.
pub(crate) struct About {
    /// Where rows are that couldn't be used.
    pub(crate) quarantine: PathBuf,
    /// Whether it goes on with one that was interrupted: readers are told nothing before it has caught up.
    pub(crate) is_resumed: bool,
}

/// A server at work.
pub(crate) struct Server {
    address: SocketAddr,
    hub: Arc<Hub>,
    views: Vec<usize>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    runtime: Runtime,
}

impl Server {
    /// Binds the port and starts to answer.
    ///
    /// # Errors
    /// If the port is taken or may not be bound.
    pub(crate) fn start(
        server: ServerPlan,
        plan: &Plan,
        names: &Arc<Names>,
        env: &Arc<dyn Env>,
        About { quarantine, is_resumed }: About,
    ) -> Result<Self, Error> {
        let env = Arc::clone(env);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(|source| Error::io("starting the server's threads", source))?;
        let doing = || format!("listening on {}", server.listen);
        let listener = runtime
            .block_on(TcpListener::bind(server.listen))
            .map_err(|source| Error::io(doing(), source))?;
        let address = listener.local_addr().map_err(|source| Error::io(doing(), source))?;
        let emitted: Vec<_> = plan.emitted_views().collect();
        let served: Vec<&View> =
            server.views.iter().filter_map(|view| emitted.get(*view).copied()).collect();
        let live = |view: &View| {
            let Live { positions, marks, rows } = live(plan, view)?;
            let place = |view: usize| {
                let name = &plan.views.get(view)?.name;
                served.iter().position(|served| served.name == *name)
            };
            Some(LiveSpec { positions: place(positions)?, marks: place(marks)?, rows })
        };
        let spec = |view: &&View| ViewSpec {
            name: view.name.clone(),
            kind: view.kind,
            schema: Arc::clone(&view.schema),
            operator: view.operator.unwrap_or("input"),
            live: live(view),
        };
        let specs = served.iter().map(spec).collect();
        let hub = Arc::new(Hub::new(specs, names, server.retain_nanos));
        if is_resumed && !is_out(Safeguard::CaughtUpFirst) {
            // With which epoch is known later.
            hub.catch_up_to(Epoch(u64::MAX));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions {
            origins: server.origins,
            // Two processes never start in the same nanosecond on the same port.
            run_id: env.now().0.unsigned_abs(),
            now: Some(Arc::new(move || env.now())),
            quarantine: Some(quarantine),
            ..ServeOptions::default()
        };
        let shutdown = async move { drop(stopped.await) };
        let task = runtime.spawn(super::serve(listener, Arc::clone(&hub), options, shutdown));
        Ok(Self { address, hub, views: server.views, stop, task, runtime })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the publisher needs of it.
    pub(crate) fn readers(&self) -> Readers {
        Readers { hub: Arc::clone(&self.hub), views: self.views.clone() }
    }

    /// Says that sources are open and workers run, and with which epoch a run that goes on has caught up.
    pub(crate) fn set_ready(&self, caught_up: Epoch) {
        if self.hub.is_catching_up() {
            self.hub.catch_up_to(caught_up);
        }
        self.hub.set_ready();
    }

    /// Says that all sources have ended.
    pub(crate) fn end(&self) {
        self.hub.end();
    }

    /// Runs until `until` is done, then closes all connections.
    ///
    /// # Errors
    /// If the server failed.
    pub(crate) fn stop(self) -> Result<(), Error> {
        // A server that has ended already needn't be told.
        self.stop.send(()).unwrap_or_default();
        let joined = self.runtime.block_on(self.task);
        let served =
            joined.map_err(|error| Error::Worker(format!("the server failed: {error}")))?;
        served.map_err(|source| Error::io("serving", source))
    }
}
