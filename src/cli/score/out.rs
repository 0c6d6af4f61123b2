//! Where scores go: stdout, a pipe, or a file that gets its name when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::is_gzip;
use crate::error::Error;

/// A CSV of scores.
pub(super) struct Out {
    rows: csv::Writer<Bytes>,
    /// Nothing for what is no regular file.
    file: Option<Unfinished>,
    place: String,
    is_closed: bool,
}

/// What the text of the rows goes through.
enum Bytes {
    Plain(BufWriter<Box<dyn Write>>),
    Gzip(GzEncoder<BufWriter<Box<dyn Write>>>),
}

/// A file that bears another name until it is whole. Dropped before, it is removed.
struct Unfinished {
    /// Its name at last.
    path: PathBuf,
    /// The name until then; nothing once it has gone.
    temporary: Option<PathBuf>,
}

impl Out {
    /// Opens a file, or stdout without one; a name that ends in `.gz` is written as gzip.
    ///
    /// # Errors
    /// If it can't be made, or is the file that is read.
    pub(super) fn open(path: Option<&Path>, rows: &Path) -> Result<Self, Error> {
        let whole = |path: &Path| path.canonicalize().ok();
        if path.and_then(whole).is_some_and(|path| whole(rows) == Some(path)) {
            let source = io::Error::other("these are the rows: name another file for the scores");
            return Err(Error::Io { doing: format!("writing to {}", rows.display()), source });
        }
        let place = path.map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
        let failed = |source| Error::Io { doing: format!("making {place}"), source };
        let (out, file): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout().lock()), None),
            Some(path) if path.exists() && !path.is_file() => {
                let opened = OpenOptions::new().write(true).open(path).map_err(failed)?;
                (Box::new(opened), None)
            }
            Some(path) => {
                let (made, file) = Unfinished::create(path).map_err(failed)?;
                (Box::new(made), Some(file))
            }
        };
        let out = BufWriter::new(out);
        let bytes = if path.is_some_and(is_gzip) {
            Bytes::Gzip(GzEncoder::new(out, Compression::default()))
        } else {
            Bytes::Plain(out)
        };
        Ok(Self { rows: csv::Writer::from_writer(bytes), file, place, is_closed: false })
    }

    /// Whether whoever reads has gone away: they have what they wanted.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn put(&mut self, cells: &[&str; 4]) -> Result<(), Error> {
        let written = self.rows.write_record(cells).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            kind => io::Error::other(format!("{kind:?}")),
        });
        self.is_closed |= is_gone(written, &self.place)?;
        Ok(())
    }

    /// Writes what is left and gives the file its name; whether anybody reads what was written.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn finish(self) -> Result<bool, Error> {
        let written = match self.rows.into_inner() {
            Ok(Bytes::Plain(mut out)) => out.flush(),
            Ok(Bytes::Gzip(out)) => out.finish().and_then(|mut out| out.flush()),
            Err(error) => Err(error.into_error()),
        };
        let is_closed = self.is_closed | is_gone(written, &self.place)?;
        if let Some(file) = self.file {
            is_gone(file.finish(), &self.place)?;
        }
        Ok(!is_closed)
    }
}

/// Whether whoever reads has gone away.
fn is_gone(written: io::Result<()>, place: &str) -> Result<bool, Error> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(source) => Err(Error::Io { doing: format!("writing {place}"), source }),
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
        }
    }
}

impl Unfinished {
    fn create(path: &Path) -> io::Result<(File, Self)> {
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(".unfinished");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary)?;
        Ok((file, Self { path: path.to_owned(), temporary: Some(temporary) }))
    }

    fn finish(mut self) -> io::Result<()> {
        match self.temporary.take() {
            Some(temporary) => std::fs::rename(temporary, &self.path),
            None => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(error) = std::fs::remove_file(temporary)
        {
            tracing::warn!(path = %temporary.display(), %error, "an unfinished file stays behind");
        }
    }
}
