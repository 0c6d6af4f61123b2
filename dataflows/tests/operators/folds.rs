//! `ewma`, `zscore`, `cusum` and `indicators` against their twins, on workers.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::oracle::fold::{Followed, cusum, ewma, zscore};
use dataflows::oracle::indicators::indicators;
use proptest::prelude::*;
use types::relations::{Bar, Fill, Trade};
use types::{Names, Row};

use crate::harness::{
    self, Any, Epochs, ViewSpec, clocks, fills_of, history, run, total, trades_of,
};
use crate::rows;

const ONE: i128 = 1_000_000_000_000_000_000;

/// Half the weight is the newest row's, so that what a late row changes ends.
const ASKED: Followed<'static> =
    Followed { by: &[], alpha: ONE / 2, warmup: 20, drift: ONE / 2, threshold: 5 * ONE };

const INDICATORS: &[&str] = &["rsi_2", "sma_3", "ema_2", "atr_2", "bollinger_3", "macd_2_3_2"];

/// Fills and trades in any order.
fn events() -> impl Strategy<Value = Vec<Any>> {
    (harness::seeds(200), harness::seeds(60)).prop_map(|(fills, trades)| {
        let mut interner = harness::interner();
        let fills = fills.iter().map(|seed| harness::fill(seed, &mut interner)).collect();
        let fills = harness::without_conflicts(fills, |f: &Fill| (f.wallet, f.asset, f.id));
        let trades = trades.iter().map(|seed| harness::trade(seed, &mut interner)).collect();
        let trades = harness::without_conflicts(trades, |t: &Trade| (t.asset, t.id));
        fills.into_iter().map(Any::Fill).chain(trades.into_iter().map(Any::Trade)).collect()
    })
}

/// Runs views on 1, 2 and 4 workers; gives the changes of each.
fn same(views: &[ViewSpec<'_>], epochs: &[Vec<Any>], lateness: i64, names: &Arc<Names>) -> Epochs {
    let emitted: Vec<&str> = views.iter().map(|view| view.0).collect();
    let clocks = clocks(epochs, lateness, true);
    let one = run(harness::plan(views, &emitted), names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        let plan = harness::plan(views, &emitted);
        assert_eq!(run(plan, names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    one
}

fn check(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let alpha = ("alpha", "0.5");
    let of_fills = [("input", "fills"), ("value", "size * 3"), alpha];
    let by = [("input", "fills"), ("value", "size * 3"), ("by", "venue"), alpha];
    let of_trades = [("input", "trades"), ("value", "price"), alpha];
    let views: [ViewSpec<'_>; 4] = [
        ("averages", "ewma", &of_fills),
        ("scores", "zscore", &by),
        ("sums", "cusum", &by),
        ("trends", "ewma", &of_trades),
    ];
    let told = same(&views, epochs, lateness, &names);
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let fills = harness::standing(&fills_of(&events), |f| (f.wallet, f.asset, f.id));
        let trades = harness::standing(&trades_of(&events), |t| (t.asset, t.id));
        let size = |fill: &Fill| Some(fill.size.raw() * 3_000_000_000);
        let price = |trade: &Trade| Some(i128::from(trade.price.raw()) * 1_000_000_000);
        let fill = Fill::schema();
        let (of_fills, of_trades) = ((&fill, &*names), (&Trade::schema(), &*names));
        let by_key = Followed { by: &["venue", "wallet", "asset"], ..ASKED };
        let by_venue = Followed { by: &["venue"], ..ASKED };
        let by_asset = Followed { by: &["venue", "asset"], ..ASKED };
        let expected: [BTreeSet<Row>; 4] = [
            ewma(&fills, size, &by_key, of_fills),
            zscore(&fills, size, &by_venue, of_fills),
            cusum(&fills, size, &by_venue, of_fills),
            ewma(&trades, price, &by_asset, of_trades),
        ];
        for (view, expected) in expected.into_iter().enumerate() {
            let found: BTreeSet<Row> =
                rows!(Rows, total(&told[..n].to_vec(), view)).into_iter().collect();
            assert_eq!(found, expected, "{} after epoch {n}", views[view].0);
        }
    }
}

/// The rows are those of the bars that the rollup gives.
fn check_indicators(epochs: &[Vec<Any>], lateness: i64) {
    let names = Arc::clone(harness::interner().names());
    let list = INDICATORS.join(",");
    let options = [("input", "bars"), ("size", "1m"), ("indicators", &*list)];
    let warm = [options[0], options[1], options[2], ("warmup", "4")];
    let views: [ViewSpec<'_>; 3] = [
        ("bars", "rollup", &[("input", "trades"), ("sizes", "1m,90s,5m")]),
        ("charts", "indicators", &options),
        ("warm", "indicators", &warm),
    ];
    let told = same(&views, epochs, lateness, &names);
    for n in 1..=epochs.len() {
        let told = told[..n].to_vec();
        let bars: Vec<Bar> = rows!(Bars, total(&told, 0));
        for (view, warmup) in [(1, 0), (2, 4)] {
            let expected = indicators(&bars, "1m", (INDICATORS, warmup), &names);
            let found: BTreeSet<Row> = rows!(Rows, total(&told, view)).into_iter().collect();
            assert_eq!(found, expected, "{} after epoch {n}", views[view].0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn folds_are_those_of_the_twins((epochs, lateness) in history(events())) {
        check(&epochs, lateness);
    }

    #[test]
    fn indicators_are_those_of_the_twin((epochs, lateness) in history(events())) {
        check_indicators(&epochs, lateness);
    }
}
