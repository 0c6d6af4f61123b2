//! Parts over runs that are interrupted, that follow others, and whose files were changed meanwhile.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use types::digest::digest128;
use types::options::Setting;
use types::{Changes, Epoch};

use super::manifest;
use super::parts::PartsSink;
use super::tests::{parts_of, rows_of};
use crate::env::Disk;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkReport};
use crate::sinks::tests::{History, context, history, views};

/// A history that is written in parts, into a folder of its own.
struct Case {
    folder: tempfile::TempDir,
    history: History,
    part_rows: u64,
    part_epochs: u64,
}

impl Case {
    fn new(history: History, part_rows: u64, part_epochs: u64) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), history, part_rows, part_epochs }
    }

    fn open(&self, is_resumed: bool) -> Result<PartsSink, ConnectError> {
        let mut context = SinkContext {
            is_resumed,
            ..context(&self.history.names, self.folder.path(), Some("changes"))
        };
        context.settings.set("part_rows", Setting::Count(self.part_rows), 0..0);
        PartsSink::open(&context, &self.out(), self.part_epochs)
    }

    fn out(&self) -> std::path::PathBuf {
        self.folder.path().join("out")
    }

    /// Its first epochs. What the sink has already comes as one.
    fn write(&self, sink: &mut PartsSink, n_epochs: usize, flushes: impl Fn(u64) -> bool) {
        let kept = sink.kept_until().unwrap();
        let (given, rest): (Vec<_>, Vec<_>) =
            self.history.epochs.iter().take(n_epochs).partition(|(epoch, _)| *epoch <= kept);
        let bulk = given.last().map(|(_, views)| (kept, views.clone()));
        let rest = rest.into_iter().map(|(epoch, views)| (*epoch, views.clone()));
        for (epoch, views) in bulk.into_iter().chain(rest) {
            sink.write(&EpochChanges { epoch, views }).unwrap();
            if flushes(epoch.0) {
                sink.flush().unwrap();
            }
        }
    }

    /// Runs it to its end.
    fn finish(&self, is_resumed: bool, flushes: impl Fn(u64) -> bool) -> SinkReport {
        let mut sink = self.open(is_resumed).unwrap();
        self.write(&mut sink, usize::MAX, flushes);
        sink.flush().unwrap();
        let report = sink.finish().unwrap();
        assert_eq!(sink.kept_until(), Some(self.last()));
        report
    }

    fn last(&self) -> Epoch {
        self.history.epochs.last().map_or(Epoch(0), |(epoch, _)| *epoch)
    }

    /// All files by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (view, ..) in views() {
            for entry in std::fs::read_dir(self.out().join(view)).unwrap() {
                let path = entry.unwrap().path();
                let name = format!("{view}/{}", path.file_name().unwrap().to_str().unwrap());
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
        files
    }
}

/// The same history, into another folder.
fn again(case: &Case, seed: u64, n_epochs: u64) -> Case {
    Case::new(history(seed, n_epochs, 20), case.part_rows, case.part_epochs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn parts_are_the_same_whatever_interrupts_a_run(
        seed: u64,
        n_epochs in 0u64..25,
        part_rows in prop_oneof![1u64..100, Just(1_000_000)],
        part_epochs in prop_oneof![1u64..50, Just(4_096)],
        stops in prop::collection::vec((0usize..26, 1u64..6, any::<bool>()), 0..4),
    ) {
        let whole = Case::new(history(seed, n_epochs, 20), part_rows, part_epochs);
        let report = whole.finish(false, |_| false);
        let case = again(&whole, seed, n_epochs);
        for (index, (n_epochs, nth, leaves)) in stops.iter().enumerate() {
            let mut sink = case.open(index > 0).unwrap();
            case.write(&mut sink, *n_epochs, |epoch| epoch % nth == 0);
            if *leaves {
                // As a crash would, that lets nothing be removed; and a part that came before it was kept.
                let kept = sink.kept_until().unwrap().0;
                std::mem::forget(sink);
                for (view, ..) in views() {
                    let name = manifest::part_name(Epoch(kept + 1), Epoch(kept + 2));
                    std::fs::write(case.out().join(view).join(name), "torn").unwrap();
                    let under_way = case.out().join(view).join("next.parquet.unfinished");
                    std::fs::write(under_way, "torn").unwrap();
                }
            } else {
                sink.abandon().unwrap();
            }
        }
        let told = case.finish(!stops.is_empty(), |epoch| epoch % 3 == 0);
        let line = |line: &String| line.rsplit('/').next().unwrap().to_owned();
        let lines = |report: &SinkReport| report.lines.iter().map(line).collect::<Vec<_>>();
        prop_assert_eq!(lines(&told), lines(&report));
        prop_assert!(case.files() == whole.files(), "files differ");
    }

    #[test]
    fn a_manifest_lists_what_is_there(
        seed: u64,
        n_epochs in 0u64..20,
        part_rows in 1u64..100,
    ) {
        let case = Case::new(history(seed, n_epochs, 20), part_rows, 4_096);
        case.finish(false, |_| false);
        for (view, ..) in views() {
            let folder = case.out().join(view);
            let (found, text) = manifest::read(&Disk::open(&folder).unwrap()).unwrap();
            prop_assert_eq!(&found.view, view);
            prop_assert_eq!(Epoch(found.until), case.last());
            let spelled = manifest::spell(view, Epoch(found.until), &found.parts).unwrap();
            prop_assert_eq!(spelled, text);
            let listed: Vec<_> = found.parts.iter().map(|part| folder.join(&part.file)).collect();
            prop_assert_eq!(&listed, &parts_of(case.folder.path(), view));
            let mut before = 0;
            for (part, path) in found.parts.iter().zip(&listed) {
                let bytes = std::fs::read(path).unwrap();
                prop_assert!(part.first > before && part.last >= part.first);
                before = part.last;
                prop_assert_eq!(part.bytes, u64::try_from(bytes.len()).unwrap());
                prop_assert_eq!(part.rows, u64::try_from(rows_of(path).len()).unwrap());
                prop_assert_eq!(&part.digest, &format!("{:032x}", digest128(&bytes)));
            }
        }
    }
}

#[test]
fn a_manifest_looks_as_it_is_documented() {
    let part = |first, last| manifest::Part {
        file: manifest::part_name(Epoch(first), Epoch(last)),
        first,
        last,
        rows: 3,
        bytes: 1024,
        digest: "00ff".into(),
    };
    let text = manifest::spell("pnl", Epoch(9), &[part(1, 4), part(7, 9)]).unwrap();
    let expected = concat!(
        r#"{"view":"pnl","until":"9","parts":["#,
        "\n",
        r#"{"file":"00000000000000000001-00000000000000000004.parquet","first":"1","last":"4","#,
        r#""rows":"3","bytes":"1024","digest":"00ff"},"#,
        "\n",
        r#"{"file":"00000000000000000007-00000000000000000009.parquet","first":"7","last":"9","#,
        r#""rows":"3","bytes":"1024","digest":"00ff"}"#,
        "\n]}\n",
    );
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

/// A history of which some parts are kept, whose run was then interrupted.
fn interrupted() -> Case {
    let case = Case::new(history(5, 20, 20), 10, 4_096);
    let mut sink = case.open(false).unwrap();
    case.write(&mut sink, 15, |_| false);
    sink.abandon().unwrap();
    assert!(parts_of(case.folder.path(), "positions").len() > 2);
    case
}

/// Asserts that going on tells something, with what to do about it.
fn assert_told(case: &Case, what: &str) {
    let error = case.open(true).err().unwrap();
    assert!(error.to_string().contains(what), "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("--fresh")), "{error:?}");
}

#[test]
fn parts_that_were_changed_meanwhile_are_told() {
    let case = interrupted();
    let before = case.files();
    let part = &parts_of(case.folder.path(), "positions")[1];
    let name = part.file_name().unwrap().to_str().unwrap();
    let bytes = std::fs::read(part).unwrap();
    let longer = [&bytes[..], b"x"].concat();
    for damaged in [&bytes[1..], &longer] {
        std::fs::write(part, damaged).unwrap();
        let n_bytes = bytes.len();
        assert_told(
            &case,
            &format!("{name}: it has {} bytes, and {n_bytes} were written", damaged.len()),
        );
    }
    std::fs::remove_file(part).unwrap();
    assert_told(&case, name);
    std::fs::write(part, &bytes).unwrap();
    // What is told is left as it is.
    assert!(case.files() == before, "files were changed");
    std::fs::remove_file(case.out().join("bars.all/_manifest.json")).unwrap();
    assert_told(&case, "bars.all/_manifest.json");
}

#[test]
fn a_manifest_that_was_changed_meanwhile_is_told_or_put_right() {
    let whole = Case::new(history(5, 20, 20), 10, 4_096);
    whole.finish(false, |_| false);
    let case = interrupted();
    let path = case.out().join("positions/_manifest.json");
    let text = std::fs::read(&path).unwrap();
    let mut n_told = 0;
    for place in 0..text.len() {
        let mut damaged = text.clone();
        damaged[place] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        match case.open(true) {
            Ok(_) => assert_eq!(std::fs::read(&path).unwrap(), text, "at {place}"),
            Err(error) => {
                assert!(error.hint.is_some(), "{error:?}");
                n_told += 1;
            }
        }
        std::fs::write(&path, &text[..place]).unwrap();
        let is_told = case.open(true).is_err();
        assert!(is_told || place + 1 == text.len(), "cut at {place}");
    }
    // Its name and epoch are known without it.
    assert!(n_told + 20 > text.len(), "{n_told} of {} were told", text.len());
    std::fs::write(&path, &text).unwrap();
    case.finish(true, |_| false);
    assert!(case.files() == whole.files(), "files differ");
}

#[test]
fn parts_of_another_run_go_with_the_first_epoch_and_other_files_stay() {
    let case = Case::new(history(6, 12, 20), 30, 4_096);
    case.finish(false, |_| false);
    let others = [
        "notes.parquet",
        "0-1.parquet",
        "00000000000000000001-0000000000000000000x.parquet",
        "00000000000000000001-00000000000000000004.parquet.bak",
        "00000000000000000001-00000000000000000004",
    ];
    let folder = case.out().join("positions");
    let write = |name: &str| std::fs::write(folder.join(name), "mine").unwrap();
    others.into_iter().for_each(write);
    // A part of a run that was interrupted before its manifest.
    write(&manifest::part_name(Epoch(900), Epoch(901)));
    let before = case.files();
    let mut other = again(&case, 7, 12);
    other.folder = case.folder;
    drop(other.open(false).unwrap());
    assert!(other.files() == before, "files went before the first epoch");
    other.finish(false, |_| false);
    let mut files = other.files();
    for name in others {
        assert_eq!(files.remove(&format!("positions/{name}")).as_deref(), Some(&b"mine"[..]));
    }
    let alone = again(&other, 7, 12);
    alone.finish(false, |_| false);
    assert!(files == alone.files(), "something of the other run is left");
}

#[test]
fn a_view_without_changes_has_a_manifest_and_no_part() {
    let mut history = history(8, 4, 20);
    for (_, views) in &mut history.epochs {
        views[2] = std::sync::Arc::new(Changes::Rows(Vec::new()));
    }
    let case = Case::new(history, 1_000_000, 4_096);
    let report = case.finish(false, |_| false);
    assert!(report.lines[2].ends_with("/declared: 0 changes in 0 parts"), "{report:?}");
    assert!(report.lines[0].ends_with("changes in 1 parts"), "{report:?}");
    let (manifest, _) = manifest::read(&Disk::open(&case.out().join("declared")).unwrap()).unwrap();
    assert_eq!((Epoch(manifest.until), manifest.parts), (case.last(), Vec::new()));
    assert!(parts_of(case.folder.path(), "declared").is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_at_once() {
    let case = Case::new(history(9, 1, 5), 30, 4_096);
    std::fs::create_dir_all(case.out()).unwrap();
    std::fs::write(case.out().join("bars.all"), "").unwrap();
    let error = case.open(false).err().unwrap();
    assert!(error.to_string().starts_with("making folder "), "{error}");
    let at = case.out().join("declared/next.parquet.unfinished");
    std::fs::remove_file(case.out().join("bars.all")).unwrap();
    std::fs::create_dir_all(&at).unwrap();
    let error = case.open(false).err().unwrap();
    assert_eq!(error.to_string(), format!("making {}", Path::new(&at).display()));
}

#[cfg(feature = "sabotage")]
#[test]
fn where_parts_end_does_not_depend_on_pauses() {
    use types::sabotage::{Safeguard, assert_noticed};
    assert_noticed(Safeguard::PartsByEpochs, 1, |seed| {
        let whole = Case::new(history(seed, 9, 20), 60, 4_096);
        whole.finish(false, |_| false);
        let case = again(&whole, seed, 9);
        case.finish(false, |epoch| epoch % 3 == 0);
        assert!(case.files() == whole.files(), "files differ");
    });
}
