//! The bytes of a file, plain or gzip, through one buffer that its reader looks into.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::limits::READ_BYTES;

/// What every gzip file starts with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file that is read from its start to its end.
pub(super) struct Bytes {
    input: Input,
    /// Bytes of the file as it lies on disk.
    length: u64,
    buffer: Vec<u8>,
    /// What of the buffer wasn't taken yet.
    start: usize,
    end: usize,
}

enum Input {
    Plain(Counted),
    Gzip(MultiGzDecoder<BufReader<Counted>>),
}

impl Bytes {
    /// Opens a regular file; gzip where it starts like one or is named `.gz`.
    ///
    /// # Errors
    /// Where it can't be opened or isn't a regular file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Looked at first, because opening a FIFO waits for whoever writes into it.
        refuse_unless_regular(&std::fs::metadata(path)?)?;
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        refuse_unless_regular(&metadata)?;
        let mut magic = Vec::new();
        file.by_ref().take(2).read_to_end(&mut magic)?;
        file.rewind()?;
        let is_named_gz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        let is_gzip = is_named_gz || magic == GZIP_MAGIC;
        let counted = Counted { file, n_read: 0 };
        let input = if is_gzip {
            Input::Gzip(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, counted)))
        } else {
            Input::Plain(counted)
        };
        Ok(Self { input, length: metadata.len(), buffer: Vec::new(), start: 0, end: 0 })
    }

    /// What was read and not yet taken.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes bytes of the rest; gives where they stand until more are read.
    #[inline]
    pub(super) fn take(&mut self, n: usize) -> (usize, usize) {
        let start = self.start;
        self.start = self.end.min(start + n);
        (start, self.start)
    }

    /// Bytes that were taken since more were read.
    #[inline]
    pub(super) fn taken(&self, (start, end): (usize, usize)) -> &[u8] {
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// Reads more behind the rest; false at the file's end.
    ///
    /// # Errors
    /// Where the file can't be read or its gzip is damaged. What stood before is in the rest.
    pub(super) fn more(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 2).max(READ_BYTES), 0);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let n = loop {
            let read = match &mut self.input {
                Input::Plain(file) => file.read(free),
                Input::Gzip(gzip) => gzip.read(free),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An empty file isn't a gzip, though the decoder takes it for one of no members.
                Ok(0) if self.length == 0 && matches!(self.input, Input::Gzip(_)) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                read => break read?,
            }
        };
        self.end += n;
        Ok(n > 0)
    }

    /// Bytes of the file read so far, and its length.
    pub(super) fn progress(&self) -> (u64, u64) {
        let counted = match &self.input {
            Input::Plain(counted) => counted,
            Input::Gzip(gzip) => gzip.get_ref().get_ref(),
        };
        (counted.n_read, self.length)
    }
}

fn refuse_unless_regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    n_read: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.n_read += u64::try_from(n).unwrap_or(u64::MAX);
        Ok(n)
    }
}
