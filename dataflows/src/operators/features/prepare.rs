//! Options to dataflow.

use std::sync::Arc;

use types::options::{Place, Problem, Settings, did_you_mean};
use types::relations::RelationKind;
use types::{Span, VenueTime};

use super::feature::Feature;
use super::fold::Features;
use super::layout::{By, Emit, Layout};
use super::operator;
use super::wallets::Counting;
use super::window::Shape;
use crate::edge::Edge;
use crate::operators::latest::columns;
use crate::operators::steps::{LARGEST, gcd, grid};
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};

/// Settles the options.
pub(super) fn prepare(
    settings: &Settings,
    plan: &mut PlanBuilder,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    match settle(settings, plan, &mut problems) {
        Some((input, layout)) if problems.is_empty() => {
            let outputs = vec![output(&layout)];
            let build = Box::new(Windowed { layout: Arc::new(layout) });
            Ok(Prepared { inputs: vec![input.port], outputs, build })
        }
        _ => Err(problems),
    }
}

/// The only output.
pub(super) fn output(layout: &Layout) -> Output {
    let schema = layout.schema().shared();
    Output { suffix: "", kind: RelationKind::Rows, schema, is_keyed: true }
}

/// What is read and what rows are like; `None` without an input, or without windows to name columns after.
pub(super) fn settle(
    settings: &Settings,
    plan: &PlanBuilder,
    problems: &mut Vec<Problem>,
) -> Option<(View, Layout)> {
    let kinds = &[RelationKind::Fills, RelationKind::Trades, RelationKind::Quotes];
    let input = plan.input_of(settings, "input", kinds, problems);
    let windows = windows(settings, problems);
    let input = input?;
    if input.kind == RelationKind::Quotes && input.is_keyed {
        let message = format!("`{}` holds only the newest quote of each key", input.name);
        let problem = Problem::new(settings.place("input"), "wrong_input", message);
        problems.push(problem.hint("name the quotes that it reads: windows need all of them"));
    }
    let is_tumbling = settings.text("kind") == Some("tumbling");
    let by = by(settings, &input, problems);
    let emit = emit(settings, &input, (&windows, is_tumbling), problems);
    check_steps(settings, emit, windows.last(), problems);
    let is_known = |option| !settings.is_wrong(option);
    if is_tumbling && is_known("step") && is_known("emit") {
        check_ends(settings, emit, &windows, problems);
    }
    let features = features(settings, &input, (by, windows.len()), problems);
    let is_whole = !windows.is_empty();
    let (spans, window_names) = windows.into_iter().unzip();
    let keeps = |wanted: &[Feature]| features.iter().any(|feature| wanted.contains(feature));
    let shape = Shape {
        spans,
        is_tumbling,
        keeps_extremes: keeps(&[Feature::Range]),
        wallets: keeps(&WALLETS).then(|| Counting {
            exact_up_to: exact_up_to(settings),
            keeps_shares: keeps(&[Feature::LargestShare]),
        }),
    };
    if settings.has("exact_up_to") && shape.wallets.is_none() && problems.is_empty() {
        let message = "`exact_up_to` says nothing where no wallets are counted";
        let problem = Problem::new(settings.place("exact_up_to"), "wrong_option", message);
        problems.push(problem.hint("leave it out; of fills by asset or market, list `wallets`"));
    }
    is_whole.then_some((input, Layout { by, emit, shape, window_names, features }))
}

/// The features that wallets are counted for.
const WALLETS: [Feature; 3] = [Feature::Wallets, Feature::WalletsExact, Feature::LargestShare];

/// The most wallets of a window that are counted exactly.
fn exact_up_to(settings: &Settings) -> usize {
    let asked = settings.count("exact_up_to").and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(EXACT_UP_TO)
}

/// Where the config doesn't say: a standard error of 1.2 % beyond.
const EXACT_UP_TO: usize = 10_000;

/// The lengths of the windows and how the config writes them, the shortest first; none where not all are
/// known, as is told.
fn windows(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(Span, String)> {
    let (mut windows, n_problems): (Vec<(Span, String)>, usize) = (Vec::new(), problems.len());
    for (text, place) in settings.list("windows") {
        match Span::parse(text) {
            None => {
                let message = format!("`{text}` is no length of time");
                let problem = Problem::new(place.clone(), "not_a_duration", message);
                problems.push(problem.hint("write it like \"5m\""));
            }
            Some(span) if windows.iter().any(|(other, _)| *other == span) => {
                let message = format!("windows of `{text}` are listed twice");
                problems.push(Problem::new(place.clone(), "repeated_window", message));
            }
            Some(span) if span.nanos() > LARGEST => {
                let message = format!("a window of {span} is too long");
                let problem = Problem::new(place.clone(), "too_long", message);
                problems.push(problem.hint("the longest is 5200w, about a hundred years"));
            }
            Some(span) => windows.push((span, text.clone())),
        }
    }
    if settings.is_wrong("windows") || problems.len() > n_problems {
        return Vec::new();
    }
    if windows.is_empty() && problems.is_empty() {
        let message = "`windows` is empty: there would be no features";
        problems.push(Problem::new(settings.place("windows"), "missing_value", message));
    }
    windows.sort();
    windows
}

/// What tells keys apart.
fn by(settings: &Settings, input: &View, problems: &mut Vec<Problem>) -> By {
    let n_problems = problems.len();
    let listed = columns(settings, "by", input, problems);
    let schema = &input.schema.columns;
    let mut names: Vec<&str> = listed.iter().map(|index| schema[*index].name.as_ref()).collect();
    names.sort_unstable();
    match names[..] {
        [] | ["asset"] | ["asset", "venue"] => By::Asset,
        ["wallet"] => By::Wallet,
        ["market"] => By::Market,
        ["asset", "wallet"] | ["asset", "venue", "wallet"] => By::WalletAsset,
        _ if problems.len() > n_problems => By::Asset,
        _ => {
            let message = format!("windows can't be kept by {}", names.join(" and "));
            let problem = Problem::new(settings.place("by"), "wrong_option", message);
            let hint = "asset, wallet, market, or wallet and asset; an asset is of its venue";
            problems.push(problem.hint(hint));
            By::Asset
        }
    }
}

/// When rows are told.
fn emit(
    settings: &Settings,
    input: &View,
    (windows, is_tumbling): (&[(Span, String)], bool),
    problems: &mut Vec<Problem>,
) -> Emit {
    let step = grid(settings, "step", problems);
    if settings.text("emit") == Some("event") {
        if input.kind == RelationKind::Quotes {
            let message = "quotes have no id, so rows at each of them couldn't be told apart";
            let problem = Problem::new(settings.place("emit"), "wrong_input", message);
            problems.push(problem.hint("use `emit = \"step\"`"));
        }
        if step.is_some() {
            let message = "rows at events have no `step`";
            let problem = Problem::new(settings.place("step"), "wrong_option", message);
            problems.push(problem.hint("leave it out, or use `emit = \"step\"`"));
        }
        return Emit::Event;
    }
    let shortest = windows.first().map_or(1, |(span, _)| span.nanos());
    let nanos = if is_tumbling { shortest } else { (shortest / 12).max(1) };
    // A length above zero is left where there is no window, which is told.
    Emit::Step(step.or_else(|| Span::new(nanos)).unwrap_or(super::layout::LEAST))
}

/// Refuses a grid so fine that a lone event would have rows without end: one at each step for as long as
/// the longest window holds it.
fn check_steps(
    settings: &Settings,
    emit: Emit,
    longest: Option<&(Span, String)>,
    problems: &mut Vec<Problem>,
) {
    let (Emit::Step(step), Some((longest, name))) = (emit, longest) else { return };
    let n_steps = longest.nanos() / step.nanos();
    if n_steps > STEPS_MAX {
        let message = format!(
            "each event would have rows at {n_steps} steps of {step}, in the window of {name}"
        );
        let place = if settings.has("step") { "step" } else { "windows" };
        let problem = Problem::new(settings.place(place), "too_many_steps", message);
        problems
            .push(problem.hint(format!("set a longer `step`: at most {STEPS_MAX} in a window")));
    }
}

/// The most steps in a window.
const STEPS_MAX: i64 = 1_000_000;

/// Refuses tumbling windows of which some end between two steps: no row would show those whole.
fn check_ends(
    settings: &Settings,
    emit: Emit,
    windows: &[(Span, String)],
    problems: &mut Vec<Problem>,
) {
    let Emit::Step(step) = emit else { return };
    // One end, from which all others are whole lengths away.
    let end = |window: Span| VenueTime::default().next_step(window);
    let ends_between = |(window, _): &&(Span, String)| {
        window.nanos() % step.nanos() != 0 || end(*window).bucket(step) != end(*window)
    };
    let Some((_, name)) = windows.iter().find(ends_between) else { return };
    let mut listed = settings.list("windows").iter().filter(|(text, _)| text == name);
    let place = match listed.next() {
        Some((_, place)) if !settings.has("step") => place.clone(),
        _ => settings.place("step"),
    };
    let message =
        format!("some windows of {name} end between two steps of {step}: no row shows them whole");
    // Weeks end on Mondays, so that their ends, too, must be steps.
    let common = |(window, _): &(Span, String)| gcd(window.nanos(), end(*window).nanos());
    let common = windows.iter().map(common).fold(0, gcd);
    let longest = windows.last().map_or(0, |(window, _)| window.nanos());
    let fits = Span::new(common).filter(|_| longest / common.max(1) <= STEPS_MAX);
    let hint = match fits {
        Some(fits) => format!("set `step = \"{fits}\"`, or a length of which that is a multiple"),
        None => "give windows of which each is a multiple of the shortest".to_owned(),
    };
    problems.push(Problem::new(place, "wrong_value", message).hint(hint));
}

/// The features as listed, or all that the input can give.
fn features(
    settings: &Settings,
    input: &View,
    (by, n_windows): (By, usize),
    problems: &mut Vec<Problem>,
) -> Vec<Feature> {
    let refusal = |feature: Feature| refusal(feature, input, by, n_windows);
    if !settings.has("features") {
        return Feature::ALL.iter().copied().filter(|f| refusal(*f).is_none()).collect();
    }
    let mut found = Vec::new();
    for (name, place) in settings.list("features") {
        let at = |code, message: String| Problem::new(Place::clone(place), code, message);
        let Some(feature) = Feature::ALL.iter().copied().find(|f| f.name() == name) else {
            let mut problem = at("unknown_feature", format!("no feature is named `{name}`"));
            let known = Feature::ALL.iter().copied().filter(|f| refusal(*f).is_none());
            problem.hint = did_you_mean(name, known.map(Feature::name));
            problems.push(problem);
            continue;
        };
        if let Some(message) = refusal(feature) {
            problems.push(at("wrong_input", message));
        } else if found.contains(&feature) {
            problems.push(at("repeated_feature", format!("`{name}` is listed twice")));
        } else {
            found.push(feature);
        }
    }
    // A number that may not be exact never comes without saying so.
    if let Some(at) = found.iter().position(|feature| *feature == Feature::Wallets)
        && !found.contains(&Feature::WalletsExact)
    {
        found.insert(at + 1, Feature::WalletsExact);
    }
    if found.is_empty() && problems.is_empty() {
        let message = "`features` is empty: rows would be keys alone";
        problems.push(Problem::new(settings.place("features"), "missing_value", message));
    }
    found
}

/// Why a view can't give a feature.
fn refusal(feature: Feature, input: &View, by: By, n_windows: usize) -> Option<String> {
    let name = feature.name();
    if !feature.is_of(input.kind) {
        return Some(format!("`{name}` can't be made of {}", input.kind.name()));
    }
    match feature {
        feature if WALLETS.contains(&feature) && by.has_wallet() => {
            Some(format!("`{name}` says nothing where each key is of one wallet"))
        }
        Feature::RateRatio if n_windows == 1 => {
            Some(format!("`{name}` compares windows with the longest, and there is but one"))
        }
        _ => None,
    }
}

/// The operator with its options settled.
struct Windowed {
    layout: Arc<Layout>,
}

impl Build for Windowed {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("features read one view") };
        let features = Features::new(Arc::clone(&self.layout), Arc::clone(&context.names));
        let layout = (self.layout.by, self.layout.emit);
        let rows = match input {
            Edge::Fills(rows) => operator::build(rows.clone(), context, layout, features),
            Edge::Trades(rows) => operator::build(rows.clone(), context, layout, features),
            quotes => operator::build(quotes.quotes(), context, layout, features),
        };
        vec![Edge::Rows(rows)]
    }
}
