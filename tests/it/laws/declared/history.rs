//! Random rows of the relations that `declared.toml` declares, and the cells of each.

use proptest::prelude::*;
use types::Op;
use types::event::Cell;

use crate::laws::history::{Arrival, Change, Placed, UNIT, history, kept_wallet, op, seconds};
use crate::laws::runs::{Cells, Given, cells, count, maybe_text, maybe_time, nano, text, time};

/// A row of `holdings`. Numbers are in units of 1e-9, times in seconds of the day.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::laws) struct Holding {
    pub(super) account: &'static str,
    pub(super) slot: u64,
    pub(super) weight: Option<i128>,
    pub(super) cap: i128,
    pub(super) label: Option<&'static str>,
    pub(super) flag: Option<bool>,
    pub(super) seen: Option<i64>,
    pub(super) lots: Option<u64>,
    pub(super) second: Option<i64>,
    pub(super) seq: Option<u64>,
    pub(super) id: Option<&'static str>,
}

/// A row of `visits`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::laws) struct Visit {
    pub(super) wallet: &'static str,
    pub(super) second: i64,
    pub(super) level: i128,
    pub(super) is_open: bool,
    pub(super) desk: &'static str,
    pub(super) fee: Option<i128>,
    pub(super) host: Option<&'static str>,
}

/// A row of `tags`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::laws) struct Tag {
    pub(super) label: &'static str,
    pub(super) rank: u64,
    pub(super) hue: Option<&'static str>,
    pub(super) share: i128,
    pub(super) second: i64,
}

/// One arrival at a declared relation.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::laws) enum Event {
    Holding(Change<Holding>),
    Visit(Change<Visit>),
    Tag(Tag),
}

/// What tells visits apart: all of their key.
pub(super) type VisitKey = (String, i64, i128, bool, &'static str);

impl Holding {
    /// What tells holdings apart. An account's name stays as it is: only wallets are lower-cased.
    pub(super) fn identity(&self) -> (u64, &'static str) {
        (self.slot, self.account)
    }
}

impl Visit {
    /// What tells visits apart.
    pub(super) fn identity(&self) -> VisitKey {
        (kept_wallet(self.wallet), self.second, self.level, self.is_open, self.desk)
    }
}

impl Event {
    pub(in crate::laws) fn second(&self) -> i64 {
        match self {
            Self::Holding(change) => change.row.second.unwrap_or(0),
            Self::Visit(change) => change.row.second,
            Self::Tag(row) => row.second,
        }
    }

    pub(in crate::laws) fn op(&self) -> Op {
        match self {
            Self::Holding(change) => change.op,
            Self::Visit(change) => change.op,
            Self::Tag(_) => Op::Insert,
        }
    }

    /// Which of an identity's states this is; none where a relation has one alone.
    pub(super) fn revision(&self) -> Option<u64> {
        match self {
            Self::Holding(change) => change.revision,
            Self::Visit(change) => change.revision,
            Self::Tag(_) => None,
        }
    }

    /// Relation and key.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Holding(change) => format!("holding {:?}", change.row.identity()),
            Self::Visit(change) => format!("visit {:?}", change.row.identity()),
            Self::Tag(row) => format!("tag {} {}", row.label, row.rank),
        }
    }

    /// What must not come twice with other content. Of busts nothing but the identity is read.
    pub(in crate::laws) fn state(&self) -> Option<String> {
        let revision = self.revision().unwrap_or(0);
        (self.op() != Op::Bust).then(|| format!("{} {:?} {revision}", self.identity(), self.op()))
    }

    /// The same event with other content.
    fn contradicted(mut self) -> Self {
        match &mut self {
            Self::Holding(change) => change.row.seen = Some(change.row.seen.unwrap_or(0) + 1),
            Self::Visit(change) => change.row.fee = Some(change.row.fee.unwrap_or(0) + 1),
            Self::Tag(row) => row.share += 1,
        }
        self
    }

    /// The event's relation, its operation and its cells, as a reader would give them.
    pub(in crate::laws) fn cells(&self) -> (&'static str, Op, Cells) {
        match self {
            Self::Holding(change) => ("holdings", change.op, holding_cells(change)),
            Self::Visit(change) => ("visits", change.op, visit_cells(change)),
            Self::Tag(row) => ("tags", Op::Insert, tag_cells(row)),
        }
    }
}

fn flag(flag: Option<bool>) -> Given {
    Given::Cell(flag.map_or(Cell::Null, Cell::Bool))
}

fn holding_cells(change: &Change<Holding>) -> Cells {
    let row = &change.row;
    let key = vec![("account", text(row.account)), ("slot", count(Some(row.slot)))];
    let rest = vec![
        ("weight", nano(row.weight)),
        ("cap", nano(row.cap)),
        ("label", maybe_text(row.label)),
        ("flag", flag(row.flag)),
        ("seen", maybe_time(row.seen)),
        ("lots", count(row.lots)),
        ("event_time", maybe_time(row.second)),
        ("seq", count(row.seq)),
        ("id", maybe_text(row.id)),
    ];
    cells(change, key, rest)
}

fn visit_cells(change: &Change<Visit>) -> Cells {
    let row = &change.row;
    let key = vec![
        ("wallet", text(row.wallet)),
        ("event_time", time(row.second)),
        ("level", nano(row.level)),
        ("open", flag(Some(row.is_open))),
        ("desk", text(row.desk)),
    ];
    cells(change, key, vec![("fee", nano(row.fee)), ("host_wallet", maybe_text(row.host))])
}

fn tag_cells(row: &Tag) -> Cells {
    vec![
        ("label", text(row.label)),
        ("rank", count(Some(row.rank))),
        ("hue", maybe_text(row.hue)),
        ("share", nano(row.share)),
        ("event_time", time(row.second)),
    ]
}

/// The largest number that columns hold and of which a third still leaves, in units of 1e-9.
const HUGE: i128 = 90_000_000_000_000_000_000 * UNIT * UNIT;

fn number() -> impl Strategy<Value = i128> {
    let numbers = vec![0, UNIT / 2, UNIT / 4, 333_333_333, 700_000_001, -UNIT / 2, 2 * UNIT, 7];
    prop::sample::select(numbers)
}

fn holding() -> impl Strategy<Value = Event> {
    let slots = prop::sample::select(vec![1, 1, 2, 3, u64::MAX]);
    let accounts = prop::sample::select(vec!["zed", "b\"ob", "0xAb", "0xaB", "É"]);
    let weight = prop_oneof![1 => Just(None), 4 => number().prop_map(Some)];
    let cap = prop_oneof![
        6 => number(),
        1 => Just(12_345_678_901),
        1 => prop::sample::select(vec![HUGE, -HUGE]),
    ];
    let label = prop::sample::select(vec![None, None, Some("m"), Some("null"), Some("Ω\\")]);
    let flag = prop::sample::select(vec![None, Some(true), Some(false)]);
    let time = || prop_oneof![1 => Just(None), 6 => seconds().prop_map(Some)];
    let lots = prop::sample::select(vec![None, Some(0), Some(1), Some(3), Some(u64::MAX)]);
    let seq = prop::sample::select(vec![None, Some(0), Some(1), Some(2)]);
    let id = prop::sample::select(vec![None, Some("2"), Some("10"), Some("007"), Some("t")]);
    let rest = (weight, cap, label, flag, lots, seq, id);
    (op(), slots, accounts, rest, time(), time()).prop_map(
        |((op, revision), slot, account, rest, second, seen)| {
            let (weight, cap, label, flag, lots, seq, id) = rest;
            let row =
                Holding { account, slot, weight, cap, label, flag, seen, lots, second, seq, id };
            Event::Holding(Change { op, revision, row })
        },
    )
}

fn visit() -> impl Strategy<Value = Event> {
    let wallets = prop::sample::select(vec!["zed", "0xAb", "0xaB"]);
    let hosts = prop::sample::select(vec![None, Some("0xAb"), Some("0xab"), Some("host")]);
    let level = prop::sample::select(vec![UNIT, UNIT / 2, -7]);
    let desk = prop::sample::select(vec!["d", "e"]);
    let fee = prop_oneof![1 => Just(None), 3 => number().prop_map(Some)];
    // Few times: each is another identity.
    let second = (0..3i64).prop_map(|step| step * 120);
    (op(), wallets, (level, any::<bool>(), desk), fee, hosts, second).prop_map(
        |((op, revision), wallet, (level, is_open, desk), fee, host, second)| {
            let row = Visit { wallet, second, level, is_open, desk, fee, host };
            Event::Visit(Change { op, revision, row })
        },
    )
}

fn tag() -> impl Strategy<Value = Event> {
    let label = prop::sample::select(vec!["m", "n", "Ω\\"]);
    let hue = prop::sample::select(vec![None, Some("red"), Some("green"), Some("b\"lue")]);
    (label, 0..6u64, hue, number(), seconds()).prop_map(|(label, rank, hue, share, second)| {
        Event::Tag(Tag { label, rank, hue, share, second })
    })
}

/// Rows of all declared relations.
pub(in crate::laws) fn declared_history(n: usize) -> impl Strategy<Value = Vec<Placed>> {
    let event = prop_oneof![6 => holding(), 3 => visit(), 2 => tag()];
    history(event.prop_map(Arrival::Declared).boxed(), n)
}

/// Rows of which some come again with other content: the one that comes later is a conflict.
pub(in crate::laws) fn conflicting_history(n: usize) -> impl Strategy<Value = Vec<Placed>> {
    let conflicts = prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 1..n / 5);
    (declared_history(n), conflicts).prop_map(|(mut rows, conflicts)| {
        for (index, place) in conflicts {
            let (arrival, first, second) = index.get(&rows).clone();
            let Arrival::Declared(event) = arrival else { continue };
            let arrival = Arrival::Declared(event.contradicted());
            rows.push((arrival, first.wrapping_add(place), second.wrapping_sub(place)));
        }
        rows
    })
}
