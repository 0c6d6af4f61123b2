//! The ledger's rules (SEMANTICS section 5): one fill or settlement at a time, exact, checked.

use types::number::mul_div_half_even;
use types::relations::{Basis, FillKind, Position, Side};
use types::{AssetId, EventId, Money, Price, Size, Sym, VenueTime};

use super::entry::{Aside, Entry, LedgerEvent, Movement, Order, Packed, Worth};
use crate::operators::history::Fold;
use crate::route::route;

/// What becomes of a sale of more than is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oversell {
    /// It opens a short position.
    Short,
    /// The excess earns nothing and adds to `unmatched_size`.
    Clamp,
    /// The fill is left out and stands among the errors.
    Error,
}

/// The ledger as a fold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger {
    /// What becomes of a sale of more than is held.
    pub(super) oversell: Oversell,
}

/// What the fold says of a fill beside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Which fill.
    pub(super) id: EventId,
    /// When it happened.
    pub(super) time: VenueTime,
    /// What is wrong.
    pub(super) finding: Finding,
}

/// What is wrong with a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is left out, for this reason.
    LeftOut(&'static str),
    /// The venue states another quantity before it than the ledger holds.
    Break {
        /// The ledger's.
        expected: Size,
        /// The venue's.
        stated: Size,
    },
}

/// A position while it is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    qty: Size,
    /// Zero while the basis is unknown.
    cost: Money,
    realized_pnl: Money,
    fees: Money,
    n_fills: u64,
    updated_at: VenueTime,
    /// Never there with all of it zero, so that equal states are equal.
    rare: Option<Box<Rare>>,
    market: Option<Sym>,
    basis: Basis,
    is_settled: bool,
}

/// What few positions have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    funding: Money,
    unmatched_size: Size,
    unknown_closed: Money,
}

impl State {
    /// The position's row; `None` before the first fill.
    pub(super) fn position(&self, wallet: Sym, asset: AssetId) -> Option<Position> {
        let (funding, unmatched_size, unknown_closed) = match &self.rare {
            None => (Money::ZERO, Size::ZERO, Money::ZERO),
            Some(rare) => (rare.funding, rare.unmatched_size, rare.unknown_closed),
        };
        (self.n_fills > 0).then_some(Position {
            wallet,
            asset,
            market: self.market,
            qty: self.qty,
            cost: self.cost,
            realized_pnl: self.realized_pnl,
            fees: self.fees,
            funding,
            n_fills: self.n_fills,
            unmatched_size,
            basis: self.basis,
            unknown_closed,
            updated_at: self.updated_at,
        })
    }

    /// Whether two states show the same row.
    pub(super) fn shows_as(&self, other: &Self) -> bool {
        self.n_fills == other.n_fills
            && self.qty == other.qty
            && self.cost == other.cost
            && self.realized_pnl == other.realized_pnl
            && self.fees == other.fees
            && self.updated_at == other.updated_at
            && self.market == other.market
            && self.basis == other.basis
            && self.rare == other.rare
    }

    /// Changes what few positions have. `None`: overflow.
    fn change_rare(&mut self, change: impl FnOnce(&mut Rare) -> Option<()>) -> Option<()> {
        let mut rare = self.rare.take().unwrap_or_default();
        change(&mut rare)?;
        self.rare = Some(rare).filter(|rare| **rare != Rare::default());
        Some(())
    }

    fn is_known(&self) -> bool {
        self.basis == Basis::Known
    }

    fn forget_basis(&mut self) {
        self.basis = Basis::Unknown;
        self.cost = Money::ZERO;
    }

    /// A flat position costs nothing, and that is known.
    fn settle_flat(&mut self) {
        if self.qty.is_zero() {
            self.basis = Basis::Known;
            self.cost = Money::ZERO;
        }
    }

    /// Takes the venue's word for the quantity before a fill; tells where it differs.
    fn take_stated(&mut self, stated: Option<Size>) -> Option<Finding> {
        let stated = stated.filter(|stated| *stated != self.qty)?;
        let expected = self.qty;
        self.qty = stated;
        self.forget_basis();
        self.settle_flat();
        Some(Finding::Break { expected, stated })
    }

    /// Buys or sells: adds, or closes and opens what is left the other way. `None`: overflow.
    fn trade(&mut self, delta: Size, value: Money) -> Option<()> {
        if self.qty.signum() * delta.signum() >= 0 {
            return self.open(delta, value);
        }
        let closed = delta.abs().min(self.qty.abs());
        let part = value.share_half_even(closed, delta.abs())?;
        self.close(closed, part)?;
        let left = delta.abs().checked_sub(closed)?;
        if left.is_zero() {
            return Some(());
        }
        // What the closed part didn't take, so that no unit is lost between the two.
        let rest = value.checked_sub(part)?;
        self.open(if delta > Size::ZERO { left } else { left.negated() }, rest)
    }

    /// Adds in the position's direction.
    fn open(&mut self, delta: Size, value: Money) -> Option<()> {
        self.qty = self.qty.checked_add(delta)?;
        if self.is_known() {
            let cost = if delta < Size::ZERO { value.checked_neg()? } else { value };
            self.cost = self.cost.checked_add(cost)?;
        }
        Some(())
    }

    /// Closes part of the position for what it fetched.
    fn close(&mut self, closed: Size, fetched: Money) -> Option<()> {
        let is_long = self.qty > Size::ZERO;
        if self.is_known() {
            let removed = self.cost.share_half_even(closed, self.qty.abs())?;
            let fetched = if is_long { fetched } else { fetched.checked_neg()? };
            self.realized_pnl = self.realized_pnl.checked_add(fetched.checked_sub(removed)?)?;
            self.cost = self.cost.checked_sub(removed)?;
        } else {
            self.change_rare(|rare| {
                rare.unknown_closed = rare.unknown_closed.checked_add(fetched)?;
                Some(())
            })?;
        }
        self.qty = self.qty.checked_add(if is_long { closed.negated() } else { closed })?;
        self.settle_flat();
        Some(())
    }

    /// Moves quantity with a stated cost, and no trade.
    fn transfer(&mut self, delta: Size, value: Option<Money>) -> Option<()> {
        let before = self.qty;
        self.qty = before.checked_add(delta)?;
        if self.qty.is_zero() {
            self.settle_flat();
            return Some(());
        }
        let crosses = before.signum() * self.qty.signum() < 0;
        let Some(value) = value.filter(|_| self.is_known() && !crosses) else {
            self.forget_basis();
            return Some(());
        };
        let moved = if delta < Size::ZERO { value.checked_neg()? } else { value };
        self.cost = self.cost.checked_add(moved)?;
        if self.cost.raw().signum() * self.qty.signum() < 0 {
            self.forget_basis();
        }
        Some(())
    }

    /// Whether the average price fits its column.
    fn fits(&self) -> bool {
        let (cost, qty) = (self.cost.raw().unsigned_abs(), self.qty.raw().unsigned_abs());
        let most = Price::MAX_RAW.unsigned_abs();
        match u64::try_from(qty) {
            // One multiplication of 64 bits, which can't overflow.
            Ok(qty) => cost <= u128::from(qty) * u128::from(most),
            Err(_) => qty.checked_mul(most.into()).is_none_or(|most| cost <= most),
        }
    }
}

const OVERFLOW: &str = "overflow";

impl Ledger {
    /// Folds a fill in that is as most are: a trade of a position of known basis, all of it in
    /// ordinary numbers. `None` where it isn't, and nothing has changed.
    #[inline]
    fn fill_plainly(self, state: &mut State, time: VenueTime, fill: &Movement) -> Option<()> {
        let is_odd = matches!(fill.kind, FillKind::Redeem | FillKind::Transfer | FillKind::Funding);
        if is_odd || fill.start_qty.is_some() || !state.is_known() {
            return None;
        }
        let size = i64::try_from(fill.size.raw()).ok().filter(|size| *size > 0)?;
        let qty = i64::try_from(state.qty.raw()).ok()?;
        let is_buy = fill.side == Side::Buy;
        if self.oversell != Oversell::Short && !is_buy && size > qty {
            return None;
        }
        let value = match fill.worth {
            Worth::Unstated => return None,
            // 64 x 64 bits can't overflow.
            Worth::Price(price) => i128::from(price.raw()).wrapping_mul(size.into()),
            Worth::Notional(notional) => notional.raw(),
        };
        let fees = match fill.fee {
            Some(fee) => state.fees.checked_add(fee)?,
            None => state.fees,
        };
        let (mut cost, mut realized) = (state.cost.raw(), state.realized_pnl.raw());
        let signed = if is_buy { value } else { value.checked_neg()? };
        let after = if is_buy { qty.checked_add(size)? } else { qty.checked_sub(size)? };
        if qty == 0 || (qty > 0) == is_buy {
            cost = cost.checked_add(signed)?;
        } else {
            let held = i64::try_from(qty.unsigned_abs()).ok()?;
            let closed = held.min(size);
            let part = mul_div_half_even(signed, closed.into(), size.into())?;
            let removed = mul_div_half_even(cost, closed.into(), held.into())?;
            // A sale fetches what it is worth; a purchase that closes costs it.
            let fetched = part.checked_neg()?;
            realized = realized.checked_add(fetched.checked_sub(removed)?)?;
            cost = cost.checked_sub(removed)?.checked_add(signed.checked_sub(part)?)?;
        }
        // One multiplication of 64 bits, which can't overflow: whether the average price fits.
        let most =
            u128::from(after.unsigned_abs()).wrapping_mul(Price::MAX_RAW.unsigned_abs().into());
        if cost.unsigned_abs() > most {
            return None;
        }
        state.qty = Size::of_nanos(after);
        state.cost = Money::from_raw(cost);
        state.realized_pnl = Money::from_raw(realized);
        state.fees = fees;
        state.n_fills += 1;
        state.market = fill.market.or(state.market);
        state.updated_at = state.updated_at.max(time);
        Some(())
    }

    /// Folds anything in.
    #[inline(never)]
    fn step_by_the_rules(self, state: &mut State, entry: &Entry) -> Option<Note> {
        let before = state.clone();
        let found = match &entry.event {
            LedgerEvent::Settle(payout) => Self::settle(state, entry.time, *payout).map(|()| None),
            LedgerEvent::Fill(fill) => self.fill(state, entry.time, fill),
        };
        let finding = match found {
            Ok(finding) => finding?,
            Err(reason) => {
                // A fill that doesn't fit is left out whole.
                *state = before;
                Finding::LeftOut(reason)
            }
        };
        Some(Note { id: entry.id, time: entry.time, finding })
    }

    /// Folds a fill in; the reason where it must be left out.
    fn fill(
        self,
        state: &mut State,
        time: VenueTime,
        fill: &Movement,
    ) -> Result<Option<Finding>, &'static str> {
        state.n_fills += 1;
        state.market = fill.market.or(state.market);
        state.updated_at = state.updated_at.max(time);
        if fill.kind == FillKind::Redeem && state.is_settled {
            return Ok(None);
        }
        if let Some(fee) = fill.fee {
            state.fees = state.fees.checked_add(fee).ok_or(OVERFLOW)?;
        }
        if fill.kind == FillKind::Funding {
            let paid = fill.value().ok_or(OVERFLOW)?;
            let add = |rare: &mut Rare| {
                rare.funding = rare.funding.checked_add(paid)?;
                Some(())
            };
            state.change_rare(add).ok_or(OVERFLOW)?;
            return Ok(None);
        }
        let finding = state.take_stated(fill.start_qty);
        let delta = if fill.side == Side::Buy { fill.size } else { fill.size.negated() };
        if fill.kind == FillKind::Transfer {
            state.transfer(delta, fill.value()).ok_or(OVERFLOW)?;
        } else {
            let value = fill.value().ok_or(OVERFLOW)?;
            self.trade(state, delta, value)?;
        }
        if state.fits() { Ok(finding) } else { Err(OVERFLOW) }
    }

    fn trade(self, state: &mut State, delta: Size, value: Money) -> Result<(), &'static str> {
        let held = state.qty.max(Size::ZERO);
        let oversold = delta < Size::ZERO && delta.abs() > held;
        match self.oversell {
            Oversell::Error if oversold => Err("oversell"),
            Oversell::Clamp if oversold => {
                let excess = delta.abs().checked_sub(held).ok_or(OVERFLOW)?;
                let add = |rare: &mut Rare| {
                    rare.unmatched_size = rare.unmatched_size.checked_add(excess)?;
                    Some(())
                };
                state.change_rare(add).ok_or(OVERFLOW)?;
                if held.is_zero() {
                    return Ok(());
                }
                let part = value.share_half_even(held, delta.abs()).ok_or(OVERFLOW)?;
                state.close(held, part).ok_or(OVERFLOW)
            }
            _ => state.trade(delta, value).ok_or(OVERFLOW),
        }
    }

    /// Closes the position at the payout.
    fn settle(state: &mut State, time: VenueTime, payout: Price) -> Result<(), &'static str> {
        state.is_settled = true;
        if state.qty.is_zero() {
            return Ok(());
        }
        state.updated_at = state.updated_at.max(time);
        let held = state.qty.abs();
        let fetched = held.checked_mul_price(payout).ok_or(OVERFLOW)?;
        state.close(held, fetched).ok_or(OVERFLOW)
    }
}

impl Fold for Ledger {
    type Key = (Sym, AssetId);
    type Event = Entry;
    type Packed = Packed;
    /// The market that a key's fills name.
    type Common = Option<Sym>;
    type Aside = Aside;
    type State = State;
    type Note = Note;
    type Order = Order;

    fn route((wallet, asset): Self::Key) -> u64 {
        route(wallet, asset)
    }

    fn order(event: &Entry) -> Order {
        event.order()
    }

    fn time(order: &Order) -> VenueTime {
        order.0
    }

    fn identity(event: &Entry) -> Option<u128> {
        event.identity()
    }

    fn pack(event: &Entry, market: &mut Option<Sym>, aside: &mut Aside) -> Packed {
        Packed::of(event, market, aside)
    }

    fn unpack(packed: &Packed, market: Option<Sym>, aside: &Aside) -> Entry {
        packed.entry(market, aside)
    }

    fn release(packed: &Packed, aside: &mut Aside) {
        packed.release(aside);
    }

    fn packed_order(packed: &Packed, aside: &Aside) -> Order {
        packed.order(aside)
    }

    fn packed_time(packed: &Packed) -> VenueTime {
        packed.time()
    }

    fn packed_identity(packed: &Packed, aside: &Aside) -> Option<u128> {
        packed.identity(aside)
    }

    fn start(&self) -> State {
        State {
            qty: Size::ZERO,
            cost: Money::ZERO,
            realized_pnl: Money::ZERO,
            fees: Money::ZERO,
            n_fills: 0,
            updated_at: VenueTime::MIN,
            rare: None,
            market: None,
            basis: Basis::Known,
            is_settled: false,
        }
    }

    #[inline]
    fn step(&self, state: &mut State, entry: &Entry) -> Option<Note> {
        if let LedgerEvent::Fill(fill) = &entry.event
            && self.fill_plainly(state, entry.time, fill).is_some()
        {
            return None;
        }
        self.step_by_the_rules(state, entry)
    }

    fn about(note: &Note) -> u128 {
        note.id.raw()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Amounts near and far from the edges of 64 bits.
    fn amount() -> impl Strategy<Value = i128> {
        let edge = prop::sample::select(vec![3, 1 << 31, 1 << 62, i128::from(i64::MAX)]);
        prop_oneof![
            4 => 1..50i128,
            2 => 1i128..10_000_000_000_000,
            1 => (edge, -2i128..3).prop_map(|(edge, by)| edge + by),
            1 => (any::<i128>(), 0u32..120).prop_map(|(n, shift)| (n >> shift).abs().max(1)),
        ]
    }

    fn worth() -> impl Strategy<Value = Worth> {
        let price = |nano| Worth::Price(Price::from_nano(nano).unwrap_or_default());
        prop_oneof![
            3 => (1i128..2_000_000_000).prop_map(price),
            1 => (0..=i128::from(Price::MAX_RAW)).prop_map(price),
            2 => amount().prop_map(|n| Worth::Notional(Money::from_raw(n))),
            1 => Just(Worth::Unstated),
        ]
    }

    prop_compose! {
        fn movement()(
            kind in prop_oneof![
                12 => Just(FillKind::Trade),
                1 => prop::sample::select(FillKind::WORDS)
                    .prop_map(|word| FillKind::from_word(word).unwrap()),
            ],
            side in prop_oneof![Just(Side::Buy), Just(Side::Sell)],
            size in amount(),
            worth in worth(),
            fee in prop::option::of((amount(), any::<bool>())),
            start in prop_oneof![12 => Just(None), 1 => amount().prop_map(Some)],
            market in prop::option::of(0..3u32),
        ) -> Movement {
            let size_of = |n: i128| Size::from_nano(n).unwrap_or(Size::ZERO);
            Movement {
                kind,
                side,
                size: size_of(size),
                worth,
                fee: fee.map(|(n, rebate)| Money::from_raw(if rebate { -n } else { n })),
                start_qty: start.map(size_of),
                market: market.map(Sym::from_index),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// The way of most fills against the rules.
        #[test]
        fn plain_fills_fold_as_the_rules_say(
            fills in prop::collection::vec((movement(), 0..9i64), 1..40),
            oversell in prop::sample::select(
                vec![Oversell::Short, Oversell::Clamp, Oversell::Error]),
            settles_at in prop::option::of(0..40usize),
        ) {
            let ledger = Ledger { oversell };
            let (mut quick, mut slow) = (ledger.start(), ledger.start());
            for (n, (fill, time)) in fills.into_iter().enumerate() {
                let event = match settles_at {
                    Some(at) if at == n => LedgerEvent::Settle(Price::from_nano(7).unwrap()),
                    _ => LedgerEvent::Fill(fill),
                };
                let time = VenueTime::from_nanos(time);
                let entry = Entry { time, seq: 0, id: EventId::default(), event };
                let notes = (
                    ledger.step(&mut quick, &entry),
                    ledger.step_by_the_rules(&mut slow, &entry),
                );
                prop_assert_eq!(&notes.0, &notes.1);
                prop_assert_eq!(&quick, &slow);
                prop_assert!(quick.shows_as(&slow));
            }
        }
    }
}
