//! The folder of the checkpoints: which there are, which can be used, and which may go.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use types::fault::point;
use types::sabotage::{Safeguard, is_out};

use super::manifest::{Manifest, manifest_name, number_of, run_name};
use super::run::RunReader;
use crate::env::Files;
use crate::error::Error;

/// Checkpoints that are kept. Where the newest can't be used, an older one is.
const KEPT: usize = 3;

const MANIFEST: &str = ".manifest";
const RUN: &str = ".run";
/// What a file is called until it is whole.
const DRAFT: &str = ".new";

/// The checkpoints of a data directory.
pub(crate) struct Store {
    pub(super) files: Arc<dyn Files>,
}

/// A checkpoint, or what isn't one.
pub(crate) struct Found {
    /// Its manifest's file.
    pub(crate) path: PathBuf,
    /// Its manifest, or what is wrong with it.
    pub(crate) manifest: Result<Manifest, String>,
}

impl Store {
    /// The checkpoints in a folder's files.
    pub(crate) const fn new(files: Arc<dyn Files>) -> Self {
        Self { files }
    }

    /// All checkpoints, the newest first.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub(crate) fn list(&self) -> Result<Vec<Found>, Error> {
        let mut epochs: Vec<u64> = self.numbers(MANIFEST)?.collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let found = |epoch: u64| {
            let name = manifest_name(epoch);
            let manifest = self.read(&name).and_then(|bytes| Manifest::decode(&bytes));
            let manifest = manifest.and_then(|manifest| {
                let is_it = manifest.epoch == epoch;
                is_it.then_some(manifest).ok_or_else(|| "it is of another epoch".to_owned())
            });
            Found { path: self.files.path(&name), manifest }
        };
        Ok(epochs.into_iter().map(found).collect())
    }

    /// The newest checkpoint of a log whose last epoch isn't behind `until`, whose place in the log is
    /// there, and all of whose files are as they were written. Tells which it passes over, and why.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub(crate) fn newest(
        &self,
        log_id: u128,
        until: u64,
        records: &Range<u64>,
    ) -> Result<Option<Manifest>, Error> {
        for found in self.list()? {
            let told = match found.manifest {
                Ok(manifest) if manifest.log_id != log_id => continue,
                Ok(manifest) if manifest.epoch > until => continue,
                Ok(manifest) => {
                    let is_there = records.start <= manifest.next_record
                        && manifest.next_record <= records.end;
                    match self.verify(&manifest) {
                        Ok(()) if is_there => return Ok(Some(manifest)),
                        Ok(()) => "the log doesn't hold what follows it".to_owned(),
                        Err(error) => error.in_full(),
                    }
                }
                Err(what) => what,
            };
            tracing::warn!(
                path = %found.path.display(),
                "a checkpoint can't be used ({told}): taking an older one"
            );
        }
        Ok(None)
    }

    /// Reads all runs of a checkpoint and compares them with what was written.
    ///
    /// # Errors
    /// If one isn't, or can't be read.
    pub(crate) fn verify(&self, manifest: &Manifest) -> Result<(), Error> {
        if is_out(Safeguard::CheckpointVerified) {
            return Ok(());
        }
        manifest.runs.iter().try_for_each(|run| RunReader::open(&*self.files, run)?.verify())
    }

    /// Where the last run of a checkpoint is.
    pub(crate) fn last_run(&self, manifest: &Manifest) -> Option<PathBuf> {
        manifest.runs.last().map(|run| self.files.path(&run.name()))
    }

    /// The number of a run that doesn't exist yet.
    pub(super) fn next_run(&self) -> Result<u64, Error> {
        Ok(self.numbers(RUN)?.max().unwrap_or(0) + 1)
    }

    /// What a run is called until it is whole.
    pub(super) fn draft(number: u64) -> String {
        format!("{}{DRAFT}", run_name(number))
    }

    /// Gives a whole run its name.
    pub(super) fn name_run(&self, number: u64) -> Result<(), Error> {
        self.rename(&Self::draft(number), &run_name(number))?;
        point("checkpoint.run.named");
        Ok(())
    }

    /// Makes a checkpoint of runs that are there.
    pub(super) fn save(&self, manifest: &Manifest) -> Result<(), Error> {
        // Runs have their names for good before a manifest speaks of them.
        self.sync()?;
        let name = manifest_name(manifest.epoch);
        let draft = format!("{name}{DRAFT}");
        self.remove(&draft)?;
        let written = self.files.create(&draft).and_then(|mut file| {
            file.append(&manifest.encode())?;
            file.sync_data()
        });
        let doing = || format!("writing {}", self.files.path(&draft).display());
        written.map_err(|error| Error::io(doing(), error))?;
        point("checkpoint.manifest.written");
        self.rename(&draft, &name)?;
        point("checkpoint.manifest.named");
        self.sync()?;
        point("checkpoint.manifest.synced");
        Ok(())
    }

    /// Removes all but the newest checkpoints of a log, and all files that none of them needs. Gives the
    /// first record of the log that the oldest of them needs, once there are as many as are kept.
    pub(super) fn prune(&self, log_id: u128) -> Result<Option<u64>, Error> {
        let ours =
            |found: &Found| found.manifest.as_ref().is_ok_and(|manifest| manifest.log_id == log_id);
        let (kept, mut gone): (Vec<_>, Vec<_>) = self.list()?.into_iter().partition(ours);
        let mut kept = kept;
        gone.extend(kept.split_off(kept.len().min(KEPT)));
        for found in &gone {
            if let Some(name) = found.path.file_name().and_then(|name| name.to_str()) {
                self.remove(name)?;
            }
        }
        // A crash must not leave a manifest whose runs are gone.
        self.sync()?;
        point("checkpoint.old.removed");
        let manifests: Vec<&Manifest> =
            kept.iter().filter_map(|found| found.manifest.as_ref().ok()).collect();
        let needed: BTreeSet<u64> =
            manifests.iter().flat_map(|m| m.runs.iter().map(|run| run.number)).collect();
        for number in self.numbers(RUN)?.filter(|number| !needed.contains(number)) {
            self.remove(&run_name(number))?;
        }
        point("checkpoint.runs.removed");
        let oldest = manifests.last().filter(|_| manifests.len() == KEPT);
        Ok(oldest.map(|manifest| manifest.next_record))
    }

    /// The numbers of files with an ending.
    fn numbers(&self, ending: &'static str) -> Result<impl Iterator<Item = u64>, Error> {
        let names = self.files.list();
        let doing = || format!("reading {}", self.files.path("").display());
        let names = names.map_err(|error| Error::io(doing(), error))?;
        Ok(names.into_iter().filter_map(move |name| number_of(&name, ending)))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let read = self.files.open(name).and_then(|file| {
            let n_bytes = file.n_bytes()?;
            // A manifest is small: what isn't needn't be read.
            let mut bytes = vec![0; usize::try_from(n_bytes.min(MANIFEST_BYTES)).unwrap_or(0)];
            file.read_at(&mut bytes, 0)?;
            Ok(bytes)
        });
        read.map_err(|error| format!("it can't be read: {error}"))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let doing = || format!("renaming {}", self.files.path(from).display());
        self.files.rename(from, to).map_err(|error| Error::io(doing(), error))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        match self.files.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", self.files.path(name).display()), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        let doing = || format!("syncing {}", self.files.path("").display());
        self.files.sync().map_err(|error| Error::io(doing(), error))
    }
}

/// Bytes of a manifest, at most.
const MANIFEST_BYTES: u64 = 64 << 20;
