//! `clickhouse`: a table a view, kept as the view is.
//!
//! Each row carries a version, so that the newest counts however often and in whatever order rows
//! are sent; `FINAL`, or the view `<table>_v`, shows one row a key. A batch holds the last change of
//! each key touched in a range of epochs. It is cut into inserts of one partition, each a block of
//! columns with a token that names its content, so that a repeated one is dropped. A batch counts as
//! committed once all its inserts are acknowledged; the table `_commits` says so. Before it is sent
//! it is kept in the outbox.
//!
//! What the server says against an insert is of three kinds ([`trouble`]): it passes and the same bytes
//! are sent again; somebody must put the table or the rights right, and the sink waits for that; or rows
//! are refused, which are found by [`halving`] and set aside. So are those that no column holds
//! ([`unfit`]), which are never sent.

mod batch;
mod encode;
mod halving;
mod layout;
mod native;
mod outbox;
mod pieces;
mod server;
mod tables;
#[cfg(test)]
mod tests;
mod trouble;
#[cfg(test)]
mod twin;
mod unfit;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use layout::{database_ddl, ddl};
use types::digest::digest128;
use types::fault::point;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::sabotage::{Safeguard, is_out};
use types::{Epoch, Names};

use self::batch::{Encoded, PART};
use self::halving::Halving;
use self::layout::{COMMIT_COLUMNS, COMMITS, qualified, quoted, table_name};
use self::outbox::{Batch, Outbox, Totals};
use self::server::{Before, Insert, Server, SetAside, Stored};
use self::trouble::Refusal;
use self::unfit::Unfit;
use super::check_keyed;
use super::held::Held;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "clickhouse",
    help: "keeps a ClickHouse table a view",
    options: OPTIONS,
    check,
    open,
};

const MIB: u64 = 1 << 20;

/// Epochs of a batch at most, though they have few rows: until it is sent a run that goes on gives them
/// again.
const BATCH_EPOCHS: u64 = 4_096;

const OPTIONS: &[OptionSpec] = &[
    option(
        "url",
        OptionKind::Text,
        Need::Default("http://127.0.0.1:8123"),
        "the server's HTTP port",
    ),
    option("database", OptionKind::Text, Need::Default("tapeline"), "the database of the tables"),
    option("user", OptionKind::Text, Need::Optional, "who writes"),
    option(
        "password",
        OptionKind::Text,
        Need::Optional,
        "the user's password: write ${VAR} and set it in the environment",
    ),
    option(
        "create",
        OptionKind::Bool,
        Need::Default("true"),
        "make what is missing: database, tables",
    ),
    option(
        "on_existing",
        OptionKind::Choice(&["fail", "replace"]),
        Need::Default("fail"),
        "tables that hold rows: refuse them, or empty them before the first commit",
    ),
    option(
        "give_up",
        OptionKind::Duration,
        Need::Default("5m"),
        "how long a finite run waits for a server that is away or refuses; live runs wait for ever",
    ),
    option(
        "max_rows",
        OptionKind::Count(1, 10_000_000),
        Need::Default("100000"),
        "changed keys from which a batch is sent",
    ),
    option(
        "max_bytes",
        OptionKind::Bytes,
        Need::Default("16MiB"),
        "bytes, about, from which a batch is sent",
    ),
    option(
        "max_refused",
        OptionKind::Count(0, 1_000_000_000),
        Need::Default("1000"),
        "rows that a run sets aside: at the next one that the server refuses the sink pauses; where no \
         column holds more rows the run ends",
    ),
];

fn check(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |name: &str, message: &str, hint: &str| {
        problems.push(Problem::new(settings.place(name), "bad_option", message).hint(hint));
    };
    let url = settings.text("url").unwrap_or_default();
    match url.split_once("://") {
        Some(("http", rest)) if rest.contains('@') => {
            wrong("url", "the url holds a user", "use the options `user` and `password`");
        }
        Some(("http", rest)) if !rest.is_empty() => {}
        _ if url.is_empty() && !settings.has("url") => {}
        Some(("https", _)) => {
            wrong("url", "https isn't built in", "put a proxy in front, or use http");
        }
        _ => wrong("url", "not an http url", "write it like \"http://127.0.0.1:8123\""),
    }
    if settings.text("database") == Some("") {
        wrong("database", "the database has no name", "leave it out for `tapeline`");
    }
    problems
}

fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    check_keyed(&context)?;
    let settings = &context.settings;
    let database = settings.text("database").unwrap_or("tapeline").to_string();
    let table = |view| Table::new(&context.name, view);
    let tables: Vec<Table> = context.views.iter().map(table).collect();
    check_table_names(&context)?;
    let mut sink = ClickHouse {
        server: Server::new(settings, context.is_finite)?,
        database,
        tables,
        name: context.name,
        pipeline: context.pipeline,
        names: context.names,
        outbox: Outbox::new(&context.state_dir),
        halving: Halving::open(&context.state_dir, context.is_resumed)?,
        generation: 1,
        range: None,
        last: None,
        committed: None,
        must_empty: settings.text("on_existing") == Some("replace"),
        max_rows: size(settings.count("max_rows").unwrap_or(100_000)),
        max_bytes: size(settings.count("max_bytes").unwrap_or(16 * MIB)),
        max_refused: settings.count("max_refused").unwrap_or(1_000),
    };
    let kept = sink.outbox.batch()?.filter(|_| context.is_resumed);
    // Where something was delivered, a table that isn't there was lost with its rows.
    if kept.is_none() && (!settings.has("create") || settings.flag("create")) {
        sink.create()?;
    }
    sink.check_layouts()?;
    match kept {
        Some(batch) => sink.resume(&batch)?,
        None => sink.start()?,
    }
    Ok(Box::new(sink))
}

/// Refuses views that would share a table.
fn check_table_names(context: &SinkContext) -> Result<(), ConnectError> {
    let mut taken = BTreeSet::from([COMMITS.to_string()]);
    for view in &context.views {
        let table = table_name(&view.name);
        for name in [format!("{table}_v"), table] {
            if !taken.insert(name.clone()) {
                return Err(ConnectError::broken(format!(
                    "opening sink {}: view {} needs table {name}, which is taken by another view",
                    context.name, view.name
                ))
                .hint("name one of the views differently, or write it to another database"));
            }
        }
    }
    Ok(())
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

struct ClickHouse {
    server: Server,
    database: String,
    tables: Vec<Table>,
    name: String,
    pipeline: String,
    names: Arc<Names>,
    outbox: Outbox,
    halving: Halving,
    /// Of the rows' versions: each run that doesn't go on with another has a greater one.
    generation: u64,
    /// First and last epoch that isn't sent yet.
    range: Option<(Epoch, Epoch)>,
    /// The last epoch taken.
    last: Option<Epoch>,
    /// The last epoch of the last batch that the server has.
    committed: Option<Epoch>,
    /// Whether what the tables hold goes before the first commit.
    must_empty: bool,
    max_rows: usize,
    max_bytes: usize,
    max_refused: u64,
}

struct Table {
    name: String,
    /// The sink's name.
    sink: String,
    view: SinkView,
    held: Held,
    /// Bytes of a row, about.
    row_bytes: usize,
    totals: Totals,
}

impl Table {
    fn new(sink: &str, view: &SinkView) -> Self {
        Self {
            name: table_name(&view.name),
            sink: sink.to_owned(),
            view: view.clone(),
            held: Held::new(view.kind),
            row_bytes: encode::row_bytes(&view.schema.columns),
            totals: Totals::default(),
        }
    }
}

impl Sink for ClickHouse {
    fn kept_until(&self) -> Option<Epoch> {
        Some(self.committed.unwrap_or(Epoch(0)))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        self.last = Some(changes.epoch);
        let (mut n_rows, mut n_bytes) = (0, 0);
        for (table, view) in self.tables.iter_mut().zip(&changes.views) {
            table.held.take(view, &table.view.schema, changes.epoch);
            n_rows += table.held.len();
            n_bytes += table.held.len() * table.row_bytes;
        }
        let first = self.range.map_or(changes.epoch, |range| range.0);
        self.range = Some((first, changes.epoch));
        let is_due = n_rows >= self.max_rows
            || n_bytes >= self.max_bytes
            || changes.epoch.0 - first.0 >= BATCH_EPOCHS;
        if is_due { self.commit() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        self.commit()
    }

    fn abandon(&mut self) -> Result<(), ConnectError> {
        // A server that is away would hold up the end of a run that has failed already.
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        self.commit()?;
        // Tables that get no rows are emptied too.
        self.empty()?;
        Ok(self.report())
    }

    fn report(&self) -> SinkReport {
        let line = |(index, table): (usize, &Table)| {
            let Totals { put, deleted, inserts } = table.totals;
            let (put_refused, deleted_refused) = self.halving.refused(index);
            format!(
                "{}.{}: {} rows put, {} deleted, in {} inserts",
                self.database,
                table.name,
                put.saturating_sub(put_refused),
                deleted.saturating_sub(deleted_refused),
                inserts
            )
        };
        let n_refused = self.halving.n_refused();
        SinkReport {
            lines: self.tables.iter().enumerate().map(line).collect(),
            n_refused,
            quarantine: (n_refused > 0).then(|| self.halving.path().to_owned()),
        }
    }
}

impl ClickHouse {
    /// Starts with tables that hold nothing, or will be emptied.
    fn start(&mut self) -> Result<(), ConnectError> {
        if !self.must_empty {
            self.check_empty()?;
        }
        self.generation = self.newest_generation()? + 1;
        self.halving.forget()?;
        self.outbox.forget()
    }

    /// Goes on behind a batch that may have been sent, in parts or as a whole: it is sent again, and
    /// what is there counts once.
    fn resume(&mut self, batch: &Batch) -> Result<(), ConnectError> {
        let (first, last) = batch.range;
        tracing::info!(sink = %self.name, first, last, "sending the outbox again");
        self.generation = batch.generation;
        self.must_empty = batch.empties_tables;
        self.send(batch, true)?;
        self.must_empty = false;
        (self.last, self.committed) = (Some(Epoch(last)), Some(Epoch(last)));
        for (table, totals) in self.tables.iter_mut().zip(&batch.totals) {
            table.totals = *totals;
        }
        Ok(())
    }

    /// Sends all that is held; returns once the server has acknowledged it.
    fn commit(&mut self) -> Result<(), ConnectError> {
        let Some(range) = self.range.take() else { return Ok(()) };
        if self.tables.iter().all(|table| table.held.len() == 0) {
            // Nothing is sent, but a run that goes on needs none of these epochs.
            self.outbox.put(&self.batch(range, Vec::new(), Vec::new()))?;
            self.committed = Some(range.1);
            return Ok(());
        }
        let (mut inserts, mut commits, mut unfit) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.tables.len() {
            let of_table = self.encode(index, range, &mut inserts, &mut commits)?;
            unfit.extend(of_table.into_iter().map(|row| (index, row)));
        }
        let doing = format!("committing epochs {} to {}", range.0, range.1);
        let sql = format!(
            "INSERT INTO {} ({COMMIT_COLUMNS}) FORMAT RowBinary",
            qualified(&self.database, COMMITS)
        );
        // Twice the same is once: the table's key says so. A token would only stand in the way of a
        // later run whose commits are equal.
        inserts.push(Insert::new(doing, sql, None, commits));
        let batch = self.batch(range, inserts, unfit);
        point("outbox.before");
        if !is_out(Safeguard::OutboxFirst) {
            self.outbox.put(&batch)?;
        }
        point("outbox.put");
        self.send(&batch, false)?;
        self.committed = Some(range.1);
        point("batch.sent");
        Ok(())
    }

    fn batch(
        &self,
        range: (Epoch, Epoch),
        inserts: Vec<Insert>,
        unfit: Vec<(usize, Unfit)>,
    ) -> Batch {
        Batch {
            range: (range.0.0, range.1.0),
            generation: self.generation,
            empties_tables: self.must_empty,
            totals: self.tables.iter().map(|table| table.totals).collect(),
            inserts,
            unfit,
        }
    }

    /// Sends a batch that is in the outbox; says whether it may have been sent before.
    fn send(&mut self, batch: &Batch, was_sent: bool) -> Result<(), ConnectError> {
        self.set_unfit_aside(batch)?;
        self.empty()?;
        for (nth, insert) in batch.inserts.iter().enumerate() {
            point("insert.before");
            self.settle(batch, nth, insert, was_sent)?;
            point("insert.after");
        }
        Ok(())
    }

    /// Inserts, unless the server refuses rows of it that may be set aside.
    fn insert(&self, insert: &Insert, before: Before) -> Result<Option<Refusal>, ConnectError> {
        let is_it = |table: &&Table| Some(&table.name) == insert.table.as_ref();
        let table = self.tables.iter().find(is_it);
        let may = match table {
            None => SetAside::Never,
            Some(_) if self.halving.n_refused() >= self.max_refused => SetAside::NoMore,
            Some(_) => SetAside::Some,
        };
        self.server.insert(insert, before, may, async || match table {
            Some(table) => tables::differs(&self.server, &self.database, table).await,
            None => Ok(None),
        })
    }

    /// Makes inserts of what is held for one table, and adds its row for the table of commits. Gives the
    /// rows that no column holds.
    fn encode(
        &mut self,
        index: usize,
        (first, last): (Epoch, Epoch),
        inserts: &mut Vec<Insert>,
        commits: &mut Vec<u8>,
    ) -> Result<Vec<Unfit>, ConnectError> {
        let Some(table) = self.tables.get_mut(index) else { return Ok(Vec::new()) };
        if table.held.len() == 0 {
            return Ok(Vec::new());
        }
        let Encoded { parts, n_deleted, unfit } =
            batch::encode(&table.view, &self.names, self.generation, &table.held, PART)?;
        table.held.clear();
        let sql = insert_sql(&self.database, table);
        let count = count_sql(&self.database, table, self.generation, (first, last));
        let doing = format!("writing epochs {first} to {last} of view {}", table.view.name);
        let (mut n_rows, mut n_parts, mut digests) = (0, 0, Vec::new());
        for part in parts {
            let token = format!(
                "{}/{}/{}/{first}-{last}/{n_parts}/{:032x}",
                self.pipeline, self.name, table.name, part.digest
            );
            digests.extend_from_slice(&part.digest.to_le_bytes());
            n_rows += u64::try_from(part.n_rows).unwrap_or(u64::MAX);
            let stored = count.clone().map(|sql| Stored { sql, n_rows });
            let insert = Insert::new(doing.clone(), sql.clone(), Some(token), part.bytes);
            inserts.push(insert.of(&table.name).shown_by(stored));
            n_parts += 1;
        }
        table.totals.put += n_rows - n_deleted;
        table.totals.deleted += n_deleted;
        table.totals.inserts += n_parts;
        for text in [&self.pipeline, &self.name, &table.name] {
            encode::text(commits, text);
        }
        for count in [self.generation, first.0, last.0, n_parts, n_rows] {
            commits.extend_from_slice(&count.to_le_bytes());
        }
        encode::text(commits, &format!("{:032x}", digest128(&digests)));
        Ok(unfit)
    }
}

/// Counts the rows of a batch. They are the newest of their keys, so no merge takes them away.
fn count_sql(
    database: &str,
    table: &Table,
    generation: u64,
    (first, last): (Epoch, Epoch),
) -> Option<String> {
    let (first, last) = (batch::version(generation, first)?, batch::version(generation, last)?);
    let table = qualified(database, &table.name);
    Some(format!("SELECT toString(count()) FROM {table} WHERE _version BETWEEN {first} AND {last}"))
}

fn insert_sql(database: &str, table: &Table) -> String {
    let columns: Vec<String> = table.view.schema.columns.iter().map(|c| quoted(&c.name)).collect();
    format!(
        "INSERT INTO {} ({}, _version, _deleted) FORMAT Native",
        qualified(database, &table.name),
        columns.join(", ")
    )
}
