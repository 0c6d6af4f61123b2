//! The rows of both sides with equal values, and what of them changes in an epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Row, Span, VenueTime};

use crate::operators::behind::{Source, joined};
use crate::operators::ordered::{Order, Ordered, first_at};

/// How rows of both sides are compared and joined.
pub(super) struct Matching {
    pub(super) input: Order,
    pub(super) with: Order,
    pub(super) sources: Arc<[Source]>,
    /// How old what is found may be.
    pub(super) within: Option<Span>,
}

/// Rows that may find one another.
pub(super) struct Group {
    input: Ordered<Row>,
    with: Ordered<Row>,
}

/// The times from each start up to its end, for which another row may be found than before; apart
/// from one another. None of the other view's rows lies between a start and its end.
type Spans = BTreeMap<VenueTime, VenueTime>;

/// What is found at a time.
type Found<'a> = Option<(VenueTime, &'a Row)>;

/// Right behind a time.
fn behind(time: VenueTime) -> VenueTime {
    Span::new(1).map_or(time, |least| time.plus(least))
}

impl Group {
    pub(super) const fn new() -> Self {
        Self { input: Ordered::new(), with: Ordered::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.with.is_empty()
    }

    /// Takes an epoch's changes of both sides, added up, and tells those of the result: what is gone
    /// before what is new, among them pairs that change nothing.
    ///
    /// # Panics
    /// If a row goes that isn't there.
    pub(super) fn take(
        &mut self,
        matching: &Matching,
        input: &[(Row, isize)],
        with: &[(Row, isize)],
        out: &mut Vec<(Row, isize)>,
    ) {
        let spans = self.spans(matching, with);
        let is_apart = |row: &Row| {
            let time = matching.input.time(row)?;
            let span = spans.range(..=time).next_back();
            span.is_none_or(|(_, end)| *end <= time).then_some(time)
        };
        self.tell(matching, &spans, -1, out);
        for (row, diff) in input.iter().filter(|(_, diff)| *diff < 0) {
            if let Some(time) = is_apart(row) {
                out.push((matching.joined(row, time, self.found(time)), *diff));
            }
        }
        apply(&mut self.input, &matching.input, input);
        apply(&mut self.with, &matching.with, with);
        self.tell(matching, &spans, 1, out);
        for (row, diff) in input.iter().filter(|(_, diff)| *diff > 0) {
            if let Some(time) = is_apart(row) {
                out.push((matching.joined(row, time, self.found(time)), *diff));
            }
        }
    }

    /// Where changes of the other view may be seen: from each to the next of its rows, of those held
    /// and those that come.
    fn spans(&self, matching: &Matching, with: &[(Row, isize)]) -> Spans {
        let times = with.iter().filter_map(|(row, _)| matching.with.time(row));
        let mut spans: Spans = times.map(|time| (time, VenueTime::END)).collect();
        let mut next = VenueTime::END;
        for (start, end) in spans.iter_mut().rev() {
            let held = self.with.from(&first_at(behind(*start))).next();
            *end = held.map_or(next, |(time, _)| next.min(time));
            next = *start;
        }
        spans
    }

    /// The last row of the other view at a time or before.
    fn found(&self, time: VenueTime) -> Found<'_> {
        self.with.back_from(&first_at(behind(time))).next()
    }

    /// Tells all rows of some spans.
    fn tell(&self, matching: &Matching, spans: &Spans, diff: isize, out: &mut Vec<(Row, isize)>) {
        for (start, end) in spans {
            let found = self.found(*start);
            let first = first_at(*start);
            let rows = self.input.from(&first).take_while(|(time, _)| time < end);
            out.extend(rows.map(|(time, row)| (matching.joined(row, time, found), diff)));
        }
    }
}

impl Matching {
    /// A row with what is found at its time, unless that is too old.
    fn joined(&self, row: &Row, time: VenueTime, found: Found<'_>) -> Row {
        let is_fresh = |age: i64| self.within.is_none_or(|within| age <= within.nanos());
        let found = found.filter(|(at, _)| is_fresh(time.nanos().saturating_sub(at.nanos())));
        joined(row, found.map(|(_, row)| row), &self.sources)
    }
}

/// Lets changes into rows that are held, or out of them.
fn apply(held: &mut Ordered<Row>, order: &Order, changes: &[(Row, isize)]) {
    for (row, diff) in changes {
        let Some(time) = order.time(row) else { continue };
        let place = order.place(row, time);
        for _ in 0..diff.unsigned_abs() {
            if *diff < 0 {
                held.remove(order, &place, row);
            } else {
                held.insert(order, place.clone(), row.clone());
            }
        }
    }
}
