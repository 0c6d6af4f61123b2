//! The options of a webhook.

use types::Span;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};

use super::client::{check_header, check_url};
use super::limits::{Limits, Rate};

/// How long an answer may take, where the config doesn't say, in nanoseconds.
pub(super) const TIMEOUT_NANOS: i64 = 30_000_000_000;
/// How old an alert may be, where the config doesn't say, in nanoseconds.
const MAX_AGE_NANOS: i64 = 3_600_000_000_000;
/// The most alerts of a rate: the time of each is kept with every batch.
const RATE_MAX: u64 = 1_000;

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
        OptionKind::Text,
        Need::Optional,
        "alerts of one rule that are posted in a length of time: \"20/1m\"; the others are held back and counted",
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
    if let Some(text) = settings.text("rate_limit").filter(|text| rate(text).is_none()) {
        let hint = "write it like \"20/1m\": from 1 to 1000 alerts of a rule in a length of time";
        wrong(settings.place("rate_limit"), format!("`{text}` isn't a rate"), hint);
    }
    problems
}

/// What the options let through.
pub(super) fn limits(settings: &Settings) -> Limits {
    let max_age = settings.duration("max_age").map_or(MAX_AGE_NANOS, Span::nanos);
    Limits {
        rate: settings.text("rate_limit").and_then(rate),
        max_age: (!settings.flag("replay")).then_some(max_age),
    }
}

/// Reads `"20/1m"`.
fn rate(text: &str) -> Option<Rate> {
    let (most, within) = text.split_once('/')?;
    let is_plain = most.bytes().all(|byte| byte.is_ascii_digit());
    let most = most.parse().ok().filter(|most| is_plain && (1..=RATE_MAX).contains(most))?;
    Some(Rate { most: usize::try_from(most).ok()?, within: Span::parse(within)?.nanos() })
}
