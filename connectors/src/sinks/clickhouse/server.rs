//! The server as we talk to it: statements, queries and inserts, tried again where that may help.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use types::sabotage::{Safeguard, is_out};

use super::trouble::{Refusal, Trouble, remedy};
use crate::error::ConnectError;
use crate::sink::SinkContext;
use crate::sinks::http::Connector;
use crate::sinks::patience::{Patience, Remedy, Stage};

/// Idle connections are given up before ClickHouse does it, after 3 s by default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for an answer; large inserts with views behind them take long.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Bytes sent, and compressed, at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Whether rows that the server refuses may be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetAside {
    /// They may.
    Some,
    /// As many were as may be.
    NoMore,
    /// These rows can't be told apart.
    Never,
}

/// What was before an insert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// Whether it may have been sent.
    pub(super) was_sent: bool,
    /// Rows of its batch and table that were set aside so far.
    pub(super) n_refused: u64,
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
    /// The table of a view whose rows these are, as a block of `Native`; `None` for anything else.
    #[serde(default)]
    pub(super) table: Option<String>,
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
        Self { doing, sql, token, stored: None, table: None, n_bytes: bytes.len(), bytes }
    }

    /// Says that they are a block of a view's table.
    pub(super) fn of(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }

    /// Some of the rows, of so many, under a token of their own. Those before them are through.
    pub(super) fn piece(&self, (from, to): (usize, usize), n_rows: usize, bytes: Vec<u8>) -> Self {
        let token = self.token.as_ref().map(|token| {
            // With the whole's token the server would take the second piece for the first.
            if is_out(Safeguard::PiecesNamed) {
                token.clone()
            } else {
                format!("{token}/{from}-{to}")
            }
        });
        let doing = format!("{}, rows {from} to {to}", self.doing);
        let n_behind = u64::try_from(n_rows.saturating_sub(to)).unwrap_or(u64::MAX);
        let stored = self.stored.as_ref().map(|stored| Stored {
            sql: stored.sql.clone(),
            n_rows: stored.n_rows.saturating_sub(n_behind),
            asks_first: stored.asks_first,
        });
        let table = self.table.clone();
        Self { stored, table, ..Self::new(doing, self.sql.clone(), token, bytes) }
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
    /// Whether they are counted before they are sent again, too.
    #[serde(default)]
    pub(super) asks_first: bool,
}

impl Stored {
    /// Whether an answer counts all rows but those that were refused.
    fn is_shown_by(&self, rows: &[Vec<String>], n_refused: u64) -> bool {
        let n_rows: Option<u64> = rows.first().and_then(|row| row.first()?.parse().ok());
        n_rows >= Some(self.n_rows.saturating_sub(n_refused))
    }
}

/// A server and how long it is waited for.
pub(super) struct Server {
    runtime: Runtime,
    client: Client,
    patience: Patience,
}

impl Server {
    /// Prepares to talk; connects to nothing yet.
    pub(super) fn new(context: &SinkContext) -> Result<Self, ConnectError> {
        let settings = &context.settings;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            ConnectError::broken("starting a runtime for clickhouse").because(error)
        })?;
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector::new(Arc::clone(&context.env)));
        let url = settings.text("url").unwrap_or("http://127.0.0.1:8123").to_string();
        let mut client = Client::with_http_client(http).with_url(&url);
        if let Some(user) = settings.text("user") {
            client = client.with_user(user);
        }
        if let Some(password) = settings.text("password") {
            client = client.with_password(password);
        }
        let patience =
            Patience::new("clickhouse", url, settings, context.is_finite, ANSWER_TIMEOUT);
        Ok(Self { runtime, client, patience })
    }

    /// Runs a statement that gives no rows.
    pub(super) fn execute(&self, stage: Stage, doing: &str, sql: &str) -> Result<(), ConnectError> {
        let sql = unbound(sql);
        self.persist(stage, doing, async |_| Ok(self.client.query(&sql).execute().await?))
    }

    /// Asks until there is an answer.
    pub(super) fn ask<T>(
        &self,
        stage: Stage,
        doing: &str,
        mut question: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, ConnectError> {
        self.persist(stage, doing, async |_| Ok(question().await?))
    }

    /// Runs a query whose columns are texts.
    pub(super) fn rows(
        &self,
        stage: Stage,
        doing: &str,
        sql: &str,
    ) -> Result<Vec<Vec<String>>, ConnectError> {
        self.ask(stage, doing, async || self.fetch(sql).await)
    }

    /// As [`Server::rows`], once.
    pub(super) async fn fetch(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let mut answer = self.client.query(&unbound(sql)).fetch_bytes("JSONCompactEachRow")?;
        let lines = answer.collect().await?;
        let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
        rows.collect::<Result<_, _>>().map_err(|error| Error::DataFormat(error.into()))
    }

    /// Inserts; returns once the server has stored it all, or refuses rows of it and some may be set
    /// aside. `differs` says in what a table isn't what the view needs: it is asked before rows are sent
    /// to one that refused them.
    ///
    /// A server notes a token before the rows get their place. Killed in between, it takes what is sent
    /// again for what it has, and acknowledges rows that are lost. So what was sent more than once is
    /// counted, and gets another token where it isn't there.
    pub(super) fn insert(
        &self,
        insert: &Insert,
        before: Before,
        may: SetAside,
        mut differs: impl AsyncFnMut() -> Result<Option<String>, Error>,
    ) -> Result<Option<Refusal>, ConnectError> {
        for nth_token in 0u32.. {
            let mut n_tries = 0;
            let refusal = self.persist(Stage::Running, &insert.doing, async |is_held| {
                n_tries += 1;
                let mut compare = async || match differs().await? {
                    Some(what) => Err(Trouble::Layout(what)),
                    None => Ok(()),
                };
                if is_held && !is_out(Safeguard::LayoutAgain) {
                    compare().await?;
                }
                if (before.was_sent || n_tries > 1) && self.has_before(insert, before).await? {
                    return Ok(None);
                }
                match self.try_insert(insert, (nth_token, n_tries)).await {
                    Ok(()) => Ok(None),
                    Err(_) if is_out(Safeguard::InsertsRepeated) => Ok(None),
                    Err(error) if remedy(&error) == Remedy::SetAside => {
                        compare().await?;
                        match may {
                            SetAside::Some => Ok(Some(Refusal::new(&error))),
                            SetAside::NoMore => Err(Trouble::Full(error)),
                            SetAside::Never => Err(error.into()),
                        }
                    }
                    Err(error) => Err(error.into()),
                }
            })?;
            let is_first = n_tries == 1 && !(before.was_sent && nth_token == 0);
            if refusal.is_some() || is_first || self.has_stored(insert, before.n_refused)? {
                return Ok(refusal);
            }
            tracing::warn!(
                "clickhouse has the token of rows that it lost: sending them under another, {}",
                insert.doing
            );
        }
        Ok(None)
    }

    /// Whether all rows are there but those that were refused.
    fn has_stored(&self, insert: &Insert, n_refused: u64) -> Result<bool, ConnectError> {
        let Some(stored) = &insert.stored else { return Ok(true) };
        if is_out(Safeguard::StoredCounted) {
            return Ok(true);
        }
        let rows = self.rows(Stage::Running, &insert.doing, &stored.sql)?;
        Ok(stored.is_shown_by(&rows, n_refused))
    }

    /// Whether rows of which none must come twice are there before they are sent again. The server may have
    /// forgotten their token.
    async fn has_before(&self, insert: &Insert, before: Before) -> Result<bool, Error> {
        let stored = insert.stored.as_ref().filter(|stored| stored.asks_first);
        let Some(stored) = stored.filter(|_| !is_out(Safeguard::CountedFirst)) else {
            return Ok(false);
        };
        Ok(stored.is_shown_by(&self.fetch(&stored.sql).await?, before.n_refused))
    }

    async fn try_insert(&self, insert: &Insert, (nth_token, nth): (u32, u32)) -> Result<(), Error> {
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

    fn persist<T>(
        &self,
        stage: Stage,
        doing: &str,
        attempt: impl AsyncFnMut(bool) -> Result<T, Trouble>,
    ) -> Result<T, ConnectError> {
        self.runtime.block_on(self.patience.persist(stage, doing, attempt))
    }
}

/// Keeps the client from reading question marks as places of arguments.
fn unbound(sql: &str) -> String {
    sql.replace('?', "??")
}
