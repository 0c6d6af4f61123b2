//! `alert`: where a rule's condition becomes true.
//!
//! A row is one firing. Per entity the rule sees rows in event order: of views with a time all of
//! them, bars once they are final; of positions the rows as of each step of `every` before which they
//! changed, with the step as their time. It fires at a row where `when` is true, was not true at the
//! entity's row before, and at least `cooldown` has passed since its last firing; it resolves at the
//! next row where `when` isn't true. Null isn't true, and a number that doesn't fit counts as null: its
//! row stands in `<view>.errors` for as long as the rule sees it. A condition that becomes true inside the
//! cooldown is passed over for good: it fires again only after a row where it isn't true. Two firings with
//! the same time and id are one, as the later says.
//!
//! With `for` it fires at the first row by which the condition has been true of all rows for so long,
//! from the time of the first of them on; there are no timers. With `resolve_when` it resolves at the
//! next row where that is true, and a condition that becomes true meanwhile is passed over.
//!
//! All rows are kept, because a late or removed one re-evaluates what comes after it, up to where the
//! rule stands as it stood before: an alert whose cause is gone is taken back.

mod entity;
mod errors;
mod rule;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use types::expr::Compiled;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, did_you_mean, option};
use types::relations::{RelationKind, Severity};
use types::{Names, Schema, Span, Text};

use self::errors::Faults;
use self::rule::Rule;
use self::template::Template;
use crate::edge::Edge;
use crate::operators::Operator;
use crate::operators::expressions::condition;
use crate::operators::latest::{columns, no_time};
use crate::operators::ordered::Order;
use crate::operators::steps::{grid, published};
use crate::plan::{Build, Context, Output, PlanBuilder, Port, Prepared, View};
use crate::with_edge;

/// The operator behind `[alerts.NAME]`; views can't name it. Beside its options it reads the text
/// `rule`, the rule's name.
pub static ALERT: &dyn Operator = &Alerts;

struct Alerts;

const OPTIONS: &[OptionSpec] = &[
    option("view", OptionKind::Input, Need::Required, "what the rule watches"),
    option("when", OptionKind::Expression, Need::Required, "the condition that fires the rule"),
    option(
        "severity",
        OptionKind::Choice(Severity::WORDS),
        Need::Default("medium"),
        "how much it matters",
    ),
    option(
        "severity_when",
        OptionKind::Assignments,
        Need::Optional,
        "conditions by severity, `{ high = \"size > 100\" }`: the first that is true of the row that fires \
         goes before `severity`",
    ),
    option(
        "cooldown",
        OptionKind::DurationOrZero,
        Need::Default("0s"),
        "event time that must pass between two firings of an entity",
    ),
    option(
        "rate_limit",
        OptionKind::Rate,
        Need::Optional,
        "alerts that each webhook posts in a length of time of the clock, whatever its own `rate_limit`; it \
         holds back messages, never rows",
    ),
    option(
        "for",
        OptionKind::DurationOrZero,
        Need::Default("0s"),
        "event time for which the condition must have been true, row by row, before it fires",
    ),
    option(
        "resolve_when",
        OptionKind::Expression,
        Need::Optional,
        "the condition that ends a firing; that `when` isn't true any more where not given",
    ),
    option(
        "message",
        OptionKind::Text,
        Need::Optional,
        "the text of an alert, with `{column}` for values of the row that fires",
    ),
    option(
        "every",
        OptionKind::Duration,
        Need::Optional,
        "for positions, which have no time of their own: the steps at which they are looked at",
    ),
    option(
        "entity",
        OptionKind::Columns,
        Need::Optional,
        "whom an alert is about; the view's key without time and id where not given",
    ),
];

impl Operator for Alerts {
    fn name(&self) -> &'static str {
        "alert"
    }

    fn help(&self) -> &'static str {
        "the rows at which a condition becomes true"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let view = plan.input(settings, "view", &mut Vec::new())?;
        Some(vec![Output::built_in("", RelationKind::Alerts), errors::output(view)])
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let view = plan.input(settings, "view", &mut problems).cloned();
        let place = settings.place("when");
        let text = settings.text("when").unwrap_or_default();
        let when = condition(text, &place, view.as_ref(), &mut problems);
        let place = settings.place("resolve_when");
        let resolve_when = settings
            .text("resolve_when")
            .and_then(|text| condition(text, &place, view.as_ref(), &mut problems));
        let severities = severities(settings, view.as_ref(), &mut problems);
        let Some(view) = view else { return Err(problems) };
        let place = settings.place("message");
        let template = settings
            .text("message")
            .and_then(|text| Template::parse(text, &place, &view, &mut problems));
        let port = port(&view, settings, plan, &mut problems);
        let entity = entity(&view, settings, &mut problems);
        let (Some(port), Some(when), true) = (port, when, problems.is_empty()) else {
            return Err(problems);
        };
        let severity = settings.text("severity").and_then(Severity::from_word);
        let build = Watch {
            name: Text::from(settings.text("rule").unwrap_or("alert")),
            severity: severity.unwrap_or(Severity::Medium),
            severities,
            cooldown: settings.nanos("cooldown").unwrap_or_default(),
            hold: settings.nanos("for").unwrap_or_default(),
            resolve_when,
            template,
            every: settings.duration("every"),
            text: text.to_owned(),
            when,
            entity,
            is_keyed: view.is_keyed,
            schema: Arc::clone(&view.schema),
        };
        let outputs = self.outputs(settings, plan).unwrap_or_default();
        Ok(Prepared { inputs: vec![port], outputs, build: Box::new(build) })
    }
}

/// The conditions by severity, in the order of the file.
fn severities(
    settings: &Settings,
    view: Option<&View>,
    problems: &mut Vec<Problem>,
) -> Vec<(Severity, Compiled)> {
    let mut severities = Vec::new();
    for (word, text, place) in settings.assignments("severity_when") {
        let when = condition(text, place, view, problems);
        let Some(severity) = Severity::from_word(word) else {
            let message = format!("`{word}` is no severity");
            let mut problem = Problem::new(place.clone(), "wrong_value", message);
            problem.hint = did_you_mean(word, Severity::WORDS.iter().copied());
            problems.push(problem);
            continue;
        };
        severities.extend(when.map(|when| (severity, when)));
    }
    severities
}

/// Where the rule's rows come from: the view itself, or its steps.
fn port(
    view: &View,
    settings: &Settings,
    plan: &mut PlanBuilder,
    problems: &mut Vec<Problem>,
) -> Option<Port> {
    let every = grid(settings, "every", problems);
    if view.kind != RelationKind::Positions {
        if every.is_some() {
            let message = format!("`every` is for positions, but `{}` has times", view.name);
            let problem = Problem::new(settings.place("every"), "wrong_option", message);
            problems.push(problem.hint("leave it out: the rule sees each row"));
        }
        if view.schema.time.is_none() {
            problems.push(no_time(view, settings, "view"));
        }
        return Some(view.port);
    }
    let Some(every) = every else {
        let message = "a rule over positions needs `every`: they have no time of their own";
        let problem = Problem::new(settings.place("view"), "missing_option", message);
        problems.push(problem.hint("add `every = \"5m\"`"));
        return None;
    };
    let port = plan.steps_of(view, every);
    if port.is_none() {
        let message = format!("`{}` isn't a view of op `avg_cost`", view.name);
        problems.push(Problem::new(settings.place("view"), "wrong_input", message));
    }
    port
}

/// The columns that say whom an alert is about.
fn entity(view: &View, settings: &Settings, problems: &mut Vec<Problem>) -> Vec<usize> {
    if settings.has("entity") {
        return columns(settings, "entity", view, problems);
    }
    let schema = &view.schema;
    let is_entity = |index: &usize| {
        Some(*index) != schema.time && schema.columns.get(*index).is_some_and(|c| c.name != "id")
    };
    (0..schema.n_key).filter(is_entity).collect()
}

/// The operator with its options settled.
struct Watch {
    name: Text,
    severity: Severity,
    severities: Vec<(Severity, Compiled)>,
    /// Nanoseconds, as `hold`.
    cooldown: i64,
    hold: i64,
    resolve_when: Option<Compiled>,
    template: Option<Template>,
    /// The grid at whose steps positions are looked at.
    every: Option<Span>,
    /// The condition as written.
    text: String,
    when: Compiled,
    entity: Vec<usize>,
    /// Whether the view holds at most one row of a key.
    is_keyed: bool,
    schema: Arc<Schema>,
}

impl Watch {
    fn rule(&self, names: &Arc<Names>) -> Rule {
        let mut rule = Rule {
            name: self.name.clone(),
            severity: self.severity,
            severities: self.severities.clone(),
            cooldown: self.cooldown,
            hold: self.hold,
            resolve_when: self.resolve_when.clone(),
            template: self.template.clone(),
            text: self.text.clone(),
            when: self.when.clone(),
            entity: self.entity.clone(),
            id: self.schema.index("id"),
            n_kept: 0,
            is_sole: false,
            order: Order::new(&self.schema, names),
        };
        rule.n_kept = rule.n_read();
        rule.is_sole = self.is_keyed && rule.order.tells_apart(&rule.entity);
        rule
    }
}

/// The output of the rows that can't be judged.
const ERRORS: usize = 1;

impl Build for Watch {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a rule reads one view") };
        let rule = self.rule(&context.names);
        let seen = rule.clone();
        let name = format!("alert {}", context.view);
        let is_read = context.is_read.get(ERRORS).copied().unwrap_or(true);
        let faults = if is_read { Faults::of(self, &context.names) } else { None };
        let (alerts, errors) = match input.clone() {
            Edge::Steps(steps) => {
                let steps = match self.every {
                    Some(every) => published(steps, every, context),
                    None => steps,
                };
                let errors = faults.map(|faults| {
                    let rows = steps.clone();
                    rows.flat_map(move |row| faults.row(&row.position, Some(row.step)))
                });
                let rows = steps.map(move |row| seen.see(row.position, row.step));
                (rule.alerts(rows, &name), errors)
            }
            Edge::Bars(bars) => {
                let errors = faults.map(|faults| {
                    let bars = bars.clone().filter(|bar| bar.is_final);
                    bars.flat_map(move |bar| faults.row(&bar, None))
                });
                let rows = bars.flat_map(move |bar| {
                    let bar = Some(bar).filter(|bar| bar.is_final)?;
                    let time = seen.order.time(&bar)?;
                    Some(seen.see(bar, time))
                });
                (rule.alerts(rows, &name), errors)
            }
            other => with_edge!(other, rows => {
                let errors = faults.map(|faults| {
                    let order = rule.order.clone();
                    let rows = rows.clone().filter(move |row| order.time(row).is_some());
                    rows.flat_map(move |row| faults.row(&row, None))
                });
                let rows = rows.flat_map(move |row| {
                    let time = seen.order.time(&row)?;
                    Some(seen.see(row, time))
                });
                (rule.alerts(rows, &name), errors)
            }),
        };
        let errors = errors.unwrap_or_else(|| errors::none(context.scope));
        vec![Edge::Alerts(alerts), Edge::Rows(errors)]
    }
}
