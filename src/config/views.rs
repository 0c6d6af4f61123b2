//! `[views.NAME]` and `[alerts.NAME]`: operators, prepared in the order in which they read each
//! other.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::PlanBuilder;
use dataflows::operators::Operator;
use dataflows::plan::{Output, Port};
use types::Rate;
use types::options::{OptionKind, OptionSpec, Place, Problem, Setting, Settings, did_you_mean};
use types::relations::RelationKind;

use super::file::{Data, Part};
use super::options::{check_label, check_name, settings};
use super::relations::Relations;
use super::sections::VIEW;

/// The view that all rules feed.
pub(super) const ALERTS: &str = "alerts";

/// A view or alert whose options are read.
pub(super) struct Written {
    /// Its name in the plan: `positions`, `alerts.big_loss`.
    pub(super) name: String,
    /// Its operator; `None` where there is no such operator.
    operator: Option<&'static dyn Operator>,
    settings: Settings,
    /// Whether its options themselves are right.
    is_whole: bool,
    /// The relations and views that it reads, each with its place.
    pub(super) reads: Vec<(String, Place)>,
}

/// Reads the views.
pub(super) fn views(
    parts: &[Part],
    operators: &'static [&'static dyn Operator],
    relations: &Relations,
    problems: &mut Vec<Problem>,
) -> Vec<Written> {
    let mut views = Vec::new();
    for part in parts {
        check_name(&part.name, &part.place, problems);
        if relations.has(&part.name) || part.name == ALERTS {
            let whose = if part.name == ALERTS { "what the alerts find" } else { "a relation" };
            let message = format!("`{}` is the name of {whose}", part.name);
            let problem = Problem::new(part.place.clone(), "name_taken", message);
            problems.push(problem.hint("choose another name for the view"));
            continue;
        }
        let operator = operator(part, operators, problems);
        let what = format!("view `{}`", part.name);
        let mut tables: Vec<&'static [OptionSpec]> = vec![VIEW];
        let mut extras = Vec::new();
        match operator {
            Some(operator) => tables.push(operator.options()),
            // Which options it has isn't known, so each passes.
            None => extras.extend(part.entries.iter().map(|entry| entry.key.as_str())),
        }
        let n_problems = problems.len();
        let settings = settings(part, &what, &tables, &extras, problems);
        let is_whole = problems.len() == n_problems;
        let reads = operator.map(|operator| reads(operator, &settings)).unwrap_or_default();
        views.push(Written { name: part.name.clone(), operator, settings, is_whole, reads });
    }
    views
}

/// Reads the alerts; `operator` is the one that all of them use.
pub(super) fn alerts(
    parts: &[Part],
    operator: Option<&'static dyn Operator>,
    problems: &mut Vec<Problem>,
) -> Vec<Written> {
    let mut alerts = Vec::new();
    for part in parts {
        check_label(&part.name, &part.place, problems);
        let name = format!("{ALERTS}.{}", part.name);
        let rule = part.name.strip_suffix(".errors");
        if let Some(rule) = rule.filter(|rule| parts.iter().any(|part| part.name == *rule)) {
            let message = format!("`{name}` is the view of the errors of `{ALERTS}.{rule}`");
            let problem = Problem::new(part.place.clone(), "name_taken", message);
            problems.push(problem.hint("choose another name for the alert"));
        }
        let Some(operator) = operator else {
            let message = "this program was built without alerts";
            problems.push(Problem::new(part.place.clone(), "unknown_section", message));
            let settings = Settings::new(part.place.clone());
            let reads = Vec::new();
            alerts.push(Written { name, operator: None, settings, is_whole: false, reads });
            continue;
        };
        let what = format!("alert `{}`", part.name);
        let n_problems = problems.len();
        let mut settings = settings(part, &what, &[operator.options()], &[], problems);
        let is_whole = problems.len() == n_problems;
        // The rule's name is part of the key of what it finds.
        settings.set("rule", Setting::Text(part.name.clone()), part.place.clone());
        let reads = reads(operator, &settings);
        alerts.push(Written { name, operator: Some(operator), settings, is_whole, reads });
    }
    alerts
}

/// The rates of the rules that have one of their own.
pub(super) fn rates(alerts: &[Written]) -> BTreeMap<String, Rate> {
    let rate = |Written { settings, .. }: &Written| {
        Some((settings.text("rule")?.to_owned(), settings.rate("rate_limit")?))
    };
    alerts.iter().filter_map(rate).collect()
}

/// Warns of rules' rates that no sink goes by.
pub(super) fn unheard_rates(alerts: &[Written], is_heard: impl Fn(&str) -> bool) -> Vec<Problem> {
    let is_unheard = |alert: &&Written| {
        alert.settings.has("rate_limit") && !alert.settings.text("rule").is_some_and(&is_heard)
    };
    let rated = alerts.iter().filter(is_unheard);
    let warning = |alert: &Written| {
        let message = "no sink posts its alerts, so that `rate_limit` holds nothing back";
        let problem = Problem::new(alert.settings.place("rate_limit"), "unheard_rate", message);
        problem.hint("add a sink with `type = \"webhook\"`, or leave it out")
    };
    rated.map(warning).collect()
}

fn operator(
    part: &Part,
    operators: &'static [&'static dyn Operator],
    problems: &mut Vec<Problem>,
) -> Option<&'static dyn Operator> {
    let item = part.get("op")?;
    let Data::Text(name) = &item.data else { return None };
    let found = operators.iter().find(|operator| operator.name() == name);
    if found.is_none() {
        let message = format!("no operator is named `{name}`");
        let mut problem = Problem::new(item.place.clone(), "unknown_operator", message);
        problem.hint = did_you_mean(name, operators.iter().map(|operator| operator.name()));
        problems.push(problem);
    }
    found.copied()
}

/// The relations and views that an operator's options name.
fn reads(operator: &dyn Operator, settings: &Settings) -> Vec<(String, Place)> {
    let inputs = operator.options().iter().filter(|spec| spec.kind == OptionKind::Input);
    let named = inputs
        .filter_map(|spec| Some((settings.text(spec.name)?.to_owned(), settings.place(spec.name))));
    named.collect()
}

/// Tells who reads alerts: they are made of views, after all of them.
pub(super) fn tell_readers(
    views: &[Written],
    alerts: &[Written],
    builder: &mut PlanBuilder,
    problems: &mut Vec<Problem>,
) {
    let by_views = views.iter().flat_map(|view| &view.reads);
    let by_rules = alerts.iter().flat_map(|alert| &alert.reads);
    for (name, place) in by_views.chain(by_rules).filter(|(name, _)| is_of_alerts(name)) {
        let message = format!("`{name}` can't be an input: it is for sinks and readers alone");
        let problem = Problem::new(place.clone(), "wrong_input", message);
        problems.push(problem.hint("read what the rule watches, with its condition in a `filter`"));
        // So that nobody says that there is no such view.
        builder.add_broken(name, "alert", None);
    }
}

/// Whether a name is that of alerts, be it of all rules, of one, or of one's errors.
fn is_of_alerts(name: &str) -> bool {
    name.strip_prefix(ALERTS).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Adds views to a plan, each after what it reads.
pub(super) fn prepare(views: &[Written], builder: &mut PlanBuilder, problems: &mut Vec<Problem>) {
    for index in in_order(views, builder, problems) {
        if let Some(view) = views.get(index) {
            prepare_one(view, builder, problems);
        }
    }
}

/// Adds alerts to a plan, and the view that all of them feed.
pub(super) fn prepare_alerts(
    alerts: &[Written],
    builder: &mut PlanBuilder,
    problems: &mut Vec<Problem>,
) {
    let mut ports: Vec<Port> = Vec::new();
    for alert in alerts {
        if alert.reads.iter().any(|(name, _)| is_of_alerts(name)) {
            // As was told.
            builder.add_broken(&alert.name, "alert", None);
            continue;
        }
        prepare_one(alert, builder, problems);
        ports.extend(builder.view(&alert.name).map(|view| view.port));
    }
    if alerts.is_empty() {
        return;
    }
    if ports.is_empty() {
        let outputs = vec![Output::built_in("", RelationKind::Alerts)];
        builder.add_broken(ALERTS, "alert", Some(outputs));
    } else {
        builder.add(ALERTS, "alert", dataflows::operators::union::alerts(ports));
    }
}

fn prepare_one(view: &Written, builder: &mut PlanBuilder, problems: &mut Vec<Problem>) {
    let Some(operator) = view.operator else {
        builder.add_broken(&view.name, "unknown", None);
        return;
    };
    match operator.prepare(&view.settings, builder) {
        Ok(prepared) => builder.add(&view.name, operator.name(), prepared),
        Err(mut found) => {
            // What is told of the whole part only repeats that an option is missing or wrong.
            found.retain(|problem| view.is_whole || problem.place != view.settings.place);
            problems.extend(found);
            let outputs = operator.outputs(&view.settings, builder);
            builder.add_broken(&view.name, operator.name(), outputs);
        }
    }
}

/// Where a walk over what views read has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unseen,
    Open,
    Done,
}

/// The views' indices, each after what it reads. Cycles are told; what is part of one is left out
/// and counts as broken.
fn in_order(
    views: &[Written],
    builder: &mut PlanBuilder,
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    let index: BTreeMap<&str, usize> =
        views.iter().enumerate().map(|(i, view)| (view.name.as_str(), i)).collect();
    let mut walk = Walk {
        views,
        index,
        states: vec![State::Unseen; views.len()],
        order: Vec::new(),
        cyclic: BTreeSet::new(),
        problems,
    };
    for start in 0..views.len() {
        walk.visit(start);
    }
    let Walk { order, cyclic, .. } = walk;
    for view in &cyclic {
        if let Some(view) = views.get(*view) {
            builder.add_broken(&view.name, "cycle", None);
        }
    }
    order.into_iter().filter(|view| !cyclic.contains(view)).collect()
}

struct Walk<'a> {
    views: &'a [Written],
    index: BTreeMap<&'a str, usize>,
    states: Vec<State>,
    order: Vec<usize>,
    cyclic: BTreeSet<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// Walks from one view to all that it reads. A stack of its own, since a config may chain
    /// thousands of views.
    fn visit(&mut self, start: usize) {
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((view, next)) = path.last_mut() {
            let view = *view;
            if *next == 0 {
                if self.states.get(view) == Some(&State::Done) {
                    path.pop();
                    continue;
                }
                self.set(view, State::Open);
            }
            let read = self.read(view, *next);
            *next += 1;
            match read {
                Some((Some(input), place)) => match self.states.get(input) {
                    Some(State::Unseen) => path.push((input, 0)),
                    Some(State::Open) => self.tell_cycle(&path, input, place),
                    Some(State::Done) | None => {}
                },
                Some((None, _)) => {}
                None => {
                    self.set(view, State::Done);
                    self.order.push(view);
                    path.pop();
                }
            }
        }
    }

    /// What a view reads in its n-th input: a view's index, or something else.
    fn read(&self, view: usize, n: usize) -> Option<(Option<usize>, &'a Place)> {
        let views: &'a [Written] = self.views;
        let (name, place) = views.get(view)?.reads.get(n)?;
        Some((self.index.get(base_name(name)).copied(), place))
    }

    fn set(&mut self, view: usize, state: State) {
        if let Some(known) = self.states.get_mut(view) {
            *known = state;
        }
    }

    fn tell_cycle(&mut self, path: &[(usize, usize)], back_to: usize, place: &Place) {
        let circle: Vec<usize> =
            path.iter().map(|(view, _)| *view).skip_while(|view| *view != back_to).collect();
        let name = |view: &usize| self.views.get(*view).map_or("", |view| view.name.as_str());
        let mut names: Vec<&str> = circle.iter().map(name).collect();
        names.extend(circle.first().map(name));
        let message = format!("view reads itself: {}", names.join(" reads "));
        let problem = Problem::new(place.clone(), "cycle", message);
        self.problems.push(problem.hint("let one of them read a relation or another view"));
        self.cyclic.extend(circle);
    }
}

/// The view that a name is an output of: `positions` of `positions.errors`.
fn base_name(name: &str) -> &str {
    name.split_once('.').map_or(name, |(view, _)| view)
}

/// Whether a plan shows the texts of ids: a view that is emitted, or an expression that may read
/// them.
pub(super) fn keeps_id_texts(plan: &dataflows::Plan) -> bool {
    let shows = |kind| {
        use RelationKind::{Alerts, Fills, Rows, Trades};
        matches!(kind, Fills | Trades | Rows | Alerts)
    };
    let reads = |operator: Option<&str>| {
        let by_keys = ["avg_cost", "features", "latest", "mark_to_market", "rollup"];
        operator.is_some_and(|operator| !by_keys.contains(&operator))
    };
    plan.emitted_views().any(|view| shows(view.kind))
        || plan.views.iter().any(|view| reads(view.operator))
}
