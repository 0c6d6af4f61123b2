//! The rows and firings of one entity of a rule.

use std::collections::BTreeMap;

use types::relations::Severity;
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
    pub(super) severity: Severity,
    pub(super) message: Text,
}

/// What is kept of an entity.
pub(super) struct Entity<R> {
    pub(super) rows: Ordered<R>,
    firings: BTreeMap<FiringKey, Firing>,
    /// The run behind the last row, and that row's time, where they are known: new rows mostly come behind
    /// it.
    newest: Option<(VenueTime, Run)>,
}

/// Firings that differ: what stood and what stands.
type Differing = BTreeMap<FiringKey, (Option<Firing>, Option<Firing>)>;

/// Where the rule stands between two rows.
struct Standing {
    /// At most one firing is open at a time: the next one fires only after it is resolved.
    open: Option<FiringKey>,
    last_fired: Option<VenueTime>,
    run: Run,
}

/// The rows up to here of which the condition is true, without a break.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It isn't true of the last row.
    Broken,
    /// It is, from this time on, and hasn't held for long enough.
    Since(VenueTime),
    /// It is, and has: it has fired, or was passed over for good.
    Spent,
}

impl<R: HasId> Entity<R> {
    pub(super) const fn new() -> Self {
        Self { rows: Ordered::new(), firings: BTreeMap::new(), newest: None }
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
        let mut standing = self.standing(rule, first);
        if let Some((key, firing)) =
            standing.open.as_ref().and_then(|key| self.firings.remove_entry(key))
        {
            old.insert(key.clone(), firing.clone());
            new.insert(key, Firing { resolved_at: None, ..firing });
        }
        let mut stood = Stood { open: standing.open.clone(), last_fired: standing.last_fired };
        let mut behind = Behind::default();
        let (mut is_same, mut newest) = (false, None);
        for (time, row) in self.rows.from(&first_at(first)) {
            // The row before was there before the change too, so all that may differ is what stands.
            if behind.last.is_some_and(|before| before < time) && behind.is_settled(rule.hold) {
                take_until(&mut self.firings, first, time, &mut old, &mut stood);
                let is_as = standing.is_as(&stood, time, rule.cooldown);
                if is_as || is_out(Safeguard::RuleConverged) {
                    is_same = true;
                    break;
                }
            }
            let is_true = rule.is_true(row);
            if time > last {
                behind.pass(time, is_true);
            }
            standing.pass(rule, (time, row), is_true, &mut new);
            newest = Some((time, standing.run));
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
            self.newest = newest;
        }
        self.firings.extend(new.iter().map(|(key, firing)| (key.clone(), firing.clone())));
        differing(old, new)
    }

    /// Where the rule stood before a time.
    fn standing(&self, rule: &Rule, time: VenueTime) -> Standing {
        let mut before = self.firings.range(..(time, Text::Word(""))).rev().peekable();
        let last_fired = before.peek().map(|((time, _), _)| *time);
        let is_open = |firing: &Firing| firing.resolved_at.is_none_or(|at| at >= time);
        let mut last = before.take_while(|(key, _)| Some(key.0) == last_fired);
        let open = last.find(|(_, firing)| is_open(firing)).map(|(key, _)| key.clone());
        Standing { open, last_fired, run: self.run(rule, time) }
    }

    /// The run of rows before a time. No more of them are looked at than `hold` covers.
    fn run(&self, rule: &Rule, time: VenueTime) -> Run {
        if let Some((_, run)) = self.newest.filter(|(newest, _)| *newest < time) {
            return run;
        }
        let (mut run, mut newest) = (Run::Broken, None);
        for (time, row) in self.rows.back_from(&first_at(time)) {
            if !rule.is_true(row) {
                break;
            }
            let newest = *newest.get_or_insert(time);
            if has_held(time, newest, rule.hold) {
                return Run::Spent;
            }
            run = Run::Since(time);
        }
        run
    }
}

/// Whether a condition has held for long enough.
fn has_held(since: VenueTime, time: VenueTime, hold: i64) -> bool {
    time.nanos().saturating_sub(since.nanos()) >= hold
}

/// What was seen behind the rows that changed.
#[derive(Default)]
struct Behind {
    first: Option<VenueTime>,
    last: Option<VenueTime>,
    is_broken: bool,
}

impl Behind {
    fn pass(&mut self, time: VenueTime, is_true: bool) {
        self.first.get_or_insert(time);
        self.last = Some(time);
        self.is_broken |= !is_true;
    }

    /// Whether the run is now the same whatever was before: it began here, or has held for long enough
    /// by what is here alone.
    fn is_settled(&self, hold: i64) -> bool {
        let has_held =
            self.first.zip(self.last).is_some_and(|(first, last)| has_held(first, last, hold));
        self.is_broken || has_held || is_out(Safeguard::HoldSettled)
    }
}

/// Which firings stood: of those of the old rows no more is known.
struct Stood {
    open: Option<FiringKey>,
    last_fired: Option<VenueTime>,
}

/// Takes the old firings of the times from `first` up to before `time` out, and brings where the rule
/// stood up to there.
fn take_until(
    firings: &mut BTreeMap<FiringKey, Firing>,
    first: VenueTime,
    time: VenueTime,
    old: &mut BTreeMap<FiringKey, Firing>,
    stood: &mut Stood,
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
    /// Goes past a row.
    fn pass<R: HasId>(
        &mut self,
        rule: &Rule,
        (time, row): (VenueTime, &R),
        is_true: bool,
        firings: &mut BTreeMap<FiringKey, Firing>,
    ) {
        if self.open.is_some()
            && rule.resolves(row, is_true)
            && let Some(firing) = self.open.take().and_then(|key| firings.get_mut(&key))
        {
            firing.resolved_at = Some(time);
        }
        self.run = match self.run {
            _ if !is_true => Run::Broken,
            Run::Broken => Run::Since(time),
            run => run,
        };
        let Run::Since(since) = self.run else { return };
        if !has_held(since, time, rule.hold) {
            return;
        }
        self.run = Run::Spent;
        if self.open.is_none() && !is_cooling(self.last_fired, time, rule.cooldown) {
            let key = (time, rule.id(row));
            let (severity, message) = (rule.severity(row), rule.message(row));
            firings.insert(key.clone(), Firing { resolved_at: None, severity, message });
            (self.open, self.last_fired) = (Some(key), Some(time));
        }
    }

    /// Whether all rows from a time on are answered as from where it stood, if the run is the same.
    fn is_as(&self, stood: &Stood, time: VenueTime, cooldown: i64) -> bool {
        let cooling =
            |fired: Option<VenueTime>| fired.filter(|_| is_cooling(fired, time, cooldown));
        self.open == stood.open && cooling(self.last_fired) == cooling(stood.last_fired)
    }
}

/// Whether too little time has passed since the last firing.
fn is_cooling(last_fired: Option<VenueTime>, time: VenueTime, cooldown: i64) -> bool {
    last_fired.is_some_and(|last| time.nanos().saturating_sub(last.nanos()) < cooldown)
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
