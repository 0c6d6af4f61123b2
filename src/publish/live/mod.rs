//! P&L as of the current epoch, made for who asks: of the newest rows of positions and marks.
//!
//! A reader holds what it was told last as two persistent maps. What has changed since is their
//! difference from the maps of now, so that nothing is kept for it while it doesn't look, and a value
//! that came back is no change.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::vec;

use dataflows::operators::mark_to_market::live::{self, LiveRows};
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};
use types::relations::{MarkNow, PnlNow, Position, Relation, WalletNow};
use types::{AssetId, Names, Schema, Sym};

use super::hub::Taken;
use super::rows::{BadCursor, Chunk, Chunks, Page, Rows, page, read_place};

/// What the live rows of a view are made of: indices of the hub's views.
#[derive(Clone, Copy, Debug)]
pub struct LiveSpec {
    /// The positions.
    pub positions: usize,
    /// The newest marks.
    pub marks: usize,
    /// What a row is.
    pub rows: LiveRows,
}

impl LiveSpec {
    /// The columns of the rows: those of the view without the snapshot.
    pub fn schema(self) -> Schema {
        match self.rows {
            LiveRows::Wallets => WalletNow::schema(),
            LiveRows::Positions | LiveRows::Open => PnlNow::schema(),
        }
    }
}

/// Positions and marks at one epoch; shares its memory with the views.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) positions: OrdMap<(Sym, AssetId), Position>,
    pub(super) marks: OrdMap<(AssetId,), MarkNow>,
}

impl Moment {
    /// Before the first epoch.
    fn empty() -> Self {
        Self { positions: OrdMap::new(), marks: OrdMap::new() }
    }

    fn is(&self, other: &Self) -> bool {
        self.positions.ptr_eq(&other.positions) && self.marks.ptr_eq(&other.marks)
    }

    fn mark(&self, position: &Position) -> Option<&MarkNow> {
        self.marks.get(&(position.asset,))
    }

    fn of_wallet(
        &self,
        wallet: Sym,
    ) -> impl Iterator<Item = (&Position, Option<&MarkNow>)> + Clone {
        let positions = self.positions.range((wallet, AssetId(0))..);
        let of_wallet = positions.take_while(move |((other, _), _)| *other == wallet);
        of_wallet.map(|(_, position)| (position, self.mark(position)))
    }
}

/// Rows of one type, made from a moment.
pub(super) trait Shape: Send + 'static {
    /// The rows.
    type Row: Relation;

    /// The key that a position's row has.
    fn key(position: (Sym, AssetId)) -> <Self::Row as Relation>::Key;

    /// The last position that a key may have.
    fn last(key: &<Self::Row as Relation>::Key) -> (Sym, AssetId);

    /// The row of a key.
    fn row(moment: &Moment, key: &<Self::Row as Relation>::Key) -> Option<Self::Row>;
}

/// A wallet's sums.
pub(super) struct Wallets;

/// Positions; open ones alone, where asked for.
pub(super) struct Positions<const OPEN: bool>;

impl Shape for Wallets {
    type Row = WalletNow;

    fn key((wallet, _): (Sym, AssetId)) -> (Sym,) {
        (wallet,)
    }

    fn last((wallet,): &(Sym,)) -> (Sym, AssetId) {
        (*wallet, AssetId(u32::MAX))
    }

    fn row(moment: &Moment, (wallet,): &(Sym,)) -> Option<WalletNow> {
        live::wallet(moment.of_wallet(*wallet))
    }
}

impl<const OPEN: bool> Shape for Positions<OPEN> {
    type Row = PnlNow;

    fn key(position: (Sym, AssetId)) -> (Sym, AssetId) {
        position
    }

    fn last(key: &(Sym, AssetId)) -> (Sym, AssetId) {
        *key
    }

    fn row(moment: &Moment, key: &(Sym, AssetId)) -> Option<PnlNow> {
        let position = moment.positions.get(key)?;
        if OPEN && position.qty.is_zero() {
            return None;
        }
        live::position(position, moment.mark(position))
    }
}

type Key<S> = <<S as Shape>::Row as Relation>::Key;

/// The rows of a moment.
pub(super) struct LiveView<S> {
    moment: Moment,
    schema: Arc<Schema>,
    names: Arc<Names>,
    shape: PhantomData<S>,
}

impl<S: Shape> LiveView<S> {
    fn new(moment: Moment, names: &Arc<Names>, schema: &Arc<Schema>) -> Self {
        let (schema, names) = (Arc::clone(schema), Arc::clone(names));
        Self { moment, schema, names, shape: PhantomData }
    }

    /// The rows behind a key, in the order of their keys.
    fn after(&self, after: Option<&Key<S>>) -> impl Iterator<Item = (Key<S>, S::Row)> {
        let start = after.map_or(Bound::Unbounded, |key| Bound::Excluded(S::last(key)));
        let positions = self.moment.positions.range::<_, (Sym, AssetId)>((start, Bound::Unbounded));
        let mut last = None;
        let keys = positions.map(|(position, _)| S::key(*position)).filter(move |key| {
            let is_new = last.as_ref() != Some(key);
            last = Some(key.clone());
            is_new
        });
        keys.filter_map(|key| S::row(&self.moment, &key).map(|row| (key, row)))
    }
}

impl<S: Shape> Rows for LiveView<S> {
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Page, BadCursor> {
        let after: Option<Key<S>> = after.map(read_place).transpose()?;
        Ok(page::<S::Row>(self.after(after.as_ref()), limit, (&self.schema, &self.names)))
    }
}

/// All rows of a moment, piece by piece.
struct LiveChunks<S: Shape> {
    view: LiveView<S>,
    /// The last key written.
    after: Option<Key<S>>,
}

impl<S: Shape> Chunks for LiveChunks<S> {
    fn next(&mut self, enough: usize, most: usize) -> Chunk {
        let mut chunk = Chunk::default();
        let LiveView { schema, names, .. } = &self.view;
        let mut last = None;
        chunk.last = self.view.after(self.after.as_ref()).all(|(key, row)| {
            let is_in = chunk.add((enough, most), |chunk| chunk.put(&row, schema, names));
            if is_in {
                last = Some(key);
            }
            is_in
        });
        self.after = last.or_else(|| self.after.take());
        chunk
    }
}

/// What differs between two moments, piece by piece.
struct LiveChanges<S: Shape> {
    before: Moment,
    now: LiveView<S>,
    holders: Arc<Holders>,
    /// The keys whose rows may differ; found with the first piece, so not while the hub is held.
    keys: Option<vec::IntoIter<Key<S>>>,
}

impl<S: Shape> LiveChanges<S> {
    fn touched(&self) -> vec::IntoIter<Key<S>> {
        let mut keys = BTreeSet::new();
        for change in self.before.positions.diff(&self.now.moment.positions) {
            keys.insert(S::key(*changed(&change)));
        }
        let mut marks = self.before.marks.diff(&self.now.moment.marks).peekable();
        if marks.peek().is_some() {
            let holders = self.holders.at(&self.now.moment);
            for (asset,) in marks.map(|change| *changed(&change)) {
                let of_asset = holders.range((asset, Sym::from_index(0))..);
                let of_asset = of_asset.take_while(|(other, _)| *other == asset);
                keys.extend(of_asset.map(|(asset, wallet)| S::key((*wallet, *asset))));
            }
        }
        keys.into_iter().collect::<Vec<_>>().into_iter()
    }
}

impl<S: Shape> Chunks for LiveChanges<S> {
    fn next(&mut self, enough: usize, most: usize) -> Chunk {
        let mut keys = self.keys.take().unwrap_or_else(|| self.touched());
        let LiveView { moment, schema, names, .. } = &self.now;
        let mut chunk = Chunk::default();
        let mut n_taken = 0;
        for key in keys.as_slice() {
            let (before, now) = (S::row(&self.before, key), S::row(moment, key));
            let is_in = chunk.add((enough, most), |chunk| match (before, now) {
                (before, Some(now)) if before.as_ref() != Some(&now) => {
                    chunk.put(&now, schema, names);
                }
                (Some(before), None) => chunk.del(&before, schema, names),
                _ => {}
            });
            if !is_in {
                break;
            }
            n_taken += 1;
        }
        keys.by_ref().take(n_taken).for_each(drop);
        chunk.last = keys.as_slice().is_empty();
        self.keys = Some(keys);
        chunk
    }
}

/// The key that differs.
const fn changed<'a, K, V>(change: &DiffItem<'a, 'a, K, V>) -> &'a K {
    match change {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key,
        DiffItem::Update { new: (key, _), .. } => key,
    }
}

/// The holders of each asset, for all readers of live rows over the same positions. Brought to a moment
/// by what differs from the one it was asked for last.
pub(super) struct Holders(Mutex<(OrdMap<(Sym, AssetId), Position>, OrdSet<(AssetId, Sym)>)>);

impl Holders {
    /// Who has an open position at a moment.
    fn at(&self, moment: &Moment) -> OrdSet<(AssetId, Sym)> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (positions, mut holders) = last.clone();
        for change in positions.diff(&moment.positions) {
            let (wallet, asset) = *changed(&change);
            match change {
                DiffItem::Add(_, new) | DiffItem::Update { new: (_, new), .. }
                    if !new.qty.is_zero() =>
                {
                    holders.insert((asset, wallet));
                }
                _ => {
                    holders.remove(&(asset, wallet));
                }
            }
        }
        *last = (moment.positions.clone(), holders.clone());
        holders
    }
}

/// What makes the live rows of one view, and who reads them.
pub(super) struct LiveTable {
    pub(super) spec: LiveSpec,
    pub(super) schema: Arc<Schema>,
    names: Arc<Names>,
    /// Held by the readers, so that it goes with the last of them.
    holders: Weak<Holders>,
}

/// One reader's place: what it was told last, if anything.
pub(super) struct LiveCursor {
    last: Option<Moment>,
    holders: Arc<Holders>,
}

impl LiveCursor {
    /// Says that a reader who wants only changes has missed none until now.
    pub(super) fn begin_at(&mut self, now: Moment) {
        if let Some(last) = &mut self.last {
            *last = now;
        }
    }
}

impl LiveTable {
    pub(super) fn new(spec: LiveSpec, names: &Arc<Names>) -> Self {
        let (schema, names) = (spec.schema().shared(), Arc::clone(names));
        Self { spec, schema, names, holders: Weak::new() }
    }

    /// Starts a reader at a moment: it gets all rows first, or only what changes from now on.
    pub(super) fn cursor(&mut self, now: Moment, needs_everything: bool) -> LiveCursor {
        let holders = self.holders.upgrade().unwrap_or_else(|| {
            let Moment { positions, .. } = Moment::empty();
            Arc::new(Holders(Mutex::new((positions, OrdSet::new()))))
        });
        self.holders = Arc::downgrade(&holders);
        LiveCursor { last: (!needs_everything).then_some(now), holders }
    }

    /// The rows of a moment.
    pub(super) fn rows(&self, now: Moment) -> Box<dyn Rows> {
        match self.spec.rows {
            LiveRows::Wallets => Box::new(self.view::<Wallets>(now)),
            LiveRows::Positions => Box::new(self.view::<Positions<false>>(now)),
            LiveRows::Open => Box::new(self.view::<Positions<true>>(now)),
        }
    }

    /// What a reader has yet to be told.
    pub(super) fn take(&self, now: &Moment, cursor: &mut LiveCursor) -> Taken {
        match self.spec.rows {
            LiveRows::Wallets => self.take_as::<Wallets>(now, cursor),
            LiveRows::Positions => self.take_as::<Positions<false>>(now, cursor),
            LiveRows::Open => self.take_as::<Positions<true>>(now, cursor),
        }
    }

    fn take_as<S: Shape>(&self, now: &Moment, cursor: &mut LiveCursor) -> Taken {
        let view = self.view::<S>(now.clone());
        let Some(before) = cursor.last.replace(now.clone()) else {
            return Taken::Everything(Box::new(LiveChunks { view, after: None }));
        };
        if before.is(now) {
            return Taken::Nothing;
        }
        let holders = Arc::clone(&cursor.holders);
        Taken::Changes(Box::new(LiveChanges { before, now: view, holders, keys: None }))
    }

    fn view<S: Shape>(&self, now: Moment) -> LiveView<S> {
        LiveView::new(now, &self.names, &self.schema)
    }
}

#[cfg(test)]
mod tests;
