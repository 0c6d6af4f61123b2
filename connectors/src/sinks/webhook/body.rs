//! What a POST says: each change as JSON or as a line for people, and the body around them.

use std::fmt::Write as _;

use types::relations::{Alert, Relation};
use types::spell::{write_count, write_text};
use types::{Names, Schema, Text, json};

use super::limits::{Judge, Verdict};
use crate::error::ConnectError;
use crate::sinks::shown::{Shown, Visit};

/// What a body looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `{"key":..,"pipeline":..,"sink":..,"changes":[..]}`.
    Tapeline,
    /// `{"text":..}`, a line a change.
    Slack,
}

/// A change that is posted.
pub(super) struct Spelt {
    /// The view's place among those of the sink.
    pub(super) view: usize,
    /// Of an alert: its rule.
    pub(super) rule: Option<Text>,
    /// JSON, or a line that is escaped as Slack asks.
    text: String,
}

/// Spells the changes of a view that are posted.
pub(super) struct Spelling<'a> {
    pub(super) format: Format,
    pub(super) place: usize,
    pub(super) view: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) names: &'a Names,
    pub(super) judge: Judge<'a>,
    pub(super) spelt: &'a mut Vec<Spelt>,
}

impl Visit for Spelling<'_> {
    fn rows<R: Relation>(&mut self, rows: &[Shown<'_, R>]) -> Result<(), ConnectError> {
        for shown in rows {
            let alert = Alert::of(shown.row);
            match alert.map(|alert| self.judge.verdict(alert, shown.is_deleted)) {
                Some(Verdict::HoldBack | Verdict::PassOver) => {}
                Some(Verdict::Post) | None => {
                    let text = match (self.format, alert) {
                        (Format::Tapeline, _) => self.json(shown),
                        (Format::Slack, None) => escaped(&self.json(shown)),
                        (Format::Slack, Some(alert)) => escaped(&line(alert, shown.is_deleted)),
                    };
                    let rule = alert.map(|alert| alert.rule.clone());
                    self.spelt.push(Spelt { view: self.place, rule, text });
                }
            }
        }
        Ok(())
    }
}

impl Spelling<'_> {
    fn json<R: Relation>(&self, Shown { row, is_deleted, epoch }: &Shown<'_, R>) -> String {
        let mut json = b"{\"view\":".to_vec();
        write_text(&mut json, self.view);
        json.extend_from_slice(b",\"epoch\":\"");
        write_count(&mut json, epoch.0);
        if *is_deleted {
            json.extend_from_slice(b"\",\"op\":\"del\",\"key\":");
            json::write_key(&mut json, *row, self.schema, self.names);
            if let Some(alert) = Alert::of(*row) {
                json.extend_from_slice(b",\"row\":");
                json::write_retracted(&mut json, alert, self.schema, self.names);
            }
        } else {
            json.extend_from_slice(b"\",\"op\":\"put\",\"row\":");
            json::write_row(&mut json, *row, self.schema, self.names);
        }
        json.push(b'}');
        String::from_utf8_lossy(&json).into_owned()
    }
}

/// An alert for people: `[high] large_fill firing: ann, what it says, when`.
fn line(alert: &Alert, is_deleted: bool) -> String {
    let Alert { rule, entity, time, severity, state, resolved_at, message, .. } = alert;
    let state = if is_deleted { "retracted" } else { state.word() };
    let mut line = format!("[{}] {rule} {state}: {entity}", severity.word());
    let said = if message.as_str().is_empty() { "" } else { ", " };
    // What cannot fail: a text takes all that is written to it.
    let written = write!(line, "{said}{message}, {time}");
    let written = written.and_then(|()| match resolved_at {
        Some(end) => write!(line, " to {end}"),
        None => Ok(()),
    });
    written.unwrap_or_default();
    line.replace(['\n', '\r'], " ")
}

/// Escapes the characters that mean something in Slack's texts.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What stands around the changes of a POST.
pub(super) struct Envelope<'a> {
    pub(super) format: Format,
    pub(super) key: &'a str,
    pub(super) pipeline: &'a str,
    pub(super) sink: &'a str,
    /// How many alerts were held back, by rule.
    pub(super) held_back: &'a [(&'a str, u64)],
}

impl Envelope<'_> {
    /// The body of a POST.
    pub(super) fn body(&self, changes: &[Spelt]) -> String {
        let mut body = Vec::new();
        match self.format {
            Format::Tapeline => self.tapeline(changes, &mut body),
            Format::Slack => {
                let held = self.held_back.iter().map(|(rule, n)| {
                    let (alerts, were) =
                        if *n == 1 { ("alert", "was") } else { ("alerts", "were") };
                    escaped(&format!("{n} more {alerts} of {rule} {were} held back"))
                });
                let lines = changes.iter().map(|change| change.text.clone()).chain(held);
                body.extend_from_slice(b"{\"text\":");
                write_text(&mut body, &lines.collect::<Vec<_>>().join("\n"));
                body.push(b'}');
            }
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    fn tapeline(&self, changes: &[Spelt], body: &mut Vec<u8>) {
        for (start, text) in
            [("{\"key\":", self.key), (",\"pipeline\":", self.pipeline), (",\"sink\":", self.sink)]
        {
            body.extend_from_slice(start.as_bytes());
            write_text(body, text);
        }
        for (nth, (rule, n)) in self.held_back.iter().enumerate() {
            body.extend_from_slice(if nth == 0 { b",\"held_back\":{" } else { b"," });
            write_text(body, rule);
            body.push(b':');
            write_count(body, *n);
        }
        if !self.held_back.is_empty() {
            body.push(b'}');
        }
        body.extend_from_slice(b",\"changes\":[");
        for (nth, change) in changes.iter().enumerate() {
            if nth > 0 {
                body.push(b',');
            }
            body.extend_from_slice(change.text.as_bytes());
        }
        body.extend_from_slice(b"]}");
    }
}
