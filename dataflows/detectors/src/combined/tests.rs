use proptest::prelude::*;

use super::*;
use crate::Model;

/// Two columns that go together, and a third that stands still.
fn usual(chance: &mut Chance) -> Vec<f64> {
    let x = chance.normal();
    vec![x, x + 0.1 * chance.normal(), 5.0]
}

fn learnt(options: &Options, rows: usize) -> Combined {
    let mut detector = Combined::new(options, 3);
    let mut chance = Chance::new(77);
    for _ in 0..rows {
        step(&mut detector, &usual(&mut chance));
    }
    detector
}

fn step(detector: &mut impl Detector, row: &[f64]) -> Assessed {
    let assessed = detector.assess(row, None);
    detector.learn(row, None, &assessed);
    assessed
}

fn fold(model: &mut Model, rows: &[Vec<f64>]) {
    for row in rows {
        step(model, row);
    }
}

fn of_kind(kind: Kind) -> Options {
    Options { kind, ..Options::default() }
}

const KINDS: [Kind; 4] = [Kind::Combined, Kind::RobustZ, Kind::Loda, Kind::Forest];

#[test]
fn warming_gives_no_score_and_then_there_is_one() {
    let mut detector = Combined::new(&Options::default(), 3);
    let mut chance = Chance::new(77);
    for at in 0..64 {
        let assessed = step(&mut detector, &usual(&mut chance));
        let is_warming = at < 32;
        assert_eq!(assessed.score.is_none(), is_warming, "row {at}");
        assert_eq!(assessed.state == State::Warming, is_warming, "row {at}");
    }
}

#[test]
fn what_is_far_away_is_unusual_to_every_kind() {
    for kind in KINDS {
        let mut scores = Vec::new();
        for seed in 0..9 {
            let mut detector = learnt(&Options { seed, ..of_kind(kind) }, 1_000);
            scores.extend(detector.assess(&[9.0, -9.0, 5.0], None).score);
            let near = detector.assess(&[0.1, 0.1, 5.0], None);
            assert!(near.score < Some(0.9), "{kind:?}: {near:?}");
        }
        scores.sort_by(f64::total_cmp);
        assert!(scores[0] > 0.96 && scores[4] > 0.98, "{kind:?}: {scores:?}");
    }
}

/// Each value is usual on its own; together they aren't.
#[test]
fn an_unusual_combination_is_seen() {
    let mut detector = learnt(&Options::default(), 2_000);
    let odd = detector.assess(&[1.5, -1.5, 5.0], None);
    assert!(odd.score > Some(0.9), "{odd:?}");
}

/// Right after the first fit p means what it says: the rows that the models were fitted to are no
/// measure of those that come.
#[test]
fn the_first_scores_are_no_alarms() {
    let mut alarms = 0;
    for seed in 0..40 {
        let mut detector = Combined::new(&Options { seed, ..Options::default() }, 4);
        let mut chance = Chance::new(1_000 + seed);
        for _ in 0..128 {
            let row: Vec<f64> = (0..4).map(|_| chance.normal() * chance.normal().exp()).collect();
            alarms += usize::from(step(&mut detector, &row).score >= Some(0.999));
        }
    }
    // 3.8 of 3,840 rows are nominal; a tail of 32 numbers is known roughly only. Judged by models that
    // had seen them, the first rows would let 100 through.
    assert!(alarms <= 24, "{alarms}");
}

#[test]
fn an_attack_of_a_thousand_rows_stays_unusual() {
    let mut detector = learnt(&Options::default(), 4_000);
    for at in 0..1_000 {
        let assessed = step(&mut detector, &[9.0, -9.0, 5.0]);
        assert!(assessed.score > Some(0.9), "row {at} of the attack: {assessed:?}");
    }
}

#[test]
fn a_new_regime_becomes_usual() {
    let mut detector = learnt(&Options::default(), 2_000);
    let mut chance = Chance::new(3);
    let mut last = None;
    for _ in 0..12_000 {
        let row: Vec<f64> = usual(&mut chance).iter().map(|x| x + 50.0).collect();
        last = step(&mut detector, &row).score;
    }
    assert!(last < Some(0.99), "{last:?}");
    let share = (0..100)
        .filter(|_| {
            let row: Vec<f64> = usual(&mut chance).iter().map(|x| x + 50.0).collect();
            step(&mut detector, &row).score >= Some(0.9)
        })
        .count();
    assert!(share <= 30, "{share} of 100 rows of the new regime are still unusual");
}

#[test]
fn a_constant_column_says_nothing_until_it_moves() {
    let mut detector = learnt(&Options::default(), 1_000);
    let still = detector.assess(&[0.0, 0.0, 5.0], None);
    let moved = detector.assess(&[0.0, 0.0, 6.0], None);
    assert!(moved.surprise > still.surprise + 2.0, "{still:?} {moved:?}");
    assert_eq!(detector.explain(&[0.0, 0.0, 6.0], None)[0].column, 2);
}

#[test]
fn reasons_name_the_column_that_did_it() {
    let mut detector = Combined::new(&Options::default(), 3);
    let mut chance = Chance::new(77);
    for _ in 0..1_000 {
        let row: Vec<f64> = usual(&mut chance).iter().map(|x| x + 100.0).collect();
        step(&mut detector, &row);
    }
    let reasons = detector.explain(&[100.0, 130.0, 105.0], None);
    assert_eq!((reasons[0].column, reasons[0].value), (1, 130.0));
    assert!(reasons[0].share > 0.5 && reasons[0].deviations > 20.0, "{reasons:?}");
    // The first column did next to nothing.
    assert!(reasons.iter().all(|reason| reason.column > 0 && reason.share >= 0.1), "{reasons:?}");
    let shares: f64 = reasons.iter().map(|reason| reason.share).sum();
    assert!((0.9..1.000_001).contains(&shares), "{reasons:?}");
    // A value is shown as it came, though it is read as one at the end of the range.
    let shown = detector.explain(&[100.0, 1e308, 105.0], None)[0].value;
    assert_eq!(shown.to_bits(), 1e308_f64.to_bits());
    assert!(Combined::new(&Options::default(), 3).explain(&[0.0; 3], None).is_empty());
}

/// Encoded and decoded in the middle, or cloned, a detector goes on with the same bits.
#[test]
fn a_restart_changes_no_bit() {
    for kind in KINDS {
        for stop in [0, 1, 31, 32, 33, 500, 2_100] {
            let mut chance = Chance::new(5);
            let mut one = Model::new(&of_kind(kind), 3).unwrap();
            for _ in 0..stop {
                step(&mut one, &usual(&mut chance));
            }
            let bytes = one.encode();
            let mut two = Model::decode(&bytes).unwrap();
            let mut three = one.clone();
            assert_eq!(two.encode(), bytes);
            for at in 0..300 {
                let row = usual(&mut chance);
                let assessed = step(&mut one, &row);
                assert_eq!(step(&mut two, &row), assessed, "{kind:?}, {stop} + {at}");
                assert_eq!(step(&mut three, &row), assessed, "{kind:?}, {stop} + {at}");
            }
            assert_eq!(one.encode(), two.encode());
            assert_eq!(one.state_bytes(), two.state_bytes());
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_no_model() {
    let whole = learnt(&Options::default(), 100);
    let encode = |detector: Combined| Model::Rows(Box::new(detector)).encode();
    assert!(Model::decode(&encode(whole.clone())).is_ok());
    let mut lost = whole.clone();
    lost.deviations.pop();
    assert!(Model::decode(&encode(lost)).is_err());
    let mut wide = whole.clone();
    wide.dimension = 4;
    assert!(Model::decode(&encode(wide)).is_err());
    type Forge = fn(&mut Combined);
    let forges: [Forge; 10] = [
        |forged| forged.seen = usize::MAX,
        |forged| forged.schedule.row = usize::MAX,
        |forged| forged.deviations[0].mean = f64::NAN,
        |forged| forged.memory = Memory::new(3, 256, 1 << 60),
        |forged| forged.raw_tail = Tail::shaped(0),
        |forged| forged.tails[1] = Tail::of_member(1 << 60),
        |forged| forged.tails[2].learn(f64::INFINITY, &mut Chance::new(0)),
        |forged| forged.tail_budget = Budget::new(f64::NAN, 64.0),
        |forged| forged.options.trees = 0,
        |forged| {
            let mut fitted = Fitted::clone(forged.fitted.as_deref().unwrap());
            fitted.columns[0].deviation = 0.0;
            forged.fitted = Some(Arc::new(fitted));
        },
    ];
    for (at, forge) in forges.iter().enumerate() {
        let mut forged = whole.clone();
        forge(&mut forged);
        assert!(Model::decode(&encode(forged)).is_err(), "forged part {at}");
    }
    let mut bytes = encode(whole);
    bytes[0] += 1;
    assert!(matches!(Model::decode(&bytes), Err(crate::Error::Undecodable(_))));
}

#[test]
fn options_out_of_their_ranges_are_refused() {
    let refused = |options: Options, dimension| {
        let error = Model::new(&options, dimension).expect_err("refused");
        error.to_string()
    };
    assert_eq!(
        refused(Options { trees: 0, ..Options::default() }, 3),
        "trees is 0; it must be from 1 to 1024"
    );
    assert_eq!(
        refused(Options::default(), 0),
        "the number of columns is 0; it must be from 1 to 4096"
    );
    assert!(refused(Options { refit_ns: Some(0), ..Options::default() }, 3).contains("refit_ns"));
}

/// A correction: folded anew from a kept state, without the row, as if it had never been.
#[test]
fn a_row_taken_back_leaves_no_trace() {
    let mut chance = Chance::new(6);
    let rows: Vec<Vec<f64>> = (0..700).map(|_| usual(&mut chance)).collect();
    let mut kept = Model::new(&Options::default(), 3).unwrap();
    fold(&mut kept, &rows[..400]);
    let mut with = kept.clone();
    step(&mut with, &[1e9, 0.0, 0.0]);
    fold(&mut with, &rows[400..]);
    let mut again = kept;
    fold(&mut again, &rows[400..]);
    let mut never = Model::new(&Options::default(), 3).unwrap();
    fold(&mut never, &rows);
    assert_eq!(again.encode(), never.encode());
    assert_ne!(with.encode(), never.encode());
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let one = learnt(&Options::default(), 600);
    let same = learnt(&Options::default(), 600);
    let other = learnt(&Options { seed: 1, ..Options::default() }, 600);
    let bytes = |detector: &Combined| postcard::to_stdvec(detector).unwrap();
    assert_eq!(bytes(&one), bytes(&same));
    assert_ne!(bytes(&one), bytes(&other));
}

/// The bits themselves, so that another machine or toolchain that gives others is noticed.
#[test]
fn the_bits_are_these() {
    let mut detector = learnt(&Options::default(), 3_000);
    let raw = detector.assess(&[1.0, -1.0, 5.0], None).raw;
    assert_eq!(raw.to_bits(), RAW_BITS, "{:#x}", raw.to_bits());
}

const RAW_BITS: u64 = 0x4001_6235_04b5_7c06;

#[test]
fn the_state_stays_bounded() {
    let mut detector = Combined::new(&Options::default(), 9);
    let mut chance = Chance::new(1);
    let mut bytes = Vec::new();
    for at in 1..=40_000 {
        let row: Vec<f64> = (0..9).map(|_| chance.normal()).collect();
        step(&mut detector, &row);
        if at % 10_000 == 0 {
            bytes.push(detector.state_bytes());
        }
    }
    assert!(bytes.iter().all(|n| *n == bytes[0]) && bytes[0] < 256 * 1024, "{bytes:?}");
}

#[test]
fn fits_come_with_event_time_if_asked_for() {
    let options = Options { refit_ns: Some(10_000), ..Options::default() };
    let mut detector = learnt(&options, 2_100);
    let before = detector.fitted.clone();
    let mut time = 0;
    let mut fits = 0;
    for _ in 0..1_000 {
        time += 100;
        let row = [0.0, 0.0, 5.0];
        let assessed = detector.assess(&row, Some(time));
        let fitted = detector.fitted.clone();
        detector.learn(&row, Some(time), &assessed);
        fits += usize::from(fitted != detector.fitted);
    }
    assert!((8..=11).contains(&fits), "{fits}");
    detector.refit(Some(time));
    assert_ne!(before, detector.fitted);
}

fn odd_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0, -0.0,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_row_breaks_a_detector(
        rows in prop::collection::vec(prop::collection::vec(odd_value(), 0..5), 1..200),
        times in prop::collection::vec(any::<Option<i64>>(), 200),
        kind in prop::sample::select(KINDS.to_vec()),
        dimension in 1_usize..4,
        refit_ns in prop::option::of(1_i64..i64::MAX),
    ) {
        let options = Options { kind, refit_ns, ..Options::default() };
        let mut model = Model::new(&options, dimension).unwrap();
        for (row, time) in rows.iter().zip(times) {
            let assessed = model.assess(row, time);
            prop_assert!(assessed.raw.is_finite() && assessed.raw >= 0.0, "{assessed:?}");
            prop_assert!(assessed.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
            for reason in model.explain(row, time) {
                prop_assert!(reason.share.is_finite() && reason.deviations.is_finite(), "{reason:?}");
            }
            model.learn(row, time, &assessed);
        }
        prop_assert!(Model::decode(&model.encode()).is_ok());
    }

    #[test]
    fn bytes_cut_short_are_refused(cut in 0_usize..10_000) {
        let bytes = Model::Rows(Box::new(learnt(&Options::default(), 60))).encode();
        prop_assert!(Model::decode(&bytes[..cut.min(bytes.len() - 1)]).is_err());
    }
}

/// The state of a small model that has learnt a few rows, so that each part is met by chance.
fn state(dimension: usize, rows: i64) -> Vec<u8> {
    let options = Options { trees: 1, projections: 2, reservoir: 32, ..Options::default() };
    // In keys' own units, or as they come.
    let make = if rows % 2 == 0 { Model::of_units } else { Model::new };
    let mut model = make(&options, dimension).unwrap();
    let mut chance = Chance::new(4);
    for at in 0..rows {
        let row: Vec<f64> = usual(&mut chance).into_iter().take(dimension).collect();
        let assessed = model.assess(&row, Some(at));
        model.learn(&row, Some(at), &assessed);
    }
    model.encode()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Bytes that another wrote are no model, or one that works on.
    #[test]
    fn forged_bytes_are_refused_or_harmless(
        (dimension, rows) in (1_usize..4, 0_i64..90),
        flips in prop::collection::vec(
            (
                prop_oneof![0_usize..200, any::<usize>()],
                prop_oneof![prop::sample::select(vec![0_u8, 1, 0x7f, 0x80, 0xff]), any::<u8>()],
            ),
            1..6,
        ),
        run in prop::option::of((any::<usize>(), 1_usize..12)),
        values in prop::collection::vec(odd_value(), 60),
    ) {
        let mut bytes = state(dimension, rows);
        let count = bytes.len();
        for (at, byte) in flips {
            bytes[at % count] = byte;
        }
        if let Some((from, length)) = run {
            // Counts and sizes as large as they get.
            bytes.iter_mut().skip(from % count).take(length).for_each(|byte| *byte = 0xff);
        }
        if let Ok(mut model) = Model::decode(&bytes) {
            for (at, row) in values.chunks(3).cycle().take(60).enumerate() {
                let time = i64::try_from(at).ok();
                let assessed = model.assess(row, time);
                prop_assert!(assessed.raw.is_finite(), "{assessed:?}");
                prop_assert!(assessed.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
                model.explain(row, time);
                model.learn(row, time, &assessed);
            }
            model.refit(Some(0));
            prop_assert!(model.state_bytes() > 0);
            prop_assert!(Model::decode(&model.encode()).is_ok());
        }
    }
}
