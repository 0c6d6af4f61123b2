//! All models of a worker: an epoch's rows in, the views' changes out.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use detectors::Model;
use rustc_hash::FxHashMap;
use types::changes::consolidate;
use types::json::write_value;
use types::{Row, Span, Value, VenueTime};

use super::judge::Judge;
use super::layout::{Change, Columns, Layout};
use super::line::{Changed, Line, Told};
use super::rungs::Keeping;
use crate::operators::ordered::Order;

/// Settled options.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) judge: Judge,
    /// Whether each key has a model.
    pub(super) is_by_key: bool,
    /// Whether keys have units of their own.
    pub(super) is_normalised: bool,
    /// How far behind the watermark changes change scores; nanoseconds.
    pub(super) revise_within: i64,
    /// How long a key may rest before it is forgotten.
    pub(super) forget_after: Option<Span>,
}

impl Settled {
    const fn keeping(&self) -> Keeping {
        Keeping {
            slack: if self.is_by_key { SLACK_OF_KEY } else { SLACK },
            forget_after: self.forget_after,
            is_of_key: self.is_by_key,
        }
    }
}

/// How often as long a gap between kept states may be as the way from there to the newest row: one
/// model keeps many states, a model a key few.
const SLACK: u64 = 1;
const SLACK_OF_KEY: u64 = 8;

/// The columns of a key.
type Key = Box<[Value]>;

/// The scores of a worker's rows.
pub(super) struct Scores {
    settled: Settled,
    order: Order,
    /// The columns that say whose model or units count.
    by: Columns,
    /// The columns that say whom a row is about, and the texts of those that were met.
    entity: Columns,
    texts: FxHashMap<Key, Arc<[u8]>>,
    /// The numbers of keys with units of their own; nothing that is told depends on them.
    numbers: FxHashMap<Key, u32>,
    /// A model that has learnt nothing.
    empty: Rc<Model>,
    lines: BTreeMap<Key, Line>,
    /// What is told of changes that came too late; `None` where nobody reads it.
    stale: Option<FxHashMap<Key, Change>>,
    horizon: VenueTime,
    /// The lines that will let go of something, by the time that the horizon must pass for it. Each stands
    /// here once.
    due: BTreeSet<(VenueTime, Key)>,
}

/// A change of one of the two views.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) is_stale: bool,
    pub(super) row: Row,
    pub(super) diff: isize,
}

impl Scores {
    /// Without rows; `empty` is a model of these options that has learnt nothing, and `reads_stale` says
    /// whether anybody reads of changes that came too late.
    pub(super) fn new(settled: Settled, order: Order, (empty, reads_stale): (Model, bool)) -> Self {
        Self {
            by: Columns::new(settled.judge.layout.by.clone()),
            entity: Columns::new(Layout::entity(&settled.judge.layout.input)),
            settled,
            order,
            texts: FxHashMap::default(),
            numbers: FxHashMap::default(),
            empty: Rc::new(empty),
            lines: BTreeMap::new(),
            stale: reads_stale.then(FxHashMap::default),
            horizon: VenueTime::MIN,
            due: BTreeSet::new(),
        }
    }

    /// Makes an epoch's changes, given the watermark at its end.
    pub(super) fn take(
        &mut self,
        mut rows: Vec<(Row, isize)>,
        watermark: Option<VenueTime>,
        tell: &mut impl FnMut(Out),
    ) {
        if rows.iter().any(|(_, diff)| *diff < 0) {
            consolidate(&mut rows);
        }
        let mut changes: BTreeMap<Key, Vec<Changed>> = BTreeMap::new();
        for (row, diff) in rows {
            let Some((line, changed)) = self.place(row, diff) else { continue };
            changes.entry(line).or_default().push(changed);
        }
        let within = self.settled.revise_within;
        let next = watermark.map(|at| VenueTime::from_nanos(at.nanos().saturating_sub(within)));
        let next = next.unwrap_or(self.horizon).max(self.horizon);
        for (key, changes) in changes {
            let Self { settled, lines, stale, empty, .. } = self;
            let new = || Line::new(Rc::clone(empty), settled.keeping());
            let line = lines.entry(key.clone()).or_insert_with(new);
            let was_due = line.due();
            line.take(&settled.judge, changes, (self.horizon, next), &mut |told| match told {
                Told::Row(row, diff) => tell(Out { is_stale: false, row, diff }),
                Told::Stale(row, change) => {
                    if let Some(stale) = stale {
                        tell_stale(stale, &settled.judge.layout, &row, change, tell);
                    }
                }
            });
            let due = line.due();
            self.note_due(key, was_due, due);
        }
        self.horizon = next;
        self.close();
    }

    /// Notes when a line can let go of something, if at another time than before.
    fn note_due(&mut self, key: Key, was_due: Option<VenueTime>, due: Option<VenueTime>) {
        if was_due == due {
            return;
        }
        let mut entry = (was_due.unwrap_or(VenueTime::MIN), key);
        self.due.remove(&entry);
        if let Some(due) = due {
            entry.0 = due;
            self.due.insert(entry);
        }
    }

    /// Lets go of what no change needs any more that comes from here on, in all lines.
    fn close(&mut self) {
        let later = self.due.split_off(&(self.horizon, Key::default()));
        for (_, key) in std::mem::replace(&mut self.due, later) {
            let Some(line) = self.lines.get_mut(&key) else { continue };
            line.close(self.horizon);
            self.due.extend(line.due().map(|due| (due, key)));
        }
    }

    /// Whose model a row is for, and where it stands; `None` of one whose time is null.
    fn place(&mut self, row: Row, diff: isize) -> Option<(Key, Changed)> {
        let Self { settled, order, entity, by, texts, numbers, .. } = self;
        let time = settled.judge.layout.counts_at(&row, order.time(&row)?);
        let (time, seq, id) = order.place(&row, time);
        let of = entity.of(&row);
        let text = if let Some(text) = texts.get(&*of) {
            Arc::clone(text)
        } else {
            let text = text(&of);
            texts.insert((&*of).into(), Arc::clone(&text));
            text
        };
        let (mut key, mut line) = (None, Key::default());
        if settled.is_by_key {
            line = (&*by.of(&row)).into();
        } else if settled.is_normalised {
            let by = by.of(&row);
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let number = numbers.get(&*by).copied();
            key = Some(number.unwrap_or_else(|| *numbers.entry((&*by).into()).or_insert(next)));
        }
        Some((line, Changed { place: (time, seq, id, text), key, row, diff }))
    }
}

#[cfg(test)]
impl Scores {
    /// How many states are kept beside the newest ones.
    pub(super) fn n_states(&self) -> usize {
        self.lines.values().map(Line::n_rungs).sum()
    }

    /// How many keys anything is known of.
    pub(super) fn n_known(&self) -> usize {
        self.lines.values().map(Line::n_known).sum()
    }

    /// What all states take.
    pub(super) fn state_bytes(&self) -> usize {
        self.lines.values().map(Line::state_bytes).sum()
    }
}

/// Tells of a change that came too late, once, as the last says.
fn tell_stale(
    stale: &mut FxHashMap<Key, Change>,
    layout: &Layout,
    row: &Row,
    change: Change,
    tell: &mut impl FnMut(Out),
) {
    let key = row.0.iter().take(layout.input.n_key).cloned().collect();
    let old = stale.insert(key, change);
    if old == Some(change) {
        return;
    }
    let mut out = |change, diff| {
        tell(Out { is_stale: true, row: layout.stale_row(row, change), diff });
    };
    if let Some(old) = old {
        out(old, -1);
    }
    out(change, 1);
}

/// The text of a key, which compares with another as the texts of their rows do.
fn text(values: &[Value]) -> Arc<[u8]> {
    let mut text = Vec::new();
    for value in values {
        write_value(&mut text, value);
        text.push(b',');
    }
    text.into()
}
