//! Positions by wallet and marks by asset, as of the last published step and as of all steps.
//!
//! What a sweep passes lies together: each wallet's quantities in one array, the newest marks in one
//! table. The past stands apart and is looked at by corrections alone. Sums of a wallet with few
//! positions are made anew from its past when a correction needs them; larger ones keep theirs, so
//! that a correction costs what it changes and not what the wallet holds.

use rustc_hash::FxHashMap;
use types::{AssetId, Sym, VenueTime};

use super::past::{BySteps, Past, index_of};
use super::value::{Held, Marked, Sums};
use crate::operators::slab::{NONE, Slab, index};

/// A wallet with more positions than this keeps its sums of the past, and finds positions by hash.
const SMALL: usize = if cfg!(test) { 2 } else { 16 };

/// Wallets or positions whose memory is asked for together.
pub(super) const BLOCK: usize = 32;

/// A position: the number of its wallet, and its own among the wallet's.
pub(super) type Pair = (u32, u32);

/// Quantity of an open position that can't be summed by its quantity alone: the basis is unknown, or
/// the quantity doesn't fit 64 bits.
pub(super) const SPECIAL: i64 = i64::MIN;

/// A position as the sweep sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// As of the last published step.
    pub(super) qty: i64,
    pub(super) asset: AssetId,
    /// Its newest record, which may be of a step to come.
    pub(super) newest: u32,
}

/// A wallet.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) name: Sym,
    /// The last sweep in which a mark of its positions changed.
    pub(super) swept: u64,
    /// Whether its sums don't fit 128 bits. Once it is, `sums` means nothing and rows are made from
    /// the past with 256 bits.
    pub(super) is_wide: bool,
    /// As of the last published step.
    pub(super) sums: Sums<i128>,
    pub(super) positions: Vec<Position>,
    pub(super) large: Option<Box<Large>>,
}

/// What a wallet with many positions has beside.
#[derive(Debug, Default)]
pub(super) struct Large {
    by_asset: FxHashMap<AssetId, u32>,
    /// Sums from each step on at which they changed, up to the last published.
    pub(super) sums: BySteps<Sums<i128>>,
}

/// An asset's marks and who has ever held it.
#[derive(Debug, Default)]
pub(super) struct Asset {
    pub(super) marks: BySteps<Marked>,
    /// Numbers of wallets.
    pub(super) holders: Vec<u32>,
}

/// What a position was, and its mark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) held: Option<Held>,
    pub(super) mark: Option<Marked>,
}

/// Twice the newest mark of an asset for a long and for a short position.
type NewestMark = (i64, i64);

/// No mark yet: below all prices.
const UNMARKED: NewestMark = (i64::MIN, i64::MIN);

/// All positions of a worker, and all marks.
pub(super) struct Mirror {
    index: FxHashMap<Sym, u32>,
    pub(super) wallets: Slab<Wallet, 10>,
    pub(super) past: Past,
    pub(super) assets: Vec<Asset>,
    /// By asset, as of the last published step.
    newest: Vec<NewestMark>,
    /// Positions, and those open as of the last published step.
    pub(super) n_positions: usize,
    pub(super) n_open: usize,
}

impl Mirror {
    pub(super) fn new() -> Self {
        Self {
            index: FxHashMap::default(),
            wallets: Slab::new(),
            past: Past::new(),
            assets: Vec::new(),
            newest: Vec::new(),
            n_positions: 0,
            n_open: 0,
        }
    }

    /// An asset; made where there is none.
    pub(super) fn asset(&mut self, asset: AssetId) -> &mut Asset {
        let index = index_of(asset);
        if index >= self.assets.len() {
            self.assets.resize_with(index + 1, Asset::default);
            self.newest.resize(index + 1, UNMARKED);
        }
        &mut self.assets[index]
    }

    /// The position of a wallet in an asset, made where there is none; and whether the wallet has
    /// just become large, so that it needs its sums of the past.
    pub(super) fn position(&mut self, name: Sym, asset: AssetId) -> (Pair, bool) {
        let wallets = &mut self.wallets;
        let wallet = *self.index.entry(name).or_insert_with(|| {
            wallets.push(Wallet {
                name,
                swept: 0,
                is_wide: false,
                sums: Sums::default(),
                positions: Vec::new(),
                large: None,
            })
        });
        let found = self.wallets.get_mut(wallet);
        if let Some(position) = found.find(asset) {
            return ((wallet, position), false);
        }
        let position = u32::try_from(found.positions.len()).expect("fewer than 2^32 assets");
        if found.positions.len() == found.positions.capacity() {
            // Most wallets stay tiny: grow by half, not from a minimum of four.
            found.positions.reserve_exact((found.positions.len() / 2).max(1));
        }
        found.positions.push(Position { qty: 0, asset, newest: NONE });
        let is_new = found.large.is_none() && found.positions.len() > SMALL;
        if is_new {
            found.large = Some(Box::default());
        }
        if let Some(large) = &mut found.large {
            if is_new {
                large.by_asset.extend((0..).zip(&found.positions).map(|(i, p)| (p.asset, i)));
            }
            large.by_asset.insert(asset, position);
        }
        self.n_positions += 1;
        self.asset(asset).holders.push(wallet);
        ((wallet, position), is_new)
    }

    /// A wallet's position in an asset, if there was ever one.
    pub(super) fn look_up(&self, (wallet, asset): (Sym, AssetId)) -> Option<Pair> {
        let wallet = *self.index.get(&wallet)?;
        Some((wallet, self.wallets.get(wallet).find(asset)?))
    }

    /// Asks for the memory of some wallets' positions, all at once: a sweep would wait for one after
    /// the other.
    pub(super) fn warm_wallets(&self, wallets: impl Iterator<Item = u32>) {
        let first = |wallet| self.wallets.get(wallet).positions.first();
        let read = wallets.filter_map(first).fold(0, |read, position| read ^ position.qty);
        std::hint::black_box(read);
    }

    /// Asks for the newest records of a block of positions, and for those before.
    pub(super) fn warm_records(&self, pairs: &[Pair]) {
        let mut records = [NONE; BLOCK];
        for (record, pair) in records.iter_mut().zip(pairs) {
            *record = self.at(*pair).newest;
        }
        for record in records.iter_mut().filter(|record| **record != NONE) {
            *record = self.past.before(*record);
        }
        let before = records.iter().filter(|record| **record != NONE);
        let read = before.fold(0, |read, record| read ^ self.past.before(*record));
        std::hint::black_box(read);
    }

    /// Asks for the memory that changes of a block of positions need. One stage after the other, as
    /// each says where the next one looks.
    pub(super) fn warm_positions(&self, pairs: impl Iterator<Item = (Sym, AssetId)>) {
        let mut block = [None; BLOCK];
        let mut n_pairs = 0;
        for (slot, (name, asset)) in block.iter_mut().zip(pairs) {
            *slot = self.index.get(&name).map(|wallet| (*wallet, asset));
            n_pairs += 1;
        }
        let known = || block[..n_pairs].iter().flatten();
        let mut read = 0;
        for (wallet, _) in known() {
            read ^= self.wallets.get(*wallet).positions.len();
        }
        let mut records = [NONE; BLOCK];
        for (record, (wallet, asset)) in records.iter_mut().zip(known()) {
            let found = self.wallets.get(*wallet);
            *record = found.find(*asset).map_or(NONE, |p| found.positions[index(p)].newest);
        }
        for record in records.iter().filter(|record| **record != NONE) {
            read ^= index(self.past.before(*record));
        }
        std::hint::black_box(read);
    }

    /// A position of its wallet.
    pub(super) fn at(&self, (wallet, position): Pair) -> &Position {
        &self.wallets.get(wallet).positions[index(position)]
    }

    /// A position of its wallet.
    pub(super) fn at_mut(&mut self, (wallet, position): Pair) -> &mut Position {
        &mut self.wallets.get_mut(wallet).positions[index(position)]
    }

    /// All positions of a wallet.
    pub(super) fn pairs(&self, wallet: u32) -> impl Iterator<Item = Pair> + use<> {
        let n = self.wallets.get(wallet).positions.len();
        (0..u32::try_from(n).expect("fewer than 2^32 assets")).map(move |p| (wallet, p))
    }

    /// All positions in an asset.
    pub(super) fn holders(&self, asset: AssetId) -> impl Iterator<Item = Pair> {
        let holders = self.assets.get(index_of(asset)).map_or(&[][..], |asset| &asset.holders);
        let pair = move |w: &u32| Some((*w, self.wallets.get(*w).find(asset)?));
        holders.iter().filter_map(pair)
    }

    /// What a position was as of a time, and its mark.
    pub(super) fn state(&self, pair: Pair, time: VenueTime) -> State {
        let position = self.at(pair);
        let record = self.past.as_of(position.newest, time);
        State {
            held: (record != NONE).then(|| self.past.held(record)),
            mark: self.assets[index_of(position.asset)].marks.as_of(time).copied(),
        }
    }

    /// What a position was before a range of steps, and at each step of it at which it or its mark
    /// changed.
    pub(super) fn states(
        &self,
        pair: Pair,
        (first, last): (VenueTime, VenueTime),
    ) -> (State, Vec<(VenueTime, State)>) {
        let position = self.at(pair);
        let mut records = Vec::new();
        let mut record = self.past.as_of(position.newest, last);
        while record != NONE && self.past.step(record) >= first {
            records.push(record);
            record = self.past.before(record);
        }
        let asset = &self.assets[index_of(position.asset)];
        let before = State {
            held: (record != NONE).then(|| self.past.held(record)),
            mark: asset.marks.as_of(first.less(1)).copied(),
        };
        let mut marks = asset.marks.range(first, last).iter().peekable();
        let mut records = records.into_iter().rev().peekable();
        let mut state = before;
        let mut states = Vec::with_capacity(marks.len() + records.len());
        loop {
            let mark = marks.peek().map(|(step, _)| *step);
            let record = records.peek().map(|record| self.past.step(*record));
            let Some(step) = mark.into_iter().chain(record).min() else { break };
            if let Some((_, mark)) = marks.next_if(|(at, _)| *at == step) {
                state.mark = Some(*mark);
            }
            if let Some(record) = records.next_if(|record| self.past.step(*record) == step) {
                state.held = Some(self.past.held(record));
            }
            states.push((step, state));
        }
        (before, states)
    }

    /// Sets the mark that the sweep sees to that of a step.
    pub(super) fn renew_mark(&mut self, asset: AssetId, step: VenueTime) {
        let index = index_of(asset);
        let mark = self.assets[index].marks.as_of(step);
        self.newest[index] = mark.map_or(UNMARKED, |mark| (mark.long_twice, mark.short_twice));
    }

    /// Brings a wallet from the last published step to this one, at which `pairs` of it changed.
    pub(super) fn advance(&mut self, wallet: u32, pairs: &[Pair], step: VenueTime) {
        let mut sums = Some(self.wallets.get(wallet).sums);
        for pair in pairs {
            let record = self.past.as_of(self.at(*pair).newest, step);
            if record == NONE || self.past.step(record) != step {
                continue;
            }
            let before = self.past.before(record);
            let old = (before != NONE).then(|| self.past.held(before));
            let new = self.past.held(record);
            self.set_qty(*pair, Some(&new));
            sums = sums.and_then(|sums| {
                sums.minus(&Sums::of(old.as_ref(), None)?)?.plus(&Sums::of(Some(&new), None)?)
            });
        }
        let sums = sums.and_then(|sums| self.valued(wallet, sums, step));
        let found = self.wallets.get_mut(wallet);
        let Some(sums) = sums.filter(|_| !found.is_wide) else {
            found.is_wide = true;
            return;
        };
        if let Some(large) = found.large.as_mut().filter(|_| found.sums != sums) {
            large.sums.set(step, Some(sums));
        }
        found.sums = sums;
    }

    /// A wallet's sums with what depends on marks made anew; `None` where that doesn't fit.
    fn valued(&self, wallet: u32, sums: Sums<i128>, step: VenueTime) -> Option<Sums<i128>> {
        let (mut value, mut exposure, mut cost, mut n_unmarked) = (0i128, 0i128, sums.cost, 0);
        for position in &self.wallets.get(wallet).positions {
            let qty = position.qty;
            if qty == 0 {
                continue;
            }
            let (long, short) = self.newest[index_of(position.asset)];
            if qty == SPECIAL || long == UNMARKED.0 {
                let part = self.part(position, (long, short), step)?;
                if part.n_unmarked > 0 {
                    n_unmarked += 1;
                    cost = cost.checked_sub(part.cost)?;
                } else {
                    value = value.checked_add(part.unrealized)?.checked_add(part.cost)?;
                    exposure = exposure.checked_add(part.exposure)?;
                }
                continue;
            }
            let worth = i128::from(qty) * i128::from(if qty > 0 { long } else { short });
            value = value.checked_add(worth)?;
            exposure = exposure.checked_add(worth.abs())?;
        }
        Some(Sums { unrealized: value.checked_sub(cost)?, exposure, n_unmarked, ..sums })
    }

    /// What a position adds that can't be summed by its quantity alone.
    fn part(
        &self,
        position: &Position,
        (long_twice, short_twice): NewestMark,
        step: VenueTime,
    ) -> Option<Sums<i128>> {
        let record = self.past.as_of(position.newest, step);
        let held = (record != NONE).then(|| self.past.held(record));
        let mark = Marked { long_twice, short_twice, time: step };
        Sums::of(held.as_ref(), Some(mark).filter(|_| long_twice != UNMARKED.0))
    }

    /// Brings the quantity that the sweep sees up to date.
    pub(super) fn set_qty(&mut self, pair: Pair, held: Option<&Held>) {
        let position = self.at_mut(pair);
        let was_open = position.qty != 0;
        position.qty = held.map_or(0, |held| match i64::try_from(held.qty.raw()) {
            Ok(0) => 0,
            Ok(qty) if held.cost.is_some() => qty,
            Ok(_) | Err(_) => SPECIAL,
        });
        let is_open = position.qty != 0;
        self.n_open += usize::from(is_open);
        self.n_open -= usize::from(was_open);
    }
}

impl Wallet {
    /// The number of the position in an asset.
    fn find(&self, asset: AssetId) -> Option<u32> {
        if let Some(large) = &self.large {
            return large.by_asset.get(&asset).copied();
        }
        let index = self.positions.iter().position(|position| position.asset == asset)?;
        u32::try_from(index).ok()
    }
}
