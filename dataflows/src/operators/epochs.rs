//! The frame of our own operators: all of an epoch's input at once, in epoch order.

use std::collections::BTreeMap;

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
        let mut stash: BTreeMap<u64, (Capability<u64>, Vec<I>)> = BTreeMap::new();
        let mut changes = Vec::new();
        move |(input, frontier), output| {
            input.for_each_time(|time, containers| {
                let epoch = *time.time();
                let (_, rows) = stash.entry(epoch).or_insert_with(|| (time.retain(0), Vec::new()));
                for container in containers {
                    rows.append(container);
                }
            });
            while let Some(entry) = stash.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, mut rows)) = entry.remove_entry();
                logic(epoch, &mut rows, &mut changes);
                if !changes.is_empty() {
                    output.session(&capability).give_container(&mut changes);
                    changes = Vec::new();
                }
            }
        }
    })
}
