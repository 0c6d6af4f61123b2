//! Frames against a plain map, over random epochs, requests and reads. No socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use types::relations::{Alert, AlertState, RelationKind, Severity};
use types::{Changes, Epoch, Names, Text, VenueTime};

use super::feed::{Feed, Wanted};
use super::frames::Object;
use super::{MAX_SUBS, ServeOptions, Server};
use crate::publish::testing::{Chance, Twin, row};
use crate::publish::{Hub, ViewSpec};
use crate::runtime::EpochOutput;

fn feed(hub: &Arc<Hub>, frame_bytes: usize) -> Feed {
    let (_, goes_away) = watch::channel(false);
    Feed::new(Arc::new(Server {
        hub: Arc::clone(hub),
        options: ServeOptions { frame_bytes, ..ServeOptions::default() },
        seats: Arc::new(Semaphore::new(1)),
        goes_away,
        n_sessions: AtomicU64::new(0),
    }))
}

/// What a client knows of a subscription.
#[derive(Default)]
struct Client {
    rows: BTreeMap<String, String>,
    generation: u64,
    seq: u64,
    epoch: u64,
    is_whole: bool,
    n_resets: usize,
}

impl Client {
    /// Takes a frame in, as the protocol says; gives whether the rows are those of an epoch.
    fn hear(&mut self, frame: &Value) -> bool {
        let op = frame["op"].as_str().unwrap();
        let generation = frame["gen"].as_u64().unwrap();
        if op == "reset" {
            assert_eq!(generation, self.generation + 1);
            *self = Self {
                generation,
                n_resets: self.n_resets + 1,
                epoch: self.epoch,
                ..Self::default()
            };
            return false;
        }
        let (seq, epoch) = (frame["seq"].as_u64().unwrap(), text(&frame["epoch"]).parse().unwrap());
        assert_eq!((generation, seq), (self.generation.max(1), self.seq + 1), "{frame}");
        assert!(epoch >= self.epoch, "{frame}");
        (self.generation, self.seq, self.epoch) = (generation, seq, epoch);
        let list = |name: &str| frame[name].as_array().into_iter().flatten();
        for row in list("rows").chain(list("put")) {
            self.rows.insert(text(&row["k"]), text(&row["n"]));
        }
        for key in list("del") {
            assert!(self.rows.remove(&text(&key["k"])).is_some(), "{frame}");
        }
        assert!(op == "snap" || self.is_whole, "{frame}");
        self.is_whole |= op == "snap" && frame["last"] == true;
        op == "progress" || frame["last"] == true
    }
}

fn wanted<'a>(name: &str, view: &'a str) -> Wanted<'a> {
    Wanted { name: name.to_owned(), view, snapshot: true, live: false }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn parse(frame: Object) -> Value {
    let text = frame.into_text();
    assert!(text.as_str().starts_with("{\"op\":"), "{text}");
    serde_json::from_str(text.as_str()).unwrap()
}

#[test]
fn what_clients_fold_is_what_the_hub_held_at_that_epoch() {
    for seed in 0..100 {
        let mut chance = Chance(seed);
        let max_keys = [8, 1_000][usize::try_from(chance.below(2)).unwrap()];
        let mut twin = Twin::new(&["a", "b"], max_keys);
        // The rows of each view at each epoch.
        let mut history = vec![[BTreeMap::new(), BTreeMap::new()]];
        let mut feed = feed(&twin.hub, 150);
        let mut clients: BTreeMap<String, (usize, Client)> = BTreeMap::new();
        let (mut n_whole, mut cut_epoch) = (0, 0);
        for step in 0..300 {
            let now = Instant::now();
            match chance.below(12) {
                0 if clients.len() < 4 => {
                    let (name, view) = (format!("s{step}"), usize::try_from(step % 2).unwrap());
                    let view_name = ["a", "b"][view];
                    feed.subscribe(Object::op("ok"), wanted(&name, view_name), now).unwrap();
                    clients.insert(name, (view, Client::default()));
                }
                1 if clients.len() == 4 => {
                    let (name, _) = clients.pop_first().unwrap();
                    feed.unsubscribe(&name).unwrap();
                }
                2..=4 => {
                    twin.publish_random(&mut chance, 25, 5);
                    history.push([twin.shown(0), twin.shown(1)]);
                }
                _ => {
                    feed.plan(true, now);
                    let Some(frame) = feed.next_frame(now).map(parse) else { continue };
                    let (view, client) = clients.get_mut(frame["sub"].as_str().unwrap()).unwrap();
                    if client.hear(&frame) {
                        n_whole += 1;
                        let held = &history[usize::try_from(client.epoch).unwrap()][*view];
                        assert_eq!(client.rows, *held, "seed {seed}, step {step}");
                        assert!(client.epoch >= cut_epoch, "one order of epochs for all");
                        cut_epoch = client.epoch;
                    }
                }
            }
        }
        assert!(n_whole > 10, "seed {seed}: {n_whole}");
        let n_resets: usize = clients.values().map(|(_, client)| client.n_resets).sum();
        assert!(max_keys < 100 || n_resets == 0, "seed {seed}: reset though within the bound");
    }
}

#[test]
fn a_slow_reader_gets_merged_deltas_and_a_hopeless_one_starts_again() {
    for (max_keys, ops) in [(1_000, "snap delta"), (8, "snap reset snap")] {
        let (mut chance, mut twin) = (Chance(7), Twin::new(&["a"], max_keys));
        let mut feed = feed(&twin.hub, 1 << 20);
        let now = Instant::now();
        feed.subscribe(Object::op("ok"), wanted("s", "a"), now).unwrap();
        let (mut client, mut told) = (Client::default(), Vec::new());
        let mut read = |feed: &mut Feed, client: &mut Client| {
            feed.plan(true, now);
            while let Some(frame) = feed.next_frame(now).map(parse) {
                told.push(text(&frame["op"]));
                client.hear(&frame);
            }
        };
        read(&mut feed, &mut client);
        for _ in 0..100 {
            twin.publish_random(&mut chance, 25, 5);
        }
        read(&mut feed, &mut client);
        assert_eq!(told.join(" "), ops);
        assert_eq!((client.rows, client.epoch), (twin.shown(0), 100));
    }
}

#[test]
fn changes_in_pieces_end_with_a_last_one_though_it_be_empty() {
    let twin = Twin::new(&["a"], 10);
    let mut feed = feed(&twin.hub, 1);
    let now = Instant::now();
    feed.subscribe(Object::op("ok"), wanted("s", "a"), now).unwrap();
    feed.plan(false, now);
    assert_eq!(parse(feed.next_frame(now).unwrap())["last"], true);
    // Of two keys that came, in this order, the second goes before anybody looks.
    let publish = |epoch, rows| {
        let changes = vec![Arc::new(Changes::Rows(rows))];
        let (epoch, watermark) = (Epoch(epoch), VenueTime::MIN);
        twin.hub.publish(&EpochOutput { epoch, watermark, changes });
    };
    publish(1, vec![(row(1, 1, 0), 1), (row(2, 1, 0), 1)]);
    publish(2, vec![(row(2, 1, 0), -1)]);
    feed.plan(true, now);
    for (put, last) in [(json!([{ "k": "k1", "n": "1" }]), false), (json!([]), true)] {
        let frame = parse(feed.next_frame(now).unwrap());
        assert_eq!(
            (&frame["put"], &frame["del"], &frame["last"]),
            (&put, &json!([]), &json!(last))
        );
    }
    // One that came and went alone is no news at all.
    publish(3, vec![(row(2, 1, 0), 1)]);
    publish(4, vec![(row(2, 1, 0), -1)]);
    feed.plan(true, now);
    assert!(feed.next_frame(now).is_none() && feed.is_idle());
}

fn alert(time: i64, n: u64) -> Alert {
    Alert {
        rule: Text::from("dear"),
        entity: Text::from("ann"),
        time: VenueTime::from_nanos(time),
        id: Text::from(""),
        severity: Severity::High,
        state: if n.is_multiple_of(2) { AlertState::Firing } else { AlertState::Resolved },
        resolved_at: None,
        message: Text::from(n.to_string()),
    }
}

/// Alerts by their time, as the hub shows them, and how those stood that went: the row, and whether it
/// was taken back or is only old.
#[derive(Default)]
struct Alerts {
    all: BTreeMap<i64, Alert>,
    shown: BTreeMap<i64, Alert>,
    went: BTreeMap<i64, (Alert, bool)>,
}

impl Alerts {
    /// Puts, revises and takes back some; what that changes.
    fn change(&mut self, chance: &mut Chance, epoch: i64) -> Vec<(Alert, isize)> {
        let mut changed = Vec::new();
        for time in (epoch * 10 - 60..=epoch * 10).step_by(10) {
            let n = chance.below(8);
            if n > 3 {
                continue;
            }
            let old = self.all.remove(&time);
            changed.extend(old.clone().map(|old| (old, -1)));
            if n > 0 {
                let new = alert(time, chance.below(100) + 100 * n);
                changed.push((new.clone(), 1));
                self.all.insert(time, new);
            }
            if let (None, Some(shown)) = (self.all.get(&time), self.shown.get(&time)) {
                self.went.insert(time, (shown.clone(), true));
            }
        }
        types::changes::adjoin(&mut changed, &Alert::schema());
        let shown = |(time, _): &(&i64, &Alert)| **time >= epoch * 10 - 40;
        let shown = self.all.iter().filter(shown).map(|(time, row)| (*time, row.clone()));
        let before = std::mem::replace(&mut self.shown, shown.collect());
        for (time, row) in before {
            if self.all.contains_key(&time) && !self.shown.contains_key(&time) {
                self.went.insert(time, (row, false));
            }
        }
        changed
    }
}

#[test]
fn alerts_that_are_taken_back_are_told_as_they_stood_and_old_ones_just_go() {
    let (mut n_retracted, mut n_aged) = (0, 0);
    for seed in 0..100 {
        let mut chance = Chance(seed);
        let (kind, schema) = (RelationKind::Alerts, Alert::schema().shared());
        let spec = ViewSpec { name: "alerts".into(), kind, schema, operator: "alert", live: None };
        let hub = Arc::new(Hub::new(vec![spec], &Arc::new(Names::default()), 40));
        let (mut feed, now) = (feed(&hub, 300), Instant::now());
        feed.subscribe(Object::op("ok"), wanted("s", "alerts"), now).unwrap();
        let (mut alerts, mut told) = (Alerts::default(), BTreeMap::new());
        for epoch in 1..40_u32 {
            let at = i64::from(epoch);
            let changes = vec![Arc::new(Changes::Alerts(alerts.change(&mut chance, at)))];
            let watermark = VenueTime::from_nanos(at * 10);
            hub.publish(&EpochOutput { epoch: Epoch(epoch.into()), watermark, changes });
            if chance.below(3) > 0 {
                continue;
            }
            feed.plan(true, now);
            let (mut del, mut retracted) = (Vec::new(), Vec::new());
            let time = |row: &Value| VenueTime::parse(row["time"].as_str().unwrap()).unwrap();
            while let Some(frame) = feed.next_frame(now).map(parse) {
                let list = |name: &str| frame[name].as_array().into_iter().flatten().cloned();
                assert_ne!(frame.get("retracted"), Some(&json!([])), "seed {seed}");
                let put = list("rows").chain(list("put"));
                told.extend(put.map(|row| (time(&row).nanos(), text(&row["message"]))));
                del.extend(list("del").map(|key| time(&key).nanos()));
                retracted.extend(list("retracted").map(|row| {
                    assert_eq!(row["state"], "retracted", "seed {seed}");
                    (time(&row).nanos(), text(&row["message"]))
                }));
            }
            let gone: Vec<i64> =
                told.keys().copied().filter(|time| !alerts.shown.contains_key(time)).collect();
            assert_eq!(del, gone, "seed {seed}, epoch {epoch}");
            let taken_back = gone.iter().filter_map(|time| {
                let (row, is_retracted) = &alerts.went[time];
                is_retracted.then(|| (*time, row.message.to_string()))
            });
            assert_eq!(retracted, taken_back.collect::<Vec<_>>(), "seed {seed}, epoch {epoch}");
            told.retain(|time, _| !gone.contains(time));
            let shown = alerts.shown.iter().map(|(time, row)| (*time, row.message.to_string()));
            assert_eq!(told, shown.collect(), "seed {seed}, epoch {epoch}");
            (n_retracted, n_aged) =
                (n_retracted + retracted.len(), n_aged + gone.len() - retracted.len());
        }
    }
    assert!(n_retracted > 100 && n_aged > 100, "{n_retracted} retracted, {n_aged} aged");
}

#[test]
fn silence_is_broken_by_progress_and_the_end_is_told_at_once() {
    let mut twin = Twin::new(&["a"], 10);
    let mut feed = feed(&twin.hub, 1 << 20);
    let start = Instant::now();
    let heartbeat = ServeOptions::default().heartbeat;
    feed.subscribe(Object::op("ok"), wanted("s", "a"), start).unwrap();
    let told = |feed: &mut Feed, has_changed, now| {
        feed.plan(has_changed, now);
        let mut told = Vec::new();
        while let Some(frame) = feed.next_frame(now).map(parse) {
            let frontier = frame.get("event_time_frontier").map(Value::to_string);
            told.push(text(&frame["op"]) + &frontier.unwrap_or_default());
        }
        told.join(" ")
    };
    assert_eq!(told(&mut feed, false, start), "snap");
    assert_eq!(told(&mut feed, false, start), "");
    assert_eq!(told(&mut feed, false, start + heartbeat), "progressnull");
    assert_eq!(feed.due_at(), Some(start + 2 * heartbeat));
    // An epoch without changes is no news.
    twin.publish_random(&mut Chance(0), 1, 0);
    assert_eq!(told(&mut feed, true, start + heartbeat), "");
    twin.hub.end();
    assert_eq!(told(&mut feed, true, start + heartbeat), "progress\"end\"");
    assert_eq!(told(&mut feed, true, start + heartbeat), "");
    feed.subscribe(Object::op("ok"), wanted("late", "a"), start + heartbeat).unwrap();
    assert_eq!(told(&mut feed, false, start + heartbeat), "snap progress\"end\"");
}

#[test]
fn wrong_subscriptions_are_refused() {
    let twin = Twin::new(&["positions", "pnl"], 10);
    let mut feed = feed(&twin.hub, 1 << 20);
    let now = Instant::now();
    let mut ask = |name: String, view: &str| {
        feed.subscribe(Object::op("ok"), wanted(&name, view), now)
            .map(parse)
            .map_err(|r| (r.code, r.message))
    };
    let unknown = ask("s".to_owned(), "postions").unwrap_err();
    assert_eq!(unknown.0, "unknown_view");
    assert!(unknown.1.contains("did you mean `positions`?"), "{}", unknown.1);
    for n in 0..MAX_SUBS {
        let ok = ask(format!("s{n}"), "pnl").unwrap();
        assert_eq!((&ok["gen"], &ok["key"]), (&json!(1), &json!(["k"])));
        assert_eq!(ok["schema"][1], json!({ "name": "n", "type": "count", "nullable": false }));
    }
    assert_eq!(ask("s3".to_owned(), "pnl").unwrap_err().0, "dup_sub");
    assert_eq!(ask("more".to_owned(), "pnl").unwrap_err().0, "too_many_subs");
    assert_eq!(feed.unsubscribe("more").unwrap_err().code, "unknown_sub");
}
