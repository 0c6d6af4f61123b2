//! `tapeline subscribe URL VIEW`: a view's rows and changes as JSON lines.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::serve::PROTOCOL;

/// Prints a view's rows, then each change, as JSON lines.
///
/// A line is `{"epoch":"12","op":"put","row":{..}}`, `{"epoch":"12","op":"del","key":{..}}`, with the
/// row as it last stood where an alert is taken back, or `{"op":"reset"}` where all rows before it are
/// to be forgotten.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    tapeline subscribe 127.0.0.1:8080 positions          until the server goes away\n  \
    tapeline subscribe 127.0.0.1:8080 pnl --once         the rows that are there now\n  \
    tapeline subscribe 127.0.0.1:8080 pnl --live         P&L as of the current epoch\n  \
    tapeline subscribe 127.0.0.1:8080 bars --until-end   until all sources have ended")]
pub(crate) struct SubscribeArgs {
    /// Where the server is: `127.0.0.1:8080`, `ws://127.0.0.1:8080/v1/ws`.
    pub(crate) url: String,
    /// The view's name.
    pub(crate) view: String,
    /// P&L as of the current epoch instead of snapshots: of views of op `mark_to_market`.
    #[arg(long)]
    pub(crate) live: bool,
    /// Ends after the rows that are there now.
    #[arg(long)]
    pub(crate) once: bool,
    /// Ends once all sources of the server have ended.
    #[arg(long)]
    pub(crate) until_end: bool,
}

/// Why a subscription couldn't be followed.
#[derive(Debug, Error)]
pub enum SubscribeError {
    /// The address can't be one.
    #[error("reading the address `{0}`: expected host:port or ws://host:port")]
    Address(String),
    /// The runtime didn't start.
    #[error("starting the client")]
    Start(#[source] io::Error),
    /// Nobody is there, or it doesn't speak the protocol.
    #[error("connecting to {url}")]
    Connect {
        /// Where to.
        url: String,
        /// What went wrong.
        source: Box<tungstenite::Error>,
    },
    /// The connection ended before the subscription did.
    #[error("following `{view}` at {url}: the connection ended: {reason}")]
    Lost {
        /// Where.
        url: String,
        /// What.
        view: String,
        /// The server's word, or the error.
        reason: String,
    },
    /// The server refused.
    #[error("subscribing to `{view}`: {message}")]
    Refused {
        /// To what.
        view: String,
        /// The server's word.
        message: String,
    },
    /// The server sent what the protocol doesn't know.
    #[error("reading a message of {url}: {reason}")]
    Protocol {
        /// Where from.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The lines couldn't be written.
    #[error("writing a line")]
    Write(#[from] io::Error),
}

impl SubscribeError {
    /// The exit code: 2 for what the user can put right, 3 for a failure here, 4 for the server's.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Address(_) | Self::Refused { .. } => 2,
            Self::Start(_) | Self::Write(_) | Self::Protocol { .. } => 3,
            Self::Connect { .. } | Self::Lost { .. } => 4,
        }
    }
}

/// Follows a view on standard output until it ends, or until nobody reads on.
///
/// # Errors
/// If the server can't be reached, refuses, or goes away; see [`SubscribeError::exit_code`].
pub(crate) fn run(args: &SubscribeArgs) -> Result<(), SubscribeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SubscribeError::Start)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let followed = runtime.block_on(follow(args, &mut out));
    match followed.and_then(|()| out.flush().map_err(SubscribeError::from)) {
        // Whoever read has seen enough: `| head` is no failure.
        Err(SubscribeError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in the buffer has no reader; dropping it would try to write it.
            drop(out.into_parts());
            Ok(())
        }
        result => result,
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Follows a view until it ends.
async fn follow(args: &SubscribeArgs, out: &mut impl Write) -> Result<(), SubscribeError> {
    let url = address(&args.url)?;
    let mut socket = connect(&url).await?;
    let hello = r#"{"op":"hello","id":1,"client":"tapeline subscribe"}"#.to_owned();
    let SubscribeArgs { view, live, .. } = args;
    let subscribe =
        serde_json::json!({ "op": "subscribe", "id": 2, "sub": "1", "view": view, "live": live });
    let lost =
        |reason: String| SubscribeError::Lost { url: url.clone(), view: args.view.clone(), reason };
    for message in [hello, subscribe.to_string()] {
        let sent = socket.send(Message::text(message)).await;
        sent.map_err(|error| lost(error.to_string()))?;
    }
    while let Some(message) = socket.next().await {
        match message.map_err(|error| lost(error.to_string()))? {
            Message::Text(text) => {
                if print(args, &text, out).map_err(|problem| problem.of(&url, args))? {
                    return Ok(());
                }
                out.flush()?;
            }
            Message::Close(frame) => {
                return Err(lost(frame.map_or_else(|| "closed".to_owned(), |f| f.to_string())));
            }
            _ => {}
        }
    }
    Err(lost("without a word".to_owned()))
}

/// Completes an address: `host:port`, `http://..` and `ws://..` all mean the WebSocket there.
fn address(url: &str) -> Result<String, SubscribeError> {
    let wrong = || SubscribeError::Address(url.to_owned());
    let rest = match url.split_once("://") {
        Some(("ws" | "http", rest)) => rest,
        Some(_) => return Err(wrong()),
        None => url,
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err(wrong());
    }
    let path = if path.is_empty() { "v1/ws" } else { path };
    Ok(format!("ws://{host}/{path}"))
}

async fn connect(url: &str) -> Result<Socket, SubscribeError> {
    let mut request =
        url.into_client_request().map_err(|_| SubscribeError::Address(url.to_owned()))?;
    let protocol = HeaderValue::from_static(PROTOCOL);
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let failed = |source| SubscribeError::Connect { url: url.to_owned(), source: Box::new(source) };
    connect_async(request).await.map(|(socket, _)| socket).map_err(failed)
}

/// What can be wrong with a message, before it is known where.
enum Wrong {
    Json(serde_json::Error),
    Missing(&'static str),
    Refused(String),
    Write(io::Error),
}

impl Wrong {
    fn of(self, url: &str, args: &SubscribeArgs) -> SubscribeError {
        let protocol = |reason| SubscribeError::Protocol { url: url.to_owned(), reason };
        match self {
            Self::Json(error) => protocol(error.to_string()),
            Self::Missing(field) => protocol(format!("the field `{field}` is missing")),
            Self::Refused(message) => SubscribeError::Refused { view: args.view.clone(), message },
            Self::Write(error) => SubscribeError::Write(error),
        }
    }
}

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// A message with its fields as they were written, so that rows keep their order and spelling.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn raw(&self, field: &'static str) -> Result<&'a str, Wrong> {
        self.0.get(field).map(|raw| raw.get()).ok_or(Wrong::Missing(field))
    }

    fn text(&self, field: &'static str) -> Result<String, Wrong> {
        Ok(serde_json::from_str(self.raw(field)?)?)
    }

    fn list(&self, field: &'static str) -> Result<Vec<&'a RawValue>, Wrong> {
        Ok(serde_json::from_str(self.raw(field)?)?)
    }
}

/// Prints what a message says; gives whether the subscription is over.
fn print(args: &SubscribeArgs, text: &str, out: &mut impl Write) -> Result<bool, Wrong> {
    let message = Fields(serde_json::from_str(text)?);
    match message.text("op")?.as_str() {
        "snap" => {
            print_lines(&message, "put", ("rows", "row"), out)?;
            Ok(args.once && message.raw("last")? == "true")
        }
        "delta" => {
            print_lines(&message, "put", ("put", "row"), out)?;
            print_deleted(&message, out)?;
            Ok(false)
        }
        "progress" => Ok(args.until_end && message.raw("event_time_frontier")? == "\"end\""),
        "reset" => {
            writeln!(out, r#"{{"op":"reset"}}"#)?;
            Ok(false)
        }
        "error" => Err(Wrong::Refused(message.text("message")?)),
        "closed" => Ok(true),
        // Messages of later versions are none of ours.
        _ => Ok(false),
    }
}

fn print_lines(
    message: &Fields<'_>,
    op: &str,
    (list, item): (&'static str, &str),
    out: &mut impl Write,
) -> Result<(), Wrong> {
    let epoch = message.raw("epoch")?;
    for row in message.list(list)? {
        writeln!(out, r#"{{"epoch":{epoch},"op":"{op}","{item}":{row}}}"#)?;
    }
    Ok(())
}

/// Prints the keys that went, and behind those of alerts that were taken back what they said.
fn print_deleted(message: &Fields<'_>, out: &mut impl Write) -> Result<(), Wrong> {
    let epoch = message.raw("epoch")?;
    let retracted =
        if message.0.contains_key("retracted") { message.list("retracted")? } else { Vec::new() };
    let mut retracted = retracted.into_iter().map(RawValue::get).peekable();
    for key in message.list("del")?.into_iter().map(RawValue::get) {
        // Both lists have one order, and a row starts with its key's text but for the last byte.
        let start = key.strip_suffix('}').unwrap_or(key);
        let row = retracted.next_if(|row| row.starts_with(start));
        let row = row.map(|row| format!(r#","row":{row}"#)).unwrap_or_default();
        writeln!(out, r#"{{"epoch":{epoch},"op":"del","key":{key}{row}}}"#)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for url in ["h:1", "ws://h:1", "http://h:1/", "ws://h:1/v1/ws"] {
            assert_eq!(address(url).unwrap(), "ws://h:1/v1/ws", "{url}");
        }
        assert_eq!(address("h:1/behind/a/proxy").unwrap(), "ws://h:1/behind/a/proxy");
        for url in ["", "wss://h:1", "ftp://h", "ws:///v1/ws"] {
            assert!(matches!(address(url), Err(SubscribeError::Address(_))), "{url}");
        }
    }

    #[test]
    fn lines_keep_the_rows_as_they_came() {
        let args = |once, until_end| SubscribeArgs {
            live: false,
            url: String::new(),
            view: "v".to_owned(),
            once,
            until_end,
        };
        let told = |args: &SubscribeArgs, text: &str| {
            let mut out = Vec::new();
            let is_over = print(args, text, &mut out).unwrap_or_else(|_| panic!("{text}"));
            (String::from_utf8(out).unwrap(), is_over)
        };
        let lines = told(
            &args(true, true),
            r#"{"op":"delta","epoch":"7","put":[{"z":"1.0","a":null}],"del":[{"z":"2"}],"last":true}"#,
        );
        let put = r#"{"epoch":"7","op":"put","row":{"z":"1.0","a":null}}"#;
        let del = r#"{"epoch":"7","op":"del","key":{"z":"2"}}"#;
        assert_eq!(lines, (format!("{put}\n{del}\n"), false));
        let lines = told(
            &args(true, true),
            r#"{"op":"delta","epoch":"7","put":[],"del":[{"z":"2"},{"z":"3"}],"retracted":[{"z":"3","a":"x"}],"last":true}"#,
        );
        let retracted = r#"{"epoch":"7","op":"del","key":{"z":"3"},"row":{"z":"3","a":"x"}}"#;
        assert_eq!(lines, (format!("{del}\n{retracted}\n"), false));
        for (last, once, is_over) in
            [(true, true, true), (false, true, false), (true, false, false)]
        {
            let text = format!(r#"{{"op":"snap","epoch":"7","rows":[],"last":{last}}}"#);
            assert_eq!(told(&args(once, false), &text), (String::new(), is_over));
        }
        for (frontier, until_end, is_over) in
            [("\"end\"", true, true), ("null", true, false), ("\"end\"", false, false)]
        {
            let text = format!(r#"{{"op":"progress","event_time_frontier":{frontier}}}"#);
            assert_eq!(told(&args(false, until_end), &text), (String::new(), is_over));
        }
        let reset = told(&args(false, false), r#"{"op":"reset","gen":2}"#);
        assert_eq!(reset, ("{\"op\":\"reset\"}\n".to_owned(), false));
        assert!(matches!(
            print(&args(false, false), r#"{"op":"error","message":"no"}"#, &mut Vec::new()),
            Err(Wrong::Refused(message)) if message == "no"
        ));
    }
}
