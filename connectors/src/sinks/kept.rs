//! What a sink must not forget: a small file that is replaced as a whole, so that a crash leaves the
//! old one or the new one.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use types::digest::digest128;
use types::fault::point;

use super::file::{Unfinished, remove, sync_names};
use crate::env::Files;
use crate::error::ConnectError;

/// A file of a sink's folder. Its first line is the digest of all that follows.
pub(super) struct Kept {
    files: Arc<dyn Files>,
    name: &'static str,
}

impl Kept {
    /// A file of a name; nothing is opened yet.
    pub(super) const fn new(files: Arc<dyn Files>, name: &'static str) -> Self {
        Self { files, name }
    }

    /// Puts a value in the place of what is kept; durable when it returns.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(super) fn write(&self, value: &impl Serialize) -> Result<(), ConnectError> {
        let text = serde_json::to_vec(value)
            .map_err(|error| self.failed("writing").because(io::Error::from(error)))?;
        self.write_bytes(&[&text])
    }

    /// What is kept; `None` where there is nothing.
    ///
    /// # Errors
    /// If the file can't be read, or isn't as it was written.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, ConnectError> {
        let Some(text) = self.read_bytes()? else { return Ok(None) };
        let value = serde_json::from_slice(&text);
        value.map(Some).map_err(|error| self.failed("reading").because(error).hint(DAMAGED))
    }

    /// As [`Kept::write`], of bytes in pieces.
    pub(super) fn write_bytes(&self, pieces: &[&[u8]]) -> Result<(), ConnectError> {
        let mut digest = types::digest::Digest128::new();
        for piece in pieces {
            digest.add(piece);
        }
        point("kept.begin");
        let mut file = Unfinished::create(&self.files, self.name)?;
        let written = writeln!(file, "{:032x}", digest.finish())
            .and_then(|()| pieces.iter().try_for_each(|piece| file.write_all(piece)));
        written.map_err(|error| ConnectError::file("writing", &self.path(), error))?;
        point("kept.written");
        file.sync()?;
        file.finish()?;
        point("kept.done");
        Ok(())
    }

    /// As [`Kept::read`], of bytes.
    pub(super) fn read_bytes(&self) -> Result<Option<Vec<u8>>, ConnectError> {
        let mut bytes = match self.files.read(self.name) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ConnectError::file("reading", &self.path(), error)),
        };
        let head = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let content = bytes.get(head + 1..).unwrap_or_default();
        let is_whole = bytes.get(..head) == Some(format!("{:032x}", digest128(content)).as_bytes());
        if !is_whole {
            return Err(self.failed("reading").hint(DAMAGED));
        }
        bytes.drain(..=head);
        Ok(Some(bytes))
    }

    /// Keeps nothing any more.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub(super) fn forget(&self) -> Result<(), ConnectError> {
        match remove(&*self.files, self.name) {
            Ok(true) => sync_names(&*self.files),
            Ok(false) => Ok(()),
            Err(error) => Err(ConnectError::file("removing", &self.path(), error)),
        }
    }

    fn path(&self) -> PathBuf {
        self.files.path(self.name)
    }

    fn failed(&self, doing: &str) -> ConnectError {
        ConnectError::broken(format!("{doing} {}", self.path().display()))
    }
}

const DAMAGED: &str = "the file isn't as it was written: `--fresh` starts the run anew";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Disk;

    #[test]
    fn what_is_kept_is_read_back_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(Arc::new(Disk::open(&folder.path().join("a/b")).unwrap()), "state");
        assert_eq!(kept.read::<u64>().unwrap(), None);
        kept.write(&7u64).unwrap();
        kept.write(&8u64).unwrap();
        assert_eq!(kept.read::<u64>().unwrap(), Some(8));
        let path = folder.path().join("a/b/state");
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let flip = |(i, byte): (usize, &u8)| if i == place { byte ^ 1 } else { *byte };
            let damaged: Vec<u8> = whole.iter().enumerate().map(flip).collect();
            std::fs::write(&path, &damaged).unwrap();
            kept.read::<u64>().unwrap_err();
            std::fs::write(&path, whole.get(..place).unwrap_or_default()).unwrap();
            kept.read::<u64>().unwrap_err();
        }
        kept.forget().unwrap();
        assert_eq!(kept.read::<u64>().unwrap(), None);
    }
}
