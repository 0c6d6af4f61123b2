//! The tables of a sink on their server: made, compared with the views, looked into, emptied.

use std::fmt::Write as _;

use clickhouse::error::Error;

use super::layout::{
    COMMITS, Found, FoundColumn, database_ddl, ddl, differences, literal, qualified, quoted,
};
use super::server::Server;
use super::{ClickHouse, Table};
use crate::error::ConnectError;
use crate::sinks::patience::Stage;

impl ClickHouse {
    /// The greatest generation of this sink's commits; 0 before the first.
    pub(super) fn newest_generation(&self) -> Result<u64, ConnectError> {
        let commits = qualified(&self.database, COMMITS);
        let sql = format!(
            "SELECT toString(max(generation)) FROM {commits} WHERE pipeline = {} AND sink = {}",
            literal(&self.pipeline),
            literal(&self.name)
        );
        let rows =
            self.server.rows(Stage::Opening, &format!("looking at table {commits}"), &sql)?;
        let newest = rows.first().and_then(|row| row.first()?.parse().ok());
        newest.ok_or_else(|| {
            ConnectError::broken(format!("looking at table {commits}: no generation came"))
        })
    }

    /// Empties the tables, where that was asked for, once.
    pub(super) fn empty(&mut self) -> Result<(), ConnectError> {
        if !self.must_empty {
            return Ok(());
        }
        for table in &self.tables {
            let name = qualified(&self.database, &table.name);
            // Emptying forgets the tokens too, so that equal rows count again.
            let sql = format!("TRUNCATE TABLE {name}");
            self.server.execute(Stage::Running, &format!("emptying table {name}"), &sql)?;
            types::fault::point("table.emptied");
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
    pub(super) fn create(&self) -> Result<(), ConnectError> {
        let doing = format!("making the tables of database {}", self.database);
        let of_views =
            self.tables.iter().flat_map(|table| ddl(&table.view, &self.database, table.mode));
        for sql in database_ddl(&self.database).into_iter().chain(of_views) {
            self.server.execute(Stage::Opening, &doing, &sql)?;
            types::fault::point("table.made");
        }
        Ok(())
    }

    /// Compares the tables that are there with those that the views need.
    pub(super) fn check_layouts(&self) -> Result<(), ConnectError> {
        let mut problems = String::new();
        for table in &self.tables {
            let name = format!("{}.{}", self.database, table.name);
            match self.find(&table.name)? {
                None => write!(problems, "\n  table {name} isn't there"),
                Some(found) => differences(&table.view, table.mode, &found)
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
        let (server, database) = (&self.server, self.database.as_str());
        server.ask(Stage::Opening, &doing, async || find(server, database, table).await)
    }

    /// Refuses tables that hold rows.
    pub(super) fn check_empty(&self) -> Result<(), ConnectError> {
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

/// Looks at a table.
async fn find(server: &Server, database: &str, table: &str) -> Result<Option<Found>, Error> {
    let place = format!("database = {} AND {{}} = {}", literal(database), literal(table));
    let sql = format!(
        "SELECT engine_full, sorting_key, partition_key FROM system.tables WHERE {}",
        place.replace("{}", "name")
    );
    let Some(row) = server.fetch(&sql).await?.pop() else { return Ok(None) };
    let [engine, sorting_key, partition_key] = row.try_into().unwrap_or_default();
    let sql = format!(
        "SELECT name, type, default_kind FROM system.columns WHERE {} ORDER BY position",
        place.replace("{}", quoted("table").as_str())
    );
    let column = |row: Vec<String>| {
        let [name, kind, default] = row.try_into().ok()?;
        Some(FoundColumn { name, kind, has_default: !default.is_empty() })
    };
    let columns: Vec<_> = server.fetch(&sql).await?.into_iter().filter_map(column).collect();
    Ok(whole(Found { engine, sorting_key, partition_key, columns }))
}

/// A table as it was found, unless it went meanwhile. Each table has columns and an engine; a server that
/// is asked while one is renamed or dropped leaves out the one or the other (26.7: an empty `engine_full`
/// in 9 of 3,280 answers beside a loop of `RENAME TABLE`).
fn whole(found: Found) -> Option<Found> {
    let is_whole = !found.columns.is_empty() && !found.engine.is_empty();
    is_whole.then_some(found)
}

/// Says in what a view's table isn't what it must be. Of one that isn't there, or can't be seen, the
/// server has more to say where rows are sent.
pub(super) async fn differs(
    server: &Server,
    database: &str,
    table: &Table,
) -> Result<Option<String>, Error> {
    let Some(found) = find(server, database, &table.name).await? else { return Ok(None) };
    let lines = differences(&table.view, table.mode, &found);
    Ok((!lines.is_empty()).then(|| lines.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_goes_while_it_is_looked_at_is_not_there() {
        let found = || Found {
            engine: "MergeTree ORDER BY x".into(),
            sorting_key: "x".into(),
            partition_key: String::new(),
            columns: vec![FoundColumn {
                name: "x".into(),
                kind: "UInt64".into(),
                has_default: false,
            }],
        };
        assert!(whole(found()).is_some());
        assert!(whole(Found { engine: String::new(), ..found() }).is_none());
        assert!(whole(Found { columns: Vec::new(), ..found() }).is_none());
    }
}
