//! The way in: a handle for each relation and one for the clock.

use std::cell::RefCell;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{Scope, StreamVec};
use types::Event;
use types::for_inputs;
use types::relations::{Input, RelationKind};

use crate::clock::Clock;
use crate::edge::Edge;
use crate::plan::RelationSpec;
use crate::resolve::{resolve, route_event};

type HandleOf<D> = Handle<u64, CapacityContainerBuilder<Vec<D>>>;

/// Declares what differs by relation: batches of events, and the handles that take them.
macro_rules! inputs {
    ($($variant:ident($row:ty),)*) => {
        /// Events of one relation.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Events {
            $(#[doc = concat!("Events of [`", stringify!($row), "`].")]
            $variant(Vec<Event<$row>>),)*
        }

        impl Events {
            /// No events of a relation.
            ///
            /// # Panics
            /// If the kind isn't one that is fed from outside.
            pub fn empty(kind: RelationKind) -> Self {
                Self::with_capacity(kind, 0)
            }

            /// No events of a relation yet, with room for so many.
            ///
            /// # Panics
            /// As [`Events::empty`].
            pub fn with_capacity(kind: RelationKind, n_events: usize) -> Self {
                match kind {
                    $(RelationKind::$variant => Self::$variant(Vec::with_capacity(n_events)),)*
                    other => panic!("{other:?} aren't fed from outside"),
                }
            }

            /// Adds the events of the same relation that came behind these.
            ///
            /// # Panics
            /// If they are of another relation.
            pub fn append(&mut self, more: Self) {
                match (self, more) {
                    $((Self::$variant(events), Self::$variant(mut more)) => {
                        events.append(&mut more);
                    })*
                    _ => panic!("events of two relations"),
                }
            }

            /// Each event alone, in their order.
            pub fn each(self) -> Box<dyn Iterator<Item = Self>> {
                match self {
                    $(Self::$variant(events) => {
                        Box::new(events.into_iter().map(|event| Self::$variant(vec![event])))
                    })*
                }
            }

            /// How many events there are.
            pub const fn len(&self) -> usize {
                match self { $(Self::$variant(events) => events.len(),)* }
            }

            /// Whether there are none.
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Cuts the events into a share for each worker, by the hash that the operators
            /// exchange by: so a key's events stay in order, and few rows move again.
            pub fn cut(self, spec: &RelationSpec, n_workers: usize) -> Vec<Self> {
                match self {
                    $(Self::$variant(events) => {
                        cut(events, spec, n_workers).into_iter().map(Self::$variant).collect()
                    })*
                }
            }
        }

        /// The handle of one relation.
        enum RelationInput {
            $($variant(HandleOf<Event<$row>>),)*
        }

        impl RelationInput {
            fn feed(&mut self, events: &mut Events) {
                match (self, events) {
                    $((Self::$variant(handle), Events::$variant(events)) => {
                        handle.send_batch(events);
                    })*
                    _ => unreachable!("a relation is fed with its own rows"),
                }
            }

            fn advance_to(&mut self, epoch: u64) {
                match self { $(Self::$variant(handle) => handle.advance_to(epoch),)* }
            }
        }

        /// The events of one relation in a dataflow.
        pub(crate) enum RelationEvents<'s> {
            $($variant(StreamVec<'s, u64, Event<$row>>),)*
        }

        impl<'s> RelationEvents<'s> {
            /// The relation's rows.
            pub(crate) fn rows(&self, spec: &RelationSpec) -> Edge<'s> {
                match self { $(Self::$variant(events) => rows(events.clone(), spec),)* }
            }
        }

        /// Adds the input of one relation to a dataflow.
        fn relation<'s>(
            scope: Scope<'s, u64>,
            spec: &RelationSpec,
        ) -> (RelationInput, RelationEvents<'s>) {
            match spec.kind {
                $(RelationKind::$variant => {
                    let (handle, stream) = scope.new_input::<Vec<Event<$row>>>();
                    (RelationInput::$variant(handle), RelationEvents::$variant(stream))
                })*
                other => panic!("{other:?} aren't fed from outside"),
            }
        }
    };
}
for_inputs!(inputs);

impl<'s> RelationEvents<'s> {
    /// The relation's events as they come, for readers that settle revisions themselves.
    ///
    /// # Panics
    /// If no operator reads events of this relation.
    pub(crate) fn events(&self) -> Edge<'s> {
        match self {
            Self::Fills(events) => Edge::FillEvents(events.clone()),
            Self::Trades(events) => Edge::TradeEvents(events.clone()),
            Self::Quotes(_) | Self::Settlements(_) | Self::Rows(_) => {
                panic!("only fills and trades are read as events")
            }
        }
    }
}

/// Events as rows: resolved where they can replace one another, else as they come.
fn rows<'s, R: Input>(stream: StreamVec<'s, u64, Event<R>>, spec: &RelationSpec) -> Edge<'s>
where
    Edge<'s>: From<crate::edge::Coll<'s, R>>,
{
    if spec.has_corrections {
        return resolve(stream, &spec.name, &spec.schema).into();
    }
    let name = format!("relation {}: rows", spec.name);
    let rows = stream.unary::<CapacityContainerBuilder<Vec<(R, u64, isize)>>, _, _, _>(
        Pipeline,
        &name,
        |_, _| {
            move |input, output| {
                input.for_each_time(|time, containers| {
                    let epoch = *time.time();
                    let mut session = output.session(&time);
                    for container in containers {
                        let rows = container.drain(..).map(|event| (event.row, epoch, 1));
                        session.give_container(&mut rows.collect());
                    }
                });
            }
        },
    );
    rows.as_collection().into()
}

fn cut<R: Input>(
    events: Vec<Event<R>>,
    spec: &RelationSpec,
    n_workers: usize,
) -> Vec<Vec<Event<R>>> {
    if n_workers <= 1 {
        return vec![events];
    }
    let mut shares: Vec<Vec<Event<R>>> = (0..n_workers).map(|_| Vec::new()).collect();
    let n = u64::try_from(n_workers).unwrap_or(u64::MAX);
    for event in events {
        let share = route_event(&event.row, &spec.schema) % n;
        if let Some(share) = usize::try_from(share).ok().and_then(|i| shares.get_mut(i)) {
            share.push(event);
        }
    }
    shares
}

/// One worker's part of an epoch.
#[derive(Clone, Debug)]
pub struct Share {
    /// Which epoch.
    pub epoch: u64,
    /// Its events, by relation of the plan.
    pub events: Vec<Events>,
    /// Event time at the epoch's end.
    pub clock: Arc<Clock>,
}

/// All handles of a worker's dataflow. Dropping them ends its input.
pub struct Inputs {
    relations: Vec<RelationInput>,
    /// `None` where nothing reads it.
    clock: Option<HandleOf<Clock>>,
}

/// The clock's way into a dataflow. It is there only once something reads it: each input costs every
/// epoch its share of timely's accounts, which is most of what an epoch of one event costs.
pub struct ClockInput<'s> {
    scope: Scope<'s, u64>,
    made: RefCell<Option<(HandleOf<Clock>, StreamVec<'s, u64, Clock>)>>,
}

impl<'s> ClockInput<'s> {
    pub(crate) fn new(scope: Scope<'s, u64>) -> Self {
        Self { scope, made: RefCell::new(None) }
    }

    /// The clock of each epoch, once on each worker.
    pub fn stream(&self) -> StreamVec<'s, u64, Clock> {
        let mut made = self.made.borrow_mut();
        let (_, stream) = made.get_or_insert_with(|| self.scope.new_input::<Vec<Clock>>());
        stream.clone()
    }
}

/// What a worker's dataflow starts from.
pub(crate) struct Fed<'s> {
    pub(crate) inputs: Inputs,
    pub(crate) relations: Vec<RelationEvents<'s>>,
}

/// Adds the inputs of relations to a dataflow.
pub(crate) fn build<'s>(scope: Scope<'s, u64>, specs: &[RelationSpec]) -> Fed<'s> {
    let (handles, relations) = specs.iter().map(|spec| relation(scope, spec)).unzip();
    Fed { inputs: Inputs { relations: handles, clock: None }, relations }
}

impl Inputs {
    /// Adds the clock, if anything reads it.
    pub(crate) fn with_clock(self, clock: ClockInput<'_>) -> Self {
        Self { clock: clock.made.into_inner().map(|(handle, _)| handle), ..self }
    }

    /// Feeds a worker's part of an epoch and closes the epoch.
    pub fn feed(&mut self, share: &mut Share) {
        self.advance_to(share.epoch);
        for (input, events) in self.relations.iter_mut().zip(&mut share.events) {
            if !events.is_empty() {
                input.feed(events);
            }
        }
        if let Some(clock) = &mut self.clock {
            clock.send(Clock::clone(&share.clock));
        }
        self.advance_to(share.epoch + 1);
    }

    fn advance_to(&mut self, epoch: u64) {
        for input in &mut self.relations {
            input.advance_to(epoch);
        }
        if let Some(clock) = &mut self.clock {
            clock.advance_to(epoch);
        }
    }
}
