//! Alerts to a webhook, from a run that ends in its middle: who drops repeats has each change once.

#[path = "../../connectors/tests/webhook/hook.rs"]
mod hook;

use std::collections::BTreeMap;
use std::fmt::Write as _;

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
