//! Rows as bytes under their key's text: what is sorted, spilled and merged.

use types::relations::Relation;
use types::{Epoch, Names, Schema, json};

use super::held::Visit;
#[cfg(feature = "parquet")]
use super::values;
use crate::error::ConnectError;

/// How a row becomes bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// Its JSON text, which is written as it stands.
    Json,
    /// Its values, which are read back.
    #[cfg(feature = "parquet")]
    Values,
}

/// One change of a key.
pub(crate) struct Entry {
    /// The key's text, by which outputs are sorted.
    pub(crate) key: Vec<u8>,
    /// The row, or the values of the key alone where it is deleted.
    pub(crate) row: Vec<u8>,
    /// Whether the key holds nothing any more.
    pub(crate) is_deleted: bool,
}

/// Makes an [`Entry`] of each row and hands it on.
pub(crate) struct ToEntries<'a, F> {
    pub(crate) schema: &'a Schema,
    pub(crate) names: &'a Names,
    pub(crate) format: Format,
    pub(crate) take: F,
}

impl<F: FnMut(Entry) -> Result<(), ConnectError>> Visit for ToEntries<'_, F> {
    fn row<R: Relation>(
        &mut self,
        row: &R,
        is_deleted: bool,
        _epoch: Epoch,
    ) -> Result<(), ConnectError> {
        let (schema, names) = (self.schema, self.names);
        let (mut key, mut bytes) = (Vec::new(), Vec::new());
        json::write_key(&mut key, row, schema, names);
        match (self.format, is_deleted) {
            // The key's text is all that a deletion shows.
            (Format::Json, true) => {}
            (Format::Json, false) => json::write_row(&mut bytes, row, schema, names),
            #[cfg(feature = "parquet")]
            (Format::Values, true) => values::write(&mut bytes, row, schema.n_key, names),
            #[cfg(feature = "parquet")]
            (Format::Values, false) => values::write(&mut bytes, row, schema.columns.len(), names),
        }
        (self.take)(Entry { key, row: bytes, is_deleted })
    }
}
