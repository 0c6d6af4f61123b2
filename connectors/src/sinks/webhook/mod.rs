//! `webhook`: the changes of its views to an http url, epoch by epoch, in order.
//!
//! An epoch that changes something is a batch: one POST, or some where it is large. It is kept on disk
//! before its first byte leaves, and sent again as it is, until the other side has taken it. Each POST
//! bears a key that stays the same however often it is sent, so that who gets it can drop repeats.

mod client;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use types::fault::point;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::{Alert, Relation};
use types::sabotage::{Safeguard, is_out};
use types::spell::{write_count, write_text};
use types::{Epoch, Names, Schema, json};

use self::client::{Client, Refusal, check_header, check_url};
use super::aside::{Aside, Length};
use super::check_keyed;
use super::held::{Shown, Visit, visit_changes};
use super::kept::Kept;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "webhook",
    help: "posts each change as JSON to an http url",
    options: OPTIONS,
    check,
    open,
};

const OPTIONS: &[OptionSpec] = &[
    option("url", OptionKind::Text, Need::Required, "where to: http or https"),
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

fn check(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(Err((message, hint))) = settings.text("url").map(check_url) {
        problems.push(Problem::new(settings.place("url"), "bad_option", message).hint(hint));
    }
    for (header, place) in settings.list("headers") {
        if let Err((message, hint)) = check_header(header) {
            problems.push(Problem::new(place.clone(), "bad_option", message).hint(hint));
        }
    }
    if settings.text("signing_secret") == Some("") {
        let problem =
            Problem::new(settings.place("signing_secret"), "bad_option", "the secret is empty");
        problems.push(problem.hint("leave it out to sign nothing"));
    }
    problems
}

fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    check_keyed(&context)?;
    let settings = &context.settings;
    let state = context.state()?;
    let (outbox, through) =
        (Kept::new(Arc::clone(&state), "outbox"), Kept::new(Arc::clone(&state), "through"));
    let (batch, progress): (Option<Batch>, Option<Progress>) =
        if context.is_resumed { (outbox.read()?, through.read()?) } else { (None, None) };
    let progress = progress.unwrap_or_default();
    let mut sink = Webhook {
        client: Client::new(&context)?,
        aside: Aside::open(state, progress.aside)?,
        run: match &batch {
            Some(batch) => batch.run.clone(),
            None => format!("{:032x}", context.chance),
        },
        name: context.name,
        pipeline: context.pipeline,
        views: context.views,
        names: context.names,
        outbox,
        through,
        progress,
        totals: Totals::default(),
        last: None,
        max_changes: usize::try_from(settings.count("max_changes").unwrap_or(100)).unwrap_or(1),
        max_refused: settings.count("max_refused").unwrap_or(1_000),
    };
    if let Some(batch) = batch {
        tracing::info!(sink = %sink.name, epoch = batch.epoch, "sending the outbox again");
        sink.last = Some(Epoch(batch.epoch));
        sink.send(&batch)?;
    } else {
        sink.through.forget()?;
        sink.outbox.forget()?;
    }
    Ok(Box::new(sink))
}

/// The changes of an epoch, as they are sent.
#[derive(Serialize, Deserialize)]
struct Batch {
    /// The run: one that goes on keeps the number of its first part.
    run: String,
    epoch: u64,
    posts: Vec<Post>,
    /// What was sent, with this batch.
    totals: Totals,
}

/// A POST.
#[derive(Serialize, Deserialize)]
struct Post {
    /// Stays the same however often it is sent.
    key: String,
    /// Of which views.
    views: String,
    n_changes: u64,
    body: String,
}

/// What was sent.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Totals {
    n_posts: u64,
    n_changes: u64,
}

/// How far the batch of an epoch has come, and what was set aside.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    n_through: usize,
    aside: Length,
    /// Changes of the POSTs that were set aside.
    n_refused: u64,
}

struct Webhook {
    client: Client,
    aside: Aside,
    run: String,
    name: String,
    pipeline: String,
    views: Vec<SinkView>,
    names: Arc<Names>,
    outbox: Kept,
    through: Kept,
    progress: Progress,
    totals: Totals,
    last: Option<Epoch>,
    max_changes: usize,
    max_refused: u64,
}

impl Sink for Webhook {
    fn kept_until(&self) -> Option<Epoch> {
        Some(self.last.unwrap_or(Epoch(0)))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        let mut spelt = Vec::new();
        for (place, (view, changed)) in self.views.iter().zip(&changes.views).enumerate() {
            let (name, schema) = (&view.name, &view.schema);
            let mut lines = Lines { place, name, schema, names: &self.names, spelt: &mut spelt };
            visit_changes(changed, schema, &self.names, changes.epoch, &mut lines)?;
        }
        self.last = Some(changes.epoch);
        if spelt.is_empty() {
            return Ok(());
        }
        let batch = self.batch(changes.epoch, &spelt);
        point("webhook.outbox.before");
        if !is_out(Safeguard::PostsKept) {
            self.outbox.write(&batch)?;
        }
        point("webhook.outbox.put");
        self.send(&batch)
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn report(&self) -> SinkReport {
        let Totals { n_posts, n_changes } = self.totals;
        let Progress { aside: Length { n_rows, .. }, n_refused, .. } = self.progress;
        let (n_posts, n_changes) =
            (n_posts.saturating_sub(n_rows), n_changes.saturating_sub(n_refused));
        SinkReport {
            lines: vec![format!("{}: {n_changes} changes in {n_posts} posts", self.client.place())],
            n_refused,
            quarantine: (n_rows > 0).then(|| self.aside.path()),
        }
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        Ok(self.report())
    }
}

impl Webhook {
    /// Cuts the changes of an epoch into POSTs.
    fn batch(&self, epoch: Epoch, spelt: &[Spelt]) -> Batch {
        let mut totals = self.totals;
        let posts: Vec<Post> = (0..)
            .zip(spelt.chunks(self.max_changes))
            .map(|(part, changes)| self.post(epoch, part, changes))
            .collect();
        for post in &posts {
            totals.n_posts += 1;
            totals.n_changes += post.n_changes;
        }
        Batch { run: self.run.clone(), epoch: epoch.0, posts, totals }
    }

    fn post(&self, Epoch(epoch): Epoch, part: u64, changes: &[Spelt]) -> Post {
        let Self { pipeline, name, run, .. } = self;
        let key = format!("{pipeline}/{name}/{run}/{epoch}/{part}");
        let mut body = b"{\"key\":".to_vec();
        write_text(&mut body, &key);
        for (field, text) in [("pipeline", pipeline), ("sink", name)] {
            body.extend_from_slice(format!(",\"{field}\":").as_bytes());
            write_text(&mut body, text);
        }
        body.extend_from_slice(b",\"changes\":[");
        let mut views: Vec<usize> = Vec::new();
        for (nth, change) in changes.iter().enumerate() {
            if nth > 0 {
                body.push(b',');
            }
            body.extend_from_slice(change.json.as_bytes());
            if views.last() != Some(&change.view) {
                views.push(change.view);
            }
        }
        body.extend_from_slice(b"]}");
        let views = views.iter().filter_map(|place| Some(self.views.get(*place)?.name.as_str()));
        Post {
            key,
            views: views.collect::<Vec<_>>().join(", "),
            n_changes: u64::try_from(changes.len()).unwrap_or(u64::MAX),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// Sends a batch that is in the outbox, but for what is through.
    fn send(&mut self, batch: &Batch) -> Result<(), ConnectError> {
        if self.progress.epoch != batch.epoch {
            (self.progress.epoch, self.progress.n_through) = (batch.epoch, 0);
        }
        let n_through = self.progress.n_through;
        for (nth, post) in batch.posts.iter().enumerate().skip(n_through) {
            let may_set_aside = self.progress.aside.n_rows < self.max_refused;
            let doing = format!("posting epoch {} of {}", batch.epoch, post.views);
            point("post.before");
            let refusal = self.client.send(&doing, &post.key, &post.body, may_set_aside)?;
            point("post.sent");
            let is_refused = refusal.is_some();
            if let Some(refusal) = refusal {
                self.set_aside(batch.epoch, post, &refusal)?;
            }
            self.progress.n_through = nth + 1;
            // The next batch says that the last POST of this one is through.
            if is_refused || nth + 1 < batch.posts.len() {
                self.through.write(&self.progress)?;
                point("post.kept");
            }
        }
        self.totals = batch.totals;
        Ok(())
    }

    fn set_aside(
        &mut self,
        epoch: u64,
        post: &Post,
        refusal: &Refusal,
    ) -> Result<(), ConnectError> {
        let body = RawValue::from_string(post.body.clone())
            .map_err(|error| ConnectError::broken("setting a post aside").because(error))?;
        let written = Written {
            sink: &self.name,
            view: &post.views,
            epoch: epoch.to_string(),
            key: &post.key,
            reason: format!("status_{}", refusal.status),
            detail: &refusal.detail,
            body,
        };
        tracing::warn!(
            sink = %self.name, key = %post.key, status = refusal.status,
            "the webhook refuses a post: it goes to quarantine"
        );
        self.progress.aside = self.aside.add(self.progress.aside, &written)?;
        self.progress.n_refused += post.n_changes;
        Ok(())
    }
}

/// A POST that was set aside, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    sink: &'a str,
    view: &'a str,
    epoch: String,
    key: &'a str,
    reason: String,
    detail: &'a str,
    body: Box<RawValue>,
}

/// A change as JSON, and which view's.
struct Spelt {
    view: usize,
    json: String,
}

/// Spells changes.
struct Lines<'a> {
    place: usize,
    name: &'a str,
    schema: &'a Schema,
    names: &'a Names,
    spelt: &'a mut Vec<Spelt>,
}

impl Visit for Lines<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        for Shown { row, is_deleted, epoch } in rows {
            let mut line = b"{\"view\":".to_vec();
            write_text(&mut line, self.name);
            line.extend_from_slice(b",\"epoch\":\"");
            write_count(&mut line, epoch.0);
            if *is_deleted {
                line.extend_from_slice(b"\",\"op\":\"del\",\"key\":");
                json::write_key(&mut line, *row, self.schema, self.names);
                if let Some(alert) = Alert::of(*row) {
                    line.extend_from_slice(b",\"row\":");
                    json::write_retracted(&mut line, alert, self.schema, self.names);
                }
            } else {
                line.extend_from_slice(b"\",\"op\":\"put\",\"row\":");
                json::write_row(&mut line, *row, self.schema, self.names);
            }
            line.push(b'}');
            let json = String::from_utf8_lossy(&line).into_owned();
            self.spelt.push(Spelt { view: self.place, json });
        }
        Ok(())
    }
}

/// How long an answer may take, where the config doesn't say.
const TIMEOUT: Duration = Duration::from_secs(30);
