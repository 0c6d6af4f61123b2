//! The history against its slow twin: sort everything, fold everything, every time.

use proptest::prelude::*;
use types::{Span, VenueTime};

use super::*;

/// A fold that depends on order in every step.
struct Chain;

type Event = (i64, u64, i64);

impl Fold for Chain {
    type Event = Event;
    type State = i64;
    type Note = (u64, i64);
    type Order = (i64, u64);

    fn order(event: &Event) -> (i64, u64) {
        (event.0, event.1)
    }

    fn time(event: &Event) -> VenueTime {
        VenueTime::from_nanos(event.0)
    }

    fn start(&self) -> i64 {
        7
    }

    fn step(&self, state: &mut i64, event: &Event) -> Option<(u64, i64)> {
        *state = state.wrapping_mul(31).wrapping_add(event.2);
        (*state % 3 == 0).then_some((event.1, *state))
    }
}

/// Folds from scratch: state, notes, states as of steps.
fn twin(events: &[Event], grid: Span) -> (i64, Vec<(u64, i64)>, Vec<(VenueTime, i64)>) {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    let (mut state, mut notes, mut steps) = (7i64, Vec::new(), Vec::new());
    for event in sorted {
        state = state.wrapping_mul(31).wrapping_add(event.2);
        if state % 3 == 0 {
            notes.push((event.1, state));
        }
        let step =
            VenueTime::from_nanos(event.0.div_euclid(grid.nanos()) * grid.nanos() + grid.nanos());
        steps.retain(|(at, _)| *at != step);
        steps.push((step, state));
    }
    (state, notes, steps)
}

/// Replaces old entries by new ones in what stands so far.
fn replace<T: PartialEq + Clone>(standing: &mut Vec<T>, replaced: &Replaced<T>) {
    for old in &replaced.old {
        let place =
            standing.iter().position(|entry| entry == old).expect("what is replaced stands");
        standing.remove(place);
    }
    standing.extend(replaced.new.iter().cloned());
}

proptest! {
    #[test]
    fn folding_what_changed_equals_folding_all(
        // Each: time, value, and how many changes are folded together.
        script in prop::collection::vec((0i64..400, -5i64..5, 1usize..6, any::<prop::sample::Index>()), 1..300),
        late in 0u8..10,
    ) {
        let grid = Span::new(50).unwrap();
        let mut history = History::new(&Chain, 1);
        let (mut live, mut notes, mut steps): (Vec<Event>, Vec<_>, Vec<_>) = Default::default();
        let mut clock = 0;
        for (n, (time, value, together, pick)) in script.into_iter().enumerate() {
            let id = u64::try_from(n).unwrap();
            clock += time % 7;
            if value == 0 && !live.is_empty() {
                let gone = live.swap_remove(pick.index(live.len()));
                prop_assert!(history.remove(&gone));
                prop_assert!(!history.remove(&gone));
            } else {
                let time = if id % 10 < late.into() { time } else { clock };
                history.insert((time, id, value));
                live.push((time, id, value));
            }
            if n % together == 0 {
                let folded = history.fold(&Chain, &[grid]).expect("something changed");
                replace(&mut notes, &folded.notes);
                replace(&mut steps, &folded.steps[0]);
                let (state, all_notes, all_steps) = twin(&live, grid);
                prop_assert_eq!(*history.state(), state);
                let mut standing = notes.clone();
                standing.sort_unstable();
                let mut expected = all_notes;
                expected.sort_unstable();
                prop_assert_eq!(standing, expected);
                let mut standing = steps.clone();
                standing.sort_unstable();
                let mut expected = all_steps;
                expected.sort_unstable();
                prop_assert_eq!(standing, expected);
            }
        }
    }
}

#[test]
fn appending_folds_one_event_and_a_late_one_at_most_a_chunk_more() {
    struct Counting(std::cell::Cell<usize>);
    impl Fold for Counting {
        type Event = Event;
        type State = i64;
        type Note = ();
        type Order = (i64, u64);
        fn order(event: &Event) -> (i64, u64) {
            (event.0, event.1)
        }
        fn time(event: &Event) -> VenueTime {
            VenueTime::from_nanos(event.0)
        }
        fn start(&self) -> i64 {
            0
        }
        fn step(&self, state: &mut i64, event: &Event) -> Option<()> {
            self.0.set(self.0.get() + 1);
            *state += event.2;
            None
        }
    }
    let fold = Counting(std::cell::Cell::new(0));
    let mut history = History::new(&fold, 0);
    for n in 0..1_000 {
        history.insert((n, 0, 1));
        history.fold(&fold, &[]);
    }
    assert_eq!(fold.0.replace(0), 1_000);
    history.insert((500, 1, 1));
    history.fold(&fold, &[]);
    assert!(fold.0.get() <= 500 + CHUNK, "{} steps", fold.0.get());
    assert_eq!(*history.state(), 1_001);
}
