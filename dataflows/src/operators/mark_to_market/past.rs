//! What a position was as of steps: a list from the newest step back to the oldest.
//!
//! A correction passes the steps behind it and no others, so the list is walked from its end. Records
//! have 64 bytes; what doesn't fit their fields stands in a table of wide ones.

use types::{Money, Size, VenueTime};

use super::value::Held;
use crate::operators::slab::{NONE, Slab, index};

/// Quantity of a record that stands in the table of wide ones.
const WIDE: i64 = i64::MIN;
/// Upper bits of an unknown cost.
const UNKNOWN: i32 = i32::MIN;
/// Units of money in one of 1e-9: fees and funding have no more decimals.
const NANO: i128 = 1_000_000_000;

/// A position from a step on.
#[derive(Debug)]
struct Record {
    step: VenueTime,
    qty: i64,
    /// In units of 1e-9.
    fees: i64,
    /// In units of 1e-9.
    funding: i64,
    /// Lower bits; of a wide record, its number.
    cost: u64,
    realized: u64,
    cost_high: i32,
    realized_high: i32,
    /// The record of the step before.
    before: u32,
}

/// The records of a worker.
#[derive(Debug)]
pub(super) struct Past {
    records: Slab<Record, 10>,
    /// The first of the records that were taken out, each with the next as its `before`.
    free: u32,
    wide: Vec<Held>,
    free_wide: Vec<u64>,
}

impl Past {
    pub(super) const fn new() -> Self {
        Self { records: Slab::new(), free: NONE, wide: Vec::new(), free_wide: Vec::new() }
    }

    /// The step of a record.
    pub(super) fn step(&self, record: u32) -> VenueTime {
        self.records.get(record).step
    }

    /// The record of the step before.
    pub(super) fn before(&self, record: u32) -> u32 {
        self.records.get(record).before
    }

    /// What a record holds.
    pub(super) fn held(&self, record: u32) -> Held {
        let record = self.records.get(record);
        if record.qty == WIDE {
            let wide = usize::try_from(record.cost).expect("a number of the table");
            return self.wide[wide];
        }
        let nano = |nano: i64| Money::from_raw(i128::from(nano) * NANO);
        let money =
            |low: u64, high: i32| Money::from_raw((i128::from(high) << 64) | i128::from(low));
        Held {
            qty: Size::from_nano(record.qty.into()).unwrap_or_default(),
            cost: (record.cost_high != UNKNOWN).then(|| money(record.cost, record.cost_high)),
            realized: money(record.realized, record.realized_high),
            fees: nano(record.fees),
            funding: nano(record.funding),
        }
    }

    /// The record that holds as of a time, of the list that ends with `newest`; [`NONE`] before the
    /// first.
    pub(super) fn as_of(&self, newest: u32, time: VenueTime) -> u32 {
        let mut record = newest;
        while record != NONE && self.step(record) > time {
            record = self.before(record);
        }
        record
    }

    /// The first step behind one.
    pub(super) fn next_step(&self, newest: u32, step: VenueTime) -> Option<VenueTime> {
        let (mut record, mut next) = (newest, None);
        while record != NONE && self.step(record) > step {
            next = Some(self.step(record));
            record = self.before(record);
        }
        next
    }

    /// Sets or takes out what holds from steps on; the latest step comes first. Gives the newest
    /// record.
    pub(super) fn set(
        &mut self,
        mut newest: u32,
        changes: impl IntoIterator<Item = (VenueTime, Option<Held>)>,
    ) -> u32 {
        // The record behind the place, NONE at the end; and the one before it.
        let (mut behind, mut record) = (NONE, newest);
        for (step, held) in changes {
            while record != NONE && self.step(record) > step {
                (behind, record) = (record, self.before(record));
            }
            let stands = record != NONE && self.step(record) == step;
            match (held, stands) {
                (Some(held), true) => self.replace(record, &held),
                (None, true) => {
                    let before = self.before(record);
                    self.link(&mut newest, behind, before);
                    self.forget(record);
                    record = before;
                }
                (Some(held), false) => {
                    let added = self.add(step, &held, record);
                    self.link(&mut newest, behind, added);
                    record = added;
                }
                (None, false) => {}
            }
        }
        newest
    }

    fn link(&mut self, newest: &mut u32, behind: u32, record: u32) {
        if behind == NONE {
            *newest = record;
        } else {
            self.records.get_mut(behind).before = record;
        }
    }

    fn add(&mut self, step: VenueTime, held: &Held, before: u32) -> u32 {
        let record = self.record(step, held, before);
        if self.free == NONE {
            return self.records.push(record);
        }
        let number = self.free;
        let free = self.records.get_mut(number);
        self.free = free.before;
        *free = record;
        number
    }

    fn replace(&mut self, number: u32, held: &Held) {
        self.forget_wide(number);
        let old = self.records.get(number);
        let (step, before) = (old.step, old.before);
        *self.records.get_mut(number) = self.record(step, held, before);
    }

    fn forget(&mut self, number: u32) {
        self.forget_wide(number);
        self.records.get_mut(number).before = self.free;
        self.free = number;
    }

    fn forget_wide(&mut self, number: u32) {
        let record = self.records.get(number);
        if record.qty == WIDE {
            self.free_wide.push(record.cost);
        }
    }

    fn record(&mut self, step: VenueTime, held: &Held, before: u32) -> Record {
        if let Some(record) = narrow(step, held, before) {
            return record;
        }
        let cost = if let Some(free) = self.free_wide.pop() {
            self.wide[usize::try_from(free).expect("a number of the table")] = *held;
            free
        } else {
            self.wide.push(*held);
            u64::try_from(self.wide.len() - 1).expect("an index fits 64 bits")
        };
        let (qty, fees, funding, realized) = (WIDE, 0, 0, 0);
        let (cost_high, realized_high) = (0, 0);
        Record { step, qty, fees, funding, cost, realized, cost_high, realized_high, before }
    }
}

/// The record of what fits its fields.
fn narrow(step: VenueTime, held: &Held, before: u32) -> Option<Record> {
    let nano = |money: Money| {
        let raw = money.raw();
        if raw == 0 {
            return Some(0);
        }
        let nano = i64::try_from(raw / NANO).ok()?;
        (i128::from(nano) * NANO == raw).then_some(nano)
    };
    let split = |money: Money| {
        let low = u64::try_from(money.raw() & i128::from(u64::MAX)).ok()?;
        let high = i32::try_from(money.raw() >> 64).ok()?;
        (high != UNKNOWN).then_some((low, high))
    };
    let (cost, cost_high) = held.cost.map_or(Some((0, UNKNOWN)), split)?;
    let (realized, realized_high) = split(held.realized)?;
    let qty = i64::try_from(held.qty.raw()).ok().filter(|qty| *qty != WIDE)?;
    let (fees, funding) = (nano(held.fees)?, nano(held.funding)?);
    Some(Record { step, qty, fees, funding, cost, realized, cost_high, realized_high, before })
}

/// What an asset's mark was as of steps, or anything else by step: sorted, mostly appended to.
#[derive(Debug)]
pub(super) struct BySteps<T> {
    entries: Vec<(VenueTime, T)>,
}

impl<T> Default for BySteps<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> BySteps<T> {
    /// How many entries lie at a step or before it. Looks at the end first: most ask for that.
    fn until(&self, step: VenueTime) -> usize {
        match self.entries.last() {
            None => 0,
            Some((last, _)) if *last <= step => self.entries.len(),
            Some(_) => self.entries.partition_point(|(at, _)| *at <= step),
        }
    }

    /// The entry that holds as of a time.
    pub(super) fn as_of(&self, time: VenueTime) -> Option<&T> {
        let last = self.until(time).checked_sub(1)?;
        Some(&self.entries[last].1)
    }

    /// The entry of a step.
    pub(super) fn at(&self, step: VenueTime) -> Option<&T> {
        let last = self.until(step).checked_sub(1)?;
        Some(&self.entries[last]).filter(|(at, _)| *at == step).map(|(_, entry)| entry)
    }

    /// The first step behind one.
    pub(super) fn next_step(&self, step: VenueTime) -> Option<VenueTime> {
        self.entries.get(self.until(step)).map(|(at, _)| *at)
    }

    /// The entries from a step to another, both with them.
    pub(super) fn range(&self, first: VenueTime, last: VenueTime) -> &[(VenueTime, T)] {
        let until = self.until(last);
        let from = self.entries[..until].partition_point(|(at, _)| *at < first);
        &self.entries[from..until]
    }

    /// Sets an entry or takes it out.
    pub(super) fn set(&mut self, step: VenueTime, entry: Option<T>) {
        let until = self.until(step);
        let stands = until.checked_sub(1).filter(|last| self.entries[*last].0 == step);
        match (entry, stands) {
            (Some(entry), Some(at)) => self.entries[at].1 = entry,
            (None, Some(at)) => {
                self.entries.remove(at);
            }
            (Some(entry), None) => self.entries.insert(until, (step, entry)),
            (None, None) => {}
        }
    }

    /// Replaces the entries of a range.
    pub(super) fn splice(
        &mut self,
        first: VenueTime,
        last: VenueTime,
        entries: impl IntoIterator<Item = (VenueTime, T)>,
    ) {
        let until = self.until(last);
        let from = self.entries[..until].partition_point(|(at, _)| *at < first);
        self.entries.splice(from..until, entries);
    }
}

/// The number of an asset as an index.
pub(super) fn index_of(asset: types::AssetId) -> usize {
    index(asset.0)
}
