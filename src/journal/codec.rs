//! Events as bytes: parts of a bounded size, each event with the digest by which a repeat of it is told
//! from a conflict.

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::relations::Input;
use types::{Event, Schema};

use super::brought::EventsPart;

/// Bytes from which on a part is full.
const PART_BYTES: usize = 256 << 10;

/// The parts of an epoch's events, given by relation of the plan.
pub(crate) fn parts<'a>(
    epoch: u64,
    relations: &'a [RelationSpec],
    events: &'a [Events],
    contents: &'a [Vec<u128>],
) -> impl Iterator<Item = EventsPart> + use<'a> {
    let relations = (0..).zip(relations).zip(events.iter().zip(contents));
    relations.flat_map(move |((relation, spec), (events, contents))| {
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut bytes = Vec::new();
            let Encoded { n_events, n_revising } =
                encode(events, contents, (first, &spec.schema), &mut bytes);
            first += n_events;
            let [n_events, n_revising] = [n_events, n_revising].map(u32::try_from);
            let n_events = n_events.ok().filter(|n| *n > 0)?;
            Some(EventsPart { epoch, relation, n_events, n_revising: n_revising.ok()?, bytes })
        })
    })
}

/// How many events were encoded, and how many of them are revising.
#[derive(Default)]
struct Encoded {
    n_events: usize,
    n_revising: usize,
}

macro_rules! codec {
    ($($variant:ident($row:ty),)*) => {
        /// Adds events from one on until the part is full.
        fn encode(
            events: &Events,
            contents: &[u128],
            from: (usize, &Schema),
            out: &mut Vec<u8>,
        ) -> Encoded {
            match events {
                $(Events::$variant(events) => encode_rows(events, contents, from, out),)*
            }
        }

        /// Adds the events of a part, with the digests of their contents. `None` where they can't be read.
        pub(super) fn decode(
            events: &mut Events,
            contents: &mut Vec<u128>,
            part: &EventsPart,
        ) -> Option<()> {
            match events {
                $(Events::$variant(events) => {
                    decode_rows(events, contents, part.n_events, &part.bytes)
                })*
            }
        }
    };
}
types::for_inputs!(codec);

fn encode_rows<R: Input + Serialize>(
    events: &[Event<R>],
    contents: &[u128],
    (first, schema): (usize, &Schema),
    out: &mut Vec<u8>,
) -> Encoded {
    let mut encoded = Encoded::default();
    for pair in events.iter().zip(contents).skip(first) {
        if out.len() >= PART_BYTES {
            break;
        }
        let written = postcard::to_extend(&pair, std::mem::take(out));
        *out = written.expect("numbers and texts always encode");
        encoded.n_events += 1;
        let is_revising = !pair.0.is_first && pair.0.row.identity(schema).is_some();
        encoded.n_revising += usize::from(is_revising);
    }
    encoded
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
