//! The rows of one view, and the readers of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use types::changes::{Change, by_key};
use types::relations::{Relation, RelationKind};
use types::{Changes, Names, Schema, Value, VenueTime, for_relations, with_changes};

use super::ViewSpec;
use super::cursor::{Cursor, Pending, Touch};
use super::hub::Taken;
use super::rows::{ChangeChunks, Rows, Snapshot, SnapshotChunks};

/// A view's rows and readers, whatever the type of its rows.
pub(super) trait AnyTable: Send {
    /// Applies an epoch's changes, then drops what happened before the horizon.
    ///
    /// # Panics
    /// If the changes are of another kind of row.
    fn apply(&mut self, changes: &Changes, horizon: VenueTime);

    /// Applies the changes of some epochs in a row as if they were one's, and tells no reader. In the
    /// order of keys, each once: a large map is gone through instead of being searched for each of them.
    ///
    /// # Panics
    /// If the changes are of another kind of row.
    fn apply_all(&mut self, epochs: &[Arc<Changes>], horizon: VenueTime);

    /// How many rows there are.
    fn n_rows(&self) -> usize;

    /// The rows as they are now; takes no time.
    fn rows(&self) -> Box<dyn Rows>;

    /// The rows as they are now by key, an `OrdMap<R::Key, R>`; takes no time.
    fn map(&self) -> Box<dyn Any>;

    /// Adds a reader: it gets all rows first, or only changes.
    fn attach(&mut self, reader: u64, needs_everything: bool, max_keys: usize);

    /// Forgets a reader.
    fn detach(&mut self, reader: u64);

    /// What a reader has yet to be told.
    fn take(&mut self, reader: u64) -> Taken;
}

/// Makes an empty table for a view.
pub(super) fn table(spec: &ViewSpec, names: &Arc<Names>) -> Box<dyn AnyTable> {
    macro_rules! by_kind {
        ($($variant:ident($row:ty),)*) => {
            match spec.kind { $(RelationKind::$variant => Box::new(Table::<$row>::new(spec, names)),)* }
        };
    }
    for_relations!(by_kind)
}

struct Table<R: Relation> {
    /// A persistent map: a reader's copy costs nothing, and the writer then copies only the nodes
    /// that it changes.
    rows: OrdMap<R::Key, R>,
    /// The keys by the time of their row, where the view is indexed by time.
    by_time: BTreeSet<(VenueTime, R::Key)>,
    spec: ViewSpec,
    names: Arc<Names>,
    readers: BTreeMap<u64, Cursor<R>>,
}

impl<R: Relation> Table<R> {
    fn new(spec: &ViewSpec, names: &Arc<Names>) -> Self {
        Self {
            rows: OrdMap::new(),
            by_time: BTreeSet::new(),
            spec: spec.clone(),
            names: Arc::clone(names),
            readers: BTreeMap::new(),
        }
    }

    /// When a row happened; `None` in a view that isn't indexed by time.
    fn time(&self, row: &R) -> Option<VenueTime> {
        match row.column(self.spec.schema.time?, &self.names) {
            Value::Time(time) => Some(time),
            _ => None,
        }
    }

    fn put(&mut self, row: &R) -> Touch<R> {
        let key = row.key(&self.spec.schema);
        if let Some(time) = self.time(row) {
            self.by_time.insert((time, key.clone()));
        }
        let old = self.rows.insert(key.clone(), row.clone());
        if let Some(old) = &old
            && let Some(time) = self.time(old)
            && self.time(row) != Some(time)
        {
            self.by_time.remove(&(time, key));
        }
        Touch { had: old.is_some(), gone: None, is_retracted: false }
    }

    /// Removes the row of a key; `None` where there is none, as it may have left by its age.
    fn remove(&mut self, key: &R::Key, is_retracted: bool) -> Option<Touch<R>> {
        let old = self.rows.remove(key)?;
        if let Some(time) = self.time(&old) {
            self.by_time.remove(&(time, key.clone()));
        }
        Some(Touch { had: true, gone: Some(Arc::new(old)), is_retracted })
    }

    /// Puts or removes a row; what a reader is to know of it.
    fn change(
        &mut self,
        change: &Change<'_, R>,
        key: &R::Key,
        horizon: VenueTime,
    ) -> Option<Touch<R>> {
        match *change {
            Change::Put(row) if self.time(row).is_none_or(|time| time >= horizon) => {
                Some(self.put(row))
            }
            Change::Put(_) => self.remove(key, false),
            Change::Del(_) => self.remove(key, true),
        }
    }

    /// Removes what happened before the horizon.
    fn drop_before(&mut self, horizon: VenueTime, mut gone: impl FnMut(R::Key, Touch<R>)) {
        while let Some((time, _)) = self.by_time.first()
            && *time < horizon
            && let Some((_, key)) = self.by_time.pop_first()
        {
            if let Some(touch) = self.remove(&key, false) {
                gone(key, touch);
            }
        }
    }

    fn snapshot(&self) -> Snapshot<R> {
        Snapshot {
            rows: self.rows.clone(),
            schema: Arc::clone(&self.spec.schema),
            names: Arc::clone(&self.names),
        }
    }
}

impl<R: Relation> AnyTable for Table<R> {
    fn apply(&mut self, changes: &Changes, horizon: VenueTime) {
        let rows = rows_of::<R>(changes, &self.spec);
        let schema = Arc::clone(&self.spec.schema);
        let mut touched = Vec::new();
        for change in by_key(rows, &schema) {
            let key = key_of(&change, &schema);
            let touch = self.change(&change, &key, horizon);
            touched.extend(touch.map(|touch| (key, touch)));
        }
        // No key here was put above: those rows are younger.
        self.drop_before(horizon, |key, touch| touched.push((key, touch)));
        if !self.readers.is_empty() && !touched.is_empty() {
            touched.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let batch = Arc::new(touched);
            self.readers.values_mut().for_each(|reader| reader.push(&batch));
        }
    }

    fn apply_all(&mut self, epochs: &[Arc<Changes>], horizon: VenueTime) {
        let schema = Arc::clone(&self.spec.schema);
        let mut changes = Vec::new();
        for epoch in epochs {
            let rows = rows_of::<R>(epoch, &self.spec);
            changes.extend(by_key(rows, &schema).map(|change| (key_of(&change, &schema), change)));
        }
        // Of equal keys the last one stands last.
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        let mut changes = changes.iter().peekable();
        while let Some((key, change)) = changes.next() {
            if changes.peek().is_none_or(|(next, _)| next != key) {
                self.change(change, key, horizon);
            }
        }
        self.drop_before(horizon, |_, _| ());
    }

    fn n_rows(&self) -> usize {
        self.rows.len()
    }

    fn rows(&self) -> Box<dyn Rows> {
        Box::new(self.snapshot())
    }

    fn map(&self) -> Box<dyn Any> {
        Box::new(self.rows.clone())
    }

    fn attach(&mut self, reader: u64, needs_everything: bool, max_keys: usize) {
        self.readers.insert(reader, Cursor::new(needs_everything, max_keys));
    }

    fn detach(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    fn take(&mut self, reader: u64) -> Taken {
        match self.readers.get_mut(&reader).map_or(Pending::Nothing, Cursor::take) {
            Pending::Nothing => Taken::Nothing,
            Pending::Everything => {
                Taken::Everything(Box::new(SnapshotChunks::new(self.snapshot())))
            }
            Pending::Keys(touched) => {
                Taken::Changes(Box::new(ChangeChunks::new(self.snapshot(), touched)))
            }
        }
    }
}

/// The rows of changes.
fn rows_of<'a, R: Relation>(changes: &'a Changes, spec: &ViewSpec) -> &'a [(R, isize)] {
    let rows: &dyn Any = with_changes!(changes, rows => rows);
    let rows: Option<&Vec<(R, isize)>> = rows.downcast_ref();
    rows.unwrap_or_else(|| panic!("rows of {:?} for the view {}", changes.kind(), spec.name))
}

fn key_of<R: Relation>(change: &Change<'_, R>, schema: &Schema) -> R::Key {
    let (Change::Put(row) | Change::Del(row)) = change;
    row.key(schema)
}
