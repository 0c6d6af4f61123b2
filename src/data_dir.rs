//! The data directory: what a pipeline must not forget, and the lock that keeps a second engine out.
//!
//! | in it | what |
//! |---|---|
//! | `lock` | held while an engine runs; says which process |
//! | `log/` | what happened, in its order ([`crate::log`], [`crate::journal`]) |
//! | `checkpoints/` | what the log's events come to ([`crate::checkpoint`]) |
//! | `crashes.json` | where workers have panicked, and rows at which they do ([`crate::poison`]) |
//! | `sinks/<name>/` | what a sink must not forget |
//! | `quarantine.jsonl` | inputs that can't be used |
//! | `replayed/` | such inputs put right, which every run reads ([`crate::replayed`]) |
//! | `cold/` | history that doesn't fit into memory; of no use to another run |

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::fault::point;

use crate::env::{Env, Files};
use crate::error::Error;
use crate::quarantine;

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    env: Arc<dyn Env>,
    /// Let go of when the process ends, however it ends.
    _lock: File,
}

/// The folder of the sinks' folders.
const SINKS: &str = "sinks";
/// The folder of the checkpoints.
const CHECKPOINTS: &str = "checkpoints";
/// The folder of the log, the one that a new log is made in, and the one that an old log goes to.
const LOG: &str = "log";
const NEW_LOG: &str = "log.new";
const OLD_LOG: &str = "log.old";
/// The file of a log's folder that says which log it is.
const LOG_ID: &str = "id";

impl DataDir {
    /// Takes a data directory; makes it if it isn't there.
    ///
    /// # Errors
    /// If another engine holds it, or it can't be made.
    pub(crate) fn take(path: &Path, env: Arc<dyn Env>) -> Result<Self, Error> {
        let failed =
            |source| Error::io(format!("taking data directory {}", path.display()), source);
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = path.join("lock");
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock);
        let mut lock = open.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).unwrap_or_default();
                return Err(Error::Held {
                    path: path.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let says = lock.set_len(0).and_then(|()| writeln!(lock, "process {}", std::process::id()));
        says.map_err(failed)?;
        point("dir.taken");
        Ok(Self { path: path.to_owned(), env, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files of a folder of it, made where it isn't there.
    ///
    /// # Errors
    /// If it can't be.
    pub(crate) fn files(&self, folder: &Path) -> Result<Arc<dyn Files>, Error> {
        let opened = self.env.files(folder);
        opened.map_err(|error| Error::io(format!("opening {}", folder.display()), error))
    }

    /// What the run takes from its surroundings.
    pub(crate) fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    /// Bits that nobody can know before.
    pub(crate) fn chance(&self) -> u128 {
        self.env.chance()
    }

    /// The file of the rows that can't be used.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.path.join(quarantine::FILE)
    }

    /// The folder of a sink.
    pub(crate) fn sink(&self, name: &str) -> PathBuf {
        self.path.join(SINKS).join(name)
    }

    /// Whether a sink has kept something: what it delivered so far counts.
    ///
    /// # Errors
    /// If folders can't be read.
    pub(crate) fn has_delivered(&self) -> Result<bool, Error> {
        for sink in entries(&self.path.join(SINKS))? {
            if !entries(&sink)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets what sinks have kept.
    ///
    /// # Errors
    /// If it can't be removed.
    pub(crate) fn forget_sinks(&self) -> Result<(), Error> {
        let folder = self.path.join(SINKS);
        point("sinks.forget.before");
        remove(&folder).map_err(|e| Error::io(format!("removing {}", folder.display()), e))?;
        point("sinks.forget.after");
        Ok(())
    }

    /// The folder of the checkpoints.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.path)
    }

    /// Forgets all checkpoints: they are of another log.
    ///
    /// # Errors
    /// If they can't be removed.
    pub(crate) fn forget_checkpoints(&self) -> Result<(), Error> {
        let folder = self.checkpoints();
        remove(&folder).map_err(|e| Error::io(format!("removing {}", folder.display()), e))
    }

    /// The folder of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Which log there is; `None` without one.
    ///
    /// # Errors
    /// If its folder can't be read, or isn't a log's.
    pub(crate) fn log_id(&self) -> Result<Option<u128>, Error> {
        let path = self.log().join(LOG_ID);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !self.log().exists() => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format!("reading {}", path.display()), error)),
        };
        let id = u128::from_str_radix(text.trim(), 16);
        let doing = || format!("reading {}: it holds no log's id", path.display());
        id.map(Some).map_err(|error| Error::io(doing(), std::io::Error::other(error)))
    }

    /// Puts an empty log in the place of whatever log there is; a crash leaves the old one or the new
    /// one. Gives its id.
    ///
    /// # Errors
    /// If folders can't be made, renamed or removed.
    pub(crate) fn new_log(&self) -> Result<u128, Error> {
        let id = self.env.chance();
        let replaced = self.replace_log(id);
        let doing = || format!("starting a log in {}", self.path.display());
        replaced.map_err(|source| Error::io(doing(), source))?;
        Ok(id)
    }

    fn replace_log(&self, id: u128) -> std::io::Result<()> {
        let (log, new, old) = (self.log(), self.path.join(NEW_LOG), self.path.join(OLD_LOG));
        remove(&new)?;
        remove(&old)?;
        std::fs::create_dir(&new)?;
        let mut file = File::create(new.join(LOG_ID))?;
        writeln!(file, "{id:032x}")?;
        file.sync_all()?;
        File::open(&new)?.sync_all()?;
        point("log.new.made");
        if log.exists() {
            std::fs::rename(&log, &old)?;
            point("log.old.away");
        }
        std::fs::rename(&new, &log)?;
        point("log.new.there");
        File::open(&self.path)?.sync_all()?;
        remove(&old)?;
        point("log.old.removed");
        Ok(())
    }
}

/// The folder of the checkpoints in a data directory that nobody needs to hold.
pub(crate) fn checkpoints(data_dir: &Path) -> PathBuf {
    data_dir.join(CHECKPOINTS)
}

/// What is in a folder; nothing if it isn't there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.path());
    let paths = std::fs::read_dir(folder).and_then(|entries| entries.map(path).collect());
    match paths {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        paths => paths.map_err(|e| Error::io(format!("reading {}", folder.display()), e)),
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::System;

    #[test]
    fn one_engine_at_a_time_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let held = DataDir::take(&path, Arc::new(System)).unwrap();
        let error = DataDir::take(&path, Arc::new(System)).unwrap_err();
        let expected = format!("process {}", std::process::id());
        assert!(matches!(&error, Error::Held { holder, .. } if *holder == expected), "{error}");
        drop(held);
        DataDir::take(&path, Arc::new(System)).unwrap();
    }

    #[test]
    fn a_new_log_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataDir::take(folder.path(), Arc::new(System)).unwrap();
        assert_eq!(held.log_id().unwrap(), None);
        let first = held.new_log().unwrap();
        assert_eq!(held.log_id().unwrap(), Some(first));
        std::fs::write(held.log().join("a.seg"), "x").unwrap();
        // As a crash in the middle leaves it.
        std::fs::create_dir(folder.path().join(NEW_LOG)).unwrap();
        std::fs::create_dir(folder.path().join(OLD_LOG)).unwrap();
        let second = held.new_log().unwrap();
        assert_ne!(first, second);
        assert_eq!(held.log_id().unwrap(), Some(second));
        assert!(!held.log().join("a.seg").exists());
        std::fs::write(held.log().join(LOG_ID), "none").unwrap();
        held.log_id().unwrap_err();
    }
}
