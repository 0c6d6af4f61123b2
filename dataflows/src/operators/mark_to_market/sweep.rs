//! The sweep: what an epoch's changes of positions and marks do to the snapshots.
//!
//! A change at a step that is published revises the snapshots from there on (see [`super::revise`]).
//! A change at a later step waits until the watermark reaches it: then the step is swept, wallet by
//! wallet. Rows aren't kept. Work is done in pieces, so that what is told can leave in between.

use std::collections::BTreeMap;

use types::relations::{Mark, PositionStep};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Sym, VenueTime};

use super::mirror::{BLOCK, Mirror, Pair};
use super::newest::Newest;
use super::past::index_of;
use super::revise::Revision;
use super::series::{Point, Snapshots, Tell, Unit};
use super::value::{Held, Marked, Sums};
use crate::operators::slab::index;

/// A position as of a step, its epoch and its change of multiplicity.
pub(super) type StepChange = (PositionStep, u64, isize);

/// What an epoch brings.
#[derive(Default)]
pub(super) struct Input {
    /// Positions as of steps, as containers came.
    pub(super) steps: Vec<Vec<StepChange>>,
    /// Marks as of steps.
    pub(super) marks: Vec<(Mark, u64, isize)>,
    /// The last step that is published.
    pub(super) until: Option<VenueTime>,
}

/// The state of one worker.
pub(super) struct Sweep {
    pub(super) snapshots: Snapshots,
    pub(super) by_position: bool,
    pub(super) tells_now: bool,
    pub(super) mirror: Mirror,
    /// The last published step; all steps up to it are.
    pub(super) published: VenueTime,
    /// What was published before this epoch.
    pub(super) before: VenueTime,
    /// Changes at steps to come.
    pub(super) pending: BTreeMap<VenueTime, Pending>,
    pub(super) newest: Newest,
    /// Counts sweeps, from one.
    n_sweeps: u64,
    pub(super) work: Work,
}

/// What changes at a step.
#[derive(Default)]
pub(super) struct Pending {
    /// Not sorted, and with repeats.
    pub(super) pairs: Vec<Pair>,
    assets: Vec<AssetId>,
}

/// What is left of an epoch.
pub(super) enum Work {
    None,
    /// Takes back the rows of published steps behind the last, step by step and wallet by wallet.
    TakeBack {
        input: Input,
        until: VenueTime,
        step: VenueTime,
        wallet: u32,
    },
    /// Takes an epoch in.
    Take(Input),
    /// Publishes up to a step.
    Publish {
        until: Option<VenueTime>,
        step: Option<Step>,
    },
}

/// A step that is being published.
pub(super) struct Step {
    at: VenueTime,
    /// The step published before.
    last: VenueTime,
    /// Positions that changed; where rows are changes of positions, also those whose mark did.
    pairs: Vec<Pair>,
    n_visited: usize,
    /// Those whose memory was asked for.
    n_warm: usize,
    wallets: Wallets,
}

/// Which wallets a sweep visits.
pub(super) enum Wallets {
    /// All from a number on; whether marks of all of them count as changed.
    All { next: u32, is_swept: bool },
    /// Those from a place of a list on.
    Some { list: Vec<u32>, next: usize },
}

impl Sweep {
    pub(super) fn new(snapshots: Snapshots, by_position: bool, tells_now: bool) -> Self {
        Self {
            snapshots,
            by_position,
            tells_now,
            mirror: Mirror::new(),
            published: VenueTime::MIN,
            before: VenueTime::MIN,
            pending: BTreeMap::new(),
            newest: Newest::default(),
            n_sweeps: 0,
            work: Work::None,
        }
    }

    /// Starts an epoch; [`Sweep::work`] does the rest.
    pub(super) fn start(&mut self, input: Input) {
        self.before = self.published;
        self.work = match input.until {
            // After the end, the last step may lie before what other inputs' watermark has
            // published. Where rows are changes, taking the epoch in takes back what stood there.
            Some(until)
                if until < self.published
                    && self.snapshots.emits_all
                    && !is_out(Safeguard::TakesBack) =>
            {
                let step = until.plus(self.snapshots.grid);
                Work::TakeBack { input, until, step, wallet: 0 }
            }
            _ => Work::Take(input),
        };
    }

    /// Goes on with the epoch for about so many rows; true once it is done.
    pub(super) fn work(&mut self, mut n_rows: usize, tell: &mut impl Tell) -> bool {
        while n_rows > 0 {
            match std::mem::replace(&mut self.work, Work::None) {
                Work::None => return true,
                Work::TakeBack { input, until, step, wallet } => {
                    self.take_back(input, (until, step, wallet), &mut n_rows, tell);
                }
                Work::Take(input) => {
                    let until = input.until;
                    self.take(input, tell);
                    self.work = Work::Publish { until, step: None };
                }
                Work::Publish { until, step: Some(step) } => {
                    let step = self.sweep(step, &mut n_rows, tell);
                    self.work = Work::Publish { until, step };
                }
                Work::Publish { until, step: None } => {
                    if let Some(next) = self.next_step().filter(|step| Some(*step) <= until) {
                        let step = Some(self.begin(next));
                        self.work = Work::Publish { until, step };
                        continue;
                    }
                    self.published = until.unwrap_or(self.published);
                    let range = (self.before, self.published);
                    self.newest.tell(&self.mirror, range, tell);
                }
            }
        }
        matches!(self.work, Work::None)
    }

    /// The next step that has something to publish.
    fn next_step(&self) -> Option<VenueTime> {
        if self.snapshots.emits_all && self.mirror.n_open > 0 {
            return Some(self.published.plus(self.snapshots.grid));
        }
        self.pending.first_key_value().map(|(step, _)| *step)
    }

    /// Takes an epoch's changes in and revises what is published.
    fn take(&mut self, input: Input, tell: &mut impl Tell) {
        if self.tells_now && self.published < self.before {
            self.correct_ahead(&input);
        }
        let mut revision = Revision::default();
        self.take_positions(&input.steps, &mut revision);
        drop(input.steps);
        let mark = |(mark, _, diff): (Mark, u64, isize)| {
            let Mark { step, asset, long_twice, short_twice, mark_time: time } = mark;
            let mark = Marked { long_twice, short_twice, time };
            (asset, step, (diff > 0).then_some(mark))
        };
        let mut marks: Vec<_> = input.marks.into_iter().map(mark).collect();
        // The row that has come stands behind the one that is gone.
        marks.sort_by_key(|(asset, step, mark)| (*asset, *step, mark.is_some()));
        for (index, (asset, step, mark)) in marks.iter().enumerate() {
            let next = marks.get(index + 1);
            if next.is_some_and(|next| (next.0, next.1) == (*asset, *step)) {
                continue;
            }
            self.mirror.asset(*asset);
            if *step <= self.published {
                revision.marks.push((*asset, *step, *mark));
            } else {
                self.mirror.asset(*asset).marks.set(*step, *mark);
                self.pending.entry(*step).or_default().assets.push(*asset);
            }
        }
        if !revision.positions.is_empty() || !revision.marks.is_empty() {
            self.revise(&revision, tell);
        }
    }

    /// Takes the changes of all positions in. Those of one position stand side by side, but where
    /// another worker's rows filled a container they go on in the next.
    fn take_positions(&mut self, containers: &[Vec<StepChange>], revision: &mut Revision) {
        let is_joined = containers.len() > 1 && !is_out(Safeguard::RunsJoined);
        let mut at_edges: BTreeMap<(Sym, AssetId), Vec<StepChange>> = BTreeMap::new();
        for rows in containers {
            let runs: Vec<_> = rows.chunk_by(|a, b| pair_of(a) == pair_of(b)).collect();
            for (n, run) in runs.iter().enumerate() {
                if n % BLOCK == 0 {
                    self.mirror.warm_positions(runs[n..].iter().map(|run| pair_of(&run[0])));
                }
                if is_joined && (n == 0 || n + 1 == runs.len()) {
                    at_edges.entry(pair_of(&run[0])).or_default().extend_from_slice(run);
                } else {
                    self.take_position(run, revision);
                }
            }
        }
        for run in at_edges.values() {
            self.take_position(run, revision);
        }
    }

    /// Takes the changes of one position in, where all are of steps to come, or puts them off.
    fn take_position(&mut self, run: &[StepChange], revision: &mut Revision) {
        let (wallet, asset) = pair_of(&run[0]);
        let (pair, is_new) = self.mirror.position(wallet, asset);
        if is_new && !self.by_position {
            self.keep_sums(pair.0);
        }
        let change = |(row, _, diff): &StepChange| {
            (row.step, (*diff > 0).then(|| Held::from(&row.position)))
        };
        let mut changes: Vec<(VenueTime, Option<Held>)> = run.iter().map(change).collect();
        // The latest step first, and of a step the row that has come before the one that is gone.
        changes.sort_by_key(|(step, held)| std::cmp::Reverse((*step, held.is_some())));
        changes.dedup_by_key(|(step, _)| *step);
        let is_past = changes.last().is_some_and(|(step, _)| *step <= self.published);
        if is_past && !is_out(Safeguard::SnapshotsRevised) {
            revision.positions.extend(changes.into_iter().map(|(step, held)| (pair, step, held)));
            return;
        }
        for (step, _) in changes.iter().filter(|(_, held)| held.is_some()) {
            self.pending.entry(*step).or_default().pairs.push(pair);
        }
        let newest = self.mirror.past.set(self.mirror.at(pair).newest, changes);
        self.mirror.at_mut(pair).newest = newest;
    }

    /// Makes the sums of the past of a wallet that has become large.
    fn keep_sums(&mut self, wallet: u32) {
        let range = (VenueTime::MIN, self.published);
        let series = self.mirror.trace::<i128>(wallet, range);
        let found = self.mirror.wallets.get_mut(wallet);
        match (series, &mut found.large) {
            (Some(series), Some(large)) if !found.is_wide => {
                large.sums.splice(VenueTime::MIN, range.1, series.points);
            }
            _ => found.is_wide = true,
        }
    }

    /// Begins to publish a step: its marks become the newest, and who must be visited is found.
    fn begin(&mut self, at: VenueTime) -> Step {
        let last = std::mem::replace(&mut self.published, at);
        self.n_sweeps += 1;
        let Pending { mut pairs, mut assets } = self.pending.remove(&at).unwrap_or_default();
        pairs.sort_unstable();
        pairs.dedup();
        assets.sort_unstable();
        assets.dedup();
        let mut n_holders = 0;
        for asset in &assets {
            self.mirror.renew_mark(*asset, at);
            n_holders += self.mirror.assets[index_of(*asset)].holders.len();
        }
        if self.tells_now {
            for pair in &pairs {
                self.newest.touch(*pair);
            }
            for asset in &assets {
                self.mirror.holders(*asset).for_each(|pair| self.newest.touch(pair));
            }
        }
        let emits_all = self.snapshots.emits_all;
        let wallets = if self.by_position {
            self.begin_positions(&mut pairs, &assets, at)
        } else if n_holders > self.mirror.n_positions / 4 {
            // Nearly everyone has something new: finding out who costs more than visiting all.
            Wallets::All { next: 0, is_swept: true }
        } else {
            let mut list: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
            for asset in &assets {
                let Mirror { assets, wallets, .. } = &mut self.mirror;
                for wallet in &assets[index_of(*asset)].holders {
                    wallets.get_mut(*wallet).swept = self.n_sweeps;
                    list.extend((!emits_all).then_some(*wallet));
                }
            }
            list.sort_unstable();
            list.dedup();
            if emits_all {
                Wallets::All { next: 0, is_swept: false }
            } else {
                Wallets::Some { list, next: 0 }
            }
        };
        Step { at, last, pairs, n_visited: 0, n_warm: 0, wallets }
    }

    /// As [`Sweep::begin`], where rows are those of positions.
    fn begin_positions(
        &mut self,
        pairs: &mut Vec<Pair>,
        assets: &[AssetId],
        at: VenueTime,
    ) -> Wallets {
        for pair in pairs.iter() {
            let held = self.mirror.state(*pair, at).held;
            self.mirror.set_qty(*pair, held.as_ref());
        }
        if self.snapshots.emits_all {
            pairs.clear();
            return Wallets::All { next: 0, is_swept: false };
        }
        for asset in assets {
            let open = |pair: &Pair| self.mirror.at(*pair).qty != 0;
            pairs.extend(self.mirror.holders(*asset).filter(open));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut list: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
        list.dedup();
        Wallets::Some { list, next: 0 }
    }

    /// Goes on with a step; gives what is left of it.
    fn sweep(&mut self, mut step: Step, n_rows: &mut usize, tell: &mut impl Tell) -> Option<Step> {
        while *n_rows > 0 {
            let (wallet, is_swept) = self.next_wallet(&mut step.wallets)?;
            if step.n_visited >= step.n_warm {
                let pairs = &step.pairs[step.n_visited..];
                let block = &pairs[..pairs.len().min(BLOCK)];
                self.mirror.warm_records(block);
                step.n_warm = step.n_visited + block.len().max(1);
            }
            let pairs = &step.pairs[step.n_visited..];
            let n_pairs = pairs.iter().take_while(|pair| pair.0 == wallet).count();
            let pairs = &pairs[..n_pairs];
            let range = (step.last, step.at);
            let told = if !self.by_position {
                self.visit(wallet, range, (pairs, is_swept), tell);
                1
            } else if self.snapshots.emits_all {
                self.tell_open(wallet, step.at, 1, tell)
            } else {
                self.visit_positions(pairs, range, tell);
                n_pairs
            };
            step.n_visited += n_pairs;
            *n_rows = n_rows.saturating_sub(told);
        }
        Some(step)
    }

    /// The next wallet of a sweep, and whether marks of its positions count as changed.
    fn next_wallet(&self, wallets: &mut Wallets) -> Option<(u32, bool)> {
        match wallets {
            Wallets::All { next, is_swept } => {
                let n_wallets = self.mirror.wallets.len();
                if index(*next).is_multiple_of(BLOCK) {
                    let behind = next.saturating_add(u32::try_from(BLOCK).unwrap_or(u32::MAX));
                    self.mirror.warm_wallets(*next..n_wallets.min(behind));
                }
                let wallet = Some(*next).filter(|wallet| *wallet < n_wallets)?;
                *next += 1;
                let is_swept = *is_swept || self.mirror.wallets.get(wallet).swept == self.n_sweeps;
                Some((wallet, is_swept))
            }
            Wallets::Some { list, next } => {
                let wallet = *list.get(*next)?;
                if next.is_multiple_of(BLOCK) {
                    self.mirror.warm_wallets(list[*next..].iter().take(BLOCK).copied());
                }
                *next += 1;
                Some((wallet, true))
            }
        }
    }

    /// Brings one wallet from the last published step to this one.
    fn visit(
        &mut self,
        wallet: u32,
        (last, step): (VenueTime, VenueTime),
        (pairs, is_swept): (&[Pair], bool),
        tell: &mut impl Tell,
    ) {
        let old = self.mirror.wallets.get(wallet).sums;
        if is_swept || !pairs.is_empty() {
            self.mirror.advance(wallet, pairs, step);
        }
        let found = self.mirror.wallets.get(wallet);
        let unit = Unit { wallet: found.name, asset: None };
        if !found.is_wide {
            self.snapshots.publish(unit, step, (&old, &found.sums), tell);
            return;
        }
        let sums = |time| -> Sums<ethnum::I256> {
            self.mirror.sums_at(wallet, time).expect("256 bits always fit")
        };
        let (old, new) = (sums(last), sums(step));
        self.snapshots.publish(unit, step, (&old, &new), tell);
    }

    /// Tells what positions of a wallet show now and didn't at the step before.
    fn visit_positions(
        &self,
        pairs: &[Pair],
        (last, step): (VenueTime, VenueTime),
        tell: &mut impl Tell,
    ) {
        for pair in pairs {
            let (old, new) = (self.mirror.state(*pair, last), self.mirror.state(*pair, step));
            let wallet = self.mirror.wallets.get(pair.0).name;
            let unit = Unit { wallet, asset: Some(self.mirror.at(*pair).asset) };
            self.snapshots.publish(unit, step, (&old, &new), tell);
        }
    }

    /// Tells the rows of a wallet or its positions at a step that shows what is published last;
    /// gives about how many.
    pub(super) fn tell_open(
        &self,
        wallet: u32,
        step: VenueTime,
        diff: isize,
        tell: &mut impl Tell,
    ) -> usize {
        let found = self.mirror.wallets.get(wallet);
        let mut unit = Unit { wallet: found.name, asset: None };
        if self.by_position {
            let pairs = self.mirror.pairs(wallet).zip(&found.positions);
            for (pair, position) in pairs.filter(|(_, position)| position.qty != 0) {
                unit.asset = Some(position.asset);
                let state = self.mirror.state(pair, self.published);
                self.snapshots.tell(unit, step, (state.shown(unit), diff), tell);
            }
            return found.positions.len().max(1);
        }
        if found.is_wide {
            let sums: Option<Sums<ethnum::I256>> = self.mirror.sums_at(wallet, self.published);
            let sums = sums.filter(Point::is_open);
            if let Some(sums) = sums {
                self.snapshots.tell(unit, step, (sums.shown(unit), diff), tell);
            }
        } else if found.sums.is_open() {
            self.snapshots.tell(unit, step, (found.sums.shown(unit), diff), tell);
        }
        1
    }
}

/// The wallet and asset of a row.
pub(super) fn pair_of((row, _, _): &StepChange) -> (Sym, AssetId) {
    (row.position.wallet, row.position.asset)
}
