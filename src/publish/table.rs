//! The rows of one view, and the readers of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use types::changes::{Change, by_key};
use types::relations::{Relation, RelationKind};
use types::{Changes, Names, Value, VenueTime, for_relations, with_changes};

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
        Touch { had: old.is_some(), gone: None }
    }

    /// Removes the row of a key; `None` where there is none, as it may have left by its age.
    fn remove(&mut self, key: &R::Key) -> Option<Touch<R>> {
        let old = self.rows.remove(key)?;
        if let Some(time) = self.time(&old) {
            self.by_time.remove(&(time, key.clone()));
        }
        Some(Touch { had: true, gone: Some(Arc::new(old)) })
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
        let rows: &dyn Any = with_changes!(changes, rows => rows);
        let rows: &Vec<(R, isize)> = rows.downcast_ref().unwrap_or_else(|| {
            panic!("rows of {:?} for the view {}", changes.kind(), self.spec.name)
        });
        let schema = Arc::clone(&self.spec.schema);
        let mut touched = Vec::new();
        for change in by_key(rows, &schema) {
            let (key, touch) = match change {
                Change::Put(row) if self.time(row).is_none_or(|time| time >= horizon) => {
                    (row.key(&schema), Some(self.put(row)))
                }
                Change::Put(row) | Change::Del(row) => {
                    let key = row.key(&schema);
                    let touch = self.remove(&key);
                    (key, touch)
                }
            };
            touched.extend(touch.map(|touch| (key, touch)));
        }
        // No key here was put above: those rows are younger.
        while let Some((time, _)) = self.by_time.first()
            && *time < horizon
            && let Some((_, key)) = self.by_time.pop_first()
        {
            let touch = self.remove(&key);
            touched.extend(touch.map(|touch| (key, touch)));
        }
        if !self.readers.is_empty() && !touched.is_empty() {
            touched.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let batch = Arc::new(touched);
            self.readers.values_mut().for_each(|reader| reader.push(&batch));
        }
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
