//! Operators, sources and sinks that have options and do nothing.

use std::sync::Arc;

use connectors::error::ConnectError;
use connectors::source::Format;
use connectors::{Sink, SinkKind, SourceKind};
use dataflows::Edge;
use dataflows::operators::Operator;
use dataflows::plan::{Build, Context, Output, PlanBuilder, Port, Prepared};
use tapeline::config::Registry;
use types::expr::Expr;
use types::options::OptionKind::{
    Assignments, Bool, Bytes, Choice, Columns, Count, Duration, DurationOrZero, Durations,
    Expression, Input, Path, Rate, Text,
};
use types::options::{
    Need, OptionKind, OptionSpec, Problem, Settings, did_you_mean, option, within,
};
use types::relations::RelationKind;

/// The lists of this test.
pub(crate) fn registry() -> Registry {
    Registry { sources: SOURCES, operators: OPERATORS, sinks: SINKS, alert: Some(ALERT) }
}

static SOURCES: &[SourceKind] = &[
    SourceKind { name: "csv", help: "rows of text", options: &[], format: Format::Csv },
    SourceKind {
        name: "jsonl",
        help: "an object a line",
        options: &[option("rows", Text, Need::Optional, "where the rows are")],
        format: Format::Jsonl,
    },
];

static SINKS: &[SinkKind] = &[SinkKind {
    name: "jsonl",
    help: "lines",
    options: &[
        option("path", Path, Need::Required, "the folder"),
        option("mode", Choice(&["final", "changes"]), Need::Default("final"), "what is written"),
        option("memory", Bytes, Need::Default("64MiB"), "how much is held"),
        option("pretty", Bool, Need::Default("false"), "with spaces"),
    ],
    check: |settings| match settings.text("path") {
        Some("/dev/null") => {
            vec![Problem::new(settings.place("path"), "wrong_value", "nothing would be kept")]
        }
        _ => Vec::new(),
    },
    open: |_| -> Result<Box<dyn Sink>, ConnectError> { Err(ConnectError::broken("a test's sink")) },
}];

static OPERATORS: &[&dyn Operator] = &[
    &Fake {
        name: "avg_cost",
        options: &[
            option("input", Input, Need::Required, "fills"),
            option(
                "oversell",
                Choice(&["short", "clamp", "error"]),
                Need::Default("short"),
                "what becomes of too large a sale",
            ),
            option("settlements", Input, Need::Optional, "payouts"),
        ],
        takes: &[("input", RelationKind::Fills), ("settlements", RelationKind::Settlements)],
        gives: &[
            ("", RelationKind::Positions),
            ("errors", RelationKind::Errors),
            ("breaks", RelationKind::Breaks),
        ],
    },
    &Fake {
        name: "filter",
        options: &[
            option("input", Input, Need::Required, "what is filtered"),
            option("where", Expression, Need::Required, "what stays"),
        ],
        takes: &[],
        gives: &[],
    },
    &Fake {
        name: "rollup",
        options: &[
            option("input", Input, Need::Required, "trades or fills"),
            option("sizes", Durations, Need::Default("[\"1m\", \"1h\", \"1d\"]"), "of the bars"),
            option("depth", Count(1, 9), Need::Default("3"), "levels"),
            option("by", Columns, Need::Optional, "what tells bars apart"),
            option("with", Assignments, Need::Optional, "more columns"),
        ],
        takes: &[("input", RelationKind::Fills)],
        gives: &[("", RelationKind::Bars)],
    },
    &Fake {
        name: "mark_to_market",
        options: &[
            option("positions", Input, Need::Required, "an avg_cost"),
            option("quotes", Input, Need::Optional, "what marks are made of"),
            option("snapshot", Duration, Need::Required, "the step"),
        ],
        takes: &[("positions", RelationKind::Positions), ("quotes", RelationKind::Quotes)],
        gives: &[("", RelationKind::Pnl), ("now", RelationKind::PnlNow)],
    },
];

static ALERT: &dyn Operator = &Fake {
    name: "alert",
    options: &[
        option("view", Input, Need::Required, "what is watched"),
        option("when", Expression, Need::Required, "what must hold"),
        option("severity", Choice(&["low", "high"]), Need::Default("low"), "how much it matters"),
        option("cooldown", DurationOrZero, Need::Default("0s"), "how long it rests"),
        option("rate_limit", Rate, Need::Optional, "how often it is told"),
    ],
    takes: &[],
    gives: &[("", RelationKind::Alerts)],
};

/// An operator with options, inputs and outputs, and nothing inside.
struct Fake {
    name: &'static str,
    options: &'static [OptionSpec],
    /// What its inputs must be; all may be anything where this is empty.
    takes: &'static [(&'static str, RelationKind)],
    /// What it gives; its input's rows where this is empty.
    gives: &'static [(&'static str, RelationKind)],
}

impl Operator for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn help(&self) -> &'static str {
        "does nothing"
    }

    fn options(&self) -> &'static [OptionSpec] {
        self.options
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        if !self.gives.is_empty() {
            let give = |(suffix, kind): &(&'static str, _)| Output::built_in(suffix, *kind);
            return Some(self.gives.iter().map(give).collect());
        }
        let input = plan.view(settings.text("input")?)?;
        let (kind, schema, is_keyed) = (input.kind, Arc::clone(&input.schema), input.is_keyed);
        Some(vec![Output { suffix: "", kind, schema, is_keyed }])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut inputs: Vec<Port> = Vec::new();
        let mut columns: Vec<String> = Vec::new();
        let mut is_whole = true;
        let is_input = |spec: &&OptionSpec| spec.kind == OptionKind::Input;
        for spec in self.options.iter().filter(is_input).filter(|spec| settings.has(spec.name)) {
            let Some(view) = plan.input(settings, spec.name, &mut problems) else {
                is_whole = false;
                continue;
            };
            let wanted = self.takes.iter().find(|(name, _)| *name == spec.name);
            if let Some((_, kind)) = wanted.filter(|(_, kind)| *kind != view.kind) {
                let message = format!("`{}` must be rows of {kind:?}", spec.name);
                problems.push(Problem::new(settings.place(spec.name), "wrong_input", message));
            }
            inputs.push(view.port);
            columns.extend(view.schema.columns.iter().map(|column| column.name.to_string()));
        }
        for spec in self.options.iter().filter(|spec| spec.kind == OptionKind::Expression) {
            problems.extend(expression(settings, spec.name, &columns));
        }
        let outputs = self.outputs(settings, plan);
        match outputs {
            Some(outputs) if is_whole && problems.is_empty() => {
                Ok(Prepared { inputs, outputs, build: Box::new(Nothing) })
            }
            _ => Err(problems),
        }
    }
}

/// Tells what doesn't parse, and names at the start of a text that are no column.
fn expression(settings: &Settings, option: &str, columns: &[String]) -> Option<Problem> {
    let text = settings.text(option)?;
    let place = settings.place(option);
    if let Err(error) = Expr::parse(text) {
        let place = within(&place, text, &error.at);
        return Some(Problem::new(place, "bad_expression", error.message));
    }
    let first = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    if columns.is_empty() || columns.iter().any(|column| column == first) {
        return None;
    }
    let message = format!("no column is named `{first}`");
    let mut problem =
        Problem::new(within(&place, text, &(0..first.len())), "bad_expression", message);
    problem.hint = did_you_mean(first, columns.iter().map(String::as_str));
    Some(problem)
}

struct Nothing;

impl Build for Nothing {
    fn build<'s>(&self, _context: &Context<'s, '_>, _inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        panic!("a config's test builds no dataflow")
    }
}
