//! The file sinks against plain state, and what they must not do.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use types::options::{Setting, Settings};
use types::relations::RelationKind;
use types::{Changes, Decimal, Epoch, Kind, Names, Row, Schema, Value};

use super::jsonl::FinalSink;
use crate::env::System;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, SINKS, Sink, SinkContext, SinkKind, SinkView};

#[path = "../../tests/support/dice.rs"]
mod dice;
#[path = "../../tests/support/history.rs"]
mod history;
pub(super) use history::{History, history, views};

/// The context of a sink over all views of a history.
pub(super) fn context(names: &Arc<Names>, folder: &Path, mode: Option<&str>) -> SinkContext {
    let mut settings = Settings::new(0..0);
    if let Some(mode) = mode {
        settings.set("mode", Setting::Text(mode.into()), 0..0);
    }
    let view = |(name, kind, schema): (&str, _, _)| SinkView { name: name.into(), kind, schema };
    SinkContext {
        name: "files".into(),
        pipeline: "test".into(),
        settings,
        base: folder.into(),
        views: views().into_iter().map(view).collect(),
        rates: BTreeMap::new(),
        names: Arc::clone(names),
        is_finite: true,
        state_dir: folder.join("state"),
        is_resumed: false,
        chance: 0,
        env: Arc::new(System),
    }
}

pub(super) fn open(kind: &str, context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let kind = SINKS.iter().find(|sink| sink.name == kind).expect("it is in the list");
    (kind.open)(context)
}

/// Writes a history, each epoch twice.
pub(super) fn write(sink: &mut dyn Sink, history: &History) {
    for (epoch, views) in &history.epochs {
        let changes = EpochChanges { epoch: *epoch, views: views.clone() };
        sink.write(&changes).unwrap();
        sink.write(&changes).unwrap();
    }
}

fn lines(folder: &Path, view: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("out/{view}.jsonl"))).unwrap();
    text.lines().map(str::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn final_files_hold_the_state_whatever_is_spilled(
        seed: u64,
        n_epochs in 0u64..30,
        n_keys in 1u64..40,
        held_bytes in prop_oneof![Just(1usize), 1usize..20_000, Just(1 << 20)],
    ) {
        let history = history(seed, n_epochs, n_keys);
        let folder = tempfile::tempdir().unwrap();
        let context = context(&history.names, folder.path(), None);
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let name = |view: &SinkView| format!("{}.jsonl", view.name);
        let files = context.files(&out).unwrap();
        let mut sink = FinalSink::open(&context, &files, name, held_bytes).unwrap();
        write(&mut sink, &history);
        sink.finish().unwrap();
        for ((view, ..), state) in views().iter().zip(&history.state) {
            let expected: Vec<String> = state.values().cloned().collect();
            prop_assert_eq!(lines(folder.path(), view), expected);
        }
    }

    #[test]
    fn changes_go_on_where_a_crash_left_them(
        seed: u64,
        stops in prop::collection::vec((0usize..30, any::<bool>(), 0usize..300), 0..4),
    ) {
        let history = history(seed, 25, 20);
        let folder = tempfile::tempdir().unwrap();
        let context = |is_resumed| SinkContext {
            is_resumed,
            ..context(&history.names, folder.path(), Some("changes"))
        };
        let changes = |epochs: usize| {
            let epochs = history.epochs.iter().take(epochs);
            epochs.map(|(epoch, views)| EpochChanges { epoch: *epoch, views: views.clone() })
        };
        let mut whole = open("jsonl", context(false)).unwrap();
        changes(25).for_each(|changes| whole.write(&changes).unwrap());
        let report = whole.finish().unwrap();
        let read = || views().iter().map(|(view, ..)| lines(folder.path(), view)).collect::<Vec<_>>();
        let expected = read();
        for (index, (n_epochs, flushes, n_garbage)) in stops.iter().enumerate() {
            let mut sink = open("jsonl", context(index > 0)).unwrap();
            for changes in changes(*n_epochs) {
                sink.write(&changes).unwrap();
                if *flushes && changes.epoch.0 % 4 == 0 {
                    sink.flush().unwrap();
                }
            }
            drop(sink);
            // Behind what was synced, anything may be left.
            for (view, ..) in views() {
                let path = folder.path().join(format!("out/{view}.jsonl"));
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&vec![b'x'; *n_garbage]).unwrap();
            }
        }
        let mut sink = open("jsonl", context(!stops.is_empty())).unwrap();
        changes(25).for_each(|changes| sink.write(&changes).unwrap());
        prop_assert_eq!(sink.finish().unwrap(), report);
        prop_assert_eq!(read(), expected);
    }

    #[test]
    fn changes_lead_to_the_state_in_order(seed: u64, n_epochs in 0u64..30, n_keys in 1u64..40) {
        let history = history(seed, n_epochs, n_keys);
        let folder = tempfile::tempdir().unwrap();
        let context = context(&history.names, folder.path(), Some("changes"));
        let mut sink = open("jsonl", context).unwrap();
        write(sink.as_mut(), &history);
        sink.flush().unwrap();
        for (index, (view, _, schema)) in views().iter().enumerate() {
            let (state, places) = replay(&lines(folder.path(), view), schema);
            prop_assert_eq!(&state, &history.state[index]);
            prop_assert!(places.is_sorted_by(|a, b| a < b), "{:?}", places);
        }
    }
}

/// Follows a file of changes: the rows that stand, and each line's epoch and key.
fn replay(lines: &[String], schema: &Schema) -> (BTreeMap<String, String>, Vec<(u64, String)>) {
    let (mut state, mut places) = (BTreeMap::new(), Vec::new());
    for line in lines {
        let change: serde_json::Value = serde_json::from_str(line).unwrap();
        let epoch = change["epoch"].as_str().unwrap().parse().unwrap();
        let is_put = change["op"] == "put";
        let member = if is_put { "row" } else { "key" };
        let columns: Vec<String> = schema
            .key()
            .iter()
            .map(|c| format!("\"{}\":{}", c.name, change[member][c.name.as_ref()]))
            .collect();
        let key = format!("{{{}}}", columns.join(","));
        if is_put {
            let (_, row) = line.split_once("\"row\":").unwrap();
            state.insert(key.clone(), row.strip_suffix('}').unwrap().to_string());
        } else {
            assert!(line.ends_with(&format!("\"op\":\"del\",\"key\":{key}}}")), "{line}");
            assert!(state.remove(&key).is_some(), "{line}");
        }
        places.push((epoch, key));
    }
    (state, places)
}

/// A sink over one view of name and size.
fn small(
    folder: &Path,
    mode: Option<&str>,
) -> (SinkContext, fn(&[(&str, i128, isize)]) -> Arc<Changes>) {
    let mut context = context(&Arc::default(), folder, mode);
    context.views.truncate(1);
    context.views[0] = SinkView {
        name: "sizes".into(),
        kind: RelationKind::Rows,
        schema: Arc::new(Schema {
            columns: [("name", Kind::Text), ("size", Kind::Size)]
                .map(|(name, kind)| types::Column { name: name.into(), kind, nullable: false })
                .into(),
            n_key: 1,
            time: None,
        }),
    };
    let changes = |rows: &[(&str, i128, isize)]| {
        let row = |(name, size, diff): &(&str, i128, isize)| {
            let size = Value::Number(Decimal::new(*size, 1));
            (Row(Arc::new([Value::Text((*name).into()), size])), *diff)
        };
        Arc::new(Changes::Rows(rows.iter().map(row).collect()))
    };
    (context, changes)
}

fn write_small(sink: &mut dyn Sink, epochs: Vec<Arc<Changes>>) {
    for (epoch, changes) in (7..).zip(epochs) {
        sink.write(&EpochChanges { epoch: Epoch(epoch), views: vec![changes] }).unwrap();
    }
}

#[test]
fn lines_look_as_they_are_documented() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, expected) in [
        ("final", vec![r#"{"name":"b","size":"2.5"}"#]),
        (
            "changes",
            vec![
                r#"{"epoch":"7","op":"put","row":{"name":"a\"","size":"1"}}"#,
                r#"{"epoch":"7","op":"put","row":{"name":"b","size":"2"}}"#,
                r#"{"epoch":"8","op":"del","key":{"name":"a\""}}"#,
                r#"{"epoch":"8","op":"put","row":{"name":"b","size":"2.5"}}"#,
            ],
        ),
    ] {
        let (context, changes) = small(folder.path(), Some(mode));
        let mut sink = open("jsonl", context).unwrap();
        let first = changes(&[("b", 20, 1), ("a\"", 10, 1)]);
        let second = changes(&[("a\"", 10, -1), ("b", 20, -1), ("b", 25, 1)]);
        write_small(sink.as_mut(), vec![first, second]);
        let report = sink.finish().unwrap();
        assert_eq!(lines(folder.path(), "sizes"), expected);
        let what = if mode == "final" { "1 rows" } else { "4 changes" };
        assert!(report.lines[0].ends_with(&format!("out/sizes.jsonl: {what}")), "{report:?}");
    }
}

#[test]
fn whatever_the_config_lets_a_sink_hold_its_files_are_the_same() {
    let history = history(7, 30, 40);
    for kind in SINKS.iter().filter(|sink| sink.options.iter().any(|it| it.name == "held_bytes")) {
        let files = |held_bytes: Option<u64>| {
            let folder = tempfile::tempdir().unwrap();
            let mut context = context(&history.names, folder.path(), Some("final"));
            if let Some(held_bytes) = held_bytes {
                context.settings.set("held_bytes", Setting::Count(held_bytes), 0..0);
            }
            let mut sink = open(kind.name, context).unwrap();
            write(sink.as_mut(), &history);
            sink.finish().unwrap();
            let file = |(view, ..): &(&str, _, _)| {
                std::fs::read(folder.path().join(format!("out/{view}.{}", kind.name))).unwrap()
            };
            views().iter().map(file).collect::<Vec<_>>()
        };
        let expected = files(None);
        for held_bytes in [0, 10_000, u64::MAX] {
            assert!(files(Some(held_bytes)) == expected, "{} with {held_bytes}", kind.name);
        }
    }
}

#[test]
fn an_unfinished_run_leaves_the_earlier_files_whole() {
    let writes_files = |sink: &&SinkKind| sink.options.iter().any(|option| option.name == "path");
    for kind in SINKS.iter().filter(writes_files).map(|sink| sink.name) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("out/sizes.{kind}"));
        let run = |finishes: bool, n_rows: usize| {
            let (context, changes) = small(folder.path(), None);
            let mut sink = open(kind, context).unwrap();
            let rows = [("a", 10, 1), ("b", 20, 1)];
            write_small(sink.as_mut(), vec![changes(&rows[..n_rows])]);
            if finishes {
                sink.finish().unwrap();
            }
        };
        run(false, 1);
        assert!(!path.exists(), "{kind}");
        run(true, 1);
        let earlier = std::fs::read(&path).unwrap();
        run(false, 2);
        assert_eq!(std::fs::read(&path).unwrap(), earlier, "{kind}");
        run(true, 2);
        assert_ne!(std::fs::read(&path).unwrap(), earlier, "{kind}");
        assert_eq!(std::fs::read_dir(folder.path().join("out")).unwrap().count(), 1, "{kind}");
    }
}

#[test]
fn what_a_sink_cannot_hold_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut context, _) = small(folder.path(), Some("final"));
    context.is_finite = false;
    assert!(open("jsonl", context).err().unwrap().to_string().contains("needs sources that end"));
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let (mut context, _) = small(folder.path(), None);
    context.settings.set("path", Setting::Text("taken".into()), 0..0);
    let error = open("jsonl", context).err().unwrap();
    assert!(error.to_string().starts_with("making folder ") && error.source.is_some());
}
