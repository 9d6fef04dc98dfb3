//! HTTP of keys.

use axum::{Json, extract::State, response::IntoResponse};
use countersign_types::routes;
use http::header;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// The public keys that verify our tokens (RFC 7517); none under HMAC.
#[utoipa::path(
    get,
    path = routes::JWKS,
    tag = "keys",
    responses((status = 200, description = "A JWK set", body = Object)),
)]
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    // Short, so that a new key is known before it signs.
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(app.verifier.keys().known().jwks()),
    )
}
