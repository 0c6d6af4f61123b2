//! Files that get their name last, so that an unfinished one never looks finished.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use crate::error::ConnectError;

/// Bytes held before they go to the system.
const BUFFER_BYTES: usize = 256 << 10;

/// A file under a temporary name beside its own. Dropped unfinished, it is removed, and whatever
/// bore its name stays.
pub(crate) struct Unfinished {
    /// Empty once the file bears its own name.
    temporary: Option<PathBuf>,
    path: PathBuf,
    file: BufWriter<File>,
}

impl Unfinished {
    /// Starts an empty file; one that an earlier run left unfinished is overwritten.
    pub(crate) fn create(path: PathBuf) -> Result<Self, ConnectError> {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".unfinished");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary)
            .map_err(|error| ConnectError::file("making", &temporary, error))?;
        point("file.made");
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { temporary: Some(temporary), path, file })
    }

    /// The name that it will bear.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), ConnectError> {
        point("file.sync.before");
        let synced = self.file.flush().and_then(|()| {
            if is_out(Safeguard::NamedSync) { Ok(()) } else { self.file.get_ref().sync_all() }
        });
        synced.map_err(|error| ConnectError::file("writing", &self.path, error))
    }

    /// Gives a synced file its name, in the place of whatever bore it.
    pub(crate) fn finish(mut self) -> Result<(), ConnectError> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        point("file.rename.before");
        std::fs::rename(temporary, &self.path).map_err(|error| {
            let doing = format!("renaming {} to", temporary.display());
            ConnectError::file(&doing, &self.path, error)
        })?;
        point("file.rename.after");
        self.temporary = None;
        sync_folder(&self.path)
    }

    /// Removes it, where it matters that it goes.
    #[cfg(feature = "parquet")]
    pub(crate) fn discard(mut self) -> Result<(), ConnectError> {
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        std::fs::remove_file(&temporary)
            .map_err(|error| ConnectError::file("removing", &temporary, error))
    }

    /// As [`Unfinished::finish`], under a name that wasn't known when the file was begun, in the same
    /// folder.
    #[cfg(feature = "parquet")]
    pub(crate) fn finish_as(mut self, path: PathBuf) -> Result<(), ConnectError> {
        self.path = path;
        self.finish()
    }
}

/// Makes the name of a file durable: it is that only once its folder is.
pub(crate) fn sync_folder(path: &Path) -> Result<(), ConnectError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| ConnectError::file("syncing folder", folder, error))
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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
