//! A run that was interrupted and goes on gives what it would have given: wherever its log ends, whatever
//! its sinks have, on any number of workers.

use proptest::prelude::*;
use tapeline::simulate::{Interruption, Simulated, simulate_resumed};

use super::cases::check_cases;
use super::history::{Placed, conflicting_history, ledger_history, market_history};
use super::runs::{Loaded, Ran, Way, options, read, rows, run_all};
use super::{LEDGER_PLAN, MARKET_PLAN, way};

/// Where in a run of so many epochs it is interrupted, by two shares of 1,000.
fn interruption(n_epochs: usize, (logged, delivered): (u64, u64)) -> Interruption {
    let logged = u64::try_from(n_epochs).unwrap() * logged / 1_000;
    Interruption { logged, delivered: logged * delivered / 1_000 }
}

fn places() -> impl Strategy<Value = (u64, u64)> {
    (0..=1_000u64, prop_oneof![1 => Just(0), 1 => Just(1_000), 2 => 0..=1_000u64])
}

/// Its changes behind what sinks have are those of the whole run, and its rows at every epoch.
fn assert_resumed(loaded: &Loaded, history: &[Placed], way: Way, shares: (u64, u64)) {
    let whole = run_all(loaded, history, Way { n_workers: 1, spills: false, ..way });
    let at = interruption(whole.epochs.len(), shares);
    let rows = rows(loaded, history, way);
    let resumed =
        simulate_resumed(&loaded.plan, rows, options(loaded, way), way.n_workers, at).unwrap();
    let n = usize::try_from(at.delivered).unwrap();
    let behind = |simulated: &Simulated| {
        let outputs = simulated.outputs.iter().filter(|output| output.epoch.0 > at.delivered);
        outputs.map(|output| output.epoch.0).collect::<Vec<_>>()
    };
    assert_eq!(behind(&resumed), behind(&whole.simulated), "{at:?} {way:?}");
    let (given, epochs) = read(&loaded.plan, &resumed);
    let n_behind = epochs.len() - behind(&resumed).len();
    assert!(n_behind <= n, "{n_behind} epochs in the place of {n}");
    assert_same(&epochs[n_behind..], &whole, n, &format!("{at:?} {way:?}"));
    for (view, lines) in &given {
        assert_eq!(lines, &whole.rows[view], "{view} {at:?} {way:?}");
    }
    assert_eq!(resumed.counts, whole.simulated.counts);
    assert_eq!(resumed.n_pending, whole.simulated.n_pending);
    let refused = |simulated: &Simulated| -> Vec<usize> {
        simulated.refused.iter().map(|(place, _)| *place).collect()
    };
    assert_eq!(refused(&resumed), refused(&whole.simulated));
}

fn assert_same(epochs: &[(types::VenueTime, Vec<String>)], whole: &Ran, n: usize, what: &str) {
    for (resumed, whole) in epochs.iter().zip(&whole.epochs[n..]) {
        assert_eq!(resumed, whole, "{what}");
    }
}

#[test]
fn resumed_ledgers_go_on_as_if_nothing_had_been() {
    check_cases("resumed ledgers", 400, (ledger_history(45), way(), places()), |(h, way, at)| {
        LEDGER_PLAN.with(|loaded| assert_resumed(loaded, &h, way, at));
    });
}

#[test]
fn resumed_conflicts_are_still_refused() {
    check_cases(
        "resumed conflicts",
        150,
        (conflicting_history(45), way(), places()),
        |(h, w, at)| {
            LEDGER_PLAN.with(|loaded| assert_resumed(loaded, &h, w, at));
        },
    );
}

#[test]
fn resumed_marks_bars_and_rules_go_on_as_if_nothing_had_been() {
    check_cases("resumed markets", 400, (market_history(40), way(), places()), |(h, way, at)| {
        MARKET_PLAN.with(|loaded| assert_resumed(loaded, &h, way, at));
    });
}
