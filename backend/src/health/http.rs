//! HTTP of health.

use axum::{extract::State, response::IntoResponse};
use countersign_types::{Problem, routes};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, error::Error, no_store::NoStore};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// How the process is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Says that the process lives; nothing else is looked at.
#[utoipa::path(
    get,
    path = routes::HEALTHZ,
    tag = "health",
    responses((status = 200, description = "The process lives", body = Health)),
)]
async fn healthz() -> impl IntoResponse {
    NoStore(Health { status: "ok" })
}

/// Says whether requests can be served: the database answers, and there is a key to sign with.
#[utoipa::path(
    get,
    path = routes::READYZ,
    tag = "health",
    responses(
        (status = 200, description = "Requests can be served", body = Health, example = json!({ "status": "ready" })),
        (status = 503, description = "They cannot: `unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(app): State<App>) -> Result<impl IntoResponse, Error> {
    super::ready(&app).await?;
    Ok(NoStore(Health { status: "ready" }))
}
