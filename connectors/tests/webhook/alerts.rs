//! What the changes of alerts look like.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use connectors::env::{Connecting, Env, Files, System};
use connectors::sink::{EpochChanges, Sink, SinkContext, SinkView};
use serde_json::Value as Json;
use types::options::{Setting, Settings};
use types::relations::{Alert, AlertState, RelationKind, Severity};
use types::{
    Changes, Column, Epoch, Interner, Kind, Names, ReceiveTime, Row, Schema, Value, VenueTime,
};

use crate::hook::Hook;
use crate::{open, settings};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_571_200 * SECOND;

/// The system, but for its clock.
#[derive(Debug)]
struct Clock(AtomicI64);

impl Env for Clock {
    fn now(&self) -> ReceiveTime {
        ReceiveTime(self.0.load(Ordering::Relaxed))
    }

    fn chance(&self) -> u128 {
        7
    }

    fn files(&self, folder: &Path) -> io::Result<Arc<dyn Files>> {
        System.files(folder)
    }

    fn connect(&self, host: &str, port: u16) -> Connecting {
        System.connect(host, port)
    }
}

/// The sink `hook` over the view `alerts` and what else is asked for, a clock and the times of epochs.
struct Desk {
    folder: tempfile::TempDir,
    hook: Hook,
    clock: Arc<Clock>,
    settings: Settings,
    names: Arc<Names>,
}

impl Desk {
    fn new(pairs: &[(&'static str, &str)]) -> Self {
        let hook = Hook::start(|_, _| Some((200, "")));
        let mut settings = settings(&hook, pairs);
        settings.set("max_changes", Setting::Count(3), 0..0);
        Self {
            folder: tempfile::tempdir().unwrap(),
            hook,
            clock: Arc::new(Clock(AtomicI64::new(START))),
            settings,
            names: Arc::clone(Interner::new(false).names()),
        }
    }

    fn open(&self, views: &[(RelationKind, Schema)], is_resumed: bool) -> Box<dyn Sink> {
        let view = |(kind, schema): &(RelationKind, Schema)| SinkView {
            name: kind.name().into(),
            kind: *kind,
            schema: schema.clone().shared(),
        };
        let context = SinkContext {
            name: "hook".into(),
            pipeline: "test".into(),
            settings: self.settings.clone(),
            base: self.folder.path().into(),
            views: views.iter().map(view).collect(),
            names: Arc::clone(&self.names),
            is_finite: true,
            state_dir: self.folder.path().join("state"),
            is_resumed,
            chance: 7,
            env: Arc::<Clock>::clone(&self.clock),
        };
        open("webhook", context).unwrap()
    }

    fn set(&self, nanos: i64) {
        self.clock.0.store(nanos, Ordering::Relaxed);
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

/// The life of an alert that fires, resolves and is taken back.
fn life() -> Vec<Vec<(Alert, isize)>> {
    let firing = alert("big", "ann & <bob>", START, None, "5 > 3\nso");
    let resolved = alert("big", "ann & <bob>", START, Some(START + SECOND), "5 > 3\nso");
    vec![vec![(firing.clone(), 1)], vec![(firing, -1), (resolved.clone(), 1)], vec![(resolved, -1)]]
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
    let told = texts(&bodies(&[("format", "slack")], &epochs));
    let line = "ann &amp; &lt;bob&gt;, 5 &gt; 3 so, 2026-01-05T00:00:00.000000000Z";
    let expected = format!(
        "[high] big firing: {line}\n--\n\
         [high] big resolved: {line} to 2026-01-05T00:00:01.000000000Z\n--\n\
         [high] big retracted: {line} to 2026-01-05T00:00:01.000000000Z"
    );
    assert_eq!(told, expected);
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
