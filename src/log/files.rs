//! What the log does to files, so that tests can put a disk that fails in their place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The folder of a log. Names may have one folder in front.
pub trait Files: Send + Sync {
    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// The names in the folder, in no order.
    ///
    /// # Errors
    /// As the system says, here and below.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file; there must be none of its name. Its folder is made, too.
    ///
    /// # Errors
    /// If there is one.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// Opens a file.
    ///
    /// # Errors
    /// If there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
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
}

/// A file of the log.
pub trait LogFile: Send {
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
        make_durably(folder)?;
        // It may have been made by a run that was stopped before it could see to that.
        File::open(above(folder))?.sync_all()?;
        Ok(Self { folder: folder.to_owned() })
    }
}

/// Makes a folder and those above it; each stands in the one above for good.
fn make_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    make_durably(above(folder))?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => File::open(above(folder))?.sync_all(),
    }
}

/// The folder in which one stands.
fn above(folder: &Path) -> &Path {
    folder.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."))
}

impl Files for Disk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        fs::read_dir(&self.folder)?.map(name).filter_map(Result::transpose).collect()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            make_durably(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().read(true).append(true).open(self.path(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync(&self) -> io::Result<()> {
        let below = self.folder.join(super::SALVAGED);
        if below.is_dir() {
            File::open(below)?.sync_all()?;
        }
        File::open(&self.folder)?.sync_all()
    }
}

struct DiskFile(File);

impl LogFile for DiskFile {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn set_len(&mut self, n_bytes: u64) -> io::Result<()> {
        self.0.set_len(n_bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
