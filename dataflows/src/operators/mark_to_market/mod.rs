//! `mark_to_market`: P&L at steps of event time.
//!
//! A row is the P&L of a wallet (or of a position, `by = "position"`) at a snapshot b: of what lies
//! before b, at the marks before b. It is published when the watermark reaches b and revised by what
//! comes late. With `emit = "changed"` there is a row where the values differ from those at the step
//! before, so that carrying the last row forward gives every step; a flat wallet changes no more.
//! With `"all"` there is one at each step for which a position is open. A flat position shows no
//! mark, and an unrealised P&L of zero.
//!
//! `now` holds the values at the newest snapshot of each open position; a flat one has no row there.
//! `marks` holds the newest mark of each asset, as of the current epoch. From it and the positions
//! [`live`] makes P&L as of the current epoch for whoever asks; nothing keeps it.
//! What doesn't fit its column is left out and stands in `errors` for as long as that is so.
//!
//! Positions are never joined with quotes. Both are told as of the grid's steps alone, and a sweep
//! visits what changed at a step: positions with events, and holders of assets with new marks. All
//! steps are kept for ever, because a late event must change exactly what it changes.

pub mod live;
mod marks;
mod mirror;
mod newest;
mod operator;
mod past;
mod prepare;
mod prints;
mod revise;
mod series;
mod sweep;
mod take_back;
#[cfg(test)]
mod tests;
mod ticks;
mod trace;
#[cfg(test)]
mod twin;
mod value;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::RelationKind;
use types::{Column, Kind, Schema};

use crate::operators::Operator;
use crate::plan::{Output, PlanBuilder, Prepared};

/// The operator.
pub(super) struct MarkToMarket;

const OPTIONS: &[OptionSpec] = &[
    option("positions", OptionKind::Input, Need::Required, "a view of op `avg_cost`"),
    option("quotes", OptionKind::Input, Need::Optional, "quotes, for `mid` and `bid_ask`"),
    option("trades", OptionKind::Input, Need::Optional, "trades or fills, for `last`"),
    option("settlements", OptionKind::Input, Need::Optional, "payouts: marks above all quotes"),
    option(
        "mark",
        OptionKind::Choice(&["mid", "last", "bid_ask", "settlement"]),
        Need::Optional,
        "what a position is valued at; `mid` where there are quotes, else `last`",
    ),
    option("snapshot", OptionKind::Duration, Need::Required, "the step of the grid"),
    option(
        "by",
        OptionKind::Choice(&["wallet", "position"]),
        Need::Default("wallet"),
        "whose P&L a row is",
    ),
    option(
        "emit",
        OptionKind::Choice(&["changed", "all"]),
        Need::Default("changed"),
        "rows where values differ from the step before, or at every step",
    ),
];

impl Operator for MarkToMarket {
    fn name(&self) -> &'static str {
        "mark_to_market"
    }

    fn help(&self) -> &'static str {
        "realised and unrealised P&L of each wallet or position at steps of event time"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, _plan: &PlanBuilder) -> Option<Vec<Output>> {
        let by_position = settings.text("by") == Some("position");
        let kind = if by_position { RelationKind::PositionPnl } else { RelationKind::Pnl };
        let schema = errors_schema(by_position).shared();
        Some(vec![
            Output::built_in("", kind),
            Output::built_in("now", RelationKind::PnlNow),
            Output::built_in("marks", RelationKind::Marks),
            Output { suffix: "errors", kind: RelationKind::Rows, schema, is_keyed: true },
        ])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let outputs = self.outputs(settings, plan).unwrap_or_default();
        prepare::prepare(settings, plan, outputs)
    }
}

/// Snapshots that overflow.
fn errors_schema(by_position: bool) -> Schema {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    let (wallet, snapshot) = (column("wallet", Kind::Text), column("snapshot", Kind::Time));
    let reason = column("reason", Kind::Name);
    let columns = if by_position {
        vec![column("venue", Kind::Name), wallet, column("asset", Kind::Text), snapshot, reason]
    } else {
        vec![wallet, snapshot, reason]
    };
    let n_key = columns.len() - 1;
    Schema { columns, n_key, time: Some(n_key - 1) }
}
