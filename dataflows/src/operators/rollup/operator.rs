//! The timely operator: rows and clocks in, bars and errors out, an epoch at a time.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::empty;
use types::relations::Bar;
use types::{AssetId, Event, Row, VenueTime};

use super::bars::Bars;
use super::show::Told;
use super::tick::Printed;
use crate::clock::Clock;
use crate::edge::Edge;
use crate::revisions::Revision;
use crate::route::route_asset;

/// Changes as they flow.
type Changes<R> = Vec<(R, u64, isize)>;

/// What came of an epoch that isn't complete.
struct Epoch<I> {
    /// For bars and, where they are read, for errors.
    capabilities: (Capability<u64>, Option<Capability<u64>>),
    rows: Vec<Vec<I>>,
    watermark: Option<VenueTime>,
}

/// What the operator may read its ticks from.
pub(super) trait Incoming: ExchangeData {
    /// What is traded.
    fn asset(&self) -> AssetId;

    /// Takes it in.
    fn enter(&self, bars: &mut Bars);
}

/// Events as they come: which of them stand is settled here.
impl<R: Printed> Incoming for Event<R> {
    fn asset(&self) -> AssetId {
        self.row.asset()
    }

    #[inline]
    fn enter(&self, bars: &mut Bars) {
        let revision = Revision::of(self);
        if let Some(plain) = self.row.plain().filter(|_| revision.is_first && revision.is_plain()) {
            return bars.enter_plain(self.row.identity(), &plain);
        }
        bars.revise(self.row.identity(), revision, self.row.tick());
    }
}

/// Rows of a view.
impl<R: Printed> Incoming for (R, u64, isize) {
    fn asset(&self) -> AssetId {
        self.0.asset()
    }

    #[inline]
    fn enter(&self, bars: &mut Bars) {
        if let Some(plain) = self.0.plain().filter(|_| self.2 == 1) {
            bars.take_plain(self.0.asset(), &plain);
        } else if let Some(tick) = self.0.tick() {
            bars.take(self.0.asset(), &tick, self.2);
        }
    }
}

/// Adds the operator to a dataflow: each asset's bars stand on one worker. Containers stay as they
/// come, and what an epoch changes leaves in one. Without `reads_errors` there is no output for them:
/// each costs every epoch its share of timely's accounts.
pub(super) fn build<'s, I: Incoming>(
    rows: StreamVec<'s, u64, I>,
    clock: StreamVec<'s, u64, Clock>,
    name: String,
    mut bars: Bars,
    reads_errors: bool,
) -> Vec<Edge<'s>> {
    let scope = clock.scope();
    let mut builder = OperatorBuilder::new(name, scope);
    let by_asset = Exchange::new(|row: &I| route_asset(row.asset()));
    let mut rows = builder.new_input(rows, by_asset);
    let mut clocks = builder.new_input(clock, Pipeline);
    let (output, bars_out) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Changes<Bar>>>::from(output);
    let (errors, errors_out) = reads_errors.then(|| builder.new_output()).unzip();
    let mut errors = errors.map(OutputBuilder::<_, CapacityContainerBuilder<Changes<Row>>>::from);
    let errors_out = errors_out.unwrap_or_else(|| empty(scope));
    builder.build(move |_| {
        let mut epochs: BTreeMap<u64, Epoch<I>> = BTreeMap::new();
        move |frontiers| {
            rows.for_each_time(|time, containers| {
                let capabilities = || (time.retain(0), reads_errors.then(|| time.retain(1)));
                let epoch = epochs.entry(*time.time()).or_insert_with(|| Epoch::new(capabilities));
                epoch.rows.extend(containers.map(std::mem::take));
            });
            clocks.for_each_time(|time, containers| {
                let capabilities = || (time.retain(0), reads_errors.then(|| time.retain(1)));
                let epoch = epochs.entry(*time.time()).or_insert_with(|| Epoch::new(capabilities));
                let clocks = containers.flat_map(std::mem::take);
                epoch.watermark = clocks.map(|clock| clock.watermark).max().max(epoch.watermark);
            });
            let mut output = output.activate();
            while let Some(entry) = epochs.first_entry() {
                let epoch = *entry.key();
                if frontiers.iter().any(|frontier| frontier.less_equal(&epoch)) {
                    break;
                }
                let Epoch { capabilities: (for_bars, for_errors), rows, watermark } =
                    entry.remove();
                let Told { bars: mut changed, errors: mut failed, .. } =
                    run(&mut bars, epoch, rows, watermark);
                if !changed.is_empty() {
                    output.session(&for_bars).give_container(&mut changed);
                }
                if let (Some(errors), Some(capability)) = (&mut errors, for_errors)
                    && !failed.is_empty()
                {
                    errors.activate().session(&capability).give_container(&mut failed);
                }
            }
        }
    });
    vec![Edge::Bars(bars_out.as_collection()), Edge::Rows(errors_out.as_collection())]
}

impl<I> Epoch<I> {
    fn new(capabilities: impl FnOnce() -> (Capability<u64>, Option<Capability<u64>>)) -> Self {
        Self { capabilities: capabilities(), rows: Vec::new(), watermark: None }
    }
}

/// Takes a whole epoch in; gives what it changes.
fn run<I: Incoming>(
    bars: &mut Bars,
    epoch: u64,
    rows: Vec<Vec<I>>,
    watermark: Option<VenueTime>,
) -> Told {
    bars.start(watermark);
    for container in rows {
        for row in &container {
            row.enter(bars);
        }
    }
    let mut told = Told::new(epoch);
    bars.finish(&mut told);
    told
}
