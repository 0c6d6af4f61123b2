//! The server as we talk to it: statements, queries and inserts, tried again where that may help.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use types::options::Settings;
use types::sabotage::{Safeguard, is_out};

use crate::error::ConnectError;
use crate::sinks::backoff;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are given up before ClickHouse does it, after 3 s by default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for an answer; large inserts with views behind them take long.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Step in which the time of an attempt is counted: nothing here reads a clock.
const TICK: Duration = Duration::from_millis(250);
/// Bytes sent, and compressed, at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Says what an error means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the first row: what trying again can't help is told at once.
    Opening,
    /// Rows are under way: whatever it is may be put right meanwhile.
    Running,
}

/// Bytes to insert, and the token under which they count once.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Insert {
    /// What it is, for errors.
    doing: String,
    /// `INSERT INTO ... FORMAT ...`. It says what the bytes are, also where another version kept them.
    sql: String,
    /// Names the content, so that it is dropped where it was inserted before; `None`: it never is.
    token: Option<String>,
    /// How it shows that they are stored; `None`: it doesn't.
    #[serde(default)]
    stored: Option<Stored>,
    /// How long the rows are, for whoever keeps them apart.
    pub(super) n_bytes: usize,
    /// The rows.
    #[serde(skip)]
    pub(super) bytes: Bytes,
}

impl Insert {
    /// Rows as the statement's format has them.
    pub(super) fn new(
        doing: String,
        sql: String,
        token: Option<String>,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let bytes = bytes.into();
        Self { doing, sql, token, stored: None, n_bytes: bytes.len(), bytes }
    }

    /// Says how it shows that the rows are stored.
    pub(super) fn shown_by(self, stored: Option<Stored>) -> Self {
        Self { stored, ..self }
    }
}

/// How an insert shows that its rows are stored.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Counts the rows of its batch in its table, as a text.
    pub(super) sql: String,
    /// How many there are at least once it is stored, as all before it are.
    pub(super) n_rows: u64,
}

/// A server and how long it is waited for.
pub(super) struct Server {
    runtime: Runtime,
    client: Client,
    url: String,
    /// `None`: for ever.
    give_up: Option<Duration>,
}

impl Server {
    /// Prepares to talk; connects to nothing yet.
    pub(super) fn new(settings: &Settings, is_finite: bool) -> Result<Self, ConnectError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            ConnectError::broken("starting a runtime for clickhouse").because(error)
        })?;
        let mut connector = HttpConnector::new();
        // Without it each insert of more than one chunk waits 40 ms for an acknowledgement.
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let url = settings.text("url").unwrap_or("http://127.0.0.1:8123").to_string();
        let mut client = Client::with_http_client(http).with_url(&url);
        if let Some(user) = settings.text("user") {
            client = client.with_user(user);
        }
        if let Some(password) = settings.text("password") {
            client = client.with_password(password);
        }
        let nanos = settings.duration("give_up").map_or(300_000_000_000, types::Span::nanos);
        let give_up = is_finite.then(|| Duration::from_nanos(nanos.unsigned_abs()));
        Ok(Self { runtime, client, url, give_up })
    }

    /// Runs a statement that gives no rows.
    pub(super) fn execute(&self, stage: Stage, doing: &str, sql: &str) -> Result<(), ConnectError> {
        let sql = unbound(sql);
        self.persist(stage, doing, async || self.client.query(&sql).execute().await)
    }

    /// Runs a query whose columns are texts.
    pub(super) fn rows(
        &self,
        stage: Stage,
        doing: &str,
        sql: &str,
    ) -> Result<Vec<Vec<String>>, ConnectError> {
        let sql = unbound(sql);
        self.persist(stage, doing, async || {
            let mut answer = self.client.query(&sql).fetch_bytes("JSONCompactEachRow")?;
            let lines = answer.collect().await?;
            let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
            rows.collect::<Result<_, _>>().map_err(|error| Error::DataFormat(error.into()))
        })
    }

    /// Inserts; returns once the server has stored it all. Says whether it may have been sent before.
    ///
    /// A server notes a token before the rows get their place. Killed in between, it takes what is sent
    /// again for what it has, and acknowledges rows that are lost. So what was sent more than once is
    /// counted, and gets another token where it isn't there.
    pub(super) fn insert(&self, insert: &Insert, was_sent: bool) -> Result<(), ConnectError> {
        for nth_token in 0u32.. {
            let mut n_tries = 0;
            self.persist(Stage::Running, &insert.doing, async || {
                n_tries += 1;
                match self.try_to_insert(insert, (nth_token, n_tries)).await {
                    Err(_) if is_out(Safeguard::InsertsRepeated) => Ok(()),
                    tried => tried,
                }
            })?;
            let is_first = n_tries == 1 && !(was_sent && nth_token == 0);
            if is_first || self.has_stored(insert)? {
                break;
            }
            tracing::warn!(url = %self.url, "clickhouse has the token of rows that it lost: sending them under another, {}", insert.doing);
        }
        Ok(())
    }

    fn has_stored(&self, insert: &Insert) -> Result<bool, ConnectError> {
        let Some(stored) = &insert.stored else { return Ok(true) };
        if is_out(Safeguard::StoredCounted) {
            return Ok(true);
        }
        let rows = self.rows(Stage::Running, &insert.doing, &stored.sql)?;
        let n_rows: Option<u64> = rows.first().and_then(|row| row.first()?.parse().ok());
        Ok(n_rows >= Some(stored.n_rows))
    }

    async fn try_to_insert(
        &self,
        insert: &Insert,
        (nth_token, nth): (u32, u32),
    ) -> Result<(), Error> {
        let mut request = self
            .client
            .insert_formatted_with(insert.sql.as_str())
            // Asynchronous inserts, the default of newer servers, may regroup what a token names.
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1");
        request = match &insert.token {
            Some(token) if is_out(Safeguard::TokensStay) => {
                request.with_setting("insert_deduplication_token", format!("{token}/{nth}"))
            }
            Some(token) if nth_token > 0 => request
                .with_setting("insert_deduplication_token", format!("{token}/again{nth_token}")),
            Some(token) => request.with_setting("insert_deduplication_token", token),
            None => request.with_setting("insert_deduplicate", "0"),
        };
        let mut rest = insert.bytes.clone();
        while !rest.is_empty() {
            request.send(rest.split_to(rest.len().min(CHUNK_BYTES))).await?;
        }
        request.end().await
    }

    /// Tries until it is done, or the server was waited for long enough.
    fn persist<T>(
        &self,
        stage: Stage,
        doing: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, ConnectError> {
        self.runtime.block_on(async {
            let mut waited = Duration::ZERO;
            for n_failed in 0.. {
                let error = match timed(&mut waited, attempt()).await {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                };
                let is_lasting = is_lasting(&error);
                if is_lasting && stage == Stage::Opening {
                    return Err(ConnectError::broken(format!("{doing} at {}", self.url)).because(error));
                }
                let left = self.give_up.map(|give_up| give_up.saturating_sub(waited));
                if left == Some(Duration::ZERO) {
                    return Err(self.gave_up(doing, error));
                }
                let wait = backoff::wait(n_failed, doing).min(left.unwrap_or(Duration::MAX));
                if is_lasting {
                    tracing::error!(url = %self.url, %error, ?wait, "clickhouse refuses: this sink pauses, {doing}");
                } else {
                    tracing::warn!(url = %self.url, %error, ?wait, "clickhouse is away: trying again, {doing}");
                }
                sleep(wait).await;
                waited += wait;
            }
            unreachable!("there are more attempts than seconds to come")
        })
    }

    fn gave_up(&self, doing: &str, error: Error) -> ConnectError {
        let give_up = self.give_up.unwrap_or_default();
        ConnectError::away(format!("{doing} at {}, given up after {give_up:?}", self.url))
            .because(error)
            .hint("`give_up` says how long a finite run waits for the server")
    }
}

/// Counts the time that an attempt takes, and ends one that takes too long.
async fn timed<T>(
    waited: &mut Duration,
    attempt: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut attempt = std::pin::pin!(attempt);
    let mut taken = Duration::ZERO;
    while taken < ANSWER_TIMEOUT {
        tokio::select! {
            biased;
            done = &mut attempt => return done,
            () = sleep(TICK) => taken += TICK,
        }
        *waited += TICK;
    }
    Err(Error::TimedOut)
}

/// Keeps the client from reading question marks as places of arguments.
fn unbound(sql: &str) -> String {
    sql.replace('?', "??")
}

/// ClickHouse's codes of what passes: overload, time-outs, lost peers, a table that is read-only
/// for now.
const PASSING: [u32; 15] = [
    159, // TIMEOUT_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    285, // TOO_FEW_LIVE_REPLICAS
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    999, // KEEPER_EXCEPTION
];

/// Whether an error stays until somebody puts it right: rights, schema, a table that isn't there.
fn is_lasting(error: &Error) -> bool {
    match error {
        // An answer without a code is a proxy's or a server's that goes down.
        Error::BadResponse(text) => code(text).is_some_and(|code| !PASSING.contains(&code)),
        Error::Network(_) | Error::TimedOut | Error::Compression(_) | Error::Decompression(_) => {
            false
        }
        Error::NotEnoughData | Error::DataFormat(_) => false,
        _ => true,
    }
}

/// Reads `Code: 60. DB::Exception: ...`.
fn code(text: &str) -> Option<u32> {
    let (_, behind) = text.split_once("Code: ")?;
    let n_digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind.get(..n_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_stays_is_told() {
        for (text, expected) in [
            ("Code: 252. DB::Exception: Too many parts", false),
            ("Code: 60. DB::Exception: Unknown table", true),
            ("Code: 497", true),
            ("503 Service Unavailable", false),
            ("<html>Code: Bad Gateway</html>", false),
        ] {
            assert_eq!(is_lasting(&Error::BadResponse(text.into())), expected, "{text}");
        }
        assert!(!is_lasting(&Error::Network("refused".into())));
        assert!(is_lasting(&Error::Unsupported("https".into())));
    }
}
