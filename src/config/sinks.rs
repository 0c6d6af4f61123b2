//! `[sinks.NAME]` and `[server]`: which views leave the dataflow, and where to.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use connectors::SinkKind;
use dataflows::PlanBuilder;
use dataflows::plan::{Plan, View};
use types::Rate;
use types::options::{OptionSpec, Place, Problem, Settings, did_you_mean};
use types::relations::RelationKind;

use super::file::{Data, Part};
use super::options::{check_label, settings};
use super::plan::{ServerPlan, SinkPlan};
use super::sections::{SERVER, SINK};
use super::views::ALERTS;

/// A sink whose views are names still.
pub(super) struct Sink {
    name: String,
    kind: Option<&'static SinkKind>,
    settings: Settings,
    /// Names and places; `None` for all keyed views.
    views: Option<Vec<(String, Place)>>,
}

/// A server whose views aren't known yet.
pub(super) struct Server {
    listen: SocketAddr,
    retain_nanos: i64,
    origins: Vec<String>,
}

impl Sink {
    /// The views that it names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.views.iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its options as written.
    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name of its kind.
    pub(super) fn kind_name(&self) -> Option<&'static str> {
        self.kind.map(|kind| kind.name)
    }

    /// The options of its kind.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static OptionSpec> {
        self.kind.into_iter().flat_map(|kind| kind.options)
    }

    /// Whether it writes a view; without a list it writes all that are shown.
    pub(super) fn writes(&self, view: &str, builder: &PlanBuilder) -> bool {
        match &self.views {
            Some(_) => self.names().any(|name| name == view),
            None => builder.view(view).is_some_and(is_shown),
        }
    }

    /// Whether some view goes to it and to another.
    pub(super) fn shares_views(&self, other: &Self, builder: &PlanBuilder) -> bool {
        self.views.is_none() && other.views.is_none()
            || self.names().any(|view| other.writes(view, builder))
            || other.names().any(|view| self.writes(view, builder))
    }

    /// Whether it tells a rule's alerts no more often than it may.
    pub(super) fn limits_alerts(&self, rule: &str) -> bool {
        let has_rate = |kind: &SinkKind| kind.options.iter().any(|o| o.name == "rate_limit");
        let is_told = |name: &str| match name.strip_prefix(ALERTS) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('.') == Some(rule),
            None => false,
        };
        (self.views.is_none() || self.names().any(is_told)) && self.kind.is_none_or(has_rate)
    }

    /// Warns of its rate, where it gets no alerts to hold back.
    pub(super) fn unheard_rate(&self) -> Option<Problem> {
        if self.is_told_alerts() || !self.settings.has("rate_limit") {
            return None;
        }
        let message =
            "the sink's `views` are without `alerts`, so that `rate_limit` holds nothing back";
        let problem = Problem::new(self.settings.place("rate_limit"), "unheard_rate", message);
        Some(problem.hint("list `alerts`, or leave it out"))
    }

    /// Warns of an age that holds nothing back, where alerts of any age are posted.
    pub(super) fn unheard_age(&self) -> Option<Problem> {
        let place = self.settings.place("max_age");
        let is_written = place != self.settings.place;
        if !self.settings.flag("replay") || !is_written {
            return None;
        }
        let message = "with `replay = true` alerts of any age are posted, so that `max_age` holds nothing back";
        let problem = Problem::new(place, "unheard_age", message);
        Some(problem.hint("leave one of them out"))
    }

    fn is_told_alerts(&self) -> bool {
        let is_alerts = |name: &str| {
            // A rule's errors are no alerts.
            let rule = name.strip_prefix(ALERTS).map(|rest| rest.strip_prefix('.').ok_or(rest));
            rule.is_some_and(|rule| {
                rule.map_or_else(str::is_empty, |rule| !rule.ends_with(".errors"))
            })
        };
        self.views.is_none() || self.names().any(is_alerts)
    }
}

/// Reads a sink.
pub(super) fn sink(part: &Part, kinds: &'static [SinkKind], problems: &mut Vec<Problem>) -> Sink {
    check_label(&part.name, &part.place, problems);
    let what = format!("sink `{}`", part.name);
    let kind = kind(part, kinds, problems);
    let mut tables: Vec<&'static [OptionSpec]> = vec![SINK];
    let mut extras = Vec::new();
    match kind {
        Some(kind) => tables.push(kind.options),
        // Which options it has isn't known, so each passes.
        None => extras.extend(part.entries.iter().map(|entry| entry.key.as_str())),
    }
    let read = settings(part, &what, &tables, &extras, problems);
    if let Some(kind) = kind {
        problems.extend((kind.check)(&read));
    }
    let views = read.has("views").then(|| read.list("views").to_vec());
    Sink { name: part.name.clone(), kind, settings: read, views }
}

fn kind(
    part: &Part,
    kinds: &'static [SinkKind],
    problems: &mut Vec<Problem>,
) -> Option<&'static SinkKind> {
    let item = part.get("type")?;
    let Data::Text(name) = &item.data else { return None };
    let found = kinds.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let message = format!("no kind of sink is named `{name}`");
        let mut problem = Problem::new(item.place.clone(), "unknown_type", message);
        problem.hint = did_you_mean(name, kinds.iter().map(|kind| kind.name));
        problems.push(problem);
    }
    found
}

/// Reads the server.
pub(super) fn server(part: &Part, problems: &mut Vec<Problem>) -> Option<Server> {
    let read = settings(part, "the server", &[SERVER], &[], problems);
    let written = read.text("listen")?;
    let retain_nanos = read.nanos("retain")?;
    let origins = read.list("origins").iter().map(|(origin, _)| origin.clone()).collect();
    let place = read.place("listen");
    let Ok(listen) = written.parse::<SocketAddr>() else {
        let message = format!("`{written}` isn't an address and port");
        let problem = Problem::new(place, "wrong_value", message);
        problems.push(problem.hint("write \"127.0.0.1:8080\" or \"[::1]:8080\""));
        return None;
    };
    if !listen.ip().is_loopback() {
        let message = format!("`{written}` isn't a loopback address");
        let hint = "there is no login yet, so only this machine may read: \"127.0.0.1:8080\"";
        problems.push(Problem::new(place, "not_loopback", message).hint(hint));
    }
    Some(Server { listen, retain_nanos, origins })
}

/// Tells what sinks can't write.
pub(super) fn check_views(sinks: &[Sink], builder: &PlanBuilder, problems: &mut Vec<Problem>) {
    for (name, place) in sinks.iter().flat_map(|sink| sink.views.iter().flatten()) {
        match builder.view(name) {
            Some(view) => problems.extend(not_keyed(view, place)),
            None if builder.has(name) => {}
            None => problems.push(unknown(name, place, builder)),
        }
    }
}

/// Tells that a view can't be held, since many of its rows have one key.
pub(super) fn not_keyed(view: &View, place: &Place) -> Option<Problem> {
    if view.is_keyed {
        return None;
    }
    let message = format!("many rows of `{}` have one key", view.name);
    let hint = "put a view with op = \"latest\" behind it, and name that one";
    Some(Problem::new(place.clone(), "not_keyed", message).hint(hint))
}

/// Tells that nothing has this name.
pub(super) fn unknown(name: &str, place: &Place, builder: &PlanBuilder) -> Problem {
    let message = format!("no relation or view is named `{name}`");
    let mut problem = Problem::new(place.clone(), "unknown_view", message);
    problem.hint = did_you_mean(name, builder.names());
    problem
}

/// Whether a view is written and shown where nothing says otherwise: all that have a key, but not
/// what was fed, nor what single rules give to `alerts`, nor marks.
pub(super) fn is_shown(view: &View) -> bool {
    is_served(view) && view.kind != RelationKind::Marks
}

/// Whether the server shows a view: marks too, as it makes P&L as of now of them.
pub(super) fn is_served(view: &View) -> bool {
    let is_of_rule = view.kind == RelationKind::Alerts && view.name != ALERTS;
    view.is_keyed && view.operator.is_some() && !is_of_rule
}

/// The names of the views that sinks and server want; `all` says which of those that may be asked for
/// are written too where nothing says otherwise.
pub(super) fn wanted<'a>(
    sinks: &'a [Sink],
    server: Option<&Server>,
    all: &'a [(String, bool)],
) -> Vec<&'a str> {
    let shown = all.iter().filter(|(_, is_shown)| *is_shown);
    let (shown, served) = (shown.map(|(name, _)| name.as_str()), all.iter());
    let mut names = Vec::new();
    for sink in sinks {
        match &sink.views {
            Some(views) => names.extend(views.iter().map(|(name, _)| name.as_str())),
            None => names.extend(shown.clone()),
        }
    }
    if server.is_some() {
        names.extend(served.map(|(name, _)| name.as_str()));
    }
    names
}

/// Settles the views of the sinks as indices of the plan's emitted views; `rates` are those of rules.
pub(super) fn sink_plans(
    sinks: Vec<Sink>,
    plan: &Plan,
    rates: &BTreeMap<String, Rate>,
) -> Vec<SinkPlan> {
    let settle = |sink: Sink| {
        let views = match &sink.views {
            Some(views) => views.iter().filter_map(|(name, _)| emitted(plan, name)).collect(),
            None => emitted_where(plan, is_shown),
        };
        let Sink { name, kind, settings, .. } = sink;
        Some(SinkPlan { name, kind: kind?, settings, views, rates: rates.clone() })
    };
    sinks.into_iter().filter_map(settle).collect()
}

/// Settles the views of the server.
pub(super) fn server_plan(server: Server, plan: &Plan) -> ServerPlan {
    let Server { listen, retain_nanos, origins } = server;
    ServerPlan { listen, retain_nanos, origins, views: emitted_where(plan, is_served) }
}

fn emitted(plan: &Plan, name: &str) -> Option<usize> {
    plan.emitted_views().position(|view| view.name == name)
}

fn emitted_where(plan: &Plan, is_wanted: fn(&View) -> bool) -> Vec<usize> {
    let views = plan.emitted_views().enumerate().filter(|(_, view)| is_wanted(view));
    views.map(|(index, _)| index).collect()
}
