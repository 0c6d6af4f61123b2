//! `GET /v1/views`, `/v1/views/{view}`, `/v1/quarantine`, `/health/live`, `/health/ready`, and errors as
//! `application/problem+json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use types::options::did_you_mean;

use crate::publish::{BadCursor, Hub, Standing, ViewSpec};

use super::frames::{self, Object};
use super::{Server, frontier_text, quarantine, websocket};

const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 10_000;

/// What the server answers to.
pub(super) fn router(server: Server) -> Router {
    Router::new()
        .route("/v1/ws", get(websocket::upgrade))
        .route("/v1/views", get(views))
        .route("/v1/views/{view}", get(view))
        .route("/v1/quarantine", get(quarantine::list))
        .route("/v1/quarantine/{number}", get(quarantine::show))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(Arc::new(server))
}

/// An error as RFC 9457 writes it, with a code that the docs explain.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    /// Makes a problem; `detail` says what is wrong and what to do.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Object::new()
            .with("type", "about:blank")
            .with("title", self.status.canonical_reason().unwrap_or_default())
            .with("status", self.status.as_u16())
            .with("detail", self.detail)
            .with("code", self.code);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.into_bytes()).into_response()
    }
}

pub(super) fn json(body: Object) -> Response {
    json_bytes(body.into_bytes())
}

pub(super) fn json_bytes(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Says which epoch an answer is of.
fn standing(standing: Standing) -> Object {
    Object::new()
        .with("epoch", standing.epoch.to_string())
        .with("event_time_frontier", frontier_text(standing.frontier))
}

/// One view as lists show it.
pub(super) fn describe(view: &ViewSpec, n_rows: usize) -> Object {
    Object::new()
        .with("name", view.name.as_str())
        .with("operator", view.operator)
        .with("key", frames::key(&view.schema))
        .with("columns", frames::columns(&view.schema))
        .with("rows", n_rows)
}

/// All views, as JSON objects with commas between them.
pub(super) fn describe_all(hub: &Hub) -> (Standing, Vec<u8>) {
    let (standing, n_rows) = hub.n_rows();
    let views = hub.views().iter().zip(n_rows);
    let views: Vec<Vec<u8>> = views
        .map(|(view, n)| describe(view, n).with("epoch", standing.epoch.to_string()).into_bytes())
        .collect();
    (standing, views.join(b",".as_slice()))
}

async fn views(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    check_caught_up(&server.hub)?;
    let (at, views) = describe_all(&server.hub);
    Ok(json(standing(at).list("views", &views)))
}

/// The parameters of a request.
pub(super) type Parameters = Result<Query<BTreeMap<String, String>>, QueryRejection>;

async fn view(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let Path(name) = path.map_err(|rejection| bad_request(rejection.body_text()))?;
    let index = server.hub.view(&name).ok_or_else(|| unknown_view(&server.hub, &name))?;
    let asked = PageRequest::read(parameters)?;
    check_caught_up(&server.hub)?;
    let found = if asked.live { server.hub.live_rows(index) } else { server.hub.rows(index) };
    let (at, rows) = found.ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "not_live", not_live(&server.hub, &name))
    })?;
    let prefix = place_prefix(&server, index, asked.live);
    let after = asked.cursor.map(|cursor| match cursor.strip_prefix(&prefix) {
        Some(place) => Ok(place.to_owned()),
        None => Err(bad_cursor()),
    });
    let after = after.transpose()?;
    let page = rows.page(after.as_deref(), asked.limit).map_err(|BadCursor| bad_cursor())?;
    let next = page.next.map(|place| prefix + &place);
    Ok(json(standing(at).list("rows", &page.rows).with("next", next)))
}

/// A place is good for the rows and the process that gave it: keys are interned anew in each.
fn place_prefix(server: &Server, view: usize, live: bool) -> String {
    format!("{:x}.{view:x}{}.", server.options.run_id, if live { "l" } else { "" })
}

struct PageRequest {
    limit: usize,
    cursor: Option<String>,
    live: bool,
}

impl PageRequest {
    fn read(parameters: Parameters) -> Result<Self, Problem> {
        let Query(parameters) =
            parameters.map_err(|rejection| bad_request(rejection.body_text()))?;
        let mut asked = Self { limit: DEFAULT_LIMIT, cursor: None, live: false };
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => asked.limit = read_limit(&value)?,
                "cursor" => asked.cursor = Some(value),
                "live" => {
                    asked.live = value.parse().map_err(|_| {
                        bad_request(format!("`live` must be true or false, not `{value}`"))
                    })?;
                }
                "where" | "columns" | "order" | "as_of" => {
                    let detail = format!("the parameter `{name}` isn't supported by this server");
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "unsupported", detail));
                }
                _ => return Err(unknown_parameter(&name)),
            }
        }
        Ok(asked)
    }
}

pub(super) fn read_limit(text: &str) -> Result<usize, Problem> {
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(bad_request(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}"))),
    }
}

pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
}

fn bad_cursor() -> Problem {
    let detail = "the cursor isn't one that this view gave; start again without it";
    Problem::new(StatusCode::BAD_REQUEST, "bad_cursor", detail)
}

fn unknown_parameter(name: &str) -> Problem {
    let hint = did_you_mean(name, ["limit", "cursor", "live"]).unwrap_or_default();
    let detail = format!("unknown parameter `{name}`; {hint}");
    Problem::new(StatusCode::BAD_REQUEST, "unknown_parameter", detail)
}

fn unknown_view(hub: &Hub, name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_view", no_such_view(hub, name))
}

/// What is told to whoever asks for a view that isn't there.
pub(super) fn no_such_view(hub: &Hub, name: &str) -> String {
    let known = hub.views().iter().map(|view| view.name.as_str());
    match did_you_mean(name, known) {
        Some(hint) => format!("no view is named `{name}`; {hint}"),
        None => format!("no view is named `{name}`; there are none"),
    }
}

/// What is told to whoever asks for live rows of a view that has none.
pub(super) fn not_live(hub: &Hub, name: &str) -> String {
    let views = hub.views().iter().filter(|view| view.live.is_some());
    let known: Vec<&str> = views.map(|view| view.name.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("the rows of `{name}` are as of the current epoch already; views with `live`: {known}")
}

async fn live() -> Response {
    json(Object::new().with("status", "live"))
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    if server.hub.is_ready() {
        return json(Object::new().with("status", "ready"));
    }
    if let Err(problem) = check_caught_up(&server.hub) {
        return problem.into_response();
    }
    let detail = "the sources aren't connected yet";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail).into_response()
}

/// Rows are shown as they were before the run was interrupted, or later, and never earlier ones.
fn check_caught_up(hub: &Hub) -> Result<(), Problem> {
    if !hub.is_catching_up() {
        return Ok(());
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "catching_up", CATCHING_UP))
}

/// Why no rows are shown.
pub(super) const CATCHING_UP: &str = "the run goes on where it was interrupted and hasn't caught up yet: ask \
                                      again once /health/ready says ready";

async fn not_found() -> Problem {
    let detail = "known: /v1/views, /v1/views/{view}, /v1/quarantine, /v1/quarantine/{number}, /v1/ws, \
                  /health/live, /health/ready";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn not_allowed() -> Problem {
    let detail = "only GET is answered here";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
