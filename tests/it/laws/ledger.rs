//! The ledger of SEMANTICS section 5, in exact fractions, from a key's sorted fills.

use num_traits::{Signed, Zero};

use super::history::{Fill, Settlement};
use crate::exact::{Exact, nano, rounded};

/// What becomes of a sale of more than is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Oversell {
    Short,
    Clamp,
    Error,
}

/// What a wallet holds of an asset.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) qty: Exact,
    /// `None` while the basis is unknown.
    pub(super) cost: Option<Exact>,
    pub(super) realized: Exact,
    pub(super) fees: Exact,
    pub(super) funding: Exact,
    pub(super) unmatched: Exact,
    pub(super) unknown_closed: Exact,
    pub(super) n_fills: u64,
    pub(super) market: Option<&'static str>,
    pub(super) updated_at: i64,
    is_settled: bool,
}

/// What is said of one fill, or of the settlement.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    LeftOut(&'static str),
    Break { expected: Exact, stated: Exact },
}

/// All that a key comes to.
pub(super) struct Folded<'a> {
    pub(super) position: Position,
    pub(super) findings: Vec<(&'a Fill, Finding)>,
    /// Whether the settlement couldn't close the position.
    pub(super) is_settlement_left_out: bool,
}

/// Folds a key's fills, sorted, and what its asset pays, if that closes positions.
pub(super) fn fold<'a>(
    fills: &[&'a Fill],
    settlement: Option<&Settlement>,
    oversell: Oversell,
) -> Folded<'a> {
    let mut position = Position {
        qty: Exact::zero(),
        cost: Some(Exact::zero()),
        realized: Exact::zero(),
        fees: Exact::zero(),
        funding: Exact::zero(),
        unmatched: Exact::zero(),
        unknown_closed: Exact::zero(),
        n_fills: 0,
        market: None,
        updated_at: i64::MIN,
        is_settled: false,
    };
    let mut findings = Vec::new();
    let is_before = |fill: &&&Fill| settlement.is_none_or(|s| fill.second <= s.second);
    let (before, after): (Vec<_>, Vec<_>) = fills.iter().partition(is_before);
    let mut take = |position: &mut Position, fills: Vec<&'a Fill>| {
        for fill in fills {
            let found = match position.with(fill, oversell) {
                Ok((next, found)) => {
                    *position = next;
                    found
                }
                Err(reason) => Some(Finding::LeftOut(reason)),
            };
            findings.extend(found.map(|found| (fill, found)));
        }
    };
    take(&mut position, before);
    let mut is_settlement_left_out = false;
    if let Some(settlement) = settlement {
        match position.settled(settlement) {
            Ok(next) => position = next,
            Err(_) => is_settlement_left_out = true,
        }
    }
    take(&mut position, after);
    Folded { position, findings, is_settlement_left_out }
}

impl Position {
    /// The position after a fill, and the break before it; or why the fill must be left out.
    fn with(
        &self,
        fill: &Fill,
        oversell: Oversell,
    ) -> Result<(Self, Option<Finding>), &'static str> {
        let mut next = self.clone();
        next.n_fills += 1;
        next.market = fill.market.or(self.market);
        next.updated_at = self.updated_at.max(fill.second);
        if fill.kind == "redeem" && self.is_settled {
            return Ok((next, None));
        }
        if let Some(fee) = fill.fee
            && (fill.fee_asset.is_none() || fill.fee_asset == fill.quote_asset)
        {
            next.fees += nano(fee);
        }
        if fill.kind == "funding" {
            next.funding += nano(fill.notional.unwrap());
            return Ok((next, None));
        }
        let mut found = None;
        if let Some(stated) = fill.start_qty.map(nano)
            && stated != next.qty
        {
            found = Some(Finding::Break { expected: next.qty, stated: stated.clone() });
            next.cost = stated.is_zero().then(Exact::zero);
            next.qty = stated;
        }
        let size = nano(fill.size);
        if fill.kind == "transfer" {
            next.transfer(&if fill.buys { size } else { -size }, value(fill));
        } else if fill.buys {
            next.trade(&size, &size, value(fill).unwrap());
        } else {
            next.sell(&size, value(fill).unwrap(), oversell)?;
        }
        if next.is_too_large() { Err("overflow") } else { Ok((next, found)) }
    }

    fn sell(
        &mut self,
        size: &Exact,
        notional: Exact,
        oversell: Oversell,
    ) -> Result<(), &'static str> {
        let held = self.qty.clone().max(Exact::zero());
        let counted = match oversell {
            Oversell::Error if *size > held => return Err("oversell"),
            Oversell::Clamp if *size > held => {
                self.unmatched += size - &held;
                held
            }
            _ => size.clone(),
        };
        self.trade(&-counted, size, notional);
        Ok(())
    }

    /// Buys or sells `signed` out of a fill of `size` that is worth `notional`.
    fn trade(&mut self, signed: &Exact, size: &Exact, notional: Exact) {
        let counted = signed.abs();
        let is_opposite = (&self.qty * signed).is_negative();
        let closed = if is_opposite { counted.clone().min(self.qty.abs()) } else { Exact::zero() };
        let mut left = notional;
        if !closed.is_zero() {
            let fetched = rounded(&(&left * &closed / size), 18);
            self.close(&closed, &fetched);
            left -= fetched;
        }
        let opened = counted - closed;
        if opened.is_zero() {
            return;
        }
        self.qty += &opened * signed.signum();
        // What the closed part didn't take is what the opened part costs.
        self.cost = self.cost.take().map(|cost| cost + left * signed.signum());
    }

    fn close(&mut self, closed: &Exact, fetched: &Exact) {
        let (direction, held) = (self.qty.signum(), self.qty.abs());
        self.qty -= closed * &direction;
        let is_flat = self.qty.is_zero();
        if let Some(cost) = self.cost.take() {
            let share = || rounded(&(&cost * closed / held), 18);
            let removed = if is_flat { cost.clone() } else { share() };
            self.realized += fetched * direction - &removed;
            self.cost = Some(cost - removed);
        } else {
            self.unknown_closed += fetched;
            self.cost = is_flat.then(Exact::zero);
        }
    }

    fn transfer(&mut self, signed: &Exact, notional: Option<Exact>) {
        let before = self.qty.clone();
        self.qty += signed;
        self.cost = match (self.cost.take(), notional) {
            _ if self.qty.is_zero() => Some(Exact::zero()),
            (Some(cost), Some(notional)) if !(&before * &self.qty).is_negative() => {
                let cost = cost + notional * signed.signum();
                (!(&cost * &self.qty).is_negative()).then_some(cost)
            }
            _ => None,
        };
    }

    /// The position after its asset paid out.
    fn settled(&self, settlement: &Settlement) -> Result<Self, &'static str> {
        let mut next = self.clone();
        next.is_settled = true;
        if !next.qty.is_zero() {
            let held = next.qty.abs();
            let fetched = &held * nano(settlement.payout);
            if fetched > most_money() {
                return Err("overflow");
            }
            next.close(&held, &fetched);
            next.updated_at = next.updated_at.max(settlement.second);
        }
        Ok(next)
    }

    /// Whether a quantity passes 38 digits or the average price nine before the point.
    fn is_too_large(&self) -> bool {
        let most_size = nano(10i128.pow(38) - 1);
        let most_price = nano(10i128.pow(18) - 1);
        let price = self.avg_price().unwrap_or_else(Exact::zero);
        self.qty.abs() > most_size || self.unmatched > most_size || price.abs() > most_price
    }

    /// Cost over quantity; `None` when flat or unknown.
    pub(super) fn avg_price(&self) -> Option<Exact> {
        let cost = self.cost.as_ref().filter(|_| !self.qty.is_zero())?;
        Some(cost / &self.qty)
    }
}

/// What 128 bits hold in units of 1e-18.
fn most_money() -> Exact {
    Exact::new(i128::MAX.into(), 10i128.pow(18).into())
}

/// What a fill is worth: its notional, else price x size.
pub(super) fn value(fill: &Fill) -> Option<Exact> {
    let product = fill.price.map(|price| nano(price) * nano(fill.size));
    fill.notional.map(nano).or(product)
}
