//! What a wallet or a position shows over a range of steps, and the rows that tell two such apart.

use std::sync::Arc;

use types::relations::{Pnl, PnlNow, PositionPnl};
use types::{AssetId, Names, Span, Sym, Value, VenueTime};

use super::mirror::State;
use super::value::{Number, Sums, shown};

/// Takes rows of the outputs.
pub(super) trait Tell {
    fn wallet(&mut self, row: Pnl, diff: isize);
    fn position(&mut self, row: PositionPnl, diff: isize);
    fn now(&mut self, row: PnlNow, diff: isize);
    fn error(&mut self, row: types::Row, diff: isize);
}

/// Whose snapshots: a wallet's, or those of its position in one asset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) wallet: Sym,
    pub(super) asset: Option<AssetId>,
}

/// What a unit shows. Rows bear [`VenueTime::MIN`] as their snapshot.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown<R> {
    /// No position yet.
    Nothing,
    /// What stands in the view.
    Row(R),
    /// A column that doesn't fit.
    Overflow,
}

/// A row of a view of snapshots.
pub(super) trait SnapshotRow: Clone + PartialEq {
    /// Tells the row as that of a snapshot.
    fn tell(self, snapshot: VenueTime, diff: isize, tell: &mut impl Tell);
}

impl SnapshotRow for Pnl {
    fn tell(self, snapshot: VenueTime, diff: isize, tell: &mut impl Tell) {
        tell.wallet(Self { snapshot, ..self }, diff);
    }
}

impl SnapshotRow for PositionPnl {
    fn tell(self, snapshot: VenueTime, diff: isize, tell: &mut impl Tell) {
        tell.position(Self { snapshot, ..self }, diff);
    }
}

/// What a unit is at a step, exactly.
pub(super) trait Point: Copy + PartialEq {
    type Row: SnapshotRow;

    fn shown(&self, unit: Unit) -> Shown<Self::Row>;

    fn is_open(&self) -> bool;
}

impl<N: Number> Point for Sums<N> {
    type Row = Pnl;

    fn shown(&self, unit: Unit) -> Shown<Pnl> {
        if self.n_held == 0 {
            return Shown::Nothing;
        }
        self.row(unit.wallet).map_or(Shown::Overflow, Shown::Row)
    }

    fn is_open(&self) -> bool {
        self.n_open > 0
    }
}

impl Point for State {
    type Row = PositionPnl;

    fn shown(&self, unit: Unit) -> Shown<PositionPnl> {
        let (Some(_), Some(asset)) = (self.held, unit.asset) else { return Shown::Nothing };
        self.row(unit.wallet, asset).map_or(Shown::Overflow, Shown::Row)
    }

    fn is_open(&self) -> bool {
        self.held.is_some_and(|held| !held.qty.is_zero())
    }
}

impl State {
    /// What the position shows, at [`VenueTime::MIN`]; `None` where a column doesn't fit, or without
    /// a position.
    pub(super) fn row(&self, wallet: Sym, asset: AssetId) -> Option<PositionPnl> {
        let held = self.held.as_ref()?;
        let narrow = || {
            let sums = Sums::<i128>::of(Some(held), self.mark)?;
            Some((sums.rounded()?, sums.n_unmarked == 0))
        };
        let wide = || {
            let sums = Sums::<ethnum::I256>::of(Some(held), self.mark)?;
            Some((sums.rounded()?, sums.n_unmarked == 0))
        };
        let (amounts, is_marked) = narrow().or_else(wide)?;
        let [realized_pnl, unrealized, fees, funding, total] = amounts;
        let (mark, mark_time, avg_price) = shown(held, self.mark);
        Some(PositionPnl {
            wallet,
            asset,
            snapshot: VenueTime::MIN,
            qty: held.qty,
            avg_price,
            mark,
            mark_time,
            unrealized_pnl: is_marked.then_some(unrealized),
            realized_pnl,
            fees,
            funding,
            total_pnl: is_marked.then_some(total),
        })
    }
}

/// What a unit is before a range of steps, and from each step of it on at which that changes.
#[derive(Clone, Debug)]
pub(super) struct Series<P> {
    pub(super) before: P,
    pub(super) points: Vec<(VenueTime, P)>,
}

/// Which steps have rows, and what they say.
pub(super) struct Snapshots {
    pub(super) grid: Span,
    pub(super) emits_all: bool,
    pub(super) names: Arc<Names>,
}

impl Snapshots {
    /// Tells what a unit shows at a step.
    pub(super) fn tell<R: SnapshotRow>(
        &self,
        unit: Unit,
        step: VenueTime,
        (shown, diff): (Shown<R>, isize),
        tell: &mut impl Tell,
    ) {
        match shown {
            Shown::Nothing => {}
            Shown::Row(row) => row.tell(step, diff, tell),
            Shown::Overflow => tell.error(self.error(unit, step), diff),
        }
    }

    /// The row of a snapshot that overflows.
    fn error(&self, unit: Unit, snapshot: VenueTime) -> types::Row {
        let names = &self.names;
        let wallet = Value::from(names.text(unit.wallet));
        let snapshot = Value::from(snapshot);
        let reason = Value::word("overflow");
        types::Row(match unit.asset {
            None => Arc::from([wallet, snapshot, reason]),
            Some(asset) => {
                let venue = Value::from(names.text(names.venue(asset)));
                let asset = Value::from(names.text(names.asset(asset)));
                Arc::from([venue, wallet, asset, snapshot, reason])
            }
        })
    }

    /// Tells the row of a step that is published now, if it has one.
    pub(super) fn publish<P: Point>(
        &self,
        unit: Unit,
        step: VenueTime,
        (before, now): (&P, &P),
        tell: &mut impl Tell,
    ) {
        if self.emits_all {
            if now.is_open() {
                self.tell(unit, step, (now.shown(unit), 1), tell);
            }
        } else if before != now {
            let shown = now.shown(unit);
            if before.shown(unit) != shown {
                self.tell(unit, step, (shown, 1), tell);
            }
        }
    }

    /// Tells what replaces what over a range of steps up to `last`: of each step first the row that
    /// is gone, then the one that has come.
    pub(super) fn replace<P: Point>(
        &self,
        unit: Unit,
        last: VenueTime,
        (old, new): (&Series<P>, &Series<P>),
        tell: &mut impl Tell,
    ) {
        let (mut olds, mut news) = (old.points.iter().peekable(), new.points.iter().peekable());
        let (mut was, mut is) = (old.before, new.before);
        loop {
            let next = |a: Option<&&(VenueTime, P)>| a.map(|(step, _)| *step);
            let ahead = next(olds.peek()).into_iter().chain(next(news.peek()));
            let Some(step) = ahead.min() else { break };
            let before = (was, is);
            while let Some((_, point)) = olds.next_if(|(at, _)| *at == step) {
                was = *point;
            }
            while let Some((_, point)) = news.next_if(|(at, _)| *at == step) {
                is = *point;
            }
            if !self.emits_all {
                self.revise(unit, step, (before, (was, is)), tell);
                continue;
            }
            let ahead = next(olds.peek()).into_iter().chain(next(news.peek()));
            let until = ahead.min().unwrap_or_else(|| last.plus(self.grid));
            self.repeat(unit, (step, until), (was, is), tell);
        }
    }

    /// A step's rows where rows are changes.
    fn revise<P: Point>(
        &self,
        unit: Unit,
        step: VenueTime,
        ((was_before, is_before), (was, is)): ((P, P), (P, P)),
        tell: &mut impl Tell,
    ) {
        if was_before == is_before && was == is {
            return;
        }
        let row = |before: P, now: P| {
            let shown = now.shown(unit);
            if before.shown(unit) == shown { Shown::Nothing } else { shown }
        };
        let (old, new) = (row(was_before, was), row(is_before, is));
        if old != new {
            self.tell(unit, step, (old, -1), tell);
            self.tell(unit, step, (new, 1), tell);
        }
    }

    /// Rows of all steps from one up to before another.
    fn repeat<P: Point>(
        &self,
        unit: Unit,
        (first, until): (VenueTime, VenueTime),
        (was, is): (P, P),
        tell: &mut impl Tell,
    ) {
        if was == is {
            return;
        }
        let row = |now: P| if now.is_open() { now.shown(unit) } else { Shown::Nothing };
        let (old, new) = (row(was), row(is));
        if old == new {
            return;
        }
        let mut step = first;
        while step < until {
            self.tell(unit, step, (old.clone(), -1), tell);
            self.tell(unit, step, (new.clone(), 1), tell);
            step = step.plus(self.grid);
        }
    }
}
