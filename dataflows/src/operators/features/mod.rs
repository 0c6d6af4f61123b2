//! `features`: what windows over a key's fills, trades or quotes say.
//!
//! A row is of one key (`by`) and one time. With `emit = "step"` it stands at a step b of the grid and
//! covers what lies before: of a window w the ticks in [b - w, b). It is published once the watermark
//! has reached b, and revised at once by what comes later. With `emit = "event"` it stands at a fill or
//! trade and covers those of the key in (t - w, t] that don't come behind it in the order of event time,
//! `seq`, id and the row's text; those of one key, time and id share the row of the last. Tumbling
//! windows start anew at each multiple of their length in place of sliding. A key without ticks in any
//! of its windows has no row.
//!
//! Every trade at a price is a tick, and fills of kind `transfer` and `funding` are none, as in
//! `rollup`; nor are quotes with an empty side. A row without a market has no key where `by` names it.
//! A return is the logarithm of a price over that of the key's tick of the same asset before, of quotes
//! over their middle, in units of 2^-56; where one of the two isn't above zero there is none, and nothing
//! counts it. It belongs to the windows of its later tick.
//!
//! All sums are of whole numbers, and floats are made of them at the end, so that they are the same bit
//! by bit however the ticks came. Wallets are counted exactly up to a bound; of more a sample is, which
//! depends on the window's wallets alone. What isn't defined (a mean of nothing), or doesn't fit, is null.
//! Nothing is forgotten, because a late or removed tick must revise exactly the rows that held it, or
//! the return behind it.

mod feature;
mod fold;
mod history;
mod layout;
mod logarithm;
mod operator;
mod prepare;
mod quotient;
mod series;
mod sums;
#[cfg(test)]
mod tests;
mod tick;
mod wallets;
mod window;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};

use self::feature::Feature;
use crate::operators::{Glossary, Operator};
use crate::plan::{Output, PlanBuilder, Prepared};

/// The operator.
pub(super) struct FeaturesOf;

const OPTIONS: &[OptionSpec] = &[
    option(
        "input",
        OptionKind::Input,
        Need::Required,
        "fills, trades or quotes, or a filter over them",
    ),
    option(
        "windows",
        OptionKind::Durations,
        Need::Default(r#"["5m", "1h"]"#),
        "the lengths of the windows",
    ),
    option(
        "by",
        OptionKind::Columns,
        Need::Default(r#"["asset"]"#),
        "the key: asset, wallet, market, or wallet and asset",
    ),
    option(
        "kind",
        OptionKind::Choice(&["sliding", "tumbling"]),
        Need::Default("sliding"),
        "whether windows end where their row stands, or start anew at multiples of their length",
    ),
    option(
        "emit",
        OptionKind::Choice(&["step", "event"]),
        Need::Default("step"),
        "rows at the steps of a grid, or at each fill or trade",
    ),
    option(
        "step",
        OptionKind::Duration,
        Need::Optional,
        "the grid; a twelfth of the shortest window where not given, all of it if that is tumbling",
    ),
    option(
        "features",
        OptionKind::Texts,
        Need::Optional,
        "which ones; all that the input can give where not given",
    ),
    option(
        "exact_up_to",
        OptionKind::Count(64, 1 << 24),
        Need::Optional,
        "wallets of a window that are counted exactly, 10000 where not given; of more the number is \
         estimated, as `wallets_exact` says, and the largest has no share",
    ),
];

impl Operator for FeaturesOf {
    fn name(&self) -> &'static str {
        "features"
    }

    fn help(&self) -> &'static str {
        "what windows over fills, trades or quotes say: counts, volumes, returns, volatility and more"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn glossary(&self) -> Option<Glossary> {
        let names = Feature::ALL.iter().map(|feature| (feature.name(), feature.described()));
        Some(Glossary { option: "features", names: names.collect() })
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let (_, layout) = prepare::settle(settings, plan, &mut problems)?;
        problems.is_empty().then(|| vec![prepare::output(&layout)])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        prepare::prepare(settings, plan)
    }
}
