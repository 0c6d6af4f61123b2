//! What clients are told, as JSON objects with `op` first. Pure.

use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};
use types::{Kind, Schema};

use crate::publish::{Chunk, Standing};

use super::frontier_text;

/// A JSON object that keeps the order of its fields.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    /// Starts an object that has no `op`.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Starts a message.
    pub(super) fn op(op: &str) -> Self {
        Self::new().with("op", op)
    }

    /// Adds a field.
    pub(super) fn with(self, name: &str, value: impl Into<Value>) -> Self {
        self.raw(name, value.into().to_string().as_bytes())
    }

    /// Adds a field where there is a value.
    pub(super) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a field whose JSON is there already.
    fn raw(mut self, name: &str, json: &[u8]) -> Self {
        self.start(name);
        self.0.extend_from_slice(json);
        self
    }

    /// Adds a list whose items are there already, with commas between them.
    pub(super) fn list(mut self, name: &str, items: &[u8]) -> Self {
        self.start(name);
        self.0.push(b'[');
        self.0.extend_from_slice(items);
        self.0.push(b']');
        self
    }

    fn start(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(Value::from(name).to_string().as_bytes());
        self.0.push(b':');
    }

    /// The bytes.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.0.extend_from_slice(if self.0.is_empty() { b"{}" } else { b"}" });
        self.0
    }

    /// The text.
    pub(super) fn into_text(self) -> Utf8Bytes {
        Utf8Bytes::try_from(self.into_bytes()).expect("JSON is UTF-8")
    }
}

/// Where a subscription is: its name, and the number of its next frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The client's name for it.
    pub(super) sub: &'a str,
    /// Which generation.
    pub(super) generation: u64,
    /// The frame's number in it.
    pub(super) seq: u64,
}

fn numbered(op: &str, at: At<'_>, standing: Standing) -> Object {
    Object::op(op)
        .with("sub", at.sub)
        .with("gen", at.generation)
        .with("seq", at.seq)
        .with("epoch", standing.epoch.to_string())
}

/// A piece of a snapshot.
pub(super) fn snap(at: At<'_>, standing: Standing, chunk: &Chunk) -> Object {
    numbered("snap", at, standing).list("rows", &chunk.put).with("last", chunk.last)
}

/// A piece of an epoch's changes.
pub(super) fn delta(at: At<'_>, standing: Standing, chunk: &Chunk) -> Object {
    let delta = numbered("delta", at, standing).list("put", &chunk.put).list("del", &chunk.del);
    let delta = match &*chunk.retracted {
        [] => delta,
        retracted => delta.list("retracted", retracted),
    };
    delta.with("last", chunk.last)
}

/// The word that all changes up to an epoch were sent.
pub(super) fn progress(at: At<'_>, standing: Standing, lag_ms: Option<i64>) -> Object {
    numbered("progress", at, standing)
        .with("event_time_frontier", frontier_text(standing.frontier))
        .with("lag_ms", lag_ms)
}

/// The word that all rows are to be forgotten.
pub(super) fn reset(sub: &str, generation: u64) -> Object {
    Object::op("reset").with("sub", sub).with("gen", generation).with("reason", "slow_consumer")
}

/// What is wrong with a request, or the end of a subscription where `sub` is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A code that the docs explain.
    pub(super) code: &'static str,
    /// What is wrong, for people.
    pub(super) message: String,
    /// Which field is to blame: `/where`.
    pub(super) at: Option<String>,
}

impl Refusal {
    /// Makes a refusal that blames no field.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None }
    }

    /// Makes a refusal that blames a field.
    pub(super) fn of(code: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: Some(format!("/{field}")) }
    }
}

/// Refusals after which the same request may succeed.
const RETRYABLE: [&str; 1] = ["catching_up"];

/// A request that can't be done, or a subscription that can't go on.
pub(super) fn error(id: Option<&Value>, sub: Option<&str>, refusal: Refusal) -> Object {
    Object::op("error")
        .maybe("id", id.cloned())
        .maybe("sub", sub)
        .with("code", refusal.code)
        .with("message", refusal.message)
        .with("retryable", RETRYABLE.contains(&refusal.code))
        .maybe("at", refusal.at)
}

/// The columns as clients see them: name, type, whether it may be null, digits after the point.
pub(super) fn columns(schema: &Schema) -> Value {
    let columns = schema.columns.iter().map(|column| {
        let mut shown = json!({
            "name": column.name,
            "type": column.kind.name(),
            "nullable": column.nullable,
        });
        if let (Some(scale), Some(shown)) = (scale(column.kind), shown.as_object_mut()) {
            shown.insert("scale".to_owned(), scale.into());
        }
        shown
    });
    Value::Array(columns.collect())
}

/// The names of the key's columns.
pub(super) fn key(schema: &Schema) -> Value {
    schema.key().iter().map(|column| column.name.as_ref()).collect()
}

/// Decimals have nine digits after the point.
const fn scale(kind: Kind) -> Option<u32> {
    match kind {
        Kind::Price | Kind::Size | Kind::Money | Kind::Number => Some(9),
        Kind::Bool | Kind::Count | Kind::Float | Kind::Time => None,
        Kind::Text | Kind::Name | Kind::Word(_) => None,
    }
}
