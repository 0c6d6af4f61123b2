//! `join`: rows of two views with equal values.

use std::sync::Arc;

use timely::dataflow::operators::vec::Delay;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::{Column, Names, Row, Schema};

use super::Operator;
use super::behind::{self, Behind, ON, On, PREFIX, Source, joined, named_behind, on};
use super::declared::{Values, check_keyed, declared, settled, values};
use crate::edge::{Coll, Edge};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};

/// Gives the rows of two keyed views with equal values of `on`, side by side. The key is the input's
/// and the other's columns of key that aren't in `on`. With `kind = "left"` rows of the input stay
/// that meet none, with nulls behind them. Nulls equal nothing. Both sides are kept, arranged by `on`;
/// a change costs the rows that it meets.
pub(super) struct Join;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "the rows that come first; keyed"),
    option("with", OptionKind::Input, Need::Required, "the rows behind them; keyed"),
    ON,
    option(
        "kind",
        OptionKind::Choice(&["inner", "left"]),
        Need::Default("inner"),
        "whether rows of the input that meet none are left out, or stay",
    ),
    PREFIX,
];

impl Operator for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn help(&self) -> &'static str {
        "rows of two views with equal values"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        behind::outputs::<Pairs>(settings, plan)
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        behind::prepare::<Pairs>(settings, plan)
    }
}

/// Settles the options. The columns: both keys, the rest of the input, the rest of the other view.
fn settle(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) -> Pairs {
    if settings.has("on") && settings.list("on").is_empty() {
        let message = "`on` names no columns";
        let problem = Problem::new(settings.place("on"), "wrong_value", message);
        problems.push(problem.hint("each row would meet all of the other view"));
    }
    let on = on(settings, input, with, problems);
    let is_left = settings.text("kind") == Some("left");
    let (n_input, n_with) = (input.schema.columns.len(), with.schema.columns.len());
    let shown: Vec<usize> = (0..n_with).filter(|index| !on.with.contains(index)).collect();
    let n_keys = shown.iter().filter(|index| **index < with.schema.n_key).count();
    if is_left && n_keys > 0 {
        let message = format!("`on` must hold the whole key of `{}` in a left join", with.name);
        let problem = Problem::new(settings.place("kind"), "wrong_option", message);
        problems.push(problem.hint("the key of a row that meets none would be null"));
    }
    let mut behind = named_behind(settings, input, (with, &shown), problems);
    for column in &mut behind {
        column.nullable |= is_left;
    }
    let behind = behind.into_iter().zip(shown.into_iter().map(Source::With));
    let of_input = input.schema.columns.iter().cloned().zip((0..n_input).map(Source::Input));
    let (of_input, behind): (Vec<_>, Vec<_>) = (of_input.collect(), behind.collect());
    let (key, rest) = of_input.split_at(input.schema.n_key);
    let (key_behind, rest_behind) = behind.split_at(n_keys.min(behind.len()));
    let all = [key, key_behind, rest, rest_behind].concat();
    let (columns, sources): (Vec<Column>, Vec<Source>) = all.into_iter().unzip();
    let is_time = |source: &Source| input.schema.time.map(Source::Input) == Some(*source);
    let time = sources.iter().position(is_time);
    let n_key = key.len() + key_behind.len();
    Pairs {
        schema: Schema { columns, n_key, time }.shared(),
        of_input: Arc::clone(&input.schema),
        of_with: Arc::clone(&with.schema),
        on,
        sources: sources.into(),
        is_left,
    }
}

/// The operator with its options settled.
struct Pairs {
    schema: Arc<Schema>,
    of_input: Arc<Schema>,
    of_with: Arc<Schema>,
    on: On,
    sources: Arc<[Source]>,
    is_left: bool,
}

impl Behind for Pairs {
    fn settle(settings: &Settings, input: &View, with: &View, problems: &mut Vec<Problem>) -> Self {
        settle(settings, input, with, problems)
    }

    fn check(settings: &Settings, _input: &View, with: &View, problems: &mut Vec<Problem>) {
        check_keyed(with, settings, "with", problems);
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

impl Build for Pairs {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input, with] = inputs else { unreachable!("two views are read") };
        let names = &context.names;
        let input = declared(input, &self.of_input, names);
        let with = declared(with, &self.of_with, names);
        let name = format!("view {}: join", context.view);
        let left = by_values(input.clone(), &self.on.input, names);
        let right = by_values(with, &self.on.with, names);
        let left = left.arrange_by_key_named(&format!("{name}: input"));
        let right = right.arrange_by_key_named(&format!("{name}: with"));
        let met = left.join_core(right, |_, left, right| Some((left.clone(), right.clone())));
        let sources = Arc::clone(&self.sources);
        let pairs =
            met.clone().map(move |(left, right): (Row, Row)| joined(&left, Some(&right), &sources));
        let changes = if self.is_left {
            // A row of the input meets one row at most, so that it is alone or not.
            let [of_all, of_met] = [(); 2].map(|()| Arc::clone(&self.sources));
            let all = input.map(move |left| joined(&left, None, &of_all));
            let not_alone = met.map(move |(left, _)| joined(&left, None, &of_met));
            pairs.concat(all).concat(not_alone.negate())
        } else {
            pairs
        };
        // What differential sends at an epoch may be of later ones as well.
        let changes = changes.inner.delay(|(_, epoch, _), _| *epoch);
        vec![Edge::Rows(settled(changes, &self.schema, &name))]
    }
}

/// Rows with the values that they meet others by.
fn by_values<'s>(rows: Coll<'s, Row>, on: &[usize], names: &Arc<Names>) -> Coll<'s, (Values, Row)> {
    let (on, names) = (on.to_vec(), Arc::clone(names));
    rows.flat_map(move |row| Some((values(&row, &on, &names)?, row)))
}

#[cfg(test)]
mod tests;
