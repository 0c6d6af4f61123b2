//! The frame of our own operators: all of an epoch's input at once, in epoch order.

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::vec::Map;

use crate::clock::Clock;

/// Calls `logic` once an epoch that has input, when all of that input is there, in epoch order. Its
/// second argument is the input, which it may reorder and must empty; what it pushes into the
/// third leaves at the same epoch. Input stays on its worker: exchange it before.
pub(crate) fn per_epoch<'s, I, O>(
    stream: StreamVec<'s, u64, I>,
    name: &str,
    mut logic: impl FnMut(u64, &mut Vec<I>, &mut Vec<O>) + 'static,
) -> StreamVec<'s, u64, O>
where
    I: Clone + 'static,
    O: ExchangeData,
{
    stream.unary_frontier::<CapacityContainerBuilder<Vec<O>>, _, _, _>(Pipeline, name, |_, _| {
        let mut stash: Vec<Stashed<I>> = Vec::new();
        let mut changes = Vec::new();
        move |(input, frontier), output| {
            input.for_each_time(|time, containers| {
                let epoch = *time.time();
                // Few epochs wait at a time, and they come in order.
                let place = stash.binary_search_by_key(&epoch, |stashed| stashed.epoch);
                let place = place.unwrap_or_else(|place| {
                    let capability = time.retain(0);
                    stash.insert(place, Stashed { epoch, capability, rows: Vec::new() });
                    place
                });
                let rows = &mut stash[place].rows;
                for container in containers {
                    // An epoch is one container as a rule: taken as it is, not copied.
                    if rows.is_empty() {
                        std::mem::swap(rows, container);
                    } else {
                        rows.append(container);
                    }
                }
            });
            while stash.first().is_some_and(|first| !frontier.less_equal(&first.epoch)) {
                let Stashed { epoch, capability, mut rows } = stash.remove(0);
                logic(epoch, &mut rows, &mut changes);
                if !changes.is_empty() {
                    output.session(&capability).give_container(&mut changes);
                    changes.clear();
                }
            }
        }
    })
}

/// As [`per_epoch`], for logic that follows event time, of epochs that have rows or a clock. Its second
/// argument are the rows with their diffs, as they came, which it may leave there, and the newest clock;
/// `None` where none came.
pub(crate) fn per_epoch_with_clock<'s, R, O>(
    rows: StreamVec<'s, u64, (R, u64, isize)>,
    clock: StreamVec<'s, u64, Clock>,
    name: &str,
    mut logic: impl FnMut(u64, (&mut Vec<(R, isize)>, Option<Clock>), &mut Vec<O>) + 'static,
) -> StreamVec<'s, u64, O>
where
    R: Clone + 'static,
    O: ExchangeData,
{
    let rows = rows.map(|(row, _, diff)| Timed::Row(row, diff));
    let mut held = Vec::new();
    per_epoch(rows.concat(clock.map(Timed::Clock)), name, move |epoch, inputs, out| {
        let mut newest: Option<Clock> = None;
        for input in inputs.drain(..) {
            match input {
                Timed::Row(row, diff) => held.push((row, diff)),
                Timed::Clock(clock) => newest = newest.take().max(Some(clock)),
            }
        }
        logic(epoch, (&mut held, newest), out);
        held.clear();
    })
}

/// A row with its diff, or the clock.
#[derive(Clone)]
enum Timed<R> {
    Row(R, isize),
    Clock(Clock),
}

/// The input of an epoch that isn't complete yet, with the right to answer it.
struct Stashed<I> {
    epoch: u64,
    capability: Capability<u64>,
    rows: Vec<I>,
}
