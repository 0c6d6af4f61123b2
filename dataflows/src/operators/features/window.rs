//! Running windows over a key's history: each tick enters once and leaves once.

use std::collections::VecDeque;

use types::sabotage::{Safeguard, is_out};
use types::{Names, Span, VenueTime};

use super::history::{Cursor, Held, History, Whole};
use super::sums::Sums;
use super::wallets::{Counting, Wallets};

/// What windows are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Their lengths, the shortest first.
    pub(super) spans: Vec<Span>,
    /// Whether they start anew at each multiple of their length, in place of sliding.
    pub(super) is_tumbling: bool,
    /// Whether highest and lowest prices are asked for.
    pub(super) keeps_extremes: bool,
    /// How wallets are counted, where it is asked for whose the fills are.
    pub(super) wallets: Option<Counting>,
}

impl Shape {
    /// The first instant of a window whose last one is given.
    pub(super) const fn first(&self, span: Span, last: VenueTime) -> VenueTime {
        if self.is_tumbling { last.bucket(span) } else { last.less(span.nanos() - 1) }
    }

    /// Whether sums are all that is kept, so that whole chunks can enter and leave.
    pub(super) const fn is_plain(&self) -> bool {
        !self.keeps_extremes && self.wallets.is_none()
    }

    /// The longest window.
    pub(super) fn longest(&self) -> Option<Span> {
        self.spans.iter().copied().max()
    }
}

/// The windows of a key, as of one instant.
pub(super) struct Windows {
    /// In the shape's order.
    pub(super) windows: Vec<Window>,
    /// The last tick that entered.
    pub(super) newest: Option<Cursor>,
}

/// One window.
pub(super) struct Window {
    pub(super) sums: Sums,
    /// Its first tick; of no meaning in an empty one.
    start: Cursor,
    pub(super) extremes: Option<Extremes>,
    pub(super) wallets: Option<Wallets>,
}

impl Windows {
    /// The windows whose last instant is given, with all ticks up to one.
    pub(super) fn new(
        shape: &Shape,
        history: &History,
        (last, newest): (VenueTime, Option<Cursor>),
        names: &Names,
    ) -> Self {
        let window = |span: &Span| {
            let start = history.first_at(shape.first(*span, last));
            let mut window = Window {
                sums: Sums::default(),
                start,
                extremes: shape.keeps_extremes.then(Extremes::default),
                wallets: shape.wallets.map(Wallets::new),
            };
            let mut next = Some(start).filter(|start| Some(*start) <= newest);
            while let Some(at) = next
                && let Some(held) = history.get(at)
            {
                let whole = history.whole(at).filter(|whole| Some(whole.end) <= newest);
                let mut last = at;
                if let Some(whole) = whole.filter(|_| shape.is_plain()) {
                    window.sums.add_all(whole.sums);
                    last = whole.end;
                } else {
                    window.add(held, names);
                }
                next = history.next(last).filter(|at| Some(*at) <= newest);
            }
            window
        };
        Self { windows: shape.spans.iter().map(window).collect(), newest }
    }

    /// Lets the tick enter that follows the newest.
    #[inline]
    pub(super) fn enter(&mut self, at: Cursor, held: &Held, names: &Names) {
        self.newest = Some(at);
        for window in &mut self.windows {
            if window.sums.n == 0 {
                window.start = at;
            }
            window.add(held, names);
        }
    }

    /// Lets the chunk enter that follows the newest; only of plain windows.
    pub(super) fn enter_whole(&mut self, at: Cursor, whole: &Whole<'_>) {
        self.newest = Some(whole.end);
        for window in &mut self.windows {
            if window.sums.n == 0 {
                window.start = at;
            }
            window.sums.add_all(whole.sums);
        }
    }

    /// Lets go of what lies before the windows whose last instant is given.
    #[inline]
    pub(super) fn leave(
        &mut self,
        shape: &Shape,
        history: &History,
        last: VenueTime,
        names: &Names,
    ) {
        let newest = self.newest;
        for (window, span) in self.windows.iter_mut().zip(&shape.spans) {
            let first = shape.first(*span, last);
            while window.sums.n > 0
                && let Some(held) = history.get(window.start).filter(|h| h.tick.time < first)
            {
                let mut last = window.start;
                // What is behind the newest never entered.
                let is_out = |whole: &Whole<'_>| whole.last < first && Some(whole.end) <= newest;
                let whole = history.whole(last).filter(|_| shape.is_plain());
                if let Some(whole) = whole.filter(is_out) {
                    window.sums.subtract_all(whole.sums);
                    last = whole.end;
                } else {
                    window.subtract(held);
                }
                window.start = history.next(last).unwrap_or(last);
            }
            if window.wallets.as_ref().is_some_and(Wallets::is_short) {
                window.count_wallets(shape, history, newest, names);
            }
        }
    }

    /// Whether no window holds a tick.
    pub(super) fn is_empty(&self) -> bool {
        self.windows.iter().all(|window| window.sums.n == 0)
    }
}

impl Window {
    /// Counts wallets anew, from the window's ticks.
    #[cold]
    fn count_wallets(
        &mut self,
        shape: &Shape,
        history: &History,
        newest: Option<Cursor>,
        names: &Names,
    ) {
        let mut wallets = shape.wallets.map(Wallets::new);
        let mut next = Some(self.start).filter(|_| self.sums.n > 0);
        while let Some(at) = next.filter(|at| Some(*at) <= newest)
            && let Some(held) = history.get(at)
        {
            if let (Some(wallets), Some(wallet)) = (&mut wallets, held.tick.name) {
                wallets.add(wallet, held.tick.amounts[0], names);
            }
            next = history.next(at);
        }
        self.wallets = wallets;
    }

    #[inline]
    fn add(&mut self, held: &Held, names: &Names) {
        self.sums.add(held);
        if let Some(extremes) = &mut self.extremes {
            extremes.add(held.tick.level());
        }
        if let (Some(wallets), Some(wallet)) = (&mut self.wallets, held.tick.name) {
            wallets.add(wallet, held.tick.amounts[0], names);
        }
    }

    #[inline]
    fn subtract(&mut self, held: &Held) {
        self.sums.subtract(held);
        if let Some(extremes) = &mut self.extremes {
            extremes.remove_first();
        }
        if let (Some(wallets), Some(wallet)) = (&mut self.wallets, held.tick.name) {
            wallets.remove(wallet, held.tick.amounts[0]);
        }
    }
}

/// The highest and the lowest level of a queue: of those that entered, each that no later one
/// outdoes (Lemire, "Streaming maximum-minimum filter", 2006).
#[derive(Default)]
pub(super) struct Extremes {
    n_entered: u64,
    n_left: u64,
    /// Falling, each with its number.
    highest: VecDeque<(u64, i64)>,
    /// Rising.
    lowest: VecDeque<(u64, i64)>,
}

impl Extremes {
    fn add(&mut self, level: i64) {
        while self.highest.pop_back_if(|(_, last)| *last <= level).is_some() {}
        while self.lowest.pop_back_if(|(_, last)| *last >= level).is_some() {}
        self.highest.push_back((self.n_entered, level));
        self.lowest.push_back((self.n_entered, level));
        self.n_entered += 1;
    }

    fn remove_first(&mut self) {
        if !is_out(Safeguard::ExtremesLeave) {
            self.highest.pop_front_if(|(number, _)| *number == self.n_left);
            self.lowest.pop_front_if(|(number, _)| *number == self.n_left);
        }
        self.n_left += 1;
    }

    /// The highest less the lowest; `None` where nothing is in.
    pub(super) fn range(&self) -> Option<i128> {
        let (highest, lowest) = (self.highest.front()?.1, self.lowest.front()?.1);
        Some(i128::from(highest) - i128::from(lowest))
    }
}
