//! What is done to files that must outlive the process, so that tests can put a disk that fails in their
//! place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A folder for files. Names may have one folder in front.
pub trait Files: Send + Sync {
    /// Where a file is, for messages; an empty name is the folder's own.
    fn path(&self, name: &str) -> PathBuf;
    /// The names of the files in the folder, in no order.
    ///
    /// # Errors
    /// As the system says, here and below.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file; there must be none of its name. Its folder is made, too.
    ///
    /// # Errors
    /// If there is one.
    fn create(&self, name: &str) -> io::Result<Box<dyn OpenFile>>;
    /// Opens a file.
    ///
    /// # Errors
    /// If there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn OpenFile>>;
    /// Opens a file to write behind what is there, which may be a pipe or a device; makes it where there is
    /// none.
    ///
    /// # Errors
    /// As the system says.
    fn extend(&self, name: &str) -> io::Result<Box<dyn OpenFile>>;
    /// Gives a file another name; a file that has it goes.
    ///
    /// # Errors
    /// If there is none.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// If there is none.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Waits until all that was made, renamed and removed is on the disk.
    ///
    /// # Errors
    /// If that can't be known.
    fn sync(&self) -> io::Result<()>;

    /// All that is in a file.
    ///
    /// # Errors
    /// If there is none.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open(name)?;
        let n_bytes = usize::try_from(file.n_bytes()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; n_bytes];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// How many bytes are in a file.
    ///
    /// # Errors
    /// If there is none.
    fn n_bytes(&self, name: &str) -> io::Result<u64> {
        self.open(name)?.n_bytes()
    }
}

/// An open file.
pub trait OpenFile: Send {
    /// Bytes in it.
    ///
    /// # Errors
    /// As the system says, here and below.
    fn n_bytes(&self) -> io::Result<u64>;
    /// Fills `bytes` with what stands at an offset.
    ///
    /// # Errors
    /// If the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` behind what is there.
    ///
    /// # Errors
    /// If not all of it could be; some of it may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Writes some of `bytes` behind what is there; how many of them.
    ///
    /// # Errors
    /// If none could be.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map(|()| bytes.len())
    }
    /// Cuts what is behind an offset.
    ///
    /// # Errors
    /// As the system says.
    fn set_len(&mut self, n_bytes: u64) -> io::Result<()>;
    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// If that can't be known.
    fn sync_data(&mut self) -> io::Result<()>;
}

impl Write for dyn OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not `append`: who writes on after it failed must know how much is there.
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of a file system.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Opens a folder, which is made, durably, if it isn't there.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let was_there = folder.is_dir();
        make_durably(folder)?;
        // It may have been made by a run that was stopped before it could see to that.
        match File::open(above(folder)).and_then(|above| above.sync_all()) {
            // Above a folder that somebody made for us, we may have no rights.
            Err(error) if !was_there || !is_beyond_us(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { folder: folder.to_owned() })
    }
}

/// Whether a folder can't be synced by us at all.
fn is_beyond_us(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}

/// Makes a folder and those above it; each stands in the one above for good.
fn make_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    make_durably(above(folder))?;
    match fs::create_dir(folder) {
        // Another thread may have made it meanwhile.
        Err(error) if !folder.is_dir() => Err(error),
        Ok(()) | Err(_) => File::open(above(folder))?.sync_all(),
    }
}

/// The folder in which one stands.
fn above(folder: &Path) -> &Path {
    folder.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."))
}

impl Disk {
    /// Waits until the folder in front of a name, if there is one, holds it for good.
    fn sync_below(&self, name: &str) -> io::Result<()> {
        let Some((below, _)) = name.rsplit_once('/') else { return Ok(()) };
        File::open(self.folder.join(below))?.sync_all()
    }
}

impl Files for Disk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            Ok(entry.file_name().into_string().ok().filter(|_| !is_folder))
        };
        fs::read_dir(&self.folder)?.map(name).filter_map(Result::transpose).collect()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            make_durably(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        self.sync_below(name)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        let file = OpenOptions::new().read(true).append(true).open(self.path(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn extend(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        // Without reading: the other end of a pipe must be somebody else's.
        let file = OpenOptions::new().append(true).create(true).open(self.path(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        // What is only read may be read-only.
        fs::read(self.path(name))
    }

    fn n_bytes(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        self.sync_below(to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

struct DiskFile(File);

impl OpenFile for DiskFile {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn set_len(&mut self, n_bytes: u64) -> io::Result<()> {
        self.0.set_len(n_bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
