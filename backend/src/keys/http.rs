//! HTTP of keys.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_types::{Problem, problem::CONTENT_TYPE, routes};
use http::{HeaderMap, StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, error::Error};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// Gives the public keys that verify our access tokens (RFC 7517).
///
/// There are none where a shared secret signs (HS256, HS384, HS512).
///
/// The next key is among them before it signs, for longer than `max-age`: who keeps to that never meets
/// a token of a key it does not know.
#[utoipa::path(
    get,
    path = routes::JWKS,
    tag = "keys",
    responses(
        (
            status = 200,
            description = "A JWK set",
            body = Object,
            example = json!({ "keys": [{
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            }] }),
        ),
        (status = 304, description = "It is the one that `If-None-Match` names"),
        (status = 503, description = "This server cannot read all keys, and what it has would be \
         remembered as all: `unavailable`", body = Problem, content_type = CONTENT_TYPE),
    ),
)]
async fn jwks(State(app): State<App>, headers: HeaderMap) -> Result<Response, Error> {
    if app.keys.is_incomplete() {
        return Err(Error::KeysIncomplete);
    }
    let body = serde_json::to_string(&app.keys.verifying().load().jwks())
        .expect("public keys are texts, which have a JSON");
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, body.as_bytes()));
    let etag = format!("\"{hash}\"");
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag);
    let max_age = app.keys.max_age().as_secs();
    let caching = [
        (header::CACHE_CONTROL, format!("public, max-age={max_age}")),
        (header::ETAG, etag),
    ];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((caching, json, body).into_response())
}
