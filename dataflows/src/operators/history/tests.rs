//! The store against its slow twin: random histories, cut into random epochs.

use proptest::prelude::*;
use types::{Op, Span, VenueTime};

use super::twin::Twin;
use super::*;
use crate::cold::testing::Pieces;
use crate::cold::{Cold, Spilling};
use crate::revisions::Revision;

/// A fold that depends on order in every step. Some events are kept aside, some make notes.
#[derive(Clone, Copy)]
struct Chain;

/// Time, identity (none: it comes without revisions), value.
type Event = (i64, Option<u64>, i64);

/// An event; or its number aside.
#[derive(Clone, Copy)]
enum Small {
    Here(Event),
    Aside(i64, usize),
}

impl Small {
    fn event(self, aside: &[Option<Event>]) -> Event {
        match self {
            Self::Here(event) => event,
            Self::Aside(_, number) => aside[number].expect("what is kept aside is there"),
        }
    }
}

impl Fold for Chain {
    type Key = u64;
    type Event = Event;
    type Packed = Small;
    type Common = Option<i64>;
    type Aside = Vec<Option<Event>>;
    type State = (i64, u64);
    type Note = (Option<u64>, i64);
    type Order = (i64, Option<u64>);

    /// The same for two keys, which must be told apart all the same.
    fn route(key: u64) -> u64 {
        crate::route::mix(key / 2)
    }

    fn order(event: &Event) -> Self::Order {
        (event.0, event.1)
    }

    fn time(order: &Self::Order) -> VenueTime {
        VenueTime::from_nanos(order.0)
    }

    fn identity(event: &Event) -> Option<u128> {
        event.1.map(u128::from)
    }

    fn unpack(packed: &Small, _common: Option<i64>, aside: &Self::Aside) -> Event {
        packed.event(aside)
    }

    const BYTES: usize = 26;

    fn write(packed: &Small, bytes: &mut Vec<u8>) {
        let (is_here, (time, id, value)) = match *packed {
            Small::Here(event) => (1, event),
            Small::Aside(time, number) => (0, (time, None, i64::try_from(number).unwrap())),
        };
        bytes.extend([is_here, u8::from(id.is_some())]);
        bytes.extend(time.to_le_bytes());
        bytes.extend(id.unwrap_or_default().to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Small {
        let word = |n: usize| bytes[2 + 8 * n..10 + 8 * n].try_into().unwrap();
        let (time, value) = (i64::from_le_bytes(word(0)), i64::from_le_bytes(word(2)));
        if bytes[0] == 0 {
            return Small::Aside(time, usize::try_from(value).unwrap());
        }
        Small::Here((time, (bytes[1] == 1).then(|| u64::from_le_bytes(word(1))), value))
    }

    fn release(packed: &Small, aside: &mut Self::Aside) {
        if let Small::Aside(_, number) = packed {
            aside[*number].take().expect("what is kept aside is freed once");
        }
    }

    fn packed_order(packed: &Small, aside: &Self::Aside) -> Self::Order {
        Self::order(&packed.event(aside))
    }

    fn packed_time(packed: &Small) -> VenueTime {
        let (Small::Here((time, ..)) | Small::Aside(time, _)) = packed;
        VenueTime::from_nanos(*time)
    }

    fn packed_identity(packed: &Small, aside: &Self::Aside) -> Option<u128> {
        Self::identity(&packed.event(aside))
    }

    fn start(&self) -> Self::State {
        (7, 0)
    }

    fn step_by_the_rules(&self, state: &mut Self::State, event: &Event) -> Option<Self::Note> {
        *state = (state.0.wrapping_mul(31).wrapping_add(event.2), state.1 + 1);
        (state.0 % 13 == 0).then_some((event.1, state.0))
    }

    fn step(
        &self,
        state: &mut Self::State,
        packed: &Small,
        _common: Option<i64>,
        aside: &Self::Aside,
    ) -> Option<Self::Note> {
        self.step_by_the_rules(state, &packed.event(aside))
    }

    fn about(note: &Self::Note) -> u128 {
        note.0.map_or(u128::MAX, u128::from)
    }
}

impl Packable<Chain> for Event {
    fn time(&self) -> VenueTime {
        VenueTime::from_nanos(self.0)
    }

    fn event(&self) -> Event {
        *self
    }

    fn pack(&self, common: &mut Option<i64>, aside: &mut Vec<Option<Event>>) -> Small {
        common.get_or_insert(self.2);
        if self.2 % 3 == 0 {
            aside.push(Some(*self));
            return Small::Aside(self.0, aside.len() - 1);
        }
        Small::Here(*self)
    }
}

/// What stands of one key, as a reader of changes knows it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Standing {
    state: Option<(i64, u64)>,
    notes: Vec<(Option<u64>, i64)>,
    steps: [Vec<(VenueTime, (i64, u64))>; 2],
}

/// Applies changes and checks that they fit what stands.
#[derive(Default)]
struct Reader(std::collections::BTreeMap<u64, Standing>);

fn replace<T: PartialEq + Clone + Debug>(all: &mut Vec<T>, old: Option<&T>, new: Option<&T>) {
    assert_ne!(old, new, "what is told differs");
    if let Some(old) = old {
        let place = all.iter().position(|entry| entry == old).expect("what is replaced stands");
        all.remove(place);
    }
    all.extend(new.cloned());
}

impl Sink<Chain> for Reader {
    fn state(&mut self, key: u64, old: &(i64, u64), new: &(i64, u64)) {
        let state = &mut self.0.entry(key).or_default().state;
        assert_eq!(state.unwrap_or(Chain.start()), *old, "the old state of {key}");
        *state = Some(*new);
    }

    fn note(
        &mut self,
        key: u64,
        old: Option<&(Option<u64>, i64)>,
        new: Option<&(Option<u64>, i64)>,
    ) {
        replace(&mut self.0.entry(key).or_default().notes, old, new);
    }

    fn step(&mut self, key: u64, grid: usize, step: Step<'_, Chain>) {
        let (old, new) = (step.old.map(|s| (step.at, *s)), step.new.map(|s| (step.at, *s)));
        let steps = &mut self.0.entry(key).or_default().steps[grid];
        replace(steps, old.as_ref(), new.as_ref());
    }
}

impl Standing {
    fn sorted(mut self) -> Self {
        self.notes.sort_unstable();
        self.steps.iter_mut().for_each(|steps| steps.sort_unstable());
        self
    }
}

const KEYS: u64 = 2;

/// One thing that happens.
#[derive(Clone, Debug)]
struct Act {
    key: u64,
    /// Which of the last identities, counted back; beyond them, a new one.
    back: u64,
    op: Op,
    revision: u64,
    /// How far behind the clock; none for in order.
    late: Option<i64>,
    value: i64,
    /// Whether a bust or correct tells the event's time, or a wrong one.
    is_frank: bool,
    ends_epoch: bool,
}

fn act(span: i64) -> impl Strategy<Value = Act> {
    let op = prop_oneof![
        8 => Just(Op::Insert), 1 => Just(Op::Correct), 2 => Just(Op::Bust)
    ];
    let late =
        prop_oneof![6 => Just(None), 1 => (0..20i64).prop_map(Some), 1 => (0..span).prop_map(Some)];
    let back = prop_oneof![4 => Just(u64::MAX), 1 => 0..12u64, 1 => 0..600u64];
    let revision = prop_oneof![4 => Just(0u64), 2 => 0..4u64, 1 => Just(u64::MAX)];
    let flags = (any::<bool>(), prop::bool::weighted(0.2));
    (0..KEYS, back, op, revision, late, -9i64..10, flags).prop_map(
        |(key, back, op, revision, late, value, (is_frank, ends_epoch))| Act {
            key,
            back,
            op,
            revision,
            late,
            value,
            is_frank,
            ends_epoch,
        },
    )
}

/// Runs a script in memory, and with little or nothing of its history there.
fn run(script: &[Act], grids: &[Span], knows_first: bool) {
    for memory in [None, Some(0), Some(1_500)] {
        run_within(memory, script, grids, knows_first);
    }
}

/// Runs a script through store and twin and compares all that stands after each epoch. Gives how many
/// pieces left memory, and how many came back.
fn run_within(
    memory: Option<usize>,
    script: &[Act],
    grids: &[Span],
    knows_first: bool,
) -> (usize, usize) {
    let pieces = Pieces::default();
    let spilling = |memory| Spilling { store: Box::new(pieces.clone()), memory };
    let cold = Cold::new(memory.map(spilling));
    let mut store = Store::new(Chain, grids, &cold);
    let mut twins: Vec<Twin<Chain>> = (0..KEYS).map(|_| Twin::default()).collect();
    let mut reader = Reader::default();
    let (mut clock, mut newest) = (1_000i64, 0u64);
    let mut unrevised: Vec<(u64, Event)> = Vec::new();
    for (n, act) in script.iter().enumerate() {
        clock += act.value.rem_euclid(3);
        let time = clock - act.late.unwrap_or(0);
        let twin = &mut twins[usize::try_from(act.key).unwrap()];
        if act.value == 9 {
            // What has no identity comes and goes as it says.
            if let Some(place) = unrevised.iter().position(|(key, _)| *key == act.key)
                && act.op == Op::Bust
            {
                let (_, event) = unrevised.swap_remove(place);
                twin.change(&event, -1);
                let place = store.find(act.key).unwrap();
                store.change(place, &event, -1);
            } else {
                // Of one time they are equal, since nothing else orders them.
                let event = (time, None, 1);
                unrevised.push((act.key, event));
                twin.change(&event, 1);
                let place = store.find(act.key).unwrap_or_else(|| store.add(act.key));
                store.change(place, &event, 1);
            }
        } else {
            let identity = if act.back < newest { newest - act.back } else { newest + 1 };
            newest = newest.max(identity);
            let is_first = knows_first && !twin.knows(identity.into());
            let time = if act.op == Op::Bust && !act.is_frank { i64::MIN } else { time };
            let event = (time, Some(identity), act.value);
            let revision = Revision { op: act.op, number: act.revision, is_first };
            twin.revise(&revision, event);
            match store.find(act.key) {
                None if act.op == Op::Bust => store.wait(act.key, revision, &event),
                place => {
                    let place = place.unwrap_or_else(|| store.add(act.key));
                    store.revise(place, revision, &event);
                }
            }
        }
        if act.ends_epoch || n + 1 == script.len() {
            store.finish(&mut reader);
            assert_eq!(pieces.counts().1, store.n_pieces(), "pieces outside and inside, act {n}");
            assert_eq!(cold.held(), store.n_bytes(), "bytes in memory, act {n}");
            assert!(memory != Some(0) || cold.held() == 0, "{} bytes stay, act {n}", cold.held());
            for (key, twin) in (0..).zip(&twins) {
                let said = twin.fold(&Chain, grids);
                let mut steps: [Vec<_>; 2] = Default::default();
                for (grid, said) in steps.iter_mut().zip(said.steps) {
                    *grid = said.into_iter().collect();
                }
                let expected = Standing { state: Some(said.state), notes: said.notes, steps };
                let mut standing = reader.0.get(&key).cloned().unwrap_or_default();
                standing.state.get_or_insert(Chain.start());
                assert_eq!(standing.sorted(), expected.sorted(), "key {key} after act {n}");
            }
        }
    }
    let (n_put, n_left) = pieces.counts();
    (n_put, n_put - n_left)
}

/// A key of few events, one of many, and corrections of both, with all of their history away.
#[test]
fn histories_leave_memory_and_come_back() {
    let plain = |key, op, back| Act {
        key,
        back,
        op,
        revision: 0,
        late: None,
        value: 1,
        is_frank: true,
        ends_epoch: true,
    };
    for n in [12, 400] {
        let script: Vec<Act> = (0..n).map(|_| plain(0, Op::Insert, u64::MAX)).collect();
        let (n_put, n_back) = run_within(Some(0), &script, &[], true);
        assert!(n_put >= 12, "{n} events, {n_put} pieces");
        let bust = [plain(0, Op::Bust, n / 2)];
        let corrected = [&script[..], &bust].concat();
        let (_, n_back_then) = run_within(Some(0), &corrected, &[], true);
        assert!(n_back_then > n_back, "{n} events: a correction reads pieces back");
        assert_eq!(run_within(None, &corrected, &[], true), (0, 0));
    }
}

fn grids() -> impl Strategy<Value = Vec<Span>> {
    let span = |n| Span::new(n).unwrap();
    prop::sample::select(vec![vec![], vec![], vec![span(7)], vec![span(40), span(1)]])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn short_histories_equal_the_twin(
        script in prop::collection::vec(act(60), 1..60), grids in grids(), knows_first: bool,
    ) {
        run(&script, &grids, knows_first);
    }

    #[test]
    fn what_an_epoch_holds_makes_no_difference_at_its_end(
        mut script in prop::collection::vec(act(60), 1..200), grids in grids(), every in 1..100usize,
    ) {
        for (n, act) in script.iter_mut().enumerate() {
            act.ends_epoch = n % every == 0;
        }
        run(&script, &grids, true);
    }
}

/// A history that grows long, then loses whole chunks, then grows again.
fn shrinking(tail: Vec<Act>, (from, to): (u64, u64), every: usize) -> Vec<Act> {
    let plain = |op, back| Act {
        key: 0,
        back,
        op,
        revision: 0,
        late: None,
        value: 1,
        is_frank: back % 2 == 0,
        ends_epoch: false,
    };
    let grow = (0..500).map(|_| plain(Op::Insert, u64::MAX));
    let shrink = (from.min(to)..from.max(to)).map(|back| plain(Op::Bust, back));
    let mut script: Vec<Act> = grow.chain(shrink).chain(tail).collect();
    for (n, act) in script.iter_mut().enumerate() {
        act.ends_epoch = act.ends_epoch || n % every == 0;
    }
    script
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn long_histories_equal_the_twin(
        mut script in prop::collection::vec(act(900), 600..1_500), grids in grids(), knows_first: bool,
        every in prop_oneof![2 => 1..80usize, 1 => 80..1_500usize],
    ) {
        for (n, act) in script.iter_mut().enumerate() {
            act.ends_epoch = n % every == 0;
        }
        run(&script, &grids, knows_first);
    }

    /// Histories that grow long, then lose whole chunks, then grow again.
    #[test]
    fn chunks_that_run_empty_pass_their_state_on(
        tail in prop::collection::vec(act(900), 1..60), grids in grids(),
        (from, to) in (0..500u64, 0..500u64), every in 1..200usize,
    ) {
        let script = shrinking(tail, (from, to), every);
        run(&script, &grids, true);
    }
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use super::*;
    use crate::operators::testing::{noticed, sample};

    fn short(seed: u64) {
        let (script, grids) = sample(&(prop::collection::vec(act(60), 1..60), grids()), seed);
        run(&script, &grids, true);
    }

    fn long(seed: u64) {
        let script = prop::collection::vec(act(900), 600..1_500);
        let (mut script, grids, every) = sample(&(script, grids(), 1..80usize), seed);
        for (n, act) in script.iter_mut().enumerate() {
            act.ends_epoch = n % every == 0;
        }
        run(&script, &grids, true);
    }

    fn runs_empty(seed: u64) {
        let tail = prop::collection::vec(act(900), 1..60);
        let (tail, range, every) = sample(&(tail, (0..500u64, 0..500u64), 1..200usize), seed);
        run(&shrinking(tail, range, every), &[], true);
    }

    noticed! {
        the_state_before_an_empty_chunk: EmptyPassesOn by 50 of runs_empty;
        a_bust_that_comes_first: FirstIsNoBust by 100 of short;
        late_events: AppendsInOrder by 20 of short;
        events_of_one_time: TiesInOrder by 100 of short;
        what_is_remembered_of_revisions: RevisionsKept by 20 of short;
        notes_that_were_told: NotesRetold by 50 of short;
        keys_of_one_hash: KeysCompared by 20 of short;
        additions_before_removals: HistoryAdditionsFirst by 400 of short;
        the_first_change: RefoldsFromFirst by 20 of long;
        the_middle_of_the_open_events: MiddleIsBehind by 20 of long;
        the_state_before_a_chunk: StartsRenewed by 20 of long;
        events_without_a_time: LooksEverywhere by 20 of long;
        what_the_epoch_appended: WalksAppended by 40 of long;
        steps_within_an_epoch: StepsClosed by 100 of short;
    }
}
