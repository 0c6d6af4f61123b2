//! The outbox: the batch that is being sent, kept on disk before its first byte leaves, so that after a
//! crash the same bytes are sent again under the same tokens. A batch is cut where input paused, which
//! no later run could know.
//!
//! There is one at a time: the next one takes its place once the server has acknowledged all of it. So
//! what is kept also says how far the sink has come.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::server::Insert;
use super::unfit::Unfit;
use crate::env::Files;
use crate::error::ConnectError;
use crate::sinks::kept::Kept;

/// The changes of a range of epochs, as inserts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// First and last epoch.
    pub(super) range: (u64, u64),
    /// The generation of its rows.
    pub(super) generation: u64,
    /// Whether it is the first, before which the tables are emptied.
    pub(super) empties_tables: bool,
    /// What each table got, with this batch.
    pub(super) totals: Vec<Totals>,
    /// The inserts in their order, that of the commits last.
    pub(super) inserts: Vec<Insert>,
    /// Rows that aren't among them, for no column holds them, with the place of their table.
    #[serde(default)]
    pub(super) unfit: Vec<(usize, Unfit)>,
}

/// What a table got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Rows put.
    pub(super) put: u64,
    /// Rows that say that their key is gone.
    pub(super) deleted: u64,
    /// Inserts.
    pub(super) inserts: u64,
}

/// Keeps a batch.
pub(super) struct Outbox(Kept);

impl Outbox {
    /// The outbox in a sink's folder.
    pub(super) const fn new(files: Arc<dyn Files>) -> Self {
        Self(Kept::new(files, "outbox"))
    }

    /// Puts a batch in the place of the one before; durable when it returns.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn put(&self, batch: &Batch) -> Result<(), ConnectError> {
        let head = serde_json::to_vec(batch)
            .map_err(|error| ConnectError::broken("writing the outbox").because(error))?;
        let length = u64::try_from(head.len()).unwrap_or(u64::MAX).to_le_bytes();
        let mut pieces: Vec<&[u8]> = vec![&length, &head];
        pieces.extend(batch.inserts.iter().map(|insert| insert.bytes.as_ref()));
        self.0.write_bytes(&pieces)
    }

    /// The batch that was put last.
    ///
    /// # Errors
    /// If it can't be read, or isn't as it was written.
    pub(super) fn batch(&self) -> Result<Option<Batch>, ConnectError> {
        let Some(bytes) = self.0.read_bytes()? else { return Ok(None) };
        let batch = read(bytes.into()).ok_or_else(|| {
            ConnectError::broken("reading the outbox: it was kept by another version of Tapeline")
                .hint("finish the run with that version, or start anew with `--fresh`")
        })?;
        Ok(Some(batch))
    }

    /// Keeps nothing any more.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub(super) fn forget(&self) -> Result<(), ConnectError> {
        self.0.forget()
    }
}

fn read(mut bytes: Bytes) -> Option<Batch> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?;
    let mut batch: Batch = serde_json::from_slice(bytes.get(8..end)?).ok()?;
    bytes = bytes.slice(end..);
    for insert in &mut batch.inserts {
        (insert.n_bytes <= bytes.len()).then_some(())?;
        insert.bytes = bytes.split_to(insert.n_bytes);
    }
    bytes.is_empty().then_some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Disk;

    #[test]
    fn a_batch_reads_back_as_it_was_put() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(Arc::new(Disk::open(folder.path()).unwrap()));
        assert_eq!(outbox.batch().unwrap(), None);
        for n in [0usize, 1, 3] {
            let insert = |i: usize| {
                let token = (i > 0).then(|| format!("token {i}"));
                Insert::new(format!("writing \"{i}\""), "INSERT".into(), token, vec![7; i * 1000])
            };
            let unfit = |i: usize| Unfit {
                epoch: 4,
                row: format!("{{\"name\":\"{i}\"}}"),
                problem: "\"1e9\" is too much".into(),
            };
            let batch = Batch {
                range: (3, 9),
                generation: 2,
                empties_tables: n == 1,
                totals: vec![Totals { put: 5, deleted: 1, inserts: 2 }],
                inserts: (0..n).map(insert).collect(),
                unfit: (0..n).map(|i| (i, unfit(i))).collect(),
            };
            outbox.put(&batch).unwrap();
            assert_eq!(outbox.batch().unwrap(), Some(batch));
        }
    }
}
