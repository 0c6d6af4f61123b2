//! The trades of an asset in order: sorted pieces, appended to at the end, cut in two when full, so
//! that a late trade moves few others however many there are.

use std::cmp::Ordering;

use types::relations::{Fill, Trade};
use types::{AssetId, EventId, Names, Price, Sym, Value, VenueTime, json};

use serde::{Deserialize, Serialize};

/// Trades of a piece.
const PIECE: usize = 256;

/// A trade at a price on its way to the worker of its asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    pub(super) asset: AssetId,
    pub(super) tick: Tick,
}

/// What marks need of a trade. Ordered as SEMANTICS section 3 says: no two trades of an asset have
/// one id, and fills that have are told apart by their wallets, the first that differs in their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tick {
    pub(super) time: VenueTime,
    seq: u64,
    id: [u64; 2],
    pub(super) price: Price,
    wallet: Option<Sym>,
}

impl Print {
    /// A fill that traded at a price.
    pub(super) fn of_fill(fill: &Fill) -> Option<Self> {
        let price = fill.traded_price()?;
        let (time, wallet) = (fill.event_time, Some(fill.wallet));
        let tick = Tick { time, seq: fill.seq, id: halves(fill.id), price, wallet };
        Some(Self { asset: fill.asset, tick })
    }

    /// A trade.
    pub(super) fn of_trade(trade: &Trade) -> Self {
        let (time, price) = (trade.event_time, trade.price);
        let tick = Tick { time, seq: trade.seq, id: halves(trade.id), price, wallet: None };
        Self { asset: trade.asset, tick }
    }
}

/// The bits of an id, upper half first: 8-byte fields spare a tick the padding of 16-byte ones.
fn halves(id: EventId) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    [half(id.raw() >> 64), half(id.raw())]
}

impl Tick {
    fn order(&self, other: &Self, names: &Names) -> Ordering {
        let place = |tick: &Self| (tick.time, tick.seq, tick.id);
        let by_place = place(self).cmp(&place(other));
        by_place.then_with(|| by_wallet(self.wallet, other.wallet, names)).then_with(|| {
            // One trade, replaced in this epoch by another price.
            self.price.cmp(&other.price)
        })
    }
}

/// The order of wallets' texts as they stand in a row's text: escaped and in their quotes. Reached
/// only by fills of one time, seq and id, so it may be slow.
fn by_wallet(a: Option<Sym>, b: Option<Sym>, names: &Names) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return a.cmp(&b) };
    if a == b {
        return Ordering::Equal;
    }
    let escaped = |wallet: Sym| {
        let mut bytes = Vec::new();
        json::write_value(&mut bytes, &Value::from(names.text(wallet)));
        bytes
    };
    escaped(a).cmp(&escaped(b))
}

/// An asset's trades. Equal ones may stand more than once.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// None is empty.
    pieces: Vec<Vec<Tick>>,
}

impl Ticks {
    pub(super) fn insert(&mut self, tick: Tick, names: &Names) {
        let Some(last) = self.pieces.last_mut() else {
            self.pieces.push(vec![tick]);
            return;
        };
        if last[last.len() - 1].order(&tick, names).is_le() {
            // In order, so pieces stay full instead of half full.
            if last.len() < PIECE {
                last.push(tick);
            } else {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(tick);
                self.pieces.push(piece);
            }
            return;
        }
        let index = self.piece(&tick, names);
        let piece = &mut self.pieces[index];
        if piece.len() == PIECE {
            let upper = piece.split_off(PIECE / 2);
            self.pieces.insert(index + 1, upper);
        }
        let index = self.piece(&tick, names);
        let piece = &mut self.pieces[index];
        let place = piece.partition_point(|other| other.order(&tick, names).is_le());
        piece.insert(place, tick);
    }

    /// Takes a trade out.
    ///
    /// # Panics
    /// If it isn't there: an input never goes below zero.
    pub(super) fn remove(&mut self, tick: &Tick, names: &Names) {
        let index = self.pieces.partition_point(|piece| {
            piece.last().is_some_and(|last| last.order(tick, names).is_lt())
        });
        let piece = self.pieces.get_mut(index);
        let place = piece
            .as_ref()
            .map_or(0, |piece| piece.partition_point(|other| other.order(tick, names).is_lt()));
        let piece = piece.filter(|piece| piece.get(place) == Some(tick));
        let Some(piece) = piece else { panic!("a trade that isn't held was removed: {tick:?}") };
        piece.remove(place);
        if piece.is_empty() {
            self.pieces.remove(index);
        }
    }

    /// The first piece whose last trade isn't before this one, or the last.
    fn piece(&self, tick: &Tick, names: &Names) -> usize {
        let behind =
            |piece: &Vec<Tick>| piece.last().is_some_and(|last| last.order(tick, names).is_le());
        self.pieces.partition_point(behind).min(self.pieces.len() - 1)
    }

    /// The last trade before a time.
    pub(super) fn before(&self, time: VenueTime) -> Option<&Tick> {
        let last = self.pieces.last()?.last()?;
        if last.time < time {
            return Some(last);
        }
        let is_before = |piece: &Vec<Tick>| piece.first().is_some_and(|first| first.time < time);
        let piece = self.pieces.partition_point(is_before).checked_sub(1)?;
        let piece = &self.pieces[piece];
        piece[..piece.partition_point(|tick| tick.time < time)].last()
    }

    /// The first trade from a time on.
    pub(super) fn from(&self, time: VenueTime) -> Option<&Tick> {
        let is_before = |piece: &Vec<Tick>| piece.last().is_some_and(|last| last.time < time);
        let piece = self.pieces.get(self.pieces.partition_point(is_before))?;
        piece.get(piece.partition_point(|tick| tick.time < time))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::operators::testing::no_names;

    fn tick((time, id, price): (i64, u64, i64)) -> Tick {
        Tick {
            time: VenueTime::from_nanos(time),
            seq: 0,
            id: [0, id],
            price: Price::from_nano(price.into()).unwrap(),
            wallet: None,
        }
    }

    proptest! {
        #[test]
        fn they_equal_an_ordered_map(changes in prop::collection::vec(
            ((0i64..400, 0u64..30, 0i64..2), any::<bool>()), 0..3000)
        ) {
            let (mut ticks, names) = (Ticks::default(), no_names());
            let mut twin: BTreeMap<(i64, u64, i64), usize> = BTreeMap::new();
            for (key, is_removed) in changes {
                let count = twin.entry(key).or_default();
                if is_removed && *count > 0 {
                    *count -= 1;
                    ticks.remove(&tick(key), &names);
                } else {
                    *count += 1;
                    ticks.insert(tick(key), &names);
                }
                if twin[&key] == 0 {
                    twin.remove(&key);
                }
            }
            for time in 0..400 {
                let at = VenueTime::from_nanos(time);
                let before = twin.range(..(time, 0, 0)).next_back().map(|(key, _)| tick(*key));
                prop_assert_eq!(ticks.before(at).copied(), before);
                let from = twin.range((time, 0, 0)..).next().map(|(key, _)| tick(*key).time);
                prop_assert_eq!(ticks.from(at).map(|tick| tick.time), from);
            }
            let all: Vec<Tick> = ticks.pieces.concat();
            let twin: Vec<Tick> =
                twin.iter().flat_map(|(key, n)| std::iter::repeat_n(tick(*key), *n)).collect();
            prop_assert_eq!(all, twin);
        }
    }
}
