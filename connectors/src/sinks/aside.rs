//! Rows that the outside refuses: a file of the sink's folder, one JSON line each.
//!
//! Whoever adds to it keeps how long it is. What a crash leaves behind that length is cut off, and comes
//! again.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::file::sync_folder;
use crate::error::ConnectError;

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
    path: PathBuf,
    /// Open once there is something in it.
    file: Option<File>,
}

impl Aside {
    /// The file as it counts: what is behind that is cut off.
    ///
    /// # Errors
    /// If it can't be cut, or is shorter.
    pub(crate) fn open(folder: &Path, length: Length) -> Result<Self, ConnectError> {
        let path = folder.join("quarantine.jsonl");
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && length.n_bytes == 0 => {
                return Ok(Self { path, file: None });
            }
            Err(error) => return Err(writing(&path, error)),
        };
        let failed = |error| writing(&path, error);
        let found = file.metadata().map_err(failed)?.len();
        if found < length.n_bytes {
            let what = format!("it has {found} bytes, and {} were written", length.n_bytes);
            return Err(ConnectError::broken(format!("going on with {}: {what}", path.display()))
                .hint("it was changed since: put it back, or start anew with `--fresh`"));
        }
        if !is_out(Safeguard::AsideCut) {
            file.set_len(length.n_bytes).map_err(failed)?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path, file: Some(file) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
            .map_err(|error| writing(&self.path, io::Error::from(error)))?;
        bytes.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = File::create(&self.path).map_err(|error| writing(&self.path, error))?;
                sync_folder(&self.path)?;
                none.insert(made)
            }
        };
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        written.map_err(|error| writing(&self.path, error))?;
        point("aside.written");
        let n_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Length { n_rows: length.n_rows + 1, n_bytes: length.n_bytes + n_bytes })
    }
}

fn writing(path: &Path, error: io::Error) -> ConnectError {
    ConnectError::file("writing quarantine file", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_its_length_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut aside = Aside::open(folder.path(), Length::default()).unwrap();
        assert!(!aside.path().exists(), "no row, no file");
        let one = aside.add(Length::default(), &"one").unwrap();
        assert_eq!(one, Length { n_rows: 1, n_bytes: 6 });
        aside.add(one, &"two").unwrap();
        let mut aside = Aside::open(folder.path(), one).unwrap();
        aside.add(one, &"three").unwrap();
        assert_eq!(std::fs::read_to_string(aside.path()).unwrap(), "\"one\"\n\"three\"\n");
        let longer = Length { n_rows: 9, n_bytes: 99 };
        let error = Aside::open(folder.path(), longer).err().expect("it is shorter");
        assert!(error.to_string().contains("it has 14 bytes, and 99 were written"), "{error}");
    }
}
