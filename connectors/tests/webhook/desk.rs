//! A webhook whose clock is set by hand.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use connectors::env::{Connecting, Env, Files, System};
use connectors::sink::{Sink, SinkContext, SinkView};
use types::options::{Setting, Settings};
use types::relations::RelationKind;
use types::{Interner, Names, Rate, ReceiveTime, Schema};

use crate::hook::Hook;
use crate::{open, settings};

/// What the clock says at first, in nanoseconds.
pub(crate) const START: i64 = 1_767_571_200_000_000_000;

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

/// The sink `hook` over the views that are asked for, with a clock that is set.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) hook: Hook,
    clock: Arc<Clock>,
    pub(crate) settings: Settings,
    /// Of rules that have one of their own.
    pub(crate) rates: BTreeMap<String, Rate>,
    names: Arc<Names>,
}

impl Desk {
    /// At [`START`].
    pub(crate) fn new(pairs: &[(&'static str, &str)]) -> Self {
        let hook = Hook::start(|_, _| Some((200, "")));
        let mut settings = settings(&hook, pairs);
        settings.set("max_changes", Setting::Count(3), 0..0);
        Self {
            folder: tempfile::tempdir().unwrap(),
            hook,
            clock: Arc::new(Clock(AtomicI64::new(START))),
            settings,
            rates: BTreeMap::new(),
            names: Arc::clone(Interner::new(false).names()),
        }
    }

    /// Opens the sink, as a run does that starts or goes on.
    pub(crate) fn open(&self, views: &[(RelationKind, Schema)], is_resumed: bool) -> Box<dyn Sink> {
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
            rates: self.rates.clone(),
            names: Arc::clone(&self.names),
            is_finite: true,
            state_dir: self.folder.path().join("state"),
            is_resumed,
            chance: 7,
            env: Arc::<Clock>::clone(&self.clock),
        };
        open("webhook", context).unwrap()
    }

    /// Sets the clock.
    pub(crate) fn set(&self, nanos: i64) {
        self.clock.0.store(nanos, Ordering::Relaxed);
    }
}
