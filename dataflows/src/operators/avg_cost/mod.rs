//! `avg_cost`: what each wallet holds of each asset, at average cost.
//!
//! A row is the position of one (venue, wallet, asset) after all its fills in event order. All fills
//! are kept for ever, because a late or removed one must change exactly what it changes. Side
//! outputs: `errors`, fills that can't be folded, for as long as that is so; `breaks`, fills before
//! which the venue states another quantity than the ledger holds.

mod entry;
mod keys;
mod ledger;
mod operator;
mod packed;
#[cfg(test)]
mod tests;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::RelationKind;
use types::{Span, options};

use self::ledger::{Ledger, Oversell};
use crate::edge::Edge;
use crate::operators::Operator;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared};

/// The operator.
pub(super) struct AvgCost;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "fills, or a filter over them"),
    option(
        "oversell",
        OptionKind::Choice(&["short", "clamp", "error"]),
        Need::Default("short"),
        "a sale of more than is held: opens a short, counts only what is held, or is an error",
    ),
    option("settlements", OptionKind::Input, Need::Optional, "the relation of payouts"),
    option(
        "settle",
        OptionKind::Choice(&["mark", "close"]),
        Need::Default("mark"),
        "what a payout does: only marks the position, or closes it",
    ),
];

impl Operator for AvgCost {
    fn name(&self) -> &'static str {
        "avg_cost"
    }

    fn help(&self) -> &'static str {
        "positions at average cost: quantity, cost, realised P&L, fees of each wallet and asset"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, _settings: &Settings, _plan: &PlanBuilder) -> Option<Vec<Output>> {
        Some(vec![
            Output::built_in("", RelationKind::Positions),
            Output::built_in("errors", RelationKind::Errors),
            Output::built_in("breaks", RelationKind::Breaks),
        ])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let input = plan.input_of(settings, "input", &[RelationKind::Fills], &mut problems);
        let kinds = &[RelationKind::Settlements];
        let settlements = plan.input_of(settings, "settlements", kinds, &mut problems);
        let closes = settings.text("settle") == Some("close");
        if closes && !settings.has("settlements") {
            let message = "`settle = \"close\"` needs `settlements`, the relation of payouts";
            let place = settings.place("settle");
            let hint = "add `settlements = \"settlements\"`";
            problems.push(options::Problem::new(place, "missing_option", message).hint(hint));
        }
        let oversell = match settings.text("oversell") {
            Some("clamp") => Oversell::Clamp,
            Some("error") => Oversell::Error,
            _ => Oversell::Short,
        };
        let Some(input) = input.filter(|_| problems.is_empty()) else { return Err(problems) };
        let mut inputs = vec![PlanBuilder::events_of(&input)];
        inputs.extend(settlements.filter(|_| closes).map(|view| view.port));
        let outputs = self.outputs(settings, plan).unwrap_or_default();
        let build = Positions { ledger: Ledger { oversell }, grids: Vec::new() };
        Ok(Prepared { inputs, outputs, build: Box::new(build) })
    }
}

/// The operator with its options settled.
struct Positions {
    ledger: Ledger,
    /// The grids whose steps were asked for.
    grids: Vec<Span>,
}

/// Outputs with names; steps come behind them.
const N_OUTPUTS: usize = 3;

impl Build for Positions {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        operator::build(self.ledger, &self.grids, context, inputs)
    }

    fn demand_steps(&mut self, step: Span) -> Option<usize> {
        let known = self.grids.iter().position(|grid| *grid == step);
        let index = known.unwrap_or_else(|| {
            self.grids.push(step);
            self.grids.len() - 1
        });
        Some(N_OUTPUTS + index)
    }
}
