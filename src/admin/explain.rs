//! `/explain`: what the proxy makes of a statement, as text or JSON.
//!
//! `GET /explain?sql=...` or a POST with the statement as its body; `database` names it as clients do, and `format` is
//! `text` (the default) or `json`. Invariant: whatever is sent, the answer is an answer.

use axum::{
    Json,
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use crate::database::explain::Explanation;

/// Why nothing can be explained.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unexplained {
    /// No client has been in the database since the start.
    #[error(
        "no client has been in database {0:?} since the start, so its catalog is not loaded; connect once, or run \
         pgkeel explain"
    )]
    NotSeen(String),
    /// The task that explains has failed.
    #[error("the statement cannot be explained")]
    Failed,
}

/// What stands behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    database: Option<String>,
    sql: Option<String>,
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    #[default]
    Text,
}

/// GET.
pub(super) async fn get(
    state: State<Shared>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Response {
    match parameters {
        Ok(Query(parameters)) => {
            let sql = parameters.sql.clone().unwrap_or_default();
            answer(&state, parameters, sql).await
        }
        Err(error) => refuse(Format::Text, StatusCode::BAD_REQUEST, &error.body_text()),
    }
}

/// POST, with the statement as its body.
pub(super) async fn post(
    state: State<Shared>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    body: Bytes,
) -> Response {
    match parameters {
        Ok(Query(parameters)) => match String::from_utf8(body.into()) {
            Ok(sql) => answer(&state, parameters, sql).await,
            Err(_) => refuse(
                parameters.format,
                StatusCode::BAD_REQUEST,
                "the statement is not UTF-8",
            ),
        },
        Err(error) => refuse(Format::Text, StatusCode::BAD_REQUEST, &error.body_text()),
    }
}

async fn answer(shared: &Shared, parameters: Parameters, sql: String) -> Response {
    let format = parameters.format;
    if sql.trim().is_empty() {
        let hint = "give a statement: /explain?sql=SELECT+1, or the body of a POST";
        return refuse(format, StatusCode::BAD_REQUEST, hint);
    }
    if sql.len() > shared.statement_max_bytes {
        let text = format!(
            "the statement is longer than cache.statement_max_bytes ({} bytes)",
            shared.statement_max_bytes
        );
        return refuse(format, StatusCode::PAYLOAD_TOO_LARGE, &text);
    }
    let source = shared.source.clone();
    // Parsing may take a while: not on a thread that serves connections.
    let explained =
        tokio::task::spawn_blocking(move || source.explain(parameters.database.as_deref(), &sql));
    match explained.await.unwrap_or(Err(Unexplained::Failed)) {
        Ok(explanation) => show(format, &explanation),
        Err(Unexplained::NotSeen(name)) => {
            let text = Unexplained::NotSeen(name).to_string();
            refuse(format, StatusCode::NOT_FOUND, &text)
        }
        Err(Unexplained::Failed) => {
            let text = Unexplained::Failed.to_string();
            refuse(format, StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    }
}

fn show(format: Format, explanation: &Explanation) -> Response {
    match (&explanation.error, format) {
        (Some(error), _) => refuse(format, StatusCode::UNPROCESSABLE_ENTITY, error),
        (None, Format::Json) => Json(explanation).into_response(),
        (None, Format::Text) => text(StatusCode::OK, explanation.to_string()),
    }
}

fn refuse(format: Format, status: StatusCode, why: &str) -> Response {
    match format {
        Format::Json => (status, Json(json!({"error": why}))).into_response(),
        Format::Text => text(status, format!("{why}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response {
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, plain, text).into_response()
}
