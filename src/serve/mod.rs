//! Readers from outside: `GET /v1/ws` (the protocol `tapeline.v1.json`), `GET /v1/views` and
//! `/v1/views/{view}`, `/health/live` and `/health/ready`. Formats and limits only; what is read
//! is the [`Hub`]'s.
//!
//! Close codes of the WebSocket: 1001 the server goes away, or the client left pings unanswered;
//! 1009 a frame above 1 MiB; 4400 a frame that isn't a text with one JSON object that has an `op`;
//! 4401 a first message other than hello; 4408 no hello in time; 4413 a client that takes nothing
//! for too long; 4429 too many connections. All else is an `error` that closes nothing.
//!
//! Reading order: [`websocket`] (the upgrade, and how a connection ends), `connection` (one
//! client's loop), `feed` (which frame comes next), `request` (what clients may say), `frames` (what
//! they are told), `http`.

pub(crate) mod background;
mod connection;
mod feed;
mod frames;
mod http;
mod quarantine;
mod request;
mod websocket;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use types::VenueTime;
use types::time::ReceiveTime;

use crate::publish::{Frontier, Hub};

/// The name of the protocol, which a client must ask for.
pub const PROTOCOL: &str = "tapeline.v1.json";

/// The largest frame, in or out, in bytes.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// How many subscriptions a connection may have.
pub const MAX_SUBS: usize = 64;

/// How long a connection may take to end once it was told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the wall clock says; an argument, so that nothing here reads it.
pub type Now = Arc<dyn Fn() -> ReceiveTime + Send + Sync>;

/// What can be set about the server.
#[derive(Clone)]
pub struct ServeOptions {
    /// Origins (`https://desk.example`) of pages that may connect besides the server's own.
    pub origins: Vec<String>,
    /// How long a subscription is silent before it gets a `progress`.
    pub heartbeat: Duration,
    /// How long a client may take to say hello.
    pub hello_timeout: Duration,
    /// How long a write may wait for a client that doesn't read.
    pub write_timeout: Duration,
    /// How long a client may be silent before it gets a ping; it is dropped at three times that.
    pub ping_after: Duration,
    /// How many WebSocket connections there may be.
    pub max_connections: usize,
    /// From how many bytes on a frame isn't added to: well below [`MAX_FRAME_BYTES`], so that a
    /// slow line still ends a frame within the time for a write.
    pub frame_bytes: usize,
    /// Tells this start of the process from others: cursors of another one are refused.
    pub run_id: u64,
    /// The wall clock, for `lag_ms`, which is null without.
    pub now: Option<Now>,
    /// Where rows that couldn't be used are.
    pub quarantine: Option<PathBuf>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            heartbeat: Duration::from_secs(1),
            hello_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            ping_after: Duration::from_secs(20),
            max_connections: 256,
            frame_bytes: 128 << 10,
            run_id: 0,
            now: None,
            quarantine: None,
        }
    }
}

/// What all connections share.
struct Server {
    hub: Arc<Hub>,
    options: ServeOptions,
    /// One for each connection that may still come.
    seats: Arc<Semaphore>,
    /// Becomes true when the server goes away.
    goes_away: watch::Receiver<bool>,
    n_sessions: AtomicU64,
}

impl Server {
    /// A name for one more connection.
    fn session(&self) -> String {
        let n = self.n_sessions.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{n}", self.options.run_id)
    }

    /// How far the watermark is behind the wall clock, in milliseconds; `None` before any
    /// watermark, after the end and without a clock.
    fn lag_ms(&self, frontier: Frontier) -> Option<i64> {
        let (now, Frontier::At(watermark)) = (self.options.now.as_ref()?(), frontier) else {
            return None;
        };
        Some(now.0.saturating_sub(watermark.nanos()).max(0) / 1_000_000)
    }
}

/// What readers see of the frontier: a time, `"end"`, or null before any.
fn frontier_text(frontier: Frontier) -> Option<String> {
    match frontier {
        Frontier::Unknown => None,
        Frontier::At(time) => Some(VenueTime::to_string(&time)),
        Frontier::End => Some("end".to_owned()),
    }
}

/// Serves readers until `shutdown` is there, then tells the connections and waits some seconds
/// for them.
///
/// # Errors
/// If the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (tell, goes_away) = watch::channel(false);
    let n_seats = options.max_connections;
    let seats = Arc::new(Semaphore::new(n_seats));
    let n_sessions = AtomicU64::new(0);
    let mut told = goes_away.clone();
    let server = Server { hub, options, seats: Arc::clone(&seats), goes_away, n_sessions };
    let stop = async move {
        shutdown.await;
        tell.send_replace(true);
    };
    let serving =
        async { axum::serve(listener, http::router(server)).with_graceful_shutdown(stop).await };
    // A client that never ends its request must not keep the process.
    let overdue = async {
        if told.wait_for(|goes_away| *goes_away).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(CLOSE_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => served?,
        () = overdue => {}
    }
    // Connections were upgraded away from the HTTP server, which doesn't wait for them.
    let all = seats.acquire_many(u32::try_from(n_seats).unwrap_or(u32::MAX));
    if tokio::time::timeout(CLOSE_TIMEOUT, all).await.is_err() {
        tracing::info!("connections that didn't close in time are cut");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
