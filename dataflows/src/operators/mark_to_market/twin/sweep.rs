//! The sweep: what an epoch's changes of positions and marks do to the snapshots.
//!
//! A change at a step that is published dirties the snapshots from there to the next step at which
//! that position or mark is told anew; their rows are made before and after the change, and what
//! differs is told. A change at a later step waits until the watermark reaches it. Rows aren't kept.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use types::changes::consolidate;
use types::relations::{Mark, PnlNow, PositionStep};
use types::{AssetId, Sym, VenueTime};

use super::book::{Book, Pair};
use super::snapshots::{Outcome, Row, Snapshots, Unit, now, outcome, sums};
use super::value::{Held, Sums};

/// The state of one worker.
pub(crate) struct Sweep {
    snapshots: Snapshots,
    book: Book,
    /// The last published step; all steps up to it are.
    published: VenueTime,
    /// What was published before this epoch.
    before: VenueTime,
    /// Changes at steps to come.
    pending: BTreeMap<VenueTime, Pending>,
    /// Sums of wallets as of the last published step; those of positions are made when needed.
    sums: FxHashMap<Sym, Sums>,
    /// Open positions as of the last published step, by asset and by wallet.
    open: BTreeSet<(AssetId, Sym)>,
    open_by_wallet: BTreeSet<Pair>,
    /// The newest snapshot's rows before this epoch, of positions that changed in it.
    now_before: BTreeMap<Pair, Option<PnlNow>>,
    changes: Vec<(Row, isize)>,
}

/// What changes at a step.
#[derive(Default)]
struct Pending {
    pairs: BTreeSet<Pair>,
    assets: BTreeSet<AssetId>,
}

/// New positions and marks as of steps; `None` where there is none any more.
#[derive(Default)]
struct News {
    held: BTreeMap<(Pair, VenueTime), Option<Held>>,
    marks: BTreeMap<(AssetId, VenueTime), Option<Mark>>,
}

/// Published steps that may change, of each unit: from the first to the last.
type Dirty = BTreeMap<Unit, (VenueTime, VenueTime)>;

impl Sweep {
    pub(crate) fn new(snapshots: Snapshots) -> Self {
        Self {
            snapshots,
            book: Book::default(),
            published: VenueTime::MIN,
            before: VenueTime::MIN,
            pending: BTreeMap::new(),
            sums: FxHashMap::default(),
            open: BTreeSet::new(),
            open_by_wallet: BTreeSet::new(),
            now_before: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// Takes an epoch's changes in and revises what is published.
    pub(crate) fn take(
        &mut self,
        mut steps: Vec<(PositionStep, isize)>,
        mut marks: Vec<(Mark, isize)>,
    ) {
        self.before = self.published;
        consolidate(&mut steps);
        consolidate(&mut marks);
        let mut news = News::default();
        for (row, diff) in steps {
            let pair = (row.position.wallet, row.position.asset);
            let entry = news.held.entry((pair, row.step)).or_default();
            if diff > 0 {
                *entry = Some(Held::from(&row.position));
            }
        }
        for (row, diff) in marks {
            let entry = news.marks.entry((row.asset, row.step)).or_default();
            if diff > 0 {
                *entry = Some(row);
            }
        }
        let dirty = self.dirty(&news);
        let rows = |sweep: &Self| -> Vec<_> {
            dirty.iter().map(|(u, range)| sweep.snapshots.rows(&sweep.book, *u, *range)).collect()
        };
        let old = rows(self);
        let pairs: BTreeSet<Pair> = news.held.keys().map(|(pair, _)| *pair).collect();
        self.apply(news);
        let new = rows(self);
        for ((unit, old), new) in dirty.keys().zip(old).zip(new) {
            for (step, row) in &old {
                if new.get(step) != Some(row) {
                    self.tell_row(*unit, *step, *row, -1);
                }
            }
            for (step, row) in new {
                if old.get(&step) != Some(&row) {
                    self.tell_row(*unit, step, row, 1);
                }
            }
        }
        self.renew(&dirty, &pairs);
    }

    fn tell_row(&mut self, unit: Unit, step: VenueTime, outcome: Outcome, diff: isize) {
        let row = self.snapshots.row(unit, step, outcome);
        self.changes.extend(row.map(|row| (row, diff)));
    }

    /// Finds what the news may change of what is published.
    fn dirty(&mut self, news: &News) -> Dirty {
        let last = self.published;
        let mut dirty = Dirty::new();
        let mut soil = |unit: Unit, first: VenueTime, next: Option<VenueTime>| {
            let until = next.unwrap_or(last).min(last);
            let range = dirty.entry(unit).or_insert((first, until));
            *range = (range.0.min(first), range.1.max(until));
        };
        let mut touched = BTreeSet::new();
        for (pair, step) in news.held.keys().filter(|(_, step)| *step <= last) {
            soil(self.snapshots.unit(*pair), *step, self.book.next_step(*pair, *step));
            touched.insert(*pair);
        }
        for (asset, step) in news.marks.keys().filter(|(_, step)| *step <= last) {
            let next = self.book.next_mark(*asset, *step);
            let until = next.unwrap_or(last).min(last);
            for wallet in self.book.holders(*asset) {
                let pair = (wallet, *asset);
                let is_open = self.book.part(pair, *step).n_open > 0;
                let next_step = self.book.next_step(pair, *step);
                if is_open || next_step.is_some_and(|next| next <= until) {
                    soil(self.snapshots.unit(pair), *step, next);
                    touched.insert(pair);
                }
            }
        }
        for pair in touched {
            self.touch(pair);
        }
        dirty
    }

    /// Remembers what the newest snapshot showed of a position before this epoch.
    fn touch(&mut self, pair: Pair) {
        let (book, before) = (&self.book, self.before);
        self.now_before.entry(pair).or_insert_with(|| now(book, pair, before));
    }

    fn apply(&mut self, news: News) {
        for ((pair, step), held) in news.held {
            self.book.set_held(pair, step, held);
            if step > self.published {
                self.pending.entry(step).or_default().pairs.insert(pair);
            }
        }
        for ((asset, step), mark) in news.marks {
            self.book.set_mark(asset, step, mark);
            if step > self.published {
                self.pending.entry(step).or_default().assets.insert(asset);
            }
        }
    }

    /// Brings sums and open positions up to date after changes of what is published.
    fn renew(&mut self, dirty: &Dirty, pairs: &BTreeSet<Pair>) {
        if !self.snapshots.by_position {
            for wallet in dirty.keys().map(|unit| unit.0) {
                let sums = sums(&self.book, (wallet, None), self.published);
                self.sums.insert(wallet, sums);
            }
        }
        for pair in pairs {
            self.set_open(*pair);
        }
    }

    fn set_open(&mut self, pair: Pair) {
        let (wallet, asset) = pair;
        let held = self.book.held(pair, self.published);
        if held.is_some_and(|held| !held.qty.is_zero()) {
            self.open.insert((asset, wallet));
            self.open_by_wallet.insert(pair);
        } else {
            self.open.remove(&(asset, wallet));
            self.open_by_wallet.remove(&pair);
        }
    }

    /// Publishes the steps up to one. After the end, the last step may lie before what other
    /// inputs' watermark has published: that is taken back.
    pub(crate) fn advance(&mut self, until: Option<VenueTime>) {
        let Some(until) = until else { return };
        loop {
            let pending = self.pending.first_key_value().map(|(step, _)| *step);
            let has_rows = self.snapshots.emits_all && !self.open_by_wallet.is_empty();
            let next =
                if has_rows { Some(self.published.plus(self.snapshots.grid)) } else { pending };
            let Some(step) = next.filter(|step| *step <= until) else { break };
            self.publish(step);
        }
        if until < self.published && self.snapshots.emits_all {
            self.take_back(until);
        }
        self.published = until;
    }

    /// Publishes one step: visits what changes at it, and in `all` mode whatever is open.
    fn publish(&mut self, step: VenueTime) {
        let last = std::mem::replace(&mut self.published, step);
        let Pending { mut pairs, assets } = self.pending.remove(&step).unwrap_or_default();
        for asset in assets {
            let first = (asset, Sym::from_index(0));
            let holders = self.open.range(first..).take_while(|holder| holder.0 == asset);
            pairs.extend(holders.map(|(asset, wallet)| (*wallet, *asset)));
        }
        let pairs: Vec<Pair> = pairs.into_iter().collect();
        let unit_of = |pair: &Pair| self.snapshots.unit(*pair);
        let units: Vec<&[Pair]> = pairs.chunk_by(|a, b| unit_of(a) == unit_of(b)).collect();
        for pairs in units {
            self.visit(pairs, last, step);
        }
        if self.snapshots.emits_all {
            let mut units: Vec<Unit> =
                self.open_by_wallet.iter().map(|pair| self.snapshots.unit(*pair)).collect();
            units.dedup();
            for unit in units {
                let sums = self.sums_of(unit);
                let row = outcome(&self.book, unit, &sums, step);
                self.tell_row(unit, step, row, 1);
            }
        }
    }

    /// Brings one unit, whose positions `pairs` change, from the last published step to this one.
    fn visit(&mut self, pairs: &[Pair], last: VenueTime, step: VenueTime) {
        let Some(first) = pairs.first() else { return };
        let unit = self.snapshots.unit(*first);
        let mut sums = if unit.1.is_some() {
            self.book.part(*first, last)
        } else {
            self.sums.get(&unit.0).cloned().unwrap_or_default()
        };
        let old = outcome(&self.book, unit, &sums, last);
        for pair in pairs {
            self.touch(*pair);
            sums -= self.book.part(*pair, last);
            sums += self.book.part(*pair, step);
            self.set_open(*pair);
        }
        let new = outcome(&self.book, unit, &sums, step);
        if !self.snapshots.emits_all && self.snapshots.is_row(&old, &new, &sums) {
            self.tell_row(unit, step, new, 1);
        }
        if unit.1.is_none() {
            self.sums.insert(unit.0, sums);
        }
    }

    /// The sums of a unit as of the last published step.
    fn sums_of(&self, unit: Unit) -> Sums {
        match unit.1 {
            Some(asset) => self.book.part((unit.0, asset), self.published),
            None => self.sums.get(&unit.0).cloned().unwrap_or_default(),
        }
    }

    /// Takes back the rows behind a step. Nothing changes behind it, so the sums stay.
    fn take_back(&mut self, until: VenueTime) {
        let range = (until.plus(self.snapshots.grid), self.published);
        let mut units: Vec<Unit> =
            self.open_by_wallet.iter().map(|pair| self.snapshots.unit(*pair)).collect();
        units.dedup();
        for unit in units {
            for (step, row) in self.snapshots.rows(&self.book, unit, range) {
                self.tell_row(unit, step, row, -1);
            }
        }
    }

    /// Tells all changes of the epoch.
    pub(crate) fn tell(&mut self, mut tell: impl FnMut(Row, isize)) {
        for (row, diff) in self.changes.drain(..) {
            tell(row, diff);
        }
        for (pair, old) in std::mem::take(&mut self.now_before) {
            let new = now(&self.book, pair, self.published);
            if old != new {
                if let Some(old) = old {
                    tell(Row::Now(old), -1);
                }
                if let Some(new) = new {
                    tell(Row::Now(new), 1);
                }
            }
        }
    }
}
