//! The frame of our own operators: all of an epoch's input at once, in epoch order.

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::Operator;

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

/// The input of an epoch that isn't complete yet, with the right to answer it.
struct Stashed<I> {
    epoch: u64,
    capability: Capability<u64>,
    rows: Vec<I>,
}
