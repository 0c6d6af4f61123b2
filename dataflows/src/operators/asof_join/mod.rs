//! `asof_join`: each row with what stood at its time in another view.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use rustc_hash::FxHashMap;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::{Concat, Exchange};
use types::changes::{adjoin, consolidate};
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::{Row, Schema, Span};

use self::group::{Group, Matching};
use super::Operator;
use super::behind::{self, Behind, ON, On, PREFIX, Source, joined, named_behind, on};
use super::declared::{Values, declared, follow_key, route, settled, values};
use super::epochs::per_epoch;
use super::latest::no_time;
use super::ordered::Order;
use crate::edge::Edge;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};

mod group;

/// Gives each row of its input with the last row of another view at or before its time, in the order
/// of SEMANTICS section 3, among those with equal values of `on`. A row of the other view that comes
/// late, changes or goes revises the rows between it and the next one, and costs what those cost.
/// Both sides are kept whole, since either may still change; a row of the other view with a null in
/// `on` or without a time is never found.
pub(super) struct AsofJoin;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "the rows to complete; they have a time"),
    option("with", OptionKind::Input, Need::Required, "where the last row before is looked up"),
    ON,
    option("within", OptionKind::Duration, Need::Optional, "how old what is found may be"),
    PREFIX,
];

impl Operator for AsofJoin {
    fn name(&self) -> &'static str {
        "asof_join"
    }

    fn help(&self) -> &'static str {
        "each row with the last row of another view at or before its time"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        behind::outputs::<AsOf>(settings, plan)
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        behind::prepare::<AsOf>(settings, plan)
    }
}

/// Settles the options: the input's columns, and behind them those of the other view that are neither
/// equal nor its key; its time is there also where it is part of the key.
fn settle(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) -> AsOf {
    let on = on(settings, input, with, problems);
    let is_shown = |index: &usize| {
        let is_key = *index < with.schema.n_key && Some(*index) != with.schema.time;
        !is_key && !on.with.contains(index)
    };
    let shown: Vec<usize> = (0..with.schema.columns.len()).filter(is_shown).collect();
    let mut behind = named_behind(settings, input, (with, &shown), problems);
    for column in &mut behind {
        column.nullable = true;
    }
    let n_input = input.schema.columns.len();
    let columns = input.schema.columns.iter().cloned().chain(behind).collect();
    AsOf {
        schema: Schema { columns, ..*input.schema.as_ref() }.shared(),
        of_input: Arc::clone(&input.schema),
        of_with: Arc::clone(&with.schema),
        sources: (0..n_input)
            .map(Source::Input)
            .chain(shown.into_iter().map(Source::With))
            .collect(),
        within: settings.duration("within"),
        on,
    }
}

/// The operator with its options settled.
struct AsOf {
    schema: Arc<Schema>,
    of_input: Arc<Schema>,
    of_with: Arc<Schema>,
    on: On,
    sources: Arc<[Source]>,
    within: Option<Span>,
}

/// A row on its way to its group.
type Coming = ((Values, Side, Row), u64, isize);

/// Whose row it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
enum Side {
    Input,
    With,
}

impl Behind for AsOf {
    fn settle(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) -> Self {
        settle(settings, input, with, problems)
    }

    fn check(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) {
        for (view, option) in [(input, "input"), (with, "with")] {
            if view.schema.time.is_none() {
                problems.push(no_time(view, settings, option));
            }
        }
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

impl Build for AsOf {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input, with] = inputs else { unreachable!("two views are read") };
        let name = format!("view {}: asof_join", context.view);
        let input = declared(input, &self.of_input, &context.names).inner;
        let with = declared(with, &self.of_with, &context.names).inner;
        let found = self.coming(context, input.clone(), Side::Input);
        let found = found.concat(self.coming(context, with, Side::With));
        let found = self.found(context, found, &name);
        let time = self.of_input.time.and_then(|time| self.of_input.columns.get(time));
        if follow_key(&self.on.input, &self.of_input) && time.is_some_and(|time| !time.nullable) {
            return vec![Edge::Rows(found.as_collection())];
        }
        let changes = found.concat(self.alone(context, input));
        vec![Edge::Rows(settled(changes, &self.schema, &name))]
    }
}

impl AsOf {
    /// The rows of a side that can meet others.
    fn coming<'s>(
        &self,
        context: &Context<'s, '_>,
        rows: StreamVec<'s, u64, (Row, u64, isize)>,
        side: Side,
    ) -> StreamVec<'s, u64, Coming> {
        let (schema, on) = match side {
            Side::Input => (&self.of_input, self.on.input.clone()),
            Side::With => (&self.of_with, self.on.with.clone()),
        };
        let order = Order::new(schema, &context.names);
        let coming = rows.as_collection().flat_map(move |row| {
            order.time(&row)?;
            Some((values(&row, &on, &order.names)?, side, row))
        });
        coming.inner
    }

    /// The rows of the input for which nothing can be found.
    fn alone<'s>(
        &self,
        context: &Context<'s, '_>,
        rows: StreamVec<'s, u64, (Row, u64, isize)>,
    ) -> StreamVec<'s, u64, (Row, u64, isize)> {
        let order = Order::new(&self.of_input, &context.names);
        let (on, sources) = (self.on.input.clone(), Arc::clone(&self.sources));
        let alone = rows.as_collection().flat_map(move |row| {
            let meets = order.time(&row).is_some() && values(&row, &on, &order.names).is_some();
            (!meets).then(|| joined(&row, None, &sources))
        });
        alone.inner
    }

    /// What changes among the rows that can meet others.
    fn found<'s>(
        &self,
        context: &Context<'s, '_>,
        rows: StreamVec<'s, u64, Coming>,
        name: &str,
    ) -> StreamVec<'s, u64, (Row, u64, isize)> {
        let routed = rows.exchange(|((on, _, _), _, _): &Coming| route(on));
        let matching = Matching {
            input: Order::new(&self.of_input, &context.names),
            with: Order::new(&self.of_with, &context.names),
            sources: Arc::clone(&self.sources),
            within: self.within,
        };
        let schema = Arc::clone(&self.schema);
        let mut groups: FxHashMap<Values, Group> = FxHashMap::default();
        per_epoch(routed, name, move |epoch, inputs, out| {
            let mut coming: Vec<_> = inputs.drain(..).map(|(row, _, diff)| (row, diff)).collect();
            consolidate(&mut coming);
            let mut epochs: BTreeMap<Values, [Vec<(Row, isize)>; 2]> = BTreeMap::new();
            for ((on, side, row), diff) in coming {
                let [input, with] = epochs.entry(on).or_default();
                let rows = if side == Side::Input { input } else { with };
                rows.push((row, diff));
            }
            let mut changes = Vec::new();
            for (on, [input, with]) in epochs {
                let group = groups.entry(on.clone()).or_insert_with(Group::new);
                group.take(&matching, &input, &with, &mut changes);
                if group.is_empty() {
                    groups.remove(&on);
                }
            }
            adjoin(&mut changes, &schema);
            out.extend(changes.into_iter().map(|(row, diff)| (row, epoch, diff)));
        })
    }
}

#[cfg(test)]
mod tests;
