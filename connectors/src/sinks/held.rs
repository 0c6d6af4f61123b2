//! The last change of each key of a view, in memory: typed rows, nothing is encoded before it leaves.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use types::changes;
use types::relations::{Relation, RelationKind};
use types::sabotage::{Safeguard, is_out};
use types::{Changes, Epoch, Names, Schema};

use super::hash::{low_bits, spread};
use super::order::{KeyBytes, by_key, index};
use super::shown::{BLOCK, Shown, Visit, in_blocks};
use super::touch::Touch;
use crate::error::ConnectError;

/// The last change of each key of one view.
pub(crate) struct Rows<R> {
    slab: Slab<R>,
    /// When each key changed, and whether it is gone.
    marks: Vec<Mark>,
    /// For each key the low bits of its hash, and its place among the rows.
    index: HashTable<(u32, u32)>,
}

/// Columns whose texts are fetched with a row.
const N_TOUCHED: usize = 3;

/// Keys that are looked up together.
const LOOKED: usize = 16;

/// A change whose key is being looked up.
struct Looked<'a, R> {
    row: &'a R,
    mark: Mark,
    /// The low bits of its key's hash.
    low: u32,
    place: Option<u32>,
}

/// An epoch, with whether the key is gone in its lowest bit.
#[derive(Clone, Copy)]
struct Mark(u64);

impl Mark {
    const fn new(epoch: Epoch, is_deleted: bool) -> Self {
        Self(epoch.0 << 1 | if is_deleted { 1 } else { 0 })
    }

    const fn epoch(self) -> Epoch {
        Epoch(self.0 >> 1)
    }

    const fn is_deleted(self) -> bool {
        self.0 & 1 == 1
    }
}

impl<R: Relation> Rows<R> {
    const fn new() -> Self {
        Self { slab: Slab::new(), marks: Vec::new(), index: HashTable::new() }
    }

    /// Looks keys up block by block: what one waits for from memory, all wait for together.
    fn take(&mut self, rows: &[(R, isize)], schema: &Schema, epoch: Epoch) {
        let mut changes = changes::by_key(rows, schema);
        let mut block: Vec<Looked<'_, R>> = Vec::with_capacity(LOOKED);
        loop {
            block.extend(changes.by_ref().take(LOOKED).map(|change| {
                let (row, is_deleted) = change.into_parts();
                let low = low_bits(row.hash_key(schema));
                Looked { row, mark: Mark::new(epoch, is_deleted), low, place: None }
            }));
            if block.is_empty() {
                return;
            }
            for looked in &mut block {
                let found = self.index.find(spread(looked.low), |(low, _)| *low == looked.low);
                looked.place = found.map(|(_, place)| *place);
            }
            let mut touch = Touch::default();
            for looked in &mut block {
                let is_it = |held: &R| {
                    touch.look(held);
                    held.has_key_of(looked.row, schema)
                };
                let held = looked.place.and_then(|place| self.slab.get(place));
                looked.place = looked.place.filter(|_| held.is_some_and(is_it));
            }
            touch.end();
            for looked in block.drain(..) {
                match looked.place {
                    Some(place) => self.replace(place, looked.row, looked.mark),
                    None => self.enter(&looked, schema),
                }
            }
        }
    }

    fn replace(&mut self, place: u32, row: &R, mark: Mark) {
        if let Some(held) = self.slab.get_mut(place) {
            held.clone_from(row);
        }
        if let Some(held) = self.marks.get_mut(index(place)) {
            *held = mark;
        }
    }

    /// Takes a key that is new, or shares the low bits of its hash with another.
    fn enter(&mut self, looked: &Looked<'_, R>, schema: &Schema) {
        let Looked { row, mark, low, .. } = *looked;
        let place = {
            let entry = self.index.entry(
                spread(low),
                |(other, place)| {
                    let is_same = |held: &R| {
                        held.has_key_of(row, schema) || is_out(Safeguard::HeldKeysCompared)
                    };
                    *other == low && self.slab.get(*place).is_some_and(is_same)
                },
                |(other, _)| spread(*other),
            );
            match entry {
                Entry::Occupied(entry) => entry.get().1,
                Entry::Vacant(entry) => {
                    let place = u32::try_from(self.marks.len()).expect("rows are bounded by bytes");
                    entry.insert((low, place));
                    self.slab.push(row.clone());
                    self.marks.push(mark);
                    return;
                }
            }
        };
        self.replace(place, row, mark);
    }

    fn clear(&mut self) {
        self.slab.clear();
        self.marks.clear();
        self.index.clear();
    }

    fn visit(&self, visitor: &mut impl Visit) -> Result<(), ConnectError> {
        in_blocks(self.slab.iter().zip(&self.marks).map(shown), visitor)
    }

    fn by_key<K: KeyBytes>(&self, schema: &Schema, names: &Names) -> Vec<u32> {
        by_key::<K, R>((0..).zip(self.slab.iter()), schema, names)
    }

    /// Shows rows that lie all over the memory, block by block: what one waits for, all wait for
    /// together.
    fn fetch(
        &self,
        places: &[u32],
        names: &Names,
        mut take: impl FnMut(&[Shown<'_, R>]) -> Result<(), ConnectError>,
    ) -> Result<(), ConnectError> {
        let mut block = Vec::with_capacity(BLOCK);
        for places in places.chunks(BLOCK) {
            let held = |place: &u32| self.slab.get(*place).zip(self.marks.get(index(*place)));
            block.clear();
            block.extend(places.iter().filter_map(held).map(shown));
            let mut touch = Touch::default();
            for shown in &block {
                touch.look(shown.row);
            }
            for shown in &block {
                // The first columns are the key's.
                for index in 0..N_TOUCHED {
                    touch.look(&shown.row.cell(index, names).as_str());
                }
            }
            touch.end();
            take(&block)?;
        }
        Ok(())
    }
}

fn shown<'a, R>((row, mark): (&'a R, &Mark)) -> Shown<'a, R> {
    Shown { row, is_deleted: mark.is_deleted(), epoch: mark.epoch() }
}

/// Rows a piece: growing moves no row, and leaves no room for as many again.
const PIECE: usize = 1024;

/// Rows in pieces of equal size, which are kept for what comes after a clearing.
struct Slab<R> {
    pieces: Vec<Vec<R>>,
    /// The piece that rows go to.
    at: usize,
}

impl<R> Slab<R> {
    const fn new() -> Self {
        Self { pieces: Vec::new(), at: 0 }
    }

    fn push(&mut self, row: R) {
        if self.pieces.get(self.at).is_some_and(|piece| piece.len() == PIECE) {
            self.at += 1;
        }
        match self.pieces.get_mut(self.at) {
            Some(piece) => piece.push(row),
            // A small view's only piece grows as it needs.
            None if self.at == 0 => self.pieces.push(vec![row]),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(row);
                self.pieces.push(piece);
            }
        }
    }

    fn get(&self, place: u32) -> Option<&R> {
        self.pieces.get(index(place) / PIECE)?.get(index(place) % PIECE)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut R> {
        self.pieces.get_mut(index(place) / PIECE)?.get_mut(index(place) % PIECE)
    }

    fn iter(&self) -> impl Iterator<Item = &R> + Clone {
        self.pieces.iter().flatten()
    }

    fn clear(&mut self) {
        self.pieces.iter_mut().for_each(Vec::clear);
        self.at = 0;
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
            pub(crate) const fn new(kind: RelationKind) -> Self {
                match kind { $(RelationKind::$variant => Self::$variant(Rows::new()),)* }
            }

            /// How many keys are held.
            pub(crate) const fn len(&self) -> usize {
                match self { $(Self::$variant(rows) => rows.marks.len(),)* }
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

            /// Forgets all.
            pub(crate) fn clear(&mut self) {
                match self { $(Self::$variant(held) => held.clear(),)* }
            }

            /// Shows what is held, in the order in which keys first came.
            pub(crate) fn visit(&self, visitor: &mut impl Visit) -> Result<(), ConnectError> {
                match self { $(Self::$variant(held) => held.visit(visitor),)* }
            }

            /// The places of the rows in the order of their keys' bytes.
            pub(crate) fn by_key<K: KeyBytes>(&self, schema: &Schema, names: &Names) -> Vec<u32> {
                match self { $(Self::$variant(held) => held.by_key::<K>(schema, names),)* }
            }

            /// Shows the rows of these places, which count in the order of [`Held::visit`].
            pub(crate) fn visit_at(
                &self,
                places: &[u32],
                names: &Names,
                visitor: &mut impl Visit,
            ) -> Result<(), ConnectError> {
                match self {
                    $(Self::$variant(held) => held.fetch(places, names, |rows| visitor.rows(rows)),)*
                }
            }
        }
    };
}
types::for_relations!(held);

#[cfg(test)]
mod tests {
    use types::relations::Quote;
    use types::{AssetId, Interner, VenueTime};

    use super::*;

    /// Counts rows.
    struct Count(usize);

    impl Visit for Count {
        fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
            self.0 += rows.len();
            Ok(())
        }
    }

    /// So many that some share the bits of their hash that are kept.
    fn check(n: u32) {
        let schema = Schema { n_key: 2, ..Quote::schema() };
        let mut interner = Interner::new(false);
        let quote = |asset: u32| {
            let row = Quote {
                asset: AssetId(asset),
                market: None,
                bid: None,
                bid_size: None,
                ask: None,
                ask_size: None,
                event_time: VenueTime::from_nanos(0),
                seq: 0,
            };
            (row, 1)
        };
        for asset in 0..n {
            interner.asset("x", &asset.to_string());
        }
        let mut held = Held::new(RelationKind::Quotes);
        held.take(&Changes::Quotes((0..n).map(quote).collect()), &schema, Epoch(1));
        let mut count = Count(0);
        held.visit(&mut count).unwrap();
        assert_eq!(count.0, usize::try_from(n).unwrap());
    }

    #[test]
    fn keys_that_share_bits_of_their_hash_stay_apart() {
        check(200_000);
    }

    #[cfg(feature = "sabotage")]
    #[test]
    fn keys_that_share_bits_are_compared() {
        use types::sabotage::{Safeguard, assert_noticed};
        assert_noticed(Safeguard::HeldKeysCompared, 1, |_| check(200_000));
    }
}
