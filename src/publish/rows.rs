//! A view's rows at one epoch, and how they leave as JSON: page by page, or piece by piece.

use std::borrow::Borrow;
use std::ops::Bound;
use std::sync::Arc;
use std::vec;

use imbl::OrdMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::relations::{Alert, Relation};
use types::{Names, Schema, json};

use super::cursor::{Batch, Touch};

/// A cursor of a page that this process didn't give for this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCursor;

/// A page of rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// JSON objects with commas between them.
    pub(crate) rows: Vec<u8>,
    /// Where the next page starts, as text; `None` after the last.
    pub(crate) next: Option<String>,
}

/// A view's rows at one epoch. Holding it delays nobody.
pub(crate) trait Rows: Send {
    /// Writes the rows after a place, at most `limit` of them.
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Page, BadCursor>;
}

/// A piece of a snapshot or of an epoch's changes.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Rows, as JSON objects with commas between them.
    pub(crate) put: Vec<u8>,
    /// Keys, likewise.
    pub(crate) del: Vec<u8>,
    /// Alerts of those keys that were taken back, likewise.
    pub(crate) retracted: Vec<u8>,
    /// Whether nothing follows.
    pub(crate) last: bool,
}

impl Chunk {
    /// Bytes of rows and keys.
    pub(crate) fn len(&self) -> usize {
        self.put.len() + self.del.len() + self.retracted.len()
    }

    /// Writes one more item, unless there is `enough` already or it would be more than the `most`;
    /// says whether it is in.
    pub(super) fn add(
        &mut self,
        (enough, most): (usize, usize),
        write: impl FnOnce(&mut Self),
    ) -> bool {
        let (n_put, n_del, n_retracted) = (self.put.len(), self.del.len(), self.retracted.len());
        let n_before = self.len();
        if n_before >= enough {
            return false;
        }
        write(self);
        let fits = n_before == 0 || self.len() <= most;
        if !fits {
            self.put.truncate(n_put);
            self.del.truncate(n_del);
            self.retracted.truncate(n_retracted);
        }
        fits
    }

    /// Writes a row.
    pub(super) fn put<R: Relation>(&mut self, row: &R, schema: &Schema, names: &Names) {
        start_item(&mut self.put);
        json::write_row(&mut self.put, row, schema, names);
    }

    /// Writes the key of a row that went.
    pub(super) fn del<R: Relation>(&mut self, row: &R, schema: &Schema, names: &Names) {
        start_item(&mut self.del);
        json::write_key(&mut self.del, row, schema, names);
    }

    /// Writes what a row said that was taken back, where it is an alert.
    fn retracted<R: Relation>(&mut self, row: &R, schema: &Schema, names: &Names) {
        if let Some(alert) = Alert::of(row) {
            start_item(&mut self.retracted);
            json::write_retracted(&mut self.retracted, alert, schema, names);
        }
    }
}

/// A snapshot or an epoch's changes, written piece by piece.
pub(crate) trait Chunks: Send {
    /// Writes the next piece: stops at `enough` bytes, and passes `most` bytes only with a single
    /// row that is larger than that.
    fn next(&mut self, enough: usize, most: usize) -> Chunk;
}

/// The rows of a view at one epoch; shares its memory with the view.
pub(super) struct Snapshot<R: Relation> {
    pub(super) rows: OrdMap<R::Key, R>,
    pub(super) schema: Arc<Schema>,
    pub(super) names: Arc<Names>,
}

impl<R: Relation> Snapshot<R> {
    fn after(&self, key: Option<&R::Key>) -> impl Iterator<Item = (&R::Key, &R)> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range::<_, R::Key>((start, Bound::Unbounded))
    }
}

impl<R: Relation> Rows for Snapshot<R> {
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Page, BadCursor> {
        let after: Option<R::Key> = after.map(read_place).transpose()?;
        let rows = self.after(after.as_ref()).map(|(key, row)| (key.clone(), row));
        Ok(page::<R>(rows, limit, (&self.schema, &self.names)))
    }
}

/// The next page of rows that stand in the order of their keys.
pub(super) fn page<R: Relation>(
    mut rows: impl Iterator<Item = (R::Key, impl Borrow<R>)>,
    limit: usize,
    (schema, names): (&Schema, &Names),
) -> Page {
    let (mut text, mut last) = (Vec::new(), None);
    for (key, row) in rows.by_ref().take(limit) {
        start_item(&mut text);
        json::write_row(&mut text, row.borrow(), schema, names);
        last = Some(key);
    }
    let has_more = rows.next().is_some();
    Page { rows: text, next: last.as_ref().filter(|_| has_more).map(write_place) }
}

/// Hex of the key's text, so that a URL takes it as it is.
fn write_place<K: Serialize>(key: &K) -> String {
    let text = serde_json::to_vec(key).expect("keys are numbers and texts");
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    text.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The key of a place.
pub(super) fn read_place<K: DeserializeOwned>(place: &str) -> Result<K, BadCursor> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let nibbles: Option<Vec<u8>> = place.chars().map(digit).collect();
    let nibbles = nibbles.ok_or(BadCursor)?;
    let join = |pair: &[u8]| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble);
    let bytes: Vec<u8> = nibbles.chunks(2).map(join).collect();
    serde_json::from_slice(&bytes).map_err(|_| BadCursor)
}

/// All rows of a view, piece by piece.
pub(super) struct SnapshotChunks<R: Relation> {
    snapshot: Snapshot<R>,
    /// The last key written.
    after: Option<R::Key>,
}

impl<R: Relation> SnapshotChunks<R> {
    /// Starts at the first row.
    pub(super) fn new(snapshot: Snapshot<R>) -> Self {
        Self { snapshot, after: None }
    }
}

impl<R: Relation> Chunks for SnapshotChunks<R> {
    fn next(&mut self, enough: usize, most: usize) -> Chunk {
        let mut chunk = Chunk::default();
        let Snapshot { schema, names, .. } = &self.snapshot;
        let mut last = None;
        chunk.last = self.snapshot.after(self.after.as_ref()).all(|(key, row)| {
            let is_in = chunk.add((enough, most), |chunk| chunk.put(row, schema, names));
            last = is_in.then_some(key).or(last);
            is_in
        });
        self.after = last.cloned().or_else(|| self.after.take());
        chunk
    }
}

/// The changes of some keys, piece by piece.
pub(super) struct ChangeChunks<R: Relation> {
    snapshot: Snapshot<R>,
    touched: vec::IntoIter<(R::Key, Touch<R>)>,
}

impl<R: Relation> ChangeChunks<R> {
    /// Reads what became of the keys from the rows of the same epoch.
    pub(super) fn new(snapshot: Snapshot<R>, touched: Batch<R>) -> Self {
        Self { snapshot, touched: touched.into_iter() }
    }
}

impl<R: Relation> Chunks for ChangeChunks<R> {
    fn next(&mut self, enough: usize, most: usize) -> Chunk {
        let mut chunk = Chunk::default();
        let mut n_taken = 0;
        for (key, touch) in self.touched.as_slice() {
            let Snapshot { rows, schema, names } = &self.snapshot;
            let is_in = chunk.add((enough, most), |chunk| match (rows.get(key), &touch.gone) {
                (Some(row), _) => chunk.put(row, schema, names),
                (None, Some(gone)) if touch.had => {
                    chunk.del(&**gone, schema, names);
                    if touch.is_retracted {
                        chunk.retracted(&**gone, schema, names);
                    }
                }
                // Came and went since the reader last looked.
                (None, _) => {}
            });
            if !is_in {
                break;
            }
            n_taken += 1;
        }
        self.touched.by_ref().take(n_taken).for_each(drop);
        chunk.last = self.touched.as_slice().is_empty();
        chunk
    }
}

fn start_item(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}
