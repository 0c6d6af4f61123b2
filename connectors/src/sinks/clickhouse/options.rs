//! What a config says of the sink.

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};

use super::layout::Mode;
use crate::sinks::http::{UrlFault, server_url};

pub(super) const OPTIONS: &[OptionSpec] = &[
    option(
        "url",
        OptionKind::Text,
        Need::Default("http://127.0.0.1:8123"),
        "the server's HTTP port",
    ),
    option("database", OptionKind::Text, Need::Default("tapeline"), "the database of the tables"),
    option(
        "mode",
        OptionKind::Choice(&["rows", "changelog"]),
        Need::Default("rows"),
        "a table `<view>` of rows as they stand, or a table `<view>_changes` of each row that came and went",
    ),
    option("user", OptionKind::Text, Need::Optional, "who writes"),
    option(
        "password",
        OptionKind::Text,
        Need::Optional,
        "the user's password: write ${VAR} and set it in the environment",
    ),
    option(
        "create",
        OptionKind::Bool,
        Need::Default("true"),
        "make what is missing: database, tables",
    ),
    option(
        "on_existing",
        OptionKind::Choice(&["fail", "replace"]),
        Need::Default("fail"),
        "tables that hold rows: refuse them, or empty them before the first commit",
    ),
    option(
        "give_up",
        OptionKind::Duration,
        Need::Default("5m"),
        "how long a finite run waits for a server that is away or refuses; live runs wait for ever",
    ),
    option(
        "max_rows",
        OptionKind::Count(1, 10_000_000),
        Need::Default("100000"),
        "changed keys, or changes, from which a batch is sent",
    ),
    option(
        "max_bytes",
        OptionKind::Bytes,
        Need::Default("16MiB"),
        "bytes, about, from which a batch is sent",
    ),
    option(
        "max_refused",
        OptionKind::Count(0, 1_000_000_000),
        Need::Default("1000"),
        "rows that a run sets aside: at the next one that the server refuses the sink pauses; where no \
         column holds more rows the run ends",
    ),
];

pub(super) fn check(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |name: &str, message: &str, hint: &str| {
        problems.push(Problem::new(settings.place(name), "bad_option", message).hint(hint));
    };
    let url = settings.text("url").unwrap_or_default();
    match server_url(url) {
        _ if url.is_empty() && !settings.has("url") => {}
        Ok(url) if url.scheme_str() == Some("https") => {
            wrong("url", "https isn't built in", "put a proxy in front, or use http");
        }
        Ok(_) => {}
        Err(UrlFault::User) => {
            wrong("url", "the url holds a user", "use the options `user` and `password`");
        }
        Err(UrlFault::Port) => {
            wrong("url", "the url's port is no port", "ports go from 1 to 65535");
        }
        Err(UrlFault::NoUrl) => {
            wrong("url", "not an http url", "write it like \"http://127.0.0.1:8123\"");
        }
    }
    if settings.text("database") == Some("") {
        wrong("database", "the database has no name", "leave it out for `tapeline`");
    }
    problems
}

/// What the tables hold.
pub(super) fn mode(settings: &Settings) -> Mode {
    if settings.text("mode") == Some("changelog") { Mode::Changelog } else { Mode::Rows }
}
