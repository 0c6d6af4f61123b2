//! The upgrade to a WebSocket: who may connect, and how a connection ends.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;

use super::connection::Connection;
use super::http::Problem;
use super::{CLOSE_TIMEOUT, MAX_FRAME_BYTES, PROTOCOL, Server};

/// Frames of up to twice the limit are read to their end, so that the client gets to see why it
/// was closed; larger ones are cut off.
const MAX_READ_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// How long a client may take to answer a close.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it or is gone.
    Gone,
    /// The server goes away.
    GoingAway,
    /// The client didn't answer pings.
    Silent,
    /// A frame was larger than allowed.
    TooLarge,
    /// A frame wasn't one JSON object with an `op`.
    Malformed,
    /// The first word wasn't hello.
    Unauthorised,
    /// No hello in time.
    NoHello,
    /// The client doesn't read.
    SlowConsumer,
    /// There are too many connections.
    TooMany,
}

impl End {
    /// What an error of the socket means.
    pub(super) fn of(error: axum::Error) -> Self {
        match error.into_inner().downcast_ref() {
            Some(Error::Capacity(_)) => Self::TooLarge,
            // No UTF-8.
            Some(Error::Utf8(_)) => Self::Malformed,
            _ => Self::Gone,
        }
    }

    /// The close frame; `None` where nobody is there to read it.
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Gone => return None,
            Self::GoingAway => (close_code::AWAY, "the server goes away"),
            Self::Silent => (close_code::AWAY, "no answer to pings"),
            Self::TooLarge => (close_code::SIZE, "a frame may have 1 MiB"),
            Self::Malformed => {
                (4400, "a frame must be a text with one JSON object that has an `op`")
            }
            Self::Unauthorised => (4401, "the first message must be hello"),
            Self::NoHello => (4408, "no hello in time"),
            Self::SlowConsumer => (4413, "nothing could be written for too long"),
            Self::TooMany => (4429, "too many connections"),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}

/// Answers `GET /v1/ws`.
pub(super) async fn upgrade(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match check(&server, &headers, upgrade) {
        Ok(upgrade) => upgrade.on_upgrade(|socket| hold(server, socket)),
        Err(problem) => problem.into_response(),
    }
}

fn check(
    server: &Server,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<WebSocketUpgrade, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(rejection.status(), "no_websocket", rejection.body_text())
    })?;
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(origin) = header(header::ORIGIN)
        && !is_allowed(origin, header(header::HOST), &server.options.origins)
    {
        let detail = format!("pages of `{origin}` may not connect; see the server's origins");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_origin", detail));
    }
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_READ_BYTES)
        .max_frame_size(MAX_READ_BYTES)
        .read_buffer_size(4 << 10)
        .write_buffer_size(0);
    if upgrade.selected_protocol().is_none() {
        let detail = format!("the subprotocol must be `{PROTOCOL}`");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "missing_subprotocol", detail));
    }
    Ok(upgrade)
}

/// Whether a browser's page may connect: one from this server, or from an origin of the config.
fn is_allowed(origin: &str, host: Option<&str>, origins: &[String]) -> bool {
    let from_here = match (origin.split_once("://"), host) {
        (Some((_, from)), Some(host)) => from.eq_ignore_ascii_case(host),
        _ => false,
    };
    from_here || origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
}

/// Holds a connection from the upgrade to its close.
async fn hold(server: Arc<Server>, mut socket: WebSocket) {
    let Ok(seat) = Arc::clone(&server.seats).try_acquire_owned() else {
        close(&mut socket, End::TooMany).await;
        return;
    };
    let mut connection = Connection::new(server, socket);
    let end = connection.run().await;
    tracing::debug!(?end, "a connection ends");
    let mut socket = connection.into_socket();
    close(&mut socket, end).await;
    drop(seat);
}

/// Says why, then reads on until the client has seen it: closing with unread bytes would take the
/// word back.
async fn close(socket: &mut WebSocket, end: End) {
    let Some(frame) = end.frame() else { return };
    let told = timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
    if matches!(told, Ok(Ok(()))) {
        let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
        if timeout(ANSWER_TIMEOUT, answered).await.is_err() {
            tracing::debug!("a client didn't answer the close");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_server_and_of_the_config_may_connect() {
        let origins = ["https://desk.example".to_owned()];
        for (origin, host, allowed) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080"), true),
            ("http://127.0.0.1:8081", Some("127.0.0.1:8080"), false),
            ("https://desk.example", Some("127.0.0.1:8080"), true),
            ("https://desk.example.evil", None, false),
            ("null", Some("null"), false),
            ("", Some(""), false),
        ] {
            assert_eq!(is_allowed(origin, host, &origins), allowed, "{origin}");
        }
    }
}
