//! Events as bytes: parts of a bounded size, each event with the digest by which a repeat of it is told
//! from a conflict.

use dataflows::inputs::Events;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::Event;

use super::brought::EventsPart;

/// Bytes from which on a part is full.
const PART_BYTES: usize = 256 << 10;

/// The parts of an epoch's events, given by relation of the plan.
pub(crate) fn parts<'a>(
    epoch: u64,
    events: &'a [Events],
    contents: &'a [Vec<u128>],
) -> impl Iterator<Item = EventsPart> + use<'a> {
    let relations = (0..).zip(events).zip(contents);
    relations.flat_map(move |((relation, events), contents)| {
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut bytes = Vec::new();
            let n = encode(events, contents, first, &mut bytes);
            first += n;
            let n_events = u32::try_from(n).ok().filter(|n| *n > 0)?;
            Some(EventsPart { epoch, relation, n_events, bytes })
        })
    })
}

macro_rules! codec {
    ($($variant:ident($row:ty),)*) => {
        /// Adds events from one on until the part is full; says how many.
        fn encode(events: &Events, contents: &[u128], first: usize, out: &mut Vec<u8>) -> usize {
            match events {
                $(Events::$variant(events) => encode_rows(events, contents, first, out),)*
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
