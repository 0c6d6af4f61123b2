//! Where files are written: nowhere that another sink writes, or that a source reads.

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
            is_there && other.kind_name() == sink.kind_name() && sink.shares_views(other, builder)
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
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
