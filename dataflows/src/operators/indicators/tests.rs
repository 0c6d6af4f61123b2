//! The definitions, by hand and over real bars in floats; options; problems.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use types::Decimal;
use types::options::Setting;

use super::*;
use crate::operators::fold::fixed::fixed;
use crate::operators::testing::{prepare, relation, settings};
use crate::plan::RelationSpec;

fn steps(names: &[&str], warmup: u64) -> Steps {
    Steps { indicators: names.iter().map(|name| Indicator::parse(name).unwrap()).collect(), warmup }
}

/// What indicators say of some bars, column by column.
fn told(names: &[&str], bars: &[Prices]) -> Vec<Vec<Option<i128>>> {
    let steps = steps(names, 0);
    let mut state = steps.start();
    bars.iter().map(|bar| steps.step(&mut state, bar).unwrap().to_vec()).collect()
}

fn exact(text: &str) -> i128 {
    fixed(Decimal::parse(text.as_bytes()).unwrap()).unwrap()
}

/// Bars of closes, each of which reaches one up and two down.
fn bars(closes: &[&str]) -> Vec<Prices> {
    let bar = |close: &&str| {
        let close = exact(close);
        Prices { high: close + exact("1"), low: close - exact("2"), close }
    };
    closes.iter().map(bar).collect()
}

/// A value with a few decimals, cut off.
fn short(value: Option<i128>) -> String {
    value.map_or("-".to_owned(), |value| Decimal::new(value / exact("0.0001"), 4).to_string())
}

#[test]
fn wilder_s_index_is_as_charts_show_it() {
    // The closes of StockCharts' example of RSI 14, to the cent: 3.34 of gains and 1.40 of losses first.
    let closes = [
        "44.34", "44.09", "44.15", "43.61", "44.33", "44.83", "45.10", "45.42", "45.84", "46.08",
        "45.89", "46.03", "45.61", "46.28", "46.28", "46.00", "46.03",
    ];
    let told = told(&["rsi_14"], &bars(&closes));
    let told: Vec<String> = told.iter().map(|values| short(values[0])).collect();
    assert!(told[..14].iter().all(|value| value == "-"), "{told:?}");
    assert_eq!(told[14..], ["70.4641", "66.2496", "66.4809"]);
    let flat = bars(&["5"; 20]);
    assert!(super::tests::told(&["rsi_14"], &flat).iter().all(|values| values[0].is_none()));
}

/// What rounding leaves of the averages of a price that rests is no strength.
#[test]
fn a_price_that_rests_has_no_strength() {
    let mut closes: Vec<&str> = ["10", "11"].into_iter().cycle().take(60).collect();
    closes.extend(std::iter::repeat_n("11", 1_000));
    let told = told(&["rsi_14", "ema_14"], &bars(&closes));
    let first_null = 60 + told[60..].iter().position(|values| values[0].is_none()).unwrap();
    // Of half: (13 / 14)^n is below 1e-9 from n = 280 on.
    assert!((60 + 270..60 + 290).contains(&first_null), "{first_null}");
    assert!(told[first_null..].iter().all(|values| values[0].is_none()));
    assert!(told[1_000..].iter().all(|values| shown(values[1]) == Value::from(Decimal::from(11))));
    // Only gains are a strength of 100, however small they have become.
    let rises = bars(&["5", "6", "6", "6", "6", "6"]);
    assert_eq!(short(super::tests::told(&["rsi_2"], &rises)[5][0]), "100");
}

#[test]
fn averages_and_bands_are_what_a_hand_makes_them() {
    let told = told(
        &["sma_2", "ema_3", "atr_2", "bollinger_2", "macd_1_2_2"],
        &bars(&["10", "12", "11", "20"]),
    );
    let told: Vec<String> = told
        .iter()
        .map(|row| row.iter().copied().map(short).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "- - - - - - - - - -",
            // True ranges 3 and, from 10 to 13, 3. Closes are 1 from their mean: bands 2 from it, width 4 / 11.
            "11 - 3 11 13 9 0.3636 1 - -",
            // Mean of three: 11. The range is 3 again. EMAs of 1 and 2: 11, and 11 + (11 - 11) x 2 / 3.
            "11.5 11 3 11.5 12.5 10.5 0.1739 0 0.5 -0.5",
            // 11 + (20 - 11) / 2. From 11 to 21: 10, and 3 + (10 - 3) / 2. 20 - (11 + 9 x 2 / 3) = 3; the
            // signal is 0.5 + (3 - 0.5) x 2 / 3.
            "15.5 15.5 6.5 15.5 24.5 6.5 1.1612 3 2.1666 0.8333",
        ]
    );
}

/// As many bars as are asked for, the first that is told among them; and as many again where a number
/// didn't fit.
#[test]
fn a_warm_up_holds_back_what_is_defined_already() {
    let steps = steps(&["sma_2", "sma_4"], 3);
    let mut state = steps.start();
    let mut told = |bar: &Prices| steps.step(&mut state, bar);
    let bars = bars(&["1", "2", "3", "4"]);
    let values: Vec<String> = bars
        .iter()
        .map(|bar| told(bar).unwrap().iter().copied().map(short).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(values, ["- -", "- -", "2.5 -", "3.5 2.5"]);
    let huge = Prices { high: i128::MAX, low: 0, close: i128::MAX };
    assert_eq!(told(&huge), None);
    assert!(steps.start() != state, "the fold starts anew, not the step");
}

/// Daily bars of three stocks, from files that aren't ours to ship: read where they lie beside the
/// workspace, left out elsewhere.
fn daily() -> Option<BTreeMap<String, Vec<[String; 3]>>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("TAPELINE_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("data/ohlcv-daily/bars.csv.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{path:?} isn't there");
        println!("left out: {} isn't there", path.display());
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut stocks: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let bar = [cells[3], cells[4], cells[5]].map(str::to_owned);
        stocks.entry(cells[0].to_owned()).or_default().push(bar);
    }
    Some(stocks)
}

#[test]
fn real_bars_give_what_floats_give() {
    let Some(stocks) = daily() else { return };
    let names = ["rsi_14", "sma_20", "ema_20", "atr_14", "bollinger_20", "macd_12_26_9"];
    let mut n_compared = 0;
    for (stock, bars) in &stocks {
        let prices: Vec<Prices> = bars
            .iter()
            .map(|[high, low, close]| Prices {
                high: exact(high),
                low: exact(low),
                close: exact(close),
            })
            .collect();
        let told = told(&names, &prices);
        let float = |column: usize| -> Vec<f64> {
            bars.iter().map(|bar| bar[column].parse().unwrap()).collect()
        };
        let expected = floats(&float(0), &float(1), &float(2));
        for (index, row) in told.iter().enumerate() {
            for (column, found) in row.iter().enumerate() {
                let found =
                    found.map(|value| Decimal::new(value, 18).to_string().parse::<f64>().unwrap());
                let expected = expected[column][index];
                match (found, expected) {
                    (None, None) => {}
                    (Some(found), Some(expected)) => {
                        // Differences of averages can be next to nothing: floats know 1e-13 of a price.
                        let allowed = (expected.abs() * 1e-9).max(1e-11);
                        assert!(
                            (found - expected).abs() <= allowed,
                            "{stock} {index} {column}: {found} {expected}"
                        );
                        n_compared += 1;
                    }
                    other => panic!("{stock} {index} {column}: {other:?}"),
                }
            }
        }
    }
    assert!(n_compared > 20_000, "{n_compared}");
}

/// A column in floats.
type Floats = Vec<Option<f64>>;

/// The columns of the indicators above, as their definitions say.
fn floats(high: &[f64], low: &[f64], close: &[f64]) -> Vec<Floats> {
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Floats>();
    let change = |of: fn(f64) -> f64| -> Floats {
        let changes = close.windows(2).map(|pair| Some(of(pair[1] - pair[0])));
        std::iter::once(None).chain(changes).collect()
    };
    let (gains, losses) = (change(|c| c.max(0.0)), change(|c| (-c).max(0.0)));
    let strength =
        zip(&smooth(&gains, 14, 1.0 / 14.0), &smooth(&losses, 14, 1.0 / 14.0), |u, d| {
            100.0 - 100.0 / (1.0 + u / d)
        });
    let range = |i: usize| match i {
        0 => high[0] - low[0],
        _ => (high[i] - low[i])
            .max((high[i] - close[i - 1]).abs())
            .max((low[i] - close[i - 1]).abs()),
    };
    let ranges: Vec<f64> = (0..close.len()).map(range).collect();
    let last = |i: usize| (i >= 19).then(|| &close[i - 19..=i]);
    let mean = |of: &[f64]| of.iter().sum::<f64>() / 20.0;
    let means: Floats = (0..close.len()).map(|i| last(i).map(mean)).collect();
    let deviation =
        |of: &[f64]| (of.iter().map(|x| (x - mean(of)).powi(2)).sum::<f64>() / 20.0).sqrt();
    let deviations: Floats = (0..close.len()).map(|i| last(i).map(deviation)).collect();
    let [fast, slow] = [12, 26].map(|n| smooth(&some(close), n, 2.0 / (f64::from(n) + 1.0)));
    let line = zip(&fast, &slow, |fast, slow| fast - slow);
    let signal = smooth(&line, 9, 0.2);
    let histogram = zip(&line, &signal, |line, signal| line - signal);
    vec![
        strength,
        means.clone(),
        smooth(&some(close), 20, 2.0 / 21.0),
        smooth(&some(&ranges), 14, 1.0 / 14.0),
        means.clone(),
        zip(&means, &deviations, |mean, deviation| mean + 2.0 * deviation),
        zip(&means, &deviations, |mean, deviation| mean - 2.0 * deviation),
        zip(&means, &deviations, |mean, deviation| 4.0 * deviation / mean),
        line,
        signal,
        histogram,
    ]
}

fn zip(a: &Floats, b: &Floats, of: fn(f64, f64) -> f64) -> Floats {
    a.iter().zip(b).map(|(a, b)| Some(of((*a)?, (*b)?))).collect()
}

/// From the mean of the first `n` on, alpha of each.
fn smooth(values: &Floats, n: u32, alpha: f64) -> Floats {
    let (mut first, mut average) = (Vec::new(), None);
    let mut next = |value: &Option<f64>| {
        let value = (*value)?;
        average = if let Some(average) = average {
            Some(alpha * value + (1.0 - alpha) * average)
        } else {
            first.push(value);
            let mean = first.iter().sum::<f64>() / f64::from(n);
            (first.len() == usize::try_from(n).unwrap()).then_some(mean)
        };
        average
    };
    values.iter().map(&mut next).collect()
}

fn inputs() -> Vec<RelationSpec> {
    let of = |name, kind: RelationKind| relation(name, kind, kind.schema().unwrap());
    vec![of("bars", RelationKind::Bars), of("trades", RelationKind::Trades)]
}

fn of(input: &str, indicators: &[&str]) -> Settings {
    let listed = indicators.iter().map(|name| ((*name).to_owned(), 20..30)).collect();
    settings([
        ("input", Setting::Text(input.to_owned()), 0..8),
        ("size", Setting::Duration(Span::parse("1m").unwrap()), 9..10),
        ("indicators", Setting::List(listed), 11..12),
    ])
}

#[test]
fn columns_bear_the_indicators_names() {
    let names = ["rsi_2", "bollinger_3", "macd_2_3_4"];
    let prepared = prepare(&Indicators, inputs(), &of("bars", &names)).unwrap();
    let schema = &prepared.outputs[0].schema;
    let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_ref()).collect();
    assert_eq!(
        columns,
        [
            "venue",
            "asset",
            "size",
            "bucket",
            "close",
            "rsi_2",
            "bollinger_3_middle",
            "bollinger_3_upper",
            "bollinger_3_lower",
            "bollinger_3_width",
            "macd_2_3_4",
            "macd_2_3_4_signal",
            "macd_2_3_4_histogram",
        ]
    );
    assert_eq!((schema.n_key, schema.time), (4, Some(3)));
    // As many columns as steps give values, and as many nulls where there is none.
    let steps = steps(&names, 0);
    let mut values = Vec::new();
    steps.show(None, &Box::default(), &mut values);
    assert_eq!(values, vec![Value::Null; columns.len() - 4]);
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |input: &str, indicators: &[&str]| {
        let problems = prepare(&Indicators, inputs(), &of(input, indicators)).err().unwrap();
        let show = |p: Problem| format!("{:?} {} {}", p.place, p.code, p.message);
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(
        problems("trades", &["rsi", "rsi_014", "sma_0", "macd_9_9_3", "adx_14", "sma_2", "sma_2"]),
        [
            "0..8 wrong_input `input` must hold bars, but `trades` holds trades",
            "20..30 unknown_indicator no indicator is named `rsi`",
            "20..30 unknown_indicator no indicator is named `rsi_014`",
            "20..30 unknown_indicator `sma_0`: lengths are from 1 to 10000 bars",
            "20..30 unknown_indicator `macd_9_9_3`: the fast average must be the shorter one",
            "20..30 unknown_indicator no indicator is named `adx_14`",
            "20..30 duplicate_column `sma_2` is listed twice",
        ]
    );
    assert_eq!(
        problems("bars", &[]),
        ["11..12 missing_value `indicators` is empty: rows would be bars alone"]
    );
}
