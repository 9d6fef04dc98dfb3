//! HTTP of keys.

use axum::{Json, extract::State, response::IntoResponse};
use countersign_types::routes;
use http::header;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// Gives the public keys that verify our access tokens (RFC 7517).
///
/// There are none where a shared secret signs (HS256, HS384, HS512).
#[utoipa::path(
    get,
    path = routes::JWKS,
    tag = "keys",
    responses((
        status = 200,
        description = "A JWK set",
        body = Object,
        example = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        }] }),
    )),
)]
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    // Short, so that a new key is known before it signs.
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(app.verifier.keys().known().jwks()),
    )
}
