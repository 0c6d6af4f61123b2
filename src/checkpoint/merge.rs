//! Runs that follow one another become one, without what later events of theirs have superseded: of
//! each identity the last state and the last removal stay. Few events say of an identity what another
//! said before, so that remembering those alone is enough to know what they supersede.

use std::sync::Arc;

use dataflows::inputs::Events;
use dataflows::plan::RelationSpec;
use rustc_hash::FxHashMap;
use types::relations::{Identity, Input};
use types::sabotage::{Safeguard, is_out};
use types::{Event, Op, Schema};

use super::groups::Groups;
use super::manifest::RunRef;
use super::run::{RunReader, RunWriter};
use super::store::Store;
use crate::error::Error;
use crate::journal::{Brought, Entry, Group, parts};

/// Events of a group from which on the next epoch begins another one.
const EVENTS: usize = 1 << 15;

/// How many of the newest runs are to become one, where any are: once there are `fan` of one size they
/// become one of the next, with the smaller ones behind them. So an event is copied as often as the sizes
/// have grown. `unit` is the smallest size, in bytes.
pub(super) fn n_due(runs: &[RunRef], unit: u64, fan: usize) -> Option<usize> {
    let times = u64::try_from(fan).unwrap_or(u64::MAX).max(2);
    let size = |run: &RunRef| (run.n_bytes / unit.max(1)).max(1).ilog(times);
    let newest = runs.last().map(size)?;
    let largest = runs.iter().map(size).max()?;
    (newest..=largest).find_map(|most| {
        let behind = runs.iter().rev().take_while(|run| size(run) <= most);
        let (n, n_equal) = behind
            .fold((0, 0), |(n, n_equal), run| (n + 1, n_equal + usize::from(size(run) == most)));
        (n_equal >= fan.max(2)).then_some(n)
    })
}

/// The last events of an identity, by their places among its relation's in the runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Last {
    state: Option<u64>,
    removal: Option<u64>,
}

impl Last {
    fn of(&mut self, op: Op) -> &mut Option<u64> {
        if op == Op::Bust { &mut self.removal } else { &mut self.state }
    }
}

/// What is known of a relation's events, and how many were met.
#[derive(Debug, Default)]
struct Known {
    last: FxHashMap<Identity, Last>,
    n_events: u64,
}

/// Makes one run of some; with `keeps_epochs` of all that they hold, epoch by epoch.
///
/// # Errors
/// If one can't be read, or the new one not be written.
pub(super) fn merge(
    store: &Arc<Store>,
    relations: &[RelationSpec],
    runs: &[RunRef],
    keeps_epochs: bool,
) -> Result<RunRef, Error> {
    if keeps_epochs || runs.iter().all(|run| run.n_revising == 0) {
        // Nothing is superseded: reading its events would be for nothing.
        return copy(store, runs);
    }
    let mut known: Vec<Known> = relations.iter().map(|_| Known::default()).collect();
    let mut groups = Groups::new(store, runs, relations);
    while let Some(group) = groups.next()? {
        let parts = known.iter_mut().zip(&group.events).zip(relations);
        parts.for_each(|((known, events), spec)| known.meet(events, &spec.schema));
    }
    for known in &mut known {
        known.n_events = 0;
    }
    let number = store.next_run()?;
    let mut writer = RunWriter::create(&*store.files, &Store::draft(number))?;
    let mut whole: Option<Group> = None;
    let mut merged = RunRef { number, epochs: span(runs), ..RunRef::default() };
    merged.n_superseded = runs.iter().map(|run| run.n_superseded).sum();
    let mut groups = Groups::new(store, runs, relations);
    while let Some(mut group) = groups.next()? {
        let n_before = group.n_events();
        let parts = group.events.iter_mut().zip(&mut group.contents);
        for ((known, spec), (events, contents)) in known.iter_mut().zip(relations).zip(parts) {
            known.keep(events, contents, &spec.schema);
        }
        merged.n_events += wide(group.n_events());
        merged.n_superseded += wide(n_before - group.n_events());
        match &mut whole {
            Some(whole) if whole.n_events() + group.n_events() <= EVENTS => whole.append(group),
            _ => {
                if let Some(full) = whole.replace(group) {
                    merged.n_revising += write(&mut writer, relations, full)?;
                }
            }
        }
    }
    if let Some(last) = whole {
        merged.n_revising += write(&mut writer, relations, last)?;
    }
    (merged.n_bytes, merged.crc) = writer.finish()?;
    store.name_run(number)?;
    Ok(merged)
}

/// Makes one run of some, entry by entry.
fn copy(store: &Arc<Store>, runs: &[RunRef]) -> Result<RunRef, Error> {
    let number = store.next_run()?;
    let mut writer = RunWriter::create(&*store.files, &Store::draft(number))?;
    let mut merged = RunRef { number, epochs: span(runs), ..RunRef::default() };
    for run in runs {
        RunReader::open(&*store.files, run)?.copy_to(&mut writer)?;
        merged.n_events += run.n_events;
        merged.n_revising += run.n_revising;
        merged.n_superseded += run.n_superseded;
    }
    (merged.n_bytes, merged.crc) = writer.finish()?;
    store.name_run(number)?;
    Ok(merged)
}

fn span(runs: &[RunRef]) -> (u64, u64) {
    let first = runs.first().map_or(0, |run| run.epochs.0);
    (first, runs.last().map_or(0, |run| run.epochs.1))
}

/// Writes a group; how many of its events are revising.
fn write(writer: &mut RunWriter, relations: &[RelationSpec], group: Group) -> Result<u64, Error> {
    let Group { brought, events, contents } = group;
    let (epoch, mut n_revising) = (brought.epoch, 0);
    let mut add = |entry: &Entry| {
        let (kind, payload) = entry.encode();
        writer.add(kind, &payload)
    };
    add(&Entry::Brought(brought))?;
    for part in parts(epoch, relations, &events, &contents) {
        n_revising += u64::from(part.n_revising);
        add(&Entry::Events(part))?;
    }
    Ok(n_revising)
}

impl Group {
    /// Adds what the epochs behind it brought.
    fn append(&mut self, more: Self) {
        let Brought { epoch, names, watermark, greatest, refused } = more.brought;
        let all = &mut self.brought;
        (all.epoch, all.watermark, all.greatest) = (epoch, watermark, greatest);
        all.names.texts.extend(names.texts);
        all.names.assets.extend(names.assets);
        all.names.ids.extend(names.ids);
        all.refused.extend(refused);
        self.events.iter_mut().zip(more.events).for_each(|(all, more)| all.append(more));
        self.contents.iter_mut().zip(more.contents).for_each(|(all, more)| all.extend(more));
    }
}

macro_rules! by_kind {
    ($($variant:ident($row:ty),)*) => {
        impl Known {
            /// Notes what these events supersede.
            fn meet(&mut self, events: &Events, schema: &Schema) {
                match events {
                    $(Events::$variant(events) => self.meet_rows(events, schema),)*
                }
            }

            /// Leaves out those that are superseded.
            fn keep(&mut self, events: &mut Events, contents: &mut Vec<u128>, schema: &Schema) {
                match events {
                    $(Events::$variant(events) => self.keep_rows(events, contents, schema),)*
                }
            }
        }
    };
}
types::for_inputs!(by_kind);

impl Known {
    fn meet_rows<R: Input>(&mut self, events: &[Event<R>], schema: &Schema) {
        for event in events {
            let place = self.n_events;
            self.n_events += 1;
            if event.is_first {
                continue;
            }
            if let Some(identity) = event.row.identity(schema) {
                *self.last.entry(identity).or_default().of(event.op) = Some(place);
            }
        }
    }

    fn keep_rows<R: Input>(
        &mut self,
        events: &mut Vec<Event<R>>,
        contents: &mut Vec<u128>,
        schema: &Schema,
    ) {
        let first = self.n_events;
        self.n_events += wide(events.len());
        if self.last.is_empty() {
            return;
        }
        let mut stays = Vec::with_capacity(events.len());
        for (place, event) in (first..).zip(events.iter()) {
            let last = event.row.identity(schema).and_then(|identity| self.last.get_mut(&identity));
            let newest = last.and_then(|last| *last.of(event.op));
            let is_last = newest.is_none_or(|newest| newest == place);
            stays.push(is_last != (newest.is_some() && is_out(Safeguard::RunsKeepLast)));
        }
        let mut stay = stays.iter();
        events.retain(|_| stay.next().copied().unwrap_or(true));
        let mut stay = stays.iter();
        contents.retain(|_| stay.next().copied().unwrap_or(true));
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_one_when_there_are_eight_of_a_size() {
        let (mut runs, mut n_copied) = (Vec::new(), 0);
        for number in 0..1_000_u64 {
            runs.push(RunRef { number, n_bytes: 100, ..RunRef::default() });
            while let Some(n) = n_due(&runs, 100, 8) {
                let newer = runs.split_off(runs.len() - n);
                let n_bytes = newer.iter().map(|run| run.n_bytes).sum();
                n_copied += n_bytes;
                runs.push(RunRef { number, n_bytes, ..RunRef::default() });
            }
            assert!(runs.len() <= 7 * 4, "{} runs", runs.len());
        }
        assert_eq!(runs.iter().map(|run| run.n_bytes).sum::<u64>(), 100_000);
        // Each byte was copied at most as often as 8 goes into the number of runs.
        assert!(n_copied <= 4 * 100_000, "{n_copied}");
    }

    #[test]
    fn smaller_ones_behind_go_along() {
        let runs: Vec<RunRef> = [800; 7]
            .into_iter()
            .chain([100; 7])
            .chain([800, 100])
            .map(|n_bytes| RunRef { n_bytes, ..RunRef::default() })
            .collect();
        assert_eq!(n_due(&runs[..14], 100, 8), None);
        assert_eq!(n_due(&runs[..15], 100, 8), Some(15));
        assert_eq!(n_due(&runs[7..14], 100, 8), None);
        assert_eq!(n_due(&[], 100, 8), None);
    }
}
