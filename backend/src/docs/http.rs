//! HTTP of the OpenAPI document and of the page that shows it.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use countersign_types::routes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa::openapi::OpenApi;

use crate::assets::{Encoded, is_known};

/// What the page may load: its style, and the picture that it brings along.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

/// The document, the page, and the page's style: the same for everybody until the next start.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(mut document: OpenApi) -> Router<S> {
    super::complete(&mut document);
    let json = document.to_json().unwrap_or_default();
    let page = super::page(&serde_json::from_str(&json).unwrap_or_default());
    let policy = Some(PAGE_POLICY);
    Router::new()
        .route(routes::OPENAPI, file("application/json", None, json))
        .route(routes::DOCS, file("text/html; charset=utf-8", policy, page))
        .route(
            routes::DOCS_STYLE,
            file("text/css; charset=utf-8", None, include_str!("style.css")),
        )
}

/// Answers always the same.
fn file<S: Clone + Send + Sync + 'static>(
    content_type: &'static str,
    policy: Option<&'static str>,
    content: impl Into<Bytes>,
) -> MethodRouter<S> {
    let encoded = Encoded::new(content.into());
    let mut headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, encoded.etag.clone()),
    ]);
    if let Some(policy) = policy {
        let policy = HeaderValue::from_static(policy);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    get(show).with_state(Arc::new((headers, encoded)))
}

async fn show(State(file): State<Arc<(HeaderMap, Encoded)>>, request: HeaderMap) -> Response {
    let (headers, encoded) = &*file;
    if is_known(&request, &encoded.etag) {
        return (StatusCode::NOT_MODIFIED, headers.clone()).into_response();
    }
    (headers.clone(), encoded.content.clone()).into_response()
}
