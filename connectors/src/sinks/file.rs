//! Files that get their name last, so that an unfinished one never looks finished.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use crate::env::{Files, OpenFile};
use crate::error::ConnectError;

/// Bytes held before they go to the system.
const BUFFER_BYTES: usize = 256 << 10;

/// A file that is written through a buffer.
pub(crate) type Buffered = BufWriter<Box<dyn OpenFile>>;

/// Puts a buffer before a file.
pub(crate) fn buffered(file: Box<dyn OpenFile>) -> Buffered {
    BufWriter::with_capacity(BUFFER_BYTES, file)
}

/// A file under a temporary name beside its own. Dropped unfinished, it is removed, and whatever
/// bore its name stays.
pub(crate) struct Unfinished {
    files: Arc<dyn Files>,
    /// Empty once the file bears its own name.
    temporary: Option<String>,
    name: String,
    file: Buffered,
}

impl Unfinished {
    /// Starts an empty file; one that an earlier run left unfinished goes.
    pub(crate) fn create(files: &Arc<dyn Files>, name: &str) -> Result<Self, ConnectError> {
        let temporary = format!("{name}.unfinished");
        let file = remove(&**files, &temporary).and_then(|_| files.create(&temporary));
        let file =
            file.map_err(|error| ConnectError::file("making", &files.path(&temporary), error))?;
        point("file.made");
        let (files, name) = (Arc::clone(files), name.to_owned());
        Ok(Self { files, temporary: Some(temporary), name, file: buffered(file) })
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> PathBuf {
        self.files.path(&self.name)
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), ConnectError> {
        point("file.sync.before");
        let synced = self.file.flush().and_then(|()| {
            if is_out(Safeguard::NamedSync) { Ok(()) } else { self.file.get_mut().sync_data() }
        });
        synced.map_err(|error| ConnectError::file("writing", &self.path(), error))
    }

    /// Gives a synced file its name, in the place of whatever bore it.
    pub(crate) fn finish(mut self) -> Result<(), ConnectError> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        point("file.rename.before");
        self.files.rename(temporary, &self.name).map_err(|error| {
            let doing = format!("renaming {} to", self.files.path(temporary).display());
            ConnectError::file(&doing, &self.path(), error)
        })?;
        point("file.rename.after");
        self.temporary = None;
        sync_names(&*self.files)
    }

    /// Removes it, where it matters that it goes.
    #[cfg(feature = "parquet")]
    pub(crate) fn discard(mut self) -> Result<(), ConnectError> {
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        self.files
            .remove(&temporary)
            .map_err(|error| ConnectError::file("removing", &self.files.path(&temporary), error))
    }

    /// As [`Unfinished::finish`], under a name that wasn't known when the file was begun.
    #[cfg(feature = "parquet")]
    pub(crate) fn finish_as(mut self, name: String) -> Result<(), ConnectError> {
        self.name = name;
        self.finish()
    }
}

/// Makes the names of files durable: a file has its name for good only once its folder is synced.
pub(crate) fn sync_names(files: &dyn Files) -> Result<(), ConnectError> {
    files.sync().map_err(|error| ConnectError::file("syncing folder", &folder(files), error))
}

/// Where the folder of files is.
pub(crate) fn folder(files: &dyn Files) -> PathBuf {
    files.path("").components().collect()
}

/// Removes a file; whether there was one.
pub(crate) fn remove(files: &dyn Files, name: &str) -> io::Result<bool> {
    match files.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
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
            && let Err(error) = self.files.remove(temporary)
        {
            let path = self.files.path(temporary);
            tracing::warn!(path = %path.display(), %error, "an unfinished file stays behind");
        }
    }
}
