//! The short way of most fills: 64 bits in, no look at what they don't have. The rules are its twin.

use types::number::mul_div_half_even;
use types::sabotage::{Safeguard, is_out};
use types::{Money, Price, Size};

use super::{Ledger, Oversell, State};
use crate::operators::avg_cost::packed::Plain;

impl Ledger {
    /// Folds a fill in that is as most are: a trade of a position of known basis, all of it in
    /// ordinary numbers. `None` where it isn't, and nothing has changed.
    #[inline]
    pub(super) fn fill_plainly(self, state: &mut State, fill: &Plain) -> Option<()> {
        let Plain { time, is_buy, size, value, fee, market } = *fill;
        if size <= 0 || (!state.is_known() && !is_out(Safeguard::PlainBasis)) {
            return None;
        }
        let qty = i64::try_from(state.qty.raw()).ok()?;
        let oversells = self.oversell != Oversell::Short && !is_buy && size > qty;
        if oversells && !is_out(Safeguard::PlainOversell) {
            return None;
        }
        let fees = state.fees.checked_add(Money::from_raw(fee))?;
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
            realized = sum(realized, fetched.checked_sub(removed)?)?;
            cost = cost.checked_sub(removed)?.checked_add(signed.checked_sub(part)?)?;
        }
        // One multiplication of 64 bits, which can't overflow: whether the average price fits.
        let most =
            u128::from(after.unsigned_abs()).wrapping_mul(Price::MAX_RAW.unsigned_abs().into());
        if cost.unsigned_abs() > most && !is_out(Safeguard::PlainAverage) {
            return None;
        }
        state.qty = Size::of_nanos(after);
        state.cost = Money::from_raw(cost);
        state.realized_pnl = Money::from_raw(realized);
        state.fees = fees;
        state.n_fills += 1;
        state.market = market.or(state.market);
        state.updated_at = state.updated_at.max(time);
        Some(())
    }
}

/// The sum, where it fits.
fn sum(a: i128, b: i128) -> Option<i128> {
    if is_out(Safeguard::PlainOverflow) { Some(a.wrapping_add(b)) } else { a.checked_add(b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::relations::{FillKind, Side};
    use types::{EventId, Sym, VenueTime};

    use super::*;
    use crate::operators::avg_cost::entry::{Entry, LedgerEvent, Movement, Worth};
    use crate::operators::avg_cost::packed::{Aside, Packed};
    use crate::operators::history::Fold;

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
            1 => amount().prop_map(|n| Worth::Notional(Money::from_raw(n))),
            2 => (1i64..1_000_000_000_000).prop_map(|n| Worth::Notional(Money::of_nanos(n))),
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

    /// Amounts at the edges alone: the least, the greatest, and such that meet zero.
    fn edge() -> impl Strategy<Value = i128> {
        let sizes = vec![1, 2, 3, i128::from(i64::MAX) - 1, i128::from(i64::MAX)];
        let more = vec![i128::from(i64::MAX) + 1, Size::MAX_RAW - 1, Size::MAX_RAW];
        prop::sample::select([sizes, more].concat())
    }

    fn edge_worth() -> impl Strategy<Value = Worth> {
        let notionals = vec![0, 1, 1 << 62, i128::MAX / 2, i128::MAX - 1, i128::MAX];
        let prices = vec![0, 1, 999_999_999, i128::from(Price::MAX_RAW)];
        let plain = vec![1, 1 << 31, i64::MAX - 1, i64::MAX];
        prop_oneof![
            prop::sample::select(plain).prop_map(|n| Worth::Notional(Money::of_nanos(n))),
            prop::sample::select(notionals).prop_map(|n| Worth::Notional(Money::from_raw(n))),
            prop::sample::select(prices).prop_map(|n| Worth::Price(Price::from_nano(n).unwrap())),
        ]
    }

    prop_compose! {
        /// A fill whose numbers are the smallest, the largest, or meet.
        fn extreme()(
            fill in movement(),
            size in edge(),
            worth in edge_worth(),
            fee in prop::sample::select(vec![None, Some(i128::MAX), Some(i128::MIN + 1), Some(1)]),
            is_plain in prop::bool::weighted(0.9),
        ) -> Movement {
            let kind = if is_plain { FillKind::Trade } else { fill.kind };
            let size = Size::from_nano(size).unwrap();
            let fee = fee.map(Money::from_raw);
            Movement { kind, size, worth, fee, start_qty: None, ..fill }
        }
    }

    fn oversells() -> impl Strategy<Value = Oversell> {
        prop::sample::select(vec![Oversell::Short, Oversell::Clamp, Oversell::Error])
    }

    /// The way of most fills against the rules.
    fn check(fills: Vec<(Movement, i64)>, oversell: Oversell, settles_at: Option<usize>) {
        let ledger = Ledger { oversell };
        let (mut quick, mut slow) = (ledger.start(), ledger.start());
        let (mut market, mut aside) = (None, Aside::default());
        for (n, (fill, time)) in fills.into_iter().enumerate() {
            let (id, event) = match settles_at {
                Some(at) if at == n => {
                    (EventId::NONE, LedgerEvent::Settle(Price::from_nano(7).unwrap()))
                }
                _ => (EventId::default(), LedgerEvent::Fill(fill)),
            };
            let entry = Entry { time: VenueTime::from_nanos(time), seq: 0, id, event };
            let packed = Packed::of(&entry, &mut market, &mut aside);
            let note = ledger.step(&mut quick, &packed, market, &aside);
            assert_eq!(note, ledger.step_by_the_rules(&mut slow, &entry));
            assert_eq!(quick, slow);
            assert!(quick.shows_as(&slow));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn plain_fills_fold_as_the_rules_say(
            fills in prop::collection::vec((movement(), 0..9i64), 1..40),
            oversell in oversells(),
            settles_at in prop::option::of(0..40usize),
        ) {
            check(fills, oversell, settles_at);
        }

        #[test]
        fn extreme_fills_fold_as_the_rules_say(
            fills in prop::collection::vec((extreme(), 0..9i64), 1..20),
            oversell in oversells(),
        ) {
            check(fills, oversell, None);
        }
    }

    #[cfg(feature = "sabotage")]
    mod sabotage {
        use super::*;
        use crate::operators::testing::{noticed, sample};

        fn plain(seed: u64) {
            let fills = prop::collection::vec((movement(), 0..9i64), 1..40);
            let (fills, oversell) = sample(&(fills, oversells()), seed);
            check(fills, oversell, None);
        }

        fn extremes(seed: u64) {
            let fills = prop::collection::vec((extreme(), 0..9i64), 1..20);
            let (fills, oversell) = sample(&(fills, oversells()), seed);
            check(fills, oversell, None);
        }

        noticed! {
            kinds_with_rules_of_their_own: PlainKind by 50 of plain;
            positions_of_unknown_basis: PlainBasis by 100 of plain;
            sales_of_more_than_is_held: PlainOversell by 50 of plain;
            average_prices_that_do_not_fit: PlainAverage by 200 of extremes;
            sums_that_do_not_fit: PlainOverflow by 2_000 of extremes;
        }
    }
}
