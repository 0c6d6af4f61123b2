//! A disk in memory that loses what a crash may lose, and fails when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::env::{Files, OpenFile};
use crate::publish::testing::Chance;

/// Bytes that reach the disk together or not at all.
const SECTOR: usize = 512;

/// A folder; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    /// All files that there ever were; those without a name are gone.
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// The names that are on the disk, and what was done to names since.
    durable_names: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
    /// Writes, syncs and changes of names so far.
    n_changes: u64,
    fault: Option<Fault>,
    n_syncs: u64,
}

#[derive(Clone, Default)]
struct Node {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Append(Vec<u8>),
    SetLen(usize),
}

#[derive(Clone)]
enum NameChange {
    Put(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

/// What goes wrong with one change, counted from the begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Which change.
    pub(crate) at: u64,
    /// What the system says.
    pub(crate) kind: io::ErrorKind,
    /// Whether all later ones fail, too.
    pub(crate) is_for_good: bool,
    /// Of a write: how much of it is done, in thousandths.
    pub(crate) share: u64,
}

impl Memory {
    /// A folder with such files, all of them on the disk.
    pub(crate) fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in files {
            state.names.insert(name.clone(), state.nodes.len());
            let (content, durable) = (bytes.clone(), bytes.clone());
            state.nodes.push(Node { content, durable, pending: Vec::new() });
        }
        state.durable_names = state.names.clone();
        Self(Arc::new(Mutex::new(state)))
    }

    /// What is in the files.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let content = |node: &usize| state.nodes[*node].content.clone();
        state.names.iter().map(|(name, node)| (name.clone(), content(node))).collect()
    }

    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Whether the fault was met.
    pub(crate) fn has_failed(&self) -> bool {
        let state = self.lock();
        state.fault.is_some_and(|fault| fault.at <= state.n_changes)
    }

    pub(crate) fn n_changes(&self) -> u64 {
        self.lock().n_changes
    }

    pub(crate) fn n_syncs(&self) -> u64 {
        self.lock().n_syncs
    }

    /// The folder after the power was cut: each change that wasn't synced is there wholly, partly or
    /// not at all.
    pub(crate) fn after_crash(&self, chance: &mut Chance) -> Self {
        let state = self.lock();
        let mut names = state.durable_names.clone();
        let keeps_all = chance.below(3);
        for change in &state.pending {
            let is_kept = keeps_all == 0 || (keeps_all == 1 && chance.below(2) == 0);
            match change {
                _ if !is_kept => {}
                NameChange::Put(name, node) => drop(names.insert(name.clone(), *node)),
                NameChange::Remove(name) => drop(names.remove(name)),
                NameChange::Rename(from, to, node) => {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
            }
        }
        let files = names
            .iter()
            .map(|(name, node)| (name.clone(), state.nodes[*node].after_crash(chance)))
            .collect();
        Self::of(&files)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Node {
    fn after_crash(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let (mode, mut end) = (chance.below(5), bytes.len());
        for change in &self.pending {
            match change {
                Change::SetLen(n) if mode == 0 || chance.below(2) == 0 => {
                    bytes.truncate(*n);
                    end = *n;
                }
                Change::SetLen(_) => {}
                Change::Append(appended) => {
                    match mode {
                        // All, nothing, torn at any byte, torn at sectors in any order.
                        0 => put(&mut bytes, end, appended),
                        1 => {}
                        2 => {
                            let n = pick(chance, appended.len() + 1);
                            put(&mut bytes, end, &appended[..n]);
                        }
                        _ => put_sectors(&mut bytes, end, appended, chance),
                    }
                    end += appended.len();
                }
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    if part.is_empty() {
        return;
    }
    bytes.resize(bytes.len().max(at + part.len()), 0);
    bytes[at..at + part.len()].copy_from_slice(part);
}

/// Writes each sector or not; what isn't written, before the end, is as it was or zero.
fn put_sectors(bytes: &mut Vec<u8>, at: usize, part: &[u8], chance: &mut Chance) {
    let is_length_kept = chance.below(2) == 0;
    let mut from = 0;
    while from < part.len() {
        let n = (SECTOR - (at + from) % SECTOR).min(part.len() - from);
        if chance.below(2) == 0 {
            put(bytes, at + from, &part[from..from + n]);
        }
        from += n;
    }
    if is_length_kept {
        bytes.resize(bytes.len().max(at + part.len()), 0);
    }
}

fn pick(chance: &mut Chance, n: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(n).unwrap())).unwrap()
}

impl State {
    /// Counts a change; says how much of it is done, and how it ends.
    fn change(&mut self) -> (u64, io::Result<()>) {
        self.n_changes += 1;
        match self.fault {
            Some(fault) if fault.at == self.n_changes => (fault.share, Err(fault.kind.into())),
            Some(fault) if fault.is_for_good && fault.at < self.n_changes => {
                (0, Err(fault.kind.into()))
            }
            _ => (1000, Ok(())),
        }
    }

    fn named(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for Memory {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/data/log").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().filter(|name| !name.contains('/')).cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        let mut state = self.lock();
        state.change().1?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.names.insert(name.to_owned(), node);
        state.pending.push(NameChange::Put(name.to_owned(), node));
        Ok(Box::new(MemoryFile { memory: self.clone(), node }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        let node = self.lock().named(name)?;
        Ok(Box::new(MemoryFile { memory: self.clone(), node }))
    }

    fn extend(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        let is_there = self.lock().names.contains_key(name);
        if is_there { self.open(name) } else { self.create(name) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change().1?;
        let node = state.named(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), node);
        state.pending.push(NameChange::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change().1?;
        state.named(name)?;
        state.names.remove(name);
        state.pending.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change().1?;
        state.durable_names = state.names.clone();
        state.pending.clear();
        Ok(())
    }
}

struct MemoryFile {
    memory: Memory,
    node: usize,
}

impl OpenFile for MemoryFile {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.memory.lock().nodes[self.node].content.len()).unwrap())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.memory.lock();
        let content = &state.nodes[self.node].content;
        let offset = usize::try_from(offset).unwrap();
        let found = content.get(offset..offset + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.memory.lock();
        let (share, outcome) = state.change();
        let n = bytes.len() * usize::try_from(share).unwrap() / 1000;
        let node = &mut state.nodes[self.node];
        node.content.extend_from_slice(&bytes[..n]);
        node.pending.push(Change::Append(bytes[..n].to_vec()));
        outcome
    }

    fn set_len(&mut self, n_bytes: u64) -> io::Result<()> {
        let mut state = self.memory.lock();
        state.change().1?;
        let n = usize::try_from(n_bytes).unwrap();
        let node = &mut state.nodes[self.node];
        node.content.resize(n, 0);
        node.pending.push(Change::SetLen(n));
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.memory.lock();
        state.n_syncs += 1;
        state.change().1?;
        let node = &mut state.nodes[self.node];
        node.durable = node.content.clone();
        node.pending.clear();
        Ok(())
    }
}
