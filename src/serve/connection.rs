//! One client's connection: its requests, and the frames of its subscriptions.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::feed::{Feed, Wanted};
use super::frames::{self, Object, Refusal};
use super::request::{self, Asked, Malformed, Request, What};
use super::websocket::End;
use super::{MAX_FRAME_BYTES, MAX_SUBS, Server, frontier_text, http};

/// What a connection waits for.
enum Event {
    GoesAway,
    Message(Option<Result<Message, axum::Error>>),
    CanWrite,
    HubChanged,
    Woken,
}

/// Waits for the word that the server goes away; the end of who would say it is the word, too.
async fn is_told(goes_away: &mut watch::Receiver<bool>) {
    drop(goes_away.wait_for(|goes_away| *goes_away).await);
}

/// One client's connection. One task; it makes a frame only when the one before has left, so that
/// a client that doesn't read costs one frame, one cut and its places in the hub.
pub(super) struct Connection {
    server: Arc<Server>,
    socket: WebSocket,
    feed: Feed,
    /// Tells of each change of the hub.
    changes: watch::Receiver<u64>,
    goes_away: watch::Receiver<bool>,
    /// When the client last sent anything.
    heard_at: Instant,
    /// Whether it was asked since then whether it is still there.
    is_pinged: bool,
}

impl Connection {
    /// Starts with an open socket.
    pub(super) fn new(server: Arc<Server>, socket: WebSocket) -> Self {
        Self {
            feed: Feed::new(Arc::clone(&server)),
            changes: server.hub.watch(),
            goes_away: server.goes_away.clone(),
            heard_at: Instant::now(),
            is_pinged: false,
            server,
            socket,
        }
    }

    /// Leaves the hub; gives the socket back so that it can be closed.
    pub(super) fn into_socket(self) -> WebSocket {
        self.socket
    }

    /// Serves the client until one side ends it.
    pub(super) async fn run(&mut self) -> End {
        let Err(end) = self.serve().await;
        end
    }

    async fn serve(&mut self) -> Result<Infallible, End> {
        self.greet().await?;
        loop {
            let now = Instant::now();
            // Left unseen until what was taken before is sent.
            if self.feed.is_idle() {
                let has_changed = self.changes.borrow_and_update().has_changed();
                self.feed.plan(has_changed, now);
            }
            match self.next_event().await {
                Event::GoesAway => return self.leave().await,
                Event::Message(message) => {
                    if let Some(text) = self.hear(message)? {
                        self.answer(&text).await?;
                    }
                }
                Event::CanWrite => {
                    if let Some(frame) = self.feed.next_frame(Instant::now()) {
                        self.write(frame).await?;
                    }
                }
                Event::HubChanged => self.changes.mark_changed(),
                Event::Woken => self.ping().await?,
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let is_idle = self.feed.is_idle();
        let wake_at = self.wake_at();
        tokio::select! {
            // Requests before frames, so that a client can end what floods it.
            biased;
            () = is_told(&mut self.goes_away) => Event::GoesAway,
            message = self.socket.recv() => Event::Message(message),
            () = std::future::ready(()), if !is_idle => Event::CanWrite,
            Ok(()) = self.changes.changed(), if !self.feed.is_empty() => Event::HubChanged,
            () = sleep_until(wake_at) => Event::Woken,
        }
    }

    /// Waits for hello and answers it.
    async fn greet(&mut self) -> Result<(), End> {
        let too_late_at = Instant::now() + self.server.options.hello_timeout;
        let text = loop {
            let message = tokio::select! {
                message = self.socket.recv() => message,
                () = sleep_until(too_late_at) => return Err(End::NoHello),
                () = is_told(&mut self.goes_away) => return Err(End::GoingAway),
            };
            if let Some(text) = self.hear(message)? {
                break text;
            }
        };
        let asked = request::read(&text).map_err(|Malformed| End::Malformed)?;
        let Asked { id, request: Ok(Request::Hello) } = asked else {
            return Err(End::Unauthorised);
        };
        let standing = self.server.hub.standing();
        let heartbeat_ms = self.server.options.heartbeat.as_millis();
        let welcome = Object::op("welcome")
            .maybe("id", id)
            .with("session", self.server.session())
            .with("server", concat!("tapeline/", env!("CARGO_PKG_VERSION")))
            .with("heartbeat_ms", u64::try_from(heartbeat_ms).unwrap_or(u64::MAX))
            .with("max_subs", MAX_SUBS)
            .with("max_inflight_bytes", MAX_FRAME_BYTES)
            .with("epoch", standing.epoch.to_string())
            .with("frontier", frontier_text(standing.frontier));
        self.write(welcome).await
    }

    /// Takes a frame in; gives its text where it has one.
    fn hear(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<Option<Utf8Bytes>, End> {
        self.heard_at = Instant::now();
        self.is_pinged = false;
        match message {
            Some(Ok(Message::Text(text))) if text.len() > MAX_FRAME_BYTES => Err(End::TooLarge),
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Binary(_))) => Err(End::Malformed),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Close(_))) | None => Err(End::Gone),
            Some(Err(error)) => Err(End::of(error)),
        }
    }

    /// Answers a request.
    async fn answer(&mut self, text: &str) -> Result<(), End> {
        let Asked { id, request } = request::read(text).map_err(|Malformed| End::Malformed)?;
        let answers = request.and_then(|request| self.respond(id.as_ref(), request));
        let refused = |refusal| vec![frames::error(id.as_ref(), None, refusal)];
        for answer in answers.unwrap_or_else(refused) {
            self.write(answer).await?;
        }
        Ok(())
    }

    fn respond(&mut self, id: Option<&Value>, request: Request) -> Result<Vec<Object>, Refusal> {
        let answer = |op: &str| Object::op(op).maybe("id", id.cloned());
        Ok(match request {
            Request::Hello => {
                return Err(Refusal::of("bad_request", "op", "hello was said before"));
            }
            Request::Subscribe { sub, view, snapshot, live } => {
                let wanted = Wanted { name: sub, view: &view, snapshot, live };
                vec![self.feed.subscribe(answer("ok"), wanted, Instant::now())?]
            }
            Request::Unsubscribe { sub } => {
                self.feed.unsubscribe(&sub)?;
                let closed = Object::op("closed").with("sub", sub.as_str());
                vec![answer("ok").with("sub", sub), closed.with("reason", "unsubscribed")]
            }
            Request::List(What::Views) => {
                if self.server.hub.is_catching_up() {
                    return Err(Refusal::new("catching_up", http::CATCHING_UP));
                }
                let (_, views) = http::describe_all(&self.server.hub);
                vec![answer("result").list("views", &views)]
            }
            Request::List(What::Subs) => vec![answer("result").with("subs", self.feed.describe())],
            Request::Ping { t } => vec![answer("pong").maybe("t", t)],
        })
    }

    /// Tells the client that the server goes away.
    async fn leave(&mut self) -> Result<Infallible, End> {
        let notice = Object::op("notice")
            .with("level", "info")
            .with("code", "shutting_down")
            .with("message", "the server goes away; connect again later")
            .with("reconnect_after_ms", 1_000);
        self.write(notice).await?;
        Err(End::GoingAway)
    }

    /// When something is to be done though nothing happens.
    fn wake_at(&self) -> Instant {
        let ping_after = self.server.options.ping_after;
        let ping_at = self.heard_at + if self.is_pinged { 3 * ping_after } else { ping_after };
        self.feed.due_at().map_or(ping_at, |due_at| due_at.min(ping_at))
    }

    /// Asks a silent client whether it is still there, and ends with one that doesn't answer.
    async fn ping(&mut self) -> Result<(), End> {
        let silent_for = Instant::now() - self.heard_at;
        let ping_after = self.server.options.ping_after;
        if silent_for >= 3 * ping_after {
            return Err(End::Silent);
        }
        if silent_for >= ping_after && !self.is_pinged {
            self.is_pinged = true;
            return self.send(Message::Ping(Vec::new().into())).await;
        }
        Ok(())
    }

    async fn write(&mut self, frame: Object) -> Result<(), End> {
        self.send(Message::Text(frame.into_text())).await
    }

    /// Sends a frame; a client that takes nothing for too long is too slow.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.server.options.write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::SlowConsumer),
        }
    }
}
