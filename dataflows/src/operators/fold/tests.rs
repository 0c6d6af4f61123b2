//! Random histories against the twin, change by change; examples; problems.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use types::changes::consolidate;
use types::options::Setting;
use types::relations::RelationKind;
use types::schema::Kind;
use types::{Decimal, Row, Schema, VenueTime};

use super::series::Series;
use super::*;
use crate::operators::Operator;
use crate::operators::ordered::Order;
use crate::operators::testing::{changes, no_names, prepare, relation, row, schema, settings};
use crate::oracle::fold::{Followed, cusum, ewma, zscore};
use crate::plan::RelationSpec;
use fixed::{ONE, fixed};

const COLUMNS: [(&str, Kind); 5] = [
    ("account", Kind::Text),
    ("lot", Kind::Text),
    ("at", Kind::Time),
    ("seq", Kind::Count),
    ("price?", Kind::Number),
];

/// A row, by the numbers of its key, and by time, `seq` and price.
fn trade(key: usize, (at, seq, price): (i64, u64, Option<Decimal>)) -> Row {
    Row(Arc::from([
        Value::Text(format!("a{}", key % 2).as_str().into()),
        Value::Text(format!("lot{}", key / 2).as_str().into()),
        Value::from(VenueTime::from_nanos(at)),
        Value::from(seq),
        Value::from(price),
    ]))
}

/// An epoch: rows by their keys, `None` where the row goes.
type Epoch = Vec<(usize, Option<(i64, u64, Option<Decimal>)>)>;

#[derive(Clone, Debug)]
struct History {
    alpha: i128,
    warmup: u64,
    epochs: Vec<Epoch>,
}

fn history() -> impl Strategy<Value = History> {
    let price = prop_oneof![
        1 => Just(None),
        20 => (0..100_000i64).prop_map(|nano| Some(Decimal::new(nano.into(), 3))),
        5 => Just(Some(Decimal::from(7))),
        // Beyond what fits, sums and squares of it at least.
        1 => (-9..9i128).prop_map(|most| Some(Decimal::new(most * 18_000_000_000_000_000_000, 0))),
    ];
    let place = (prop_oneof![3 => 0..1_000i64, 1 => 0..5i64], 0..3u64);
    let row = (place, price).prop_map(|((at, seq), price)| (at, seq, price));
    let change = (0..500usize, prop::option::weighted(0.85, row));
    let epochs = prop_oneof![
        // Long series, and small changes to them.
        (
            prop::collection::vec(change.clone(), 100..400),
            prop::collection::vec(prop::collection::vec(change.clone(), 1..3), 0..12)
        )
            .prop_map(|(first, rest)| std::iter::once(first).chain(rest).collect()),
        prop::collection::vec(prop::collection::vec(change, 0..20), 1..12),
    ];
    let alpha = prop::sample::select(vec![ONE * 9 / 10, ONE / 2, ONE / 3, fixed::weight_of(20)]);
    (alpha, 1..25u64, epochs).prop_map(|(alpha, warmup, epochs)| History { alpha, warmup, epochs })
}

/// Runs a history on a fold and its twin; `by` are the columns that tell series apart, `n_key` those of
/// the key. Gives how many rows were told.
fn check<S: Step<Input = i128>>(
    history: &History,
    step: &S,
    n_key: usize,
    twin: impl Fn(&[Row], &Schema) -> BTreeSet<Row>,
) -> usize {
    let schema = Arc::new(Schema { n_key, ..schema(&COLUMNS, n_key) });
    let order = Order::new(&schema, &no_names());
    let head: Vec<usize> = (0..n_key.max(3)).collect();
    let standing = Standing::new(order, &[0], &head);
    let mut held: BTreeMap<Vec<Value>, Row> = BTreeMap::new();
    let mut series: BTreeMap<Box<[Value]>, Series<S>> = BTreeMap::new();
    let (mut rows, mut n_told) = (BTreeSet::new(), 0);
    for (index, epoch) in history.epochs.iter().enumerate() {
        let mut changed = Vec::new();
        for (key, new) in epoch {
            let new = new.map(|new| trade(*key, new));
            // With the time in the key, a row goes with its own time.
            let key = match &new {
                Some(new) => new.0[..n_key].to_vec(),
                None => match held.keys().nth(key % held.len().max(1)) {
                    Some(key) => key.clone(),
                    None => continue,
                },
            };
            changed.extend(held.remove(&key).map(|old| (old, -1)));
            changed.extend(new.clone().map(|new| (new, 1)));
            held.extend(new.map(|new| (key, new)));
        }
        consolidate(&mut changed);
        let mut seen: Vec<_> = changed
            .into_iter()
            .map(|(row, diff)| (standing.see(&row, price(&row)).unwrap(), diff))
            .collect();
        seen.sort();
        let mut told = Vec::new();
        for changes in seen.chunk_by(|a, b| a.0.series == b.0.series) {
            let at = changes[0].0.series.clone();
            let series = series.entry(at).or_insert_with(|| Series::new(step));
            told.extend(series.change(step, changes, n_key));
        }
        assert_adjacent(&told, n_key);
        n_told += told.len();
        for (row, diff) in told {
            let is_new = if diff > 0 { rows.insert(row) } else { rows.remove(&row) };
            assert!(is_new, "epoch {index}: a row that comes twice, or goes and isn't there");
        }
        let standing: Vec<Row> = held.values().cloned().collect();
        let expected = twin(&standing, &schema);
        let missing: Vec<_> = expected.difference(&rows).collect();
        let more: Vec<_> = rows.difference(&expected).collect();
        assert!(missing.is_empty() && more.is_empty(), "epoch {index}: {missing:#?} not {more:#?}");
    }
    n_told
}

fn price(row: &Row) -> Option<i128> {
    match &row.0[4] {
        Value::Number(number) => fixed(*number),
        _ => None,
    }
}

/// A row's old state stands right before its new one, and there is no third.
fn assert_adjacent(changes: &[(Row, isize)], n_key: usize) {
    let mut seen = BTreeSet::new();
    for group in changes.chunk_by(|a, b| a.0.0[..n_key] == b.0.0[..n_key]) {
        assert!(seen.insert(group[0].0.0[..n_key].to_vec()), "apart: {:?}", group[0]);
        match group {
            [(_, 1 | -1)] => {}
            [(old, -1), (new, 1)] => assert_ne!(old, new),
            other => panic!("{other:?}"),
        }
    }
}

fn asked(history: &History) -> Followed<'static> {
    let (alpha, warmup) = (history.alpha, history.warmup);
    Followed { by: &["account"], alpha, warmup, drift: ONE / 2, threshold: 3 * ONE }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Keys of account and lot, whose rows tie in time and `seq`, and move.
    #[test]
    fn averages_are_those_of_the_twin(history in history(), n_key in 2..4usize) {
        let step = ewma::Average { alpha: history.alpha };
        let asked = asked(&history);
        check(&history, &step, n_key, |rows, schema| {
            ewma(rows, price, &asked, (schema, &no_names()))
        });
    }

    #[test]
    fn scores_are_those_of_the_twin(history in history(), n_key in 2..4usize) {
        let rate = moments::Rate { alpha: history.alpha, warmup: history.warmup };
        let asked = asked(&history);
        check(&history, &zscore::Scored(rate), n_key, |rows, schema| {
            zscore(rows, price, &asked, (schema, &no_names()))
        });
    }

    #[test]
    fn sums_are_those_of_the_twin(history in history(), n_key in 2..4usize) {
        let rate = moments::Rate { alpha: history.alpha, warmup: history.warmup };
        let asked = asked(&history);
        let step = cusum::Summed { rate, drift: asked.drift, threshold: asked.threshold };
        check(&history, &step, n_key, |rows, schema| {
            cusum(rows, price, &asked, (schema, &no_names()))
        });
    }
}

/// Where only a sum doesn't fit, the row has nulls and the series starts anew, sums and all.
#[test]
fn a_sum_that_does_not_fit_starts_anew() {
    // Of 0, 4 and 6 (whole 1e-9): mean 4, deviation the root of 6. A score of as many whole deviations as
    // fit leaves less than one, and `up` is 1.5.
    let deviation = 2_449_489_743;
    let beyond = 4_000_000_000 + i128::MAX / ONE * deviation;
    let tiny = 1_000_000_000;
    let values = [0, 4 * tiny, 6 * tiny, beyond, 0, 4 * tiny, 6 * tiny, 6 * tiny];
    let at = |index: usize| i64::try_from(index).unwrap();
    let row = |(index, value): (usize, &i128)| {
        (2 * index, Some((at(index), 0, Some(Decimal::new(*value, 18)))))
    };
    let epoch: Epoch = values.iter().enumerate().map(row).collect();
    let history = History { alpha: ONE / 2, warmup: 1, epochs: vec![epoch] };
    let asked = asked(&history);
    let rate = moments::Rate { alpha: history.alpha, warmup: history.warmup };
    let step = cusum::Summed { rate, drift: asked.drift, threshold: asked.threshold };
    check(&history, &step, 3, |rows, schema| {
        let told = cusum(rows, price, &asked, (schema, &no_names()));
        let ups: Vec<String> = told.iter().map(|row| format!("{:?}", row.0[4])).collect();
        let null = format!("{:?}", Value::Null);
        let is_null: Vec<bool> = ups.iter().map(|up| *up == null).collect();
        assert_eq!(is_null, [true, true, false, true, true, true, false, false], "{ups:?}");
        assert_eq!(ups[2], ups[6], "as at first");
        told
    });
    // The scores fit, also the last one, and the sum doesn't.
    let scored = zscore::Scored(rate);
    let (mut moments, mut sums) = (scored.start(), step.start());
    let fits = |value: &i128| {
        (scored.step(&mut moments, value).is_some(), step.step(&mut sums, value).is_some())
    };
    let fits: Vec<(bool, bool)> = values[..4].iter().map(fits).collect();
    assert_eq!(fits, [(true, true), (true, true), (true, true), (true, false)]);
}

/// A late row changes the averages behind it by less and less, and then none: the rest isn't told.
#[test]
fn what_a_late_row_does_not_change_is_not_told() {
    let row = |key: usize, price: i64| {
        let at = i64::try_from(key).unwrap();
        (2 * key, Some((at, 0, Some(Decimal::from(price + at % 7)))))
    };
    let first: Epoch = (0..1_000).filter(|key| *key != 10).map(|key| row(key, 100)).collect();
    let history = History { alpha: ONE / 2, warmup: 1, epochs: vec![first, vec![row(10, 200)]] };
    let step = ewma::Average { alpha: history.alpha };
    let asked = asked(&history);
    let n_told =
        check(&history, &step, 2, |rows, schema| ewma(rows, price, &asked, (schema, &no_names())));
    // 999 rows; the late one; and pairs behind it, of which each halves a difference of 50.
    assert!((999 + 60..999 + 90).contains(&n_told), "{n_told}");
}

fn prices() -> Vec<RelationSpec> {
    let columns = [("asset", Kind::Text), ("at", Kind::Time), ("price?", Kind::Number)];
    vec![relation("prices", RelationKind::Rows, schema(&columns, 2))]
}

fn of<const N: usize>(options: [(&'static str, Setting); N]) -> types::options::Settings {
    let mut all = settings([
        ("input", Setting::Text("prices".to_owned()), 0..8),
        ("value", Setting::Text("price".to_owned()), 10..17),
        ("warmup", Setting::Count(2), 1..2),
    ]);
    for (name, setting) in options {
        all.set(name, setting, 20..30);
    }
    all
}

fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

/// What an operator makes of prices of `b` at the times 1, 2, 3 ..
fn told(
    operator: &dyn Operator,
    settings: &types::options::Settings,
    prices_of: &[&str],
) -> Vec<String> {
    let rows = prices_of.iter().enumerate().map(|(index, price)| {
        let mut values = row(&format!("b 0 {price}")).0.to_vec();
        values[1] = Value::from(VenueTime::from_nanos(i64::try_from(index).unwrap()));
        (Row(values.into()), 0, 1)
    });
    let prepared = prepare(operator, prices(), settings).unwrap();
    let [found, errors] = changes(prepared, &no_names(), rows.collect()).try_into().unwrap();
    let value =
        |row: &str| row.split_once(r#""value":"#).unwrap().1.trim_end_matches('}').to_owned();
    let errors = errors.iter().map(|row| row.rsplit_once(':').unwrap().1.to_owned());
    found.iter().map(|row| value(row)).chain(errors).collect()
}

/// What rounding leaves of the moments of a series that rests is no score, and adds up to no alarm.
#[test]
fn a_series_that_rests_has_no_scores() {
    let mut values: Vec<&str> = ["0", "1"].into_iter().cycle().take(60).collect();
    values.extend(std::iter::repeat_n("1", 1_500));
    let alpha = ("alpha", text("0.1"));
    let scores = told(&Zscore, &of([alpha.clone()]), &values);
    let rests = r#""1","mean":"1","deviation":"0","zscore":null"#;
    assert!(scores[1_000..].iter().all(|row| row == rests), "{:?}", scores.last());
    let averages = told(&Ewma, &of([alpha.clone()]), &values);
    assert!(averages[600..].iter().all(|row| row == r#""1","ewma":"1""#), "{:?}", averages.last());
    let options = [alpha, ("drift", text("0.5")), ("threshold", text("5"))];
    let sums = told(&Cusum, &of(options), &values);
    let rests = r#""1","up":null,"down":null,"alarm":null"#;
    assert!(sums[1_000..].iter().all(|row| row == rests), "{:?}", sums.last());
    assert!(sums[600..].iter().all(|row| !row.contains("true")), "{:?}", sums.last());
}

#[test]
fn folds_say_what_their_formulas_say() {
    assert_eq!(
        told(&Ewma, &of([("alpha", text("0.25"))]), &["8", "12", "null", "1", "1e30"]),
        [
            r#""8","ewma":"8""#,
            r#""12","ewma":"9""#,
            r#"null,"ewma":null"#,
            r#""1","ewma":"7""#,
            r#""overflow of value"}"#,
        ]
    );
    // Of 1, 3: mean 2, variance 0.5 x (0 + 2 x 1) = 1. Of 1, 3, 5: 3.5 and 0.5 x (1 + 3 x 1.5) = 2.75.
    assert_eq!(
        told(&Zscore, &of([("alpha", text("0.5"))]), &["1", "3", "5", "3.5", "3.5"]),
        [
            r#""1","mean":null,"deviation":null,"zscore":null"#,
            r#""3","mean":null,"deviation":null,"zscore":null"#,
            r#""5","mean":"2","deviation":"1","zscore":"3""#,
            r#""3.5","mean":"3.5","deviation":"1.658312395","zscore":"0""#,
            r#""3.5","mean":"3.5","deviation":"1.17260394","zscore":"0""#,
        ]
    );
    let options = [("alpha", text("0.5")), ("drift", text("1")), ("threshold", text("1.5"))];
    assert_eq!(
        told(&Cusum, &of(options), &["1", "3", "5", "3.5", "7"]),
        [
            r#""1","up":null,"down":null,"alarm":null"#,
            r#""3","up":null,"down":null,"alarm":null"#,
            r#""5","up":"2","down":"0","alarm":true"#,
            r#""3.5","up":"0","down":"0","alarm":false"#,
            // 3.5 / 1.172603940 - 1.
            r#""7","up":"1.984810029","down":"0","alarm":true"#,
        ]
    );
}

#[test]
fn problems_stand_where_they_are() {
    let problems = |operator: &dyn Operator, relations, settings: &types::options::Settings| {
        let problems = prepare(operator, relations, settings).err().unwrap();
        let show = |p: types::options::Problem| {
            let hint = p.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{:?} {} {}{hint}", p.place, p.code, p.message)
        };
        problems.into_iter().map(show).collect::<Vec<_>>()
    };
    let list = |names: &[&str]| {
        Setting::List(names.iter().map(|name| ((*name).to_owned(), 20..30)).collect())
    };
    let both = of([("alpha", text("0.1")), ("half_life", Setting::Count(3))]);
    assert_eq!(
        problems(&Ewma, prices(), &both),
        [
            "20..30 wrong_option `alpha` and `half_life` both say how fast rows lose weight | leave one of them out"
        ]
    );
    // What would be rounded to 0 in whole 1e-18 is refused as 0 is.
    let tiny = ["0.0000000000000000001", "0.00000000000000000049", "1e-19"];
    for wrong in ["0", "1", "x", "0.1234567890123456789"].into_iter().chain(tiny) {
        assert_eq!(
            problems(&Zscore, prices(), &of([("alpha", text(wrong))])),
            [format!(
                "20..30 out_of_range `{wrong}` isn't a number that can stand here | a number above 0 and below 1, like \"0.1\", with 18 decimals at most"
            )]
        );
    }
    let wrong = of([
        ("drift", text("-1")),
        ("threshold", text("0")),
        ("value", text("asset")),
        ("by", list(&["price", "at", "x"])),
    ]);
    assert_eq!(
        problems(&Cusum, prices(), &wrong),
        [
            "20..30 out_of_range `-1` isn't a number that can stand here | a number from 0 to 1000000, with 18 decimals at most",
            "20..30 out_of_range `0` isn't a number that can stand here | a number above 0, 1000000 at most, with 18 decimals at most",
            "20..30 bad_expression the expression must be a number | name a number, like `price`",
            "20..30 unknown_column `prices` has no column `x` | known: asset, at, price",
            "20..30 wrong_option `price` isn't part of the key of `prices` | columns of the key: asset, at",
        ]
    );
    let timeless = [("value", Kind::Text), ("price", Kind::Number)];
    let timeless = vec![relation("prices", RelationKind::Rows, schema(&timeless, 1))];
    assert_eq!(
        problems(&Ewma, timeless, &of([])),
        [
            "0..8 wrong_input `prices` has no column that says when a row happened | read something with times: fills, trades, quotes, bars, snapshots",
            "0..8 duplicate_column `prices` has a column `value` in its key already",
        ]
    );
    let quotes = types::relations::RelationKind::Quotes;
    let quotes = vec![relation("prices", quotes, quotes.schema().unwrap())];
    let found = problems(&Ewma, quotes, &of([("value", text("bid"))]));
    assert_eq!(
        found,
        [
            "0..8 wrong_input the rows of `prices` have no key that tells them apart | read trades, fills, bars, features or snapshots"
        ]
    );
}
