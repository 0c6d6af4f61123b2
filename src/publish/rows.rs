//! A view's rows at one epoch, and how they leave as JSON: page by page, or piece by piece.

use std::ops::Bound;
use std::sync::Arc;
use std::vec;

use imbl::OrdMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::relations::Relation;
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
    /// Whether nothing follows.
    pub(crate) last: bool,
}

impl Chunk {
    /// Bytes of rows and keys.
    pub(crate) fn len(&self) -> usize {
        self.put.len() + self.del.len()
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
        let mut rows = Vec::new();
        let (mut last, mut n_rows) = (None, 0);
        for (key, row) in self.after(after.as_ref()) {
            if n_rows == limit {
                return Ok(Page { rows, next: last.map(write_place) });
            }
            start_item(&mut rows);
            json::write_row(&mut rows, row, &self.schema, &self.names);
            last = Some(key);
            n_rows += 1;
        }
        Ok(Page { rows, next: None })
    }
}

/// Hex of the key's text, so that a URL takes it as it is.
fn write_place<K: Serialize>(key: &K) -> String {
    let text = serde_json::to_vec(key).expect("keys are numbers and texts");
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    text.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn read_place<K: DeserializeOwned>(place: &str) -> Result<K, BadCursor> {
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
        let mut after = self.after.take();
        chunk.last = true;
        for (key, row) in self.snapshot.after(after.clone().as_ref()) {
            let start = chunk.put.len();
            if start < enough {
                start_item(&mut chunk.put);
                json::write_row(&mut chunk.put, row, &self.snapshot.schema, &self.snapshot.names);
            }
            if start >= enough || (start > 0 && chunk.put.len() > most) {
                chunk.put.truncate(start);
                chunk.last = false;
                break;
            }
            after = Some(key.clone());
        }
        self.after = after;
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
            if chunk.len() >= enough {
                break;
            }
            let (n_put, n_del) = (chunk.put.len(), chunk.del.len());
            let Snapshot { rows, schema, names } = &self.snapshot;
            match (rows.get(key), &touch.gone) {
                (Some(row), _) => {
                    start_item(&mut chunk.put);
                    json::write_row(&mut chunk.put, row, schema, names);
                }
                (None, Some(gone)) if touch.had => {
                    start_item(&mut chunk.del);
                    json::write_key(&mut chunk.del, gone.as_ref(), schema, names);
                }
                // Came and went since the reader last looked.
                (None, _) => {}
            }
            if n_put + n_del > 0 && chunk.len() > most {
                chunk.put.truncate(n_put);
                chunk.del.truncate(n_del);
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
