//! The rows of random epochs equal the twin's, and what is kept stays small.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detectors::{Model, Options};
use proptest::prelude::*;
use types::options::Setting;
use types::relations::RelationKind;
use types::schema::Kind;
use types::value::Float;
use types::{Decimal, Row, Schema, Value, VenueTime};

use super::Anomaly;
use super::judge::Judge;
use super::layout::Layout;
use super::line::{Changed, Line};
use super::rungs::STEP;
use super::scores::{Out, Scores, Settled};
use crate::operators::ordered::Order;
use crate::operators::testing::{no_names, prepare, relation, schema, settings};
use crate::oracle::anomaly::{Asked, Twin};

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
    let small = (prop::collection::vec(made(9), 0..9), 0..9_i64);
    let epochs = (prop::collection::vec(large, 1..3), prop::collection::vec(small, 1..12));
    let is = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (is, prop::sample::select(vec![0, 50, 10_000]), epochs).prop_map(
        |((is_by_key, normalises, has_id, asks_fits), revise_within, (mut epochs, small))| {
            epochs.extend(small);
            let is_normalised = normalises && !is_by_key;
            History { is_by_key, is_normalised, has_id, asks_fits, revise_within, epochs }
        },
    )
}

/// The changes of an epoch: a row in the place of the one of its key, or none there.
fn changes(
    rows: &[(Made, bool)],
    (now, has_id): (i64, bool),
    held: &mut BTreeMap<Vec<Value>, Row>,
) -> Vec<(Row, isize)> {
    let mut net: BTreeMap<Row, isize> = BTreeMap::new();
    for (made, goes) in rows {
        let row = Made { second: now + made.second, ..made.clone() }.row(has_id);
        let key = row.0[..2].to_vec();
        let old = if *goes { held.remove(&key) } else { held.insert(key, row.clone()) };
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
    }
}

fn check(history: &History) {
    let settled = settled(history);
    let schema = Arc::clone(&settled.judge.layout.input);
    let asked = Asked {
        schema: Arc::clone(&schema),
        columns: vec!["x", "n"],
        by: vec!["asset"],
        length: None,
        is_by_key: history.is_by_key,
        is_normalised: history.is_normalised,
        refit_on: history.asks_fits.then_some("session"),
        revise_within: settled.revise_within,
        explain_from: settled.judge.explain_from,
        options: options(),
    };
    let order = Order::new(&schema, &no_names());
    let mut fast = Scores::new(settled, order, (Model::new(&options(), 2).unwrap(), true));
    let mut twin = Twin::new(asked, no_names());
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
    unrevised_scores_are_noticed: ScoresRevised by 20 of |seed| check(&crate::operators::testing::sample(&history(), seed));
    usual_numbers_that_stay_are_noticed: UsualGoesBack by 20 of |seed| check(&crate::operators::testing::sample(&history(), seed));
    fits_that_are_not_asked_for_again_are_noticed: FitsGoBack by 20 of |seed| check(&crate::operators::testing::sample(&history(), seed));
    changes_behind_the_horizon_are_noticed: HorizonHolds by 20 of |seed| check(&crate::operators::testing::sample(&history(), seed));
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

/// A model a key, without corrections.
fn by_key(revise_within: i64) -> History {
    History {
        is_by_key: true,
        is_normalised: false,
        has_id: true,
        asks_fits: false,
        revise_within,
        epochs: Vec::new(),
    }
}

/// Scores of a history's options without rows, and a row of theirs.
fn scores(history: &History, reads_stale: bool) -> Scores {
    let settled = settled(history);
    let order = Order::new(&settled.judge.layout.input, &no_names());
    Scores::new(settled, order, (Model::new(&options(), 2).unwrap(), reads_stale))
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

/// Rows of some assets, one a second from a time on.
fn of_assets(assets: std::ops::Range<u8>, seconds: std::ops::Range<i64>) -> Vec<(Row, isize)> {
    let row =
        |(asset, second): (u8, i64)| (some(asset, u8::try_from(second % 251).unwrap(), second), 1);
    assets.flat_map(|asset| seconds.clone().map(move |second| (asset, second))).map(row).collect()
}

/// A key that rests costs its model, whether others go on or not; one that goes on keeps states again.
#[test]
fn a_key_that_rests_keeps_its_model_alone() {
    let mut scores = scores(&by_key(2_000), true);
    stale_of(&mut scores, of_assets(0..3, 0..1_000), 1_000);
    assert_eq!(scores.n_states(), 3 * 3);
    let bytes = scores.state_bytes();
    // An epoch without rows, and one with rows of one key.
    stale_of(&mut scores, Vec::new(), 2_500);
    assert_eq!(scores.n_states(), 3 * 3);
    stale_of(&mut scores, of_assets(1..2, 3_990..4_000), 4_000);
    assert_eq!(scores.n_states(), 1, "what key 1 had learnt before");
    stale_of(&mut scores, Vec::new(), 9_000);
    assert_eq!(scores.n_states(), 0);
    // A model where there were it and three states, of which one has learnt nothing.
    assert!(scores.state_bytes() * 2 < bytes, "{} {bytes}", scores.state_bytes());
    stale_of(&mut scores, of_assets(0..1, 9_000..9_600), 9_600);
    assert_eq!(scores.n_states(), 3);
}

/// However many rows can still change, few states are kept; and none that no change needs.
#[test]
fn few_states_are_kept() {
    for (slack, most) in [(1, 8..=16), (8, 4..=6)] {
        let history = History { is_by_key: false, is_normalised: true, ..by_key(0) };
        let judge = settled(&history).judge;
        let mut line = Line::new(Model::new(&options(), 2).unwrap(), slack);
        let text: Arc<[u8]> = Arc::from([]);
        let mut n_most = 0;
        for at in 0..100 {
            let rows = (0..i64::try_from(STEP).unwrap()).map(|n| {
                let second = at * 1_000 + n;
                let x = i32::try_from(n % 5).ok();
                let row = Made { asset: 1, id: 0, second, x, n: None }.row(true);
                let time = VenueTime::from_nanos(second);
                let place = (time, Value::Null, None, Arc::clone(&text));
                Changed { place, key: Some(0), row, diff: 1 }
            });
            let next = if at == 99 { VenueTime::from_nanos(98_000) } else { VenueTime::MIN };
            line.take(&judge, rows.collect(), (VenueTime::MIN, next), &mut |_| ());
            if at < 99 {
                n_most = n_most.max(line.n_rungs());
            }
        }
        assert!(most.contains(&n_most), "{slack}: {n_most}");
        assert!(line.n_rungs() <= 3, "{}", line.n_rungs());
    }
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

#[test]
fn options_are_checked() {
    let relations = || vec![relation("flow", RelationKind::Rows, columns(false))];
    let text = |text: &str| Setting::Text(text.to_owned());
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([("input", text("flow"), 1..2), ("explain_from", text("2"), 3..4)]),
    );
    let problems = problems.err().unwrap();
    assert_eq!((problems[0].code, problems[0].place.clone()), ("wrong_value", 3..4));
    let listed = Setting::List(vec![("asset".to_owned(), 5..6)]);
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("columns", listed, 4..7),
        ]),
    );
    let problems = problems.err().unwrap();
    assert_eq!(problems[0].message, "`asset` holds no numbers");
    let listed = Setting::List(vec![("x".to_owned(), 5..6)]);
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("by", listed, 4..7),
            ("normalise", Setting::Bool(true), 7..8),
        ]),
    );
    assert_eq!(problems.err().unwrap()[0].message, "`x` is no part of the key of `flow`");
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("refit_on", text("sesion"), 4..7),
        ]),
    );
    let problem = problems.err().unwrap().remove(0);
    assert_eq!((problem.code, problem.place), ("unknown_column", 4..7));
    assert_eq!(problem.hint.as_deref(), Some("did you mean `session`?"));
    let newest = schema(&[("asset", Kind::Text), ("x", Kind::Float), ("time", Kind::Time)], 1);
    let problems = prepare(
        &Anomaly,
        vec![relation("flow", RelationKind::Rows, newest)],
        &settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]),
    );
    let message = "each row of `flow` takes the place of the one before";
    assert_eq!(problems.err().unwrap()[0].message, message);
    let taken = schema(&[("asset", Kind::Text), ("time", Kind::Time), ("score", Kind::Float)], 2);
    let problems = prepare(
        &Anomaly,
        vec![relation("flow", RelationKind::Rows, taken)],
        &settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]),
    );
    assert_eq!(problems.err().unwrap()[0].message, "`flow` has a column `score` already");
}

/// A time or an id in the key tells rows apart.
#[test]
fn keys_may_hold_an_id_for_a_time() {
    let text = |text: &str| Setting::Text(text.to_owned());
    for has_id in [false, true] {
        let relations = vec![relation("flow", RelationKind::Rows, columns(has_id))];
        let settings =
            settings([("input", text("flow"), 1..2), ("explain_from", text("0.9"), 3..4)]);
        assert!(prepare(&Anomaly, relations, &settings).is_ok(), "{has_id}");
    }
}

/// Each key's own model takes its numbers as they are.
#[test]
fn units_beside_a_model_a_key_are_refused() {
    let relations = || vec![relation("flow", RelationKind::Rows, columns(false))];
    let text = |text: &str| Setting::Text(text.to_owned());
    let problems = prepare(
        &Anomaly,
        relations(),
        &settings([
            ("input", text("flow"), 1..2),
            ("explain_from", text("0.9"), 3..4),
            ("scope", text("key"), 5..6),
            ("normalise", Setting::Bool(true), 7..8),
        ]),
    );
    let problem = problems.err().unwrap().remove(0);
    let message = "`normalise` says nothing where each key has a model of its own";
    assert_eq!((problem.code, problem.place, &*problem.message), ("wrong_option", 7..8, message));
    assert!(problem.hint.is_some());
}
