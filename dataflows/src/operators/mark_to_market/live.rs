//! P&L as of the current epoch (SEMANTICS section 6): made of the positions' and marks' newest rows for
//! whoever asks. It is no view: nothing keeps it, and no sink, rule or change has it.

use ethnum::I256;
use types::relations::{MarkNow, PnlNow, Position, RelationKind, WalletNow};

use super::mirror::State;
use super::prepare::MARKS;
use super::value::{Held, Marked, Number, Sums};
use crate::plan::{Plan, Port, View};

/// What the rows of a view are as of the current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// The positions, an index of the plan's views.
    pub positions: usize,
    /// The newest marks, likewise.
    pub marks: usize,
    /// What a row is.
    pub rows: LiveRows,
}

/// What a live row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveRows {
    /// A wallet.
    Wallets,
    /// A position, flat ones too.
    Positions,
    /// An open position.
    Open,
}

/// How a view's rows as of the current epoch are made; `None` where they are what the view holds.
pub fn live(plan: &Plan, view: &View) -> Option<Live> {
    let rows = match view.kind {
        RelationKind::Pnl => LiveRows::Wallets,
        RelationKind::PositionPnl => LiveRows::Positions,
        RelationKind::PnlNow => LiveRows::Open,
        _ => return None,
    };
    // What other operators make of such rows has the same kind.
    let Port::Node { node, .. } = view.port else { return None };
    let Some(Port::Node { node: ledger, .. }) = plan.nodes.get(node)?.inputs.first() else {
        return None;
    };
    let at = |node: usize, output: usize, kind: RelationKind| {
        let port = Port::Node { node, output };
        plan.views.iter().position(|view| view.port == port && view.kind == kind)
    };
    let marks = at(node, MARKS, RelationKind::Marks)?;
    Some(Live { positions: at(*ledger, 0, RelationKind::Positions)?, marks, rows })
}

/// A position at a mark; `None` where a column doesn't fit.
pub fn position(position: &Position, mark: Option<&MarkNow>) -> Option<PnlNow> {
    let state = State { held: Some(Held::from(position)), mark: mark.map(Marked::from) };
    let (wallet, asset) = (position.wallet, position.asset);
    Some(PnlNow { wallet, asset, at: state.row(wallet, asset)? })
}

/// A wallet's positions, each at its mark; `None` without any, or where a column doesn't fit.
pub fn wallet<'a>(
    positions: impl Iterator<Item = (&'a Position, Option<&'a MarkNow>)> + Clone,
) -> Option<WalletNow> {
    let wallet = positions.clone().next()?.0.wallet;
    let at = match sums::<i128>(positions.clone()) {
        Some(sums) => sums.row(wallet)?,
        None => sums::<I256>(positions)?.row(wallet)?,
    };
    Some(WalletNow { wallet, at })
}

fn sums<'a, N: Number>(
    mut positions: impl Iterator<Item = (&'a Position, Option<&'a MarkNow>)>,
) -> Option<Sums<N>> {
    positions.try_fold(Sums::default(), |sums, (position, mark)| {
        sums.plus(&Sums::of(Some(&Held::from(position)), mark.map(Marked::from))?)
    })
}

impl From<&MarkNow> for Marked {
    fn from(mark: &MarkNow) -> Self {
        let MarkNow { long_twice, short_twice, mark_time, .. } = *mark;
        Self { long_twice, short_twice, time: mark_time }
    }
}
