//! Alerts to a webhook, from a run that ends in its middle: who drops repeats has each change once.

#[path = "../../connectors/tests/webhook/hook.rs"]
mod hook;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use connectors::env::{Env as _, System};
use hook::{Got, Hook};

use crate::program::{Ended, Folder, tapeline};

const CONFIG: &str = r#"
[pipeline]
name = "hooked"
data_dir = "state"
epoch = { max_events = 20 }
[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
lateness = "5s"
[sources.fills.columns]
venue = { constant = "x" }
event_time = { column = "time", unit = "s" }
[alerts.large]
view = "fills"
when = "size > 90"
[sinks.changes]
type = "jsonl"
mode = "changes"
path = "out"
views = ["alerts"]
[sinks.hook]
type = "webhook"
views = ["alerts"]
max_changes = 2
replay = true
headers = ["Authorization: Bearer ${TOKEN}"]
"#;

fn job(hook: &Hook) -> Folder {
    let folder = Folder::new();
    let mut rows = "wallet,asset,id,side,price,size,time\n".to_owned();
    for id in 0..600u64 {
        let (size, time) = (1 + id * 7919 % 100, 1_767_571_200 + id);
        writeln!(rows, "w{},a,{id},buy,0.5,{size},{time}", id % 13).unwrap();
    }
    folder.write("fills.csv", rows);
    folder.write("c.toml", format!("{CONFIG}url = \"{}\"\n", hook.url()));
    folder
}

/// The changes in the order in which they first came, each once.
fn taken(got: &[Got]) -> Vec<serde_json::Value> {
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    let mut changes = Vec::new();
    for got in got.iter().filter(|got| got.status != 500) {
        assert_eq!(got.header("authorization"), "Bearer hush");
        if let Some(before) = bodies.insert(got.key(), &got.body) {
            assert_eq!(before, got.body, "the same key, and another body");
            continue;
        }
        let mut body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        for change in body["changes"].as_array_mut().unwrap() {
            change.as_object_mut().unwrap().remove("view").unwrap();
            changes.push(change.take());
        }
    }
    changes
}

fn run(folder: &Folder, fail: Option<String>) -> Ended {
    let mut command = tapeline();
    command.args(["run", "c.toml"]).current_dir(folder.path(".")).env("TOKEN", "hush");
    if let Some(fail) = fail {
        command.env("TAPELINE_FAIL", fail);
    }
    let ended: Ended = command.output().unwrap().into();
    assert!(!ended.out.contains("hush") && !ended.err.contains("hush"), "{ended:?}");
    ended
}

#[test]
fn alerts_are_posted() {
    let hook = Hook::start(|n, _| if n == 1 { None } else { Some((200, "")) });
    let folder = job(&hook);
    let ended = run(&folder, None).with(0);
    let expected = folder.read_json("out/alerts.jsonl");
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(taken(&hook.got()), expected);
    assert!(ended.out.contains(&format!(": {} changes in ", expected.len())), "{ended:?}");
}

const LIVES: &str = r#"
[pipeline]
name = "lives"
data_dir = "state"
epoch = { max_events = 1 }
[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
op = "op"
id = "id"
venue = { constant = "x" }
wallet = { constant = "ann" }
asset = { constant = "A" }
side = { constant = "buy" }
size = { constant = "1" }
event_time = { column = "time", unit = "s" }
[alerts.dear]
view = "fills"
when = "price > 10"
entity = ["asset"]
message = "at {price}"
[sinks.hook]
type = "webhook"
format = "slack"
views = ["alerts"]
"#;

/// What people are told of an alert that flaps: the texts of all POSTs, and what the summary says of the
/// sink. The first fill is of this second.
fn lives(options: &str, start: u64) -> (String, String) {
    let (told, line, _) = posted(&format!("{LIVES}{options}"), start);
    (told, line)
}

/// As [`lives`], of a config that ends with the options of the sink; the folder as well.
fn posted(config: &str, start: u64) -> (String, String, Folder) {
    let hook = Hook::start(|_, _| Some((200, "")));
    let folder = Folder::new();
    let mut rows = "op,id,price,time\n".to_owned();
    let flaps = [("insert", 1, 11), ("insert", 2, 9), ("insert", 3, 12), ("insert", 4, 8)];
    for (op, id, price) in flaps.into_iter().chain([("bust", 3, 12), ("bust", 1, 11)]) {
        writeln!(rows, "{op},{id},{price},{}", start + id).unwrap();
    }
    folder.write("fills.csv", rows);
    folder.write("c.toml", format!("{config}\nurl = \"{}\"\n", hook.url()));
    let ended = folder.run(&["run", "c.toml"]).with(0);
    let text = |got: Got| {
        let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        body["text"].as_str().unwrap().to_owned() + "\n"
    };
    let line = ended.out.lines().find(|line| line.contains(" posts"));
    let line = line.and_then(|line| line.rsplit_once(": ")).map(|(_, said)| said);
    let told = hook.got().into_iter().map(text).collect();
    (told, line.unwrap_or_default().to_owned(), folder)
}

/// Midnight of a day that is long over.
const LONG_AGO: u64 = 1_767_571_200;

#[test]
fn people_are_told_of_the_lives_of_alerts() {
    let (told, line) = lives("replay = true", LONG_AGO);
    let expected = "\
        [medium] dear firing: A, at 11, 2026-01-05T00:00:01.000000000Z\n\
        [medium] dear resolved: A, at 11, 2026-01-05T00:00:01.000000000Z to 2026-01-05T00:00:02.000000000Z\n\
        [medium] dear firing: A, at 12, 2026-01-05T00:00:03.000000000Z\n\
        [medium] dear resolved: A, at 12, 2026-01-05T00:00:03.000000000Z to 2026-01-05T00:00:04.000000000Z\n\
        [medium] dear retracted: A, at 12, 2026-01-05T00:00:03.000000000Z to 2026-01-05T00:00:04.000000000Z\n\
        [medium] dear retracted: A, at 11, 2026-01-05T00:00:01.000000000Z to 2026-01-05T00:00:02.000000000Z\n";
    assert_eq!(told, expected);
    assert_eq!(line, "6 changes in 6 posts");
}

#[test]
fn what_is_held_back_is_told_with_the_rules_next_change() {
    let (told, line) = lives("replay = true\nrate_limit = \"1/1h\"", LONG_AGO);
    let expected = "\
        [medium] dear firing: A, at 11, 2026-01-05T00:00:01.000000000Z\n\
        [medium] dear resolved: A, at 11, 2026-01-05T00:00:01.000000000Z to 2026-01-05T00:00:02.000000000Z\n\
        [medium] dear retracted: A, at 11, 2026-01-05T00:00:01.000000000Z to 2026-01-05T00:00:02.000000000Z\n\
        1 more alert of dear was held back\n";
    assert_eq!(told, expected);
    assert_eq!(line, "3 changes in 3 posts, 1 alerts held back by `rate_limit`");
}

/// Two rules that fire twice each, one of which may have a rate of its own.
const RULES: &str = r#"
[alerts.low]
view = "fills"
when = "price < 10"
entity = ["asset"]
[sinks.rows]
type = "jsonl"
mode = "changes"
path = "out"
views = ["alerts"]
[sinks.hook]
replay = true
"#;

fn rules(of_dear: &str, of_hook: &str) -> String {
    let limit = |rate: &str| match rate {
        "" => String::new(),
        rate => format!("rate_limit = \"{rate}\"\n"),
    };
    let config = LIVES.replace("[sinks.hook]", &format!("{}{RULES}", limit(of_dear)));
    format!("{config}{}", limit(of_hook))
}

#[test]
fn a_rules_own_rate_goes_before_the_webhooks_and_limits_no_row() {
    let mut rows = None;
    for (of_dear, of_hook, expected) in
        [("", "", [2, 2]), ("1/1h", "", [1, 2]), ("1/1h", "2/1h", [1, 2]), ("2/1h", "1/1h", [2, 1])]
    {
        let (told, _, folder) = posted(&rules(of_dear, of_hook), LONG_AGO);
        // A firing that resolved and stands again is told once more.
        let n_fired = |rule: &str| {
            let of_rule = |line: &&str| line.contains(&format!("] {rule} firing:"));
            told.lines().filter(of_rule).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(["dear", "low"].map(n_fired), expected, "{of_dear}, {of_hook}: {told}");
        let written = folder.read("out/alerts.jsonl");
        assert_eq!(*rows.get_or_insert_with(|| written.clone()), written, "{of_dear}, {of_hook}");
    }
}

#[test]
fn a_rate_that_cant_be_read_is_told_with_its_place() {
    let folder = Folder::new();
    for (of_dear, of_hook) in [("often", ""), ("", "often")] {
        let config = format!("{}url = \"http://[::1]:1\"\n", rules(of_dear, of_hook));
        let nth = config.lines().position(|line| line.contains("often")).unwrap() + 1;
        folder.write("c.toml", config);
        let place = format!("c.toml:{nth}:14");
        let words = [&*place, "`rate_limit` can't be `often`", "rates look like \"20/1m\""];
        folder.run(&["validate", "c.toml"]).with(2).says(&words);
    }
}

const SUMS: &str = r#"
[views.sums]
op = "aggregate"
input = "fills"
by = ["wallet"]
values = { n = "count()" }
"#;

/// Alerts of one rule are alerts.
#[test]
fn a_rate_that_holds_nothing_back_is_told() {
    let folder = Folder::new();
    let config = rules("1/1h", "1/1h");
    let (head, tail) = config.rsplit_once("views = [\"alerts\"]").unwrap();
    for (views, n_told) in [
        ("", [0, 0]),
        ("views = [\"alerts\"]", [0, 0]),
        ("views = [\"alerts.dear\"]", [0, 0]),
        ("views = [\"alerts.low\"]", [0, 1]),
        ("views = [\"alerts.dear.errors\"]", [1, 1]),
        ("views = [\"sums\"]", [1, 1]),
    ] {
        let url = "url = \"http://[::1]:1\"";
        folder.write("c.toml", format!("{SUMS}{head}{views}{tail}{url}\n"));
        let told = folder.run(&["validate", "c.toml"]).with(0);
        let n = |words: &str| told.err.matches(words).count() + told.out.matches(words).count();
        // Of the sink, and of the rule.
        let found = ["without `alerts`, so that `rate_limit`", "no sink posts its alerts"].map(n);
        assert_eq!(found, n_told, "{views}: {told:?}");
    }
}

#[test]
fn an_age_that_holds_nothing_back_is_told() {
    let folder = Folder::new();
    for (options, n_told) in [
        ("", 0),
        ("replay = true", 0),
        ("max_age = \"2h\"", 0),
        ("max_age = \"2h\"\nreplay = false", 0),
        ("max_age = \"2h\"\nreplay = true", 1),
        ("replay = true\nmax_age = \"1h\"", 1),
    ] {
        folder.write("c.toml", format!("{LIVES}url = \"http://[::1]:1\"\n{options}\n"));
        let told = folder.run(&["validate", "c.toml"]).with(0);
        let n = |words: &str| told.err.matches(words).count() + told.out.matches(words).count();
        assert_eq!(n("so that `max_age` holds nothing back"), n_told, "{options}: {told:?}");
    }
}

#[test]
fn what_is_replayed_is_not_posted() {
    let (told, line) = lives("", LONG_AGO);
    assert_eq!(told, "");
    assert_eq!(line, "0 changes in 0 posts, 6 changes of alerts older than `max_age` not posted");
    let now = u64::try_from(System.now().0).unwrap() / 1_000_000_000;
    for (options, start) in [("", now - 30), ("max_age = \"15000w\"", LONG_AGO)] {
        let (told, line) = lives(options, start);
        assert_eq!((told.lines().count(), line.as_str()), (6, "6 changes in 6 posts"));
    }
}

/// What was taken at the first place isn't posted at the second.
#[test]
fn a_url_may_be_put_right() {
    let wrong = Hook::start(|n, _| Some(if n < 3 { (200, "") } else { (404, "") }));
    let folder = job(&wrong);
    let config = folder.read("c.toml") + "give_up = \"1s\"\n";
    folder.write("c.toml", &config);
    run(&folder, None).with(4).says(&["404"]);
    let right = Hook::start(|_, _| Some((200, "")));
    folder.write("c.toml", config.replace(&wrong.url(), &right.url()));
    run(&folder, None).with(0);
    let got = |hook: &Hook| hook.got().into_iter().filter(|got| got.status == 200);
    let (there, here): (Vec<Got>, Vec<Got>) = (got(&wrong).collect(), got(&right).collect());
    assert!(!there.is_empty() && !here.is_empty());
    let all: Vec<Got> = there.into_iter().chain(here).collect();
    assert_eq!(taken(&all), folder.read_json("out/alerts.jsonl"));
}

#[cfg(feature = "sabotage")]
#[test]
fn an_end_at_any_post_loses_nothing_and_repeats_keep_their_keys() {
    let (mut n_ended, mut n_jobs) = (0, 0);
    for point in ["webhook.outbox.put", "post.before", "post.sent", "post.kept", "kept.written"] {
        for time in [1, 2, 5, 12] {
            let hook = Hook::start(|n, _| match n % 7 {
                3 => Some((500, "")),
                5 => None,
                _ => Some((200, "")),
            });
            let folder = job(&hook);
            for round in 0..3 {
                let ended = run(&folder, (round < 2).then(|| format!("{point}:{time}")));
                if ended.code == Some(0) {
                    break;
                }
                assert!(round < 2 && ended.code.is_none(), "{point}, time {time}: {ended:?}");
                n_ended += 1;
            }
            n_jobs += 1;
            let expected = folder.read_json("out/alerts.jsonl");
            assert_eq!(taken(&hook.got()), expected, "{point}, time {time}");
        }
    }
    println!("webhook: ended {n_ended} times in {n_jobs} jobs: each change came once and in order");
    assert!(n_ended > n_jobs, "{n_ended}");
}
