//! The options of a webhook.

use std::collections::BTreeMap;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::{Rate, Span};

use super::client::{check_header, check_url};
use super::limits::Limits;

/// How long an answer may take, where the config doesn't say, in nanoseconds.
pub(super) const TIMEOUT_NANOS: i64 = 30_000_000_000;
/// How old an alert may be, where the config doesn't say, in nanoseconds.
const MAX_AGE_NANOS: i64 = 3_600_000_000_000;

pub(super) const OPTIONS: &[OptionSpec] = &[
    option("url", OptionKind::Text, Need::Required, "where to: http or https"),
    option(
        "format",
        OptionKind::Choice(&["tapeline", "slack"]),
        Need::Default("tapeline"),
        "what a body looks like: slack gets {\"text\": ..}, a line a change",
    ),
    option(
        "headers",
        OptionKind::Texts,
        Need::Optional,
        "headers of each POST: [\"Authorization: Bearer ${VAR}\"]",
    ),
    option(
        "signing_secret",
        OptionKind::Text,
        Need::Optional,
        "signs each body (HMAC-SHA256) in the header Tapeline-Signature: write ${VAR}",
    ),
    option(
        "rate_limit",
        OptionKind::Rate,
        Need::Optional,
        "alerts of each rule that are posted in a length of time, where the rule has no `rate_limit` of its \
         own; the others are held back and counted",
    ),
    option(
        "max_age",
        OptionKind::Duration,
        Need::Default("1h"),
        "changes of alerts whose time lies further back aren't posted: history is being replayed",
    ),
    option(
        "replay",
        OptionKind::Bool,
        Need::Default("false"),
        "posts changes of alerts whatever their age",
    ),
    option(
        "timeout",
        OptionKind::Duration,
        Need::Default("30s"),
        "how long an answer may take before the POST is sent again",
    ),
    option(
        "give_up",
        OptionKind::Duration,
        Need::Default("5m"),
        "how long a finite run waits for a server that is away or refuses; live runs wait for ever",
    ),
    option(
        "max_changes",
        OptionKind::Count(1, 100_000),
        Need::Default("100"),
        "changes of one POST; an epoch with more is sent in parts",
    ),
    option(
        "max_refused",
        OptionKind::Count(0, 1_000_000_000),
        Need::Default("1000"),
        "POSTs that a run sets aside because the server refuses them; the sink pauses at the next one",
    ),
];

/// Finds what is wrong with the options.
pub(super) fn check(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |place, message: String, hint: &str| {
        problems.push(Problem::new(place, "bad_option", message).hint(hint));
    };
    if let Some(Err((message, hint))) = settings.text("url").map(check_url) {
        wrong(settings.place("url"), message, hint);
    }
    for (header, place) in settings.list("headers") {
        if let Err((message, hint)) = check_header(header) {
            wrong(place.clone(), message, hint);
        }
    }
    if settings.text("signing_secret") == Some("") {
        let place = settings.place("signing_secret");
        wrong(place, "the secret is empty".into(), "leave it out to sign nothing");
    }
    problems
}

/// What the options let through, and the rates that rules have of their own.
pub(super) fn limits(settings: &Settings, of_rules: BTreeMap<String, Rate>) -> Limits {
    let max_age = settings.duration("max_age").map_or(MAX_AGE_NANOS, Span::nanos);
    Limits {
        rate: settings.rate("rate_limit"),
        of_rules,
        max_age: (!settings.flag("replay")).then_some(max_age),
    }
}
