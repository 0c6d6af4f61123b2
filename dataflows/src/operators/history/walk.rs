//! What a walk along a key's history sees beside the states: notes, and the states as of steps.

use types::{Span, VenueTime};

use super::{Fold, Sink, Step};

/// Notes and states as of steps, in event order.
pub(super) struct Walk<F: Fold> {
    pub(super) notes: Vec<F::Note>,
    grids: Vec<Grid<F>>,
}

/// The steps of one grid.
struct Grid<F: Fold> {
    span: Span,
    /// The step that the last event counts for; not closed yet.
    open: Option<VenueTime>,
    /// The state as of each step before which something happened.
    closed: Vec<(VenueTime, F::State)>,
}

impl<F: Fold> Walk<F> {
    pub(super) fn new(spans: &[Span]) -> Self {
        let grid = |span: &Span| Grid { span: *span, open: None, closed: Vec::new() };
        Self { notes: Vec::new(), grids: spans.iter().map(grid).collect() }
    }

    /// Starts again behind an event of this time, or at the history's start.
    pub(super) fn restart(&mut self, before: Option<VenueTime>) {
        self.notes.clear();
        for grid in &mut self.grids {
            grid.open = before.map(|time| time.next_step(grid.span));
            grid.closed.clear();
        }
    }

    /// An event of this time comes; `state` is that before it.
    pub(super) fn pass(&mut self, time: VenueTime, state: &F::State) {
        for grid in &mut self.grids {
            let step = time.next_step(grid.span);
            if let Some(open) = grid.open.filter(|open| *open != step) {
                grid.closed.push((open, state.clone()));
            }
            grid.open = Some(step);
        }
    }

    /// No more events come.
    pub(super) fn end(&mut self, state: &F::State) {
        for grid in &mut self.grids {
            grid.closed.extend(grid.open.take().map(|open| (open, state.clone())));
        }
    }

    /// Tells what differs from an older walk with the same start.
    pub(super) fn tell(&mut self, old: &mut Self, key: F::Key, sink: &mut impl Sink<F>) {
        for notes in [&mut old.notes, &mut self.notes] {
            notes.sort_by_key(F::about);
        }
        merge(&old.notes, &self.notes, F::about, |old, new| sink.note(key, old, new));
        for (index, (old, new)) in old.grids.iter().zip(&self.grids).enumerate() {
            merge(
                &old.closed,
                &new.closed,
                |step| step.0,
                |old, new| {
                    let Some((at, _)) = new.or(old) else { return };
                    let step = Step { at: *at, old: old.map(|s| &s.1), new: new.map(|s| &s.1) };
                    sink.step(key, index, step);
                },
            );
        }
    }
}

/// Walks two sorted lists side by side and tells where they differ.
fn merge<T: PartialEq, K: Ord>(
    old: &[T],
    new: &[T],
    by: impl Fn(&T) -> K,
    mut tell: impl FnMut(Option<&T>, Option<&T>),
) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let side = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(o), Some(n)) => by(o).cmp(&by(n)),
        };
        match side {
            std::cmp::Ordering::Less => tell(old.next(), None),
            std::cmp::Ordering::Greater => tell(None, new.next()),
            std::cmp::Ordering::Equal => {
                let (old, new) = (old.next(), new.next());
                if old != new {
                    tell(old, new);
                }
            }
        }
    }
}
