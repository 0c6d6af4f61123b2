//! Options to dataflow.

use std::sync::Arc;

use detectors::{COLUMNS_MAX, Kind, Model, Options};
use types::options::{Problem, Settings, did_you_mean};
use types::relations::RelationKind;
use types::schema::Column;

use super::judge::Judge;
use super::layout::{Layout, added};
use super::operator;
use super::scores::Settled;
use crate::edge::Edge;
use crate::operators::declared::declared;
use crate::operators::latest::{columns, no_time};
use crate::operators::ordered::is_of_row;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, Scoring, View};

/// Settles the options.
pub(super) fn prepare(settings: &Settings, plan: &PlanBuilder) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let explain_from = explain_from(settings, &mut problems);
    let settled = settle(settings, plan, &mut problems);
    let of_input = settled.as_ref().map(|(input, _)| input);
    let refit_on = of_input.and_then(|input| refit_on(settings, input, &mut problems));
    let (Some((input, layout)), true) = (settled, problems.is_empty()) else {
        return Err(problems);
    };
    let options = options(settings);
    let outputs = outputs(&layout);
    let is_by_key = settings.text("scope") == Some("key");
    let is_normalised = !is_by_key && !takes_as_they_are(settings) && !layout.by.is_empty();
    // Of several keys the values before a row are no past of its own.
    let model = if is_normalised { Model::of_units } else { Model::new };
    let empty = model(&options, layout.measured.len()).map_err(|error| {
        vec![Problem::new(settings.place.clone(), "wrong_value", error.to_string())]
    })?;
    let name = |index: &usize| input.schema.columns.get(*index).map(|c| c.name.to_string());
    let names = |columns: &[usize]| columns.iter().filter_map(name).collect::<Vec<String>>();
    let scoring = Scoring {
        options,
        explain_from,
        columns: names(&layout.measured),
        lists_columns: settings.has("columns"),
        refit_on: refit_on.as_ref().and_then(name),
        by: names(&layout.by),
        is_by_key,
        is_normalised,
        forget_after: settings.duration("forget_after"),
    };
    let build = Judged {
        scoring,
        empty,
        settled: Settled {
            is_by_key,
            is_normalised,
            revise_within: settings.nanos("revise_within").unwrap_or_default(),
            forget_after: settings.duration("forget_after"),
            judge: Judge { layout, explain_from, refit_on },
        },
    };
    Ok(Prepared { inputs: vec![input.port], outputs, build: Box::new(build) })
}

/// The scores, and the changes that came too late.
pub(super) fn outputs(layout: &Layout) -> Vec<Output> {
    let output = |suffix, schema: types::Schema| Output {
        suffix,
        kind: RelationKind::Rows,
        schema: schema.shared(),
        is_keyed: true,
    };
    vec![output("", layout.schema()), output("stale", layout.stale_schema())]
}

/// What is read, and what rows are like; `None` without an input.
pub(super) fn settle(
    settings: &Settings,
    plan: &PlanBuilder,
    problems: &mut Vec<Problem>,
) -> Option<(View, Layout)> {
    let input = plan.input(settings, "input", problems)?.clone();
    if input.schema.time.is_none() {
        problems.push(no_time(&input, settings, "input"));
    } else if !input.is_keyed {
        let message =
            format!("rows of `{}` have no key, so scores couldn't be told apart", input.name);
        let problem = Problem::new(settings.place("input"), "wrong_input", message);
        problems.push(problem.hint("name features of it"));
    } else if !(0..input.schema.n_key).any(|index| is_of_row(&input.schema, index)) {
        let message = format!("each row of `{}` takes the place of the one before", input.name);
        let problem = Problem::new(settings.place("input"), "wrong_input", message);
        problems.push(
            problem.hint("name something that keeps its rows: their key has a time or an id"),
        );
    }
    let schema = &input.schema;
    for name in added().filter(|name| schema.index(name).is_some()) {
        let message = format!("`{}` has a column `{name}` already", input.name);
        let problem = Problem::new(settings.place("input"), "wrong_input", message);
        problems.push(problem.hint("give it another name with `op = \"select\"`"));
    }
    let measured = measured(settings, &input, problems);
    let by = if settings.has("by") {
        columns(settings, "by", &input, problems)
    } else {
        Layout::entity(schema)
    };
    check_normalise(settings, problems);
    check_forget_after(settings, (&input, &by), problems);
    check_by(settings, &input, problems);
    let length = (input.kind == RelationKind::Bars).then(|| schema.index("size")).flatten();
    let layout = Layout { input: Arc::clone(schema), measured, by, length };
    Some((input, layout))
}

/// Checks that `by` names columns that say whom a row is about.
fn check_by(settings: &Settings, input: &View, problems: &mut Vec<Problem>) {
    let schema = &input.schema;
    for (name, place) in settings.list("by") {
        let Some(index) = schema.index(name) else { continue };
        if Some(index) == schema.time {
            let message = format!("`{name}` says when a row happened, not whom it is about");
            let problem = Problem::new(place.clone(), "wrong_column", message);
            problems.push(problem.hint("leave it out: each row would be the first of its key"));
        } else if index >= schema.n_key {
            let message = format!("`{name}` is no part of the key of `{}`", input.name);
            let known: Vec<&str> = schema.key().iter().map(|column| column.name.as_ref()).collect();
            let problem = Problem::new(place.clone(), "wrong_column", message);
            problems.push(problem.hint(format!("some of {}", known.join(", "))));
        }
    }
}

/// The column whose new values ask for a fit.
fn refit_on(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> Option<usize> {
    let name = settings.text("refit_on")?;
    let index = input.schema.index(name);
    if index.is_none() {
        let message = format!("`{}` has no column `{name}`", input.name);
        let mut problem = Problem::new(settings.place("refit_on"), "unknown_column", message);
        let known = input.schema.columns.iter().map(|column| column.name.as_ref());
        problem.hint = did_you_mean(name, known);
        problems.push(problem);
    }
    index
}

/// Whether numbers are taken as they are, not in units of their key's own.
fn takes_as_they_are(settings: &Settings) -> bool {
    settings.has("normalise") && !settings.flag("normalise")
}

/// Checks that `normalise` and what stands beside it say something.
fn check_normalise(settings: &Settings, problems: &mut Vec<Problem>) {
    if settings.text("scope") == Some("key") {
        if settings.has("normalise") {
            let message = "`normalise` says nothing where each key has a model of its own";
            let problem = Problem::new(settings.place("normalise"), "wrong_option", message);
            problems.push(problem.hint("leave out `normalise`, or take out `scope = \"key\"`"));
        }
    } else if settings.has("by") && takes_as_they_are(settings) {
        let message = "`by` says nothing where one model takes all numbers as they are";
        let problem = Problem::new(settings.place("by"), "wrong_option", message);
        problems.push(problem.hint("leave out `by`, or take out `normalise = false`"));
    }
}

/// Checks that there are keys to be forgotten.
fn check_forget_after(
    settings: &Settings,
    (input, by): (&View, &[usize]),
    problems: &mut Vec<Problem>,
) {
    if !settings.has("forget_after") || settings.text("scope") == Some("key") {
        return;
    }
    let (message, hint) = if takes_as_they_are(settings) {
        let message = "`forget_after` says nothing where one model takes all numbers as they are";
        (message.to_owned(), "leave out `forget_after`, or take out `normalise = false`")
    } else if by.is_empty() && settings.list("by").is_empty() {
        let message =
            format!("no column tells keys of `{}` apart, so none is forgotten", input.name);
        (message, "leave out `forget_after`")
    } else {
        return;
    };
    let problem = Problem::new(settings.place("forget_after"), "wrong_option", message);
    problems.push(problem.hint(hint));
}

/// The columns that are looked at.
fn measured(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> Vec<usize> {
    let schema = &input.schema;
    let listed = columns(settings, "columns", input, problems);
    for (name, place) in settings.list("columns") {
        let column = schema.columns.iter().find(|column| column.name == name.as_str());
        if column.is_some_and(|column| !Layout::is_number(column)) {
            let message = format!("`{name}` holds no numbers");
            problems.push(Problem::new(place.clone(), "wrong_column", message));
        }
    }
    // What says where a row stands, or how much of its key's past there is, measures nothing.
    let refit_on = settings.text("refit_on");
    let is_measure = |column: &Column| {
        let name = column.name.as_ref();
        // A join puts its prefix only before a name that the other side has as well.
        let is_behind = |other: &Column| {
            let prefix = name.strip_suffix(other.name.as_ref());
            prefix.is_some_and(|prefix| !prefix.is_empty()) && is_place(&other.name)
        };
        let is_place = is_place(name) || schema.columns.iter().any(is_behind);
        Layout::is_number(column) && !is_place && Some(name) != refit_on
    };
    let is_free = |index: &usize| schema.columns.get(*index).is_some_and(is_measure);
    let measured: Vec<usize> = if settings.has("columns") {
        listed
    } else {
        (schema.n_key..schema.columns.len()).filter(is_free).collect()
    };
    if measured.is_empty() && !settings.has("columns") {
        let message = format!("`{}` has no numbers beside its key", input.name);
        problems.push(Problem::new(settings.place("input"), "wrong_input", message));
    }
    if measured.len() > COLUMNS_MAX {
        let message = format!("`{}` has more than {COLUMNS_MAX} columns of numbers", input.name);
        let problem = Problem::new(settings.place("input"), "too_many", message);
        problems.push(problem.hint("list some in `columns`"));
    }
    measured
}

/// Whether a column of this name says where a row stands.
fn is_place(name: &str) -> bool {
    matches!(name, "seq" | "revision" | "age") || name.starts_with("covered_")
}

/// The score from which on rows say why.
fn explain_from(settings: &Settings, problems: &mut Vec<Problem>) -> f64 {
    let text = settings.text("explain_from").unwrap_or_default();
    match text.parse::<f64>() {
        Ok(score) if (0.0..=1.0).contains(&score) => score,
        _ => {
            let message = format!("`{text}` is no score");
            let problem = Problem::new(settings.place("explain_from"), "wrong_value", message);
            problems.push(problem.hint("from \"0\" to \"1\""));
            1.0
        }
    }
}

fn options(settings: &Settings) -> Options {
    let count = |name| settings.count(name);
    let warm_up = count("warm_up").and_then(|rows| usize::try_from(rows).ok());
    let defaults = Options::default();
    Options {
        kind: match settings.text("detector") {
            Some("robust_z") => Kind::RobustZ,
            Some("loda") => Kind::Loda,
            Some("forest") => Kind::Forest,
            _ => Kind::Combined,
        },
        seed: count("seed").unwrap_or(defaults.seed),
        warm_up: warm_up.unwrap_or(defaults.warm_up),
        refit_ns: settings.duration("refit").map(types::Span::nanos),
        ..defaults
    }
}

/// The operator with its options settled. Bars count once they are final.
struct Judged {
    settled: Settled,
    scoring: Scoring,
    empty: Model,
}

impl Build for Judged {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("scores are of one view") };
        let schema = &self.settled.judge.layout.input;
        let rows = match input {
            Edge::Bars(bars) => {
                let finals = Edge::Bars(bars.clone().filter(|bar| bar.is_final));
                declared(&finals, schema, &context.names)
            }
            other => declared(other, schema, &context.names),
        };
        let state = (self.settled.clone(), self.empty.clone());
        operator::build(rows, context, state).map(Edge::Rows).into()
    }

    fn scoring(&self) -> Option<&Scoring> {
        Some(&self.scoring)
    }

    fn depends_on_arrival(&self) -> bool {
        true
    }
}
