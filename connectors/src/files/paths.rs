//! From a path or pattern of the config to files.

use std::path::{Component, Path, PathBuf};

use crate::error::{ConnectError, resolve};
use crate::source::FileSource;

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourceFile {
    /// As the config writes it; for a pattern, with its folder: part of ids that are places.
    pub(super) written: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Finds a source's files, sorted by path as written.
///
/// # Errors
/// A file that isn't there, a pattern that is none or matches nothing.
pub(super) fn expand(source: &FileSource) -> Result<Vec<SourceFile>, ConnectError> {
    let (name, written) = (&source.name, &source.path);
    let path = resolve(&source.base, written);
    // A file may have brackets in its name.
    let is_pattern = written.contains(['*', '?', '[']) && !path.exists();
    if !is_pattern {
        std::fs::metadata(&path).map_err(|error| {
            let doing = format!("opening `{written}` of source `{name}`, {}", path.display());
            ConnectError::broken(doing)
                .because(error)
                .hint("paths are relative to the config file's folder")
        })?;
        return Ok(vec![SourceFile { written: written.clone(), path }]);
    }
    let folder = Path::new(&glob::Pattern::escape(&source.base.to_string_lossy())).join(written);
    let bad = |message: String| {
        let doing = format!("reading the pattern `{written}` of source `{name}`");
        ConnectError::broken(doing).because(message)
    };
    let matches = glob::glob(&folder.to_string_lossy()).map_err(|error| bad(error.to_string()))?;
    let mut files = Vec::new();
    for found in matches {
        let path = found.map_err(|error| {
            ConnectError::file(
                "looking into",
                error.path(),
                std::io::Error::other(error.to_string()),
            )
        })?;
        if !path.is_dir() {
            files.push(SourceFile { written: as_written(&path, &source.base, written), path });
        }
    }
    files.sort();
    if files.is_empty() {
        let doing = format!(
            "looking for files of source `{name}`: the pattern `{written}` matches nothing, {}",
            path.display()
        );
        return Err(
            ConnectError::broken(doing).hint("patterns are relative to the config file's folder")
        );
    }
    Ok(files)
}

/// A matched file as the config would write it, so that the place of a row is the same wherever
/// the config's folder is.
fn as_written(path: &Path, base: &Path, pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return path.to_string_lossy().into_owned();
    }
    let is_named = |c: &Component<'_>| *c != Component::CurDir;
    let n_base = base.components().filter(is_named).count();
    let tail: PathBuf = path.components().filter(is_named).skip(n_base).collect();
    tail.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_reads_as_the_config_would_write_it() {
        for (path, base, pattern, written) in [
            ("/c/data/a.csv", "/c", "data/*.csv", "data/a.csv"),
            ("data/a.csv", ".", "data/*.csv", "data/a.csv"),
            ("data/a.csv", "", "./data/*.csv", "data/a.csv"),
            ("/c/../d/a.csv", "/c", "../d/*.csv", "../d/a.csv"),
            ("/d/a.csv", "/c", "/d/*.csv", "/d/a.csv"),
        ] {
            assert_eq!(as_written(Path::new(path), Path::new(base), pattern), written);
        }
    }
}
