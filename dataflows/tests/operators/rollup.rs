//! `rollup` against its twin.

use std::sync::Arc;

use dataflows::oracle;
use proptest::prelude::*;
use types::relations::{Fill, FillKind, Trade};
use types::{AssetId, Changes, Event, Money, Price, Size, VenueTime};

use crate::harness::{self, Any, clocks, history, run, total};

const SIZES: &[&str] = &["1m", "90s", "5m", "1d", "1w"];

fn fills() -> impl Strategy<Value = Vec<Any>> {
    harness::seeds(60).prop_map(|seeds| {
        let mut interner = harness::interner();
        let fills = seeds.iter().map(|seed| harness::fill(seed, &mut interner)).collect();
        let fills = harness::without_conflicts(fills, |f: &Fill| (f.wallet, f.asset, f.id));
        fills.into_iter().map(Any::Fill).collect()
    })
}

fn trades() -> impl Strategy<Value = Vec<Any>> {
    harness::seeds(60).prop_map(|seeds| {
        let mut interner = harness::interner();
        let trades = seeds.iter().map(|seed| harness::trade(seed, &mut interner)).collect();
        let trades = harness::without_conflicts(trades, |t: &Trade| (t.asset, t.id));
        trades.into_iter().map(Any::Trade).collect()
    })
}

fn of_fill(fill: &Fill) -> Option<(AssetId, Price, Size, Option<Money>)> {
    let is_trade = !matches!(fill.kind, FillKind::Transfer | FillKind::Funding);
    let price = fill.shown_price().filter(|_| is_trade)?;
    Some((fill.asset, price, fill.size, fill.value()))
}

/// Runs the history on 1, 2 and 4 workers; the rows after each epoch equal the twin's.
fn check(epochs: &[Vec<Any>], lateness: i64, input: &str) {
    let names = Arc::clone(harness::interner().names());
    let clocks = clocks(epochs, lateness, true);
    let sizes = SIZES.join(",");
    let plan =
        || harness::plan(&[("bars", "rollup", &[("input", input), ("sizes", &sizes)])], &["bars"]);
    let one = run(plan(), &names, epochs, &clocks, 1);
    for n_workers in [2, 4] {
        assert_eq!(run(plan(), &names, epochs, &clocks, n_workers), one, "{n_workers} workers");
    }
    for n in 1..=epochs.len() {
        let events: Vec<Any> = epochs[..n].iter().flatten().cloned().collect();
        let expected = twin(&events, clocks[n - 1].watermark, input, &names);
        let Changes::Bars(bars) = total(&one[..n].to_vec(), 0) else { panic!("bars") };
        let bars: Vec<_> = bars.into_iter().map(|(bar, _)| bar).collect();
        assert_eq!(bars, expected, "after epoch {n}");
    }
}

fn twin(
    events: &[Any],
    watermark: VenueTime,
    input: &str,
    names: &types::Names,
) -> Vec<types::relations::Bar> {
    let bars = if input == "fills" {
        let fills: Vec<Event<Fill>> = events
            .iter()
            .filter_map(|e| if let Any::Fill(e) = e { Some(e.clone()) } else { None })
            .collect();
        let fills = harness::standing(&fills, |f| (f.wallet, f.asset, f.id));
        oracle::rollup(&fills, of_fill, SIZES, watermark, (&Fill::schema(), names))
    } else {
        let trades: Vec<Event<Trade>> = events
            .iter()
            .filter_map(|e| if let Any::Trade(e) = e { Some(e.clone()) } else { None })
            .collect();
        let trades = harness::standing(&trades, |t| (t.asset, t.id));
        let read = |t: &Trade| Some((t.asset, t.price, t.size, t.value()));
        oracle::rollup(&trades, read, SIZES, watermark, (&Trade::schema(), names))
    };
    bars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bars_of_fills_equal_their_twin((epochs, lateness) in history(fills())) {
        check(&epochs, lateness, "fills");
    }

    #[test]
    fn bars_of_trades_equal_their_twin((epochs, lateness) in history(trades())) {
        check(&epochs, lateness, "trades");
    }
}

#[test]
fn a_bar_that_overflows_is_an_error_until_it_fits_again() {
    let mut interner = harness::interner();
    let mut big = |id: u8, code: u8| {
        let mut event = harness::trade(&(0, 0, id, 5, 1, 1, code, 0), &mut interner);
        event.row.size = harness::size(10i128.pow(38) - 1);
        event.row.price = harness::price(1);
        Any::Trade(event)
    };
    let epochs = vec![vec![big(1, 0)], vec![big(2, 0)], vec![big(2, 10)]];
    let clocks = clocks(&epochs, 0, false);
    let view = ("bars", "rollup", &[("input", "trades"), ("sizes", "1m")][..]);
    let plan = harness::plan(&[view], &["bars", "bars.errors"]);
    let names = Arc::clone(interner.names());
    let given = run(plan, &names, &epochs, &clocks, 1);
    let lengths: Vec<(usize, usize)> = (1..=3)
        .map(|n| given[..n].to_vec())
        .map(|e| (total(&e, 0).len(), total(&e, 1).len()))
        .collect();
    assert_eq!(lengths, [(1, 0), (0, 1), (1, 0)]);
}

#[test]
fn lengths_that_repeat_or_are_none_are_refused() {
    for (sizes, code) in [
        ("1m,60s", "repeated_size"),
        ("1m,soon", "not_a_duration"),
        ("1m,1h30m15s500ms", "long_size"),
    ] {
        let view = ("bars", "rollup", &[("input", "fills"), ("sizes", sizes)][..]);
        let problems = harness::prepare(&mut harness::builder(), view).unwrap_err();
        assert_eq!(problems[0].code, code);
    }
}
