//! Events as bytes: parts of a bounded size, each event with the digest by which a repeat of it is told
//! from a conflict.

mod narrow;
#[cfg(test)]
mod tests;

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use types::relations::Input;
use types::{Event, Op, Schema};

use self::narrow::{Narrow, put, take, take_byte};
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

/// Where what an event does stands in its first byte; above it are flags.
const OP: u8 = 0b11;
const IS_FIRST: u8 = 1 << 2;
const HAS_REVISION: u8 = 1 << 3;
/// Whether the digest of the content has more than 32 bits.
const IS_WIDE: u8 = 1 << 4;
const FLAGS: u8 = 0b1_1111;

fn encode_rows<R: Input + Narrow>(
    events: &[Event<R>],
    contents: &[u128],
    (first, schema): (usize, &Schema),
    out: &mut Vec<u8>,
) -> Encoded {
    let mut encoded = Encoded::default();
    let mut before = None;
    for (event, content) in events.iter().zip(contents).skip(first) {
        if out.len() >= PART_BYTES {
            break;
        }
        let narrow = u32::try_from(*content);
        let has_revision = event.revision > 0;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(event.is_first, IS_FIRST)
            | flag(has_revision, HAS_REVISION)
            | flag(narrow.is_err(), IS_WIDE);
        out.push(event.op.place() | flags);
        if has_revision {
            put(event.revision, out);
        }
        match narrow {
            Ok(narrow) => out.extend(narrow.to_le_bytes()),
            Err(_) => out.extend(content.to_le_bytes()),
        }
        event.row.write(before, out);
        before = Some(&event.row);
        encoded.n_events += 1;
        let is_revising = !event.is_first && event.row.identity(schema).is_some();
        encoded.n_revising += usize::from(is_revising);
    }
    encoded
}

fn decode_rows<R: Narrow>(
    events: &mut Vec<Event<R>>,
    contents: &mut Vec<u128>,
    n_events: u32,
    mut bytes: &[u8],
) -> Option<()> {
    let first = events.len();
    for _ in 0..n_events {
        let flags = take_byte(&mut bytes).filter(|flags| *flags <= FLAGS)?;
        let op = Op::from_place(flags & OP)?;
        let revision = if flags & HAS_REVISION == 0 { 0 } else { take(&mut bytes)? };
        let content = if flags & IS_WIDE == 0 {
            u32::from_le_bytes(split(&mut bytes)?).into()
        } else {
            u128::from_le_bytes(split(&mut bytes)?)
        };
        let before = events.get(first..).and_then(<[Event<R>]>::last).map(|event| &event.row);
        let row = R::read(&mut bytes, before)?;
        events.push(Event { op, revision, is_first: flags & IS_FIRST != 0, row });
        contents.push(content);
    }
    bytes.is_empty().then_some(())
}

/// Takes the first bytes off.
fn split<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
