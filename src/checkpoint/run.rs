//! A run: what epochs brought, as one file that is written once. It holds the entries of the log that
//! bring something (a kind, the length, the payload), one behind the other; its length and its checksum
//! stand in the manifest.

use std::path::PathBuf;

use types::fault::point;

use super::manifest::RunRef;
use crate::env::{Files, OpenFile};
use crate::error::Error;
use crate::journal::Entry;
use crate::limits;

/// Bytes that are written, and synced, at a time: one sync at the end would hold up the log's.
const PIECE: usize = 4 << 20;

/// Bytes before an entry's payload.
const HEAD: usize = 5;

/// Writes a run.
pub(super) struct RunWriter {
    path: PathBuf,
    file: Box<dyn OpenFile>,
    buffer: Vec<u8>,
    n_bytes: u64,
    crc: u32,
}

impl RunWriter {
    /// Begins a file, in the place of one that a crash may have left.
    pub(super) fn create(files: &dyn Files, name: &str) -> Result<Self, Error> {
        let path = files.path(name);
        match files.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("removing {}", path.display()), error));
            }
            Ok(()) | Err(_) => {}
        }
        let file = files.create(name);
        let file = file.map_err(|error| Error::io(format!("making {}", path.display()), error))?;
        point("checkpoint.run.begun");
        Ok(Self { path, file, buffer: Vec::new(), n_bytes: 0, crc: 0 })
    }

    /// Adds an entry by the kind and payload of its record.
    pub(super) fn add(&mut self, kind: u8, payload: &[u8]) -> Result<(), Error> {
        frame(kind, payload, &mut self.buffer);
        if self.buffer.len() >= PIECE { self.write() } else { Ok(()) }
    }

    /// Adds entries that are framed already.
    pub(super) fn add_frames(&mut self, frames: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(frames);
        if self.buffer.len() >= PIECE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.n_bytes += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        let written = self.file.append(&self.buffer).and_then(|()| self.file.sync_data());
        self.buffer.clear();
        point("checkpoint.run.written");
        written.map_err(|error| Error::io(format!("writing {}", self.path.display()), error))
    }

    /// Its bytes and their checksum. The file is on the disk then.
    pub(super) fn finish(mut self) -> Result<(u64, u32), Error> {
        self.write()?;
        Ok((self.n_bytes, self.crc))
    }
}

/// Writes an entry behind others.
pub(super) fn frame(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let n_payload = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.push(kind);
    out.extend(n_payload.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads a run, entry by entry.
pub(super) struct RunReader {
    path: PathBuf,
    file: Box<dyn OpenFile>,
    n_bytes: u64,
    /// Bytes of the file that were read.
    offset: u64,
    crc: u32,
    wanted: u32,
    buffer: Vec<u8>,
    begin: usize,
}

impl RunReader {
    /// Starts before the first entry; the file has the length that it should have.
    pub(super) fn open(files: &dyn Files, run: &RunRef) -> Result<Self, Error> {
        let path = files.path(&run.name());
        let opened = files.open(&run.name()).and_then(|file| Ok((file.n_bytes()?, file)));
        let opened = opened.map_err(|e| Error::io(format!("opening {}", path.display()), e));
        let (n_bytes, file) = opened?;
        if n_bytes != run.n_bytes {
            let what = format!("it has {n_bytes} bytes, and had {}", run.n_bytes);
            return Err(Error::Checkpoint { path, what });
        }
        let (offset, crc, wanted, buffer, begin) = (0, 0, run.crc, Vec::new(), 0);
        Ok(Self { path, file, n_bytes, offset, crc, wanted, buffer, begin })
    }

    /// The next entry; `None` behind the last, where the file was as it was written.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let Some(head) = self.take(HEAD)? else { return self.end().map(|()| None) };
        let [kind, length @ ..] = head else { return Err(self.damaged("it ends early")) };
        let (kind, length) = (*kind, length.first_chunk().map_or(0, |b| u32::from_le_bytes(*b)));
        let n_payload = usize::try_from(length).unwrap_or(usize::MAX);
        // Checked before a length is believed.
        if n_payload > limits::LOG_PAYLOAD_BYTES {
            return Err(self.damaged("an entry is longer than any can be"));
        }
        let Some(payload) = self.take(n_payload)? else {
            return Err(self.damaged("it ends early"));
        };
        let entry = Entry::decode(kind, payload);
        entry.map(Some).ok_or_else(|| self.damaged("an entry can't be read"))
    }

    /// Reads all of it and compares it with what was written.
    pub(super) fn verify(mut self) -> Result<(), Error> {
        loop {
            let n_ahead = self.buffer.len();
            self.begin = n_ahead;
            if !self.fill(1)? {
                return self.end();
            }
        }
    }

    /// Copies all of it behind what a run has.
    pub(super) fn copy_to(mut self, writer: &mut RunWriter) -> Result<(), Error> {
        while self.fill(1)? {
            writer.add_frames(self.buffer.get(self.begin..).unwrap_or_default())?;
            self.begin = self.buffer.len();
        }
        self.end()
    }

    fn end(&self) -> Result<(), Error> {
        if self.crc == self.wanted { Ok(()) } else { Err(self.damaged("its checksum differs")) }
    }

    /// The next bytes; `None` at the end of the file.
    fn take(&mut self, n: usize) -> Result<Option<&[u8]>, Error> {
        if !self.fill(n)? {
            let is_end = self.begin == self.buffer.len();
            return if is_end { Ok(None) } else { Err(self.damaged("it ends early")) };
        }
        let begin = self.begin;
        self.begin += n;
        Ok(self.buffer.get(begin..begin + n))
    }

    /// Sees to it that so many bytes are ahead; false where there aren't as many.
    fn fill(&mut self, n: usize) -> Result<bool, Error> {
        let n_ahead = self.buffer.len() - self.begin;
        if n_ahead >= n {
            return Ok(true);
        }
        let n_left = usize::try_from(self.n_bytes - self.offset).unwrap_or(usize::MAX);
        let n_read = (n - n_ahead).max(limits::LOG_READ_BYTES).min(n_left);
        self.buffer.drain(..self.begin);
        self.begin = 0;
        self.buffer.resize(n_ahead + n_read, 0);
        let more = self.buffer.get_mut(n_ahead..).unwrap_or_default();
        let read = self.file.read_at(more, self.offset);
        read.map_err(|error| Error::io(format!("reading {}", self.path.display()), error))?;
        self.crc = crc32c::crc32c_append(self.crc, more);
        self.offset += u64::try_from(n_read).unwrap_or(u64::MAX);
        Ok(self.buffer.len() >= n)
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        Error::Checkpoint { path: self.path.clone(), what: what.to_owned() }
    }
}
