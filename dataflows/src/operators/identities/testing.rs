//! Random events of identities, and the slow twin of what stands of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use types::event::FOR_GOOD;
use types::relations::{Fill, FillKind, Identity, Input, Side};
use types::{Event, Interner, Money, Names, Op, Price, Size, VenueTime};

pub(crate) const SECOND: i64 = 1_000_000_000;
/// A Monday.
pub(crate) const START: i64 = 1_767_571_200 * SECOND;

/// The names of random fills.
pub(crate) fn names() -> Arc<Names> {
    let mut interner = Interner::new(false);
    for wallet in ["zed", "amy", "amy!", "b\"ob"] {
        interner.sym(wallet);
    }
    for asset in ["B", "A", "C"] {
        interner.asset("x", asset);
    }
    Arc::clone(interner.names())
}

/// Numbers at which something changes its form.
fn size() -> impl Strategy<Value = i128> {
    prop_oneof![
        8 => 1..9_i128,
        1 => Just(i128::from(u64::MAX)),
        1 => Just(i128::from(u64::MAX) + 1),
        1 => Just(Size::MAX_RAW),
        1 => Just(0),
    ]
}

fn price() -> impl Strategy<Value = i128> {
    prop_oneof![
        8 => 1..6_i128,
        1 => Just((1 << 54) - 1),
        1 => Just(1 << 54),
        1 => Just(-3),
        1 => Just(i128::from(Price::MAX_RAW)),
    ]
}

prop_compose! {
    /// Any of few wallets, assets and ids, so that many are of one identity.
    pub(crate) fn fill()(
        (wallet, asset, id) in (0..4_u8, 0..3_u8, prop_oneof![
            6 => (0..4_u8).prop_map(|id| id.to_string()),
            1 => Just(u64::MAX.to_string()),
            1 => Just("text".to_owned()),
        ]),
        (price, size) in (prop::option::weighted(0.9, price()), size()),
        notional in prop::option::weighted(0.3, 1..1000_i128),
        second in prop_oneof![6 => 0..300_i64, 2 => 0..90_000_i64, 1 => -90_000..900_000_i64],
        nanos in prop_oneof![4 => Just(0), 1 => 0..SECOND],
        seq in prop_oneof![6 => 0..3_u64, 1 => Just(u64::from(u32::MAX) + 1), 1 => Just(u64::MAX)],
        kind in 0..12_u8,
    ) -> Fill {
        let mut interner = Interner::new(false);
        let wallets = ["zed", "amy", "amy!", "b\"ob"].map(|wallet| interner.sym(wallet));
        let assets = ["B", "A", "C"].map(|asset| interner.asset("x", asset));
        Fill {
            wallet: wallets[usize::from(wallet)],
            asset: assets[usize::from(asset)],
            id: interner.event_id(&id),
            market: None,
            side: Side::Buy,
            price: price.map(|price| Price::from_nano(price).unwrap()),
            size: Size::from_nano(size).unwrap(),
            notional: notional.map(|notional| Money::from_nano(notional).unwrap()),
            fee: None,
            fee_asset: None,
            fee_counts: true,
            kind: if kind == 0 { FillKind::Funding } else { FillKind::Trade },
            liquidity: None,
            order_id: None,
            start_qty: None,
            event_time: VenueTime::from_nanos(START + second * SECOND + nanos),
            seq,
            revision: 0,
        }
    }
}

/// Epochs of events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(crate) pool: Vec<Fill>,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) knows_first: bool,
}

/// Which fill of the pool, what it does, at which revision; and by how many seconds the watermark
/// goes on.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    events: Vec<(usize, Op, u64)>,
    pub(crate) seconds: i64,
}

/// Random events of few identities.
pub(crate) fn events() -> impl Strategy<Value = Events> {
    let op = prop::sample::select(vec![Op::Insert, Op::Insert, Op::Correct, Op::Bust]);
    let event = (0..40_usize, op, prop_oneof![3 => Just(0), 2 => 0..3_u64, 1 => Just(FOR_GOOD)]);
    let seconds = prop_oneof![3 => Just(0), 3 => 0..200_i64, 1 => 0..100_000_i64];
    let epoch = (prop::collection::vec(event, 0..25), seconds)
        .prop_map(|(events, seconds)| Epoch { events, seconds });
    let epochs = prop::collection::vec(epoch, 1..12);
    (prop::collection::vec(fill(), 40), epochs, any::<bool>())
        .prop_map(|(pool, epochs, knows_first)| Events { pool, epochs, knows_first })
}

/// The slow twin of what stands of an identity.
#[derive(Clone, Default)]
pub(crate) struct Stands {
    best: Option<(u64, Op, Fill)>,
    busted: Option<u64>,
}

impl Stands {
    fn take(&mut self, op: Op, revision: u64, fill: &Fill) {
        if op == Op::Bust {
            self.busted = self.busted.max(Some(revision));
        } else if self.best.as_ref().is_none_or(|best| (revision, op) > (best.0, best.1)) {
            self.best = Some((revision, op, fill.clone()));
        }
    }

    fn fill(&self) -> Option<&Fill> {
        let (revision, _, fill) = self.best.as_ref()?;
        self.busted.is_none_or(|busted| *revision > busted).then_some(fill)
    }
}

/// A row that holds the identity alone.
fn bust(fill: &Fill) -> Fill {
    let (price, notional, size) = (None, None, Size::ZERO);
    Fill { price, notional, size, event_time: VenueTime::MIN, seq: 0, ..fill.clone() }
}

/// What stands of all identities.
#[derive(Default)]
pub(crate) struct Model(BTreeMap<Identity, Stands>);

impl Model {
    /// The events of an epoch, and what they change.
    pub(crate) fn take(
        &mut self,
        events: &Events,
        epoch: &Epoch,
    ) -> (Vec<Event<Fill>>, Vec<(Fill, isize)>) {
        let (schema, before) = (Fill::schema(), self.0.clone());
        let mut given = Vec::new();
        for (fill, op, revision) in &epoch.events {
            let (fill, op, revision) = (&events.pool[*fill], *op, *revision);
            let identity = fill.identity(&schema).unwrap();
            let is_first = events.knows_first && !self.0.contains_key(&identity);
            self.0.entry(identity).or_default().take(op, revision, fill);
            let row = if op == Op::Bust { bust(fill) } else { fill.clone() };
            given.push(Event { op, revision, is_first, row });
        }
        let changes = self.0.iter().flat_map(|(identity, now)| {
            let old = before.get(identity).and_then(Stands::fill);
            old.map(|fill| (fill, -1)).into_iter().chain(now.fill().map(|fill| (fill, 1)))
        });
        (given, changes.map(|(fill, diff)| (fill.clone(), diff)).collect())
    }
}
