//! `webhook`: the changes of its views to an http url, epoch by epoch, in order.
//!
//! An epoch that changes something is a batch: one POST, or some where it is large. It is kept on disk
//! before its first byte leaves, and sent again as it is, until the other side has taken it. Each POST
//! bears a key that stays the same however often it is sent, so that who gets it can drop repeats.
//!
//! Of alerts not every change is news: `limits` says which are posted.

mod batch;
mod body;
mod client;
mod limits;
mod options;

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use types::fault::point;
use types::sabotage::{Safeguard, is_out};
use types::{Epoch, Names, Text};

use self::batch::{Batch, Post, Progress, Totals};
use self::body::{Envelope, Format, Spelling, Spelt};
use self::client::{Client, Refusal};
use self::limits::{Identities, Judge, Limits, Memory};
use super::aside::{Aside, Length};
use super::kept::Kept;
use super::shown::visit_changes;
use crate::env::Env;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "webhook",
    help: "posts each change as JSON to an http url",
    options: options::OPTIONS,
    check: options::check,
    open,
};

/// Epochs after which it is kept how far the sink has come, though nothing is posted and the input doesn't
/// pause: until then a run that goes on gives them again.
const KEPT_EPOCHS: u64 = 4_096;

fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let settings = &context.settings;
    let state = context.state()?;
    let [outbox, through, reached] =
        ["outbox", "through", "reached"].map(|name| Kept::new(Arc::clone(&state), name));
    let (mut batch, mut progress, mut epoch): (Option<Batch>, Option<Progress>, Option<u64>) =
        Default::default();
    if context.is_resumed {
        (batch, progress, epoch) = (outbox.read()?, through.read()?, reached.read()?);
    }
    let progress = progress.unwrap_or_default();
    let is_slack = settings.text("format") == Some("slack");
    let mut sink = Webhook {
        client: Client::new(&context)?,
        format: if is_slack { Format::Slack } else { Format::Tapeline },
        limits: options::limits(settings, context.rates),
        memory: Memory::default(),
        max_changes: usize::try_from(settings.count("max_changes").unwrap_or(100)).unwrap_or(1),
        max_refused: settings.count("max_refused").unwrap_or(1_000),
        env: context.env,
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
        reached,
        progress,
        totals: Totals::default(),
        last: None,
        kept: None,
        answered: epoch.map(Epoch),
        is_kept: true,
        has_told_age: false,
    };
    sink.kept = epoch.max(batch.as_ref().map(|batch| batch.epoch)).map(Epoch);
    sink.last = sink.kept;
    if !context.is_resumed {
        sink.reached.forget()?;
    }
    if let Some(mut batch) = batch {
        if is_out(Safeguard::FatesKept) {
            batch.memory = Memory::default();
        }
        batch.memory.index();
        if sink.answered >= Some(Epoch(batch.epoch)) {
            (sink.progress.epoch, sink.progress.n_through) = (batch.epoch, batch.posts.len());
        } else if !batch.posts.is_empty() {
            tracing::info!(sink = %sink.name, epoch = batch.epoch, "sending the outbox again");
        }
        let epoch = Epoch(batch.epoch);
        sink.send(batch)?;
        if sink.answered < Some(epoch) {
            // Or it would be sent again by each run that ends before the next epoch.
            sink.reached.write(&epoch.0)?;
            sink.answered = Some(epoch);
        }
    } else {
        sink.through.forget()?;
        sink.outbox.forget()?;
    }
    Ok(Box::new(sink))
}

struct Webhook {
    client: Client,
    format: Format,
    limits: Limits,
    memory: Memory,
    max_changes: usize,
    max_refused: u64,
    env: Arc<dyn Env>,
    aside: Aside,
    run: String,
    name: String,
    pipeline: String,
    views: Vec<SinkView>,
    names: Arc<Names>,
    outbox: Kept,
    through: Kept,
    /// An epoch that it has come to: what was posted of it and those before it was answered.
    reached: Kept,
    progress: Progress,
    totals: Totals,
    /// The last epoch that it has come to: all that is posted of it was answered.
    last: Option<Epoch>,
    /// What `reached` says.
    answered: Option<Epoch>,
    /// The last epoch that need not come again: what says so is on disk.
    kept: Option<Epoch>,
    /// Whether the outbox has all that was decided.
    is_kept: bool,
    /// Whether it was told that changes are passed over.
    has_told_age: bool,
}

impl Sink for Webhook {
    fn kept_until(&self) -> Option<Epoch> {
        Some(self.kept.unwrap_or(Epoch(0)))
    }

    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        let n_old = self.memory.n_old;
        let spelt = self.spell(changes)?;
        self.is_kept &= n_old == self.memory.n_old;
        if n_old < self.memory.n_old && !std::mem::replace(&mut self.has_told_age, true) {
            tracing::info!(
                sink = %self.name,
                "alerts older than `max_age` aren't posted: with `replay = true` they are"
            );
        }
        if !spelt.is_empty() || self.memory.is_pressing() {
            return self.deliver(changes.epoch, &spelt);
        }
        self.last = Some(changes.epoch);
        let n_behind = changes.epoch.0 - self.kept.map_or(0, |epoch| epoch.0);
        if n_behind >= KEPT_EPOCHS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        // Of an epoch that was posted the outbox knows no end: without a word it would be sent again.
        let Some(epoch) = self.last.filter(|last| Some(*last) > self.answered) else {
            return Ok(());
        };
        if !self.is_kept {
            return self.deliver(epoch, &[]);
        }
        self.reached.write(&epoch.0)?;
        (self.kept, self.answered) = (Some(epoch), Some(epoch));
        Ok(())
    }

    fn report(&self) -> SinkReport {
        let Totals { n_posts, n_changes } = self.totals;
        let Progress { aside: Length { n_rows, .. }, n_refused, .. } = self.progress;
        let (n_posts, n_changes) =
            (n_posts.saturating_sub(n_rows), n_changes.saturating_sub(n_refused));
        let mut line = format!("{}: {n_changes} changes in {n_posts} posts", self.client.place());
        let Memory { n_held, n_old, .. } = self.memory;
        for (n, what) in [
            (n_held, "alerts held back by `rate_limit`"),
            (n_old, "changes of alerts older than `max_age` not posted"),
        ] {
            if n > 0 {
                line = format!("{line}, {n} {what}");
            }
        }
        SinkReport {
            lines: vec![line],
            n_refused,
            quarantine: (n_rows > 0).then(|| self.aside.path()),
        }
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        Ok(self.report())
    }
}

impl Webhook {
    /// Spells what is posted of an epoch's changes.
    fn spell(&mut self, changes: &EpochChanges) -> Result<Vec<Spelt>, ConnectError> {
        let now = self.env.now();
        let mut spelt = Vec::new();
        for (place, (view, changed)) in self.views.iter().zip(&changes.views).enumerate() {
            let (schema, names) = (&*view.schema, &*self.names);
            let identities = Identities { view: &view.name, schema, names };
            let mut spelling = Spelling {
                format: self.format,
                place,
                view: &view.name,
                schema,
                names,
                judge: Judge::new(&self.limits, &mut self.memory, now, identities, changed),
                spelt: &mut spelt,
            };
            visit_changes(changed, schema, names, changes.epoch, &mut spelling)?;
        }
        Ok(spelt)
    }

    /// Keeps an epoch's POSTs and what is remembered behind it, and sends them.
    fn deliver(&mut self, epoch: Epoch, spelt: &[Spelt]) -> Result<(), ConnectError> {
        let mut totals = self.totals;
        let mut posts = Vec::new();
        for (part, changes) in (0..).zip(spelt.chunks(self.max_changes)) {
            let post = self.post(epoch, part, changes);
            totals.n_posts += 1;
            totals.n_changes += post.n_changes;
            posts.push(post);
        }
        let memory = std::mem::take(&mut self.memory).kept();
        let batch = Batch { run: self.run.clone(), epoch: epoch.0, posts, totals, memory };
        point("webhook.outbox.before");
        if !is_out(Safeguard::PostsKept) {
            self.outbox.write(&batch)?;
        }
        point("webhook.outbox.put");
        self.send(batch)?;
        (self.last, self.kept, self.is_kept) = (Some(epoch), Some(epoch), true);
        Ok(())
    }

    fn post(&mut self, Epoch(epoch): Epoch, part: u64, changes: &[Spelt]) -> Post {
        let Self { pipeline, name, run, .. } = &*self;
        let key = format!("{pipeline}/{name}/{run}/{epoch}/{part}");
        let mut views: Vec<usize> = Vec::new();
        let mut held_back: Vec<(&str, u64)> = Vec::new();
        for change in changes {
            if views.last() != Some(&change.view) {
                views.push(change.view);
            }
            let rule = change.rule.as_ref().map(Text::as_str);
            held_back.extend(rule.and_then(|rule| Some((rule, self.memory.tell(rule)?))));
        }
        let views = views.iter().filter_map(|place| Some(self.views.get(*place)?.name.as_str()));
        let (format, held_back) = (self.format, held_back.as_slice());
        let (pipeline, sink) = (self.pipeline.as_str(), self.name.as_str());
        let body = Envelope { format, key: &key, pipeline, sink, held_back }.body(changes);
        Post {
            views: views.collect::<Vec<_>>().join(", "),
            n_changes: u64::try_from(changes.len()).unwrap_or(u64::MAX),
            body,
            key,
        }
    }

    /// Sends a batch that is in the outbox, but for what is through.
    fn send(&mut self, batch: Batch) -> Result<(), ConnectError> {
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
        self.memory = batch.memory;
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
