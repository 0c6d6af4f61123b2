//! `features` against its twin, and against the formulas of the textbook in floats.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::Plan;
use dataflows::oracle::features::{Asked, features, of_fill, of_quote, of_trade};
use proptest::prelude::*;
use types::relations::{Fill, FillKind, Quote, Trade};
use types::{Changes, Names, Row, Value, VenueTime};

use crate::harness::{self, Any, SECOND, at, clocks, history, run, total};

/// A view as a config would have it, and what its twin is asked for.
struct View {
    input: &'static str,
    by: &'static [&'static str],
    windows: &'static str,
    kind: &'static str,
    step: Option<&'static str>,
}

static VIEWS: [View; 7] = [
    View {
        input: "fills",
        by: &["venue", "asset"],
        windows: "1m,5m,1h",
        kind: "sliding",
        step: None,
    },
    View { input: "fills", by: &["wallet"], windows: "90s", kind: "tumbling", step: None },
    View {
        input: "fills",
        by: &["venue", "wallet", "asset"],
        windows: "10m,7m",
        kind: "sliding",
        step: Some("30s"),
    },
    View { input: "trades", by: &["venue", "asset"], windows: "3m", kind: "sliding", step: None },
    View {
        input: "trades",
        by: &["venue", "asset"],
        windows: "3m,1h",
        kind: "tumbling",
        step: Some("45s"),
    },
    View {
        input: "quotes",
        by: &["venue", "asset"],
        windows: "1m,1w",
        kind: "sliding",
        step: Some("20s"),
    },
    View {
        input: "quotes",
        by: &["venue", "asset"],
        windows: "1m",
        kind: "tumbling",
        step: Some("1m"),
    },
];

impl View {
    fn plan(&self) -> Plan {
        let by = self.by.join(",");
        let mut options = vec![
            ("input", self.input),
            ("by", &by),
            ("windows", self.windows),
            ("kind", self.kind),
            ("emit", if self.step.is_some() { "step" } else { "event" }),
        ];
        options.extend(self.step.map(|step| ("step", step)));
        harness::plan(&[("flow", "features", &options)], &["flow"])
    }

    /// The names of its features, which the columns tell.
    fn features(&self) -> Vec<String> {
        let plan = self.plan();
        let schema = &plan.views[plan.view("flow").unwrap()].schema;
        let columns = schema.columns.iter().skip(schema.n_key);
        let columns = columns.map(|column| column.name.to_string()).filter(|name| name != "seq");
        let window = |name: String| {
            let windows = self.windows.split(',').map(|window| format!("_{window}"));
            let mut bare =
                windows.filter_map(|window| name.strip_suffix(&window).map(str::to_owned));
            bare.next().unwrap_or_else(|| name.clone())
        };
        let mut features: Vec<String> = columns.map(window).collect();
        features.dedup();
        features
    }

    fn twin(&self, events: &[Any], last_step: Option<VenueTime>, names: &Names) -> BTreeSet<Row> {
        let named = self.features();
        let windows: Vec<&str> = self.windows.split(',').collect();
        let asked = Asked {
            by: self.by,
            windows: &windows,
            is_tumbling: self.kind == "tumbling",
            features: &named.iter().map(String::as_str).collect::<Vec<_>>(),
            exact_up_to: 10_000,
            steps: self.step.zip(last_step),
        };
        match self.input {
            "fills" => {
                let fills = harness::fills_of(events);
                let fills = harness::standing(&fills, |f| (f.wallet, f.asset, f.id));
                features(&fills, of_fill, &asked, (&Fill::schema(), names))
            }
            "trades" => {
                let trades = harness::trades_of(events);
                let trades = harness::standing(&trades, |t| (t.asset, t.id));
                features(&trades, of_trade, &asked, (&Trade::schema(), names))
            }
            _ => {
                let quotes = harness::quotes_of(events).into_iter().map(|event| event.row);
                let quotes: Vec<Quote> = quotes.collect();
                features(&quotes, of_quote, &asked, (&Quote::schema(), names))
            }
        }
    }
}

/// Events of the relation that a view reads.
fn events(view: &'static View) -> impl Strategy<Value = Vec<Any>> {
    harness::seeds(60).prop_map(move |seeds| {
        let mut interner = harness::interner();
        match view.input {
            "fills" => {
                let fills = seeds.iter().map(|seed| harness::fill(seed, &mut interner)).collect();
                let fills = harness::without_conflicts(fills, |f: &Fill| (f.wallet, f.asset, f.id));
                fills.into_iter().map(Any::Fill).collect()
            }
            "trades" => {
                let trades = seeds.iter().map(|seed| harness::trade(seed, &mut interner)).collect();
                let trades = harness::without_conflicts(trades, |t: &Trade| (t.asset, t.id));
                trades.into_iter().map(Any::Trade).collect()
            }
            _ => seeds.iter().map(|seed| Any::Quote(harness::quote(seed, &mut interner))).collect(),
        }
    })
}

/// Runs the history on 1, 2 and 4 workers; the rows after each epoch equal the twin's.
fn check(view: &View, epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let one = run(view.plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(
            run(view.plan(), &names, epochs, &clocks, n_workers),
            one,
            "{n_workers} workers"
        );
    }
    let relation = ["fills", "trades", "quotes"].iter().position(|name| *name == view.input);
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let step = view.step.and_then(types::Span::parse);
        let last_step = step.and_then(|step| clocks[n - 1].last_step(step, &[relation.unwrap()]));
        let expected = view.twin(&events, last_step.or(step.map(|_| VenueTime::MIN)), &names);
        let Changes::Rows(rows) = total(&one[..n].to_vec(), 0) else { panic!("rows") };
        let rows: BTreeSet<Row> = rows.into_iter().map(|(row, _)| row).collect();
        assert_eq!(rows, expected, "after epoch {n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_equal_their_twin(
        (view, (epochs, lateness)) in (0..VIEWS.len())
            .prop_flat_map(|view| (Just(view), history(events(&VIEWS[view])))),
    ) {
        check(&VIEWS[view], &epochs, lateness);
    }

    #[test]
    fn floats_are_those_of_the_textbook(walk in walk()) {
        check_textbook(&walk);
    }

    #[test]
    fn of_one_price_the_vwap_is_that_price(
        (price, n_digits) in (1..10_i128.pow(18), 0..18_u32),
        fills in prop::collection::vec((0..200_i64, 1..10_i128.pow(18), 0..18_u32, any::<bool>()), 1..60),
    ) {
        let price = (price / 10_i128.pow(n_digits)).max(1);
        let mut second = 0;
        let fill = |(later, size, n_digits, buys): (i64, i128, u32, bool)| {
            second += later;
            (second, price, (size / 10_i128.pow(n_digits)).max(1), buys)
        };
        let fills: Vec<_> = fills.into_iter().map(fill).collect();
        let (schema, rows) = at_events(&fills);
        let expected: f64 = types::Decimal::new(price, 9).to_string().parse().unwrap();
        for row in &rows {
            let given = &row.0[schema.index("vwap_5m").unwrap()];
            prop_assert_eq!(given, &Value::from(types::value::Float::new(expected)));
        }
    }
}

/// A random walk: seconds since the fill before, steps of the price, sizes and sides.
fn walk() -> impl Strategy<Value = Vec<(i64, i64, i64, bool)>> {
    prop::collection::vec((0..60_i64, -300..310_i64, 1..10_000_i64, any::<bool>()), 1..120)
}

/// What the textbook's formulas say in floats, each to 1e-9; amounts leave at nine decimals.
fn check_textbook(walk: &[(i64, i64, i64, bool)]) {
    let (mut second, mut price) = (0, 1_000_000);
    let mut plain: Vec<(f64, f64, f64, f64)> = Vec::new();
    let mut fills = Vec::new();
    for (later, step, size, buys) in walk {
        second += later;
        price = (price + step).max(1_000);
        fills.push((second, i128::from(price), i128::from(*size) * 1_000, *buys));
        let (sign, size) =
            (if *buys { 1.0 } else { -1.0 }, f64::from(i32::try_from(*size).unwrap()));
        let price = f64::from(i32::try_from(price).unwrap());
        plain.push((f64::from(i32::try_from(second).unwrap()), price * 1e-9, size * 1e-6, sign));
    }
    let (schema, rows) = at_events(&fills);
    assert_eq!(rows.len(), plain.len());
    for (n, row) in rows.iter().enumerate() {
        let column = |name: &str| match &row.0[schema.index(name).unwrap()] {
            Value::Float(float) => Some(float.get()),
            Value::Number(number) => Some(number.to_string().parse().unwrap()),
            Value::Null => None,
            other => panic!("{name}: {other:?}"),
        };
        for (name, expected, scale) in textbook(&plain[..=n]) {
            let (given, expected) = (column(name), expected);
            let is_near = match (given, expected) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(scale),
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(is_near, "{name} at {n}: {given:?}, not {expected:?}");
        }
    }
}

/// The rows at some fills (second, price and size in 1e-9, whether bought) of one wallet and asset, over five
/// minutes.
fn at_events(fills: &[(i64, i128, i128, bool)]) -> (Arc<types::Schema>, Vec<Row>) {
    let mut interner = harness::interner();
    let mut events = Vec::new();
    for (n, (second, price, size, buys)) in fills.iter().enumerate() {
        let mut event = harness::fill(&(0, 0, 1, *second, 5, 1, 0, 0), &mut interner);
        let fill = &mut event.row;
        fill.id = types::EventId::of_number(u64::try_from(n).unwrap());
        fill.seq = u64::try_from(n).unwrap();
        fill.kind = FillKind::Trade;
        fill.side = if *buys { types::relations::Side::Buy } else { types::relations::Side::Sell };
        fill.price = Some(harness::price(*price));
        fill.size = harness::size(*size);
        events.push(Any::Fill(event));
    }
    let options = [("input", "fills"), ("emit", "event"), ("windows", "5m")];
    let plan = harness::plan(&[("flow", "features", &options)], &["flow"]);
    let schema = Arc::clone(&plan.views[plan.view("flow").unwrap()].schema);
    let epochs = vec![events];
    let clocks = clocks(&epochs, 0, true);
    let given = run(plan, interner.names(), &epochs, &clocks, 1);
    let Changes::Rows(rows) = total(&given, 0) else { panic!("rows") };
    let mut rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    let id = |row: &Row| match &row.0[3] {
        Value::Text(id) => id.as_str().parse::<usize>().unwrap(),
        other => panic!("{other:?}"),
    };
    rows.sort_by_key(id);
    (schema, rows)
}

/// Features of the last of some fills (second, price, size, sign), over five minutes: their names,
/// values, and what they are relative to where they are small by cancellation.
fn textbook(fills: &[(f64, f64, f64, f64)]) -> Vec<(&'static str, Option<f64>, f64)> {
    let now = fills.last().unwrap().0;
    let first = fills.iter().take_while(|fill| fill.0 <= now - 300.0).count();
    let window = &fills[first..];
    let n = f64::from(u32::try_from(window.len()).unwrap());
    let returns: Vec<f64> =
        (first.max(1)..fills.len()).map(|n| (fills[n].1 / fills[n - 1].1).ln()).collect();
    let n_returns = f64::from(u32::try_from(returns.len()).unwrap());
    let has = |value: f64| (!returns.is_empty()).then_some(value);
    let total = |of: fn(&(f64, f64, f64, f64)) -> f64| window.iter().map(of).sum::<f64>();
    let (volume, notional) = (total(|fill| fill.2), total(|fill| fill.1 * fill.2));
    let mean = returns.iter().sum::<f64>() / n_returns;
    let squares: f64 = returns.iter().map(|r| (r - mean) * (r - mean)).sum();
    let deviation = (returns.len() > 1).then(|| (squares / (n_returns - 1.0)).sqrt());
    let last = returns.last().copied();
    let z = last.zip(deviation.filter(|d| *d > 0.0)).map(|(last, d)| (last - mean) / d);
    let size: f64 = returns.iter().map(|r| r.abs()).sum::<f64>().max(1e-6);
    vec![
        ("seq", u32::try_from(fills.len() - 1).ok().map(f64::from), 0.0),
        ("count_5m", Some(n), 0.0),
        ("age", Some(now - fills[0].0).filter(|age| *age < 300.0), 0.0),
        ("covered_5m", Some((now - fills[0].0).min(300.0) / 300.0), 0.0),
        ("volume_5m", Some(volume), 0.0),
        ("signed_volume_5m", Some(total(|fill| fill.2 * fill.3)), volume),
        ("notional_5m", Some(notional), 1.0),
        ("vwap_5m", Some(notional / volume), 0.0),
        ("imbalance_5m", Some(total(|fill| fill.2 * fill.3) / volume), 1.0),
        ("return_mean_5m", has(mean), size),
        ("return_std_5m", deviation, size),
        ("volatility_5m", has(returns.iter().map(|r| r * r).sum::<f64>().sqrt()), size),
        ("momentum_5m", has(returns.iter().sum()), size),
        ("last_return", last, size),
        ("return_z_5m", z, 1.0),
        ("wallets_5m", Some(1.0), 0.0),
        ("largest_share_5m", Some(1.0), 0.0),
    ]
}

/// What is asked of wallets, and columns beside them.
#[test]
fn wallets_never_come_without_saying_whether_they_are_exact() {
    for (features, expected) in [
        ("wallets,count", &["wallets_1m", "wallets_exact_1m", "count_1m"][..]),
        ("wallets_exact,wallets", &["wallets_exact_1m", "wallets_1m"]),
        ("largest_share", &["largest_share_1m"]),
    ] {
        let options = [("input", "fills"), ("windows", "1m"), ("features", features)];
        let plan = harness::plan(&[("flow", "features", &options)], &["flow"]);
        let schema = Arc::clone(&plan.views[plan.view("flow").unwrap()].schema);
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_ref()).collect();
        assert_eq!(names[schema.n_key..], *expected, "{features}");
    }
}

#[test]
fn options_that_are_wrong_are_told() {
    for (options, code) in [
        (&[("windows", "1m,60s")][..], "repeated_window"),
        (&[("windows", "1m,soon")], "not_a_duration"),
        (&[("windows", "6000w")], "too_long"),
        (&[("windows", "1m"), ("step", "6000w")], "too_long"),
        (&[("windows", "1s,52w")], "too_many_steps"),
        (&[("windows", "1m"), ("step", "1us")], "too_many_steps"),
        (&[("windows", "1m"), ("kind", "tumbling"), ("step", "45s")], "wrong_value"),
        (&[("windows", "5m,12m"), ("kind", "tumbling")], "wrong_value"),
        (&[("windows", "1m"), ("by", "side")], "wrong_option"),
        (&[("windows", "1m"), ("by", "walet")], "unknown_column"),
        (&[("windows", "1m"), ("features", "count,vwop")], "unknown_feature"),
        (&[("windows", "1m"), ("features", "count,count")], "repeated_feature"),
        (&[("windows", "1m"), ("features", "spread")], "wrong_input"),
        (&[("windows", "1m"), ("features", "rate_ratio")], "wrong_input"),
        (&[("windows", "1m"), ("features", "wallets"), ("by", "wallet")], "wrong_input"),
        (&[("windows", "1m"), ("emit", "event"), ("step", "1s")], "wrong_option"),
        (&[("windows", "1m"), ("features", "count"), ("exact_up_to", "99")], "wrong_option"),
        (&[("input", "quotes"), ("windows", "1m"), ("emit", "event")], "wrong_input"),
        (&[("input", "settlements"), ("windows", "1m")], "wrong_input"),
        (&[("input", "quotes"), ("windows", "1m"), ("by", "wallet")], "unknown_column"),
    ] {
        let mut all = vec![("input", "fills")];
        all.extend_from_slice(options);
        let view = ("flow", "features", &all[..]);
        let problems = harness::prepare(&mut harness::builder(), view).unwrap_err();
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [code], "{options:?}");
    }
}

/// What is told of tumbling windows and a step.
fn told(windows: &str, step: &str) -> Option<String> {
    let mut options = vec![("input", "fills"), ("windows", windows), ("kind", "tumbling")];
    options.extend((!step.is_empty()).then_some(("step", step)));
    let prepared = harness::prepare(&mut harness::builder(), ("flow", "features", &options));
    let problem = prepared.err()?.remove(0);
    Some(format!("{} | {}", problem.message, problem.hint.unwrap()))
}

#[test]
fn each_end_of_a_tumbling_window_is_a_step() {
    let fits = |windows, step| assert_eq!(told(windows, step), None, "{windows} {step}");
    for (windows, step) in
        [("1m", "20s"), ("1m,1h", ""), ("1w", "1d"), ("1w,2w", ""), ("1d,1w", ""), ("8w", "4d")]
    {
        fits(windows, step);
    }
    for (windows, step, window, used, remedy) in [
        ("1m", "45s", "1m", "45s", "1m"),
        ("1m", "2m", "1m", "2m", "1m"),
        ("5m,12m", "", "12m", "5m", "1m"),
        ("6m,9m", "2m", "9m", "2m", "3m"),
        ("1w", "2d", "1w", "2d", "1d"),
        // Weeks end on Mondays, and the steps of eight days aren't counted from one.
        ("8w", "8d", "8w", "8d", "4d"),
    ] {
        let message = format!(
            "some windows of {window} end between two steps of {used}: no row shows them whole | set \
             `step = \"{remedy}\"`, or a length of which that is a multiple"
        );
        assert_eq!(told(windows, step), Some(message));
        fits(windows, remedy);
    }
    let told = told("1h,3600000001us", "");
    let expected = "some windows of 3600000001us end between two steps of 1h: no row shows them whole | give \
                    windows of which each is a multiple of the shortest";
    assert_eq!(told.as_deref(), Some(expected));
}

#[test]
fn a_step_is_a_twelfth_of_the_shortest_window() {
    let times = |kind| {
        let options =
            [("input", "fills"), ("windows", "1h,12m"), ("kind", kind), ("features", "count")];
        let plan = harness::plan(&[("flow", "features", &options)], &["flow"]);
        let mut interner = harness::interner();
        let fill = harness::fill(&(0, 0, 1, 90, 5, 1, 0, 0), &mut interner);
        let epochs = vec![vec![Any::Fill(fill)], Vec::new()];
        let mut clocks = clocks(&epochs, 0, false);
        clocks[1] = Arc::new(dataflows::Clock { watermark: at(3_700), ..(*clocks[1]).clone() });
        let given = run(plan, interner.names(), &epochs, &clocks, 1);
        let Changes::Rows(rows) = total(&given, 0) else { panic!("rows") };
        let seconds = rows.iter().map(|(row, _)| match row.0[2] {
            Value::Time(time) => (time.nanos() - harness::START) / SECOND,
            ref other => panic!("{other:?}"),
        });
        seconds.collect::<Vec<_>>()
    };
    let minutes: Vec<i64> = (2..=61).map(|minute| minute * 60).collect();
    assert_eq!(times("sliding"), minutes);
    assert_eq!(times("tumbling"), [720, 1_440, 2_160, 2_880, 3_600]);
}
