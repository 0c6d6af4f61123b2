use proptest::prelude::*;

use super::*;
use crate::Model;

/// Five minutes.
const STEP: i64 = 300_000_000_000;

/// A day's wave with noise.
fn value(at: i64, chance: &mut Chance) -> f64 {
    let phase = f64::from(i32::try_from(at % 288).unwrap()) / 288.0;
    100.0 + 20.0 * (std::f64::consts::TAU * phase).sin() + chance.normal()
}

fn step(detector: &mut impl Detector, value: f64, time: Option<i64>) -> Assessed {
    let assessed = detector.assess(&[value], time);
    detector.learn(&[value], time, &assessed);
    assessed
}

fn learnt(rows: i64) -> (Series, Chance) {
    let mut chance = Chance::new(21);
    let mut series = Series::new(&Options::default());
    for at in 0..rows {
        step(&mut series, value(at, &mut chance), Some(at * STEP));
    }
    (series, chance)
}

#[test]
fn a_single_column_gets_a_series() {
    assert!(matches!(Model::new(&Options::default(), 1), Ok(Model::Series(_))));
    assert!(matches!(Model::new(&Options::default(), 2), Ok(Model::Rows(_))));
}

#[test]
fn a_spike_is_unusual_and_so_is_a_value_at_the_wrong_hour() {
    let (mut series, _) = learnt(3_000);
    // 3,000 % 288 = 120: the wave is at 100 + 10.
    let spike = series.assess(&[300.0], Some(3_000 * STEP));
    assert!(spike.score > Some(0.9999), "{spike:?}");
    let usual = series.assess(&[110.0], Some(3_000 * STEP));
    assert!(usual.score < Some(0.99), "{usual:?}");
    // Usual at noon, not now.
    let early = series.assess(&[85.0], Some(3_000 * STEP));
    assert!(early.score > Some(0.99), "{early:?}");
    let reasons = series.explain(&[85.0], Some(3_000 * STEP));
    assert!(reasons.iter().any(|reason| reason.aspect == Aspect::Hour), "{reasons:?}");
}

#[test]
fn a_lasting_disturbance_is_news_once() {
    let (mut series, _) = learnt(3_000);
    let mut alarms = 0;
    for at in 3_000..3_060 {
        alarms += usize::from(step(&mut series, 300.0, Some(at * STEP)).score > Some(0.999));
    }
    assert!((1..=20).contains(&alarms), "{alarms} of 60 rows");
}

/// Only the first rows of a disturbance that is beyond all that was met can be alarms.
#[test]
fn a_repeat_is_no_alarm_however_large() {
    let (mut series, _) = learnt(3_000);
    for at in 3_000..3_100 {
        let value = if at % 2 == 0 { 1e6 } else { 100.0 };
        let is_repeat = at >= 3_016;
        let assessed = step(&mut series, value, Some(at * STEP));
        assert!(!is_repeat || assessed.score < Some(0.9923), "row {at}: {assessed:?}");
    }
}

/// Where a series stands has no part in how unusual it is. Values and constants are exact.
#[test]
fn a_constant_added_to_a_series_changes_no_score() {
    for constant in [1_024.0, -65_536.0] {
        let mut chance = Chance::new(31);
        let (mut low, mut high) =
            (Series::new(&Options::default()), Series::new(&Options::default()));
        for at in 0..3_000 {
            let noise = (chance.normal() * 64.0).round() / 64.0;
            let value = if at % 500 == 499 { 12.0 } else { noise };
            let one = step(&mut low, value, Some(at * STEP));
            let two = step(&mut high, value + constant, Some(at * STEP));
            assert!((one.raw - two.raw).abs() < 1e-6, "row {at}: {one:?}, {two:?}");
            assert!((one.surprise - two.surprise).abs() < 1e-6, "row {at}: {one:?}, {two:?}");
        }
    }
}

#[test]
fn a_missing_value_is_no_news_and_teaches_nothing() {
    let (mut series, _) = learnt(1_000);
    let spike = step(&mut series, 300.0, Some(1_000 * STEP));
    assert!(spike.score > Some(0.999), "{spike:?}");
    let before = Model::Series(Box::new(series.clone())).encode();
    for row in [vec![f64::NAN], vec![f64::INFINITY], Vec::new()] {
        let assessed = series.assess(&row, Some(1_001 * STEP));
        assert!(assessed.numbers.iter().all(|number| number.is_nan()), "{assessed:?}");
        assert_eq!((assessed.raw, assessed.score), (0.0, Some(0.0)));
        series.learn(&row, Some(1_001 * STEP), &assessed);
    }
    assert_eq!(Model::Series(Box::new(series)).encode(), before);
}

#[test]
fn one_wild_value_changes_no_measure_for_good() {
    let (calm, _) = learnt(2_000);
    let mut chance = Chance::new(21);
    let mut series = Series::new(&Options::default());
    for at in 0..2_000 {
        let value = value(at, &mut chance);
        step(&mut series, if at == 1_000 { 1e9 } else { value }, Some(at * STEP));
    }
    let ratio = series.deviation() / calm.deviation();
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    for (hour, calm) in series.hours.iter().zip(&calm.hours) {
        assert!((hour.mean - calm.mean).abs() < 3.0, "{hour:?}, without it {calm:?}");
    }
}

/// The same value within the hour that the wild one came in is usual at once.
#[test]
fn a_wild_value_leaves_its_hour_as_it_was() {
    let mut hour = Hour::default();
    for at in 0..200 {
        hour.learn(f64::from(at % 5), 1.5);
    }
    let before = hour;
    hour.learn(1e12, 1.5);
    assert!((hour.mean - before.mean).abs() < 0.5, "{before:?} {hour:?}");
    assert!(hour.deviation < 2.0 * before.deviation, "{before:?} {hour:?}");
}

#[test]
fn fits_come_with_event_time_if_asked_for() {
    let options = Options { refit_ns: Some(100 * STEP), ..Options::default() };
    let mut chance = Chance::new(21);
    let mut series = Series::new(&options);
    let mut fits = 0;
    for at in 0..3_049 {
        let before = series.schedule.clone();
        step(&mut series, value(at, &mut chance) + chance.unit(), Some(at * STEP));
        fits += u32::from(at >= 2_048 && series.schedule.row != before.row);
    }
    assert!((8..=11).contains(&fits), "{fits}");
    let mut never = Series::new(&options);
    never.refit(Some(0));
    step(&mut never, 1.0, None);
    never.refit(None);
    assert!(never.values.deciles().is_none());
}

/// Peaks against a scan of the last rows.
#[test]
fn repeats_are_those_of_a_scan() {
    let mut chance = Chance::new(2);
    let mut series = Series::new(&Options::default());
    let mut surprises: Vec<f64> = Vec::new();
    for _ in 0..2_000 {
        let surprise = (chance.unit() * 50.0).floor();
        let from = surprises.len().saturating_sub(QUIET_ROWS);
        let twin = surprises[from..].iter().any(|earlier| *earlier >= surprise);
        assert_eq!(series.is_repeat(surprise), twin, "row {}", surprises.len());
        series.note_peak(surprise);
        series.seen += 1;
        surprises.push(surprise);
        assert!(series.peaks.len() <= QUIET_ROWS);
    }
}

#[test]
fn a_repeat_is_one_for_so_many_rows() {
    let mut series = Series::new(&Options::default());
    let mut repeats = 0;
    for surprise in std::iter::once(1e3).chain((1..200).map(f64::from)) {
        repeats += usize::from(series.is_repeat(surprise));
        series.note_peak(surprise);
        series.seen += 1;
    }
    // All grow, so each is a repeat of the first alone.
    assert_eq!(repeats, QUIET_ROWS);
}

#[test]
fn means_and_shapes_are_of_the_last_values() {
    let mut series = Series::new(&Options::default());
    let values: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 23)).collect();
    for (at, value) in values.iter().enumerate() {
        let numbers = series.numbers(*value, None);
        for (place, count) in [(1, 4), (2, 16)] {
            let from = (at + 1).saturating_sub(count);
            let twin = values[from..=at].iter().sum::<f64>() / crate::number::float(at + 1 - from);
            assert!((numbers[place] - twin).abs() < 1e-9, "mean of {count} at {at}");
        }
        assert!(numbers[0].is_nan(), "no time, no hour");
        step(&mut series, *value, None);
    }
    assert_eq!(series.recent, values[60 - RECENT..]);
}

#[test]
fn hours_are_of_the_day_and_clocks_may_jump() {
    assert_eq!([0, HOUR - 1, HOUR, 25 * HOUR, -1].map(hour_of), [0, 0, 1, 1, 23].map(Some));
    assert!(hour_of(i64::MIN).is_some() && hour_of(i64::MAX).is_some());
    let (mut series, mut chance) = learnt(600);
    for time in [i64::MAX, i64::MIN, 0, -1, i64::MAX] {
        let assessed = step(&mut series, value(0, &mut chance), Some(time));
        assert!(assessed.raw.is_finite());
    }
}

#[test]
fn a_restart_changes_no_bit() {
    for stop in [0, 1, 15, 16, 40, 700, 5_000] {
        let mut chance = Chance::new(5);
        let mut one = Model::new(&Options::default(), 1).unwrap();
        for at in 0..stop {
            step(&mut one, value(at, &mut chance), Some(at * STEP));
        }
        let bytes = one.encode();
        let mut two = Model::decode(&bytes).unwrap();
        assert_eq!(two.encode(), bytes);
        for at in stop..stop + 400 {
            let value = value(at, &mut chance);
            let assessed = step(&mut one, value, Some(at * STEP));
            assert_eq!(
                format!("{:?}", step(&mut two, value, Some(at * STEP))),
                format!("{assessed:?}")
            );
        }
        assert_eq!(one.encode(), two.encode());
    }
}

#[test]
fn parts_that_do_not_fit_are_no_model() {
    let (whole, _) = learnt(100);
    let encode = |series: Series| Model::Series(Box::new(series)).encode();
    assert!(Model::decode(&encode(whole.clone())).is_ok());
    type Forge = fn(&mut Series);
    let forges: [Forge; 8] = [
        |forged| forged.seen = usize::MAX,
        |forged| forged.schedule.row = usize::MAX,
        |forged| forged.recent[0] = f64::NAN,
        |forged| forged.range = -1.0,
        |forged| forged.hours[3].deviation = f64::INFINITY,
        |forged| forged.values = Tail::exponential(0),
        |forged| forged.peaks.push((usize::MAX, 1.0)),
        |forged| forged.shapes.learn(&[f64::MAX; LENGTH], &mut Chance::new(0)),
    ];
    for (at, forge) in forges.iter().enumerate() {
        let mut forged = whole.clone();
        forge(&mut forged);
        assert!(Model::decode(&encode(forged)).is_err(), "forged part {at}");
    }
}

#[test]
fn the_state_stays_bounded() {
    let (series, _) = learnt(12_000);
    assert!(series.state_bytes() < 256 * 1024, "{}", series.state_bytes());
    let (longer, _) = learnt(14_000);
    assert!(longer.state_bytes() <= series.state_bytes() + QUIET_ROWS * 16);
}

#[test]
fn a_flat_line_raises_no_alarm_until_it_moves() {
    let mut series = Series::new(&Options::default());
    for at in 0..1_000 {
        let assessed = step(&mut series, 45.0, Some(at * STEP));
        assert!(assessed.score.is_none_or(|score| score < 0.99), "row {at}: {assessed:?}");
    }
    let moved = series.assess(&[46.0], Some(1_000 * STEP));
    assert!(moved.score > Some(0.999), "{moved:?}");
}

proptest! {
    #[test]
    fn no_row_breaks_a_series(
        rows in prop::collection::vec(
            (prop_oneof![3 => -9.0..9.0, 1 => any::<f64>()], any::<Option<i64>>()), 1..200,
        ),
    ) {
        let mut series = Series::new(&Options::default());
        for (value, time) in rows {
            let assessed = step(&mut series, value, time);
            prop_assert!(assessed.raw.is_finite() && assessed.raw >= 0.0, "{assessed:?}");
            prop_assert!(assessed.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
            for reason in series.explain(&[value], time) {
                prop_assert!(reason.share.is_finite() && reason.deviations.is_finite(), "{reason:?}");
            }
        }
        prop_assert!(series.is_whole());
    }
}
