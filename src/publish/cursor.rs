//! One reader's place in a view: the keys that changed since it last looked.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::relations::Relation;

/// What happened to a key that a reader has yet to be told of. The row itself is read from the
/// table when the frame is written.
#[derive(Clone, Debug)]
pub(super) struct Touch<R> {
    /// Whether the reader has a row of this key.
    pub(super) had: bool,
    /// The row that went, kept because a key's columns can only be read from a row.
    pub(super) gone: Option<Arc<R>>,
    /// Whether that row was taken back, and didn't just leave by its age.
    pub(super) is_retracted: bool,
}

/// The keys that one epoch touched, each once; shared by all readers of the view.
pub(super) type Batch<R> = Vec<(<R as Relation>::Key, Touch<R>)>;

/// What a reader has yet to be told.
#[derive(Debug)]
pub(super) enum Pending<R: Relation> {
    /// Nothing.
    Nothing,
    /// All rows: it is new, or it fell behind too far.
    Everything,
    /// These keys, in order.
    Keys(Batch<R>),
}

/// Keys waiting to be merged pass through here up to this many, so that a reader that keeps up
/// costs the writer nothing but a pointer.
const MERGE_AT: usize = 65_536;

/// One reader's place. Written by the publisher, emptied by the reader, both under the hub's lock.
#[derive(Debug)]
pub(super) struct Cursor<R: Relation> {
    /// Whole epochs, not looked into yet.
    recent: Vec<Arc<Batch<R>>>,
    /// The sum of their lengths.
    n_recent: usize,
    /// What came before them, each key once.
    merged: BTreeMap<R::Key, Touch<R>>,
    /// Whether the reader gets all rows next, so that nothing needs to be kept.
    needs_everything: bool,
    /// How many keys may wait.
    max_keys: usize,
}

impl<R: Relation> Cursor<R> {
    /// Starts a reader that gets all rows first, or only what changes from now on.
    pub(super) fn new(needs_everything: bool, max_keys: usize) -> Self {
        Self {
            recent: Vec::new(),
            n_recent: 0,
            merged: BTreeMap::new(),
            needs_everything,
            max_keys,
        }
    }

    /// Takes note of an epoch.
    pub(super) fn push(&mut self, batch: &Arc<Batch<R>>) {
        if self.needs_everything || batch.is_empty() {
            return;
        }
        self.recent.push(Arc::clone(batch));
        self.n_recent += batch.len();
        if self.n_recent >= MERGE_AT || self.merged.len() + self.n_recent > self.max_keys {
            self.merge();
        }
        if self.merged.len() > self.max_keys {
            self.merged = BTreeMap::new();
            self.needs_everything = true;
        }
    }

    /// Empties the place: what the reader is told now.
    pub(super) fn take(&mut self) -> Pending<R> {
        if std::mem::take(&mut self.needs_everything) {
            return Pending::Everything;
        }
        if self.merged.is_empty() && self.recent.len() <= 1 {
            // The usual case: one epoch, in order and without repeats already.
            self.n_recent = 0;
            return match self.recent.pop() {
                Some(batch) => Pending::Keys(Arc::unwrap_or_clone(batch)),
                None => Pending::Nothing,
            };
        }
        self.merge();
        Pending::Keys(std::mem::take(&mut self.merged).into_iter().collect())
    }

    fn merge(&mut self) {
        self.n_recent = 0;
        for batch in self.recent.drain(..) {
            for (key, touch) in batch.iter() {
                match self.merged.get_mut(key) {
                    // Whether the reader has the key was settled by the first touch.
                    Some(earlier) => {
                        *earlier = Touch { had: earlier.had, ..touch.clone() };
                    }
                    None => {
                        self.merged.insert(key.clone(), touch.clone());
                    }
                }
            }
        }
    }
}
