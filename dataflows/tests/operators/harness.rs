//! Runs plans over random histories.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dataflows::inputs::{Events, Share};
use dataflows::operators::alert::ALERT;
use dataflows::operators::{OPERATORS, Operator};
use dataflows::plan::RelationSpec;
use dataflows::render::render;
use dataflows::{Clock, Plan, PlanBuilder};
use proptest::prelude::*;
use types::options::{OptionKind, Problem, Setting, Settings};
use types::relations::{Fill, FillKind, Quote, RelationKind, Settlement, Side, Trade};
use types::{Changes, Event, Interner, Money, Names, Op, Price, Schema, Size, Span, VenueTime};

/// The rows of changes that add up to one each.
#[macro_export]
macro_rules! rows {
    ($variant:ident, $changes:expr) => {
        match $changes {
            types::Changes::$variant(rows) => {
                rows.into_iter().map(|(row, _)| row).collect::<Vec<_>>()
            }
            other => panic!("other rows: {other:?}"),
        }
    };
}

pub(crate) const FILLS: usize = 0;
pub(crate) const TRADES: usize = 1;
pub(crate) const QUOTES: usize = 2;
pub(crate) const SETTLEMENTS: usize = 3;

/// All histories start here: a Monday, so that weeks start too.
pub(crate) const START: i64 = 1_767_571_200_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) fn at(second: i64) -> VenueTime {
    VenueTime::from_nanos(START + second * SECOND)
}

pub(crate) fn price(nano: i128) -> Price {
    Price::from_nano(nano).unwrap()
}

pub(crate) fn size(nano: i128) -> Size {
    Size::from_nano(nano).unwrap()
}

/// The dictionary of all tests: wallets whose texts order unlike their numbers, also escaped.
pub(crate) fn interner() -> Interner {
    let mut interner = Interner::new(true);
    for wallet in ["zed", "amy", "amy!", "b\"ob"] {
        interner.sym(wallet);
    }
    for asset in ["B", "A", "C"] {
        interner.asset("x", asset);
    }
    // Ids that are text order by their digest, and twins read that from the text.
    for id in 0..10 {
        interner.event_id(&format!("t{id}"));
    }
    interner
}

pub(crate) fn wallet(interner: &mut Interner, index: u8) -> types::Sym {
    interner.sym(["zed", "amy", "amy!", "b\"ob"][usize::from(index % 4)])
}

pub(crate) fn asset(interner: &mut Interner, index: u8) -> types::AssetId {
    interner.asset("x", ["B", "A", "C"][usize::from(index % 3)])
}

/// One event of any relation.
#[derive(Clone, Debug)]
pub(crate) enum Any {
    Fill(Event<Fill>),
    Trade(Event<Trade>),
    Quote(Event<Quote>),
    Settlement(Event<Settlement>),
}

impl Any {
    /// Its time and relation, unless it is a bust.
    fn time(&self) -> Option<(usize, VenueTime)> {
        let (op, relation, time) = match self {
            Self::Fill(e) => (e.op, FILLS, e.row.event_time),
            Self::Trade(e) => (e.op, TRADES, e.row.event_time),
            Self::Quote(e) => (e.op, QUOTES, e.row.event_time),
            Self::Settlement(e) => (e.op, SETTLEMENTS, e.row.event_time),
        };
        (op != Op::Bust).then_some((relation, time))
    }
}

fn specs() -> Vec<RelationSpec> {
    let kinds = [
        ("fills", RelationKind::Fills),
        ("trades", RelationKind::Trades),
        ("quotes", RelationKind::Quotes),
        ("settlements", RelationKind::Settlements),
    ];
    let spec = |(name, kind): (&str, RelationKind)| RelationSpec {
        name: name.to_owned(),
        kind,
        schema: kind.schema().unwrap().shared(),
        has_corrections: kind.has_corrections(),
    };
    kinds.into_iter().map(spec).collect()
}

/// The options of a view as a config would give them: lists are split at commas.
pub(crate) fn settings(operator: &dyn Operator, pairs: &[(&'static str, &str)]) -> Settings {
    let mut settings = Settings::new(0..0);
    for (name, value) in pairs {
        let kind = operator.options().iter().find(|o| o.name == *name).map(|o| o.kind);
        let setting = match kind {
            Some(OptionKind::Duration) => Setting::Duration(Span::parse(value).unwrap()),
            Some(OptionKind::DurationOrZero) => {
                Setting::Nanos(types::time::parse_nanos(value).unwrap())
            }
            Some(OptionKind::Durations | OptionKind::Columns | OptionKind::Texts) => {
                let texts = value.split(',').filter(|text| !text.is_empty());
                Setting::List(texts.map(|text| (text.to_owned(), 0..0)).collect())
            }
            Some(OptionKind::Count(..)) => Setting::Count(value.parse().unwrap()),
            Some(OptionKind::Bool) => Setting::Bool(value.parse().unwrap()),
            Some(OptionKind::Assignments) => {
                let parts = value.split(',').map(|part| part.split_once(':').unwrap());
                let part =
                    |(name, text): (&str, &str)| (name.trim().into(), text.trim().into(), 0..0);
                Setting::Assignments(parts.map(part).collect())
            }
            _ => Setting::Text((*value).to_owned()),
        };
        settings.set(name, setting, 0..0);
    }
    settings
}

/// A view of a plan in a test: name, operator, options.
pub(crate) type ViewSpec<'a> = (&'a str, &'a str, &'a [(&'static str, &'a str)]);

/// Prepares one view alone over the four relations and the views before it.
pub(crate) fn prepare(
    builder: &mut PlanBuilder,
    (name, op, pairs): ViewSpec<'_>,
) -> Result<(), Vec<Problem>> {
    let operators = OPERATORS.iter().chain([&ALERT]);
    let operator = operators.into_iter().find(|o| o.name() == op).unwrap();
    let prepared = operator.prepare(&settings(*operator, pairs), builder)?;
    builder.add(name, operator.name(), prepared);
    Ok(())
}

pub(crate) fn builder() -> PlanBuilder {
    PlanBuilder::new(specs())
}

pub(crate) fn plan(views: &[ViewSpec<'_>], emitted: &[&str]) -> Plan {
    let mut builder = builder();
    for view in views {
        prepare(&mut builder, *view).unwrap();
    }
    builder.finish(emitted.iter().copied())
}

/// What a run gave: for each epoch each emitted view's changes, consolidated over all workers.
pub(crate) type Epochs = Vec<Vec<Changes>>;

/// Epochs with the clock at their ends; the last is the end of all input.
pub(crate) fn clocks(epochs: &[Vec<Any>], lateness: i64, ends: bool) -> Vec<Arc<Clock>> {
    let mut greatest = vec![VenueTime::MIN; 4];
    let mut clocks = Vec::new();
    for (index, events) in epochs.iter().enumerate() {
        for (relation, time) in events.iter().filter_map(Any::time) {
            greatest[relation] = greatest[relation].max(time);
        }
        let latest = greatest.iter().copied().max().unwrap();
        let watermark =
            if ends && index + 1 == epochs.len() { VenueTime::END } else { latest.less(lateness) };
        clocks.push(Arc::new(Clock { watermark, greatest: greatest.clone().into() }));
    }
    clocks
}

/// Runs a plan on some workers.
pub(crate) fn run(
    plan: Plan,
    names: &Arc<Names>,
    epochs: &[Vec<Any>],
    clocks: &[Arc<Clock>],
    n_workers: usize,
) -> Epochs {
    let plan = Arc::new(plan);
    let shares: Vec<Mutex<Vec<Share>>> = shares(&plan, epochs, clocks, n_workers);
    let shares = Arc::new(shares);
    let (n_epochs, names) = (epochs.len(), Arc::clone(names));
    let config = timely::Config::process(n_workers);
    let keyed: Vec<_> =
        plan.emitted_views().map(|v| v.is_keyed.then(|| Arc::clone(&v.schema))).collect();
    let guards = timely::execute(config, move |worker| {
        let mut rendered = render(worker, &plan, &names, None);
        let mine = std::mem::take(&mut *shares[worker.index()].lock().unwrap());
        for mut share in mine {
            rendered.inputs.feed(&mut share);
            worker.step();
        }
        drop(rendered.inputs);
        while worker.step_or_park(None) {}
        (0..n_epochs).map(|e| rendered.outputs.take(u64::try_from(e).unwrap())).collect::<Vec<_>>()
    })
    .unwrap();
    let mut all: Epochs = vec![Vec::new(); n_epochs];
    for result in guards.join() {
        for (epoch, views) in result.unwrap().into_iter().enumerate() {
            if all[epoch].is_empty() {
                all[epoch] = views;
            } else {
                all[epoch].iter_mut().zip(views).for_each(|(view, more)| view.append(more));
            }
        }
    }
    for views in &mut all {
        for (view, schema) in views.iter_mut().zip(&keyed) {
            if let Some(schema) = schema {
                assert_paired(view, schema);
            }
            view.consolidate();
        }
    }
    all
}

/// Of each key the old row stands right before the new one, also where several workers make them.
fn assert_paired(changes: &Changes, schema: &Schema) {
    let mut paired = changes.clone();
    paired.adjoin(schema);
    assert_eq!(&paired, changes, "rows of a key stand apart, or change nothing");
}

fn shares(
    plan: &Plan,
    epochs: &[Vec<Any>],
    clocks: &[Arc<Clock>],
    n_workers: usize,
) -> Vec<Mutex<Vec<Share>>> {
    let shares: Vec<Mutex<Vec<Share>>> = (0..n_workers).map(|_| Mutex::default()).collect();
    for (epoch, (events, clock)) in epochs.iter().zip(clocks).enumerate() {
        let mut relations: Vec<Events> =
            plan.relations.iter().map(|spec| Events::empty(spec.kind)).collect();
        for event in events.iter().cloned() {
            match (event, &mut relations[..]) {
                (Any::Fill(e), [Events::Fills(rows), ..]) => rows.push(e),
                (Any::Trade(e), [_, Events::Trades(rows), ..]) => rows.push(e),
                (Any::Quote(e), [_, _, Events::Quotes(rows), _]) => rows.push(e),
                (Any::Settlement(e), [.., Events::Settlements(rows)]) => rows.push(e),
                other => panic!("relations stand in another order: {other:?}"),
            }
        }
        let mut cut: Vec<Vec<Events>> = vec![Vec::new(); n_workers];
        for (events, spec) in relations.into_iter().zip(&plan.relations) {
            for (worker, part) in events.cut(spec, n_workers).into_iter().enumerate() {
                cut[worker].push(part);
            }
        }
        for (worker, events) in cut.into_iter().enumerate() {
            let epoch = u64::try_from(epoch).unwrap();
            let share = Share { epoch, events, clock: Arc::clone(clock) };
            shares[worker].lock().unwrap().push(share);
        }
    }
    shares
}

/// What a view's changes add up to; each row must stand once.
pub(crate) fn total(epochs: &Epochs, view: usize) -> Changes {
    let mut all = Changes::empty(epochs[0][view].kind());
    for epoch in epochs {
        all.append(epoch[view].clone());
    }
    all.consolidate();
    assert!((0..all.len()).all(|i| all.diff(i) == 1), "rows stand more than once: {all:?}");
    all
}

/// A history as it arrives: shuffled within limits, with repeats taken out, cut into epochs.
pub(crate) fn history(
    events: impl Strategy<Value = Vec<Any>>,
) -> impl Strategy<Value = (Vec<Vec<Any>>, i64)> {
    (events.prop_shuffle(), 1..8usize, 0..200i64).prop_map(|(events, n_epochs, lateness)| {
        let length = events.len().div_ceil(n_epochs).max(1);
        let mut epochs: Vec<Vec<Any>> = events.chunks(length).map(<[Any]>::to_vec).collect();
        epochs.push(Vec::new());
        (epochs, lateness * SECOND)
    })
}

/// A seed of a row: asset, wallet, id, second, price, size, operation, revision.
pub(crate) type Seed = (u8, u8, u8, i64, i64, i64, u8, u8);

pub(crate) fn seeds(n: usize) -> impl Strategy<Value = Vec<Seed>> {
    let seed = (0..3u8, 0..4u8, 0..20u8, 0..900i64, 1..12i64, 1..9i64, 0..12u8, 0..3u8);
    prop::collection::vec(seed, 0..n)
}

fn op(code: u8) -> Op {
    match code {
        0..=8 => Op::Insert,
        9 => Op::Correct,
        _ => Op::Bust,
    }
}

pub(crate) fn fill(seed: &Seed, interner: &mut Interner) -> Event<Fill> {
    let (a, w, id, second, p, s, code, revision) = *seed;
    let kind = match id {
        18 => FillKind::Funding,
        19 => FillKind::Transfer,
        _ => FillKind::Trade,
    };
    let row = Fill {
        wallet: wallet(interner, w),
        asset: asset(interner, a),
        id: interner.event_id(&format!("{}{}", ["", "t"][usize::from(id % 2)], id / 2)),
        market: None,
        side: if s % 2 == 0 { Side::Buy } else { Side::Sell },
        price: (p != 1).then(|| price(i128::from(p) * 100_000_000)),
        size: size(i128::from(s) * 1_000_000_000),
        notional: (p <= 2 && !(id == 19 && s % 2 == 0))
            .then(|| Money::from_nano(i128::from(s * 333_333_333)).unwrap()),
        fee: (p == 5).then(|| Money::from_nano(i128::from(s) * 1_000_000).unwrap()),
        fee_asset: None,
        fee_counts: true,
        kind,
        liquidity: None,
        order_id: None,
        start_qty: None,
        event_time: at(second),
        seq: u64::from(id % 2),
        revision: u64::from(revision),
    };
    Event { op: op(code), revision: u64::from(revision), is_first: false, row }
}

pub(crate) fn trade(seed: &Seed, interner: &mut Interner) -> Event<Trade> {
    let (a, _, id, second, p, s, code, revision) = *seed;
    let row = Trade {
        asset: asset(interner, a),
        id: interner.event_id(&id.to_string()),
        market: None,
        price: price(i128::from(p) * 100_000_000),
        size: size(i128::from(s) * 1_000_000_000),
        side: None,
        maker_wallet: None,
        taker_wallet: None,
        event_time: at(second),
        seq: 0,
        revision: u64::from(revision),
    };
    Event { op: op(code), revision: u64::from(revision), is_first: false, row }
}

/// What stands of corrected events: the rule of SEMANTICS section 2, from all events at once. The
/// same identity, revision and operation must not come twice with other content.
pub(crate) fn standing<R: Clone, K: Ord + Clone>(
    events: &[Event<R>],
    key: impl Fn(&R) -> K,
) -> Vec<R> {
    let mut by_key: BTreeMap<K, Vec<&Event<R>>> = BTreeMap::new();
    for event in events {
        by_key.entry(key(&event.row)).or_default().push(event);
    }
    let stands = |events: Vec<&Event<R>>| {
        let busted = events.iter().filter(|e| e.op == Op::Bust).map(|e| e.revision).max();
        let rest = events.iter().filter(|e| e.op != Op::Bust);
        let best = rest.max_by_key(|e| (e.revision, e.op))?;
        busted.is_none_or(|busted| best.revision > busted).then(|| best.row.clone())
    };
    by_key.into_values().filter_map(stands).collect()
}

/// Keeps the first of each identity, revision and operation, as the sequencer does.
pub(crate) fn without_conflicts<R: Clone, K: Ord>(
    events: Vec<Event<R>>,
    key: impl Fn(&R) -> K,
) -> Vec<Event<R>> {
    let mut seen = std::collections::BTreeSet::new();
    events.into_iter().filter(|e| seen.insert((key(&e.row), e.revision, e.op))).collect()
}

pub(crate) fn quote(seed: &Seed, interner: &mut Interner) -> Event<Quote> {
    let (a, w, id, second, p, s, _, _) = *seed;
    let row = Quote {
        asset: asset(interner, a),
        market: None,
        bid: (s != 1).then(|| price(i128::from(p) * 100_000_001)),
        bid_size: (s > 4).then(|| size(i128::from(w) * 1_000_000_000)),
        ask: (s != 2).then(|| price(i128::from(p) * 100_000_000 + i128::from(id) * 1_000_001)),
        ask_size: (s % 2 == 1).then(|| size(i128::from(id) * 1_000_000_000 + 1)),
        event_time: at(second / 7 * 7),
        seq: u64::from(id % 2),
    };
    Event { op: Op::Insert, revision: 0, is_first: false, row }
}

pub(crate) fn settlement(seed: &Seed, interner: &mut Interner) -> Event<Settlement> {
    let (a, _, _, second, p, _, code, revision) = *seed;
    let revision = u64::from(revision);
    let row = Settlement {
        asset: asset(interner, a),
        payout: price(i128::from(p % 2) * 1_000_000_000),
        event_time: at(second),
        revision,
    };
    Event { op: op(code), revision, is_first: false, row }
}

/// The events of one relation.
pub(crate) fn only<T>(events: &[Any], pick: impl Fn(&Any) -> Option<T>) -> Vec<T> {
    events.iter().filter_map(pick).collect()
}

pub(crate) fn fills_of(events: &[Any]) -> Vec<Event<Fill>> {
    only(events, |e| if let Any::Fill(e) = e { Some(e.clone()) } else { None })
}

pub(crate) fn trades_of(events: &[Any]) -> Vec<Event<Trade>> {
    only(events, |e| if let Any::Trade(e) = e { Some(e.clone()) } else { None })
}

pub(crate) fn quotes_of(events: &[Any]) -> Vec<Event<Quote>> {
    only(events, |e| if let Any::Quote(e) = e { Some(e.clone()) } else { None })
}

pub(crate) fn settlements_of(events: &[Any]) -> Vec<Event<Settlement>> {
    only(events, |e| if let Any::Settlement(e) = e { Some(e.clone()) } else { None })
}

/// What stands after some epochs, of fills, trades and quotes.
pub(crate) struct Standing {
    pub(crate) fills: Vec<Fill>,
    pub(crate) trades: Vec<Trade>,
    pub(crate) quotes: Vec<Quote>,
}

/// What stands of all events of some epochs.
pub(crate) fn stands(epochs: &[Vec<Any>]) -> Standing {
    let events: Vec<Any> = epochs.iter().flatten().cloned().collect();
    Standing {
        fills: standing(&fills_of(&events), |fill| (fill.wallet, fill.asset, fill.id)),
        trades: standing(&trades_of(&events), |trade| (trade.asset, trade.id)),
        quotes: quotes_of(&events).into_iter().map(|event| event.row).collect(),
    }
}

/// Runs a history on 1, 2 and 4 workers, which must give the same.
pub(crate) fn run_on_all(
    plan: impl Fn() -> Plan,
    names: &Arc<Names>,
    epochs: &[Vec<Any>],
    lateness: i64,
) -> Epochs {
    let clocks = clocks(epochs, lateness, true);
    let one = run(plan(), names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    one
}

/// What a view of declared rows adds up to.
pub(crate) fn total_rows(epochs: &Epochs, view: usize) -> std::collections::BTreeSet<types::Row> {
    rows!(Rows, total(epochs, view)).into_iter().collect()
}
