//! The trades of an asset in order: sorted pieces, appended to at the end, cut in two when full, so
//! that a late trade moves few others however many there are.

use std::cmp::Ordering;

use types::relations::Identity;
use types::sabotage::{Safeguard, is_out};
use types::{Names, Price, Sym, Value, VenueTime, json};

/// Trades of a piece.
const PIECE: usize = 256;

/// What marks need of a trade. Ordered as SEMANTICS section 3 says: no two trades of an asset have
/// one id, and fills that have are told apart by their wallets, the first that differs in their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) time: VenueTime,
    pub(super) seq: u64,
    /// See [`halves`]: 8-byte fields spare a tick the padding of a 16-byte one.
    pub(super) id: [u64; 2],
    pub(super) price: Price,
    pub(super) wallet: Option<Sym>,
}

/// The halves of an id's bits, the upper one first.
pub(super) fn halves(id: u128) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    [half(id >> 64), half(id)]
}

impl Tick {
    /// Whether it is the trade of an identity, which is of the same asset.
    pub(super) fn is_of(&self, identity: Identity) -> bool {
        let has_id = self.id == halves(identity.id) || is_out(Safeguard::TicksCompared);
        has_id && self.wallet == identity.wallet
    }

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

    /// The trades from a time to before another.
    pub(super) fn between(&self, from: VenueTime, to: VenueTime) -> impl Iterator<Item = &Tick> {
        let is_before = |piece: &Vec<Tick>| piece.last().is_some_and(|last| last.time < from);
        let first = self.pieces.partition_point(is_before);
        let ticks = self.pieces.iter().skip(first).enumerate().flat_map(move |(i, piece)| {
            let start = if i == 0 { piece.partition_point(|tick| tick.time < from) } else { 0 };
            piece.iter().skip(start)
        });
        ticks.take_while(move |tick| tick.time < to)
    }

    /// The first trade from a time on.
    pub(super) fn from(&self, time: VenueTime) -> Option<&Tick> {
        self.between(time, VenueTime::END).next()
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
                let to = time + time % 70;
                let between: Vec<Tick> = twin
                    .range((time, 0, 0)..(to, 0, 0))
                    .flat_map(|(key, n)| std::iter::repeat_n(tick(*key), *n))
                    .collect();
                let given = ticks.between(at, VenueTime::from_nanos(to)).copied();
                prop_assert_eq!(given.collect::<Vec<_>>(), between);
            }
            let all: Vec<Tick> = ticks.pieces.concat();
            let twin: Vec<Tick> =
                twin.iter().flat_map(|(key, n)| std::iter::repeat_n(tick(*key), *n)).collect();
            prop_assert_eq!(all, twin);
        }
    }
}
