//! The last change of each key of a view, in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use types::changes::{Change, by_key};
use types::relations::{Relation, RelationKind};
use types::{Changes, Epoch, Schema};

use crate::error::ConnectError;

/// Takes typed rows, one after the other.
pub(crate) trait Visit {
    /// Takes the row that a key holds, or held last where it is deleted, and when it changed.
    fn row<R: Relation>(
        &mut self,
        row: &R,
        is_deleted: bool,
        epoch: Epoch,
    ) -> Result<(), ConnectError>;
}

/// Shows an epoch's changes, one a key, in the order of the keys' interned numbers.
pub(crate) fn visit_changes(
    changes: &Changes,
    schema: &Schema,
    epoch: Epoch,
    visitor: &mut impl Visit,
) -> Result<(), ConnectError> {
    types::with_changes!(changes, rows => {
        for change in by_key(rows, schema) {
            match change {
                Change::Put(row) => visitor.row(row, false, epoch)?,
                Change::Del(row) => visitor.row(row, true, epoch)?,
            }
        }
    });
    Ok(())
}

struct HeldRow<R> {
    row: R,
    is_deleted: bool,
    epoch: Epoch,
}

/// The last change of each key of one view.
pub(crate) struct Rows<R: Relation>(HashMap<R::Key, HeldRow<R>>);

impl<R: Relation> Rows<R> {
    fn take(&mut self, rows: &[(R, isize)], schema: &Schema, epoch: Epoch) {
        for change in by_key(rows, schema) {
            let (row, is_deleted) = match change {
                Change::Put(row) => (row, false),
                Change::Del(row) => (row, true),
            };
            let held = HeldRow { row: row.clone(), is_deleted, epoch };
            match self.0.entry(row.key(schema)) {
                Entry::Occupied(mut entry) => drop(entry.insert(held)),
                Entry::Vacant(entry) => drop(entry.insert(held)),
            }
        }
    }
}

macro_rules! held {
    ($($variant:ident($row:ty),)*) => {
        /// The last change of each key, of a view of any kind.
        pub(crate) enum Held {
            $(
                #[doc = concat!("Of rows of type `", stringify!($variant), "`.")]
                $variant(Rows<$row>),
            )*
        }

        impl Held {
            /// Holds nothing.
            pub(crate) fn new(kind: RelationKind) -> Self {
                match kind { $(RelationKind::$variant => Self::$variant(Rows(HashMap::new())),)* }
            }

            /// How many keys are held.
            pub(crate) fn len(&self) -> usize {
                match self { $(Self::$variant(rows) => rows.0.len(),)* }
            }

            /// Bytes that one key takes in memory, about.
            pub(crate) const fn entry_bytes(&self, schema: &Schema) -> usize {
                let row = match self {
                    $(Self::$variant(_) => size_of::<(<$row as Relation>::Key, HeldRow<$row>)>(),)*
                };
                // A declared row holds its values behind a pointer.
                let values = if matches!(self, Self::Rows(_)) { schema.columns.len() * 64 } else { 0 };
                row + values
            }

            /// Takes an epoch's changes; each replaces what is held of its key.
            ///
            /// # Panics
            /// If the rows are of another kind.
            pub(crate) fn take(&mut self, changes: &Changes, schema: &Schema, epoch: Epoch) {
                match (self, changes) {
                    $((Self::$variant(held), Changes::$variant(rows)) => {
                        held.take(rows, schema, epoch);
                    })*
                    (_, changes) => panic!("a view got rows of {:?}", changes.kind()),
                }
            }

            /// Shows what is held, in no order, and forgets it.
            pub(crate) fn drain(
                &mut self,
                visitor: &mut impl Visit,
            ) -> Result<(), ConnectError> {
                match self {
                    $(Self::$variant(held) => {
                        held.0.drain().try_for_each(|(_, held)| {
                            visitor.row(&held.row, held.is_deleted, held.epoch)
                        })
                    })*
                }
            }
        }
    };
}
types::for_relations!(held);
