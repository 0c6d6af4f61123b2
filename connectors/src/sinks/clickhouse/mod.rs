//! `clickhouse`: a table a view, kept as the view is.
//!
//! Each row carries a version, so that the newest counts however often and in whatever order rows
//! are sent; `FINAL`, or the view `<table>_v`, shows one row a key. A batch holds the last change of
//! each key touched in a range of epochs. It is cut into inserts of one partition, each with a
//! token that names its content, so that a repeated one is dropped. A batch counts as committed
//! once all its inserts are acknowledged; the table `_commits` says so.

mod batch;
mod encode;
mod layout;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

pub use layout::{database_ddl, ddl};
use types::digest::digest128;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::{Epoch, Names};

use self::batch::{Encoder, GENERATION};
use self::layout::{
    COMMIT_COLUMNS, COMMITS, Found, FoundColumn, differences, literal, qualified, quoted,
    table_name,
};
use self::server::{Insert, Server, Stage};
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
    let tables: Vec<Table> = context.views.iter().map(Table::new).collect();
    check_table_names(&context)?;
    let sink = ClickHouse {
        server: Server::new(settings, context.is_finite)?,
        database,
        tables,
        name: context.name,
        pipeline: context.pipeline,
        names: context.names,
        range: None,
        last: None,
        must_empty: settings.text("on_existing") == Some("replace"),
        max_rows: size(settings.count("max_rows").unwrap_or(100_000)),
        max_bytes: size(settings.count("max_bytes").unwrap_or(16 * MIB)),
    };
    if !settings.has("create") || settings.flag("create") {
        sink.create()?;
    }
    sink.check_layouts()?;
    if !sink.must_empty {
        sink.check_empty()?;
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
    /// First and last epoch that isn't sent yet.
    range: Option<(Epoch, Epoch)>,
    /// The last epoch taken.
    last: Option<Epoch>,
    /// Whether what the tables hold goes before the first commit.
    must_empty: bool,
    max_rows: usize,
    max_bytes: usize,
}

struct Table {
    name: String,
    view: SinkView,
    held: Held,
    /// Bytes of a row, about.
    row_bytes: usize,
    n_put: u64,
    n_deleted: u64,
    n_inserts: u64,
}

impl Table {
    fn new(view: &SinkView) -> Self {
        Self {
            name: table_name(&view.name),
            view: view.clone(),
            held: Held::new(view.kind),
            row_bytes: encode::row_bytes(&view.schema.columns),
            n_put: 0,
            n_deleted: 0,
            n_inserts: 0,
        }
    }
}

impl Sink for ClickHouse {
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
        if n_rows >= self.max_rows || n_bytes >= self.max_bytes { self.commit() } else { Ok(()) }
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
        let line = |table: &Table| {
            format!(
                "{}.{}: {} rows put, {} deleted, in {} inserts",
                self.database, table.name, table.n_put, table.n_deleted, table.n_inserts
            )
        };
        Ok(SinkReport { lines: self.tables.iter().map(line).collect() })
    }
}

impl ClickHouse {
    /// Sends all that is held; returns once the server has acknowledged it.
    fn commit(&mut self) -> Result<(), ConnectError> {
        if self.tables.iter().all(|table| table.held.len() == 0) {
            self.range = None;
            return Ok(());
        }
        let Some(range) = self.range.take() else { return Ok(()) };
        self.empty()?;
        let mut commits = Vec::new();
        for index in 0..self.tables.len() {
            self.commit_table(index, range, &mut commits)?;
        }
        let sql = format!(
            "INSERT INTO {} ({COMMIT_COLUMNS}) FORMAT RowBinary",
            qualified(&self.database, COMMITS)
        );
        let doing = format!("committing epochs {} to {}", range.0, range.1);
        // Twice the same is once: the table's key says so. A token would only stand in the way of a
        // later run whose commits are equal.
        self.server.insert(&doing, &Insert { sql, token: None, bytes: commits.into() })
    }

    /// Sends what is held for one table, and adds its row for the table of commits.
    fn commit_table(
        &mut self,
        index: usize,
        (first, last): (Epoch, Epoch),
        commits: &mut Vec<u8>,
    ) -> Result<(), ConnectError> {
        let Some(table) = self.tables.get_mut(index) else { return Ok(()) };
        if table.held.len() == 0 {
            return Ok(());
        }
        let schema = Arc::clone(&table.view.schema);
        let mut encoder = Encoder::new(&table.view.name, &schema, &self.names);
        table.held.visit(&mut encoder)?;
        table.held.clear();
        let n_deleted = encoder.n_deleted();
        let sql = insert_sql(&self.database, table);
        let doing = format!("writing epochs {first} to {last} of view {}", table.view.name);
        let (mut n_rows, mut n_parts, mut digests) = (0, 0, Vec::new());
        for part in encoder.parts() {
            let token = format!(
                "{}/{}/{}/{first}-{last}/{n_parts}/{:032x}",
                self.pipeline, self.name, table.name, part.digest
            );
            let (sql, token) = (sql.clone(), Some(token));
            self.server.insert(&doing, &Insert { sql, token, bytes: part.bytes })?;
            digests.extend_from_slice(&part.digest.to_le_bytes());
            n_rows += u64::try_from(part.n_rows).unwrap_or(u64::MAX);
            n_parts += 1;
        }
        table.n_put += n_rows - n_deleted;
        table.n_deleted += n_deleted;
        table.n_inserts += n_parts;
        for text in [&self.pipeline, &self.name, &table.name] {
            encode::text(commits, text);
        }
        for count in [GENERATION, first.0, last.0, n_parts, n_rows] {
            commits.extend_from_slice(&count.to_le_bytes());
        }
        encode::text(commits, &format!("{:032x}", digest128(&digests)));
        Ok(())
    }

    /// Empties the tables, where that was asked for, once.
    fn empty(&mut self) -> Result<(), ConnectError> {
        if !self.must_empty {
            return Ok(());
        }
        for table in &self.tables {
            let name = qualified(&self.database, &table.name);
            // Emptying forgets the tokens too, so that equal rows count again.
            let sql = format!("TRUNCATE TABLE {name}");
            self.server.execute(Stage::Running, &format!("emptying table {name}"), &sql)?;
        }
        let commits = qualified(&self.database, COMMITS);
        let sql = format!(
            "ALTER TABLE {commits} DELETE WHERE pipeline = {} AND sink = {} SETTINGS mutations_sync = 2",
            literal(&self.pipeline),
            literal(&self.name)
        );
        self.server.execute(Stage::Running, &format!("emptying table {commits}"), &sql)?;
        self.must_empty = false;
        Ok(())
    }

    /// Makes what is missing.
    fn create(&self) -> Result<(), ConnectError> {
        let doing = format!("making the tables of database {}", self.database);
        let of_views = self.tables.iter().flat_map(|table| ddl(&table.view, &self.database));
        for sql in database_ddl(&self.database).into_iter().chain(of_views) {
            self.server.execute(Stage::Opening, &doing, &sql)?;
        }
        Ok(())
    }

    /// Compares the tables that are there with those that the views need.
    fn check_layouts(&self) -> Result<(), ConnectError> {
        let mut problems = String::new();
        for table in &self.tables {
            let name = format!("{}.{}", self.database, table.name);
            match self.find(&table.name)? {
                None => write!(problems, "\n  table {name} isn't there"),
                Some(found) => differences(&table.view, &found)
                    .into_iter()
                    .try_for_each(|line| write!(problems, "\n  table {name}: {line}")),
            }
            .map_err(|error| ConnectError::broken("comparing tables").because(error))?;
        }
        if problems.is_empty() {
            return Ok(());
        }
        let doing =
            format!("opening sink {}: the tables differ from the views:{problems}", self.name);
        Err(ConnectError::broken(doing).hint(
            "drop or rename these tables, or name another `database`; \
             `create = true` makes missing ones",
        ))
    }

    fn find(&self, table: &str) -> Result<Option<Found>, ConnectError> {
        let doing = format!("looking at table {}.{table}", self.database);
        let place = format!("database = {} AND {{}} = {}", literal(&self.database), literal(table));
        let sql = format!(
            "SELECT engine_full, sorting_key, partition_key FROM system.tables WHERE {}",
            place.replace("{}", "name")
        );
        let mut rows = self.server.rows(Stage::Opening, &doing, &sql)?;
        let Some(row) = rows.pop() else { return Ok(None) };
        let [engine, sorting_key, partition_key] = row.try_into().unwrap_or_default();
        let sql = format!(
            "SELECT name, type, default_kind FROM system.columns WHERE {} ORDER BY position",
            place.replace("{}", quoted("table").as_str())
        );
        let rows = self.server.rows(Stage::Opening, &doing, &sql)?;
        let column = |row: Vec<String>| {
            let [name, kind, default] = row.try_into().ok()?;
            Some(FoundColumn { name, kind, has_default: !default.is_empty() })
        };
        let columns = rows.into_iter().filter_map(column).collect();
        Ok(Some(Found { engine, sorting_key, partition_key, columns }))
    }

    /// Refuses tables that hold rows.
    fn check_empty(&self) -> Result<(), ConnectError> {
        for table in &self.tables {
            let shown = format!("{}.{}", self.database, table.name);
            let name = qualified(&self.database, &table.name);
            let doing = format!("looking for rows in table {shown}");
            let has_rows = format!("SELECT '1' FROM {name} LIMIT 1");
            if !self.server.rows(Stage::Opening, &doing, &has_rows)?.is_empty() {
                let doing = format!("opening sink {}: table {shown} holds rows", self.name);
                return Err(ConnectError::broken(doing).hint(
                    "`on_existing = \"replace\"` empties the sink's tables; \
                     or name a new `database`",
                ));
            }
            // Deleted rows leave their tokens behind, which would silently hold back equal inserts.
            // Emptying the table forgets them.
            let had_rows = format!(
                "SELECT '1' FROM system.parts WHERE active AND database = {} AND table = {} LIMIT 1",
                literal(&self.database),
                literal(&table.name)
            );
            if !self.server.rows(Stage::Opening, &doing, &had_rows)?.is_empty() {
                let doing = format!("forgetting the tokens of table {shown}");
                self.server.execute(Stage::Opening, &doing, &format!("TRUNCATE TABLE {name}"))?;
            }
        }
        Ok(())
    }
}

fn insert_sql(database: &str, table: &Table) -> String {
    let columns: Vec<String> = table.view.schema.columns.iter().map(|c| quoted(&c.name)).collect();
    format!(
        "INSERT INTO {} ({}, _version, _deleted) FORMAT RowBinary",
        qualified(database, &table.name),
        columns.join(", ")
    )
}
