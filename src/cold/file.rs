//! Pieces in a file: appended through a buffer, read where they stand, their places used again.
//!
//! A piece takes a slot: the piece behind 8 bytes of checksum, rounded up to one of four sizes
//! between a power of two and the next, so that at most a fifth of a slot is empty. A freed slot takes
//! the next piece of its size. So the file is never longer than the slots of each size that were taken
//! at once, at most, all sizes added up. Of the engine's pieces the most come in two or three sizes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::cold::{ColdStore, Failure, Piece};
use types::digest::digest64;

/// Bytes that wait to be appended together.
const BUFFER: usize = 256 << 10;
/// Bytes of the checksum in front of a piece.
const HEADER: usize = 8;
/// The smallest slot.
const SLOT_MIN: usize = 64;

/// See the module.
pub(super) struct ColdFile {
    path: PathBuf,
    /// `None` until something must be written.
    file: Option<File>,
    /// Bytes in the file; the buffer follows them.
    n_flushed: u64,
    buffer: Vec<u8>,
    /// Slots to use again, by size.
    free: BTreeMap<usize, Vec<u64>>,
    /// Counts bytes for the summary.
    written: Arc<AtomicU64>,
}

impl ColdFile {
    /// Starts without a file.
    pub(super) fn new(path: PathBuf, written: Arc<AtomicU64>) -> Self {
        let (n_flushed, buffer, free) = (0, Vec::new(), BTreeMap::new());
        Self { path, file: None, n_flushed, buffer, free, written }
    }

    /// Writes to a file that is there.
    #[cfg(test)]
    pub(super) fn with_file(path: PathBuf, file: File) -> Self {
        let mut new = Self::new(path, Arc::default());
        new.file = Some(file);
        new
    }

    /// What an error of the system comes to.
    fn failed<T>(&self, doing: &str, done: io::Result<T>) -> Result<T, Box<Failure>> {
        done.map_err(|source| {
            Box::new(Failure { doing: format!("{doing} {}", self.path.display()), source })
        })
    }

    /// Writes at a place of the file, which is made if it isn't there. Another run's file of the same
    /// name stays its own: only its name goes.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), Box<Failure>> {
        let doing = "moving old history to";
        if self.file.is_none() {
            self.file = Some(self.failed(doing, self.make())?);
        }
        let Some(file) = &self.file else { unreachable!("it was made") };
        self.failed(doing, file.write_all_at(bytes, at))
    }

    fn make(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new().read(true).write(true).create_new(true).open(&self.path)
    }

    /// Writes the buffer to the file.
    fn flush(&mut self) -> Result<(), Box<Failure>> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write_at(&buffer, self.n_flushed)?;
        self.n_flushed += wide(buffer.len());
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Reads `bytes` at a place, of the file or of what waits.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        if let Some(start) = at.checked_sub(self.n_flushed) {
            let start = usize::try_from(start).map_err(io::Error::other)?;
            let waiting = self.buffer.get(start..).and_then(|rest| rest.get(..bytes.len()));
            let Some(waiting) = waiting else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            bytes.copy_from_slice(waiting);
            return Ok(());
        }
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(bytes, at)
    }
}

impl ColdStore for ColdFile {
    fn put(&mut self, bytes: &[u8]) -> Result<Piece, Box<Failure>> {
        let slot = slot_of(bytes.len());
        let n_bytes = u32::try_from(bytes.len()).map_err(io::Error::other);
        let n_bytes = self.failed("moving a piece of 4 GiB to", n_bytes)?;
        self.written.fetch_add(wide(bytes.len()), Ordering::Relaxed);
        let reused = self.free.get_mut(&slot).and_then(Vec::pop);
        let at = if let Some(at) = reused {
            at
        } else {
            if self.buffer.len() + slot > BUFFER && !self.buffer.is_empty() {
                self.flush()?;
            }
            let at = self.n_flushed + wide(self.buffer.len());
            self.buffer.resize(self.buffer.len() + slot, 0);
            at
        };
        let checksum = checksum(bytes, at).to_le_bytes();
        match at.checked_sub(self.n_flushed).and_then(|start| usize::try_from(start).ok()) {
            Some(start) => {
                let place = self.buffer.get_mut(start..start + slot).unwrap_or_default();
                for (place, byte) in place.iter_mut().zip(checksum.iter().chain(bytes)) {
                    *place = *byte;
                }
            }
            None => self.write_at(&[&checksum, bytes].concat(), at)?,
        }
        Ok(Piece { at, n_bytes })
    }

    fn get(&mut self, piece: Piece, bytes: &mut Vec<u8>) -> Result<(), Box<Failure>> {
        let doing = "reading old history back from";
        let n = usize::try_from(piece.n_bytes).unwrap_or(usize::MAX);
        bytes.clear();
        bytes.resize(HEADER + n, 0);
        self.failed(doing, self.read_at(bytes, piece.at))?;
        let stated = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
        bytes.drain(..HEADER);
        if stated != checksum(bytes, piece.at) {
            let what = format!("the checksum of {n} bytes at {} differs: damaged", piece.at);
            let source = io::Error::new(io::ErrorKind::InvalidData, what);
            return self.failed(doing, Err(source));
        }
        Ok(())
    }

    fn free(&mut self, piece: Piece) {
        let n = usize::try_from(piece.n_bytes).unwrap_or(usize::MAX);
        self.free.entry(slot_of(n)).or_default().push(piece.at);
    }
}

impl Drop for ColdFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays is removed by the next run.
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

/// A piece's checksum, which is another at another place.
fn checksum(bytes: &[u8], at: u64) -> u64 {
    digest64(bytes) ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The size of the slot of a piece.
pub(super) fn slot_of(n_bytes: usize) -> usize {
    let n = n_bytes.saturating_add(HEADER).max(SLOT_MIN);
    let step = (1_usize << n.ilog2()) / 4;
    n.div_ceil(step).saturating_mul(step)
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
