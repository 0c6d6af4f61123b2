//! `GET /v1/quarantine` and `/v1/quarantine/{number}`: the rows that couldn't be used, as far as their file
//! is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use types::options::did_you_mean;

use super::Server;
use super::frames::Object;
use super::http::{Parameters, Problem, bad_request, json, json_bytes, read_limit};
use crate::error::Error;
use crate::quarantine::{self, Row, Wanted};

/// Rows that are listed unless another number is asked for.
const DEFAULT_LIMIT: usize = 100;

/// Counts by source and reason, and the first rows.
pub(super) async fn list(
    State(server): State<Arc<Server>>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let wanted = wanted(parameters)?;
    let path = file(&server)?;
    let found = read(move || quarantine::list(&path, &wanted)).await?;
    let count = |((source, reason), n): (&(String, String), &u64)| {
        let count = Object::new().with("source", source.as_str()).with("reason", reason.as_str());
        count.with("rows", *n).into_bytes()
    };
    let counts: Vec<Vec<u8>> = found.counts.iter().map(count).collect();
    let rows: Vec<Vec<u8>> = found.rows.into_iter().map(bytes).collect();
    let (counts, rows) = (counts.join(b",".as_slice()), rows.join(b",".as_slice()));
    Ok(json(Object::new().list("counts", &counts).list("rows", &rows)))
}

/// All that is known of one row.
pub(super) async fn show(
    State(server): State<Arc<Server>>,
    number: Result<Path<usize>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(number) = number.map_err(|rejection| bad_request(rejection.body_text()))?;
    let path = file(&server)?;
    let found = read(move || quarantine::find(&path, number)).await?;
    let row = found.map_err(|n_rows| {
        let detail = format!("there is no row {number}: {n_rows} are in quarantine");
        Problem::new(StatusCode::NOT_FOUND, "unknown_row", detail)
    })?;
    Ok(json_bytes(bytes(row)))
}

fn bytes(row: Row) -> Vec<u8> {
    row.json().to_string().into_bytes()
}

fn wanted(parameters: Parameters) -> Result<Wanted, Problem> {
    let Query(parameters): Query<BTreeMap<String, String>> =
        parameters.map_err(|rejection| bad_request(rejection.body_text()))?;
    let mut wanted = Wanted { limit: DEFAULT_LIMIT, ..Wanted::default() };
    for (name, value) in parameters {
        match name.as_str() {
            "reason" => wanted.reason = Some(value),
            "source" => wanted.source = Some(value),
            "limit" => wanted.limit = read_limit(&value)?,
            _ => {
                let hint = did_you_mean(&name, ["reason", "source", "limit"]).unwrap_or_default();
                let detail = format!("unknown parameter `{name}`; {hint}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_parameter", detail));
            }
        }
    }
    Ok(wanted)
}

fn file(server: &Server) -> Result<PathBuf, Problem> {
    server.options.quarantine.clone().ok_or_else(|| {
        let detail = "this server knows no quarantine";
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    })
}

/// Reads the file where that may take its time.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let failed = |detail: String| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "quarantine_unreadable", detail)
    };
    let joined = tokio::task::spawn_blocking(read).await;
    let read = joined.map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))
}
