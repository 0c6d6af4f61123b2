//! Marks as of the grid's steps: for each asset and step before which it had a mark row, the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, InputCapability};
use types::changes::consolidate;
use types::json::write_row;
use types::relations::{Fill, Mark, Quote, Settlement, Trade};
use types::sabotage::{Safeguard, is_out};
use types::{AssetId, Names, Price, Schema, Span, VenueTime};

use super::past::BySteps;
use super::prepare::MarkKind;
use super::ticks::{Print, Ticks};
use crate::edge::Edge;
use crate::plan::Context;
use crate::route::route_asset;

/// What marks are made of.
pub(super) struct Sources<'e, 's> {
    /// Quotes, trades or fills.
    pub(super) prices: Option<&'e Edge<'s>>,
    /// Payouts.
    pub(super) settlements: Option<&'e Edge<'s>>,
}

/// What an epoch brings, in the containers that it came in.
#[derive(Default)]
struct Input {
    quotes: Vec<Vec<(Quote, u64, isize)>>,
    prints: Vec<Vec<(Print, isize)>>,
    settlements: Vec<(Settlement, isize)>,
}

/// The marks of each asset on its worker, with +1 or -1.
pub(super) fn build<'s>(
    kind: MarkKind,
    grid: Span,
    context: &Context<'s, '_>,
    sources: &Sources<'_, 's>,
) -> StreamVec<'s, u64, (Mark, u64, isize)> {
    let name = format!("view {}: marks", context.view);
    let mut builder = OperatorBuilder::new(name, context.scope);
    let (mut quotes, mut prints) = (None, None);
    match (kind, sources.prices) {
        (MarkKind::Last, Some(edge)) => {
            let by_asset = Exchange::new(|(print, _): &(Print, isize)| route_asset(print.asset));
            prints = Some(builder.new_input(all_prints(edge), by_asset));
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
    let (output, stream) = builder.new_output::<Vec<(Mark, u64, isize)>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(output);
    let mut marks = Marks {
        kind,
        grid,
        names: Arc::clone(&context.names),
        quote_schema: Quote::schema(),
        assets: FxHashMap::default(),
    };
    builder.build(move |_| {
        let mut stash: BTreeMap<u64, (Capability<u64>, Input)> = BTreeMap::new();
        move |frontiers| {
            let start = |time: &InputCapability<u64>| (time.retain(0), Input::default());
            if let Some(quotes) = &mut quotes {
                quotes.for_each_time(|time, containers| {
                    let (_, input) = stash.entry(*time.time()).or_insert_with(|| start(&time));
                    input.quotes.extend(containers.map(std::mem::take));
                });
            }
            if let Some(prints) = &mut prints {
                prints.for_each_time(|time, containers| {
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
                let (epoch, (capability, input)) = entry.remove_entry();
                let mut told = Vec::new();
                marks.take(input, |mark, diff| told.push((mark, epoch, diff)));
                if !told.is_empty() {
                    output.activate().session(&capability).give_container(&mut told);
                }
            }
        }
    });
    stream
}

/// The trades at a price of an edge of fills or trades.
///
/// # Panics
/// If the plan let another kind through.
fn all_prints<'s>(edge: &Edge<'s>) -> StreamVec<'s, u64, (Print, isize)> {
    match edge {
        Edge::Fills(fills) => {
            let print = |(fill, _, diff): (Fill, u64, isize)| Some((Print::of_fill(&fill)?, diff));
            fills.inner.clone().flat_map(print)
        }
        other => {
            let trades = other.trades().inner;
            trades.map(|(trade, _, diff): (Trade, u64, isize)| (Print::of_trade(&trade), diff))
        }
    }
}

/// The mark rows of a worker's assets.
struct Marks {
    kind: MarkKind,
    grid: Span,
    names: Arc<Names>,
    quote_schema: Schema,
    assets: FxHashMap<AssetId, Asset>,
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
    fn take(&mut self, input: Input, mut tell: impl FnMut(Mark, isize)) {
        let Input { quotes, prints, mut settlements } = input;
        let mut touched: Vec<(AssetId, VenueTime)> = Vec::new();
        // Quotes are never taken back, and one that repeats says nothing new.
        for (quote, _, _) in quotes.into_iter().flatten().filter(|(_, _, diff)| *diff > 0) {
            let asset = quote.asset;
            touched.extend(self.take_quote(quote).map(|step| (asset, step)));
        }
        // Inside an epoch, a removal may come before what it removes.
        let passes = if is_out(Safeguard::MarksAdditionsFirst) { [-1, 1] } else { [1, -1] };
        for pass in passes {
            let prints = prints.iter().flatten();
            for (print, diff) in prints.filter(|(_, diff)| diff.signum() == pass) {
                self.take_print(print, *diff);
                touched.push((print.asset, print.tick.time.next_step(self.grid)));
            }
        }
        drop(prints);
        consolidate(&mut settlements);
        // What is taken back comes first, so that the new payout stands.
        settlements.sort_by_key(|(_, diff)| *diff);
        for (row, diff) in settlements {
            let steps = self.take_settlement(&row, diff);
            touched.extend(steps.into_iter().map(|step| (row.asset, step)));
        }
        touched.sort_unstable();
        touched.dedup();
        for (asset, step) in touched {
            self.tell(asset, step, &mut tell);
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

    /// Takes a trade in or out.
    fn take_print(&mut self, print: &Print, diff: isize) {
        let ticks = &mut self.assets.entry(print.asset).or_default().ticks;
        for _ in 0..diff.unsigned_abs() {
            if diff > 0 {
                ticks.insert(print.tick, &self.names);
            } else {
                ticks.remove(&print.tick, &self.names);
            }
        }
    }

    /// Takes a payout in or out; gives the steps whose marks it may change.
    fn take_settlement(&mut self, row: &Settlement, diff: isize) -> Vec<VenueTime> {
        let grid = self.grid;
        let asset = self.assets.entry(row.asset).or_default();
        asset.settlement = (diff > 0).then_some((row.event_time, row.payout));
        asset.steps_from(row.event_time.next_step(grid), grid)
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
    use types::{EventId, Size};

    use super::*;

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
        let mut marks = Marks {
            kind: MarkKind::Last,
            grid: Span::parse("1m").unwrap(),
            names: crate::operators::testing::no_names(),
            quote_schema: Quote::schema(),
            assets: FxHashMap::default(),
        };
        let print = || Print::of_trade(&trade);
        let prints = vec![vec![(print(), -1)], vec![(print(), 1)]];
        let mut told = Vec::new();
        marks.take(Input { prints, ..Input::default() }, |mark, diff| told.push((mark, diff)));
        assert_eq!(told, []);
    }

    #[test]
    fn a_removal_may_come_before_what_it_removes() {
        check();
    }

    #[cfg(feature = "sabotage")]
    crate::operators::testing::noticed! {
        additions_before_removals: MarksAdditionsFirst by 1 of |_| check();
    }
}
