//! `Changes`: what crosses from the dataflow to readers: typed rows with +1 or -1.

use crate::for_relations;
use crate::names::Names;
use crate::relations::{Relation, RelationKind};
use crate::schema::Schema;
use crate::value::Value;

/// Declares the enum over all relations, and what works alike for each.
macro_rules! changes {
    ($($variant:ident($row:ty),)*) => {
        /// Rows of one view and how their multiplicity changed in an epoch.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Changes {
            $(#[doc = concat!("Rows of [`", stringify!($row), "`].")] $variant(Vec<($row, isize)>),)*
        }

        impl Changes {
            /// No changes of this kind of row.
            pub fn empty(kind: RelationKind) -> Self {
                match kind { $(RelationKind::$variant => Self::$variant(Vec::new()),)* }
            }

            /// The kind of the rows.
            pub const fn kind(&self) -> RelationKind {
                match self { $(Self::$variant(_) => RelationKind::$variant,)* }
            }

            /// How many changes there are.
            pub const fn len(&self) -> usize {
                match self { $(Self::$variant(rows) => rows.len(),)* }
            }

            /// Whether there are none.
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Moves the other's changes in here.
            ///
            /// # Panics
            /// If the rows are of another kind.
            pub fn append(&mut self, other: Self) {
                match (self, other) {
                    $((Self::$variant(rows), Self::$variant(more)) => {
                        if rows.is_empty() { *rows = more } else { rows.extend(more) }
                    })*
                    (to, from) => panic!("rows of {:?} among those of {:?}", from.kind(), to.kind()),
                }
            }

            /// Sorts, adds up equal rows, drops what adds up to nothing.
            pub fn consolidate(&mut self) {
                match self { $(Self::$variant(rows) => consolidate(rows),)* }
            }

            /// How the multiplicity of a row changed.
            pub fn diff(&self, index: usize) -> isize {
                match self { $(Self::$variant(rows) => rows.get(index).map_or(0, |r| r.1),)* }
            }

            /// The value of a row's column, null beyond the end.
            pub fn value(&self, index: usize, column: usize, names: &Names) -> Value {
                match self {
                    $(Self::$variant(rows) => {
                        rows.get(index).map_or(Value::Null, |r| r.0.column(column, names))
                    })*
                }
            }
        }
    };
}
for_relations!(changes);

/// Says how typed rows become changes.
macro_rules! into_changes {
    ($($variant:ident($row:ty),)*) => {
        $(impl From<Vec<($row, isize)>> for Changes {
            fn from(rows: Vec<($row, isize)>) -> Self {
                Self::$variant(rows)
            }
        })*
    };
}
for_relations!(into_changes);

/// Runs an expression with the typed rows of some [`Changes`].
#[macro_export]
macro_rules! with_changes {
    ($changes:expr, $rows:ident => $body:expr) => {
        match $changes {
            $crate::Changes::Fills($rows) => $body,
            $crate::Changes::Trades($rows) => $body,
            $crate::Changes::Quotes($rows) => $body,
            $crate::Changes::Settlements($rows) => $body,
            $crate::Changes::Positions($rows) => $body,
            $crate::Changes::Errors($rows) => $body,
            $crate::Changes::Breaks($rows) => $body,
            $crate::Changes::Bars($rows) => $body,
            $crate::Changes::Pnl($rows) => $body,
            $crate::Changes::PositionPnl($rows) => $body,
            $crate::Changes::PnlNow($rows) => $body,
            $crate::Changes::Alerts($rows) => $body,
            $crate::Changes::Rows($rows) => $body,
        }
    };
}

/// Sorts by row, adds up equal rows, drops what adds up to nothing.
pub fn consolidate<R: Ord>(rows: &mut Vec<(R, isize)>) {
    rows.sort_unstable();
    rows.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    rows.retain(|row| row.1 != 0);
}

/// What became of a key in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a, R> {
    /// The key now holds this row.
    Put(&'a R),
    /// The key, of this row, holds nothing any more.
    Del(&'a R),
}

/// Reads consolidated changes as one put or del a key, in the order of the keys' interned numbers.
///
/// # Panics
/// If a key holds more than one row, which is a bug of an operator.
pub fn by_key<'a, R: Relation>(rows: &'a [(R, isize)], schema: &Schema) -> Vec<Change<'a, R>> {
    let mut keyed: Vec<(R::Key, &(R, isize))> =
        rows.iter().map(|row| (row.0.key(schema), row)).collect();
    keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.1.cmp(&b.1.1)));
    let mut changes: Vec<Change<'a, R>> = Vec::with_capacity(keyed.len());
    for group in keyed.chunk_by(|a, b| a.0 == b.0) {
        match group {
            [(_, (row, 1))] | [(_, (_, -1)), (_, (row, 1))] => changes.push(Change::Put(row)),
            [(_, (row, -1))] => changes.push(Change::Del(row)),
            rows => panic!("more than one row of a key in an epoch: {rows:?}"),
        }
    }
    changes
}
