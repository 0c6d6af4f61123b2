//! The sink `webhook` against servers that fail in all ways: who drops repeats by their key has each change
//! once and in order.
#![cfg(feature = "webhook")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails a test")]

mod alerts;
mod desk;
#[path = "../support/dice.rs"]
mod dice;
#[expect(dead_code, reason = "the tests of the sink use more of it")]
#[path = "../support/history.rs"]
mod history;
mod hook;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connectors::env::System;
use connectors::error::{Class, ConnectError};
use connectors::sink::{EpochChanges, SINKS, Sink, SinkContext, SinkReport, SinkView};
use dice::Dice;
use history::{History, history, views};
use hook::{Answer, Got, Hook};
use types::options::{Setting, Settings};
#[cfg(feature = "sabotage")]
use types::sabotage::Safeguard;
use types::{Rate, Span};

fn context(history: &History, base: &Path, settings: Settings) -> SinkContext {
    let view = |(name, kind, schema): (&str, _, _)| SinkView { name: name.into(), kind, schema };
    SinkContext {
        name: "hook".into(),
        pipeline: "test".into(),
        settings,
        base: base.into(),
        views: views().into_iter().map(view).collect(),
        rates: BTreeMap::new(),
        names: Arc::clone(&history.names),
        is_finite: true,
        state_dir: base.join("state"),
        is_resumed: false,
        chance: 7,
        env: Arc::new(System),
    }
}

fn settings(hook: &Hook, pairs: &[(&'static str, &str)]) -> Settings {
    let mut settings = Settings::new(0..0);
    settings.set("url", Setting::Text(hook.url()), 0..0);
    settings.set("max_changes", Setting::Count(7), 0..0);
    settings.set("give_up", Setting::Duration(Span::parse("20s").unwrap()), 0..0);
    for (name, text) in pairs {
        let setting = match *name {
            "give_up" | "timeout" | "max_age" => Setting::Duration(Span::parse(text).unwrap()),
            "rate_limit" => Setting::Rate(Rate::parse(text).unwrap()),
            "max_refused" => Setting::Count(text.parse().unwrap()),
            "headers" => Setting::List(vec![((*text).into(), 0..0)]),
            _ => Setting::Text((*text).into()),
        };
        settings.set(name, setting, 0..0);
    }
    settings
}

fn open(kind: &str, context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    (SINKS.iter().find(|sink| sink.name == kind).unwrap().open)(context)
}

fn changes(history: &History) -> impl Iterator<Item = EpochChanges> {
    history.epochs.iter().map(|(epoch, views)| EpochChanges { epoch: *epoch, views: views.clone() })
}

fn deliver(sink: &mut dyn Sink, history: &History) -> Result<SinkReport, ConnectError> {
    for changes in changes(history) {
        sink.write(&changes)?;
        sink.write(&changes)?;
        sink.flush()?;
    }
    sink.finish()
}

/// The changes of each view, as the sink `jsonl` writes them.
fn expected(history: &History) -> BTreeMap<String, Vec<serde_json::Value>> {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(0..0);
    settings.set("mode", Setting::Text("changes".into()), 0..0);
    let mut sink = open("jsonl", context(history, folder.path(), settings)).unwrap();
    deliver(sink.as_mut(), history).unwrap();
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(format!("out/{name}.jsonl")));
        text.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    views().iter().map(|view| (view.0.to_owned(), read(view.0))).collect()
}

/// What somebody has who takes each POST that was answered well, or whose answer was lost, and drops
/// repeats by their key.
fn taken(got: &[Got]) -> BTreeMap<String, Vec<serde_json::Value>> {
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    let mut changes: BTreeMap<String, Vec<serde_json::Value>> =
        views().iter().map(|view| (view.0.to_owned(), Vec::new())).collect();
    for got in got.iter().filter(|got| [0, 200, 204].contains(&got.status)) {
        if let Some(before) = bodies.insert(got.key(), &got.body) {
            assert_eq!(before, got.body, "the same key, and another body");
            continue;
        }
        let mut body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!(body["key"], got.key());
        for change in body["changes"].as_array_mut().unwrap() {
            let view = change.as_object_mut().unwrap().remove("view").unwrap();
            changes.get_mut(view.as_str().unwrap()).unwrap().push(change.take());
        }
    }
    changes
}

/// Answers that fail in all ways that pass.
fn moody(seed: u64) -> impl Fn(usize, &str) -> Answer {
    move |n, _| {
        let mut dice = Dice(seed ^ u64::try_from(n).unwrap() << 8);
        match dice.below(12) {
            _ if n == 3 => None,
            0 => None,
            1 => Some((500, "")),
            2 => Some((503, "Retry-After: 0\r\n")),
            3 => Some((429, "Retry-After: soon\r\n")),
            4 => Some((204, "")),
            _ => Some((200, "")),
        }
    }
}

#[test]
fn each_change_comes_once_and_in_order_through_all_that_passes() {
    for seed in 0..3 {
        let history = history(seed, 8, 20);
        let folder = tempfile::tempdir().unwrap();
        let hook = Hook::start(moody(seed));
        let more = [("signing_secret", "s3cret"), ("headers", "X-Who: me: myself")];
        let mut sink = open("webhook", context(&history, folder.path(), settings(&hook, &more)));
        let report = deliver(sink.as_mut().unwrap().as_mut(), &history).unwrap();
        let (got, expected) = (hook.got(), expected(&history));
        assert_eq!(taken(&got), expected, "seed {seed}");
        assert!(got.iter().any(|got| got.status == 0), "seed {seed}: no line was cut");
        let n_changes: usize = expected.values().map(Vec::len).sum();
        let n_posts = got.iter().map(Got::key).collect::<std::collections::BTreeSet<_>>().len();
        let (place, _) = hook.url().split_once("/a/").map(|(a, b)| (a.to_owned(), b)).unwrap();
        let line = format!("{place}: {n_changes} changes in {n_posts} posts");
        assert_eq!(report.lines, [line]);
        for got in &got {
            assert_eq!(got.header("x-who"), "me: myself");
            assert_eq!(got.header("content-type"), "application/json");
            assert_eq!(got.header("tapeline-signature").len(), "sha256=".len() + 64);
        }
    }
}

/// A sink that is left as a crash leaves it, at any POST, and goes on; all epochs come again.
fn check_going_on(seed: u64) {
    let history = history(seed, 10, 20);
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start(|n, _| if n % 5 == 4 { None } else { Some((200, "")) });
    let mut dice = Dice(seed);
    for run in 0..5 {
        let settings = settings(&hook, &[("give_up", "1s")]);
        let base = context(&history, folder.path(), settings);
        // Each part draws another number, and says what the first one said.
        let context = SinkContext { is_resumed: run > 0, chance: 40 + run, ..base };
        let mut sink = open("webhook", context).unwrap();
        let n = if run == 4 { 99 } else { usize::try_from(dice.below(9)).unwrap() };
        changes(&history).take(n).for_each(|changes| sink.write(&changes).unwrap());
    }
    assert_eq!(taken(&hook.got()), expected(&history), "seed {seed}");
}

#[test]
fn a_run_that_goes_on_sends_what_one_sends_that_was_never_stopped() {
    (0..6).for_each(check_going_on);
}

#[test]
fn what_was_answered_before_a_clean_end_is_not_posted_again() {
    let history = history(3, 6, 20);
    for is_flushed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let hook = Hook::start(|_, _| Some((200, "")));
        let go_on = |is_resumed| {
            let mut settings = settings(&hook, &[]);
            settings.set("max_changes", Setting::Count(2), 0..0);
            let context = context(&history, folder.path(), settings);
            open("webhook", SinkContext { is_resumed, ..context }).unwrap()
        };
        let mut sink = go_on(false);
        changes(&history).for_each(|changes| sink.write(&changes).unwrap());
        let (before, report) = (hook.got(), sink.report());
        let last = before.last().unwrap().clone();
        assert!(!last.key().ends_with("/0"), "the last epoch came in one part: {}", last.key());
        if is_flushed {
            sink.flush().unwrap();
        }
        // Without a flush nobody knows whether the last part was answered.
        let again = if is_flushed { Vec::new() } else { vec![last] };
        // What is sent again at a start is so once, though nothing follows.
        for (again, goes_on) in [(again, false), (Vec::new(), true), (Vec::new(), true)] {
            let n_before = hook.got().len();
            sink = go_on(true);
            assert_eq!(&hook.got()[n_before..], &again, "flushed: {is_flushed}");
            assert_eq!(sink.report(), report, "flushed: {is_flushed}");
            if goes_on {
                changes(&history).for_each(|changes| sink.write(&changes).unwrap());
                sink.flush().unwrap();
            }
            assert_eq!(hook.got().len(), n_before + again.len(), "flushed: {is_flushed}");
        }
    }
}

#[cfg(feature = "sabotage")]
#[test]
fn posts_that_are_not_kept_are_noticed() {
    types::sabotage::assert_noticed(Safeguard::PostsKept, 6, check_going_on);
}

#[test]
fn a_post_that_is_refused_is_set_aside_and_the_others_come() {
    let history = history(4, 8, 20);
    let folder = tempfile::tempdir().unwrap();
    let is_bad = |body: &str| body.len().is_multiple_of(3);
    let hook = Hook::start(move |_, body| Some((if is_bad(body) { 422 } else { 200 }, "")));
    let mut sink = open("webhook", context(&history, folder.path(), settings(&hook, &[]))).unwrap();
    let report = deliver(sink.as_mut(), &history).unwrap();
    let got = hook.got();
    let n_bad = got.iter().filter(|got| got.status == 422).count();
    assert!(n_bad > 1 && n_bad < got.len(), "{n_bad} of {}", got.len());
    let text = std::fs::read_to_string(report.quarantine.unwrap()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bad: Vec<&Got> = got.iter().filter(|got| got.status == 422).collect();
    assert_eq!(lines.len(), bad.len());
    let mut n_changes = 0;
    for (line, got) in lines.iter().zip(bad) {
        let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!((&line["key"], &line["body"]), (&got.key().into(), &body));
        assert_eq!((&line["reason"], &line["detail"]), (&"status_422".into(), &"so".into()));
        n_changes += body["changes"].as_array().unwrap().len();
    }
    assert_eq!(report.n_refused, u64::try_from(n_changes).unwrap());
    // The others, in their order.
    let all: Vec<Got> = got.into_iter().map(|got| Got { status: 200, ..got }).collect();
    assert_eq!(taken(&all), expected(&history));
}

/// Delivers while the server refuses; it lets posts in once the sink stands still.
fn check_held(status: u16, more: &[(&'static str, &str)]) {
    let history = history(2, 5, 20);
    let folder = tempfile::tempdir().unwrap();
    let is_right = Arc::new(AtomicBool::new(false));
    let right = Arc::clone(&is_right);
    let hook = Hook::start(move |n, _| {
        let is_open = n < 2 || right.load(Ordering::Relaxed);
        Some((if is_open { 200 } else { status }, "Retry-After: 1\r\n"))
    });
    let context = context(&history, folder.path(), settings(&hook, more));
    let mut sink = open("webhook", context).unwrap();
    std::thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver(sink.as_mut(), &history));
        std::thread::sleep(Duration::from_millis(900));
        assert!(!delivering.is_finished(), "status {status}: nothing holds the sink");
        // It asked to be left alone for a second; what is refused for good has no say in that.
        assert!(hook.got().len() == 3 || !more.is_empty(), "status {status}");
        is_right.store(true, Ordering::Relaxed);
        assert_eq!(delivering.join().unwrap().unwrap().n_refused, 0);
    });
    assert_eq!(taken(&hook.got()), expected(&history), "status {status}");
}

#[test]
fn what_somebody_must_put_right_holds_the_sink() {
    for status in [401, 403, 404, 301, 429] {
        check_held(status, &[]);
    }
    check_held(422, &[("max_refused", "0")]);
}

#[test]
fn a_server_that_is_away_is_given_up_and_no_secret_is_told() {
    let history = history(1, 3, 9);
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start(|_, _| Some((503, "")));
    let mut settings = settings(&hook, &[("give_up", "1s"), ("headers", "A: hush")]);
    let mut open_at = |url: &str| {
        settings.set("url", Setting::Text(url.to_owned()), 0..0);
        open("webhook", context(&history, folder.path(), settings.clone())).unwrap()
    };
    for url in ["http://127.0.0.1:1/hush".to_owned(), hook.url(), "https://127.0.0.1:1/hush".into()]
    {
        let error = deliver(open_at(&url).as_mut(), &history).unwrap_err();
        assert_eq!(error.class, Class::Away);
        let told = format!("{error:?} {error}");
        assert!(told.contains("given up after 1s") && !told.contains("hush"), "{told}");
        assert!(!told.contains("/a/hook"), "{told}");
    }
}

/// One POST that is never answered: nobody waits for it until its `timeout`.
#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let history = history(1, 3, 9);
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::start(|_, _| {
        std::thread::sleep(Duration::from_mins(5));
        None
    });
    let settings = settings(&hook, &[("give_up", "2s"), ("timeout", "60s")]);
    let mut sink = open("webhook", context(&history, folder.path(), settings)).unwrap();
    let (told, error) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        told.send(deliver(sink.as_mut(), &history).unwrap_err()).unwrap_or_default();
    });
    let error = error.recv_timeout(Duration::from_secs(20)).expect("it is given up");
    assert_eq!(error.class, Class::Away);
    let told = format!("{error:?} {error}");
    assert!(told.contains("given up after 2s") && told.contains("TimedOut"), "{told}");
}

#[test]
fn wrong_options_are_found_offline() {
    let check = SINKS.iter().find(|sink| sink.name == "webhook").unwrap().check;
    for (name, text, expected) in [
        ("url", "https://example.com/x?y=1", None),
        ("url", "http://[::1]:80", None),
        ("url", "example.com/x", Some("not an http or https url")),
        ("url", "http://example.com:80800/x", Some("the url's port is no port")),
        ("url", "http://example.com:/x", Some("the url's port is no port")),
        ("url", "http://example.com:0", Some("the url's port is no port")),
        ("url", "http://[::1]", None),
        ("url", "ftp://example.com", Some("not an http or https url")),
        ("url", "http://a b", Some("not an http or https url")),
        ("url", "https://me:pw@example.com", Some("the url holds a user")),
        ("headers", "Authorization: Bearer x", None),
        ("headers", "Authorization", Some("not a header")),
        ("headers", "A b: c", Some("not a header")),
        ("headers", "A: b\nC: d", Some("not a header")),
        ("headers", "HOST: x", Some("the header host is set by the sink itself")),
        (
            "headers",
            "idempotency-key: x",
            Some("the header idempotency-key is set by the sink itself"),
        ),
        ("signing_secret", "", Some("the secret is empty")),
    ] {
        let mut settings = Settings::new(0..0);
        let setting = match name {
            "headers" => Setting::List(vec![(text.into(), 7..9)]),
            _ => Setting::Text(text.into()),
        };
        settings.set(name, setting, 7..9);
        let problems = check(&settings);
        let found = problems.first();
        assert_eq!(found.map(|problem| problem.message.as_str()), expected, "{text}");
        assert!(found.is_none_or(|problem| problem.place == (7..9) && problem.hint.is_some()));
    }
}
