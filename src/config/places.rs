//! Where files are written: nowhere that another sink writes, or that a source reads, as far as the texts of
//! paths tell: links and patterns aren't seen through.

use std::path::{Component, Path, PathBuf};

use dataflows::PlanBuilder;
use types::options::{OptionKind, Problem};

use super::sinks::Sink;
use super::sources::Source;

/// Tells of sinks that would write over one another, or over what is read.
pub(super) fn check_places(
    sinks: &[Sink],
    sources: &[Source],
    base: &Path,
    builder: &PlanBuilder,
    problems: &mut Vec<Problem>,
) {
    for (index, sink) in sinks.iter().enumerate() {
        let Some(folder) = folder(sink, base) else { continue };
        let shares = |other: &&Sink| {
            let is_there = self::folder(other, base).as_ref() == Some(&folder);
            is_there && writes_alike(sink, other) && sink.shares_views(other, builder)
        };
        if let Some(other) = sinks.iter().take(index).find(shares) {
            let message = format!("sink `{}` writes the same views there", other.name());
            problems.push(wrong(sink, message, "set another `path`"));
        }
        let is_over = |source: &&Source| {
            let file = source.file.as_ref().map(|file| plain(&base.join(&file.path)));
            file.is_some_and(|file| is_output(&file, &folder, sink, builder))
        };
        if let Some(source) = sources.iter().find(is_over) {
            let path = source.file.as_ref().map_or("", |file| file.path.as_str());
            let message = format!("it would write over {path}, which a source reads");
            problems.push(wrong(sink, message, "set another `path`"));
        }
    }
}

/// Whether two sinks call a view's files the same. Parquet has a file a view in one mode, a folder in the
/// other.
fn writes_alike(sink: &Sink, other: &Sink) -> bool {
    let modes = [sink, other].map(|sink| sink.settings().text("mode").map(str::to_owned));
    let is_apart = sink.kind_name() == Some("parquet") && modes[0] != modes[1];
    sink.kind_name() == other.kind_name() && !is_apart
}

fn wrong(sink: &Sink, message: String, hint: &str) -> Problem {
    Problem::new(sink.settings().place("path"), "path_taken", message).hint(hint)
}

/// The folder that a sink writes to.
fn folder(sink: &Sink, base: &Path) -> Option<PathBuf> {
    let has_path = sink.options().any(|o| o.name == "path" && o.kind == OptionKind::Path);
    sink.settings().text("path").filter(|_| has_path).map(|path| plain(&base.join(path)))
}

/// Whether a file is one that a sink writes: a view's, of the sink's kind.
fn is_output(file: &Path, folder: &Path, sink: &Sink, builder: &PlanBuilder) -> bool {
    let (stem, kind) = (file.file_stem(), file.extension());
    let text =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str().map(str::to_owned));
    file.parent() == Some(folder)
        && text(kind).as_deref() == sink.kind_name()
        && text(stem).is_some_and(|stem| sink.writes(&stem, builder))
}

/// A path without `.` and `..`, as far as its text tells.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            // One that leads out of where the path starts stays.
            Component::ParentDir => match plain.components().next_back() {
                Some(Component::Normal(_)) => drop(plain.pop()),
                Some(Component::RootDir) => {}
                _ => plain.push(".."),
            },
            other => plain.push(other),
        }
    }
    plain
}
