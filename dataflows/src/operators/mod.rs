//! The operators: the list, and what each must say of itself.

mod aggregate;
pub mod alert;
mod anomaly;
mod asof_join;
mod avg_cost;
mod behind;
mod declared;
mod distinct;
pub(crate) mod epochs;
mod expressions;
mod features;
mod filter;
mod fold;
mod history;
mod identities;
pub(crate) mod index;
mod indicators;
mod join;
mod label;
mod latest;
pub mod mark_to_market;
mod ordered;
mod rollup;
mod select;
pub(crate) mod slab;
mod steps;
#[cfg(test)]
mod testing;
mod top_k;
pub mod union;

use types::options::{OptionSpec, Problem, Settings};

use crate::plan::{Output, PlanBuilder, Prepared};

/// Something that makes a view from relations and other views.
pub trait Operator: Sync {
    /// Its name in a config: `op = "avg_cost"`.
    fn name(&self) -> &'static str;

    /// What a row of it means, in a line.
    fn help(&self) -> &'static str;

    /// Its options. Those of kind [`types::options::OptionKind::Input`] are what it reads.
    fn options(&self) -> &'static [OptionSpec];

    /// The names that one of the options lists, each with what it stands for.
    fn glossary(&self) -> Option<Glossary> {
        None
    }

    /// The outputs, as far as they are known even where options are wrong.
    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>>;

    /// Settles the options against what is read.
    ///
    /// # Errors
    /// All problems. None, where the only thing wrong is a view that it reads.
    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>>;
}

/// The names that an option takes.
pub struct Glossary {
    /// The option.
    pub option: &'static str,
    /// Each name, and what it stands for.
    pub names: Vec<(&'static str, String)>,
}

/// All operators that views can name.
pub static OPERATORS: &[&dyn Operator] = &[
    &aggregate::Aggregate,
    &anomaly::Anomaly,
    &asof_join::AsofJoin,
    &avg_cost::AvgCost,
    &distinct::Distinct,
    &features::FeaturesOf,
    &filter::Filter,
    &fold::Cusum,
    &fold::Ewma,
    &indicators::Indicators,
    &join::Join,
    &label::Label,
    &latest::Latest,
    &mark_to_market::MarkToMarket,
    &rollup::Rollup,
    &select::Select,
    &fold::Zscore,
    &top_k::TopK,
];
