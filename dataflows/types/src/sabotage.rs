//! Takes safeguards out, one at a time, so that tests can be seen to notice (feature `sabotage`, which
//! no release has). Without the feature every question is answered "no" at compile time.

#[cfg(feature = "sabotage")]
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("`sabotage` is for tests: no release has it");

/// Declares the safeguards: what keeps a shortcut exact.
macro_rules! safeguards {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What keeps a shortcut exact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Safeguard {
            $($(#[$doc])* $name,)*
        }

        impl Safeguard {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

safeguards! {
    // Identities, where rows enter.
    /// An id is new for sure only above all that came.
    AscendingIsAbove,
    /// One that isn't is looked for among those that ascended.
    AscendingIsSearched,
    /// The filter of identities never denies one that came.
    FilterNeverDenies,
    /// What the filter thinks came is looked up.
    FilterIsAsked,
    /// A repeat with other content is a conflict.
    ConflictByContent,

    // Revisions.
    /// Events of an identity that has several in an epoch are settled together.
    Contested,
    /// What is more than one plain insert is remembered.
    RevisionsKept,
    /// A bust that comes first is no event.
    FirstIsNoBust,

    // The store of histories.
    /// A late event isn't appended.
    AppendsInOrder,
    /// Nor is one of the newest event's time that doesn't come behind it.
    TiesInOrder,
    /// A history is folded anew from the first change of an epoch.
    RefoldsFromFirst,
    /// The second half of the open events is folded alone only where all changes lie in it.
    MiddleIsBehind,
    /// The state before a chunk that runs empty passes on.
    EmptyPassesOn,
    /// The state before a chunk is renewed with those before it.
    StartsRenewed,
    /// An event that isn't where its time says is looked for everywhere.
    LooksEverywhere,
    /// A key with notes is walked as it was, so that they can be taken back.
    NotesRetold,
    /// A walk starts before what the epoch appended.
    WalksAppended,
    /// Where an epoch's events are of several steps, each step is told.
    StepsClosed,
    /// In a history, what an epoch adds comes before what it removes.
    HistoryAdditionsFirst,
    /// Keys of one fragment are told apart.
    KeysCompared,

    // The ledger.
    /// The short way leaves kinds with rules of their own alone.
    PlainKind,
    /// The short way leaves positions of unknown basis alone.
    PlainBasis,
    /// The short way leaves sales of more than is held alone, where they open nothing.
    PlainOversell,
    /// The short way leaves sums alone that don't fit.
    PlainOverflow,
    /// The short way leaves average prices alone that don't fit.
    PlainAverage,
    /// An event with a stated quantity is packed whole.
    PackedStated,
    /// An event of another market than its key's is packed whole.
    PackedMarket,
    /// An event whose size takes more than 64 bits is packed whole.
    PackedSize,
    /// An event whose `seq` takes more than 48 bits is packed whole.
    PackedSeq,
    /// All events of a key go to one worker.
    OneWorkerAKey,

    // Bars.
    /// A bar that was put away is rebuilt before it is used.
    BarsWake,
    /// A bar that loses an extreme, its first or its last tick gets its prices anew.
    ExtremesSought,
    /// Shorter bars are renewed before longer ones.
    ShorterFirst,
    /// Cells that were put away count where a longer bar is renewed.
    RestingParts,
    /// A tick whose value isn't price x size is kept whole.
    NarrowValue,
    /// Bars' additions of an epoch come before its removals.
    BarsAdditionsFirst,
    /// A tick that isn't the newest of a bar isn't appended to it.
    NewestInOrder,
    /// Ticks of one second are told apart by their ids.
    TicksCompared,

    // Features.
    /// A late or removed tick revises the rows that are told.
    LateRevised,
    /// So does what it does to the return behind it.
    FollowingRevised,
    /// The tick behind one that goes gets its return anew.
    ReturnsRenewed,
    /// The highest and lowest prices leave a window with their ticks.
    ExtremesLeave,
    /// Of a window that shrinks wallets are counted anew that were let go.
    WalletsCountedAnew,
    /// Events of one key, time and id share one row.
    LikeEventsShareRows,
    /// Sums of many ticks follow when a return changes.
    ChunksAddedUp,
    /// Published steps follow a late or removed tick.
    StepsRevised,
    /// Ticks of one time, `seq` and id stand in the order of their texts.
    FeaturesTie,

    // Scores.
    /// Rows behind a change are judged anew, from a state before it.
    ScoresRevised,
    /// What was usual of a key goes back with the model.
    UsualGoesBack,
    /// Changes before the horizon change no score.
    HorizonHolds,
    /// A key that has rested for too long begins anew with its next row.
    RestedKeysForgotten,
    /// What was known of it is let go of once no row asks for it.
    ForgottenOnceSettled,

    // Marks.
    /// A change at a published step revises the snapshots behind it.
    SnapshotsRevised,
    /// They are revised up to the next step at which the position is told.
    RevisedToNext,
    /// A past mark that changes revises who held its asset.
    HoldersRevised,
    /// Rows behind the last step are taken back.
    TakesBack,
    /// They are taken back as they were where something changed behind it.
    TakesBackAsShown,
    /// The newest rows follow a correction.
    NowCorrected,
    /// The sums that a wallet of many positions keeps follow a correction.
    SumsKept,
    /// Sums that 128 bits don't hold are made of 256.
    SumsWidened,
    /// So are products that 128 bits don't hold.
    ProductsWidened,
    /// A position's changes that come in several containers are taken together.
    RunsJoined,
    /// Marks' additions of an epoch come before its removals.
    MarksAdditionsFirst,

    // Rows in order.
    /// Rows of one time, `seq` and id stand in the order of their texts.
    TiesByText,
    /// Rows behind which one may be taken back are kept beside the last.
    KeptBesideLast,

    // Rules.
    /// What asked for the last fit is as old as the state that is gone back to.
    FitsGoBack,
    /// Rows that may tie are kept as they are.
    TiedRowsKept,
    /// A rule stops where it stands as it stood before.
    RuleConverged,
    /// What is open there goes on as it did.
    OpenGoesOn,
    /// It doesn't stop where a condition may have held for longer or shorter than before.
    HoldSettled,

    // The way out.
    /// An epoch leaves once all workers have completed it.
    WholeEpochs,
    /// The changes of a key that stand apart are made neighbours.
    AdjoinsApart,
    /// Of a key's changes the removed row comes first.
    AdjoinsPairs,
    /// Equal texts at two addresses get one rank.
    RanksByText,
    /// Keys of one hash are told apart.
    HeldKeysCompared,
    /// Of equal keys of several runs only the last is given.
    LastRunWins,

    // What goes on after a crash.
    /// Files of changes are cut where they were synced.
    ChangesCut,
    /// A sink that goes on drops the epochs that it has.
    EpochsOnce,
    /// A batch is in the outbox before it is sent.
    OutboxFirst,
    /// How far files of changes reach is kept once they were synced.
    ChangesSync,
    /// Parts of changes behind the place that is kept don't count when a run goes on.
    PartsCut,
    /// Where parts of changes end depends on epochs alone, not on when input pauses.
    PartsByEpochs,
    /// A file gets its name once it was synced.
    NamedSync,
    /// A run ends well once its quarantine file was synced.
    QuarantineSync,
    /// An insert that is sent again has the token that it had.
    TokensStay,
    /// An insert that failed is sent again.
    InsertsRepeated,
    /// What is sent again is counted where the server says that it had it.
    StoredCounted,
    /// Rows of a changelog are counted before they are sent again.
    CountedFirst,
    /// A batch of a changelog that was committed isn't sent again.
    CommitsRead,
    /// A sink that has no room left holds back what comes.
    SinksHoldBack,
    /// The pieces of an insert that is refused have tokens of their own.
    PiecesNamed,
    /// Which of them are through is kept.
    PiecesKept,
    /// The key of a row that no column holds is told as gone.
    StaleTakenBack,
    /// Rows that were set aside and don't count yet are cut off.
    AsideCut,
    /// POSTs are in the outbox before they are sent.
    PostsKept,
    /// What was decided of alerts is remembered by a run that goes on.
    FatesKept,
    /// A table that was put right is compared with its view before rows go there.
    LayoutAgain,
    /// A row that has crashed the engine three times is looked for and set aside.
    PoisonSetAside,
    /// Readers are told nothing before a run that goes on has caught up.
    CaughtUpFirst,
    /// Rows that are replayed come behind all others, one batch after the other.
    ReplayedLast,
    /// A run that goes on to the end that it had come to leaves what was replayed since to the next one.
    EndStays,

    // Checkpoints.
    /// What a checkpoint is made of is compared with what was written.
    CheckpointVerified,
    /// A checkpoint holds no epoch that a sink still lacks.
    CheckpointWaits,
    /// Epochs stay what they were where what is computed depends on when events came.
    EpochsKept,
    /// What is left out of runs is what others have superseded, not those.
    RunsKeepLast,

    // The log.
    /// What is acknowledged was synced.
    LogSync,
    /// A write of the log that fails ends the run.
    LogFailureTold,
    /// A new segment stands in its folder before its records are acknowledged.
    LogFolderSync,
    /// The checksum of a record is compared.
    LogChecksum,
    /// A bad record before one that was written later isn't a torn tail.
    LogTornOrDamaged,
    /// A hole in the last write is a torn tail, even before whole records of that write.
    LogTornByWrite,
}

/// The safeguard that is out, by its place counted from one; zero is none.
#[cfg(feature = "sabotage")]
static OUT: AtomicU8 = AtomicU8::new(0);

/// Takes a safeguard out of the whole process, or puts it back with `None`.
#[cfg(feature = "sabotage")]
pub fn take_out(safeguard: Option<Safeguard>) {
    let place = safeguard.and_then(|wanted| Safeguard::ALL.iter().position(|s| *s == wanted));
    let place = place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0);
    OUT.store(place, Ordering::SeqCst);
}

/// Whether a safeguard was taken out.
#[cfg(feature = "sabotage")]
pub fn is_out(safeguard: Safeguard) -> bool {
    let out = usize::from(OUT.load(Ordering::Relaxed));
    out.checked_sub(1).and_then(|place| Safeguard::ALL.get(place)) == Some(&safeguard)
}

/// Whether a safeguard was taken out: never, in this build.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn is_out(_safeguard: Safeguard) -> bool {
    false
}

/// Takes out the safeguard that the variable `TAPELINE_SABOTAGE` names, for tests of a whole process.
///
/// # Panics
/// If there is no such safeguard.
#[cfg(feature = "sabotage")]
pub fn take_out_by_name() {
    #[expect(clippy::disallowed_methods, reason = "no release has this")]
    let Ok(name) = std::env::var("TAPELINE_SABOTAGE") else { return };
    let found = Safeguard::ALL.iter().find(|safeguard| format!("{safeguard:?}") == name);
    assert!(found.is_some(), "no safeguard is named {name}");
    take_out(found.copied());
}

/// Asserts that a test notices when a safeguard is out: one of its cases, by number below `n`, fails
/// then; and that this case and those before it pass with nothing out.
///
/// # Panics
/// If not, or where other tests share the process, which would meet the safeguard out.
#[cfg(feature = "sabotage")]
pub fn assert_noticed(safeguard: Safeguard, n: u64, mut case: impl FnMut(u64)) {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    #[expect(clippy::disallowed_methods, reason = "the test runner says it this way")]
    let mode = std::env::var("NEXTEST_EXECUTION_MODE");
    let is_alone = mode.is_ok_and(|mode| mode == "process-per-test");
    assert!(is_alone, "a safeguard is out of a whole process: run this by cargo-nextest");
    take_out(Some(safeguard));
    let noticed = (0..n).find(|number| catch_unwind(AssertUnwindSafe(|| case(*number))).is_err());
    take_out(None);
    let Some(last) = noticed else { panic!("{safeguard:?} is out, and none of {n} cases fails") };
    (0..=last).for_each(case);
}
