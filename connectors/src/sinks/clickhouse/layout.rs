//! How views look in ClickHouse: types, statements, and what differs in a table that is there.

use types::{Column, Kind, Schema};

use crate::sink::SinkView;

/// The columns behind a view's own: which run and epoch wrote the row, and whether the key is gone.
pub(super) const VERSION_COLUMNS: [(&str, &str, &str); 2] =
    [("_version", "UInt64", " CODEC(DoubleDelta, ZSTD(1))"), ("_deleted", "UInt8", " DEFAULT 0")];

/// The columns behind a view's own in a changelog: when the row came or went, its place among the changes
/// of that epoch, and which of both.
const CHANGE_COLUMNS: [(&str, &str, &str); 3] = [
    ("_epoch", "UInt64", " CODEC(DoubleDelta, ZSTD(1))"),
    ("_seq", "UInt64", " CODEC(DoubleDelta, ZSTD(1))"),
    ("_diff", "Int8", ""),
];

/// The engine of a table of rows: one row a key and version, the newest counts.
const ENGINE: &str = "ReplacingMergeTree(_version, _deleted)";

/// The engine of a changelog: no merge takes a row away.
const CHANGES_ENGINE: &str = "MergeTree";

/// What a view's table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The rows as they stand.
    Rows,
    /// Each row that came, and each that went.
    Changelog,
}

impl Mode {
    /// The columns behind the view's own: name, type, what else the statement says.
    pub(super) const fn columns(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Rows => &VERSION_COLUMNS,
            Self::Changelog => &CHANGE_COLUMNS,
        }
    }
}

/// Blocks whose tokens a table remembers. Zero, ClickHouse's default, would forget them all.
const TOKEN_WINDOW: u32 = 10_000;

/// The setting that says so.
const WINDOW: &str = "non_replicated_deduplication_window";

/// The table of commits of all sinks that write into a database.
pub(super) const COMMITS: &str = "_commits";

/// Returns the statements that make a view's table, and the view `<table>_v` for readers of rows.
pub fn ddl(view: &SinkView, database: &str, mode: Mode) -> Vec<String> {
    let table = table_name(&view.name, mode);
    let of_view = view.schema.columns.iter().map(|column| {
        format!("{} {}{}", quoted(&column.name), type_name(column), codec(column.kind))
    });
    let behind = mode.columns().iter().map(|(name, kind, rest)| format!("{name} {kind}{rest}"));
    let columns: Vec<String> = of_view.chain(behind).collect();
    let columns = columns.join(",\n  ");
    if mode == Mode::Changelog {
        let name = qualified(database, &table);
        return vec![format!(
            "CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n) ENGINE = {CHANGES_ENGINE}\n\
             ORDER BY (_epoch, _seq)\nSETTINGS {WINDOW} = {TOKEN_WINDOW}"
        )];
    }
    let partition = partition_column(&view.schema)
        .and_then(|index| view.schema.columns.get(index))
        .map(|column| format!("PARTITION BY toYYYYMM({})\n", quoted(&column.name)));
    let key: Vec<String> = view.schema.key().iter().map(|column| quoted(&column.name)).collect();
    let has_null = view.schema.key().iter().any(|column| column.nullable);
    let nullable_key = if has_null { ", allow_nullable_key = 1" } else { "" };
    let (name, shown) = (qualified(database, &table), qualified(database, &format!("{table}_v")));
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n) ENGINE = {ENGINE}\n{}ORDER BY ({})\n\
             SETTINGS {WINDOW} = {TOKEN_WINDOW}{nullable_key}",
            partition.unwrap_or_default(),
            key.join(", "),
        ),
        format!(
            "CREATE VIEW IF NOT EXISTS {shown} AS SELECT * EXCEPT (_version, _deleted) \
             FROM {name} FINAL"
        ),
    ]
}

/// Returns the statements that make the database and the table of commits.
pub fn database_ddl(database: &str) -> Vec<String> {
    vec![
        format!("CREATE DATABASE IF NOT EXISTS {}", quoted(database)),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n  pipeline String,\n  sink String,\n  \
             `table` String,\n  generation UInt64,\n  first_epoch UInt64,\n  last_epoch UInt64,\n  \
             parts UInt64,\n  rows UInt64,\n  hash String\n) ENGINE = ReplacingMergeTree\n\
             ORDER BY (pipeline, sink, `table`, generation, first_epoch)",
            qualified(database, COMMITS)
        ),
    ]
}

/// The columns of the table of commits, as they are inserted.
pub(super) const COMMIT_COLUMNS: &str =
    "pipeline, sink, `table`, generation, first_epoch, last_epoch, parts, rows, hash";

/// The table of a view: a dot in its name is an underscore.
pub(super) fn table_name(view: &str, mode: Mode) -> String {
    let table = view.replace('.', "_");
    match mode {
        Mode::Rows => table,
        Mode::Changelog => format!("{table}_changes"),
    }
}

/// A name between backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A name of a database's table.
pub(super) fn qualified(database: &str, table: &str) -> String {
    format!("{}.{}", quoted(database), quoted(table))
}

/// A text between quotes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The column by whose months a table is cut: a time of the key, so that all versions of a row
/// stand in one partition.
pub(super) fn partition_column(schema: &Schema) -> Option<usize> {
    schema.key().iter().position(|column| column.kind == Kind::Time && !column.nullable)
}

/// The column's type, spelt as ClickHouse itself spells it.
fn type_name(column: &Column) -> String {
    let plain = match column.kind {
        Kind::Bool => "Bool".to_string(),
        Kind::Count => "UInt64".to_string(),
        Kind::Price => "Decimal(18, 9)".to_string(),
        Kind::Size | Kind::Money | Kind::Number => "Decimal(38, 9)".to_string(),
        Kind::Float => "Float64".to_string(),
        Kind::Time => "DateTime64(9, 'UTC')".to_string(),
        Kind::Text => "String".to_string(),
        Kind::Name if column.nullable => return "LowCardinality(Nullable(String))".to_string(),
        Kind::Name => "LowCardinality(String)".to_string(),
        Kind::Word(words) => {
            let numbered = words.iter().zip(1..);
            let words: Vec<String> = numbered
                .map(|(word, number): (_, u8)| format!("{} = {number}", literal(word)))
                .collect();
            format!("Enum8({})", words.join(", "))
        }
    };
    if column.nullable { format!("Nullable({plain})") } else { plain }
}

/// The type as which a column is sent. Names are sent as plain texts: that the server makes the
/// dictionary costs it hardly more than to read ours.
pub(super) fn sent_type(column: &Column) -> String {
    match column.kind {
        Kind::Name if column.nullable => "Nullable(String)".to_string(),
        Kind::Name => "String".to_string(),
        _ => type_name(column),
    }
}

/// The codec that measured smallest for such columns.
const fn codec(kind: Kind) -> &'static str {
    match kind {
        Kind::Time => " CODEC(Delta, ZSTD(1))",
        Kind::Price | Kind::Size | Kind::Money | Kind::Number | Kind::Text => " CODEC(ZSTD(3))",
        Kind::Count | Kind::Float => " CODEC(ZSTD(1))",
        Kind::Bool | Kind::Name | Kind::Word(_) => "",
    }
}

/// A column of a table that is there.
#[derive(Clone, Debug)]
pub(super) struct FoundColumn {
    pub(super) name: String,
    pub(super) kind: String,
    /// Whether rows that don't name it get a value of its own.
    pub(super) has_default: bool,
}

/// A table that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) engine: String,
    pub(super) sorting_key: String,
    pub(super) partition_key: String,
    pub(super) columns: Vec<FoundColumn>,
}

/// Says in what a table that is there differs from the one that the view needs, a line each.
pub(super) fn differences(view: &SinkView, mode: Mode, found: &Found) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, wanted: &str, is: &str| {
        if plain(wanted) != plain(is) {
            let or_none =
                |text: &str| if text.is_empty() { "none".into() } else { text.to_string() };
            differences.push(format!("{what} is {}, not {}", or_none(is), or_none(wanted)));
        }
    };
    let names = |columns: &[Column]| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_ref()).collect();
        names.join(", ")
    };
    let time = partition_column(&view.schema).and_then(|index| view.schema.columns.get(index));
    let (engine, is_engine, key, time) = match mode {
        Mode::Rows => (ENGINE, keeps_newest(&found.engine), names(view.schema.key()), time),
        Mode::Changelog => {
            (CHANGES_ENGINE, keeps_all(&found.engine), "_epoch, _seq".to_owned(), None)
        }
    };
    if !is_engine {
        compare("its engine", engine, &found.engine);
    }
    if mode == Mode::Changelog && forgets_tokens(&found.engine) {
        compare(&format!("its {WINDOW}"), &TOKEN_WINDOW.to_string(), "0");
    }
    compare("its ORDER BY", &key, bare(&found.sorting_key));
    let partition = time.map(|column| format!("toYYYYMM({})", column.name)).unwrap_or_default();
    compare("its PARTITION BY", &partition, &found.partition_key);

    let behind = mode.columns().iter().map(|(name, kind, _)| (*name, (*kind).to_string()));
    let of_view = view.schema.columns.iter().map(|c| (c.name.as_ref(), type_name(c)));
    let wanted: Vec<(&str, String)> = of_view.chain(behind).collect();
    for (name, kind) in &wanted {
        match found.columns.iter().find(|column| column.name == *name) {
            Some(column) => compare(&format!("column {name}"), kind, &column.kind),
            None => compare(&format!("column {name}"), kind, ""),
        }
    }
    for column in &found.columns {
        let is_wanted = wanted.iter().any(|(name, _)| column.name == *name);
        if !is_wanted && !column.has_default {
            compare(&format!("column {}", column.name), "", &column.kind);
        }
    }
    differences
}

/// Whether an engine keeps the newest row of a key. Replicated and shared engines keep the same rows; their
/// names and arguments only grow in front of ours.
fn keeps_newest(engine: &str) -> bool {
    engine.contains("ReplacingMergeTree(") && plain(engine).contains("_version,_deleted)")
}

/// Whether an engine keeps all rows.
fn keeps_all(engine: &str) -> bool {
    let name = engine.split([' ', '(']).next().unwrap_or_default();
    ["MergeTree", "ReplicatedMergeTree", "SharedMergeTree"].contains(&name)
}

/// Whether a table takes an insert again whose token it has.
fn forgets_tokens(engine: &str) -> bool {
    let is_plain = engine.split([' ', '(']).next() == Some(CHANGES_ENGINE);
    let window = engine.split_once(&format!("{WINDOW} = ")).map(|(_, behind)| behind);
    is_plain && window.is_none_or(|window| window.starts_with('0'))
}

/// Columns without the parentheses in which a server (26.7) shows one that was given in such.
fn bare(columns: &str) -> &str {
    let within = columns.strip_prefix('(').and_then(|columns| columns.strip_suffix(')'));
    within.filter(|columns| !columns.contains(['(', ')'])).unwrap_or(columns)
}

/// A spelling without what may differ between servers.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '`').collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::relations::RelationKind;

    use super::*;

    fn view(name: &str, kind: RelationKind) -> SinkView {
        SinkView { name: name.into(), kind, schema: Arc::new(kind.schema().unwrap()) }
    }

    fn found(view: &SinkView) -> Found {
        let columns = view.schema.columns.iter().map(|c| (c.name.to_string(), type_name(c)));
        let version = VERSION_COLUMNS.iter().map(|c| (c.0.to_string(), c.1.to_string()));
        let columns = columns.chain(version);
        let partition = partition_column(&view.schema);
        let key: Vec<&str> = view.schema.key().iter().map(|c| c.name.as_ref()).collect();
        Found {
            engine: format!("{ENGINE} ORDER BY whatever"),
            sorting_key: key.join(", "),
            partition_key: partition.map(|_| "toYYYYMM(bucket)".into()).unwrap_or_default(),
            columns: columns
                .map(|(name, kind)| FoundColumn { name, kind, has_default: false })
                .collect(),
        }
    }

    #[test]
    fn a_table_of_months_only_where_the_key_has_a_time() {
        let bars = ddl(&view("bars", RelationKind::Bars), "x", Mode::Rows).join(";\n");
        assert!(bars.contains("PARTITION BY toYYYYMM(`bucket`)"), "{bars}");
        assert!(bars.contains("ORDER BY (`venue`, `asset`, `size`, `bucket`)"), "{bars}");
        let errors =
            ddl(&view("positions.errors", RelationKind::Errors), "x", Mode::Rows).join(";\n");
        assert!(errors.contains("`x`.`positions_errors` (") && !errors.contains("PARTITION"));
        assert!(errors.contains("VIEW IF NOT EXISTS `x`.`positions_errors_v`"), "{errors}");
        let positions =
            ddl(&view("positions", RelationKind::Positions), "x", Mode::Rows).join(";\n");
        for part in [
            "`market` LowCardinality(Nullable(String))",
            "`cost` Nullable(Decimal(38, 9)) CODEC(ZSTD(3))",
            "`avg_price` Nullable(Decimal(18, 9))",
            "`basis` Enum8('known' = 1, 'unknown' = 2)",
            "`updated_at` DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))",
            "`n_fills` UInt64",
        ] {
            assert!(positions.contains(part), "{part} isn't in {positions}");
        }
    }

    #[test]
    fn differences_are_named_one_by_one() {
        let view = view("bars", RelationKind::Bars);
        let mut table = found(&view);
        assert_eq!(differences(&view, Mode::Rows, &table), [""; 0]);
        let replicated =
            "ReplicatedReplacingMergeTree('/x', '{replica}', _version, _deleted) ORDER BY a";
        table.engine = replicated.into();
        assert_eq!(differences(&view, Mode::Rows, &table), [""; 0]);
        table.sorting_key = format!("({})", table.sorting_key);
        assert_eq!(differences(&view, Mode::Rows, &table), [""; 0]);

        table.engine = "MergeTree ORDER BY venue".into();
        table.sorting_key = "venue".into();
        table.partition_key.clear();
        table.columns.retain(|column| column.name != "vwap");
        for (name, kind, has_default) in [("extra", "String", false), ("mine", "UInt8", true)] {
            table.columns.push(FoundColumn { name: name.into(), kind: kind.into(), has_default });
        }
        for column in table.columns.iter_mut().filter(|column| column.name == "open") {
            column.kind = "Float64".into();
        }
        assert_eq!(
            differences(&view, Mode::Rows, &table),
            [
                "its engine is MergeTree ORDER BY venue, not ReplacingMergeTree(_version, _deleted)",
                "its ORDER BY is venue, not venue, asset, size, bucket",
                "its PARTITION BY is none, not toYYYYMM(bucket)",
                "column open is Float64, not Decimal(18, 9)",
                "column vwap is none, not Nullable(Decimal(18, 9))",
                "column extra is String, not none",
            ]
        );
    }

    #[test]
    fn a_changelog_keeps_all_rows_and_remembers_tokens() {
        let view = view("bars", RelationKind::Bars);
        let statements = ddl(&view, "x", Mode::Changelog);
        let [statement] = statements.as_slice() else { panic!("{statements:?}") };
        for part in [
            "`x`.`bars_changes` (",
            "ENGINE = MergeTree\nORDER BY (_epoch, _seq)\n",
            "_diff Int8\n",
            "SETTINGS non_replicated_deduplication_window = 10000",
        ] {
            assert!(statement.contains(part), "{part} isn't in {statement}");
        }
        let mut table = found(&view);
        table.sorting_key = "_epoch, _seq".into();
        table.partition_key.clear();
        table.columns.retain(|column| !column.name.starts_with('_'));
        for (name, kind, _) in CHANGE_COLUMNS {
            let (name, kind) = (name.into(), kind.into());
            table.columns.push(FoundColumn { name, kind, has_default: false });
        }
        let order = "ORDER BY (_epoch, _seq) SETTINGS index_granularity = 8192";
        let mut differs = |engine: &str| {
            table.engine = format!("{engine} {order}");
            differences(&view, Mode::Changelog, &table).len()
        };
        for (engine, n_differences) in [
            ("ReplicatedMergeTree('/x', '{replica}')", 0),
            ("SharedMergeTree", 0),
            ("ReplacingMergeTree", 1),
            ("SummingMergeTree(_diff)", 1),
            ("CollapsingMergeTree(_diff)", 1),
            ("MergeTree", 1),
        ] {
            assert_eq!(differs(engine), n_differences, "{engine}");
        }
        for (window, n_differences) in [("10000", 0), ("0", 1)] {
            table.engine = format!("MergeTree {order}, {WINDOW} = {window}");
            assert_eq!(differences(&view, Mode::Changelog, &table).len(), n_differences);
        }
        assert!(!differences(&view, Mode::Rows, &table).is_empty());
    }
}
