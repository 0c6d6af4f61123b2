//! The rows of random epochs equal the twin's, and what is kept stays small.

use std::collections::{BTreeMap, BTreeSet};

use detectors::{Model, Options};
use proptest::prelude::*;
use types::schema::Kind;
use types::value::Float;
use types::{Decimal, Row, Schema, Span, Value, VenueTime};

use super::judge::Judge;
use super::layout::Layout;
use super::scores::{Out, Scores, Settled};
use crate::operators::ordered::Order;
use crate::operators::testing::{no_names, sample, schema};
use crate::oracle::anomaly::{Asked, Twin};

mod memory;
mod options;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_571_200 * SECOND;

/// Rows are told apart by their time, or by an id, so that a row may move in time.
fn columns(has_id: bool) -> Schema {
    let mut columns = vec![
        ("asset", Kind::Text),
        ("time", Kind::Time),
        ("x?", Kind::Float),
        ("n?", Kind::Number),
        ("session?", Kind::Number),
    ];
    if has_id {
        columns.insert(1, ("id", Kind::Text));
    }
    schema(&columns, 2)
}

/// A row: of few assets and seconds, so that many tie.
#[derive(Clone, Debug)]
struct Made {
    asset: u8,
    id: u8,
    second: i64,
    x: Option<i32>,
    n: Option<i32>,
}

impl Made {
    fn row(&self, has_id: bool) -> Row {
        let asset = ["b", "a", "a\"", "c"][usize::from(self.asset)];
        let time = VenueTime::from_nanos(START + self.second * SECOND);
        let x = self.x.and_then(|x| Float::new(f64::from(x) / 7.0));
        // More digits than a float holds.
        let n = self.n.map(|n| Decimal::new(i128::from(n) * 12_345_678_901_234_567, 18));
        let id = has_id.then(|| Value::Text(self.id.to_string().as_str().into()));
        // Rows that come late are often of a session before.
        let session = self.n.map(|_| Decimal::new(self.second.div_euclid(60).into(), 0));
        let rest = [time.into(), x.into(), n.into(), session.into()];
        Row([Value::from(asset)].into_iter().chain(id).chain(rest).collect())
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "all of them go with all others")]
struct History {
    is_by_key: bool,
    is_normalised: bool,
    has_id: bool,
    /// Whether sessions ask for fits.
    asks_fits: bool,
    /// Seconds.
    revise_within: i64,
    /// Seconds.
    forget_after: Option<i64>,
    /// Each epoch's rows: how far behind or before the newest second, whether they go away where they
    /// stand.
    epochs: Vec<(Vec<(Made, bool)>, i64)>,
}

fn made(spread: i64) -> impl Strategy<Value = (Made, bool)> {
    let second = prop_oneof![12 => 0..spread, 1 => -40..spread, 1 => -400..0_i64];
    let x = prop::option::weighted(0.9, prop_oneof![20 => -9..9_i32, 1 => 500..900_i32]);
    let n = prop::option::weighted(0.9, prop_oneof![20 => 0..5_i32, 1 => Just(1_000_000)]);
    (0..4_u8, any::<u8>(), second, x, n, prop::bool::weighted(0.1))
        .prop_map(|(asset, id, second, x, n, goes)| (Made { asset, id, second, x, n }, goes))
}

fn history() -> impl Strategy<Value = History> {
    // Large epochs, so that states are kept; small ones behind them, so that they are gone back to.
    let large = (prop::collection::vec(made(300), 200..700), Just(290_i64));
    let on = prop_oneof![7 => 0..9_i64, 1 => 60..90_i64];
    let small = (prop::collection::vec(made(9), 0..9), on);
    let epochs = (prop::collection::vec(large, 1..3), prop::collection::vec(small, 1..12));
    let is = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    // Rows of a key are a few seconds apart.
    let forget_after = prop::sample::select(vec![None, Some(4), Some(12), Some(40)]);
    let times = (prop::sample::select(vec![0, 50, 10_000]), forget_after);
    (is, times, epochs).prop_map(|(is, (revise_within, forget_after), (mut epochs, small))| {
        epochs.extend(small);
        let (is_by_key, normalises, has_id, asks_fits) = is;
        let is_normalised = normalises && !is_by_key;
        let forget_after = forget_after.filter(|_| is_by_key || is_normalised);
        History { is_by_key, is_normalised, has_id, asks_fits, revise_within, forget_after, epochs }
    })
}

/// The changes of an epoch: a row in the place of the one of its key, or none there, or where none was of
/// the key behind it.
fn changes(
    rows: &[(Made, bool)],
    (now, has_id): (i64, bool),
    held: &mut BTreeMap<Vec<Value>, Row>,
) -> Vec<(Row, isize)> {
    let mut net: BTreeMap<Row, isize> = BTreeMap::new();
    for (made, goes) in rows {
        let row = Made { second: now + made.second, ..made.clone() }.row(has_id);
        let key = row.0[..2].to_vec();
        let old = if *goes {
            let found = held.range(key..).next().map(|(key, _)| key.clone());
            found.and_then(|key| held.remove(&key))
        } else {
            held.insert(key, row.clone())
        };
        if !*goes {
            *net.entry(row).or_default() += 1;
        }
        if let Some(old) = old {
            *net.entry(old).or_default() -= 1;
        }
    }
    net.retain(|_, diff| *diff != 0);
    net.into_iter().rev().collect()
}

fn options() -> Options {
    Options {
        warm_up: 16,
        reservoir: 64,
        trees: 4,
        projections: 4,
        neighbours: 8,
        ..Options::default()
    }
}

fn settled(history: &History) -> Settled {
    let schema = columns(history.has_id).shared();
    let x = schema.index("x").unwrap();
    let refit_on = history.asks_fits.then(|| schema.index("session").unwrap());
    let layout = Layout { measured: vec![x, x + 1], by: vec![0], input: schema, length: None };
    Settled {
        judge: Judge { layout, explain_from: 0.9, refit_on },
        is_by_key: history.is_by_key,
        is_normalised: history.is_normalised,
        revise_within: history.revise_within * SECOND,
        forget_after: history.forget_after.and_then(|seconds| Span::new(seconds * SECOND)),
    }
}

fn twin(history: &History) -> Twin {
    let settled = settled(history);
    let asked = Asked {
        schema: settled.judge.layout.input,
        columns: vec!["x", "n"],
        by: vec!["asset"],
        length: None,
        is_by_key: history.is_by_key,
        is_normalised: history.is_normalised,
        refit_on: history.asks_fits.then_some("session"),
        revise_within: settled.revise_within,
        forget_after: settled.forget_after.map(Span::nanos),
        explain_from: settled.judge.explain_from,
        options: options(),
    };
    Twin::new(asked, no_names())
}

fn check(history: &History) {
    let (mut fast, mut twin) = (scores(history, true), twin(history));
    let (mut held, mut rows, mut stale) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut now = 0;
    for (index, (made, on)) in history.epochs.iter().enumerate() {
        let changes = changes(made, (now, history.has_id), &mut held);
        now += on;
        let watermark = VenueTime::from_nanos(START + now * SECOND);
        twin.take(&changes, watermark);
        let mut told: Vec<(bool, Row, isize)> = Vec::new();
        fast.take(changes, Some(watermark), &mut |Out { is_stale, row, diff }| {
            told.push((is_stale, row, diff));
        });
        for pair in told.windows(2) {
            if let [(_, old, -1), (_, new, 1)] = pair {
                assert_ne!(old, new, "epoch {index}");
            }
        }
        for (is_stale, row, diff) in told {
            let rows = if is_stale { &mut stale } else { &mut rows };
            let is_sound = if diff > 0 { rows.insert(row.clone()) } else { rows.remove(&row) };
            assert!(is_sound, "epoch {index}: {diff:+} {row:?}");
        }
        assert_eq!(stale, twin.stale(), "epoch {index}");
        let expected = twin.rows();
        let differs = rows.symmetric_difference(&expected).next();
        assert!(differs.is_none(), "epoch {index}: {differs:?}");
        if history.forget_after.is_some() {
            assert_eq!(fast.n_known(), twin.n_remembered(), "epoch {index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn scores_equal_their_twin(history in history()) {
        check(&history);
    }
}

#[cfg(feature = "sabotage")]
crate::operators::testing::noticed! {
    unrevised_scores_are_noticed: ScoresRevised by 20 of |seed| check(&sample(&history(), seed));
    usual_numbers_that_stay_are_noticed: UsualGoesBack by 20 of |seed| check(&sample(&history(), seed));
    fits_that_are_not_asked_for_again_are_noticed: FitsGoBack by 20 of |seed| check(&sample(&history(), seed));
    changes_behind_the_horizon_are_noticed: HorizonHolds by 20 of |seed| check(&sample(&history(), seed));
    keys_that_are_not_forgotten_are_noticed: RestedKeysForgotten by 20 of |seed| check(&sample(&history(), seed));
    keys_that_are_let_go_of_too_early_are_noticed: ForgottenOnceSettled by 20 of |seed| check(&sample(&history(), seed));
}

fn standing(held: &BTreeMap<Vec<Value>, Row>) -> BTreeSet<Row> {
    held.values().cloned().collect()
}

/// The histories hold what makes it hard: rows that find their key forgotten, some of which don't any more
/// once a row comes between, others that do once one goes away, and keys of which nothing need be known.
#[test]
fn keys_are_forgotten_in_histories() {
    let mut counts = [[0; 4]; 2];
    for history in (0..120).map(|seed| sample(&history(), seed)) {
        if history.forget_after.is_none() {
            continue;
        }
        let counts = &mut counts[usize::from(history.is_by_key)];
        let (mut twin, mut held, mut now) = (twin(&history), BTreeMap::new(), 0);
        for (made, on) in &history.epochs {
            let (before, stood) = (twin.rows_anew(), standing(&held));
            let changes = changes(made, (now, history.has_id), &mut held);
            now += on;
            twin.take(&changes, VenueTime::from_nanos(START + now * SECOND));
            let (after, stands) = (twin.rows_anew(), standing(&held));
            counts[0] += after.difference(&before).count();
            counts[1] += before.difference(&after).filter(|row| stands.contains(*row)).count();
            counts[2] += after.difference(&before).filter(|row| stood.contains(*row)).count();
            counts[3] += usize::from(held.len() > 100 && twin.n_remembered() < 4);
        }
    }
    assert!(counts.as_flattened().iter().all(|n| *n > 5), "{counts:?}");
}

/// Changes in the gap before a row that finds its key forgotten, and the row behind that once did.
#[test]
fn a_gap_is_closed_and_opened() {
    let row = |second: i64| {
        let x = i32::try_from(second % 7).unwrap();
        Made { asset: 0, id: u8::try_from(second).unwrap(), second, x: Some(x), n: Some(x % 3) }
    };
    let comes = |seconds: &[i64], now: i64| -> Vec<(Made, bool)> {
        let made = |second: &i64| Made { second: second - now, ..row(*second) };
        seconds.iter().map(|second| (made(second), false)).collect()
    };
    let goes = |second: i64, now: i64| vec![(Made { second: second - now, ..row(second) }, true)];
    let seconds: Vec<i64> = (0..40).chain(70..110).collect();
    let epochs = vec![
        (comes(&seconds, 0), 110),
        // The row at 70 finds the key known, and once more forgotten.
        (comes(&[55], 110), 0),
        (goes(55, 110), 0),
        // The gap moves; it is closed from two sides.
        (comes(&[59], 110), 0),
        (comes(&[49], 110), 0),
        // One that stays learnt though it goes, as it goes too late.
        (Vec::new(), 60),
        (goes(59, 170), 0),
        (comes(&[72, 185], 170), 300),
        (comes(&[186], 470), 0),
        (comes(&[250], 470), 0),
    ];
    for (is_by_key, is_normalised) in [(true, false), (false, true)] {
        for forget_after in [5, 10, 15, 20, 30, 31] {
            let forget_after = Some(forget_after);
            let epochs = epochs.clone();
            check(&History { is_by_key, is_normalised, forget_after, epochs, ..by_key(100) });
        }
    }
}

/// Rows behind all that stand went too late: they stay learnt.
#[test]
fn what_went_too_late_stays_learnt_behind_all_others() {
    let made = |second: i64, x: i32| Made { asset: 1, id: 0, second, x: Some(x), n: Some(x % 3) };
    let rows = |seconds: std::ops::Range<i64>| -> Vec<(Made, bool)> {
        seconds.map(|second| (made(second, i32::try_from(second % 7).unwrap()), false)).collect()
    };
    let goes = |second: i64, x: i32| (made(second, x), true);
    let epochs = vec![
        (rows(1..41), 40),
        // From here on seconds are behind or before 40.
        (vec![(made(10, 3), false)], 5),
        (vec![goes(-5, 5), goes(5, 3)], 0),
        (vec![(made(15, 60), false)], 20),
    ];
    for is_normalised in [false, true] {
        check(&History {
            is_by_key: false,
            is_normalised,
            has_id: false,
            asks_fits: false,
            revise_within: 0,
            forget_after: None,
            epochs: epochs.clone(),
        });
    }
}

/// Where all states but the newest were let go of, the next row begins with a state of before it: going
/// back there hears anew what asks for a fit.
#[test]
fn a_fit_is_asked_for_again_where_the_first_state_is_gone_back_to() {
    let rows = |seconds: std::ops::Range<i64>| -> Vec<(Made, bool)> {
        let made = |second: i64| {
            let (id, x) = (u8::try_from(second).unwrap(), i32::try_from(second % 7).unwrap());
            Made { asset: 0, id, second, x: Some(x), n: Some(x % 3) }
        };
        seconds.map(|second| (made(second), false)).collect()
    };
    let moved = |rows: Vec<(Made, bool)>, now: i64| -> Vec<(Made, bool)> {
        let at = |made: Made| Made { second: made.second - now, ..made };
        rows.into_iter().map(|(made, goes)| (at(made), goes)).collect()
    };
    for late in [170, 190] {
        let epochs = vec![
            (rows(0..100), 200),
            (moved(rows(200..201), 200), 0),
            (moved(rows(late..late + 1), 200), 0),
            (moved(rows(201..250), 200), 0),
        ];
        check(&History { asks_fits: true, epochs, ..by_key(50) });
    }
}

/// Where only the newest state and what came behind it are kept, going back begins with what that state
/// knew: the key of asset 0 is known by then as it was, though it rested for too long before the horizon and
/// was let go of, and so is the model, though its last row had.
#[test]
fn the_first_state_is_known_as_long_as_a_row_behind_it_is_folded() {
    let comes = |asset: u8, seconds: std::ops::Range<i64>, now: i64| -> Vec<(Made, bool)> {
        let made = |at: i64| {
            let x = i32::try_from(at * at % 11).unwrap();
            let (id, second) = (u8::try_from(at).unwrap(), at - now);
            Made { asset, id, second, x: Some(x), n: Some(x % 3) }
        };
        seconds.map(|at| (made(at), false)).collect()
    };
    let epochs = vec![
        ([comes(0, 0..40, 0), comes(1, 0..40, 0)].concat(), 95),
        // From here on what lies before 45 is too late; all states but the newest are gone.
        ([comes(0, 60..63, 95), comes(1, 61..99, 95)].concat(), 45),
        // Before 90: the newest state is 39's.
        (comes(1, 99..135, 140), 30),
        // Before 120.
        (comes(1, 150..151, 170), 0),
        (comes(1, 148..149, 170), 0),
        (comes(0, 121..122, 170), 0),
        (Vec::new(), 300),
    ];
    for (is_by_key, is_normalised) in [(true, false), (false, true)] {
        for forget_after in [20, 40, 200] {
            let forget_after = Some(forget_after);
            let epochs = epochs.clone();
            check(&History { is_by_key, is_normalised, forget_after, epochs, ..by_key(50) });
        }
    }
}

/// A model a key, without corrections.
fn by_key(revise_within: i64) -> History {
    History {
        is_by_key: true,
        is_normalised: false,
        has_id: true,
        asks_fits: false,
        revise_within,
        forget_after: None,
        epochs: Vec::new(),
    }
}

/// Scores of a history's options without rows, and a row of theirs.
fn scores(history: &History, reads_stale: bool) -> Scores {
    let settled = settled(history);
    let order = Order::new(&settled.judge.layout.input, &no_names());
    let make = if settled.is_normalised { Model::of_units } else { Model::new };
    Scores::new(settled, order, (make(&options(), 2).unwrap(), reads_stale))
}

fn some(asset: u8, id: u8, second: i64) -> Row {
    Made { asset, id, second, x: i32::try_from(second % 7).ok(), n: Some(1) }.row(true)
}

/// Takes rows; gives what is told of changes that came too late, without their keys.
fn stale_of(scores: &mut Scores, rows: Vec<(Row, isize)>, watermark: i64) -> Vec<(Value, isize)> {
    let watermark = VenueTime::from_nanos(START + watermark * SECOND);
    let mut told = Vec::new();
    scores.take(rows, Some(watermark), &mut |out| {
        if out.is_stale {
            told.push((out.row.0[2].clone(), out.diff));
        }
    });
    told
}

/// A row that moves out of what can still change, or into it, is there before and behind: it is replaced.
#[test]
fn a_row_that_moves_over_the_horizon_is_replaced() {
    let mut scores = scores(&by_key(50), true);
    let rows = vec![(some(0, 1, 10), 1), (some(0, 2, 90), 1), (some(0, 3, 11), 1)];
    assert_eq!(stale_of(&mut scores, rows, 100), []);
    // From here on what lies before 50 is too late.
    let replaced = |diff| (Value::word("replaced"), diff);
    let out = vec![(some(0, 1, 10), -1), (some(0, 1, 95), 1)];
    assert_eq!(stale_of(&mut scores, out, 100), [replaced(1)]);
    let into = vec![(some(0, 2, 90), -1), (some(0, 2, 20), 1)];
    assert_eq!(stale_of(&mut scores, into, 100), [replaced(1)]);
    let goes = vec![(some(0, 3, 11), -1)];
    assert_eq!(stale_of(&mut scores, goes, 100), [(Value::word("removed"), 1)]);
    let again = vec![(some(0, 1, 12), 1), (some(0, 1, 95), -1)];
    assert_eq!(stale_of(&mut scores, again, 100), []);
}

/// What nobody reads isn't told, nor kept.
#[test]
fn late_changes_that_nobody_reads_are_not_told() {
    let mut scores = scores(&by_key(50), false);
    assert_eq!(stale_of(&mut scores, vec![(some(0, 1, 90), 1)], 100), []);
    assert_eq!(stale_of(&mut scores, vec![(some(0, 2, 10), 1)], 100), []);
}

/// A bar is known at its end.
#[test]
fn bars_count_at_their_end() {
    let schema = schema(&[("asset", Kind::Text), ("size", Kind::Text), ("bucket", Kind::Time)], 3);
    let layout = Layout { input: schema.shared(), measured: vec![], by: vec![0], length: Some(1) };
    let start = VenueTime::from_nanos(START);
    let row = |size: &'static str| {
        Row([Value::from("a"), Value::from(size), start.into()].into_iter().collect())
    };
    let end = VenueTime::from_nanos(START + 90 * SECOND);
    assert_eq!(layout.counts_at(&row("90s"), start), end);
    assert_eq!(Layout { length: None, ..layout }.counts_at(&row("90s"), start), start);
}
