//! What keeps the engine's shortcuts exact is taken out, one safeguard after the other, and the laws
//! must notice. Safeguards that only a part's own twin can see are tried beside that twin.

use types::sabotage::{Safeguard, assert_noticed};

use super::cases::sample;
use super::history::{conflicting_history, ledger_history, market_history};
use super::{
    busy, busy_way, conflicts_follow, declared, ledger_follows, market_follows, resumed, scores,
    way,
};

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

fn declared_rows(seed: u64) {
    let (history, way) = sample(&(declared::declared_history(80), way()), seed);
    declared::declared_follows(&history, way);
}

fn declared_conflicts(seed: u64) {
    let (history, way) = sample(&(declared::conflicting_history(45), way()), seed);
    declared::conflicts_follow(&history, way);
}

fn resumed_ledger(seed: u64) {
    let (history, way, places) = sample(&(ledger_history(45), way(), resumed::places()), seed);
    resumed::ledger_goes_on(&history, way, &places);
}

fn resumed_scores(seed: u64) {
    let (history, way, places) = sample(&(ledger_history(60), way(), resumed::places()), seed);
    scores::go_on(&history, way, &places);
}

fn long_ledger(seed: u64) {
    ledger_follows(&busy::ledger_history(seed), sample(&busy_way(), seed));
}

fn long_market(seed: u64) {
    market_follows(&busy::market_history(seed), sample(&busy_way(), seed));
}

/// Makes a test of each safeguard: with it taken out, one of so many cases of a law must fail.
macro_rules! noticed {
    ($($name:ident: $safeguard:ident by $n:literal of $law:ident;)*) => {
        $(#[test]
        fn $name() {
            assert_noticed(Safeguard::$safeguard, $n, $law);
        })*
    };
}

noticed! {
    checkpoints_that_were_damaged: CheckpointVerified by 60 of resumed_ledger;
    epochs_that_a_sink_lacks: CheckpointWaits by 60 of resumed_ledger;
    what_supersedes_others: RunsKeepLast by 60 of resumed_ledger;
    identities_that_came: FilterNeverDenies by 10 of ledger;
    identities_that_may_have_come: FilterIsAsked by 10 of long_ledger;
    conflicts_of_content: ConflictByContent by 10 of conflicts;
    events_of_one_identity: Contested by 10 of ledger;
    what_is_remembered_of_revisions: RevisionsKept by 30 of ledger;
    late_events: AppendsInOrder by 10 of ledger;
    events_of_one_time: TiesInOrder by 30 of ledger;
    the_first_change: RefoldsFromFirst by 10 of long_ledger;
    the_middle_of_the_open_events: MiddleIsBehind by 10 of long_ledger;
    the_state_before_a_chunk: StartsRenewed by 10 of long_ledger;
    events_without_a_time: LooksEverywhere by 10 of long_ledger;
    notes_that_were_told: NotesRetold by 10 of ledger;
    kinds_with_rules_of_their_own: PlainKind by 10 of long_ledger;
    positions_of_unknown_basis: PlainBasis by 20 of ledger;
    sales_of_more_than_is_held: PlainOversell by 10 of ledger;
    stated_quantities_that_are_kept: PackedStated by 10 of ledger;
    other_markets: PackedMarket by 10 of ledger;
    large_sizes: PackedSize by 20 of ledger;
    large_seqs: PackedSeq by 10 of long_ledger;
    keys_on_one_worker: OneWorkerAKey by 10 of ledger;
    bars_that_were_put_away: BarsWake by 10 of long_market;
    extremes_that_go: ExtremesSought by 10 of long_market;
    longer_bars_of_shorter_ones: ShorterFirst by 20 of long_market;
    cells_that_were_put_away: RestingParts by 10 of long_market;
    values_as_stated: NarrowValue by 10 of long_market;
    published_snapshots: SnapshotsRevised by 10 of long_market;
    the_steps_behind_a_change: RevisedToNext by 10 of long_market;
    holders_of_a_past_mark: HoldersRevised by 10 of long_market;
    rows_behind_the_last_step: TakesBack by 20 of long_market;
    changes_in_several_containers: RunsJoined by 60 of long_market;
    the_newest_rows: NowCorrected by 10 of long_market;
    sums_that_are_kept: SumsKept by 20 of long_market;
    rules_that_go_on: RuleConverged by 20 of long_market;
    what_is_open_goes_on: OpenGoesOn by 30 of long_market;
    what_holds_for_long: HoldSettled by 30 of long_market;
    epochs_of_all_workers: WholeEpochs by 10 of ledger;
    declared_keys_that_came: FilterNeverDenies by 10 of declared_rows;
    declared_conflicts_of_content: ConflictByContent by 10 of declared_conflicts;
    declared_rows_of_one_key: Contested by 10 of declared_rows;
    what_is_remembered_of_declared_rows: RevisionsKept by 30 of declared_rows;
    declared_rows_that_tie: TiesByText by 30 of declared_rows;
    declared_rows_before_the_last: KeptBesideLast by 10 of declared_rows;
    rules_over_declared_rows: RuleConverged by 30 of declared_rows;
    epochs_of_declared_rows: WholeEpochs by 10 of declared_rows;
    epochs_in_which_rows_came: EpochsKept by 60 of resumed_scores;
}

/// What only shorter histories of all relations, or the twins of parts, need is here as well.
#[test]
fn snapshots_of_short_histories() {
    assert_noticed(Safeguard::SnapshotsRevised, 40, market);
}
