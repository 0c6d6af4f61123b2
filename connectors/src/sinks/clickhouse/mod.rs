//! `clickhouse`: a table a view, kept as the view is.
//!
//! Each row carries a version, so that the newest counts however often and in whatever order rows
//! are sent; `FINAL`, or the view `<table>_v`, shows one row a key. A batch holds the last change of
//! each key touched in a range of epochs. It is cut into inserts of one partition, each a block of
//! columns with a token that names its content, so that a repeated one is dropped. A batch counts as
//! committed once all its inserts are acknowledged; the table `_commits` says so. Before it is sent
//! it is kept in the outbox.
//!
//! Or, in another mode, a table holds each row that came and each that went ([`changelog`]).
//!
//! What the server says against an insert is of three kinds ([`trouble`]): it passes and the same bytes
//! are sent again; somebody must put the table or the rights right, and the sink waits for that; or rows
//! are refused, which are found by [`halving`] and set aside. So are those that no column holds
//! ([`unfit`]), which are never sent.

mod batch;
mod changelog;
mod encode;
mod halving;
mod layout;
mod native;
mod options;
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

pub use layout::{Mode, database_ddl, ddl};
use types::digest::digest128;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};
use types::{Epoch, Names};

use self::batch::{Encoded, PART};
use self::changelog::Log;
use self::halving::Halving;
use self::layout::{COMMIT_COLUMNS, COMMITS, qualified, quoted, table_name};
use self::outbox::{Batch, Outbox, Totals};
use self::server::{Before, Insert, Server, SetAside, Stored};
use self::trouble::Refusal;
use self::unfit::Unfit;
use super::held::Held;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "clickhouse",
    help: "keeps a ClickHouse table a view",
    options: options::OPTIONS,
    check: options::check,
    open,
};

const MIB: u64 = 1 << 20;

/// Epochs of a batch at most, though they have few rows: until it is sent a run that goes on gives them
/// again.
const BATCH_EPOCHS: u64 = 4_096;

fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let settings = &context.settings;
    let database = settings.text("database").unwrap_or("tapeline").to_string();
    let mode = options::mode(settings);
    let table = |view| Table::new(&context.name, view, mode);
    let tables: Vec<Table> = context.views.iter().map(table).collect();
    check_table_names(&context, mode)?;
    let state = context.state()?;
    let mut sink = ClickHouse {
        server: Server::new(&context)?,
        database,
        mode,
        tables,
        name: context.name,
        pipeline: context.pipeline,
        names: context.names,
        outbox: Outbox::new(Arc::clone(&state)),
        halving: Halving::open(state, context.is_resumed)?,
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
fn check_table_names(context: &SinkContext, mode: Mode) -> Result<(), ConnectError> {
    let mut taken = BTreeSet::from([COMMITS.to_string()]);
    for view in &context.views {
        let table = table_name(&view.name, mode);
        let shown = (mode == Mode::Rows).then(|| format!("{table}_v"));
        for name in shown.into_iter().chain([table]) {
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
    mode: Mode,
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
    mode: Mode,
    held: Waiting,
    /// Bytes of a row, about.
    row_bytes: usize,
    totals: Totals,
}

/// What isn't sent yet.
enum Waiting {
    /// The last change of each key.
    Rows(Held),
    /// All changes.
    Changes(Log),
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Self::Rows(held) => held.len(),
            Self::Changes(log) => log.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Rows(held) => held.clear(),
            Self::Changes(log) => log.clear(),
        }
    }
}

impl Table {
    fn new(sink: &str, view: &SinkView, mode: Mode) -> Self {
        Self {
            name: table_name(&view.name, mode),
            sink: sink.to_owned(),
            view: view.clone(),
            mode,
            held: match mode {
                Mode::Rows => Waiting::Rows(Held::new(view.kind)),
                Mode::Changelog => Waiting::Changes(Log::default()),
            },
            row_bytes: encode::row_bytes(&view.schema.columns),
            totals: Totals::default(),
        }
    }

    /// What is held, as parts of a batch.
    fn encode(&self, names: &Names, generation: u64) -> Result<Encoded, ConnectError> {
        match &self.held {
            Waiting::Rows(held) => batch::encode(&self.view, names, generation, held, PART),
            Waiting::Changes(log) => batch::encode_log(&self.view, names, log, PART),
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
            match &mut table.held {
                Waiting::Rows(held) => held.take(view, &table.view.schema, changes.epoch),
                Waiting::Changes(log) => log.take(view, changes.epoch),
            }
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
            let (came, went) = match self.mode {
                Mode::Rows => ("put", "deleted"),
                Mode::Changelog => ("added", "taken back"),
            };
            format!(
                "{}.{}: {} rows {came}, {} {went}, in {} inserts",
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
            quarantine: (n_refused > 0).then(|| self.halving.path()),
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
        if was_sent && self.has_committed(batch)? {
            return Ok(());
        }
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
        let Encoded { parts, n_deleted, unfit } = table.encode(&self.names, self.generation)?;
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
            // What is there twice in a changelog counts twice.
            let asks_first = self.mode == Mode::Changelog;
            let stored = count.clone().map(|sql| Stored { sql, n_rows, asks_first });
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

/// Counts the rows of a batch. They are the newest of their keys, so no merge takes them away; none takes
/// any of a changelog.
fn count_sql(
    database: &str,
    table: &Table,
    generation: u64,
    (first, last): (Epoch, Epoch),
) -> Option<String> {
    let (column, first, last) = match table.mode {
        Mode::Rows => {
            ("_version", batch::version(generation, first)?, batch::version(generation, last)?)
        }
        Mode::Changelog => ("_epoch", first.0, last.0),
    };
    let table = qualified(database, &table.name);
    Some(format!("SELECT toString(count()) FROM {table} WHERE {column} BETWEEN {first} AND {last}"))
}

fn insert_sql(database: &str, table: &Table) -> String {
    let of_view = table.view.schema.columns.iter().map(|column| quoted(&column.name));
    let behind = table.mode.columns().iter().map(|column| column.0.to_owned());
    let columns: Vec<String> = of_view.chain(behind).collect();
    let table = qualified(database, &table.name);
    format!("INSERT INTO {table} ({}) FORMAT Native", columns.join(", "))
}
