//! Which changes of alerts are posted, against a slow twin that remembers everything, and what they look
//! like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connectors::sink::{EpochChanges, Sink};
use serde_json::Value as Json;
use types::options::Setting;
use types::relations::{Alert, AlertState, Relation, RelationKind, Severity};
use types::{
    Changes, Column, Epoch, Interner, Kind, Rate, Row, Schema, Text, Value, VenueTime, json,
};

use crate::desk::{Desk, START};
use crate::dice::Dice;
use crate::hook::Got;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Gives the epochs of a part; the first `n_given` were given before, and come later now if at all.
fn give(
    desk: &Desk,
    sink: &mut dyn Sink,
    history: &[(i64, Rows)],
    (n_given, dice): (usize, &mut Dice),
) {
    let mut before = &Rows::new();
    let kept_until = sink.kept_until().filter(|_| dice.below(2) == 0);
    for (nth, (now, after)) in history.iter().enumerate() {
        let epoch = Epoch(u64::try_from(nth + 1).unwrap());
        let last = history[..history.len().min(n_given)].last();
        desk.set(last.map_or(*now, |(last, _)| *now.max(last)));
        let views = vec![Arc::new(Changes::Alerts(changes(before, after)))];
        if kept_until < Some(epoch) {
            sink.write(&EpochChanges { epoch, views }).unwrap();
        }
        if dice.below(9) == 0 {
            sink.flush().unwrap();
        }
        before = after;
    }
}

fn alert(rule: &str, entity: &str, time: i64, resolved_at: Option<i64>, message: &str) -> Alert {
    Alert {
        rule: rule.into(),
        entity: entity.into(),
        time: VenueTime::from_nanos(time),
        id: "".into(),
        severity: Severity::High,
        state: if resolved_at.is_some() { AlertState::Resolved } else { AlertState::Firing },
        resolved_at: resolved_at.map(VenueTime::from_nanos),
        message: message.into(),
    }
}

type Key = (Text, Text, VenueTime, Text);
type Rows = BTreeMap<Key, Alert>;

fn key(alert: &Alert) -> Key {
    Relation::key(alert, &Alert::schema())
}

/// What stands after each epoch, and the clock at each.
fn history(seed: u64, n_epochs: usize) -> Vec<(i64, Rows)> {
    let mut dice = Dice(seed);
    let (mut now, mut rows, mut went) = (START, Rows::new(), Vec::new());
    let mut epochs = Vec::new();
    for _ in 0..n_epochs {
        now += i64::try_from(dice.below(40)).unwrap() * SECOND;
        for _ in 0..dice.below(6) {
            let ago = [0, 5, 50, 70, 600][usize::try_from(dice.below(5)).unwrap()] * MINUTE;
            let nth = usize::try_from(dice.below(99)).unwrap();
            let standing = (!rows.is_empty()).then(|| rows.keys().nth(nth % rows.len()).cloned());
            match (dice.below(9), standing.flatten()) {
                (0..=4, _) | (_, None) => {
                    let (rule, entity) = (["a", "b\""][nth % 2], ["x", "y", "z"][nth % 3]);
                    let resolved_at = (dice.below(4) == 0).then_some(now - ago / 2);
                    let row = alert(rule, entity, now - ago, resolved_at, "new");
                    rows.insert(key(&row), row);
                }
                (5, Some(found)) => {
                    rows.get_mut(&found).unwrap().message = dice.below(99).to_string().into();
                }
                (6, Some(found)) => {
                    let row = rows.get_mut(&found).unwrap();
                    row.state = AlertState::Resolved;
                    row.resolved_at = Some(VenueTime::from_nanos(now - ago));
                }
                (7, Some(found)) => went.extend(rows.remove(&found)),
                (_, Some(_)) => {
                    let back: Option<Alert> = went.pop();
                    rows.extend(back.map(|row| (key(&row), row)));
                }
            }
        }
        epochs.push((now, rows.clone()));
    }
    epochs
}

fn changes(before: &Rows, after: &Rows) -> Vec<(Alert, isize)> {
    let mut changes = Vec::new();
    changes.extend(
        before
            .values()
            .filter(|row| after.get(&key(row)) != Some(row))
            .map(|row| (row.clone(), -1)),
    );
    changes.extend(
        after.values().filter(|row| before.get(&key(row)) != Some(row)).map(|row| (row.clone(), 1)),
    );
    types::changes::adjoin(&mut changes, &Alert::schema());
    changes
}

fn key_text(alert: &Alert) -> String {
    let mut text = Vec::new();
    json::write_key(&mut text, alert, &Alert::schema(), Interner::new(false).names());
    String::from_utf8(text).unwrap()
}

/// Of a POST its changes (epoch, key, state) and how many alerts of which rule were held back.
type Post = (Vec<(String, String, String)>, BTreeMap<String, u64>);

/// What is posted and counted.
#[derive(Default)]
struct Told {
    posts: Vec<Post>,
    n_held: u64,
    n_old: u64,
}

/// Decides as SEMANTICS says, one change after the other, and forgets nothing.
fn twin(
    history: &[(i64, Rows)],
    rate_of: impl Fn(&str) -> Option<(usize, i64)>,
    max_age: Option<i64>,
) -> Told {
    let (mut told, mut before) = (Told::default(), Rows::new());
    let mut posted: Vec<(Text, i64)> = Vec::new();
    let mut was_posted: BTreeMap<Key, bool> = BTreeMap::new();
    let mut untold: BTreeMap<String, u64> = BTreeMap::new();
    for (epoch, (now, after)) in (1..).zip(history) {
        let mut lines = Vec::new();
        let mut touched: Vec<&Alert> = before.values().chain(after.values()).collect();
        touched.sort_by_key(|row| key_text(row));
        touched.dedup_by_key(|row| key(row));
        for row in touched {
            let (old, new) = (before.get(&key(row)), after.get(&key(row)));
            if old == new {
                continue;
            }
            let last = new.or(old).unwrap();
            let time = last.resolved_at.unwrap_or(last.time).nanos();
            let is_old = max_age.is_some_and(|max_age| now - time > max_age);
            let verdict = match old {
                Some(_) if is_old => was_posted.get(&key(row)).copied(),
                Some(_) => Some(*was_posted.entry(key(row)).or_insert(true)),
                None if is_old => None,
                None => {
                    let rate = rate_of(row.rule.as_str());
                    let n = posted.iter().filter(|(rule, at)| {
                        *rule == row.rule && rate.is_some_and(|(_, within)| now - at < within)
                    });
                    let passes = rate.is_none_or(|(most, _)| n.count() < most);
                    if passes {
                        posted.push((row.rule.clone(), *now));
                    } else {
                        *untold.entry(row.rule.to_string()).or_default() += 1;
                        told.n_held += 1;
                    }
                    was_posted.insert(key(row), passes);
                    Some(passes)
                }
            };
            told.n_old += u64::from(verdict.is_none());
            if verdict == Some(true) {
                let state = new.map_or("retracted", |row| row.state.word());
                lines.push((epoch.to_string(), key_text(row), state.to_owned()));
            }
            if new.is_none() {
                was_posted.remove(&key(row));
            }
        }
        for part in lines.chunks(3) {
            let rules = part.iter().map(|(_, key, _)| rule_of(key));
            let held = rules.filter_map(|rule| untold.remove_entry(&rule));
            told.posts.push((part.to_vec(), held.collect()));
        }
        before.clone_from(after);
    }
    told
}

fn rule_of(key: &str) -> String {
    let key: Json = serde_json::from_str(key).unwrap();
    key["rule"].as_str().unwrap().to_owned()
}

/// What came, each POST once: the last one of a part comes again with the next.
fn told(got: &[Got]) -> Vec<Post> {
    let mut keys = BTreeSet::new();
    let mut posts = Vec::new();
    for got in got.iter().filter(|got| keys.insert(got.key())) {
        let body: Json = serde_json::from_str(&got.body).unwrap();
        let changes = body["changes"].as_array().unwrap().iter().map(|change| {
            let row = &change["row"];
            let text = |name: &str| row[name].as_str().unwrap();
            let time = VenueTime::parse(text("time")).unwrap().nanos();
            let key = key_text(&alert(text("rule"), text("entity"), time, None, ""));
            if change["op"] == "del" {
                assert_eq!(change["key"], serde_json::from_str::<Json>(&key).unwrap());
            }
            (change["epoch"].as_str().unwrap().to_owned(), key, text("state").to_owned())
        });
        let held = body.get("held_back").map(|held| {
            let held = held.as_object().unwrap();
            assert!(!held.is_empty(), "{body}");
            held.iter().map(|(rule, n)| (rule.clone(), n.as_u64().unwrap())).collect()
        });
        posts.push((changes.collect(), held.unwrap_or_default()));
    }
    posts
}

/// Delivers, in some parts of which each but the last ends as a crash ends it; what was held back and
/// passed over in all.
fn check(seed: u64) -> (u64, u64) {
    let history = history(seed, 40);
    let mut dice = Dice(!seed);
    let rates = [(None, ""), (Some((2, MINUTE)), "2/1m"), (Some((1, 3 * MINUTE)), "1/3m")];
    let (rate, rate_text) = rates[usize::try_from(seed % 3).unwrap()];
    let own_rate = (seed % 4 > 1).then_some((1, 2 * MINUTE));
    let is_replay = seed % 2 == 1;
    let mut pairs = vec![("max_age", "1h")];
    pairs.extend(rate.map(|_| ("rate_limit", rate_text)));
    let mut desk = Desk::new(&pairs);
    desk.rates.extend(own_rate.map(|_| ("a".to_owned(), Rate::parse("1/2m").unwrap())));
    desk.settings.set("replay", Setting::Bool(is_replay), 0..0);
    let mut n_given = 0;
    for is_resumed in [false, true, true, true] {
        let mut sink = desk.open(&[(RelationKind::Alerts, Alert::schema())], is_resumed);
        let n = usize::try_from(dice.below(40)).unwrap();
        give(&desk, sink.as_mut(), &history[..n], (n_given, &mut dice));
        n_given = n_given.max(n);
    }
    let mut sink = desk.open(&[(RelationKind::Alerts, Alert::schema())], true);
    give(&desk, sink.as_mut(), &history, (n_given, &mut dice));
    sink.flush().unwrap();
    let rate_of = |rule: &str| own_rate.filter(|_| rule == "a").or(rate);
    let expected = twin(&history, rate_of, (!is_replay).then_some(60 * MINUTE));
    let posts = told(&desk.hook.got());
    for (post, expected) in posts.iter().zip(&expected.posts) {
        assert_eq!(post, expected, "seed {seed}");
    }
    assert_eq!(posts.len(), expected.posts.len(), "seed {seed}");
    let line = &sink.finish().unwrap().lines[0];
    let Told { n_held, n_old, .. } = expected;
    let held = format!(", {n_held} alerts held back by `rate_limit`");
    let old = format!(", {n_old} changes of alerts older than `max_age` not posted");
    for (n, what) in [(n_held, held), (n_old, old)] {
        assert_eq!(line.contains(&what), n > 0, "seed {seed}: {line}");
    }
    (n_held, n_old)
}

#[test]
fn alerts_are_posted_as_a_slow_twin_says_though_runs_end_anywhere() {
    let counts: Vec<(u64, u64)> = (0..12).map(check).collect();
    assert!(counts.iter().filter(|(n_held, n_old)| *n_held > 5 && *n_old > 5).count() > 3);
}

#[cfg(feature = "sabotage")]
#[test]
fn what_was_decided_and_is_forgotten_is_noticed() {
    types::sabotage::assert_noticed(types::sabotage::Safeguard::FatesKept, 12, |seed| {
        check(seed);
    });
}

/// The bodies of what is posted: an epoch a second, with what becomes of its alerts.
fn bodies(pairs: &[(&'static str, &str)], epochs: &[&[(Alert, isize)]]) -> Vec<String> {
    let desk = Desk::new(pairs);
    let mut sink = desk.open(&[(RelationKind::Alerts, Alert::schema())], false);
    for (nth, changes) in (1..).zip(epochs) {
        desk.set(START + nth * SECOND);
        let mut changes = changes.to_vec();
        types::changes::adjoin(&mut changes, &Alert::schema());
        let (epoch, views) = (Epoch(nth.unsigned_abs()), vec![Arc::new(Changes::Alerts(changes))]);
        sink.write(&EpochChanges { epoch, views }).unwrap();
    }
    desk.hook.got().into_iter().map(|got| got.body).collect()
}

/// The life of an alert that fires, resolves and is taken back, with two more that are held back.
fn life() -> Vec<Vec<(Alert, isize)>> {
    let firing = alert("big", "ann & <bob>", START, None, "5 > 3\nso");
    let resolved = alert("big", "ann & <bob>", START, Some(START + SECOND), "5 > 3\nso");
    let held = |nth: i64| alert("big", "eve", START + nth, None, "");
    vec![
        vec![(firing.clone(), 1)],
        vec![(held(1), 1)],
        vec![(held(2), 1)],
        vec![(firing, -1), (resolved.clone(), 1)],
        vec![(held(1), -1)],
        vec![(resolved, -1)],
    ]
}

fn texts(bodies: &[String]) -> String {
    let text = |body: &String| {
        let body: Json = serde_json::from_str(body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        body["text"].as_str().unwrap().to_owned()
    };
    bodies.iter().map(text).collect::<Vec<_>>().join("\n--\n")
}

#[test]
fn slack_gets_a_line_a_change() {
    let life = life();
    let epochs: Vec<&[(Alert, isize)]> = life.iter().map(Vec::as_slice).collect();
    let told = texts(&bodies(&[("format", "slack"), ("rate_limit", "1/1m")], &epochs));
    let line = "ann &amp; &lt;bob&gt;, 5 &gt; 3 so, 2026-01-05T00:00:00.000000000Z";
    let expected = format!(
        "[high] big firing: {line}\n--\n\
         [high] big resolved: {line} to 2026-01-05T00:00:01.000000000Z\n\
         2 more alerts of big were held back\n--\n\
         [high] big retracted: {line} to 2026-01-05T00:00:01.000000000Z"
    );
    assert_eq!(told, expected);
}

#[test]
fn bodies_say_how_many_alerts_were_held_back() {
    let life = life();
    let epochs: Vec<&[(Alert, isize)]> = life.iter().map(Vec::as_slice).collect();
    let bodies = bodies(&[("rate_limit", "1/1m")], &epochs);
    assert_eq!(bodies.len(), 3);
    let key =
        r#"{"rule":"big","entity":"ann & <bob>","time":"2026-01-05T00:00:00.000000000Z","id":""}"#;
    let row = r#""severity":"high","state":"retracted","resolved_at":"2026-01-05T00:00:01.000000000Z","message":"5 > 3\nso"}"#;
    let head = key.strip_suffix('}').unwrap();
    assert_eq!(
        bodies[2],
        format!(
            r#"{{"key":"test/hook/00000000000000000000000000000007/6/0","pipeline":"test","sink":"hook","changes":[{{"view":"alerts","epoch":"6","op":"del","key":{key},"row":{head},{row}}}]}}"#
        )
    );
    assert!(
        bodies[1].contains(r#","sink":"hook","held_back":{"big":2},"changes":[{"view""#),
        "{}",
        bodies[1]
    );
    assert!(!bodies[0].contains("held_back"), "{}", bodies[0]);
}

#[test]
fn an_alert_that_comes_back_as_history_is_judged_anew() {
    let desk = Desk::new(&[]);
    let mut sink = desk.open(&[(RelationKind::Alerts, Alert::schema())], false);
    let row = |message: &str| alert("big", "ann", START, None, message);
    let lives: [(i64, Vec<(Alert, isize)>, usize); 5] = [
        (START, vec![(row("a"), 1)], 1),
        (START + 90 * MINUTE, vec![(row("a"), -1), (row("b"), 1)], 2),
        (START + 91 * MINUTE, vec![(row("b"), -1)], 3),
        (START + 92 * MINUTE, vec![(row("a"), 1)], 3),
        (START + 93 * MINUTE, vec![(row("a"), -1), (row("b"), 1)], 3),
    ];
    for (epoch, (now, changes, n_posts)) in (1..).zip(lives) {
        desk.set(now);
        let views = vec![Arc::new(Changes::Alerts(changes))];
        sink.write(&EpochChanges { epoch: Epoch(epoch), views }).unwrap();
        assert_eq!(desk.hook.got().len(), n_posts, "epoch {epoch}");
    }
}

#[test]
fn what_was_held_back_stays_so_and_epochs_are_kept_with_their_counts() {
    let desk = Desk::new(&[("rate_limit", "1/1m")]);
    let views = [(RelationKind::Alerts, Alert::schema())];
    let firing = |nth: i64| vec![(alert("big", "ann", START + nth, None, ""), 1)];
    let give = |sink: &mut dyn Sink, epoch: u64, changes: Vec<(Alert, isize)>| {
        let views = vec![Arc::new(Changes::Alerts(changes))];
        sink.write(&EpochChanges { epoch: Epoch(epoch), views }).unwrap();
        sink.kept_until()
    };
    let mut sink = desk.open(&views, false);
    assert_eq!(give(sink.as_mut(), 1, firing(1)), Some(Epoch(1)));
    assert_eq!(give(sink.as_mut(), 2, firing(2)), Some(Epoch(2)));
    // The next part is later than the rate's minute.
    desk.set(START + 10 * MINUTE);
    let mut sink = desk.open(&views, true);
    assert_eq!(give(sink.as_mut(), 2, firing(2)), Some(Epoch(2)));
    assert_eq!(give(sink.as_mut(), 3, firing(-120 * MINUTE)), Some(Epoch(2)), "it is passed over");
    assert_eq!(give(sink.as_mut(), 4, Vec::new()), Some(Epoch(2)));
    sink.flush().unwrap();
    assert_eq!(sink.kept_until(), Some(Epoch(4)));
    // What was told once is on disk, also where nothing was posted in the meantime.
    assert_eq!(give(sink.as_mut(), 9, Vec::new()), Some(Epoch(4)));
    sink.flush().unwrap();
    drop(sink);
    for (is_resumed, epoch) in [(true, 9), (false, 0), (true, 0)] {
        assert_eq!(desk.open(&views, is_resumed).kept_until(), Some(Epoch(epoch)));
    }
    let keys: BTreeSet<String> = desk.hook.got().iter().map(|got| got.key().to_owned()).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[test]
fn slack_gets_rows_of_other_views_as_their_json_in_a_line() {
    let desk = Desk::new(&[("format", "slack")]);
    let column = Column { name: "k".into(), kind: Kind::Text, nullable: false };
    let schema = Schema { columns: vec![column], n_key: 1, time: None };
    let mut sink = desk.open(&[(RelationKind::Rows, schema)], false);
    let row = |text: &str| Row(Arc::from([Value::Text(text.into())]));
    let views = vec![Arc::new(Changes::Rows(vec![(row("a\nb"), -1), (row("<w>"), 1)]))];
    sink.write(&EpochChanges { epoch: Epoch(1), views }).unwrap();
    let told = texts(&desk.hook.got().into_iter().map(|got| got.body).collect::<Vec<_>>());
    let name = RelationKind::Rows.name();
    let expected = format!(
        "{{\"view\":\"{name}\",\"epoch\":\"1\",\"op\":\"put\",\"row\":{{\"k\":\"&lt;w&gt;\"}}}}\n\
         {{\"view\":\"{name}\",\"epoch\":\"1\",\"op\":\"del\",\"key\":{{\"k\":\"a\\nb\"}}}}"
    );
    assert_eq!(told, expected);
}
