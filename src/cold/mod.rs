//! What doesn't fit into memory: old history of the workers and old identities of the sequencer, in
//! files under the pipeline's folder.
//!
//! `history_memory` of a config is shared by a simple rule: a quarter is for identities, the same for
//! each relation; three quarters are for the workers, the same for each, and a worker's views share
//! its part. Files are made when first needed and removed when their owner ends; what a run that was
//! cut short has left is removed by the next. They aren't durable: nothing is read that this run
//! didn't write.

mod file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::Spilling;

use self::file::ColdFile;
use crate::error::Error;

/// How much of what is kept for good may stay in memory, and where the rest goes.
#[derive(Clone, Debug)]
pub struct Spill {
    folder: PathBuf,
    memory: u64,
    written: Arc<AtomicU64>,
}

impl Spill {
    /// Starts with an empty folder: removes what a run before left there.
    ///
    /// # Errors
    /// If that can't be removed.
    pub fn new(folder: &Path, memory: u64) -> Result<Self, Error> {
        remove_left_overs(folder)?;
        Ok(Self { folder: folder.to_owned(), memory, written: Arc::default() })
    }

    /// Bytes that were written so far.
    pub fn n_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What one of some workers may hold.
    pub fn of_worker(&self, worker: usize, n_workers: usize) -> Spilling {
        self.part(&format!("worker-{worker}"), self.memory - self.memory / 4, n_workers)
    }

    /// What the identities of one of some relations may hold.
    pub fn of_relation(&self, relation: usize, n_relations: usize) -> Spilling {
        self.part(&format!("identities-{relation}"), self.memory / 4, n_relations)
    }

    fn part(&self, name: &str, memory: u64, n: usize) -> Spilling {
        let path = self.folder.join(name).with_extension(EXTENSION);
        let memory = usize::try_from(memory).unwrap_or(usize::MAX) / n.max(1);
        Spilling { store: Box::new(ColdFile::new(path, Arc::clone(&self.written))), memory }
    }
}

/// How the names of our files end.
const EXTENSION: &str = "cold";

/// Removes the files of an earlier run, and nothing else.
fn remove_left_overs(folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path, source| {
        Error::io(format!("removing what an earlier run left: {}", path.display()), source)
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            std::fs::remove_file(&path).map_err(|source| failed(&path, source))?;
        }
    }
    Ok(())
}
