//! The way out: the changes of each emitted view, by epoch, and which epochs are complete.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use types::Changes;

use crate::clock::Clock;
use crate::edge::{Coll, Edge};
use crate::with_edge;

/// Changes by epoch and view, as they come.
type Buffer = Rc<RefCell<BTreeMap<u64, Vec<Changes>>>>;

/// What a worker's dataflow gives.
pub struct Outputs {
    buffer: Buffer,
    empty: Vec<Changes>,
    /// For each view the first epoch of which more may come.
    open: RefCell<Vec<Rc<Cell<u64>>>>,
}

impl Outputs {
    /// Starts without views; `empty` has one entry for each that will be added.
    pub(crate) fn new(empty: Vec<Changes>) -> Self {
        Self { buffer: Buffer::default(), empty, open: RefCell::default() }
    }

    /// Takes the changes of an edge as the view with this index among the emitted ones.
    pub(crate) fn add(&self, edge: Edge<'_>, view: usize) {
        let (buffer, empty) = (Rc::clone(&self.buffer), self.empty.clone());
        with_edge!(edge, rows => self.capture(rows, move |epoch, changes| {
            let mut buffer = buffer.borrow_mut();
            let views = buffer.entry(epoch).or_insert_with(|| empty.clone());
            if let Some(view) = views.get_mut(view) {
                view.append(changes);
            }
        }));
    }

    fn capture<R>(&self, rows: Coll<'_, R>, take: impl FnMut(u64, Changes) + 'static)
    where
        R: types::relations::Relation,
        Changes: From<Vec<(R, isize)>>,
    {
        let mut take = take;
        self.follow(rows.inner, move |epoch, container| {
            // Collected in place: the rows stay where the operator wrote them.
            let rows = std::mem::take(container).into_iter();
            let rows = rows.map(|(row, _, diff)| (row, diff));
            take(epoch, Changes::from(rows.collect::<Vec<_>>()));
        });
    }

    /// Takes all that a stream holds, and knows how far it has come. One operator: a probe behind it
    /// would cost every epoch as much again.
    fn follow<D: Clone + 'static>(
        &self,
        stream: StreamVec<'_, u64, D>,
        mut take: impl FnMut(u64, &mut Vec<D>) + 'static,
    ) {
        let open = Rc::new(Cell::new(0));
        self.open.borrow_mut().push(Rc::clone(&open));
        stream.sink(Pipeline, "drain", move |(input, frontier)| {
            input.for_each_time(|time, containers| {
                containers.for_each(|container| take(*time.time(), container));
            });
            open.set(frontier.frontier().first().copied().unwrap_or(u64::MAX));
        });
    }

    /// Makes epochs wait for the clock: that of a plan without emitted views is complete no sooner
    /// than it was fed.
    pub(crate) fn watch(&self, clock: StreamVec<'_, u64, Clock>) {
        self.follow(clock, |_, _| {});
    }

    /// Whether an epoch is complete.
    pub fn is_complete(&self, epoch: u64) -> bool {
        self.open.borrow().iter().all(|open| epoch < open.get())
    }

    /// Takes this worker's changes of an epoch, one entry for each emitted view.
    pub fn take(&self, epoch: u64) -> Vec<Changes> {
        self.buffer.borrow_mut().remove(&epoch).unwrap_or_else(|| self.empty.clone())
    }
}
