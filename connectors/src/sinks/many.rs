//! Many rows, for tests that print what a way of writing them costs.
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::sync::Arc;

use types::relations::{Basis, Position};
use types::{AssetId, Changes, Interner, Money, Names, Size, Sym, VenueTime};

/// Positions of which each wallet has ten, in no order: their dictionary and all as one epoch's changes.
pub(super) fn positions(n_rows: u64) -> (Arc<Names>, Changes) {
    let mut interner = Interner::new(false);
    let hex = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let wallets: Vec<Sym> = (0..n_rows.div_ceil(10))
        .map(|n| interner.sym(&format!("0x{:016x}{:016x}{:08x}", hex(n), hex(!n), n)))
        .collect();
    let assets: Vec<AssetId> =
        (0..997).map(|n| interner.asset("exchange", &format!("{}{n}", hex(n)))).collect();
    let markets: Vec<Sym> = (0..100).map(|n| interner.sym(&format!("market {n}"))).collect();
    let at = |n: u64, len: usize| usize::try_from(n).expect("it is small") % len;
    let row = |n: u64| {
        let wallet = n % n_rows.div_ceil(10);
        let asset = at(n / n_rows.div_ceil(10) + wallet * 31, assets.len());
        let number = |bits: u32| i128::from(hex(n ^ u64::from(bits)) >> (64 - bits));
        let position = Position {
            wallet: wallets[at(wallet, wallets.len())],
            asset: assets[asset],
            market: Some(markets[asset % markets.len()]),
            qty: Size::from_nano(number(40)).expect("it is small"),
            cost: Money::from_nano(number(42)).expect("it is small"),
            realized_pnl: Money::from_nano(number(41) - (1 << 40)).expect("it is small"),
            fees: Money::from_nano(number(30)).expect("it is small"),
            n_fills: n % 50,
            basis: if n.is_multiple_of(20) { Basis::Unknown } else { Basis::Known },
            updated_at: VenueTime::from_nanos(
                1_700_000_000_000_000_000 + i64::try_from(n).expect("it is small") * 1_000_000,
            ),
            rare: None,
        };
        (position, 1)
    };
    (Arc::clone(interner.names()), Changes::Positions((0..n_rows).map(row).collect()))
}

/// What this thread has used of the processor, in microseconds; other work hardly changes it.
pub(super) fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("it is Linux");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
    nanos.expect("it starts with a number") / 1000
}
