//! `Changes`: what crosses from the dataflow to readers: typed rows with +1 or -1.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxBuildHasher, FxHashSet};

use crate::digest::halves;
use crate::for_relations;
use crate::names::Names;
use crate::relations::{Relation, RelationKind};
use crate::sabotage::{Safeguard, is_out};
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

            /// Makes the changes of each key neighbours, the removed row first, and drops pairs
            /// that change nothing; see [`adjoin`].
            pub fn adjoin(&mut self, schema: &Schema) {
                match self { $(Self::$variant(rows) => adjoin(rows, schema),)* }
            }

            /// A digest of the changes that doesn't depend on their order. Equal in each run of one build
            /// of Tapeline that gives the same names the same numbers; of no meaning beyond.
            pub fn digest(&self) -> u64 {
                match self { $(Self::$variant(rows) => digest(rows),)* }
            }

            /// By how many rows the view grew.
            pub fn growth(&self) -> isize {
                match self { $(Self::$variant(rows) => rows.iter().map(|row| row.1).sum(),)* }
            }

            /// Bytes that the changes take, about; texts that rows share aren't counted.
            pub fn bytes(&self) -> usize {
                let n_values = match self {
                    // A declared row holds its values behind a pointer.
                    Self::Rows(rows) => rows.first().map_or(0, |row| row.0.0.len() + 1),
                    _ => 0,
                };
                let row = n_values * size_of::<Value>() + match self {
                    $(Self::$variant(_) => size_of::<($row, isize)>(),)*
                };
                row * self.len()
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
            $crate::Changes::Marks($rows) => $body,
            $crate::Changes::Alerts($rows) => $body,
            $crate::Changes::Rows($rows) => $body,
        }
    };
}

/// The sum of the digests of all changes.
fn digest<R: Hash>(rows: &[(R, isize)]) -> u64 {
    let each = rows.iter().map(|(row, diff)| {
        let mut digest = RowDigest::default();
        row.hash(&mut digest);
        diff.hash(&mut digest);
        digest.finish()
    });
    each.fold(0, u64::wrapping_add)
}

/// The digest of a row: the sum of its words, each multiplied by a key of its place (as in NH, the
/// first step of UMAC, RFC 4418), so that no word waits for the one before.
#[derive(Default)]
struct RowDigest {
    key: u64,
    sum: u64,
}

impl RowDigest {
    #[inline]
    fn add(&mut self, word: u64) {
        self.key = self.key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let (low, high) = (word ^ self.key).carrying_mul(self.key.rotate_left(32) | 1, 0);
        self.sum = self.sum.wrapping_add(low ^ high);
    }
}

/// Says how numbers become words.
macro_rules! words {
    ($($write:ident($int:ty)),*) => {
        $(#[inline]
        fn $write(&mut self, number: $int) {
            self.add(u64::from(number));
        })*
    };
}

impl Hasher for RowDigest {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        // The one stands for the end, so that no bytes are like others with zeros behind.
        self.add(rest.iter().fold(1, |word, byte| word << 8 | u64::from(*byte)));
    }

    words! { write_u8(u8), write_u16(u16), write_u32(u32), write_u64(u64) }

    #[inline]
    fn write_i64(&mut self, number: i64) {
        self.add(number.cast_unsigned());
    }

    #[inline]
    fn write_i128(&mut self, number: i128) {
        self.write_u128(number.cast_unsigned());
    }

    #[inline]
    fn write_u128(&mut self, number: u128) {
        let [low, high] = halves(number);
        self.add(low);
        self.add(high);
    }

    #[inline]
    fn write_isize(&mut self, number: isize) {
        self.add(u64::try_from(number.cast_unsigned()).unwrap_or(u64::MAX));
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.add(u64::try_from(number).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        let mixed = (self.sum ^ (self.sum >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
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

/// Makes the changes of each key neighbours, the removed row first, and drops pairs that change
/// nothing. Operators keep a key's changes together already; then this costs a look at each key.
/// Else it sorts.
pub fn adjoin<R: Relation>(rows: &mut Vec<(R, isize)>, schema: &Schema) {
    match found(rows, schema) {
        Found::Adjoined => {}
        Found::Pairs if is_out(Safeguard::AdjoinsPairs) => {}
        Found::Apart if is_out(Safeguard::AdjoinsApart) => {}
        Found::Pairs => put_pairs_right(rows, schema),
        Found::Apart => {
            consolidate(rows);
            // Rows start with their key, so that its changes are neighbours now.
            for group in rows.chunk_by_mut(|a, b| a.0.has_key_of(&b.0, schema)) {
                group.sort_by_key(|row| row.1);
            }
        }
    }
}

/// How changes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// As they should.
    Adjoined,
    /// Each key's are neighbours, but some pairs change nothing or have the new row first.
    Pairs,
    /// Some key's aren't neighbours.
    Apart,
}

/// Looks how changes stand. Keys are told apart by a hash of 64 bits: two that collide only make it
/// say that some stand apart.
fn found<R: Relation>(rows: &[(R, isize)], schema: &Schema) -> Found {
    let mut seen = FxHashSet::with_capacity_and_hasher(rows.len() / 2 + 1, FxBuildHasher);
    let mut found = Found::Adjoined;
    let mut rest = rows;
    while let [(row, diff), tail @ ..] = rest {
        rest = tail;
        if !matches!(diff, 1 | -1) || !seen.insert(row.hash_key(schema)) {
            return Found::Apart;
        }
        if let [(next, next_diff), tail @ ..] = tail
            && diff + next_diff == 0
            && row.has_key_of(next, schema)
        {
            if *diff > 0 || row == next {
                found = Found::Pairs;
            }
            rest = tail;
        }
    }
    found
}

/// Puts the removed row of each pair first, and drops pairs that change nothing.
fn put_pairs_right<R: Relation>(rows: &mut Vec<(R, isize)>, schema: &Schema) {
    let mut old = std::mem::take(rows).into_iter().peekable();
    while let Some((row, diff)) = old.next() {
        let is_other = |next: &(R, isize)| diff + next.1 == 0 && row.has_key_of(&next.0, schema);
        match old.next_if(is_other) {
            None => rows.push((row, diff)),
            Some((other, _)) if other == row => {}
            Some((other, other_diff)) if diff > 0 => {
                rows.extend([(other, other_diff), (row, diff)]);
            }
            Some(other) => rows.extend([(row, diff), other]),
        }
    }
}

/// What became of a key in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a, R> {
    /// The key now holds this row.
    Put(&'a R),
    /// The key, of this row, holds nothing any more.
    Del(&'a R),
}

impl<'a, R> Change<'a, R> {
    /// The row, and whether its key holds nothing any more.
    pub const fn into_parts(self) -> (&'a R, bool) {
        match self {
            Self::Put(row) => (row, false),
            Self::Del(row) => (row, true),
        }
    }
}

/// Reads adjoined changes as one put or del a key, in the order in which they stand.
///
/// # Panics
/// If a key holds more than one row, which is a bug of an operator.
pub fn by_key<'a, R: Relation>(
    rows: &'a [(R, isize)],
    schema: &'a Schema,
) -> impl Iterator<Item = Change<'a, R>> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let [(row, diff), tail @ ..] = rest else { return None };
        rest = tail;
        let next = tail.first().filter(|(next, _)| row.has_key_of(next, schema));
        match (diff, next) {
            (1, None) => Some(Change::Put(row)),
            (-1, None) => Some(Change::Del(row)),
            (-1, Some((new, 1))) => {
                rest = tail.get(1..).unwrap_or_default();
                Some(Change::Put(new))
            }
            _ => panic!("more than one row of a key in an epoch: {row:?}, {diff}, {next:?}"),
        }
    })
}

#[cfg(test)]
mod tests;
