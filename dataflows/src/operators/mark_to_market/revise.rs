//! Corrections: what changes at steps that are published.
//!
//! A change at a step reaches to the next step at which that position or mark is told anew. What a
//! position added before and adds now is compared over those steps, and its wallet's sums are moved
//! by the difference: the wallet's other positions aren't looked at.

use types::sabotage::{Safeguard, is_out};
use types::{AssetId, VenueTime};

use super::mirror::{Mirror, Pair, State};
use super::past::index_of;
use super::series::{Series, Tell, Unit};
use super::sweep::Sweep;
use super::trace::summed;
use super::value::{Held, Marked, Sums};
use crate::operators::slab::NONE;

/// What an epoch changes at published steps.
#[derive(Default)]
pub(super) struct Revision {
    /// Positions from steps on; those of a position stand together, its latest step first. Steps to
    /// come may be among them.
    pub(super) positions: Vec<(Pair, VenueTime, Option<Held>)>,
    /// Marks from steps on, by asset and step.
    pub(super) marks: Vec<(AssetId, VenueTime, Option<Marked>)>,
}

/// A position whose rows may change, from a step to another.
struct Dirty {
    pair: Pair,
    first: VenueTime,
    last: VenueTime,
}

/// What stood before the correction.
enum Before {
    /// A wallet's sums.
    Wallet(u32, Traced),
    /// What the positions of a wallet that keeps its sums added to them.
    Parts(u32, Vec<(VenueTime, Sums<i128>)>),
    /// A position, where rows are those of positions.
    Position(Pair, Series<State>),
}

/// A wallet's sums in 128 bits, or in 256 where those don't do.
enum Traced {
    Narrow(Series<Sums<i128>>),
    Wide(Series<Sums<ethnum::I256>>),
}

impl Sweep {
    /// Takes a revision in and tells what it changes of published steps.
    pub(super) fn revise(&mut self, revision: &Revision, tell: &mut impl Tell) {
        let dirty = self.dirty(revision);
        if self.tells_now && !is_out(Safeguard::NowCorrected) {
            let (mirror, published) = (&self.mirror, self.published);
            for dirty in &dirty {
                self.newest.correct(dirty.pair, || mirror.state(dirty.pair, published));
            }
        }
        let units: Vec<&[Dirty]> = if self.by_position {
            dirty.chunks(1).collect()
        } else {
            dirty.chunk_by(|a, b| a.pair.0 == b.pair.0).collect()
        };
        let before: Vec<Before> = units.iter().map(|dirty| self.before(dirty)).collect();
        self.apply(revision);
        for (dirty, before) in units.into_iter().zip(before) {
            self.compare(dirty, before, tell);
        }
    }

    /// The positions whose rows the revision may change, each once, by number.
    fn dirty(&self, revision: &Revision) -> Vec<Dirty> {
        let (mirror, published) = (&self.mirror, self.published);
        let mut dirty = Vec::new();
        for changes in revision.positions.chunk_by(|a, b| a.0 == b.0) {
            let (pair, last, _) = changes[0];
            let first = changes[changes.len() - 1].1;
            let next = mirror.past.next_step(mirror.at(pair).newest, last);
            let next = if is_out(Safeguard::RevisedToNext) { Some(last) } else { next };
            let last = next.unwrap_or(published).min(published);
            dirty.push(Dirty { pair, first, last });
        }
        for changes in revision.marks.chunk_by(|a, b| a.0 == b.0) {
            if is_out(Safeguard::HoldersRevised) {
                break;
            }
            let (asset, first, _) = changes[0];
            let last = changes[changes.len() - 1].1;
            let next = mirror.assets[index_of(asset)].marks.next_step(last);
            let last = next.unwrap_or(published).min(published);
            let is_open = |pair: &Pair| mirror.is_open_in(*pair, (first, last));
            let holders = mirror.holders(asset).filter(is_open);
            dirty.extend(holders.map(|pair| Dirty { pair, first, last }));
        }
        dirty.sort_unstable_by_key(|dirty| dirty.pair);
        dirty.dedup_by(|later, earlier| {
            let same = later.pair == earlier.pair;
            if same {
                earlier.first = earlier.first.min(later.first);
                earlier.last = earlier.last.max(later.last);
            }
            same
        });
        dirty
    }

    /// What stands now, for a later comparison.
    fn before(&self, dirty: &[Dirty]) -> Before {
        let pair = dirty[0].pair;
        if self.by_position {
            let (before, points) = self.mirror.states(pair, (dirty[0].first, dirty[0].last));
            return Before::Position(pair, Series { before, points });
        }
        let wallet = self.mirror.wallets.get(pair.0);
        if wallet.large.is_some()
            && !wallet.is_wide
            && let Some(parts) = parts(&self.mirror, dirty)
        {
            return Before::Parts(pair.0, parts);
        }
        Before::Wallet(pair.0, self.traced(pair.0, hull(dirty)))
    }

    /// Makes a wallet's sums from its past.
    fn traced(&self, wallet: u32, range: (VenueTime, VenueTime)) -> Traced {
        let is_wide = self.mirror.wallets.get(wallet).is_wide;
        let narrow = if is_wide { None } else { self.mirror.trace(wallet, range) };
        narrow.map_or_else(
            || Traced::Wide(self.mirror.trace(wallet, range).expect("256 bits always fit")),
            Traced::Narrow,
        )
    }

    fn apply(&mut self, revision: &Revision) {
        for (asset, step, mark) in &revision.marks {
            self.mirror.asset(*asset).marks.set(*step, *mark);
        }
        for marks in revision.marks.chunk_by(|a, b| a.0 == b.0) {
            self.mirror.renew_mark(marks[0].0, self.published);
        }
        for changes in revision.positions.chunk_by(|a, b| a.0 == b.0) {
            let pair = changes[0].0;
            for (_, step, _) in changes.iter().filter(|c| c.1 > self.published && c.2.is_some()) {
                self.pending.entry(*step).or_default().pairs.push(pair);
            }
            let newest = self.mirror.at(pair).newest;
            let changes = changes.iter().map(|(_, step, held)| (*step, *held));
            let newest = self.mirror.past.set(newest, changes);
            self.mirror.at_mut(pair).newest = newest;
            let held = self.mirror.state(pair, self.published).held;
            self.mirror.set_qty(pair, held.as_ref());
        }
    }

    /// Tells what differs from before, and brings a wallet's sums up to date.
    fn compare(&mut self, dirty: &[Dirty], before: Before, tell: &mut impl Tell) {
        let range = hull(dirty);
        match before {
            Before::Position((wallet, _), old) => {
                let (before, points) = self.mirror.states(dirty[0].pair, range);
                let asset = Some(self.mirror.at(dirty[0].pair).asset);
                let unit = Unit { wallet: self.mirror.wallets.get(wallet).name, asset };
                let new = Series { before, points };
                self.snapshots.replace(unit, range.1, (&old, &new), tell);
            }
            Before::Parts(wallet, old) => self.compare_parts(wallet, dirty, old, tell),
            Before::Wallet(wallet, old) => {
                let unit = self.wallet(wallet);
                match (old, self.traced(wallet, range)) {
                    (Traced::Narrow(old), Traced::Narrow(new)) => {
                        self.snapshots.replace(unit, range.1, (&old, &new), tell);
                        self.set_sums(wallet, range, &new);
                    }
                    (old, new) => {
                        let (old, new) = (old.widened(), new.widened());
                        self.snapshots.replace(unit, range.1, (&old, &new), tell);
                        self.mirror.wallets.get_mut(wallet).is_wide = true;
                    }
                }
            }
        }
    }

    /// Moves the sums that a wallet keeps by what its positions add now and added before.
    fn compare_parts(
        &mut self,
        wallet: u32,
        dirty: &[Dirty],
        old_parts: Vec<(VenueTime, Sums<i128>)>,
        tell: &mut impl Tell,
    ) {
        let (first, last) = hull(dirty);
        let unit = self.wallet(wallet);
        let Some(large) = &self.mirror.wallets.get(wallet).large else {
            unreachable!("a wallet never gets small again")
        };
        let before = large.sums.as_of(first.less(1)).copied().unwrap_or_default();
        let old = Series { before, points: large.sums.range(first, last).to_vec() };
        let new = parts(&self.mirror, dirty).and_then(|parts| moved(&old, parts, old_parts));
        let Some(new) = new else {
            // The sums outgrew 128 bits. What stood before is known, so all else can be made anew.
            let wide = |(step, sums): &(VenueTime, Sums<i128>)| (*step, sums.widened());
            let points = old.points.iter().map(wide).collect();
            let old = Series { before: old.before.widened(), points };
            self.mirror.wallets.get_mut(wallet).is_wide = true;
            let new = self.traced(wallet, (first, last)).widened();
            self.snapshots.replace(unit, last, (&old, &new), tell);
            return;
        };
        self.snapshots.replace(unit, last, (&old, &new), tell);
        self.set_sums(wallet, (first, last), &new);
    }

    /// Sets a wallet's sums over a range of steps, and its newest where the range reaches it.
    fn set_sums(
        &mut self,
        wallet: u32,
        (first, last): (VenueTime, VenueTime),
        new: &Series<Sums<i128>>,
    ) {
        let found = self.mirror.wallets.get_mut(wallet);
        if let Some(large) = found.large.as_mut().filter(|_| !is_out(Safeguard::SumsKept)) {
            large.sums.splice(first, last, new.points.iter().copied());
        }
        if last == self.published {
            found.sums = new.points.last().map_or(new.before, |(_, sums)| *sums);
        }
    }

    /// A wallet as a unit of rows.
    pub(super) fn wallet(&self, wallet: u32) -> Unit {
        Unit { wallet: self.mirror.wallets.get(wallet).name, asset: None }
    }
}

impl Mirror {
    /// Whether a position is open anywhere in a range of steps.
    fn is_open_in(&self, pair: Pair, (first, last): (VenueTime, VenueTime)) -> bool {
        let mut record = self.past.as_of(self.at(pair).newest, last);
        while record != NONE {
            if !self.past.held(record).qty.is_zero() {
                return true;
            }
            if self.past.step(record) <= first {
                return false;
            }
            record = self.past.before(record);
        }
        false
    }
}

impl Traced {
    fn widened(self) -> Series<Sums<ethnum::I256>> {
        match self {
            Self::Wide(series) => series,
            Self::Narrow(series) => Series {
                before: series.before.widened(),
                points: series.points.iter().map(|(step, s)| (*step, s.widened())).collect(),
            },
        }
    }
}

/// From the first step that may change to the last.
fn hull(dirty: &[Dirty]) -> (VenueTime, VenueTime) {
    let first = dirty.iter().map(|dirty| dirty.first).min();
    let last = dirty.iter().map(|dirty| dirty.last).max();
    first.zip(last).expect("a unit is dirty by a position")
}

/// How what positions add to their wallet's sums changes, each over its own range. What a position
/// added before its range is the same before and after a correction, so it is left out.
fn parts(mirror: &Mirror, dirty: &[Dirty]) -> Option<Vec<(VenueTime, Sums<i128>)>> {
    let mut parts = Vec::new();
    for dirty in dirty {
        parts.extend(mirror.changes(dirty.pair, (dirty.first, dirty.last))?.1);
    }
    Some(parts)
}

/// Sums after what was added is taken off and what is added now is put on.
fn moved(
    old: &Series<Sums<i128>>,
    new_parts: Vec<(VenueTime, Sums<i128>)>,
    old_parts: Vec<(VenueTime, Sums<i128>)>,
) -> Option<Series<Sums<i128>>> {
    let mut changes = new_parts;
    for (step, part) in old_parts {
        changes.push((step, Sums::default().minus(&part)?));
    }
    let mut last = old.before;
    for (step, sums) in &old.points {
        changes.push((*step, sums.minus(&last)?));
        last = *sums;
    }
    let mut points = summed(old.before, changes)?;
    let mut last = old.before;
    points.retain(|(_, sums)| std::mem::replace(&mut last, *sums) != *sums);
    Some(Series { before: old.before, points })
}
