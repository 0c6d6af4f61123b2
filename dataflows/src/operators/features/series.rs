//! One key: its ticks, its running windows, and the rows of an interval of time.

use rustc_hash::FxHashSet;
use types::sabotage::{Safeguard, is_out};
use types::{Names, Row, Span, Value, VenueTime};

use super::history::{Cursor, History};
use super::layout::{At, Emit, Event, Key, Layout};
use super::tick::Tick;
use super::window::Windows;

/// One key.
pub(super) struct Series {
    pub(super) key: Key,
    pub(super) history: History,
    /// The newest windows, where they are kept.
    pub(super) windows: Option<Windows>,
    /// The next step at which it may have a row.
    pub(super) next_step: Option<VenueTime>,
    /// Its first and last change of the epoch.
    pub(super) changes: Option<(usize, usize)>,
}

/// Windows of fewer ticks than this aren't kept between epochs: they are soon made anew, and most keys
/// rest.
const KEPT: u64 = if cfg!(test) { 3 } else { 16 };

/// A row with what tells it from others of its key.
pub(super) struct Shown {
    pub(super) time: VenueTime,
    pub(super) id: u128,
    pub(super) row: Row,
}

/// What rows are made with.
pub(super) struct Maker<'a> {
    pub(super) layout: &'a Layout,
    pub(super) names: &'a Names,
    /// The values of the key at hand.
    pub(super) key: &'a [Value],
    /// Room for those of a row; empty.
    pub(super) room: &'a mut Vec<Value>,
}

/// An interval of time in which rows may change: from its start, as long as ticks of its last instant
/// are in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from: VenueTime,
    /// The first instant whose windows hold nothing of it.
    pub(super) end: VenueTime,
}

impl Series {
    pub(super) fn new(key: Key) -> Self {
        Self { key, history: History::default(), windows: None, next_step: None, changes: None }
    }

    /// Where rows change with some changes, which are in order and not yet made: from each on as long as
    /// it is in a window; so too from the tick behind it, which then follows another, and from the next of
    /// its asset, whose return changes. Intervals that meet are one.
    pub(super) fn intervals(
        &self,
        changes: &[(Tick, isize)],
        longest: Span,
        names: &Names,
    ) -> Vec<Interval> {
        let mut times = Vec::with_capacity(3 * changes.len());
        for (tick, _) in changes {
            times.push(tick.time);
            if !is_out(Safeguard::FollowingRevised) {
                let following = self.history.following(tick, names);
                times.extend(following.into_iter().flatten().map(|held| held.tick.time));
            }
        }
        times.sort_unstable();
        let mut intervals: Vec<Interval> = Vec::new();
        for from in times {
            let end = from.plus(longest);
            match intervals.last_mut() {
                Some(before) if from < before.end => before.end = before.end.max(end),
                _ => intervals.push(Interval { from, end }),
            }
        }
        intervals
    }

    /// Makes changes, which are in order.
    pub(super) fn apply(&mut self, changes: &[(Tick, isize)], names: &Names) {
        for (tick, diff) in changes {
            for _ in 0..diff.unsigned_abs() {
                if *diff < 0 {
                    self.history.remove(tick, names);
                } else {
                    self.history.insert(*tick, names);
                }
            }
        }
    }

    /// Lets go of windows that are soon made anew.
    pub(super) fn rest(&mut self) {
        let n = |windows: &Windows| windows.windows.iter().map(|window| window.sums.n).max();
        if self.windows.as_ref().is_some_and(|windows| n(windows) < Some(KEPT)) {
            self.windows = None;
        }
    }

    /// The rows at the events of an interval.
    pub(super) fn event_rows(&self, interval: Interval, maker: &mut Maker<'_>) -> Vec<Shown> {
        let (history, shape) = (&self.history, &maker.layout.shape);
        let first = history.first_at(interval.from);
        let Some(held) = history.get(first) else { return Vec::new() };
        let newest = history.before(first);
        let mut windows = Windows::new(shape, history, (held.tick.time, newest), maker.names);
        let mut rows = Vec::new();
        let mut next = Some(first);
        while let Some(at) = next
            && let Some(held) = history.get(at).filter(|held| held.tick.time < interval.end)
        {
            windows.enter(at, held, maker.names);
            windows.leave(shape, history, held.tick.time, maker.names);
            rows.push(self.event_row(at, &windows, maker));
            next = history.next(at);
        }
        // Of events of one time and id the last one's row stands for all. The sort is stable.
        rows.sort_by_key(|shown| (shown.time, shown.id));
        rows.dedup_by(|later, kept| {
            let is_like = (later.time, later.id) == (kept.time, kept.id);
            if is_like && !is_out(Safeguard::LikeEventsShareRows) {
                std::mem::swap(later, kept);
            }
            is_like && !is_out(Safeguard::LikeEventsShareRows)
        });
        rows
    }

    /// The row at an event, which the windows end with.
    #[inline]
    pub(super) fn event_row(&self, at: Cursor, windows: &Windows, maker: &mut Maker<'_>) -> Shown {
        let held = self.history.get(at).expect("an event of the history");
        let before = self.history.before(at).and_then(|before| self.history.get(before));
        let Tick { time, id, seq, .. } = held.tick;
        let previous = before.map(|held| held.tick.time);
        let at = At { time, event: Some(Event { id, seq }), previous, first: self.first() };
        let values = (maker.key, &mut *maker.room);
        let row = maker.layout.row(values, &at, (windows, held), maker.names);
        Shown { time, id, row }
    }

    /// When its first event was.
    fn first(&self) -> VenueTime {
        self.history.oldest().map_or(VenueTime::MIN, |held| held.tick.time)
    }

    /// Whether new ticks, which are in order, only add rows: they come behind all others, and none
    /// shares its row with another.
    pub(super) fn are_appended(&self, ticks: &[(Tick, isize)], names: &Names) -> bool {
        let Some(((first, _), _)) = ticks.split_first() else { return true };
        let is_behind = |newest: &Tick| newest.order(first, names).is_lt();
        if ticks.iter().any(|(_, diff)| *diff != 1)
            || self.history.newest().is_some_and(|held| !is_behind(&held.tick))
        {
            return false;
        }
        ticks.chunk_by(|(a, _), (b, _)| a.time == b.time).all(|ticks| self.are_unlike(ticks))
    }

    /// Whether new ticks of one time have ids that differ, also from those of the newest ticks.
    fn are_unlike(&self, ticks: &[(Tick, isize)]) -> bool {
        let Some(((first, _), _)) = ticks.split_first() else { return true };
        let mut at = self.history.last();
        let mut known = std::iter::from_fn(|| {
            let held = at.and_then(|at| self.history.get(at))?;
            at = at.and_then(|at| self.history.before(at));
            (held.tick.time == first.time).then_some(held.tick.id)
        });
        let mut new = ticks.iter().map(|(tick, _)| tick.id);
        if ticks.len() == 1 {
            return known.all(|id| id != first.id);
        }
        let mut ids = FxHashSet::default();
        new.all(|id| ids.insert(id)) && known.all(|id| !ids.contains(&id))
    }

    /// Tells the rows at the steps from one to another, both included, with windows that end there
    /// or before. Gives the next step behind them that may have a row; nothing where rows stand at
    /// events.
    pub(super) fn step_rows(
        &self,
        windows: &mut Option<Windows>,
        (mut step, last): (VenueTime, VenueTime),
        maker: &mut Maker<'_>,
        mut tell: impl FnMut(Shown),
    ) -> Option<VenueTime> {
        let Emit::Step(grid) = maker.layout.emit else { return None };
        let (history, shape) = (&self.history, &maker.layout.shape);
        while step <= last {
            let end = step.less(1);
            let windows = windows.get_or_insert_with(|| {
                let newest = history.before(history.first_at(step));
                Windows::new(shape, history, (end, newest), maker.names)
            });
            let mut next = history.after(windows.newest);
            while let Some(at) = next
                && let Some(held) = history.get(at).filter(|held| held.tick.time < step)
            {
                let whole = history.whole(at).filter(|whole| whole.last < step);
                let mut last = at;
                if let Some(whole) = whole.filter(|_| shape.is_plain()) {
                    windows.enter_whole(at, &whole);
                    last = whole.end;
                } else {
                    windows.enter(at, held, maker.names);
                }
                next = history.next(last);
            }
            windows.leave(shape, history, end, maker.names);
            let newest = windows.newest.and_then(|at| history.get(at));
            let Some(newest) = newest.filter(|_| !windows.is_empty()) else {
                // Nothing to tell until the next tick.
                step = next.and_then(|at| history.get(at))?.tick.time.next_step(grid);
                continue;
            };
            let previous = Some(newest.tick.time);
            let at = At { time: step, event: None, previous, first: self.first() };
            let values = (maker.key, &mut *maker.room);
            let row = maker.layout.row(values, &at, (windows, newest), maker.names);
            tell(Shown { time: step, id: 0, row });
            step = step.plus(grid);
        }
        Some(step)
    }
}

/// Tells what of two lists of one key's rows differs, both in order: the old row directly before the
/// new one.
pub(super) fn tell_differences(old: Vec<Shown>, new: Vec<Shown>, mut tell: impl FnMut(Row, isize)) {
    let place = |shown: &Shown| (shown.time, shown.id);
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => place(old).cmp(&place(new)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return,
        };
        let left = if order.is_le() { old.next() } else { None };
        let right = if order.is_ge() { new.next() } else { None };
        let is_same = left.as_ref().map(|shown| &shown.row) == right.as_ref().map(|s| &s.row);
        if is_same {
            continue;
        }
        if let Some(shown) = left {
            tell(shown.row, -1);
        }
        if let Some(shown) = right {
            tell(shown.row, 1);
        }
    }
}
