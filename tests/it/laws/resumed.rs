//! A run that was interrupted and goes on gives what it would have given: wherever its log ends, whatever
//! its sinks have, on any number of workers.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tapeline::simulate::{Interruption, Simulated, simulate_resumed};

use super::cases::check_cases;
use super::history::{Placed, conflicting_history, ledger_history, market_history};
use super::runs::{Loaded, Ran, Way, options, read, rows, run_all};
use super::{LEDGER_PLAN, MARKET_PLAN, way};
use crate::program::Folder;

/// Where a run is interrupted, as shares of 1,000 of its epochs, of its log and of what is delivered; and
/// what becomes of its log and its checkpoints.
pub(super) type Shares = (u64, u64, BTreeSet<u64>, bool, usize);

fn interruption(n_epochs: usize, shares: &Shares) -> Interruption {
    let (logged, delivered, checkpoints, cuts_log, n_damaged) = shares;
    let logged = u64::try_from(n_epochs).unwrap() * logged / 1_000;
    Interruption {
        logged,
        delivered: logged * delivered / 1_000,
        checkpoints: checkpoints.iter().map(|share| logged * share / 1_000).collect(),
        cuts_log: *cuts_log,
        n_damaged: *n_damaged,
    }
}

pub(super) fn places() -> impl Strategy<Value = Shares> {
    let checkpoints = prop_oneof![
        1 => Just(BTreeSet::new()),
        2 => prop::collection::btree_set(0..=1_000u64, 1..6),
        2 => Just((0..=1_000).step_by(20).collect()),
    ];
    let delivered = prop_oneof![1 => Just(0), 2 => Just(1_000), 2 => 0..=1_000u64];
    (0..=1_000u64, delivered, checkpoints, any::<bool>(), 0..3usize)
}

/// Its changes behind what sinks have are those of the whole run, and its rows at every epoch.
pub(super) fn assert_resumed(loaded: &Loaded, history: &[Placed], way: Way, shares: &Shares) {
    let whole = run_all(loaded, history, Way { n_workers: 1, spills: false, ..way });
    let at = interruption(whole.epochs.len(), shares);
    let rows = rows(loaded, history, way);
    let folder = Folder::new();
    let place = (&at, folder.path("state"));
    let resumed = simulate_resumed(
        &loaded.plan,
        rows,
        options(loaded, way),
        way.n_workers,
        (place.0, &place.1),
    )
    .unwrap();
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

pub(super) fn ledger_goes_on(history: &[Placed], way: Way, shares: &Shares) {
    LEDGER_PLAN.with(|loaded| assert_resumed(loaded, history, way, shares));
}

#[test]
fn resumed_ledgers_go_on_as_if_nothing_had_been() {
    check_cases("resumed ledgers", 400, (ledger_history(45), way(), places()), |(h, way, at)| {
        ledger_goes_on(&h, way, &at);
    });
}

#[test]
fn resumed_conflicts_are_still_refused() {
    check_cases(
        "resumed conflicts",
        150,
        (conflicting_history(45), way(), places()),
        |(h, w, at)| {
            ledger_goes_on(&h, w, &at);
        },
    );
}

#[test]
fn resumed_marks_bars_and_rules_go_on_as_if_nothing_had_been() {
    check_cases("resumed markets", 400, (market_history(40), way(), places()), |(h, way, at)| {
        MARKET_PLAN.with(|loaded| assert_resumed(loaded, &h, way, &at));
    });
}
