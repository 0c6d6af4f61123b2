//! Events in the log, where sources can't be read again: what an epoch brought, before the epoch's own
//! entry, in parts. A part that says it is the first of its epoch makes void what a crash left of that
//! epoch before.

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::Event;
use types::VenueTime;
use types::names::NewNames;

use super::EpochEntry;
use crate::ingest::{Batch, Kept, KeptBeside};

/// What an epoch brought, but for its events; the first of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Brought {
    /// Which epoch.
    pub(crate) epoch: u64,
    /// New names.
    pub(crate) names: NewNames,
    /// The greatest event time of each relation, in nanoseconds.
    pub(crate) greatest: Vec<i64>,
    /// Rows that went to quarantine.
    pub(crate) refused: Vec<Refused>,
}

/// A row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// The code of the reason.
    pub(crate) reason: String,
    /// Its line in the quarantine file.
    pub(crate) line: String,
}

/// Some of an epoch's events, of one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsPart {
    /// Which epoch.
    pub(super) epoch: u64,
    /// Which relation of the plan.
    pub(super) relation: u32,
    /// How many events.
    pub(super) n_events: u32,
    /// Each with the digest of its content.
    pub(super) bytes: Vec<u8>,
}

/// Bytes from which on a part is full.
const PART_BYTES: usize = 256 << 10;

impl Brought {
    /// What a batch brought. Batches without what is to be kept beside their events bring nothing.
    pub(super) fn of(batch: &Batch, refused: Vec<Refused>) -> Self {
        let names = batch.kept.as_ref().map(|kept| kept.names.clone()).unwrap_or_default();
        let greatest = batch.clock.greatest.iter().map(|time| time.nanos()).collect();
        Self { epoch: batch.epoch, names, greatest, refused }
    }
}

/// The parts of a batch's events.
pub(super) fn parts(batch: &Batch) -> impl Iterator<Item = EventsPart> {
    let contents = batch.kept.as_ref().map(|kept| kept.contents.as_slice()).unwrap_or_default();
    let relations = (0..).zip(&batch.events).zip(contents);
    relations.flat_map(move |((relation, events), contents)| {
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut bytes = Vec::new();
            let n = encode(events, contents, first, &mut bytes);
            first += n;
            let n_events = u32::try_from(n).ok().filter(|n| *n > 0)?;
            Some(EventsPart { epoch: batch.epoch, relation, n_events, bytes })
        })
    })
}

/// Puts the epochs of a log together.
pub(super) struct Collector {
    relations: Vec<RelationSpec>,
    open: Option<(Brought, Vec<Events>, Vec<Vec<u128>>)>,
}

impl Collector {
    pub(super) fn new(relations: &[RelationSpec]) -> Self {
        Self { relations: relations.to_vec(), open: None }
    }

    /// Begins an epoch; what there was of one is void.
    pub(super) fn begin(&mut self, brought: Brought) {
        let events = self.relations.iter().map(|spec| Events::empty(spec.kind)).collect();
        self.open = Some((brought, events, vec![Vec::new(); self.relations.len()]));
    }

    /// Adds events. `None` where they aren't those of the open epoch, or can't be read.
    pub(super) fn add(&mut self, part: &EventsPart) -> Option<()> {
        let (brought, events, contents) = self.open.as_mut()?;
        let relation = usize::try_from(part.relation).ok()?;
        let (events, contents) = (events.get_mut(relation)?, contents.get_mut(relation)?);
        (brought.epoch == part.epoch).then_some(())?;
        decode(events, contents, part.n_events, &part.bytes)
    }

    /// The epoch, and its rows that went to quarantine. `None` where its entry is another epoch's.
    pub(super) fn end(&mut self, entry: &EpochEntry) -> Option<(Kept, Vec<Refused>)> {
        let (brought, events, contents) = self.open.take()?;
        let Brought { epoch, names, greatest, refused } = brought;
        let kept = Kept {
            epoch,
            watermark: VenueTime::from_nanos(entry.watermark),
            counts: entry.counts,
            greatest: greatest.into_iter().map(VenueTime::from_nanos).collect(),
            events,
            beside: KeptBeside { contents, names },
        };
        (epoch == entry.epoch).then_some((kept, refused))
    }
}

macro_rules! codec {
    ($($variant:ident($row:ty),)*) => {
        /// Adds events from one on until the part is full; says how many.
        fn encode(events: &Events, contents: &[u128], first: usize, out: &mut Vec<u8>) -> usize {
            match events {
                $(Events::$variant(events) => encode_rows(events, contents, first, out),)*
            }
        }

        fn decode(
            events: &mut Events,
            contents: &mut Vec<u128>,
            n_events: u32,
            bytes: &[u8],
        ) -> Option<()> {
            match events {
                $(Events::$variant(events) => decode_rows(events, contents, n_events, bytes),)*
            }
        }
    };
}
types::for_inputs!(codec);

fn encode_rows<R: Serialize>(
    events: &[Event<R>],
    contents: &[u128],
    first: usize,
    out: &mut Vec<u8>,
) -> usize {
    let mut n = 0;
    for pair in events.iter().zip(contents).skip(first) {
        if out.len() >= PART_BYTES {
            break;
        }
        let written = postcard::to_extend(&pair, std::mem::take(out));
        *out = written.expect("numbers and texts always encode");
        n += 1;
    }
    n
}

fn decode_rows<R: DeserializeOwned>(
    events: &mut Vec<Event<R>>,
    contents: &mut Vec<u128>,
    n_events: u32,
    mut bytes: &[u8],
) -> Option<()> {
    for _ in 0..n_events {
        let ((event, content), rest) = postcard::take_from_bytes(bytes).ok()?;
        events.push(event);
        contents.push(content);
        bytes = rest;
    }
    bytes.is_empty().then_some(())
}
