//! What stands in the log, each as one record.

use serde::{Deserialize, Serialize};

use super::brought::{Brought, EventsPart};
use crate::ingest::Counts;

/// The version of these entries. A log of another version is told as such, never misread.
pub(crate) const FORMAT: u32 = 5;

/// What a log is about; its first record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The version of the entries.
    pub(crate) format: u32,
    /// The version of Tapeline that started it.
    pub(crate) engine: String,
    /// What is computed: the digest of the config ([`crate::config::EnginePlan::digest`]).
    pub(crate) plan: u128,
}

/// An epoch whose rows can be read again: which they were, not what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochEntry {
    /// Which epoch.
    pub(crate) epoch: u64,
    /// The watermark at its end, in nanoseconds.
    pub(crate) watermark: i64,
    /// What each source gave, in the order of the plan.
    pub(crate) sources: Vec<SourceRows>,
    /// The digest of the names that it brought.
    pub(crate) names: u64,
    /// Rows by outcome, from the start of the run to the end of the epoch.
    pub(crate) counts: Counts,
}

/// The rows that an epoch read from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRows {
    /// How many.
    pub(crate) n_rows: u64,
    /// Their digest.
    pub(crate) digest: u64,
}

/// What an epoch changed, as a digest: what a run that goes on must give again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputsEntry {
    /// Which epoch.
    pub(crate) epoch: u64,
    /// The digest of the changes of all views that leave the dataflow.
    pub(crate) digest: u64,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// What the log is about.
    Start(Start),
    /// What an epoch brought; its own entry follows.
    Brought(Brought),
    /// Some of its events.
    Events(EventsPart),
    /// An epoch.
    Epoch(EpochEntry),
    /// What an epoch changed.
    Outputs(OutputsEntry),
    /// All is delivered: nothing is left to go on with.
    End,
}

/// The kinds of records.
pub(crate) mod kinds {
    pub(crate) const START: u8 = 1;
    pub(crate) const EPOCH: u8 = 2;
    pub(crate) const OUTPUTS: u8 = 3;
    pub(crate) const END: u8 = 4;
    pub(crate) const BROUGHT: u8 = 5;
    pub(crate) const EVENTS: u8 = 6;
}
use self::kinds::{BROUGHT, END, EPOCH, EVENTS, OUTPUTS, START};

/// How many events a part holds, and how many of them are revising, by the payload of its record. `None`
/// where it can't be read.
pub(crate) fn counts_of(payload: &[u8]) -> Option<(u32, u32)> {
    let (head, _) = postcard::take_from_bytes::<(u64, u32, u32, u32)>(payload).ok()?;
    Some((head.2, head.3))
}

impl Entry {
    /// The kind and payload of its record.
    pub(crate) fn encode(&self) -> (u8, Vec<u8>) {
        let (kind, payload) = match self {
            Self::Start(start) => (START, postcard::to_stdvec(start)),
            Self::Brought(brought) => (BROUGHT, postcard::to_stdvec(brought)),
            Self::Events(EventsPart { epoch, relation, n_events, n_revising, bytes }) => {
                let head = postcard::to_stdvec(&(epoch, relation, n_events, n_revising));
                (EVENTS, head.map(|head| [head.as_slice(), bytes].concat()))
            }
            Self::Epoch(epoch) => (EPOCH, postcard::to_stdvec(epoch)),
            Self::Outputs(outputs) => (OUTPUTS, postcard::to_stdvec(outputs)),
            Self::End => (END, Ok(Vec::new())),
        };
        (kind, payload.expect("numbers and texts always encode"))
    }

    /// Reads a record; `None` where it is none of these.
    pub(crate) fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        match kind {
            START => postcard::from_bytes(payload).ok().map(Self::Start),
            BROUGHT => postcard::from_bytes(payload).ok().map(Self::Brought),
            EVENTS => {
                let ((epoch, relation, n_events, n_revising), bytes) =
                    postcard::take_from_bytes(payload).ok()?;
                let bytes = bytes.to_vec();
                Some(Self::Events(EventsPart { epoch, relation, n_events, n_revising, bytes }))
            }
            EPOCH => postcard::from_bytes(payload).ok().map(Self::Epoch),
            OUTPUTS => postcard::from_bytes(payload).ok().map(Self::Outputs),
            END => payload.is_empty().then_some(Self::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_others_are_none() {
        let start = Start { format: FORMAT, engine: "1.2.3".into(), plan: u128::MAX };
        let epoch = EpochEntry {
            epoch: 7,
            watermark: -5,
            sources: vec![SourceRows { n_rows: 3, digest: u64::MAX }, SourceRows::default()],
            names: 8,
            counts: Counts { received: 9, applied: 4, duplicate: 3, quarantined: 2, late: 1 },
        };
        let outputs = OutputsEntry { epoch: 7, digest: 1 };
        let all = [Entry::Start(start), Entry::Epoch(epoch), Entry::Outputs(outputs), Entry::End];
        for entry in all {
            let (kind, payload) = entry.encode();
            assert_eq!(Entry::decode(kind, &payload), Some(entry.clone()));
            assert_eq!(Entry::decode(9, &payload), None);
            if entry != Entry::End {
                assert_eq!(Entry::decode(kind, &payload[..payload.len() - 1]), None);
            }
        }
    }
}
