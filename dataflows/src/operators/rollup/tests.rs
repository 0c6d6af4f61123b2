//! The bars of random epochs equal the slow twin's, change by change.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use types::relations::{Fill, FillKind};
use types::{Price, ShortText, Span, VenueTime};

use super::bars::Bars;
use super::operator::Incoming;
use super::show::Told;
use super::slow;
use super::slow::Shown;
use super::slow::ticks::Print;
use super::tick::{Printed, Tick};
use crate::operators::identities::testing::{Events, Model, SECOND, START, events, fill, names};

/// The lengths that are tried: with and without cells below, nested and not.
const SIZES: [&[&str]; 6] = [
    &["1m", "1h", "1d"],
    &["1m", "90s", "5m", "1d", "1w"],
    &["1d"],
    &["7s", "1h1s1ns"],
    &["2h", "84h", "1w"],
    &["1ns", "40s"],
];

/// One change: which row of the pool, whether in or out, how often.
#[derive(Clone, Debug)]
struct Step {
    fill: usize,
    is_removal: bool,
    times: u8,
}

#[derive(Clone, Debug)]
struct History {
    sizes: usize,
    pool: Vec<Fill>,
    /// Each epoch's steps, and by how many seconds the watermark goes on.
    epochs: Vec<(Vec<Step>, i64)>,
}

fn history() -> impl Strategy<Value = History> {
    let step = (0..40_usize, prop::bool::weighted(0.4), 1..3_u8);
    let step = step.prop_map(|(fill, is_removal, times)| Step { fill, is_removal, times });
    let seconds = prop_oneof![3 => Just(0), 3 => 0..200_i64, 1 => 0..100_000_i64];
    let epochs = prop::collection::vec((prop::collection::vec(step, 0..25), seconds), 1..12);
    (0..SIZES.len(), prop::collection::vec(fill(), 40), epochs)
        .prop_map(|(sizes, pool, epochs)| History { sizes, pool, epochs })
}

/// The changes of an epoch: what is held may be removed, also before it comes.
fn changes(steps: &[Step], pool: &[Fill], held: &mut BTreeMap<usize, isize>) -> Vec<(Fill, isize)> {
    let mut changes = Vec::new();
    for step in steps {
        let times = isize::from(step.times);
        let n = held.entry(step.fill).or_default();
        let diff = if step.is_removal { -times.min(*n) } else { times };
        *n += diff;
        changes.push((pool[step.fill].clone(), diff));
    }
    // Inside an epoch a removal may stand before what it removes.
    if steps.len().is_multiple_of(2) {
        changes.reverse();
    }
    changes
}

/// Runs a history on both; what each epoch tells must be equal, and each bar's changes adjacent.
fn check(history: &History) {
    let names = names();
    let sizes: Vec<(Span, ShortText)> = SIZES[history.sizes]
        .iter()
        .map(|text| (Span::parse(text).unwrap(), ShortText::new(text).unwrap()))
        .collect();
    let mut fast = Bars::new(&sizes, Arc::clone(&names), false);
    let mut slow = slow::Bars::new(sizes, Arc::clone(&names));
    let (mut held, mut watermark) = (BTreeMap::new(), VenueTime::from_nanos(START - 60 * SECOND));
    for (index, (steps, seconds)) in history.epochs.iter().enumerate() {
        watermark = VenueTime::from_nanos(watermark.nanos() + seconds * SECOND);
        let changes = changes(steps, &history.pool, &mut held);
        slow.watermark = watermark;
        let prints = changes.iter().filter_map(|(fill, diff)| Some((Print::of_fill(fill)?, *diff)));
        slow.take(prints.filter(|(_, diff)| *diff != 0).collect());
        let mut expected = Vec::new();
        slow.tell(|shown, diff| expected.push((shown, diff)));
        fast.start(Some(watermark));
        for (fill, diff) in &changes {
            (fill.clone(), 0, *diff).enter(&mut fast);
        }
        let mut given = told(&mut fast);
        sort(&mut given);
        sort(&mut expected);
        assert_eq!(given, expected, "epoch {index}");
    }
}

/// Runs events of identities; what each epoch tells is what the slow twin tells of the rows that
/// stand.
fn check_events(events: &Events) {
    let (names, size) =
        (names(), |text| (Span::parse(text).unwrap(), ShortText::new(text).unwrap()));
    let sizes = ["1m", "1h"].map(size);
    let mut fast = Bars::new(&sizes, Arc::clone(&names), true);
    let mut slow = slow::Bars::new(sizes.to_vec(), Arc::clone(&names));
    let mut model = Model::default();
    let mut watermark = VenueTime::from_nanos(START - 60 * SECOND);
    for (index, epoch) in events.epochs.iter().enumerate() {
        watermark = VenueTime::from_nanos(watermark.nanos() + epoch.seconds * SECOND);
        let (given, rows) = model.take(events, epoch);
        fast.start(Some(watermark));
        for event in given {
            event.enter(&mut fast);
        }
        slow.watermark = watermark;
        let rows = rows.into_iter().filter_map(|(fill, diff)| Some((Print::of_fill(&fill)?, diff)));
        slow.take(rows.collect());
        let mut expected = Vec::new();
        slow.tell(|shown, diff| expected.push((shown, diff)));
        let mut given = told(&mut fast);
        sort(&mut given);
        sort(&mut expected);
        assert_eq!(given, expected, "epoch {index}");
    }
}

fn sort(changes: &mut [(Shown, isize)]) {
    changes.sort_by_key(|change| (place(&change.0), change.1));
}

/// What tells bars apart, in rows and errors alike.
fn place(shown: &Shown) -> String {
    match shown {
        Ok(bar) => {
            let asset = ["B", "A", "C"][usize::try_from(bar.asset.0).unwrap()];
            format!("{asset} {} {}", bar.size, bar.bucket)
        }
        Err(row) => {
            let text = |i: usize| match &row.0[i] {
                types::Value::Text(text) => text.to_string(),
                types::Value::Time(time) => time.to_string(),
                other => panic!("{other:?}"),
            };
            format!("{} {} {}", text(1), text(2), text(3))
        }
    }
}

/// What an epoch tells; each bar's changes are adjacent.
fn told(bars: &mut Bars) -> Vec<(Shown, isize)> {
    let mut told = Told::new(0);
    bars.finish(&mut told);
    let bars: Vec<_> = told.bars.into_iter().map(|(row, _, diff)| (Ok(row), diff)).collect();
    let errors: Vec<_> = told.errors.into_iter().map(|(row, _, diff)| (Err(row), diff)).collect();
    assert_adjacent(&bars);
    assert_adjacent(&errors);
    [bars, errors].concat()
}

/// A bar's old row stands right before its new one, and there is no third.
fn assert_adjacent(changes: &[(Shown, isize)]) {
    let places: Vec<String> = changes.iter().map(|change| place(&change.0)).collect();
    let mut seen = std::collections::BTreeSet::new();
    let numbered: Vec<usize> = (0..changes.len()).collect();
    for group in numbered.chunk_by(|a, b| places[*a] == places[*b]) {
        assert!(seen.insert(&places[group[0]]), "apart: {}", places[group[0]]);
        let diffs: Vec<isize> = group.iter().map(|i| changes[*i].1).collect();
        assert!(matches!(diffs[..], [1 | -1] | [-1, 1]), "{diffs:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_epoch_tells_what_the_slow_twin_tells(history in history()) {
        check(&history);
    }

    #[test]
    fn what_stands_of_identities_is_what_is_told(events in events()) {
        check_events(&events);
    }
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use super::*;
    use crate::operators::testing::{noticed, sample};

    fn bars(seed: u64) {
        check(&sample(&history(), seed));
    }

    fn identities(seed: u64) {
        check_events(&sample(&events(), seed));
    }

    noticed! {
        bars_that_were_put_away: BarsWake by 100 of bars;
        extremes_that_go: ExtremesSought by 100 of bars;
        longer_bars_of_shorter_ones: ShorterFirst by 400 of bars;
        cells_that_were_put_away: RestingParts by 200 of bars;
        values_as_stated: NarrowValue by 100 of bars;
        additions_before_removals: BarsAdditionsFirst by 50 of bars;
        ticks_that_are_not_the_newest: NewestInOrder by 50 of bars;
        ticks_of_one_second: TicksCompared by 100 of identities;
        what_is_remembered_of_revisions: RevisionsKept by 50 of identities;
    }
}

#[test]
fn a_tick_reads_back_from_either_record() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut log = super::log::TickLog::new();
    let cell = VenueTime::from_nanos(START);
    let mut newest = super::log::TickRef::NONE;
    let mut pushed: Vec<Tick> = Vec::new();
    for _ in 0..20_000 {
        let fill = fill().new_tree(&mut runner).unwrap().current();
        if let Some(tick) = fill.tick() {
            newest = log.push(&tick, cell, newest);
            pushed.push(tick);
        }
    }
    let read: Vec<Tick> = log.chain(newest, cell).map(|(_, tick)| tick).collect();
    assert!(pushed.iter().rev().eq(&read));
}

#[test]
#[should_panic(expected = "removals are of rows that are held")]
fn what_is_not_held_cannot_be_removed() {
    let mut bars =
        Bars::new(&[(Span::parse("1m").unwrap(), ShortText::new("1m").unwrap())], names(), false);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let fill = Fill { kind: FillKind::Trade, ..fill().new_tree(&mut runner).unwrap().current() };
    let tick = Tick { price: Price::from_nano(1).unwrap(), ..fill.tick().unwrap() };
    bars.take(fill.asset, &tick, 1);
    bars.take(fill.asset, &Tick { price: Price::from_nano(2).unwrap(), ..tick }, -1);
    bars.finish(&mut Told::new(0));
}
