//! What keeps the engine's shortcuts exact is taken out, one safeguard after the other, and the laws
//! must notice. Safeguards that only a part's own twin can see are tried beside that twin.

use types::sabotage::Safeguard;
use types::sabotage::assert_noticed;

use super::cases::sample;
use super::history::{conflicting_history, ledger_history, market_history};
use super::{busy, busy_way, conflicts_follow, ledger_follows, market_follows, way};

fn ledger(seed: u64) {
    let (history, way) = sample(&(ledger_history(45), way()), seed);
    ledger_follows(&history, way);
}

fn market(seed: u64) {
    let (history, way) = sample(&(market_history(40), way()), seed);
    market_follows(&history, way);
}

fn conflicts(seed: u64) {
    let (history, way) = sample(&(conflicting_history(45), way()), seed);
    conflicts_follow(&history, way);
}

fn long_ledger(seed: u64) {
    ledger_follows(&busy::ledger_history(seed), sample(&busy_way(), seed));
}

fn long_market(seed: u64) {
    market_follows(&busy::market_history(seed), sample(&busy_way(), seed));
}

#[test]
fn explore() {
    use std::io::Write as _;
    let cases: [(&str, u64, fn(u64)); 5] = [
        ("ledger", 60, ledger),
        ("market", 60, market),
        ("conflicts", 30, conflicts),
        ("long_ledger", 12, long_ledger),
        ("long_market", 12, long_market),
    ];
    let mut out = std::fs::File::create("/tmp/wt/explore.txt").unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    for guard in Safeguard::ALL {
        write!(out, "{guard:?}:").unwrap();
        for (name, n, case) in cases {
            write!(out, " {name}").unwrap();
            let start = std::time::Instant::now();
            types::sabotage::take_out(Some(*guard));
            let noticed = (0..n).find(|seed| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(*seed))).is_err()
            });
            types::sabotage::take_out(None);
            write!(out, "={noticed:?}({:.1})", start.elapsed().as_secs_f64()).unwrap();
        }
        writeln!(out).unwrap();
    }
}
