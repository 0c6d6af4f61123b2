//! `indicators`: what chart readers draw over bars, exactly and correctably.
//!
//! Of each final bar of one length a row: the bar's key, its close, and the indicators' values behind it.
//! A bar is as the rollup gives it: a bucket without trades is none, so lengths count bars, not time. A
//! column is null until as many bars stood as its definition needs, and as `warmup` says. An ordered fold (see [`super::fold`]):
//! a bar that comes late or is revised changes what is behind it, as if it had come so at first; what
//! doesn't fit gives nulls, and all indicators of the asset start anew behind it.

mod average;
mod indicator;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use types::options::{Need, OptionKind, OptionSpec, Place, Problem, Settings, option};
use types::relations::{Bar, RelationKind};
use types::schema::{Column, Kind};
use types::{Schema, Span, Value};

use super::Operator;
use super::fold::fixed::shown;
use super::fold::{Standing, Step, folded};
use super::ordered::Order;
use crate::edge::Edge;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use indicator::{FORMS, Indicator, Prices, State};

/// The operator.
pub(crate) struct Indicators;

const OPTIONS: &[OptionSpec] = &[
    option("input", OptionKind::Input, Need::Required, "bars: a view of op `rollup`"),
    option("size", OptionKind::Duration, Need::Required, "the length of the bars that are read"),
    option(
        "indicators",
        OptionKind::Texts,
        Need::Required,
        "which ones, with their lengths in bars: sma_20, ema_20, rsi_14, atr_14, bollinger_20, macd_12_26_9",
    ),
    option(
        "warmup",
        OptionKind::Count(1, 1_000_000),
        Need::Optional,
        "bars of a key from which on indicators are told; as many as each needs where not given",
    ),
];

impl Operator for Indicators {
    fn name(&self) -> &'static str {
        "indicators"
    }

    fn help(&self) -> &'static str {
        "technical indicators over final bars: moving averages, RSI, ATR, Bollinger bands, MACD"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let input = plan.input_of(settings, "input", &[RelationKind::Bars], &mut problems)?;
        let asked = asked(settings, &mut problems);
        problems.is_empty().then(|| vec![output(&input, &asked)])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let input = plan.input_of(settings, "input", &[RelationKind::Bars], &mut problems);
        let asked = asked(settings, &mut problems);
        match (input, settings.duration("size")) {
            (Some(input), Some(size)) if problems.is_empty() => Ok(Prepared {
                inputs: vec![input.port],
                outputs: vec![output(&input, &asked)],
                build: Box::new(Followed {
                    size,
                    step: Steps {
                        indicators: asked.into_iter().map(|(_, indicator)| indicator).collect(),
                        warmup: settings.count("warmup").unwrap_or_default(),
                    },
                    schema: Arc::clone(&input.schema),
                }),
            }),
            _ => Err(problems),
        }
    }
}

/// The indicators that are asked for, and their names.
fn asked(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(String, Indicator)> {
    let mut found: Vec<(String, Indicator)> = Vec::new();
    for (name, place) in settings.list("indicators") {
        let at = |code, message: String| Problem::new(Place::clone(place), code, message);
        match Indicator::parse(name) {
            Err(message) => problems.push(at("unknown_indicator", message).hint(FORMS)),
            Ok(_) if found.iter().any(|(known, _)| known == name) => {
                problems.push(at("duplicate_column", format!("`{name}` is listed twice")));
            }
            Ok(indicator) => found.push((name.clone(), indicator)),
        }
    }
    if found.is_empty() && problems.is_empty() {
        let message = "`indicators` is empty: rows would be bars alone";
        let problem = Problem::new(settings.place("indicators"), "missing_value", message);
        problems.push(problem.hint(FORMS));
    }
    found
}

fn output(input: &View, asked: &[(String, Indicator)]) -> Output {
    let Schema { n_key, time, .. } = *input.schema;
    let mut columns = input.schema.key().to_vec();
    columns.push(Column { name: "close".into(), kind: Kind::Price, nullable: false });
    let named = asked.iter().flat_map(|(name, indicator)| indicator.columns(name));
    columns.extend(named.map(|name| Column {
        name: name.into(),
        kind: Kind::Number,
        nullable: true,
    }));
    let schema = Schema { columns, n_key, time }.shared();
    Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: input.is_keyed }
}

/// The operator with its options settled.
struct Followed {
    size: Span,
    step: Steps,
    schema: Arc<Schema>,
}

impl Build for Followed {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("indicators read one view") };
        let name = format!("view {}: indicators", context.view);
        let (size, time) = (self.size, self.schema.time);
        let key: Vec<usize> = (0..self.schema.n_key).collect();
        let by: Vec<usize> = key.iter().copied().filter(|index| Some(*index) != time).collect();
        let order = Order::new(&self.schema, &context.names);
        let standing = Standing::new(order, &by, &key);
        let is_read = move |bar: &Bar| bar.is_final && Span::parse(bar.size.as_str()) == Some(size);
        let bars = input.bars().flat_map(move |bar| {
            let prices = is_read(&bar).then(|| Prices::of(&bar))?;
            standing.see(&bar, Some(prices))
        });
        vec![Edge::Rows(folded(bars, &name, self.step.clone(), key.len()))]
    }
}

/// The steps of all indicators of a view.
#[derive(Clone)]
struct Steps {
    indicators: Arc<[Indicator]>,
    /// How many bars must stand before indicators are told, the bar itself among them.
    warmup: u64,
}

/// What the bars so far come to.
#[derive(Clone, PartialEq, Eq)]
struct Far {
    /// Counted up to where it matters, so that states far from the start are equal.
    n_bars: u64,
    states: Vec<State>,
}

impl Step for Steps {
    type Input = Prices;
    type State = Far;
    /// The indicators' values, one behind the other; nothing where something didn't fit.
    type Output = Box<[Option<i128>]>;

    fn start(&self) -> Far {
        let states = self.indicators.iter().map(|indicator| indicator.start()).collect();
        Far { n_bars: 0, states }
    }

    fn step(&self, far: &mut Far, bar: &Prices) -> Option<Self::Output> {
        far.n_bars = far.n_bars.saturating_add(1).min(self.warmup);
        let mut values = Vec::new();
        for (indicator, state) in self.indicators.iter().zip(&mut far.states) {
            values.extend(state.step(bar)?.into_iter().take(indicator.n_columns()));
        }
        if far.n_bars < self.warmup {
            values.fill(None);
        }
        Some(values.into())
    }

    fn show(&self, bar: Option<&Prices>, output: &Self::Output, values: &mut Vec<Value>) {
        values.push(shown(bar.map(|bar| bar.close)));
        let n_columns: usize = self.indicators.iter().map(|indicator| indicator.n_columns()).sum();
        values.extend((0..n_columns).map(|index| shown(output.get(index).copied().flatten())));
    }
}
