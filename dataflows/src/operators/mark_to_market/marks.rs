//! Marks as of the grid's steps: for each asset and step before which it had a mark row, the last; and
//! the last of all, as of the current epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};
use types::changes::consolidate;
use types::json::write_row;
use types::relations::{Identity, Mark, MarkNow, Quote, Settlement};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Names, Price, Schema, Span, VenueTime};

use super::past::BySteps;
use super::prepare::MarkKind;
use super::prints::{Change, Print, prints};
use super::ticks::{Tick, Ticks};
use crate::edge::Edge;
use crate::operators::identities::{Held, Holder, Identities};
use crate::plan::Context;
use crate::route::route_asset;

/// What marks are made of.
pub(super) struct Sources<'e, 's> {
    /// Quotes, trades or fills.
    pub(super) prices: Option<&'e Edge<'s>>,
    /// Whether events of trades or fills, where they are read as such, can replace and remove one
    /// another.
    pub(super) has_corrections: bool,
    /// Payouts.
    pub(super) settlements: Option<&'e Edge<'s>>,
}

/// What an epoch brings, in the containers that it came in.
#[derive(Default)]
struct Input {
    quotes: Vec<Vec<(Quote, u64, isize)>>,
    prints: Vec<Vec<Print>>,
    settlements: Vec<(Settlement, isize)>,
}

/// A row, its epoch and its change of multiplicity.
type Update<R> = (R, u64, isize);

/// The marks of each asset on its worker, with +1 or -1: as of the grid's steps, and the newest where
/// they are read.
pub(super) fn build<'s>(
    kind: MarkKind,
    (grid, tells_newest): (Span, bool),
    context: &Context<'s, '_>,
    sources: &Sources<'_, 's>,
) -> (StreamVec<'s, u64, Update<Mark>>, StreamVec<'s, u64, Update<MarkNow>>) {
    let name = format!("view {}: marks", context.view);
    let mut builder = OperatorBuilder::new(name, context.scope);
    let (mut quotes, mut printed) = (None, None);
    match (kind, sources.prices) {
        (MarkKind::Last, Some(edge)) => {
            let by_asset = Exchange::new(|print: &Print| route_asset(print.asset));
            let prints = prints(edge, sources.has_corrections);
            printed = Some(builder.new_input(prints, by_asset));
        }
        (_, Some(edge)) => {
            let by_asset =
                Exchange::new(|(row, _, _): &(Quote, u64, isize)| route_asset(row.asset));
            quotes = Some(builder.new_input(edge.quotes().inner, by_asset));
        }
        (_, None) => {}
    }
    let mut settlements = sources.settlements.map(|edge| {
        let by_asset =
            Exchange::new(|(row, _, _): &(Settlement, u64, isize)| route_asset(row.asset));
        builder.new_input(edge.settlements().inner, by_asset)
    });
    let (output, stream) = builder.new_output::<Vec<Update<Mark>>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(output);
    let (newest, newest_stream) = builder.new_output::<Vec<Update<MarkNow>>>();
    let mut newest = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(newest);
    let mut marks = Marks::new(kind, grid, Arc::clone(&context.names), sources.has_corrections);
    marks.tells_newest = tells_newest;
    builder.build(move |_| {
        let mut stash: BTreeMap<u64, ([Capability<u64>; 2], Input)> = BTreeMap::new();
        move |frontiers| {
            let start =
                |time: &InputCapability<u64>| ([time.retain(0), time.retain(1)], Input::default());
            if let Some(quotes) = &mut quotes {
                quotes.for_each_time(|time, containers| {
                    let (_, input) = stash.entry(*time.time()).or_insert_with(|| start(&time));
                    input.quotes.extend(containers.map(std::mem::take));
                });
            }
            if let Some(printed) = &mut printed {
                printed.for_each_time(|time, containers| {
                    let (_, input) = stash.entry(*time.time()).or_insert_with(|| start(&time));
                    input.prints.extend(containers.map(std::mem::take));
                });
            }
            if let Some(settlements) = &mut settlements {
                settlements.for_each_time(|time, containers| {
                    let (_, input) = stash.entry(*time.time()).or_insert_with(|| start(&time));
                    let rows = containers.flat_map(|container| container.drain(..));
                    input.settlements.extend(rows.map(|(row, _, diff)| (row, diff)));
                });
            }
            while let Some(entry) = stash.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, ([capability, of_newest], input)) = entry.remove_entry();
                let mut told = Told::default();
                marks.take(input, epoch, &mut told);
                if !told.marks.is_empty() {
                    output.activate().session(&capability).give_container(&mut told.marks);
                }
                if !told.newest.is_empty() {
                    newest.activate().session(&of_newest).give_container(&mut told.newest);
                }
            }
        }
    });
    (stream, newest_stream)
}

/// What an epoch changed.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Marks as of steps.
    marks: Vec<Update<Mark>>,
    /// The newest marks.
    newest: Vec<Update<MarkNow>>,
}

/// The mark rows of a worker's assets.
struct Marks {
    kind: MarkKind,
    grid: Span,
    names: Arc<Names>,
    quote_schema: Schema,
    assets: FxHashMap<AssetId, Asset>,
    /// Where events can replace and remove one another.
    identities: Option<Box<Identities<Tick>>>,
    /// The steps of an epoch at which marks may have changed.
    touched: Vec<(AssetId, VenueTime)>,
    /// Whether the newest marks are told too.
    tells_newest: bool,
}

/// One asset's mark rows.
#[derive(Default)]
struct Asset {
    /// The last quote with two sides before each step. Quotes aren't corrected, so the others can't
    /// matter again.
    quotes: BTreeMap<VenueTime, Quote>,
    /// All trades: a removed one shows the one before it.
    ticks: Ticks,
    settlement: Option<(VenueTime, Price)>,
    /// The marks that were told.
    told: BySteps<Mark>,
}

impl Marks {
    fn new(kind: MarkKind, grid: Span, names: Arc<Names>, has_corrections: bool) -> Self {
        let identities = has_corrections.then(|| Box::new(Identities::new()));
        let (quote_schema, assets) = (Quote::schema(), FxHashMap::default());
        let (touched, tells_newest) = (Vec::new(), false);
        Self { kind, grid, names, quote_schema, assets, identities, touched, tells_newest }
    }

    fn take(&mut self, input: Input, epoch: u64, told: &mut Told) {
        let Input { quotes, prints, mut settlements } = input;
        // Quotes are never taken back, and one that repeats says nothing new.
        for (quote, _, _) in quotes.into_iter().flatten().filter(|(_, _, diff)| *diff > 0) {
            let asset = quote.asset;
            let step = self.take_quote(quote);
            self.touched.extend(step.map(|step| (asset, step)));
        }
        self.take_prints(&prints);
        drop(prints);
        consolidate(&mut settlements);
        // What is taken back comes first, so that the new payout stands.
        settlements.sort_by_key(|(_, diff)| *diff);
        for (row, diff) in settlements {
            let steps = self.take_settlement(&row, diff);
            self.touched.extend(steps.into_iter().map(|step| (row.asset, step)));
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for steps in touched.chunk_by(|a, b| a.0 == b.0) {
            let asset = steps[0].0;
            let before = self.newest(asset);
            for (_, step) in steps {
                self.tell(asset, *step, &mut |mark, diff| told.marks.push((mark, epoch, diff)));
            }
            let now = self.newest(asset);
            if before != now {
                told.newest.extend(before.map(|mark| (mark, epoch, -1)));
                told.newest.extend(now.map(|mark| (mark, epoch, 1)));
            }
        }
        touched.clear();
        self.touched = touched;
    }

    /// The last mark of an asset, where it is told.
    fn newest(&self, asset: AssetId) -> Option<MarkNow> {
        let asset = self.assets.get(&asset).filter(|_| self.tells_newest)?;
        let Mark { asset, long_twice, short_twice, mark_time, .. } =
            *asset.told.as_of(VenueTime::END)?;
        Some(MarkNow { asset, long_twice, short_twice, mark_time })
    }

    /// Takes an epoch's trades: rows or events, never both.
    fn take_prints(&mut self, prints: &[Vec<Print>]) {
        if let Some(mut identities) = self.identities.take() {
            for print in prints.iter().flatten() {
                if let Change::Event(revision) = print.change {
                    identities.revise(print.identity(), revision, print.tick(), self);
                }
            }
            identities.settle(self);
            self.identities = Some(identities);
            return;
        }
        // Inside an epoch, a removal may come before what it removes.
        let passes = if is_out(Safeguard::MarksAdditionsFirst) { [-1, 1] } else { [1, -1] };
        for pass in passes {
            for print in prints.iter().flatten() {
                if let (Change::Row(diff), Some(tick)) = (print.change, print.tick())
                    && diff.signum() == pass
                {
                    self.change(print.asset, &tick, diff);
                }
            }
        }
    }

    /// Tells the mark of an asset's step where it differs from what was told.
    fn tell(&mut self, asset: AssetId, step: VenueTime, tell: &mut impl FnMut(Mark, isize)) {
        let Some(state) = self.assets.get_mut(&asset) else { return };
        let new = state.mark(asset, step, self.kind, self.grid);
        let old = state.told.at(step);
        if old == new.as_ref() {
            return;
        }
        if let Some(old) = old {
            tell(old.clone(), -1);
        }
        if let Some(new) = &new {
            tell(new.clone(), 1);
        }
        state.told.set(step, new);
    }

    /// Keeps a quote where it is its step's last; gives the step.
    fn take_quote(&mut self, quote: Quote) -> Option<VenueTime> {
        quote.both_sides()?;
        let step = quote.event_time.next_step(self.grid);
        let kept = self.assets.entry(quote.asset).or_default().quotes.entry(step);
        match kept {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(quote);
            }
            std::collections::btree_map::Entry::Occupied(mut kept) => {
                let order = |q: &Quote| (q.event_time, q.seq);
                let text = |q: &Quote| {
                    let mut text = Vec::new();
                    write_row(&mut text, q, &self.quote_schema, &self.names);
                    text
                };
                let is_later = order(&quote)
                    .cmp(&order(kept.get()))
                    .then_with(|| text(&quote).cmp(&text(kept.get())))
                    .is_gt();
                if !is_later {
                    return None;
                }
                kept.insert(quote);
            }
        }
        Some(step)
    }

    /// Takes a payout in or out; gives the steps whose marks it may change.
    fn take_settlement(&mut self, row: &Settlement, diff: isize) -> Vec<VenueTime> {
        let grid = self.grid;
        let asset = self.assets.entry(row.asset).or_default();
        asset.settlement = (diff > 0).then_some((row.event_time, row.payout));
        asset.steps_from(row.event_time.next_step(grid), grid)
    }
}

impl Held for Tick {
    fn time(&self) -> VenueTime {
        self.time
    }
}

impl Holder for Marks {
    type Tick = Tick;

    fn change(&mut self, asset: AssetId, tick: &Tick, diff: isize) {
        let ticks = &mut self.assets.entry(asset).or_default().ticks;
        for _ in 0..diff.unsigned_abs() {
            if diff > 0 {
                ticks.insert(*tick, &self.names);
            } else {
                ticks.remove(tick, &self.names);
            }
        }
        self.touched.push((asset, tick.time.next_step(self.grid)));
    }

    fn find(&self, identity: Identity, (from, to): (VenueTime, VenueTime)) -> Option<Tick> {
        let ticks = &self.assets.get(&identity.asset?)?.ticks;
        ticks.between(from, to).find(|tick| tick.is_of(identity)).copied()
    }
}

impl Asset {
    /// The step and all later ones before which the asset has mark rows.
    fn steps_from(&self, first: VenueTime, grid: Span) -> Vec<VenueTime> {
        let mut steps = vec![first];
        steps.extend(self.told.range(first, VenueTime::END).iter().map(|(step, _)| *step));
        steps.extend(self.quotes.range(first..).map(|(step, _)| *step));
        let mut from = first.less(grid.nanos());
        while let Some(tick) = self.ticks.from(from) {
            from = tick.time.next_step(grid);
            steps.push(from);
        }
        steps
    }

    /// The mark that the rows of a step give.
    fn mark(&self, asset: AssetId, step: VenueTime, kind: MarkKind, grid: Span) -> Option<Mark> {
        let mark = |long: i64, short: i64, mark_time| {
            Some(Mark { step, asset, long_twice: long, short_twice: short, mark_time })
        };
        if let Some((time, payout)) = self.settlement {
            let settled = time.next_step(grid);
            if step == settled {
                return mark(payout.raw() * 2, payout.raw() * 2, time);
            }
            if step > settled {
                return None;
            }
        }
        if kind == MarkKind::Last {
            let tick = self.ticks.before(step)?;
            if tick.time < step.less(grid.nanos()) {
                return None;
            }
            return mark(tick.price.raw() * 2, tick.price.raw() * 2, tick.time);
        }
        let quote = self.quotes.get(&step)?;
        let (bid, ask) = quote.both_sides()?;
        match kind {
            MarkKind::Mid => {
                let twice = bid.raw() + ask.raw();
                mark(twice, twice, quote.event_time)
            }
            MarkKind::BidAsk => mark(bid.raw() * 2, ask.raw() * 2, quote.event_time),
            MarkKind::Last | MarkKind::Settlement => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::relations::{Fill, Trade};
    use types::{Event, EventId, Size};

    use super::*;
    use crate::operators::identities::testing::{Events, Model, events, names};
    #[cfg(feature = "sabotage")]
    use crate::operators::testing::sample;
    use crate::revisions::Revision;

    /// A removal and an addition of one trade, in this order, in one epoch.
    fn check() {
        let trade = Trade {
            asset: AssetId(0),
            id: EventId::new("1"),
            market: None,
            price: Price::from_nano(5).unwrap(),
            size: Size::from_nano(1).unwrap(),
            side: None,
            maker_wallet: None,
            taker_wallet: None,
            event_time: VenueTime::from_nanos(1),
            seq: 0,
            revision: 0,
        };
        let names = crate::operators::testing::no_names();
        let mut marks = Marks::new(MarkKind::Last, Span::parse("1m").unwrap(), names, false);
        let print = |diff| Print::of_trade(&trade, Change::Row(diff));
        let prints = vec![vec![print(-1)], vec![print(1)]];
        let mut told = Told::default();
        marks.take(Input { prints, ..Input::default() }, 0, &mut told);
        assert_eq!(told, Told::default());
    }

    #[test]
    fn a_removal_may_come_before_what_it_removes() {
        check();
    }

    /// Marks made from events of identities are those made from the rows that stand.
    fn check_events(events: &Events) {
        let new = |has_corrections| {
            let grid = Span::parse("1m").unwrap();
            let marks = Marks::new(MarkKind::Last, grid, names(), has_corrections);
            Marks { tells_newest: true, ..marks }
        };
        let (mut by_events, mut by_rows, mut model) = (new(true), new(false), Model::default());
        for (index, epoch) in events.epochs.iter().enumerate() {
            let (events, rows) = model.take(events, epoch);
            let event = |event: &Event<Fill>| {
                Print::of_fill(&event.row, Change::Event(Revision::of(event)))
            };
            let row = |(fill, diff): &(Fill, isize)| Print::of_fill(fill, Change::Row(*diff));
            let told = |marks: &mut Marks, prints: Vec<Print>| {
                let mut told = Told::default();
                let input = Input { prints: vec![prints], ..Input::default() };
                marks.take(input, 0, &mut told);
                told
            };
            let given = told(&mut by_events, events.iter().map(event).collect());
            let expected = told(&mut by_rows, rows.iter().map(row).collect());
            assert_eq!(given, expected, "epoch {index}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_stands_of_identities_is_marked(events in events()) {
            check_events(&events);
        }
    }

    #[cfg(feature = "sabotage")]
    fn identities(seed: u64) {
        check_events(&sample(&events(), seed));
    }

    #[cfg(feature = "sabotage")]
    crate::operators::testing::noticed! {
        ticks_of_one_second: TicksCompared by 2_000 of identities;
        what_is_remembered_of_revisions: RevisionsKept by 50 of identities;
        additions_before_removals: MarksAdditionsFirst by 1 of |_| check();
    }
}
