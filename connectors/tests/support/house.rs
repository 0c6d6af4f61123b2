//! The sink `clickhouse` of tests: opened on a real server, and what stands there afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use connectors::env::System;
use connectors::error::ConnectError;
use connectors::sink::{EpochChanges, SINKS, Sink, SinkContext, SinkView};
use types::options::{Setting, Settings};
use types::{Kind, Names, Span};

use super::history::{History, views};
use super::{Server, start};

/// A folder and, if there can be one, a server on it.
pub(crate) fn server() -> Option<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), 0)?;
    Some((folder, server))
}

pub(crate) fn settings(pairs: &[(&'static str, &str)]) -> Settings {
    let mut settings = Settings::new(0..0);
    for (name, text) in pairs {
        let setting = match *name {
            "give_up" => Setting::Duration(Span::parse(text).unwrap()),
            "max_rows" | "max_bytes" | "max_refused" => Setting::Count(text.parse().unwrap()),
            "create" => Setting::Bool(*text == "true"),
            _ => Setting::Text((*text).into()),
        };
        settings.set(name, setting, 0..0);
    }
    settings
}

pub(crate) fn context(names: &Arc<Names>, base: &Path, settings: Settings) -> SinkContext {
    let view = |(name, kind, schema): (&str, _, _)| SinkView { name: name.into(), kind, schema };
    SinkContext {
        name: "house".into(),
        pipeline: "test".into(),
        settings,
        base: base.into(),
        views: views().into_iter().map(view).collect(),
        rates: BTreeMap::new(),
        names: Arc::clone(names),
        is_finite: true,
        state_dir: state_dir(),
        is_resumed: false,
        chance: 0,
        env: Arc::new(System),
    }
}

/// A folder for each sink that is opened.
pub(crate) fn state_dir() -> PathBuf {
    static ALL: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    static NEXT: AtomicU64 = AtomicU64::new(0);
    ALL.path().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

pub(crate) fn open(kind: &str, context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    (SINKS.iter().find(|sink| sink.name == kind).unwrap().open)(context)
}

/// Opens the sink in the database `own` of a server.
pub(crate) fn open_house(
    server: &Server,
    names: &Arc<Names>,
    more: &[(&'static str, &str)],
) -> Result<Box<dyn Sink>, ConnectError> {
    open_house_in(server, names, more, (&state_dir(), false))
}

/// As [`open_house`], with a folder for its state, and whether it goes on from there.
pub(crate) fn open_house_in(
    server: &Server,
    names: &Arc<Names>,
    more: &[(&'static str, &str)],
    (state_dir, is_resumed): (&Path, bool),
) -> Result<Box<dyn Sink>, ConnectError> {
    let url = server.url();
    let mut pairs = vec![("url", url.as_str()), ("database", "own"), ("give_up", "30s")];
    pairs.extend_from_slice(more);
    let context = context(names, &PathBuf::new(), settings(&pairs));
    open("clickhouse", SinkContext { state_dir: state_dir.into(), is_resumed, ..context })
}

pub(crate) fn changes(history: &History) -> impl Iterator<Item = EpochChanges> {
    history.epochs.iter().map(|(epoch, views)| EpochChanges { epoch: *epoch, views: views.clone() })
}

/// The lines of the final files, as the sink `jsonl` writes them.
pub(crate) fn final_lines(history: &History, folder: &Path) -> Vec<Vec<String>> {
    let mut sink = open("jsonl", context(&history.names, folder, settings(&[]))).unwrap();
    changes(history).for_each(|changes| sink.write(&changes).unwrap());
    sink.finish().unwrap();
    let read = |view: &str| {
        let text = std::fs::read_to_string(folder.join(format!("out/{view}.jsonl"))).unwrap();
        text.lines().map(str::to_string).collect()
    };
    views().iter().map(|view| read(view.0)).collect()
}

/// The rows of a view as ClickHouse shows them, spelt as in the final files.
pub(crate) fn house_lines(server: &Server, view: &SinkView) -> Vec<String> {
    let mut lines = spelt(server, view, "''", &format!("own.{}_v", view.name.replace('.', "_")));
    lines.sort_by_key(|line| key_text(line, view));
    lines
}

/// The rows of some `table WHERE ..`, spelt as in files: by ClickHouse itself where its spelling is
/// ours, else by expression. Another expression leads each line.
pub(crate) fn spelt(server: &Server, view: &SinkView, lead: &str, from: &str) -> Vec<String> {
    let text = |column: &types::Column| {
        let name = format!("`{}`", column.name);
        let json = match column.kind {
            Kind::Bool => format!("toString({name})"),
            Kind::Float => format!("toJSONString({name})"),
            Kind::Time => {
                format!("concat('\"', replaceOne(toString({name}), ' ', 'T'), 'Z\"')")
            }
            Kind::Text | Kind::Name | Kind::Word(_) => {
                format!("toJSONString(CAST({name} AS Nullable(String)))")
            }
            _ => format!("concat('\"', toString({name}), '\"')"),
        };
        format!("concat('\"{}\":', ifNull({json}, 'null'))", column.name)
    };
    let columns: Vec<String> = view.schema.columns.iter().map(text).collect();
    let sql = format!(
        "SELECT concat({lead}, '{{', arrayStringConcat([{}], ','), '}}') AS line FROM {from} FORMAT TSVRaw",
        columns.join(", ")
    );
    // A text may hold a line's end, but only escaped: JSON's lines stay lines.
    server.query(&sql).lines().map(str::to_string).collect()
}

/// The key's text, by which final files are sorted.
pub(crate) fn key_text(line: &str, view: &SinkView) -> String {
    let row: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let columns = view.schema.key().iter();
    let columns: Vec<String> =
        columns.map(|c| format!("\"{}\":{}", c.name, row[c.name.as_ref()])).collect();
    format!("{{{}}}", columns.join(","))
}

pub(crate) fn assert_equals_files(server: &Server, history: &History, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let expected = final_lines(history, folder.path());
    let context = context(&history.names, folder.path(), settings(&[]));
    for (view, expected) in context.views.iter().zip(expected) {
        let found: Vec<serde_json::Value> = json(&house_lines(server, view));
        let expected = json(&expected);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{what}: {}", view.name);
        }
        assert_eq!(found.len(), expected.len(), "{what}: {}", view.name);
    }
}

/// Texts are escaped in more than one way, so lines are compared as what they mean.
pub(crate) fn json(lines: &[String]) -> Vec<serde_json::Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
