//! The way out: the changes of each emitted view, by epoch, and the probe that says which epochs are
//! complete.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{ProbeHandle, StreamVec};
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
    probe: ProbeHandle<u64>,
}

impl Outputs {
    /// Starts without views; `empty` has one entry for each that will be added.
    pub(crate) fn new(empty: Vec<Changes>) -> Self {
        Self { buffer: Buffer::default(), empty, probe: ProbeHandle::new() }
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
        let stream = rows.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
            Pipeline,
            "drain",
            |_, _| {
                move |input, _output| {
                    input.for_each_time(|time, containers| {
                        for container in containers {
                            // Collected in place: the rows stay where the operator wrote them.
                            let rows = std::mem::take(container).into_iter();
                            let rows = rows.map(|(row, _, diff)| (row, diff));
                            take(*time.time(), Changes::from(rows.collect::<Vec<_>>()));
                        }
                    });
                }
            },
        );
        stream.probe_with(&self.probe);
    }

    /// Makes the probe wait for the clock too, so that an epoch of a plan without emitted views is
    /// complete no sooner than it was fed.
    pub(crate) fn watch(&self, clock: StreamVec<'_, u64, Clock>) {
        clock.probe_with(&self.probe);
    }

    /// Whether an epoch is complete.
    pub fn is_complete(&self, epoch: u64) -> bool {
        !self.probe.less_equal(&epoch)
    }

    /// Takes this worker's changes of an epoch, one entry for each emitted view.
    pub fn take(&self, epoch: u64) -> Vec<Changes> {
        self.buffer.borrow_mut().remove(&epoch).unwrap_or_else(|| self.empty.clone())
    }
}
