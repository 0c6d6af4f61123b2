//! The rows and firings of one entity of a rule.

use std::collections::BTreeMap;

use types::sabotage::{Safeguard, is_out};
use types::{Text, VenueTime};

use super::rule::Rule;
use crate::operators::ordered::{HasId, Order, Ordered, Place, first_at};

/// What tells firings of an entity apart: time and id of the row.
pub(super) type FiringKey = (VenueTime, Text);

/// One firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Firing {
    pub(super) resolved_at: Option<VenueTime>,
    pub(super) message: Text,
}

/// What is kept of an entity.
pub(super) struct Entity<R> {
    pub(super) rows: Ordered<R>,
    firings: BTreeMap<FiringKey, Firing>,
}

/// Firings that differ: what stood and what stands.
type Differing = BTreeMap<FiringKey, (Option<Firing>, Option<Firing>)>;

/// Where the rule stands between two rows, beside whether the last was true.
struct Standing {
    /// At most one firing is open at a time: the next one fires only after it is resolved.
    open: Option<FiringKey>,
    last_fired: Option<VenueTime>,
}

impl<R: HasId> Entity<R> {
    pub(super) const fn new() -> Self {
        Self { rows: Ordered::new(), firings: BTreeMap::new() }
    }

    pub(super) fn change(&mut self, order: &Order, place: &Place, row: &R, is_new: bool) {
        if is_new {
            self.rows.insert(order, place.clone(), row.clone());
        } else {
            self.rows.remove(order, place, row);
        }
    }

    /// Evaluates the rule anew after rows changed whose times lie from `first` to `last`, up to where
    /// it stands as it stood before; gives the firings that differ.
    pub(super) fn refold(
        &mut self,
        rule: &Rule,
        (first, last): (VenueTime, VenueTime),
    ) -> Differing {
        let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
        let mut standing = self.standing(first);
        if let Some((key, firing)) =
            standing.open.as_ref().and_then(|key| self.firings.remove_entry(key))
        {
            let message = firing.message.clone();
            old.insert(key.clone(), firing);
            new.insert(key, Firing { resolved_at: None, message });
        }
        let mut stood = Standing { open: standing.open.clone(), last_fired: standing.last_fired };
        let start = first_at(first);
        let mut was_true = self.rows.before(&start).is_some_and(|row| rule.is_true(row));
        let mut before: Option<VenueTime> = None;
        let mut is_same = false;
        for (time, row) in self.rows.from(&start) {
            // The row before was there before the change too, so all that may differ is what stands.
            if before.is_some_and(|before| before > last && before < time) {
                take_until(&mut self.firings, first, time, &mut old, &mut stood);
                let is_as = standing.is_as(&stood, time, rule.cooldown);
                if is_as || is_out(Safeguard::RuleConverged) {
                    is_same = true;
                    break;
                }
            }
            before = Some(time);
            let is_true = rule.is_true(row);
            if is_true && !was_true {
                if !standing.is_cooling(time, rule.cooldown) {
                    let key = (time, rule.id(row));
                    let firing = Firing { resolved_at: None, message: rule.message(row) };
                    new.insert(key.clone(), firing);
                    standing = Standing { open: Some(key), last_fired: Some(time) };
                }
            } else if !is_true
                && let Some(firing) = standing.open.take().and_then(|key| new.get_mut(&key))
            {
                firing.resolved_at = Some(time);
            }
            was_true = is_true;
        }
        if is_same {
            // What is open goes on as it did.
            if let Some(key) = &standing.open
                && !is_out(Safeguard::OpenGoesOn)
                && let (Some(old), Some(new)) = (old.get(key), new.get_mut(key))
            {
                new.resolved_at = old.resolved_at;
            }
        } else {
            old.append(&mut self.firings.split_off(&(first, Text::Word(""))));
        }
        self.firings.extend(new.iter().map(|(key, firing)| (key.clone(), firing.clone())));
        differing(old, new)
    }

    /// Where the rule stood before a time.
    fn standing(&self, time: VenueTime) -> Standing {
        let mut before = self.firings.range(..(time, Text::Word(""))).rev().peekable();
        let last_fired = before.peek().map(|((time, _), _)| *time);
        let is_open = |firing: &Firing| firing.resolved_at.is_none_or(|at| at >= time);
        let mut last = before.take_while(|(key, _)| Some(key.0) == last_fired);
        let open = last.find(|(_, firing)| is_open(firing)).map(|(key, _)| key.clone());
        Standing { open, last_fired }
    }
}

/// Takes the old firings of the times from `first` up to before `time` out, and brings where the rule
/// stood up to there.
fn take_until(
    firings: &mut BTreeMap<FiringKey, Firing>,
    first: VenueTime,
    time: VenueTime,
    old: &mut BTreeMap<FiringKey, Firing>,
    stood: &mut Standing,
) {
    loop {
        let next = firings.range((first, Text::Word(""))..).next();
        let Some(key) = next.map(|(key, _)| key).filter(|key| key.0 < time).cloned() else { break };
        stood.last_fired = Some(key.0);
        old.extend(firings.remove_entry(&key));
    }
    let is_open = |firing: &Firing| firing.resolved_at.is_none_or(|at| at >= time);
    let last = old.iter().rev().take_while(|(key, _)| Some(key.0) == stood.last_fired);
    stood.open = last.filter(|(_, firing)| is_open(firing)).map(|(key, _)| key.clone()).next();
}

impl Standing {
    /// Whether too little time has passed since the last firing.
    fn is_cooling(&self, time: VenueTime, cooldown: i64) -> bool {
        let passed = |last: VenueTime| time.nanos().saturating_sub(last.nanos());
        self.last_fired.is_some_and(|last| passed(last) < cooldown)
    }

    /// Whether all rows from a time on are answered as from another standing.
    fn is_as(&self, other: &Self, time: VenueTime, cooldown: i64) -> bool {
        let cooling =
            |standing: &Self| standing.last_fired.filter(|_| standing.is_cooling(time, cooldown));
        self.open == other.open && cooling(self) == cooling(other)
    }
}

/// The firings that differ.
fn differing(old: BTreeMap<FiringKey, Firing>, new: BTreeMap<FiringKey, Firing>) -> Differing {
    let mut differing = Differing::new();
    for (key, firing) in old {
        differing.insert(key, (Some(firing), None));
    }
    for (key, firing) in new {
        differing.entry(key).or_default().1 = Some(firing);
    }
    differing.retain(|_, (old, new)| old != new);
    differing
}
