//! Many of everything: assets, and fills of one wallet.

use std::sync::Arc;

use types::relations::{Basis, Fill, Position, Side};
use types::{Changes, Event, Interner, Money, Op, VenueTime};

use crate::harness::{self, Any, START, clocks, run, total};

const MILLION: i64 = 1_000_000;

/// How many assets: a million where that is asked for, since they take a debug build half a minute.
fn n_assets() -> i64 {
    if std::env::var_os("TAPELINE_MILLION").is_some() { MILLION } else { MILLION * 2 / 5 }
}

/// The fill of a number: a buy of two, or a sale of one, at a price of its own.
fn fill(interner: &mut Interner, asset: types::AssetId, number: i64) -> Event<Fill> {
    let mut event = harness::fill(&(0, 0, 1, 0, 3, 1, 0, 0), interner);
    event.is_first = true;
    event.row.asset = asset;
    event.row.id = interner.event_id(&number.to_string());
    event.row.event_time = VenueTime::from_nanos(START + number * 1_000);
    event.row.side = if number % 3 == 2 { Side::Sell } else { Side::Buy };
    event.row.size = harness::size(if number % 3 == 2 { 1_000_000_000 } else { 2_000_000_000 });
    event.row.price = Some(harness::price(1_000_000_000 + i128::from(number % 7)));
    (event.row.notional, event.row.fee) = (None, None);
    event.row.seq = 0;
    event
}

fn bust(event: &Event<Fill>) -> Any {
    Any::Fill(Event { op: Op::Bust, revision: u64::MAX, is_first: false, row: event.row.clone() })
}

fn in_epochs(fills: &[Event<Fill>], length: usize) -> Vec<Vec<Any>> {
    let epoch = |fills: &[Event<Fill>]| fills.iter().cloned().map(Any::Fill).collect();
    fills.chunks(length).map(epoch).collect()
}

fn plan() -> dataflows::Plan {
    let ledger = ("positions", "avg_cost", &[("input", "fills")][..]);
    let bars = ("bars", "rollup", &[("input", "fills"), ("sizes", "1m,1h")][..]);
    harness::plan(&[ledger, bars], &["positions", "bars"])
}

#[test]
fn very_many_assets() {
    let mut interner = Interner::new(false);
    let mut fills = Vec::new();
    for number in 0..n_assets() {
        let asset = interner.asset("x", &number.to_string());
        fills.push(fill(&mut interner, asset, number));
    }
    let mut epochs = in_epochs(&fills, 50_000);
    // Every other one goes again.
    epochs.push(fills.iter().step_by(2).map(bust).collect());
    let clocks = clocks(&epochs, 0, true);
    let names = Arc::clone(interner.names());
    let given = run(plan(), &names, &epochs, &clocks, 2);
    let rest: Vec<&Fill> = fills.iter().skip(1).step_by(2).map(|fill| &fill.row).collect();
    let Changes::Positions(positions) = total(&given, 0) else { panic!("positions") };
    assert_eq!(positions.len(), rest.len());
    for ((row, _), fill) in positions.iter().zip(&rest) {
        let bought = if fill.side == Side::Buy { fill.size } else { fill.size.negated() };
        assert_eq!((row.asset, row.qty, row.n_fills), (fill.asset, bought, 1));
    }
    let Changes::Bars(bars) = total(&given, 1) else { panic!("bars") };
    assert_eq!(bars.len(), 2 * rest.len());
    assert!(bars.iter().all(|(bar, _)| bar.n_trades == 1 && bar.is_final));
}

/// Quantity and cost by the rules, in whole numbers of 128 bits.
fn folded<'a>(fills: impl Iterator<Item = &'a Fill>) -> (i128, i128, i128) {
    let (mut qty, mut cost, mut realized) = (0, 0, 0);
    for fill in fills {
        let (size, price) = (fill.size.raw(), i128::from(fill.price.unwrap().raw()));
        if fill.side == Side::Buy {
            (qty, cost) = (qty + size, cost + size * price);
            continue;
        }
        let (floor, rest) = ((cost * size).div_euclid(qty), (cost * size).rem_euclid(qty));
        let up = 2 * rest > qty || (2 * rest == qty && floor % 2 == 1);
        let removed = floor + i128::from(up);
        realized += size * price - removed;
        (qty, cost) = (qty - size, cost - removed);
    }
    (qty, cost, realized)
}

#[test]
fn a_wallet_with_a_million_fills() {
    let mut interner = Interner::new(false);
    let asset = interner.asset("x", "BTC");
    let fills: Vec<_> = (0..MILLION).map(|n| fill(&mut interner, asset, n)).collect();
    let mut epochs = in_epochs(&fills, 20_000);
    // Then one is taken back near the start, one in the middle, and one near the end; each alone.
    let gone = [fills.len() / 50, fills.len() / 2, fills.len() - 3].map(|n| n / 3 * 3 + 1);
    epochs.extend(gone.map(|n| vec![bust(&fills[n])]));
    // And one comes late, before all others.
    let mut late = fill(&mut interner, asset, -3);
    late.row.price = Some(harness::price(5));
    epochs.push(vec![Any::Fill(late.clone())]);
    let clocks = clocks(&epochs, 0, true);
    let names = Arc::clone(interner.names());
    let given = run(plan(), &names, &epochs, &clocks, 1);
    for n_gone in 0..=gone.len() {
        let n_epochs = epochs.len() - 1 - gone.len() + n_gone;
        let Changes::Positions(rows) = total(&given[..n_epochs].to_vec(), 0) else {
            panic!("positions")
        };
        let rest = fills.iter().enumerate().filter(|(n, _)| !gone[..n_gone].contains(n));
        assert_position(&rows, rest.map(|(_, fill)| &fill.row));
    }
    let Changes::Positions(rows) = total(&given, 0) else { panic!("positions") };
    let rest = fills.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, fill)| fill);
    assert_position(&rows, std::iter::once(&late).chain(rest).map(|fill| &fill.row));
}

fn assert_position<'a>(rows: &[(Position, isize)], fills: impl Iterator<Item = &'a Fill> + Clone) {
    let [(row, 1)] = rows else { panic!("one position: {rows:?}") };
    let (qty, cost, realized) = folded(fills.clone());
    assert_eq!(row.n_fills, u64::try_from(fills.count()).unwrap());
    assert_eq!((row.qty, row.basis), (harness::size(qty), Basis::Known));
    assert_eq!((row.cost, row.realized_pnl), (Money::from_raw(cost), Money::from_raw(realized)));
}
