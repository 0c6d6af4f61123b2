//! What runs hold, in the order of their epochs: an epoch at a time, or as many as were put together.

use std::sync::Arc;

use dataflows::plan::RelationSpec;

use super::manifest::{Manifest, RunRef};
use super::run::RunReader;
use super::store::Store;
use crate::error::Error;
use crate::journal::{Collector, Entry, Group};

/// A checkpoint that a run goes on from.
pub(crate) struct Restored {
    /// What it is made of.
    pub(crate) manifest: Manifest,
    /// What its runs hold.
    pub(crate) groups: Groups,
}

/// Reads runs one after the other.
pub(crate) struct Groups {
    store: Arc<Store>,
    /// Those that aren't opened yet, the next one last.
    runs: Vec<RunRef>,
    collector: Collector,
    reader: Option<RunReader>,
}

impl Restored {
    /// Starts before its first group.
    pub(crate) fn new(store: &Arc<Store>, manifest: Manifest, relations: &[RelationSpec]) -> Self {
        let groups = Groups::new(store, &manifest.runs, relations);
        Self { manifest, groups }
    }
}

impl Groups {
    /// Starts before the first run.
    pub(super) fn new(store: &Arc<Store>, runs: &[RunRef], relations: &[RelationSpec]) -> Self {
        let (store, collector) = (Arc::clone(store), Collector::new(relations));
        Self { store, runs: runs.iter().rev().cloned().collect(), collector, reader: None }
    }

    /// The next group; `None` behind the last.
    ///
    /// # Errors
    /// If a run can't be read.
    pub(crate) fn next(&mut self) -> Result<Option<Group>, Error> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(run) = self.runs.pop() else { return Ok(None) };
                self.reader = Some(RunReader::open(&*self.store.files, &run)?);
                continue;
            };
            match reader.next()? {
                Some(Entry::Brought(brought)) => {
                    if let Some(group) = self.collector.begin(brought) {
                        return Ok(Some(group));
                    }
                }
                Some(Entry::Events(part)) => {
                    let added = self.collector.add(&part);
                    added.ok_or_else(|| reader.damaged("it holds events that can't be read"))?;
                }
                Some(_) => return Err(reader.damaged("it holds an entry that brings nothing")),
                None => {
                    self.reader = None;
                    if let Some(group) = self.collector.take() {
                        return Ok(Some(group));
                    }
                }
            }
        }
    }
}
