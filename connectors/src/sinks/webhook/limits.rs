//! Which changes of alerts are posted: rates hold back firings, and what is history isn't news.
//!
//! What is decided of a firing holds for the rest of its alert's life, as far as it is remembered: its end
//! and its being taken back are posted where it was. What is remembered is kept with each batch, so that a
//! run that goes on decides as one that was never stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use types::digest::Digest128;
use types::relations::Alert;
use types::{Changes, Names, Rate, ReceiveTime, Schema, json};

/// Alerts of which it is remembered whether they were posted.
const FATES: usize = 10_000;

/// What is let through.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Firings of each rule that has no rate of its own; `None` lets all through.
    pub(super) rate: Option<Rate>,
    /// The rates that rules have of their own.
    pub(super) of_rules: BTreeMap<String, Rate>,
    /// How far back the time of an alert may lie, in nanoseconds; `None` for any.
    pub(super) max_age: Option<i64>,
}

impl Limits {
    /// The rate of a rule's firings.
    fn rate_of(&self, rule: &str) -> Option<Rate> {
        self.of_rules.get(rule).copied().or(self.rate)
    }
}

/// What has to be known of the past to decide.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    /// When firings of each rule were posted, the oldest first: at most as many as its rate says.
    posted: BTreeMap<String, VecDeque<i64>>,
    /// How many alerts of each rule were held back and not told of yet.
    untold: BTreeMap<String, u64>,
    /// What became of the newest alerts, the oldest first.
    fates: VecDeque<(u128, Fate)>,
    /// The same by alert; made anew where the rest is read.
    #[serde(skip)]
    by_alert: BTreeMap<u128, Fate>,
    /// Whether it has changed in what isn't decided anew as it was: who is held back.
    #[serde(skip)]
    is_pressing: bool,
    /// Alerts that were held back, in all.
    pub(super) n_held: u64,
    /// Changes that weren't posted as they were old, in all.
    pub(super) n_old: u64,
}

/// What became of an alert's firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Fate {
    Posted,
    Held,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It came: its key held no row before.
    Fired,
    /// It changed: it resolved, or its values were put right.
    Changed,
    /// It is gone.
    Retracted,
}

/// What to do with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Post,
    /// Its rule has posted as much as it may, or had when the alert fired.
    HoldBack,
    /// It is history.
    PassOver,
}

impl Memory {
    /// How many alerts of a rule were held back since that was told last; told herewith.
    pub(super) fn tell(&mut self, rule: &str) -> Option<u64> {
        self.untold.remove(rule)
    }

    /// Makes what isn't kept of what is.
    pub(super) fn index(&mut self) {
        self.by_alert = self.fates.iter().copied().collect();
    }

    /// Whether it must be kept now, though nothing is posted.
    pub(super) const fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// Itself, as it is being kept.
    pub(super) fn kept(self) -> Self {
        Self { is_pressing: false, ..self }
    }

    fn fate(&self, id: u128) -> Option<Fate> {
        self.by_alert.get(&id).copied()
    }

    fn remember(&mut self, id: u128, fate: Fate) {
        self.is_pressing |= fate == Fate::Held;
        if self.fates.len() >= FATES
            && let Some((oldest, _)) = self.fates.pop_front()
        {
            self.by_alert.remove(&oldest);
        }
        self.fates.push_back((id, fate));
        self.by_alert.insert(id, fate);
    }

    fn forget(&mut self, id: u128) {
        let Some(fate) = self.by_alert.remove(&id) else { return };
        self.is_pressing |= fate == Fate::Held;
        if let Some(place) = self.fates.iter().rposition(|(other, _)| *other == id) {
            self.fates.remove(place);
        }
    }

    /// Whether one more firing of a rule may be posted; it is noted then.
    fn admit(&mut self, rule: &str, rate: Rate, now: i64) -> bool {
        let posted = self.posted.entry(rule.to_owned()).or_default();
        // A clock that is set back leaves times ahead of it. They don't count, or the rule would be silent
        // for longer than its rate says.
        posted.retain(|at| (0..rate.within.nanos()).contains(&now.saturating_sub(*at)));
        let is_admitted = posted.len() < rate.most;
        if is_admitted {
            posted.push_back(now);
        }
        is_admitted
    }
}

/// Judges the changes of one view in one epoch.
pub(super) struct Judge<'a> {
    limits: &'a Limits,
    memory: &'a mut Memory,
    now: ReceiveTime,
    view: Identities<'a>,
    /// Alerts that stood before this epoch.
    stood: BTreeSet<u128>,
}

impl<'a> Judge<'a> {
    /// A judge of these changes, which are adjoined.
    pub(super) fn new(
        limits: &'a Limits,
        memory: &'a mut Memory,
        now: ReceiveTime,
        view: Identities<'a>,
        changes: &Changes,
    ) -> Self {
        let stood = match changes {
            Changes::Alerts(rows) => {
                let old = rows.iter().filter(|(_, diff)| *diff < 0);
                old.map(|(alert, _)| view.id(alert)).collect()
            }
            _ => BTreeSet::new(),
        };
        Self { limits, memory, now, view, stood }
    }

    /// Decides on a change: the row, as it stands now or stood last, and whether it is gone.
    pub(super) fn verdict(&mut self, alert: &Alert, is_deleted: bool) -> Verdict {
        let id = self.view.id(alert);
        let news = match (is_deleted, self.stood.contains(&id)) {
            (true, _) => News::Retracted,
            (false, true) => News::Changed,
            (false, false) => News::Fired,
        };
        let verdict = match news {
            News::Fired => self.fired(alert, id),
            News::Changed | News::Retracted => match self.memory.fate(id) {
                Some(Fate::Posted) => Verdict::Post,
                Some(Fate::Held) => Verdict::HoldBack,
                None if self.is_old(alert) => Verdict::PassOver,
                None => {
                    // Whoever hears of its end hears if that is taken back.
                    self.remember_posted(id);
                    Verdict::Post
                }
            },
        };
        if news == News::Retracted {
            self.memory.forget(id);
        }
        self.memory.n_old += u64::from(verdict == Verdict::PassOver);
        verdict
    }

    fn fired(&mut self, alert: &Alert, id: u128) -> Verdict {
        if self.is_old(alert) {
            return Verdict::PassOver;
        }
        let (memory, rule) = (&mut *self.memory, alert.rule.as_str());
        let rate = self.limits.rate_of(rule);
        if rate.is_some_and(|rate| !memory.admit(rule, rate, self.now.0)) {
            *memory.untold.entry(rule.to_owned()).or_default() += 1;
            memory.n_held += 1;
            memory.remember(id, Fate::Held);
            return Verdict::HoldBack;
        }
        self.remember_posted(id);
        Verdict::Post
    }

    fn remember_posted(&mut self, id: u128) {
        // Where nothing is history it needn't be known: all that follows is posted too.
        if self.limits.max_age.is_some() {
            self.memory.remember(id, Fate::Posted);
        }
    }

    fn is_old(&self, alert: &Alert) -> bool {
        let time = alert.resolved_at.unwrap_or(alert.time);
        let age = self.now.0.saturating_sub(time.nanos());
        self.limits.max_age.is_some_and(|max_age| age > max_age)
    }
}

/// Names the alerts of a view.
#[derive(Clone, Copy)]
pub(super) struct Identities<'a> {
    pub(super) view: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) names: &'a Names,
}

impl Identities<'_> {
    /// The same for a key of a view in each run.
    fn id(self, alert: &Alert) -> u128 {
        let mut key = Vec::new();
        json::write_key(&mut key, alert, self.schema, self.names);
        let mut digest = Digest128::new();
        // No name of a view holds a brace.
        digest.add(self.view.as_bytes());
        digest.add(&key);
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_fates_are_remembered() {
        let mut memory = Memory::default();
        let n = u128::try_from(FATES).unwrap();
        for id in 0..n + 3 {
            memory.remember(id, Fate::Held);
        }
        memory.forget(5);
        assert_eq!(memory.fates.len(), FATES - 1);
        for (id, fate) in [(2, None), (3, Some(Fate::Held)), (5, None), (n + 2, Some(Fate::Held))] {
            assert_eq!(memory.fate(id), fate, "{id}");
        }
    }

    #[test]
    fn a_rate_counts_what_lies_in_its_length_and_not_ahead_of_the_clock() {
        let (mut memory, rate) = (Memory::default(), Rate::parse("2/10ns").unwrap());
        let mut told = String::new();
        for now in [0, 1, 9, 10, 10, 11, 12, 5, 5, 5] {
            told.push(if memory.admit("a", rate, now) { '+' } else { '-' });
        }
        assert_eq!(told, "++-+-+-++-");
        assert!(memory.admit("b", rate, 5));
    }

    #[test]
    fn a_rules_own_rate_goes_before_that_of_all() {
        let rate = |text: &str| Rate::parse(text).unwrap();
        let of_rules = BTreeMap::from([("few".to_owned(), rate("1/1h"))]);
        for of_all in [None, Some(rate("9/1s"))] {
            let limits = Limits { rate: of_all, of_rules: of_rules.clone(), max_age: None };
            assert_eq!(limits.rate_of("few"), Some(rate("1/1h")));
            assert_eq!(limits.rate_of("others"), of_all);
        }
    }
}
