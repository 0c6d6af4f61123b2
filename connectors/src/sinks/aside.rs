//! Rows that the outside refuses: a file of the sink's folder, one JSON line each.
//!
//! Whoever adds to it keeps how long it is. What a crash leaves behind that length is cut off, and comes
//! again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::file::sync_names;
use crate::env::{Files, OpenFile};
use crate::error::ConnectError;

/// Its name in the sink's folder.
const NAME: &str = "quarantine.jsonl";

/// How much of the file counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Length {
    /// Lines.
    pub(crate) n_rows: u64,
    /// Bytes.
    pub(crate) n_bytes: u64,
}

/// The file of a sink.
pub(crate) struct Aside {
    files: Arc<dyn Files>,
    /// Open once there is something in it.
    file: Option<Box<dyn OpenFile>>,
}

impl Aside {
    /// The file as it counts: what is behind that is cut off.
    ///
    /// # Errors
    /// If it can't be cut, or is shorter.
    pub(crate) fn open(files: Arc<dyn Files>, length: Length) -> Result<Self, ConnectError> {
        let mut file = match files.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && length.n_bytes == 0 => {
                return Ok(Self { files, file: None });
            }
            Err(error) => return Err(writing(&*files, error)),
        };
        let found = file.n_bytes().map_err(|error| writing(&*files, error))?;
        if found < length.n_bytes {
            let what = format!("it has {found} bytes, and {} were written", length.n_bytes);
            let path = files.path(NAME);
            return Err(ConnectError::broken(format!("going on with {}: {what}", path.display()))
                .hint("it was changed since: put it back, or start anew with `--fresh`"));
        }
        if !is_out(Safeguard::AsideCut) {
            file.set_len(length.n_bytes).map_err(|error| writing(&*files, error))?;
        }
        Ok(Self { files, file: Some(file) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.files.path(NAME)
    }

    /// Adds a line behind what counts; durable when it returns. Gives how much counts then.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn add(
        &mut self,
        length: Length,
        line: &impl Serialize,
    ) -> Result<Length, ConnectError> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| writing(&*self.files, io::Error::from(error)))?;
        bytes.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = self.files.create(NAME);
                let made = none.insert(made.map_err(|error| writing(&*self.files, error))?);
                sync_names(&*self.files)?;
                made
            }
        };
        let written = file.append(&bytes).and_then(|()| file.sync_data());
        written.map_err(|error| writing(&*self.files, error))?;
        point("aside.written");
        let n_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Length { n_rows: length.n_rows + 1, n_bytes: length.n_bytes + n_bytes })
    }
}

fn writing(files: &dyn Files, error: io::Error) -> ConnectError {
    ConnectError::file("writing quarantine file", &files.path(NAME), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Disk;

    #[test]
    fn what_is_behind_its_length_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(Disk::open(folder.path()).unwrap());
        let mut aside = Aside::open(Arc::clone(&files), Length::default()).unwrap();
        assert!(!aside.path().exists(), "no row, no file");
        let one = aside.add(Length::default(), &"one").unwrap();
        assert_eq!(one, Length { n_rows: 1, n_bytes: 6 });
        aside.add(one, &"two").unwrap();
        let mut aside = Aside::open(Arc::clone(&files), one).unwrap();
        aside.add(one, &"three").unwrap();
        assert_eq!(std::fs::read_to_string(aside.path()).unwrap(), "\"one\"\n\"three\"\n");
        let longer = Length { n_rows: 9, n_bytes: 99 };
        let error = Aside::open(files, longer).err().expect("it is shorter");
        assert!(error.to_string().contains("it has 14 bytes, and 99 were written"), "{error}");
    }
}
