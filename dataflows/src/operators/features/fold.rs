//! All keys of a worker: an epoch's changes in, the rows that change out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use types::sabotage::{Safeguard, is_out};
use types::{Names, Row, Span, Value, VenueTime};

use super::layout::{Emit, Key, Layout};
use super::series::{Interval, Maker, Series, Shown, tell_differences};
use super::tick::Tick;
use super::window::Windows;

/// The features of a worker's keys.
pub(super) struct Features {
    layout: Arc<Layout>,
    longest: Span,
    names: Arc<Names>,
    index: FxHashMap<Key, usize>,
    keys: Vec<Series>,
    /// The epoch's changes, each with the next of its key.
    changes: Vec<(Tick, isize, Option<usize>)>,
    /// The keys that they are of, in the order of their first.
    touched: Vec<usize>,
    /// The last step that is published.
    published: VenueTime,
    /// Keys by the next step at which they may have a row; an entry that isn't its key's is of no
    /// meaning.
    due: BTreeMap<VenueTime, Vec<usize>>,
    /// Room for one key's changes, for the values of its columns and for those of a row.
    one: Vec<(Tick, isize)>,
    values: Vec<Value>,
    room: Vec<Value>,
}

impl Features {
    /// # Panics
    /// If the layout has no window.
    pub(super) fn new(layout: Arc<Layout>, names: Arc<Names>) -> Self {
        Self {
            longest: layout.shape.longest().expect("at least one window"),
            layout,
            names,
            index: FxHashMap::default(),
            keys: Vec::new(),
            changes: Vec::new(),
            touched: Vec::new(),
            published: VenueTime::MIN,
            due: BTreeMap::new(),
            one: Vec::new(),
            values: Vec::new(),
            room: Vec::new(),
        }
    }

    /// Takes a change of the epoch.
    #[inline]
    pub(super) fn take(&mut self, key: Key, tick: Tick, diff: isize) {
        let Self { index, keys, changes, touched, .. } = self;
        let number = *index.entry(key).or_insert_with(|| {
            keys.push(Series::new(key));
            keys.len() - 1
        });
        let place = changes.len();
        changes.push((tick, diff, None));
        let series = &mut keys[number];
        if let Some((_, last)) = &mut series.changes {
            changes[*last].2 = Some(place);
            *last = place;
        } else {
            series.changes = Some((place, place));
            touched.push(number);
        }
    }

    /// Ends the epoch, given the last step of the grid that is published at its end; tells what
    /// changes, of each row the old state directly before the new one.
    pub(super) fn finish(
        &mut self,
        last_step: Option<VenueTime>,
        mut tell: impl FnMut(Row, isize),
    ) {
        let last_step = last_step.unwrap_or(self.published);
        if let Emit::Step(grid) = self.layout.emit
            && last_step < self.published
        {
            self.take_back(last_step, grid, &mut tell);
        }
        for number in std::mem::take(&mut self.touched) {
            self.gather(number);
            match self.layout.emit {
                Emit::Event => self.revise_events(number, &mut tell),
                Emit::Step(grid) => self.revise_steps(number, grid, &mut tell),
            }
        }
        self.changes.clear();
        if matches!(self.layout.emit, Emit::Step(_)) {
            self.publish(last_step, &mut tell);
        }
    }

    /// Gathers a key's changes in order, without those that add up to nothing, and the values of its
    /// columns.
    fn gather(&mut self, number: usize) {
        let Self { keys, changes, one, values, names, .. } = self;
        let series = &mut keys[number];
        one.clear();
        let mut next = series.changes.take().map(|(first, _)| first);
        while let Some((tick, diff, following)) = next.and_then(|place| changes.get(place)) {
            one.push((*tick, *diff));
            next = *following;
        }
        if !one.is_sorted_by(|(a, _), (b, _)| a.order(b, names).is_lt()) {
            one.sort_by(|(a, _), (b, _)| a.order(b, names));
            one.dedup_by(|(tick, diff), (kept, total)| {
                let is_same = tick == kept;
                *total += if is_same { *diff } else { 0 };
                is_same
            });
        }
        one.retain(|(_, diff)| *diff != 0);
        values.clear();
        series.key.values(names, values);
    }

    /// Makes the changes at hand, of a key whose events are told.
    fn revise_events(&mut self, number: usize, tell: &mut impl FnMut(Row, isize)) {
        let Self { layout, names, keys, one, values, room, longest, .. } = self;
        let (layout, series) = (&**layout, &mut keys[number]);
        let mut maker = Maker { layout, names, key: values, room };
        let is_late = !series.are_appended(one, names) && !is_out(Safeguard::LateRevised);
        if is_late {
            let intervals = series.intervals(one, *longest, names);
            let old: Vec<Vec<Shown>> =
                intervals.iter().map(|at| series.event_rows(*at, &mut maker)).collect();
            series.apply(one, names);
            series.windows = None;
            for (interval, old) in intervals.iter().zip(old) {
                let new = series.event_rows(*interval, &mut maker);
                tell_differences(old, new, &mut *tell);
            }
            return;
        }
        let mut windows = series.windows.take().unwrap_or_else(|| {
            let last = series.history.newest().map_or(VenueTime::MIN, |held| held.tick.time);
            Windows::new(&layout.shape, &series.history, (last, series.history.last()), names)
        });
        for (tick, _) in one.iter() {
            let at = series.history.push(*tick);
            if let Some(held) = series.history.get(at) {
                windows.enter(at, held, names);
            }
            windows.leave(&layout.shape, &series.history, tick.time, names);
            tell(series.event_row(at, &windows, &mut maker).row, 1);
        }
        series.windows = Some(windows);
        series.rest();
    }

    /// Makes the changes at hand, of a key whose steps are told: published ones are revised at once.
    fn revise_steps(&mut self, number: usize, grid: Span, tell: &mut impl FnMut(Row, isize)) {
        let Self { layout, names, keys, one, values, room, longest, published, .. } = self;
        let Some(((first, _), _)) = one.split_first() else { return };
        let first_step = first.time.next_step(grid);
        let series = &mut keys[number];
        let mut maker = Maker { layout, names, key: values, room };
        if series.are_appended(one, names) && first_step > *published {
            // Windows that are kept end before it.
            for (tick, _) in one.iter() {
                series.history.push(*tick);
            }
        } else {
            let mut rows = |series: &Series, interval: &Interval| {
                let mut rows = Vec::new();
                let steps = (interval.from.next_step(grid), interval.end.min(*published));
                series.step_rows(&mut None, steps, &mut maker, |shown| rows.push(shown));
                rows
            };
            let intervals = series.intervals(one, *longest, names);
            let old: Vec<Vec<Shown>> = intervals.iter().map(|at| rows(series, at)).collect();
            series.apply(one, names);
            series.windows = None;
            for (interval, old) in intervals.iter().zip(old) {
                let new = rows(series, interval);
                let is_revised = !is_out(Safeguard::StepsRevised);
                tell_differences(old, if is_revised { new } else { Vec::new() }, &mut *tell);
            }
        }
        let next = first_step.max(published.plus(grid));
        if series.next_step.is_none_or(|step| next < step) {
            self.schedule(number, Some(next));
        }
    }

    fn schedule(&mut self, number: usize, step: Option<VenueTime>) {
        self.keys[number].next_step = step;
        if let Some(step) = step {
            self.due.entry(step).or_default().push(number);
        }
    }

    /// Publishes the steps up to one.
    fn publish(&mut self, last: VenueTime, tell: &mut impl FnMut(Row, isize)) {
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() <= last) {
            let (step, numbers) = entry.remove_entry();
            for number in numbers {
                if self.keys[number].next_step != Some(step) {
                    continue;
                }
                let Self { layout, names, keys, values, room, .. } = self;
                let series = &mut keys[number];
                values.clear();
                series.key.values(names, values);
                let mut maker = Maker { layout, names, key: values, room };
                let mut windows = series.windows.take();
                let tell = |shown: Shown| tell(shown.row, 1);
                let next = series.step_rows(&mut windows, (step, last), &mut maker, tell);
                series.windows = windows;
                series.rest();
                self.schedule(number, next);
            }
        }
        self.published = last;
    }

    /// Takes back what was published behind a step: at the end of all input the last step is the next
    /// after the greatest event time, and the watermark may have passed it before.
    fn take_back(&mut self, last: VenueTime, grid: Span, tell: &mut impl FnMut(Row, isize)) {
        let steps = (last.plus(grid), self.published);
        for number in 0..self.keys.len() {
            let Self { layout, names, keys, values, room, .. } = self;
            let series = &mut keys[number];
            values.clear();
            series.key.values(names, values);
            let mut maker = Maker { layout, names, key: values, room };
            let mut n_rows = 0_u64;
            series.step_rows(&mut None, steps, &mut maker, |shown| {
                n_rows += 1;
                tell(shown.row, -1);
            });
            series.windows = None;
            if n_rows > 0 {
                self.schedule(number, Some(steps.0));
            }
        }
        self.published = last;
    }
}
