//! The rows of random epochs equal the twin's, change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use types::relations::{Fill, Input, RelationKind, Side};
use types::{Price, Row, Span, VenueTime};

use super::feature::Feature;
use super::fold::Features;
use super::layout::{By, Emit, Layout};
use super::tick::Ticked;
use super::wallets::Counting;
use super::window::Shape;
use crate::operators::identities::testing::{SECOND, START, fill, names};
use crate::oracle::features::{Asked, features, of_fill};

/// Windows that are tried, the shortest first.
const WINDOWS: [&[&str]; 4] = [&["5m"], &["7s", "1m", "1h"], &["1ns", "90s"], &["1m", "1w"]];

/// The most wallets that are counted exactly: so few that windows hold more, and as many as by default.
const EXACT_UP_TO: [usize; 3] = [1, 2, 10_000];

/// One change: which row of the pool, whether in or out, how often.
#[derive(Clone, Debug)]
struct Step {
    fill: usize,
    is_removal: bool,
    times: u8,
}

#[derive(Clone, Debug)]
struct History {
    windows: usize,
    is_tumbling: bool,
    /// Whether sums are all that windows keep.
    is_plain: bool,
    by: usize,
    exact_up_to: usize,
    /// The grid in seconds; rows at events without it.
    grid: Option<i64>,
    pool: Vec<Fill>,
    /// Each epoch's steps, and how many steps of the grid the watermark goes on; it may go back once.
    epochs: Vec<(Vec<Step>, i64)>,
}

prop_compose! {
    /// Fills that are near to one another, so that windows hold several.
    fn near()(
        fill in fill(), second in prop_oneof![3 => 0..400_i64, 1 => Just(40)], sells: bool, price in 900..1100_i128,
        (is_near, market, other) in (0..4_u8, 0..3_u8, fill().prop_map(|fill| fill.wallet)),
    ) -> Fill {
        let side = if sells { Side::Sell } else { Side::Buy };
        // Any name will do, also one that other wallets have.
        let market = [None, Some(fill.wallet), Some(other)][usize::from(market)];
        let fill = Fill { market, ..fill };
        if is_near == 0 {
            return Fill { side, ..fill };
        }
        let price = Price::from_nano(price * 1_000);
        Fill { side, price, event_time: VenueTime::from_nanos(START + second * SECOND), ..fill }
    }
}

fn history(steps: bool) -> impl Strategy<Value = History> {
    let step = (0..40_usize, prop::bool::weighted(0.4), prop_oneof![8 => Just(1), 1 => 2..3_u8]);
    let step = step.prop_map(|(fill, is_removal, times)| Step { fill, is_removal, times });
    let on = prop_oneof![3 => Just(0), 3 => 0..9_i64, 1 => 0..100_i64, 1 => -5..0_i64];
    let epochs = prop::collection::vec((prop::collection::vec(step, 0..25), on), 1..12);
    let grid = prop::sample::select(vec![1, 7, 60, 3_600]);
    let kinds = (any::<bool>(), any::<bool>(), prop::sample::select(&EXACT_UP_TO[..]));
    (0..WINDOWS.len(), kinds, 0..4_usize, grid, prop::collection::vec(near(), 40), epochs).prop_map(
        move |(windows, (is_tumbling, is_plain, exact_up_to), by, grid, mut pool, epochs)| {
            let grid = steps.then_some(if windows == 3 { 3_600 } else { grid });
            if steps {
                // Each of them is a row for each step of an hour.
                for fill in &mut pool {
                    let nanos = (fill.event_time.nanos() - START).rem_euclid(40_000 * SECOND);
                    fill.event_time = VenueTime::from_nanos(START + nanos);
                }
            }
            History { windows, is_tumbling, is_plain, by, exact_up_to, grid, pool, epochs }
        },
    )
}

/// The changes of an epoch: what is held may be removed, also before it comes. Of one identity at most
/// one row stands.
fn changes(steps: &[Step], pool: &[Fill], held: &mut BTreeMap<usize, isize>) -> Vec<(Fill, isize)> {
    let mut changes = Vec::new();
    let identity = |fill: usize| pool[fill].identity(&Fill::schema());
    for step in steps {
        let is_other = |(other, n): (&usize, &isize)| {
            *n > 0 && *other != step.fill && identity(*other) == identity(step.fill)
        };
        if !step.is_removal && held.iter().any(is_other) {
            continue;
        }
        let n = held.entry(step.fill).or_default();
        let times = isize::from(step.times);
        let diff = if step.is_removal { -times.min(*n) } else { times };
        *n += diff;
        changes.push((pool[step.fill].clone(), diff));
    }
    if steps.len().is_multiple_of(2) {
        changes.reverse();
    }
    changes
}

fn layout(history: &History) -> Layout {
    let by = [By::Asset, By::Wallet, By::WalletAsset, By::Market][history.by];
    let windows = WINDOWS[history.windows];
    Layout {
        by,
        emit: history
            .grid
            .map_or(Emit::Event, |grid| Emit::Step(Span::new(grid * SECOND).unwrap())),
        shape: Shape {
            spans: windows.iter().map(|window| Span::parse(window).unwrap()).collect(),
            is_tumbling: history.is_tumbling,
            keeps_extremes: !history.is_plain,
            wallets: (!history.is_plain)
                .then_some(Counting { exact_up_to: history.exact_up_to, keeps_shares: true }),
        },
        window_names: windows.iter().map(|window| (*window).to_owned()).collect(),
        features: of_fills(history.is_plain),
    }
}

/// The features of fills: all, or those that sums are enough for.
fn of_fills(is_plain: bool) -> Vec<Feature> {
    let is_of_fills = |feature: &Feature| feature.is_of(RelationKind::Fills);
    let needs_more =
        [Feature::Range, Feature::Wallets, Feature::WalletsExact, Feature::LargestShare];
    let is_wanted = |feature: &Feature| !is_plain || !needs_more.contains(feature);
    Feature::ALL.iter().copied().filter(is_of_fills).filter(is_wanted).collect()
}

/// Runs a history on both: what each epoch tells makes of the rows before those of the twin after it.
fn check(history: &History) {
    let (names, layout) = (names(), Arc::new(layout(history)));
    let n_key = layout.schema().n_key;
    let (by, grid) = (layout.by, history.grid.map(|grid| Span::new(grid * SECOND).unwrap()));
    let mut fast = Features::new(Arc::clone(&layout), Arc::clone(&names));
    let (mut held, mut rows) = (BTreeMap::new(), BTreeSet::new());
    let mut last_step = grid.map(|grid| VenueTime::from_nanos(START).bucket(grid));
    for (index, (steps, on)) in history.epochs.iter().enumerate() {
        for (fill, diff) in changes(steps, &history.pool, &mut held) {
            if let (Some(key), Some(tick)) = (by.key(&fill), fill.tick()) {
                fast.take(key, tick, diff);
            }
        }
        last_step = last_step
            .zip(grid)
            .map(|(last, grid)| VenueTime::from_nanos(last.nanos() + on * grid.nanos()));
        let mut told = Vec::new();
        fast.finish(last_step, |row, diff| told.push((row, diff)));
        assert_adjacent(&told, n_key);
        for (row, diff) in told {
            let is_new = if diff > 0 { rows.insert(row) } else { rows.remove(&row) };
            assert!(is_new, "epoch {index}: a row that comes twice, or goes and isn't there");
        }
        let standing: Vec<Fill> = held
            .iter()
            .flat_map(|(fill, n)| (0..*n).map(|_| history.pool[*fill].clone()))
            .collect();
        let expected = twin(&standing, history, last_step, &names);
        let missing: Vec<_> = expected.difference(&rows).collect();
        let more: Vec<_> = rows.difference(&expected).collect();
        assert!(missing.is_empty() && more.is_empty(), "epoch {index}: {missing:#?} not {more:#?}");
    }
}

fn twin(
    fills: &[Fill],
    history: &History,
    last_step: Option<VenueTime>,
    names: &types::Names,
) -> BTreeSet<Row> {
    let by: &[&str] =
        [&["venue", "asset"][..], &["wallet"], &["venue", "wallet", "asset"], &["market"]]
            [history.by];
    let named = of_fills(history.is_plain);
    let named: Vec<&str> = named.iter().map(|feature| feature.name()).collect();
    let grid = history.grid.map(|grid| format!("{grid}s"));
    let asked = Asked {
        by,
        windows: WINDOWS[history.windows],
        is_tumbling: history.is_tumbling,
        features: &named,
        exact_up_to: history.exact_up_to,
        steps: grid.as_deref().zip(last_step),
    };
    features(fills, of_fill, &asked, (&Fill::schema(), names))
}

/// A row's old state stands right before its new one, and there is no third.
fn assert_adjacent(changes: &[(Row, isize)], n_key: usize) {
    let key = |row: &Row| row.0[..n_key].to_vec();
    let mut seen = BTreeSet::new();
    for group in changes.chunk_by(|a, b| key(&a.0) == key(&b.0)) {
        assert!(seen.insert(key(&group[0].0)), "apart: {:?}", group[0]);
        match group {
            [(_, 1 | -1)] => {}
            [(old, -1), (new, 1)] => assert_ne!(old, new),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rows_at_events_are_those_of_the_twin(history in history(false)) {
        check(&history);
    }

    #[test]
    fn rows_at_steps_are_those_of_the_twin(history in history(true)) {
        check(&history);
    }
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use super::*;
    use crate::operators::testing::{noticed, sample};

    fn at_events(seed: u64) {
        check(&sample(&history(false), seed));
    }

    fn at_steps(seed: u64) {
        check(&sample(&history(true), seed));
    }

    noticed! {
        late_ticks: LateRevised by 50 of at_events;
        the_tick_behind: FollowingRevised by 100 of at_events;
        returns_behind_what_goes: ReturnsRenewed by 100 of at_events;
        extremes_that_leave: ExtremesLeave by 100 of at_events;
        events_of_one_time_and_id: LikeEventsShareRows by 200 of at_events;
        published_steps: StepsRevised by 100 of at_steps;
        ticks_that_tie: FeaturesTie by 200 of at_events;
        sums_of_chunks: ChunksAddedUp by 200 of at_steps;
        wallets_that_were_let_go: WalletsCountedAnew by 400 of at_events;
        wallets_that_were_let_go_at_steps: WalletsCountedAnew by 400 of at_steps;
    }
}
